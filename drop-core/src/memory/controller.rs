//! The controllers: each keeps as many pods as its workload wants, by the rules of its kind.

use std::sync::Arc;

use falco_event::{ContainerId, Namespace, NodeName, PodName, PodUid};

use super::history::{Actor, Happened};
use super::ids::{Ids, generated, joined};
use super::keeping::ordinal;
use super::kind::Kind;
use super::pods::Object;
use super::workload::{Template, Workload};
use super::world::{Made, World};
use super::{Labels, selects};
use crate::pod::{Owner, Phase, Pod};

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
    pub(super) base: PodName,
    pub(super) template: Arc<Template>,
    first_pod: Option<PodName>,
    pub(super) first_container: Option<ContainerId>,
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

    /// Whether a change to this pod can mean something to it: its own, one that it selects, or one that may have a name
    /// that it waits for.
    pub(super) fn is_concerned_by(&self, pod: &Pod) -> bool {
        let own = pod
            .controller
            .as_ref()
            .is_some_and(|owner| owner.uid == self.owner_uid());
        let waits_for_names = matches!(self.kind, Kind::StatefulSet | Kind::StaticPod);
        own || waits_for_names || selects(&self.selector, &pod.labels)
    }

    pub(super) fn owner_uid(&self) -> &str {
        self.owners.first().map_or("", |owner| owner.uid.as_str())
    }
}

/// The name that pods are named after, and the controllers from their own up to the top.
fn owners(workload: &Workload, ids: &mut Ids) -> (PodName, Vec<Owner>) {
    let (kind, name) = (workload.kind, workload.name.clone());
    let owner = |kind: Kind, name: &PodName, ids: &mut Ids| Owner {
        api_version: kind.api_version().to_owned(),
        kind: kind.to_string(),
        name: name.to_string(),
        uid: ids.uid(),
    };
    let top = owner(kind, &name, ids);
    match kind {
        Kind::Deployment => {
            let set = replica_set(workload, ids);
            let below = owner(Kind::ReplicaSet, &set, ids);
            (set, vec![below, top])
        }
        Kind::CronJob => {
            // A CronJob names its Job after the minute it was due.
            let job = joined(&name, "29400000");
            let below = owner(Kind::Job, &job, ids);
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
            self.wake(uid);
        }
    }

    pub(super) fn give_up(&mut self, uid: &PodUid) {
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
    pub(super) fn next_name(&mut self, key: &Key) -> PodName {
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

    pub(super) fn make(&mut self, key: &Key, name: PodName, node: Option<NodeName>) {
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

    pub(super) fn owned(&self, key: &Key, workload: &Controlled) -> impl Iterator<Item = &Object> {
        let pods = self.pods.of_namespace(&key.namespace);
        pods.filter(|object| object.is_owned_by(workload.owner_uid()))
    }

    pub(super) fn count(&self, key: &Key, workload: &Controlled, which: impl Fn(&Object) -> bool) -> u32 {
        let owned = self.owned(key, workload);
        u32::try_from(owned.filter(|object| which(object)).count()).unwrap_or(u32::MAX)
    }

    pub(super) fn uids(&self, key: &Key, which: impl Fn(&Object) -> bool) -> Vec<PodUid> {
        let pods = self
            .pods
            .of_namespace(&key.namespace)
            .filter(|object| which(object));
        pods.map(|object| object.shown.pod.uid.clone()).collect()
    }
}
