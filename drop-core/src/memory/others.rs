//! What happens to pods that is not the engine's doing, and the faults that a test puts in the engine's way.

use std::collections::BTreeMap;

use falco_event::{ContainerId, Namespace, PodName, PodUid};

use super::cluster::Cluster;
use super::faults::{Call, Fault};
use super::history::Actor;
use crate::pod::Phase;
use crate::ports::ApiError;

/// What others do to pods: the kubelet, and people with access to the API server.
impl Cluster {
    /// DELETE, by someone else. Without a UID it takes whichever pod has the name, without a grace period the pod's own.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] and, if the pod has another UID, [`ApiError::Conflict`].
    pub fn delete(
        &self,
        namespace: &Namespace,
        name: &PodName,
        uid: Option<&PodUid>,
        grace_seconds: Option<u32>,
    ) -> Result<(), ApiError> {
        self.act(|world| world.delete(Actor::Person, namespace, name, uid, grace_seconds))
    }

    /// The eviction subresource, by someone else.
    ///
    /// # Errors
    /// As [`delete`](Self::delete), and [`ApiError::Budget`]. A budget is used up even if the UID is then refused.
    pub fn evict(
        &self,
        namespace: &Namespace,
        name: &PodName,
        uid: Option<&PodUid>,
        grace_seconds: Option<u32>,
    ) -> Result<(), ApiError> {
        self.act(|world| world.evict(Actor::Person, namespace, name, uid, grace_seconds))
    }

    /// Changes labels, by someone else; none removes one.
    ///
    /// # Errors
    /// As [`delete`](Self::delete), and [`ApiError::Invalid`] for what cannot be a label.
    pub fn label(
        &self,
        namespace: &Namespace,
        name: &PodName,
        uid: Option<&PodUid>,
        edits: &BTreeMap<String, Option<String>>,
    ) -> Result<(), ApiError> {
        self.act(|world| world.label(Actor::Person, namespace, name, uid, edits))
    }

    /// Changes annotations, by someone else; none removes one.
    ///
    /// # Errors
    /// As [`label`](Self::label).
    pub fn annotate(
        &self,
        namespace: &Namespace,
        name: &PodName,
        uid: Option<&PodUid>,
        edits: &BTreeMap<String, Option<String>>,
    ) -> Result<(), ApiError> {
        self.act(|world| world.annotate(Actor::Person, namespace, name, uid, edits))
    }

    /// A container ends and runs again under a new id, which is returned; the status keeps the instance before it.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if no such container runs.
    pub fn restart_container(&self, uid: &PodUid, container: &str) -> Result<ContainerId, ApiError> {
        self.act(|world| world.restart(uid, container))
    }

    /// The containers of a pod end by themselves, for good: `Succeeded` or `Failed`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if the pod is not there.
    pub fn finish(&self, uid: &PodUid, phase: Phase) -> Result<(), ApiError> {
        self.act(|world| world.finish(uid, phase))
    }

    /// The readiness probe of a running pod says this from now on.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if the pod is not there or does not run.
    pub fn set_ready(&self, uid: &PodUid, ready: bool) -> Result<(), ApiError> {
        self.act(|world| world.probe(uid, ready))
    }

    /// Takes a pod's finalizers away, so that it can go.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if the pod is not there.
    pub fn remove_finalizers(&self, uid: &PodUid) -> Result<(), ApiError> {
        self.act(|world| world.unfinalize(uid))
    }
}

/// Faults between a caller of [`PodApi`](crate::ports::PodApi) and the cluster. What is done to the cluster by its own
/// functions never fails by them.
impl Cluster {
    /// The next such call goes wrong; several are used up in order.
    pub fn fail_next(&self, call: Call, fault: Fault) {
        self.lock().faults.push(call, fault);
    }

    /// Every such call goes wrong until [`heal`](Self::heal).
    pub fn fail(&self, call: Call, fault: Fault) {
        self.lock().faults.last(call, fault);
    }

    /// Nothing goes wrong any more. Changes that are still on their way arrive all the same.
    pub fn heal(&self) {
        self.lock().faults.clear();
    }
}
