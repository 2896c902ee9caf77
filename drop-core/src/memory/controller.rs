//! The controllers: each keeps as many pods as its workload wants, by the rules of its kind.

use std::collections::BTreeMap;
use std::sync::Arc;

use falco_event::{ContainerId, Namespace, NodeName, PodName, PodUid};

use super::history::{Actor, Happened};
use super::ids::{Ids, generated, joined};
use super::pods::Object;
use super::workload::{Kind, Template, Workload};
use super::world::{Made, World};
use super::{Labels, selects};
use crate::pod::{Owner, Phase};

/// Which workload.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) namespace: Namespace,
    pub(super) kind: Kind,
    pub(super) name: PodName,
}

/// A workload and the controllers made for it.
#[derive(Debug, Clone)]
pub(super) struct Controlled {
    kind: Kind,
    pub(super) replicas: u32,
    /// From the one that owns the pods up to the top.
    pub(super) owners: Vec<Owner>,
    /// What it selects by: its labels, and the template hash of a ReplicaSet.
    pub(super) selector: Labels,
    /// What its pods are named after.
    base: PodName,
    template: Arc<Template>,
    first_pod: Option<PodName>,
    first_container: Option<ContainerId>,
}

impl Controlled {
    pub(super) fn new(workload: &Workload, ids: &mut Ids) -> Self {
        let (base, owners) = owners(workload, ids);
        let mut selector = workload.labels.clone();
        if let (Kind::Deployment, Some((_, hash))) = (workload.kind, base.as_str().rsplit_once('-')) {
            selector.insert("pod-template-hash".to_owned(), hash.to_owned());
        }
        Self {
            kind: workload.kind,
            replicas: workload.replicas,
            owners,
            selector,
            base,
            template: Arc::new(workload.template.clone()),
            first_pod: workload.first_pod.clone(),
            first_container: workload.first_container.clone(),
        }
    }

    /// How many pods it wants: a DaemonSet one for each node.
    pub(super) fn desired(&self, nodes: usize) -> u32 {
        if self.kind == Kind::DaemonSet {
            u32::try_from(nodes).unwrap_or(u32::MAX)
        } else {
            self.replicas
        }
    }

    fn owner_uid(&self) -> &str {
        self.owners.first().map_or("", |owner| owner.uid.as_str())
    }
}

/// The name that pods are named after, and the controllers from their own up to the top.
fn owners(workload: &Workload, ids: &mut Ids) -> (PodName, Vec<Owner>) {
    let (kind, name) = (workload.kind, workload.name.clone());
    let mut owner = |kind: &str, name: &PodName| Owner {
        kind: kind.to_owned(),
        name: name.to_string(),
        uid: ids.uid(),
    };
    let top = owner(&kind.to_string(), &name);
    match kind {
        Kind::Deployment => {
            let set = replica_set(workload, ids);
            let below = Owner {
                kind: "ReplicaSet".to_owned(),
                name: set.to_string(),
                uid: ids.uid(),
            };
            (set, vec![below, top])
        }
        Kind::CronJob => {
            // A CronJob names its Job after the minute it was due.
            let job = joined(&name, "29400000");
            let below = owner("Job", &job);
            (job, vec![below, top])
        }
        Kind::Pod | Kind::StaticPod => (name, Vec::new()),
        Kind::ReplicaSet | Kind::StatefulSet | Kind::DaemonSet | Kind::Job => (name, vec![top]),
    }
}

/// A ReplicaSet's name: from the first pod's where that was given, else made up.
fn replica_set(workload: &Workload, ids: &mut Ids) -> PodName {
    let first = workload
        .first_pod
        .as_ref()
        .and_then(|pod| pod.as_str().rsplit_once('-'));
    let given = first.and_then(|(set, _)| PodName::try_from(set).ok());
    given.unwrap_or_else(|| joined(&workload.name, &ids.template_hash()))
}

impl World {
    /// A controller looks at its pods and does what is missing.
    pub(super) fn reconcile(&mut self, key: &Key) {
        let Some(workload) = self.workloads.get(key).cloned() else {
            return;
        };
        self.release(key, &workload);
        self.adopt(key, &workload);
        match key.kind {
            Kind::Deployment | Kind::ReplicaSet => self.keep_replicas(key, &workload, workload.replicas),
            Kind::Job | Kind::CronJob => {
                let succeeded = self.count(key, &workload, |object| {
                    object.shown.pod.phase == Phase::Succeeded
                });
                self.keep_replicas(key, &workload, workload.replicas.saturating_sub(succeeded));
            }
            Kind::StatefulSet => self.keep_ordinals(key, &workload),
            Kind::DaemonSet => self.keep_daemons(key, &workload),
            Kind::StaticPod => self.keep_mirror(key, &workload),
            Kind::Pod => {}
        }
    }

