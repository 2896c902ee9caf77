//! What the engine needs of the world: four ports, implemented elsewhere.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use falco_event::{AlertId, ContainerId, Namespace, NodeName, PodName, PodUid, Timestamp};
use serde::{Deserialize, Serialize};

use crate::facts::{Facts, Wants};
use crate::past::Past;
use crate::pod::Pod;
use crate::record::Record;

/// The cluster's pods, as far as the engine needs them.
///
/// Implementations: [`crate::memory::Cluster`] in memory, `drop_kube::KubePods` over an API server. Each passes the
/// conformance suite of `drop_core::testing`.
#[async_trait]
pub trait PodApi: Send + Sync {
    /// The pods that bear this mark now, and which way they were found; none is an empty list, not an error.
    ///
    /// By name there is at most one, by UID too. A terminating pod is found; one that is gone is not.
    ///
    /// # Errors
    /// What kept the cluster from saying. [`ApiError::NotFound`] is never returned.
    async fn find(&self, by: &By) -> Result<Found, ApiError>;

    /// As [`find`](Self::find), for a caller that knows other marks of the pod too. A pod that is kept at hand and bears one
    /// of them is returned without a second look. Marks that no pod bears are ignored.
    ///
    /// Unless it is implemented `others` change nothing.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    async fn find_with(&self, by: &By, others: &[By]) -> Result<Found, ApiError> {
        let _ = others;
        self.find(by).await
    }

    /// The facts beyond the pod itself that are wanted. What could not be read is
    /// [`Known::Unknown`](crate::facts::Known::Unknown) with the reason; what was not wanted stays
    /// [`Known::NotAsked`](crate::facts::Known::NotAsked).
    async fn facts(&self, pod: Pod, wants: Wants) -> Facts;

    /// Makes one change to exactly this pod, by UID, and returns when the API server has taken it.
    ///
    /// It does not wait for the pod to go. Deleting a pod that is already terminating succeeds. No request leaves
    /// after `within` has passed, and the call returns soon after it.
    ///
    /// # Errors
    /// Why it failed, and whether the change may have been made all the same (a time-out after the request was sent).
    async fn apply(&self, target: &Target, change: &Change, within: Duration) -> Result<(), ApplyError>;

    /// Whether the pod with this UID is still there: a question, not a wait.
    ///
    /// # Errors
    /// What kept the cluster from saying.
    async fn presence(&self, target: &Target) -> Result<Presence, ApiError>;
}

/// A mark by which a pod is found.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum By {
    /// By the id of one of its containers.
    Container {
        /// Of an instance that runs or has ended; whole, or its first 12 digits.
        id: ContainerId,
        /// The node that the alert names: where to look first. It may be no node's name, or the wrong one's, and the
        /// pod is found all the same.
        on: Option<NodeName>,
    },
    /// By UID.
    Uid(PodUid),
    /// By namespace and name, which a later pod may have taken over.
    Name(Namespace, PodName),
}

impl By {
    /// By a container, wherever it runs.
    #[must_use]
    pub fn container(id: ContainerId) -> Self {
        Self::Container { id, on: None }
    }
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The pods that bear the mark.
    pub pods: Vec<Pod>,
    /// Which way.
    pub way: Way,
}

/// How pods were looked for: what it cost, and how old the answer can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Way {
    /// Among the pods that are kept at hand: no request, and a watch may be a moment behind.
    Index,
    /// One object was read.
    Read,
    /// The pods of one node were listed.
    NodeList,
    /// Pods were listed, all or those of some namespaces.
    List,
}

/// What an act is aimed at: one pod, pinned by UID.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Target {
    /// Its namespace.
    pub namespace: Namespace,
    /// Its name.
    pub name: PodName,
    /// Its UID: no other pod can be hit.
    pub uid: PodUid,
}

impl Target {
    /// A pod as target.
    #[must_use]
    pub fn new(namespace: Namespace, name: PodName, uid: PodUid) -> Self {
        Self { namespace, name, uid }
    }

