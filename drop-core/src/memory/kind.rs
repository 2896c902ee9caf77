//! The kinds of workloads, and how their pods stop.

use std::fmt;
use std::time::Duration;

/// What keeps the pods of a workload running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Nothing: a pod by itself, which stays gone.
    Pod,
    /// A Deployment over a ReplicaSet: a terminating pod is replaced at once, under another name.
    Deployment,
    /// A ReplicaSet by itself.
    ReplicaSet,
    /// A StatefulSet: a pod is replaced under the same name, once the old one is gone.
    StatefulSet,
    /// A DaemonSet: one pod for each node, replaced once the old one is gone.
    DaemonSet,
    /// A Job: as many pods as must still succeed.
    Job,
    /// A CronJob that has started one Job.
    CronJob,
    /// A static pod, which the kubelet runs and only shows to the API server: a deletion makes it show the same
    /// containers under a new UID.
    StaticPod,
}

impl Kind {
    /// `apiVersion` of such an object.
    pub(super) fn api_version(self) -> &'static str {
        match self {
            Self::Pod | Self::StaticPod => "v1",
            Self::Deployment | Self::ReplicaSet | Self::StatefulSet | Self::DaemonSet => "apps/v1",
            Self::Job | Self::CronJob => "batch/v1",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// How a pod's containers stop once their pod is being deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// This long after SIGTERM, or at the end of the grace period if that is sooner.
    After(Duration),
    /// Never on SIGTERM: the whole grace period passes.
    IgnoresSigterm,
}
