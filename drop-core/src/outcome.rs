//! What became of an alert, over all its deliveries.

use std::fmt;

use falco_event::AlertId;
use serde::{Deserialize, Serialize};

use crate::guard::Guard;

/// The one outcome of an alert. Exhaustive on purpose: a new one has to be answered everywhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Outcome {
    /// A change was made, or may have been made.
    Acted {
        /// The API server said so. If not, the request was sent and nothing tells how it ended.
        certain: bool,
    },
    /// A change would have been made, had the response been allowed to.
    Observed,
    /// No response matches.
    Ignored,
    /// A guard stopped every response that matches.
    Skipped {
        /// Which one stopped the first of them.
        guard: Guard,
        /// Why.
        why: String,
        /// It rests on something that passes: the same alert sent again may end otherwise.
        retryable: bool,
    },
    /// The same alert was handled before.
    Duplicate {
        /// Its identity.
        of: AlertId,
    },
    /// What was to be done could not be done.
    Failed {
        /// Why.
        why: String,
        /// The same alert sent again may succeed.
        retryable: bool,
    },
}

impl Outcome {
    /// A stable word for it, for metrics and logs.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Acted { .. } => "acted",
            Self::Observed => "observed",
            Self::Ignored => "ignored",
            Self::Skipped { .. } => "skipped",
            Self::Duplicate { .. } => "duplicate",
            Self::Failed { .. } => "failed",
        }
    }

    /// Whether the sender should keep the alert and send it again.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Skipped { retryable, .. } | Self::Failed { retryable, .. } => *retryable,
            Self::Acted { .. } | Self::Observed | Self::Ignored | Self::Duplicate { .. } => false,
        }
    }

    /// Which of several results decides the alert: retryable before acted before failed before observed before
    /// skipped before ignored.
    fn rank(&self) -> u8 {
        match self {
            _ if self.is_retryable() => 6,
            Self::Acted { .. } => 5,
            Self::Failed { .. } => 4,
            Self::Observed => 3,
            Self::Skipped { .. } => 2,
            Self::Duplicate { .. } => 1,
            Self::Ignored => 0,
        }
    }

    /// The outcome of two results, the earlier one first where both weigh the same. A certain act is certain.
    #[must_use]
    pub fn fold(self, later: Self) -> Self {
        match (&self, &later) {
            (Self::Acted { certain: false }, Self::Acted { certain: true }) => later,
            _ if later.rank() > self.rank() => later,
            _ => self,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Acted { certain: true } => f.write_str("acted"),
            Self::Acted { certain: false } => f.write_str("may have acted"),
            Self::Observed => f.write_str("observed: would have acted"),
            Self::Ignored => f.write_str("ignored: no response matches"),
            Self::Skipped {
                guard,
                why,
                retryable,
            } => {
                write!(f, "skipped by {guard}: {why}")?;
                if *retryable {
                    f.write_str("; may be sent again")
                } else {
                    Ok(())
                }
            }
            Self::Duplicate { of } => write!(f, "duplicate of {of}"),
            Self::Failed { why, retryable } => {
                write!(f, "failed: {why}")?;
                if *retryable {
                    f.write_str("; may be sent again")
                } else {
                    Ok(())
                }
            }
        }
    }
}

/// How an act on a pod ended, once the pod was looked at again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Ending {
    /// The pod is gone.
    Confirmed {
        /// The API server had taken the change; if not, someone else may have ended the pod.
        ours: bool,
    },
    /// The pod was not seen to go.
    Unconfirmed {
        /// Why not.
        why: String,
    },
}
