//! Pods in little memory, findable by what alerts name.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use drop_core::pod::Pod;
use drop_core::ports::By;
use falco_event::{ContainerId, Namespace, NodeName, PodName, PodUid};

use crate::listing::bears;
use crate::packed::{Commons, Packed};

/// Hexadecimal digits of a container id that every alert gives.
const DIGITS: usize = 12;
/// Bytes of a pod that are kept, with what it has in common with others: with its marks, 1.5 KiB at most. Labels are a tenant's to choose, and annotations that
/// a condition reads can be large.
const LARGEST: usize = 1_024;

/// Every pod once, and what it can be found by.
///
/// It is found by 64-bit fingerprints of its marks; two marks with one fingerprint cost a second look and no more,
/// since what is found is compared.
#[derive(Debug, Default)]
pub(crate) struct Store {
    pods: HashMap<u32, Entry>,
    commons: Commons,
    marks: BTreeSet<(u64, u32)>,
    /// How many pods each node's kubelet runs. Whoever creates a pod may write any node into it: its containers come from
    /// the kubelet.
    nodes: BTreeMap<NodeName, u32>,
    free: Vec<u32>,
    /// Counts lists: which of them a pod was in, or followed.
    list: u32,
}

#[derive(Debug)]
struct Entry {
    packed: Packed,
    /// Nothing of the pod was left out.
    whole: bool,
    list: u32,
}

impl Store {
    /// How many pods there are.
    pub(crate) fn len(&self) -> usize {
        self.pods.len()
    }

    /// Takes a pod in, or what is new about it.
    pub(crate) fn put(&mut self, mut pod: Pod) {
        self.remove(&pod.uid);
        let new = u32::try_from(self.pods.len()).unwrap_or(u32::MAX);
        let slot = self.free.pop().unwrap_or(new);
        let Some((packed, whole)) = self.pack(&mut pod) else {
            return;
        };
        self.marks.extend(marks(&pod).map(|mark| (mark, slot)));
        if let Some(node) = runs_on(&pod) {
            *self.nodes.entry(node.clone()).or_default() += 1;
        }
        let list = self.list;
        self.pods.insert(slot, Entry { packed, whole, list });
    }

    /// The pod is gone. Returns whether it was there.
    pub(crate) fn remove(&mut self, uid: &PodUid) -> bool {
        let known = self.marked(of_uid(uid)).find(|(_, pod, _)| pod.uid == *uid);
        let Some((slot, pod, _)) = known else {
            return false;
        };
        for mark in marks(&pod) {
            self.marks.remove(&(mark, slot));
        }
        if let Some(entry) = self.pods.remove(&slot) {
            self.commons.forget(&entry.packed);
        }
        self.free.push(slot);
        if let Some(node) = runs_on(&pod) {
            self.leave(node);
        }
        true
    }

    /// The pod in few bytes, and whether nothing had to be left out of it for that.
    fn pack(&mut self, pod: &mut Pod) -> Option<(Packed, bool)> {
        let whole = Packed::new(pod, &mut self.commons)?;
        if whole.len() <= LARGEST {
            return Some((whole, true));
        }
        self.commons.forget(&whole);
        pod.labels.clear();
        pod.annotations.clear();
        Some((Packed::new(pod, &mut self.commons)?, false))
    }

    /// A pod left a node.
    fn leave(&mut self, node: &NodeName) {
        if let Some(pods) = self.nodes.get_mut(node) {
            *pods = pods.saturating_sub(1);
            if *pods == 0 {
                self.nodes.remove(node);
            }
        }
    }

    /// Whether a pod runs on a node of this name.
    pub(crate) fn has_node(&self, node: &NodeName) -> bool {
        self.nodes.contains_key(node)
    }

    /// A list begins: what it has is put in; what neither it nor a change after it has is gone.
    pub(crate) fn begin_list(&mut self) {
        self.list = self.list.wrapping_add(1);
    }

