//! Guards: the reasons not to act, each a pure function whose verdict stands in the record.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A guard by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Guard {
    /// The alert must name a pod that is there.
    Target,
    /// What the alert says must fit the pod.
    Identity,
    /// The alert must be neither old nor from the future.
    AlertAge,
    /// The pod must be older than an alert that knows it by name alone.
    PodAge,
    /// The policy must reach into the pod's namespace.
    Bounds,
    /// Nobody may have protected the pod.
    Protected,
    /// A mirror pod cannot be stopped by deleting it.
    Mirror,
    /// There must be something left to stop.
    Finished,
    /// A pod that ends by itself soon enough is left to itself.
    Terminating,
    /// Every fact that matters must have been read.
    Facts,
    /// A disruption budget must let an evicted pod go.
    Budget,
    /// Enough pods of the owner must stay ready.
    Availability,
    /// No more pods than a person allowed.
    Limit,
    /// A limit that disarms was reached: the act that would exceed it is stopped, and its scope only observes from then on,
    /// which later verdicts note.
    Disarmed,
    /// One act at a pod is enough.
    ActInFlight,
    /// The past must have room for the act.
    Memory,
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Target => "target",
            Self::Identity => "identity",
            Self::AlertAge => "alertAge",
            Self::PodAge => "podAge",
            Self::Bounds => "bounds",
            Self::Protected => "protected",
            Self::Mirror => "mirror",
            Self::Finished => "finished",
            Self::Terminating => "terminating",
            Self::Facts => "facts",
            Self::Budget => "budget",
            Self::Availability => "availability",
            Self::Limit => "limit",
            Self::Disarmed => "disarmed",
            Self::ActInFlight => "actInFlight",
            Self::Memory => "memory",
        })
    }
}

/// What a guard says of one response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// Which guard.
    pub guard: Guard,
    /// What it says.
    pub says: Says,
}

/// Pass, or why not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Says {
    /// Nothing against it.
    Pass,
    /// Nothing against it, but a person should know.
    Note(String),
    /// Do not act, ever, on this alert.
    Stop(String),
    /// Do not act now: it rests on something that passes, so the same alert may be sent again.
    Wait(String),
}

impl fmt::Display for Says {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass => f.write_str("passes"),
            Self::Note(why) => write!(f, "passes, but {why}"),
            Self::Stop(why) => write!(f, "stops: {why}"),
            Self::Wait(why) => write!(f, "waits: {why}"),
        }
    }
}

impl Verdict {
    /// Nothing against it.
    #[must_use]
    pub fn pass(guard: Guard) -> Self {
        Self {
            guard,
            says: Says::Pass,
        }
    }

    /// Nothing against it, but a person should know.
    #[must_use]
    pub fn note(guard: Guard, why: impl Into<String>) -> Self {
        Self {
            guard,
            says: Says::Note(why.into()),
        }
    }

    /// Do not act.
    #[must_use]
    pub fn stop(guard: Guard, why: impl Into<String>) -> Self {
        Self {
            guard,
            says: Says::Stop(why.into()),
        }
    }

    /// Do not act yet.
    #[must_use]
    pub fn wait(guard: Guard, why: impl Into<String>) -> Self {
        Self {
            guard,
            says: Says::Wait(why.into()),
        }
    }

    /// Whether it lets the response act.
    #[must_use]
    pub fn passes(&self) -> bool {
        match self.says {
            Says::Pass | Says::Note(_) => true,
            Says::Stop(_) | Says::Wait(_) => false,
        }
    }
}

/// The verdict that decides: a stop is final and comes before a wait; none where all pass.
#[must_use]
pub fn decisive(verdicts: &[Verdict]) -> Option<&Verdict> {
    let stop = verdicts
        .iter()
        .find(|verdict| matches!(verdict.says, Says::Stop(_)));
    stop.or_else(|| verdicts.iter().find(|verdict| !verdict.passes()))
}
