//! The pod as the engine sees it: what identifies it, and what conditions and guards read of it.

use std::collections::BTreeMap;
use std::fmt;

use falco_event::{ContainerId, Namespace, NodeName, PodName, PodUid, Timestamp};
use serde::{Deserialize, Serialize};

/// One live pod, as one read of the cluster showed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pod {
    /// `metadata.namespace`.
    pub namespace: Namespace,
    /// `metadata.name`; a later pod can have it again.
    pub name: PodName,
    /// `metadata.uid`; no other pod ever has it.
    pub uid: PodUid,
    /// `metadata.creationTimestamp`: whole seconds, so the pod may be up to a second younger.
    pub created: Timestamp,
    /// `metadata.deletionTimestamp` and its grace: the pod is terminating.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<Deletion>,
    /// `status.phase`.
    pub phase: Phase,
    /// The condition `Ready` of its status holds.
    #[serde(default)]
    pub ready: bool,
    /// `spec.nodeName`: none before the pod is scheduled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeName>,
    /// Every container instance that the status names: init, main, ephemeral, and the previous instance of each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<Container>,
    /// `metadata.labels`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The controller in `metadata.ownerReferences`: a ReplicaSet, not yet the Deployment above it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller: Option<Owner>,
    /// `spec.serviceAccountName`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<String>,
    /// `spec.priorityClassName`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_class: Option<String>,
    /// Annotated `kubernetes.io/config.mirror`: the kubelet's picture of a static pod, whose containers go on when it is deleted.
    #[serde(default)]
    pub mirror: bool,
}

/// `status.phase` of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// Accepted, not all containers started.
    Pending,
    /// At least one container runs.
    Running,
    /// All containers ended well.
    Succeeded,
    /// All containers ended, one of them badly.
    Failed,
    /// The node does not answer, or the API server named a phase that is not known here.
    Unknown,
}

/// As `status.phase` has it.
impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Unknown => "Unknown",
        })
    }
}

impl Phase {
    /// Nothing runs in the pod any more.
    #[must_use]
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// A pod's deletion under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deletion {
    /// `metadata.deletionTimestamp`: when the grace ends, not when the deletion was asked for.
    pub at: Timestamp,
    /// `metadata.deletionGracePeriodSeconds`.
    pub grace_seconds: u32,
}

/// One instance of a container that the pod's status names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// The name in the pod's specification.
    pub name: String,
    /// The runtime's id, 64 hexadecimal digits.
    pub id: ContainerId,
    /// When this instance ended; none while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
}

/// The controller that owns an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// `apps/v1`: a kind of another group is another kind, whatever its name.
    #[serde(default)]
    pub api_version: String,
    /// `ReplicaSet`, `StatefulSet`, `Deployment`…
    pub kind: String,
    /// Its name, in the namespace of what it owns.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

impl Owner {
    /// The API group of its kind; empty for the core group.
    #[must_use]
    pub fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }
}
