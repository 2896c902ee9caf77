//! What a policy says, once it has been read: plain data that cannot be wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use falco_event::{Namespace, PodName};
use serde::{Deserialize, Serialize};

use crate::condition::Condition;

/// Whether a response may act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Decide and record, touch nothing.
    #[default]
    Observe,
    /// Act.
    Enforce,
}

impl Mode {
    /// The more careful of two modes.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        self.min(other)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Observe => "observe",
            Self::Enforce => "enforce",
        })
    }
}

/// One `DropPolicy`.
#[derive(Debug, Clone)]
pub struct Policy {
    /// `metadata.name`, unique among the policies that act side by side.
    pub name: String,
    /// Where it may act; none: wherever it is not protected.
    pub namespaces: Option<BTreeSet<Namespace>>,
    /// An alert older than this is skipped.
    pub max_alert_age: Duration,
    /// In the order of the document.
    pub responses: Vec<Response>,
    /// What this policy adds to the protection of all.
    pub protect: Protect,
    /// Limits over all its responses.
    pub limits: Vec<Limit>,
}

impl Policy {
    /// Its limits and those of its responses.
    pub(super) fn all_limits(&self) -> impl Iterator<Item = &Limit> {
        let own = self.responses.iter().flat_map(|response| &response.limits);
        self.limits.iter().chain(own)
    }

    /// Whether one of them counts the pods of a workload.
    #[must_use]
    pub fn counts_workloads(&self) -> bool {
        self.all_limits().any(|limit| limit.scope == Scope::Workload)
    }
}

/// One entry of a policy: `when` a condition holds, `do` actions.
#[derive(Debug, Clone)]
pub struct Response {
    /// Its name, unique in its policy.
    pub name: String,
    /// The more careful of the policy's mode and its own.
    pub mode: Mode,
    /// The condition.
    pub when: Condition,
    /// How many of the owner's pods must stay ready after the act.
    pub min_available: Option<MinAvailable>,
    /// Its own limits, in addition to the policy's.
    pub limits: Vec<Limit>,
    /// What it does, in order.
    pub actions: Vec<Step>,
}

impl Response {
    /// Whether a disruption budget can stop it: it evicts, and does not delete where that is refused.
    #[must_use]
    pub fn heeds_budgets(&self) -> bool {
        let any = |is: fn(&Action) -> bool| self.actions.iter().any(|step| is(&step.action));
        any(|action| matches!(action, Action::Evict { .. }))
            && !any(|action| matches!(action, Action::Delete { .. }))
    }
}

/// One action and what its failure means for those after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// What is done.
    pub action: Action,
    /// Go on with the next action if this one fails.
    pub continue_on_error: bool,
}

/// What a response can do. Exhaustive on purpose: a new action has to be decided everywhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Delete the pod.
    #[serde(rename_all = "camelCase")]
    Delete {
        /// Seconds between SIGTERM and SIGKILL; 0 removes the object without the kubelet's confirmation.
        grace_period_seconds: u32,
    },
    /// Evict the pod: as delete, but a PodDisruptionBudget can refuse it.
    #[serde(rename_all = "camelCase")]
    Evict {
        /// Seconds between SIGTERM and SIGKILL.
        grace_period_seconds: u32,
    },
    /// Set labels of the pod; none removes one.
    Label {
        /// By key.
        labels: BTreeMap<String, Option<String>>,
    },
    /// Set annotations of the pod; none removes one.
    Annotate {
        /// By key.
        annotations: BTreeMap<String, Option<String>>,
    },
    /// Nothing but the record.
    Record,
}

impl Action {
    /// Whether it ends the pod, and with it the alert.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        self.grace_period_seconds().is_some()
    }

    /// The grace of an action that ends the pod.
    #[must_use]
    pub fn grace_period_seconds(&self) -> Option<u32> {
        match self {
            Self::Delete { grace_period_seconds } | Self::Evict { grace_period_seconds } => {
                Some(*grace_period_seconds)
            }
            Self::Label { .. } | Self::Annotate { .. } | Self::Record => None,
        }
    }
}

/// The shortest grace of the actions that end the pod; none where no action does.
pub(crate) fn soonest(steps: &[Step]) -> Option<u32> {
    steps
        .iter()
        .filter_map(|step| step.action.grace_period_seconds())
        .min()
}

/// How many pods of the owner must be ready after the act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MinAvailable {
    /// A number of pods.
    Pods(u32),
    /// A share of the owner's desired replicas, rounded up; 0 to 100.
    Percent(u8),
}

/// At most `max` distinct pods within `per`, in a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limit {
    /// Whose acts are counted.
    pub scope: Scope,
    /// How many pods.
    pub max: NonZeroU32,
    /// In how long.
    pub per: Duration,
    /// What happens at the first act too many.
    pub on_breach: OnBreach,
}

/// Whose acts a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Those at pods of the same top owner.
    Workload,
    /// Those of the same response.
    Response,
    /// Those in the same namespace.
    Namespace,
    /// Those of the same policy.
    Policy,
    /// All.
    Cluster,
}

/// What a breached limit does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnBreach {
    /// Skip the response until there is room again.
    #[default]
    Skip,
    /// Also let the scope fall to observe until a person re-arms it.
    Disarm,
}

/// What no policy may touch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Protect {
    /// Namespaces by name.
    pub namespaces: BTreeSet<Namespace>,
    /// Namespaces by their labels; any of the selectors protects.
    pub namespace_selectors: Vec<LabelSelector>,
    /// Workloads by name.
    pub workloads: BTreeSet<Workload>,
}

/// `matchLabels` of a selector: every pair must be there. An empty one selects everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelSelector {
    /// By key.
    pub match_labels: BTreeMap<String, String>,
}

impl LabelSelector {
    /// Whether an object with these labels is selected.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.match_labels
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value))
    }
}

/// A workload by its place and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Workload {
    /// Its namespace.
    pub namespace: Namespace,
    /// `Deployment`, `StatefulSet`…
    pub kind: String,
    /// Its name.
    pub name: PodName,
}
