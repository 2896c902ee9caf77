//! What the cluster says about a target, and what of it was asked for.

use std::collections::{BTreeMap, BTreeSet};

use falco_event::{NodeName, PodUid};
use serde::{Deserialize, Serialize};

use crate::pod::{Owner, Pod};

/// A fact that may not have been asked for, or could not be read.
///
/// *Unknown* is not *missing*: an object that does not exist is [`Known::Is`] of an empty value, while a fact that
/// could not be read stops everything destructive, and the alert may be tried again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Known<T> {
    /// Nothing wanted it.
    #[default]
    NotAsked,
    /// It could not be read, and why.
    Unknown(String),
    /// What the cluster said.
    Is(T),
}

impl<T> Known<T> {
    /// The value, where it was read.
    #[must_use]
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Is(value) => Some(value),
            Self::NotAsked | Self::Unknown(_) => None,
        }
    }

    /// Whether nothing asked for it.
    #[must_use]
    pub fn is_not_asked(&self) -> bool {
        matches!(self, Self::NotAsked)
    }
}

/// Which facts beyond the pod itself are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wants {
    /// The labels of the pod's namespace.
    pub namespace: bool,
    /// The owner at the top: the Deployment of a ReplicaSet, the CronJob of a Job.
    pub owner: bool,
    /// The desired replicas of that owner and the pods of it that are ready.
    pub siblings: bool,
    /// The disruption budgets that are about the pod. Only an eviction heeds them, and reading them is a request of
    /// its own, so a deletion alone does not ask for them.
    pub budgets: bool,
    /// Whether there is a node of this name, the host that the alert was raised on. It is worth no request: an
    /// implementation says what it has at hand, or that it cannot tell.
    pub host: Option<NodeName>,
}

impl Wants {
    /// What either wants.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self {
            namespace: self.namespace || other.namespace,
            owner: self.owner || other.owner,
            siblings: self.siblings || other.siblings,
            budgets: self.budgets || other.budgets,
            host: self.host.or(other.host),
        }
    }
}

/// The pod and every fact about it that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// The pod, as found.
    pub pod: Pod,
    /// Labels of its namespace.
    #[serde(default, skip_serializing_if = "Known::is_not_asked")]
    pub namespace: Known<BTreeMap<String, String>>,
    /// The owner at the top; `Is(None)` for a pod that nothing owns.
    #[serde(default, skip_serializing_if = "Known::is_not_asked")]
    pub owner: Known<Option<Owner>>,
    /// The pods that share the owner; `Is(None)` for a pod that nothing owns.
    #[serde(default, skip_serializing_if = "Known::is_not_asked")]
    pub siblings: Known<Option<Siblings>>,
    /// The disruption budgets that are about the pod, by name. A record says it too where nothing asked for them.
    #[serde(default)]
    pub budgets: Known<Vec<Budget>>,
    /// Whether the host that the alert was raised on has the name of a node.
    #[serde(default, skip_serializing_if = "Known::is_not_asked")]
    pub host_is_node: Known<bool>,
}

impl Facts {
    /// A pod about which nothing else was asked.
    #[must_use]
    pub fn of(pod: Pod) -> Self {
        Self {
            pod,
            namespace: Known::NotAsked,
            owner: Known::NotAsked,
            siblings: Known::NotAsked,
            budgets: Known::NotAsked,
            host_is_node: Known::NotAsked,
        }
    }
}

/// How available the owner of a pod is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Siblings {
    /// `spec.replicas` of the owner; of a DaemonSet, its desired number.
    pub desired: u32,
    /// The UIDs of its pods that are ready, this one among them if it is.
    pub ready: BTreeSet<PodUid>,
}

/// A PodDisruptionBudget that is about the pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Budget {
    /// Its name.
    pub name: String,
    /// `status.disruptionsAllowed`: how many more of its pods may be evicted now.
    pub disruptions_allowed: u32,
    /// A pod that is not ready may be evicted all the same: the budget has as many healthy pods as it wants, or its
    /// `unhealthyPodEvictionPolicy` is `AlwaysAllow`.
    pub spares_ready_only: bool,
}