    /// The list is whole. Returns the pods that were gone.
    pub(crate) fn end_list(&mut self) -> Vec<PodUid> {
        let old = self.pods.values().filter(|entry| entry.list != self.list);
        let old: Vec<PodUid> = old
            .filter_map(|entry| entry.packed.pod())
            .map(|pod| pod.uid)
            .collect();
        for uid in &old {
            self.remove(uid);
        }
        old
    }

    /// The pods that bear this mark, and of each whether nothing of it was left out.
    pub(crate) fn find(&self, by: &By) -> Vec<(Pod, bool)> {
        let mark = match by {
            By::Uid(uid) => of_uid(uid),
            By::Container { id, .. } => of_container(id),
            By::Name(namespace, name) => of_name(namespace, name),
        };
        self.marked(mark)
            .map(|(_, pod, whole)| (pod, whole))
            .filter(|(pod, _)| bears(pod, by))
            .collect()
    }

    /// The ready pods among those that the controller with this UID owns.
    pub(crate) fn ready_of(&self, controller: &str) -> BTreeSet<PodUid> {
        let owned = |pod: &Pod| {
            pod.controller
                .as_ref()
                .is_some_and(|owner| owner.uid == controller)
        };
        let marked = self
            .marked(of_owner(controller))
            .filter(|(_, pod, _)| pod.ready && pod.deletion.is_none() && owned(pod));
        marked.map(|(_, pod, _)| pod.uid).collect()
    }

    fn marked(&self, mark: u64) -> impl Iterator<Item = (u32, Pod, bool)> {
        let slots = self
            .marks
            .range((mark, 0)..=(mark, u32::MAX))
            .map(|(_, slot)| *slot);
        slots.filter_map(|slot| {
            let entry = self.pods.get(&slot)?;
            Some((slot, entry.packed.pod()?, entry.whole))
        })
    }
}

/// The node whose kubelet shows containers of the pod.
fn runs_on(pod: &Pod) -> Option<&NodeName> {
    pod.node.as_ref().filter(|_| !pod.containers.is_empty())
}

fn marks(pod: &Pod) -> impl Iterator<Item = u64> {
    let containers = pod.containers.iter().map(|container| of_container(&container.id));
    let owner = pod.controller.iter().map(|owner| of_owner(&owner.uid));
    [of_uid(&pod.uid), of_name(&pod.namespace, &pod.name)]
        .into_iter()
        .chain(containers)
        .chain(owner)
}

fn of_uid(uid: &PodUid) -> u64 {
    fingerprint(&("uid", uid))
}

/// Twelve digits, so that a short id finds a long one.
fn of_container(id: &ContainerId) -> u64 {
    fingerprint(&("container", id.as_str().get(..DIGITS)))
}

fn of_name(namespace: &Namespace, name: &PodName) -> u64 {
    fingerprint(&("name", namespace, name))
}

fn of_owner(uid: &str) -> u64 {
    fingerprint(&("owner", uid))
}