    /// The pod that was found, as target.
    #[must_use]
    pub fn of(pod: &Pod) -> Self {
        Self::new(pod.namespace.clone(), pod.name.clone(), pod.uid.clone())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A change to a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Change {
    /// DELETE with this grace.
    #[serde(rename_all = "camelCase")]
    Delete {
        /// Seconds between SIGTERM and SIGKILL; 0 is a forced deletion.
        grace_period_seconds: u32,
    },
    /// The eviction subresource: refused while a PodDisruptionBudget has nothing left.
    #[serde(rename_all = "camelCase")]
    Evict {
        /// Seconds between SIGTERM and SIGKILL.
        grace_period_seconds: u32,
    },
    /// Set labels; none removes one.
    Label(BTreeMap<String, Option<String>>),
    /// Set annotations; none removes one.
    Annotate(BTreeMap<String, Option<String>>),
}

/// Whether a pod with a UID is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// There, and not being deleted.
    Alive,
    /// There, with a deletion timestamp.
    Terminating,
    /// Nothing by that name, or a pod with another UID.
    Gone,
}

/// Why the cluster did not do or say what was asked; each variant is something else for the caller to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum ApiError {
    /// The pod is not there (404).
    #[error("not found")]
    NotFound,
    /// The pod there has another UID, or changed meanwhile (409): read again.
    #[error("conflict: {0}")]
    Conflict(String),
    /// The API server can never take this request (400, 422).
    #[error("refused as invalid: {0}")]
    Invalid(String),
    /// A right is missing (401, 403): a person has to mend that.
    #[error("forbidden: {0}")]
    Forbidden(String),
    /// A PodDisruptionBudget has nothing left.
    #[error("refused by a disruption budget: {0}")]
    Budget(String),
    /// Too many requests (429): try later.
    #[error("too many requests: {0}")]
    TooManyRequests(String),
    /// No answer, or the API server is in trouble (5xx): try later.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// No answer in time.
    #[error("timed out: {0}")]
    TimedOut(String),
}

impl ApiError {
    /// Whether the same request may succeed later without a change to it.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NotFound | Self::Invalid(_) | Self::Budget(_) => false,
            Self::Conflict(_)
            | Self::Forbidden(_)
            | Self::TooManyRequests(_)
            | Self::Unavailable(_)
            | Self::TimedOut(_) => true,
        }
    }
}

/// A change that failed, or whose end is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct ApplyError {
    /// Why.
    pub why: ApiError,
    /// The request may have been carried out: it was sent, and no answer tells.
    pub maybe_happened: bool,
}

/// The engine's memory of what was done: one atomic step at a time.
///
/// [`LocalMemory`](crate::past::LocalMemory) keeps it in this process. [`Past`] has no written form yet, so a memory that
/// several processes share cannot be made of it.
#[async_trait]
pub trait Memory: Send + Sync {
    /// Runs `f` on the past, and keeps what it made of it, all or nothing. `f` may run again on a newer past
    /// (compare and swap): each run overwrites what it captures, and adds nothing to it. The time is the memory's own.
    ///
    /// # Errors
    /// [`Lost`] where the memory does not answer; the step may then have been kept all the same.
    async fn update(&self, f: &mut (dyn for<'p> FnMut(&'p mut Past, Mono) + Send)) -> Result<(), Lost>;

    /// Who shares this memory, in words: limits, disarming and handled alerts hold among them and no others.
    fn scope(&self) -> &str;

    /// Whether acts for this alert may be remembered. It is asked about each alert that no response matches, which are
    /// nearly all, so it must cost nothing: a memory that would have to ask somebody says no, as it does unless
    /// implemented. Then an alert whose earlier try may have acted is *ignored* once no response matches it any more;
    /// the second record of that act tells what became of the pod.
    fn may_remember(&self, alert: AlertId) -> bool {
        let _ = alert;
        false
    }
}

/// The memory did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the memory of past acts does not answer: {0}")]
pub struct Lost(pub String);

/// Where records go.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Hands over a record. The same second record may come twice: readers drop what has the same id, act and kind.
    async fn write(&self, record: &Record);
}

/// The time, from outside.
pub trait Clock: Send + Sync {
    /// The wall clock.
    fn wall(&self) -> Timestamp;
    /// A clock that never goes back.
    fn mono(&self) -> Mono;
}

/// A point on a clock that never goes back: nanoseconds since some start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mono(pub u64);

impl Mono {
    /// How long after `earlier` this is; zero if it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The point this much later.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}