    /// Lets go of the pods that it does not select any more.
    fn release(&mut self, key: &Key, workload: &Controlled) {
        let lost = |object: &Object| {
            object.is_owned_by(workload.owner_uid()) && !selects(&workload.selector, &object.shown.pod.labels)
        };
        for uid in self.uids(key, lost) {
            self.set_controller(&uid, None, Happened::Released);
        }
    }

    /// Takes over pods that it selects and that nothing owns.
    fn adopt(&mut self, key: &Key, workload: &Controlled) {
        let Some(owner) = workload.owners.first() else {
            return;
        };
        let orphan = |object: &Object| {
            object.shown.pod.controller.is_none()
                && object.is_active()
                && selects(&workload.selector, &object.shown.pod.labels)
                && (key.kind != Kind::StatefulSet
                    || ordinal(&workload.base, &object.shown.pod.name).is_some())
        };
        for uid in self.uids(key, orphan) {
            self.set_controller(&uid, Some(owner.clone()), Happened::Adopted);
        }
    }

    fn set_controller(&mut self, uid: &PodUid, owner: Option<Owner>, what: Happened) {
        if let Some(object) = self.pods.by_uid_mut(uid) {
            object.shown.pod.controller = owner;
            let target = object.target();
            self.note(Actor::Controller, target, what);
        }
    }

    /// A ReplicaSet or a Job: as many active pods as it wants; a terminating one does not count.
    fn keep_replicas(&mut self, key: &Key, workload: &Controlled, wanted: u32) {
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
        active.sort_by_key(|object| (object.shown.ready, std::cmp::Reverse(object.shown.pod.created)));
        active
            .into_iter()
            .map(|object| object.shown.pod.uid.clone())
            .collect()
    }

    /// A StatefulSet: one pod for each ordinal, in order, each only once the one before it is ready and the last one of
    /// its name is gone.
    fn keep_ordinals(&mut self, key: &Key, workload: &Controlled) {
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
    fn keep_daemons(&mut self, key: &Key, workload: &Controlled) {
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
            .filter(|node| !on.contains_key(node))
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
    fn keep_mirror(&mut self, key: &Key, workload: &Controlled) {
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

    fn give_up(&mut self, uid: &PodUid) {
        let Some(target) = self.pods.by_uid(uid).map(Object::target) else {
            return;
        };
        // The pod is there with this UID, so nothing can refuse it.
        let _ = self.delete(
            Actor::Controller,
            &target.namespace,
            &target.name,
            Some(uid),
            None,
        );
    }

    /// The name asked for, the first time; then the base with five random characters that no pod has.
    fn next_name(&mut self, key: &Key) -> PodName {
        let Some(workload) = self.workloads.get_mut(key) else {
            return key.name.clone();
        };
        let (base, mut name) = (workload.base.clone(), workload.first_pod.take());
        loop {
            match name.take() {
                Some(name) if !self.pods.is_taken(&key.namespace, &name) => return name,
                Some(_) | None => name = Some(generated(&base, &self.ids.suffix())),
            }
        }
    }

    fn make(&mut self, key: &Key, name: PodName, node: Option<NodeName>) {
        let Some(workload) = self.workloads.get_mut(key) else {
            return;
        };
        let container = if key.kind == Kind::StaticPod {
            workload.first_container.clone()
        } else {
            workload.first_container.take()
        };
        let made = Made {
            namespace: key.namespace.clone(),
            name,
            labels: workload.selector.clone(),
            controller: workload.owners.first().cloned(),
            node,
            template: Arc::clone(&workload.template),
            container,
        };
        self.create(made);
    }

    fn owned(&self, key: &Key, workload: &Controlled) -> impl Iterator<Item = &Object> {
        let pods = self.pods.of_namespace(&key.namespace);
        pods.filter(|object| object.is_owned_by(workload.owner_uid()))
    }

    fn count(&self, key: &Key, workload: &Controlled, which: impl Fn(&Object) -> bool) -> u32 {
        let owned = self.owned(key, workload);
        u32::try_from(owned.filter(|object| which(object)).count()).unwrap_or(u32::MAX)
    }

    fn uids(&self, key: &Key, which: impl Fn(&Object) -> bool) -> Vec<PodUid> {
        let pods = self
            .pods
            .of_namespace(&key.namespace)
            .filter(|object| which(object));
        pods.map(|object| object.shown.pod.uid.clone()).collect()
    }
}

/// The ordinal of a StatefulSet's pod, if the name is one of its.
fn ordinal(base: &PodName, name: &PodName) -> Option<u32> {
    let (_, index) = name.as_str().rsplit_once('-')?;
    let index: u32 = index.parse().ok()?;
    (joined(base, &index.to_string()) == *name).then_some(index)
}