fn fingerprint(mark: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    mark.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use drop_core::memory::{Cluster, Workload};

    use super::*;

    fn pods(replicas: u32) -> Vec<Pod> {
        let cluster = Cluster::new("2026-03-01T12:00:00Z".parse().unwrap());
        let web = Workload::deployment("shop".parse().unwrap(), "web".parse().unwrap());
        cluster.add_workload(web.replicas(replicas));
        cluster.pods()
    }

    fn marks_of(pod: &Pod) -> [By; 4] {
        let id = &pod.containers[0].id;
        let short = id.as_str().get(..12).unwrap().parse().unwrap();
        let name = By::Name(pod.namespace.clone(), pod.name.clone());
        [
            By::Uid(pod.uid.clone()),
            By::container(id.clone()),
            By::container(short),
            name,
        ]
    }

    #[test]
    fn a_pod_is_found_by_each_of_its_marks_and_by_none_after_it_is_gone() {
        let (mut store, pods) = (Store::default(), pods(3));
        pods.iter().for_each(|pod| store.put(pod.clone()));
        for pod in &pods {
            for by in marks_of(pod) {
                assert_eq!(store.find(&by), [(pod.clone(), true)], "{by:?}");
            }
        }
        assert!(store.remove(&pods[1].uid));
        assert!(!store.remove(&pods[1].uid));
        for by in marks_of(&pods[1]) {
            assert_eq!(store.find(&by), [], "{by:?}");
        }
        assert_eq!(
            (store.len(), store.find(&By::Uid(pods[2].uid.clone()))),
            (2, vec![(pods[2].clone(), true)])
        );
        assert_eq!(store.marks.len(), 2 * 4, "no mark is left of what is gone");
    }

    #[test]
    fn what_is_new_about_a_pod_takes_the_place_of_the_old() {
        let (mut store, pod) = (Store::default(), pods(1).remove(0));
        store.put(pod.clone());
        let mut after = pod.clone();
        after.containers[0].id = "b".repeat(64).parse().unwrap();
        store.put(after.clone());
        assert_eq!(store.find(&By::container(pod.containers[0].id.clone())), []);
        assert_eq!(store.find(&By::Uid(pod.uid)), [(after, true)]);
        assert_eq!((store.len(), store.marks.len()), (1, 4));
    }

    #[test]
    fn ready_pods_are_those_of_the_owner_that_are_ready() {
        let (mut store, mut pods) = (Store::default(), pods(4));
        pods[0].ready = false;
        pods[1].deletion = Some(drop_core::pod::Deletion {
            at: pods[1].created,
            grace_seconds: 1,
        });
        pods.iter().for_each(|pod| store.put(pod.clone()));
        let owner = &pods[0].controller.as_ref().unwrap().uid;
        let ready = pods.iter().skip(2).map(|pod| pod.uid.clone()).collect();
        assert_eq!(store.ready_of(owner), ready);
        assert_eq!(store.ready_of("another"), BTreeSet::new());
    }

    #[test]
    fn a_node_is_known_as_long_as_a_pod_runs_on_it() {
        let (mut store, pods) = (Store::default(), pods(2));
        let node = pods[0].node.clone().unwrap();
        store.put(Pod {
            uid: "claims-it".parse().unwrap(),
            containers: Vec::new(),
            ..pods[0].clone()
        });
        assert!(!store.has_node(&node));
        for pod in pods.iter().chain(&pods) {
            store.put(pod.clone());
        }
        store.remove(&pods[0].uid);
        assert!(store.has_node(&node), "the other is still there");
        store.remove(&pods[1].uid);
        assert!(!store.has_node(&node));
    }

    #[test]
    fn a_list_takes_away_what_it_has_not_and_no_change_brought() {
        let (mut store, pods) = (Store::default(), pods(4));
        pods.iter().take(3).for_each(|pod| store.put(pod.clone()));
        store.begin_list();
        store.put(pods[0].clone());
        store.put(pods[3].clone());
        assert_eq!((store.len(), store.end_list().len(), store.len()), (4, 2, 2));
        assert_eq!(store.find(&By::Uid(pods[1].uid.clone())), []);
        assert_eq!(
            store.find(&By::Uid(pods[3].uid.clone())),
            [(pods[3].clone(), true)]
        );
    }

    #[test]
    fn of_a_pod_that_is_too_large_what_it_is_found_by_is_kept() {
        let (mut store, pod) = (Store::default(), pods(1).remove(0));
        let mut large = pod.clone();
        large.labels.insert("note".into(), "x".repeat(LARGEST));
        store.put(large);
        let stub = Pod {
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            ..pod.clone()
        };
        for by in marks_of(&pod) {
            assert_eq!(store.find(&by), [(stub.clone(), false)], "{by:?}");
        }
        assert!(store.pods.values().all(|entry| entry.packed.len() <= LARGEST));
        assert!(store.remove(&pod.uid));
        assert_eq!((store.len(), store.marks.len()), (0, 0));
    }
}
