//! The pods of a cluster: each as the API server shows it, with what its node knows beyond that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use falco_event::{Namespace, PodName, PodUid, Timestamp};

use super::workload::Template;
use crate::pod::{Container, Phase, Pod};
use crate::ports::{ApiError, Target};

/// A pod with what [`Pod`] leaves out, for tests and for whoever serves a cluster in memory over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PodObject {
    /// What the engine reads of it.
    pub pod: Pod,
    /// `metadata.finalizers`.
    pub finalizers: BTreeSet<String>,
    /// The revision of its last change, like `metadata.resourceVersion`.
    pub revision: u64,
    /// `spec.terminationGracePeriodSeconds`.
    pub grace_seconds: u32,
}

/// A pod in the cluster.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) shown: PodObject,
    pub(super) template: Arc<Template>,
    /// What runs on the node; the status shows it a while later.
    pub(super) truth: Status,
    /// When its containers will have stopped.
    pub(super) stops_at: Option<Timestamp>,
}

/// What the kubelet knows of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) phase: Phase,
    pub(super) ready: bool,
    pub(super) stopped: bool,
    pub(super) containers: Vec<Container>,
}

impl Object {
    /// Neither finished nor being deleted: what a controller counts.
    pub(super) fn is_active(&self) -> bool {
        self.shown.pod.deletion.is_none() && !self.shown.pod.phase.is_finished()
    }

    /// Able to serve, as far as its status tells. A terminating pod is not, whatever its status still says.
    pub(super) fn is_available(&self) -> bool {
        self.shown.pod.ready && self.shown.pod.deletion.is_none()
    }

    pub(super) fn is_owned_by(&self, uid: &str) -> bool {
        self.shown
            .pod
            .controller
            .as_ref()
            .is_some_and(|owner| owner.uid == uid)
    }

    pub(super) fn target(&self) -> Target {
        Target::of(&self.shown.pod)
    }

    /// The precondition of a request.
    pub(super) fn check_uid(&self, wanted: Option<&PodUid>) -> Result<(), ApiError> {
        match wanted {
            Some(wanted) if *wanted != self.shown.pod.uid => Err(ApiError::Conflict(format!(
                "the pod has UID `{}`, not `{wanted}`",
                self.shown.pod.uid
            ))),
            Some(_) | None => Ok(()),
        }
    }
}

/// Pods by namespace and name, and by UID.
#[derive(Debug, Clone, Default)]
pub(super) struct Pods {
    named: BTreeMap<Namespace, BTreeMap<PodName, Object>>,
    by_uid: BTreeMap<PodUid, (Namespace, PodName)>,
}

impl Pods {
    pub(super) fn get(&self, namespace: &Namespace, name: &PodName) -> Option<&Object> {
        self.named.get(namespace)?.get(name)
    }

    pub(super) fn get_mut(&mut self, namespace: &Namespace, name: &PodName) -> Option<&mut Object> {
        self.named.get_mut(namespace)?.get_mut(name)
    }

    pub(super) fn by_uid(&self, uid: &PodUid) -> Option<&Object> {
        let (namespace, name) = self.by_uid.get(uid)?;
        self.get(namespace, name)
    }

    pub(super) fn by_uid_mut(&mut self, uid: &PodUid) -> Option<&mut Object> {
        let (namespace, name) = self.by_uid.get(uid)?;
        self.named.get_mut(namespace)?.get_mut(name)
    }

    pub(super) fn is_taken(&self, namespace: &Namespace, name: &PodName) -> bool {
        self.get(namespace, name).is_some()
    }

    pub(super) fn insert(&mut self, object: Object) {
        let pod = &object.shown.pod;
        let (namespace, name) = (pod.namespace.clone(), pod.name.clone());
        self.by_uid
            .insert(pod.uid.clone(), (namespace.clone(), name.clone()));
        self.named.entry(namespace).or_default().insert(name, object);
    }

    pub(super) fn remove(&mut self, uid: &PodUid) -> Option<Object> {
        let (namespace, name) = self.by_uid.remove(uid)?;
        self.named.get_mut(&namespace)?.remove(&name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Object> {
        self.named.values().flat_map(BTreeMap::values)
    }

    pub(super) fn of_namespace(&self, namespace: &Namespace) -> impl Iterator<Item = &Object> {
        self.named.get(namespace).into_iter().flat_map(BTreeMap::values)
    }
}
