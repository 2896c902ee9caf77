//! What happened to the pods of a cluster, for tests to assert.

use falco_event::{ContainerId, Timestamp};

use crate::pod::Phase;
use crate::ports::Target;

/// Who changed a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Actor {
    /// A caller of [`PodApi`](crate::ports::PodApi): the engine.
    PodApi,
    /// Someone else with access to the API server.
    Person,
    /// The controller of a workload.
    Controller,
    /// The kubelet of the pod's node.
    Kubelet,
}

/// One change to one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When, on the cluster's own clock.
    pub at: Timestamp,
    /// The cluster's revision after it: strictly rising, like `resourceVersion`.
    pub revision: u64,
    /// Who made it.
    pub by: Actor,
    /// The pod.
    pub pod: Target,
    /// What changed.
    pub what: Happened,
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Happened {
    /// The pod is there.
    Created,
    /// Its status says something new.
    Reported(Phase),
    /// One of its containers runs again, under this id.
    Restarted(ContainerId),
    /// It got a deletion timestamp.
    DeletionRequested {
        /// The grace period, in seconds.
        grace_seconds: u32,
    },
    /// Its grace period became shorter.
    DeletionShortened {
        /// The grace period now, in seconds.
        grace_seconds: u32,
    },
    /// An eviction was counted against its disruption budget, whether or not the deletion that followed was refused.
    Disrupted {
        /// The budget's name.
        budget: String,
    },
    /// Its labels changed.
    Labelled,
    /// Its annotations changed.
    Annotated,
    /// It has no finalizer any more.
    Unfinalized,
    /// Its controller does not select it any more, and let it go.
    Released,
    /// A controller that selects it took it over.
    Adopted,
    /// It is not there any more.
    Removed,
}
