//! How each kind of controller keeps as many pods as it wants.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use falco_event::{NodeName, PodName, PodUid};

use super::controller::{Controlled, Key};
use super::ids::joined;
use super::pods::Object;
use super::world::World;

impl World {
    /// A ReplicaSet or a Job: as many active pods as it wants; a terminating one does not count.
    pub(super) fn keep_replicas(&mut self, key: &Key, workload: &Controlled, wanted: u32) {
        let active = self.count(key, workload, Object::is_active);
        for _ in active..wanted {
            let name = self.next_name(key);
            self.make(key, name, None);
        }
        if active > wanted {
            let surplus = usize::try_from(active - wanted).unwrap_or(usize::MAX);
            for uid in self.expendable(key, workload).into_iter().take(surplus) {
                self.give_up(&uid);
            }
        }
    }

    /// The order in which a ReplicaSet gives up pods: those that are not ready first, then the youngest.
    fn expendable(&self, key: &Key, workload: &Controlled) -> Vec<PodUid> {
        let owned = self.owned(key, workload);
        let mut active: Vec<&Object> = owned.filter(|object| object.is_active()).collect();
        active.sort_by_key(|object| (object.shown.pod.ready, Reverse(object.shown.pod.created)));
        active
            .into_iter()
            .map(|object| object.shown.pod.uid.clone())
            .collect()
    }

    /// A StatefulSet: one pod for each ordinal, in order, each only once the one before it is ready and the last one of
    /// its name is gone.
    pub(super) fn keep_ordinals(&mut self, key: &Key, workload: &Controlled) {
        for index in 0..workload.replicas {
            let name = joined(&workload.base, &index.to_string());
            match self.pods.get(&key.namespace, &name) {
                None => {
                    self.make(key, name, None);
                    return;
                }
                Some(object) if object.shown.pod.phase.is_finished() => {
                    let uid = object.shown.pod.uid.clone();
                    self.give_up(&uid);
                    return;
                }
                Some(object) if !object.is_available() => return,
                Some(_) => {}
            }
        }
        let beyond = |object: &Object| {
            object.is_owned_by(workload.owner_uid())
                && ordinal(&workload.base, &object.shown.pod.name)
                    .is_some_and(|index| index >= workload.replicas)
        };
        for uid in self.uids(key, beyond) {
            self.give_up(&uid);
        }
    }

    /// A DaemonSet: one pod for each node; a terminating one still has the node, and of several the oldest stays.
    pub(super) fn keep_daemons(&mut self, key: &Key, workload: &Controlled) {
        let mut on: BTreeMap<NodeName, Vec<&Object>> = BTreeMap::new();
        for object in self
            .owned(key, workload)
            .filter(|object| !object.shown.pod.phase.is_finished())
        {
            if let Some(node) = &object.shown.pod.node {
                on.entry(node.clone()).or_default().push(object);
            }
        }
        let extra = on.values_mut().flat_map(|pods| {
            pods.sort_by_key(|object| object.shown.pod.created);
            pods.iter().filter(|object| object.is_active()).skip(1)
        });
        let extra: Vec<PodUid> = extra.map(|object| object.shown.pod.uid.clone()).collect();
        let bare: Vec<NodeName> = self
            .nodes
            .iter()
            .filter(|node| !on.contains_key(*node))
            .cloned()
            .collect();
        for uid in extra {
            self.give_up(&uid);
        }
        for node in bare {
            let name = self.next_name(key);
            self.make(key, name, Some(node));
        }
    }

    /// A static pod: the kubelet shows its containers again, under a new UID.
    pub(super) fn keep_mirror(&mut self, key: &Key, workload: &Controlled) {
        let node = workload
            .template
            .node
            .clone()
            .or_else(|| self.nodes.first().cloned());
        let Some(node) = node else { return };
        let name = joined(&workload.base, node.as_str());
        if !self.pods.is_taken(&key.namespace, &name) {
            let id = workload
                .first_container
                .clone()
                .unwrap_or_else(|| self.ids.container());
            if let Some(workload) = self.workloads.get_mut(key) {
                workload.first_container = Some(id);
            }
            self.make(key, name, Some(node));
        }
    }
}

/// The ordinal of a StatefulSet's pod, if the name is one of its.
pub(super) fn ordinal(base: &PodName, name: &PodName) -> Option<u32> {
    let (_, index) = name.as_str().rsplit_once('-')?;
    let index: u32 = index.parse().ok()?;
    (joined(base, &index.to_string()) == *name).then_some(index)
}
