//! What others do to the cluster.

use drop_core::memory::Kind;
use drop_core::pod::Pod;
use proptest::sample::Index;

use super::Run;
use crate::places::{WORKLOADS, name, namespace};

impl Run {
    /// What others do to a pod may be refused: that too is something that happens.
    pub(super) fn with_pod(&mut self, which: Index, act: impl FnOnce(&mut Self, &Pod)) {
        let pods = self.cluster.pods();
        if !pods.is_empty() {
            act(self, which.get(&pods));
        }
    }

    pub(super) fn restart(&mut self, pod: &Pod) {
        let container = pod.containers.first().map(|container| container.name.clone());
        let id = self
            .cluster
            .restart_container(&pod.uid, &container.unwrap_or_default());
        self.started.extend(id.ok().map(|id| (pod.uid.clone(), id)));
    }

    pub(super) fn scale(&self, which: Index, replicas: u32) {
        let (space, kind, what, _) = which.get(&WORKLOADS);
        let kind = match *kind {
            "StatefulSet" => Kind::StatefulSet,
            "DaemonSet" => Kind::DaemonSet,
            _ => Kind::Deployment,
        };
        self.cluster.scale(kind, &namespace(space), &name(what), replicas);
    }
}
