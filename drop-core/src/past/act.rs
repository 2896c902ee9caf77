//! One response's changes to one pod.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use falco_event::AlertId;
use serde::{Deserialize, Serialize};

use super::opening::ScopeKey;
use crate::policy::Mode;
use crate::ports::{Mono, Target};

/// The number of an act, in the order in which acts were opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ActId(pub(super) u64);

impl fmt::Display for ActId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One response's changes to one pod: opened before the first call, settled after the last one, closed when the pod
/// is proven gone or not.
#[derive(Debug, Clone)]
pub struct Act {
    /// Its number.
    pub id: ActId,
    /// The alert it answers.
    pub alert: AlertId,
    /// The policy's name.
    pub policy: String,
    /// The response's name.
    pub response: String,
    /// The pod.
    pub target: Target,
    /// A would-be act of `observe`, or a real one.
    pub mode: Mode,
    /// The grace in seconds of the action that ends the pod; none where no action does.
    pub ends: Option<u32>,
    /// It labels or annotates the pod: of that, a pod that is seen alive says nothing.
    pub edits: bool,
    /// When it was opened.
    pub opened: Mono,
    /// When an engine that lives would have settled it.
    pub due: Mono,
    /// How it ended, and when that was known.
    pub settled: Option<(Settlement, Mono)>,
    /// The pod was seen alive after an end that was unknown, and not seen to go since: this act has not ended it.
    pub refuted: bool,
    /// Nothing more is owed.
    pub closed: bool,
    /// Its end is what others take it to be: its own engine has not said.
    pub(super) assumed: bool,
    /// Nobody has to look at its pod before.
    pub(super) rests_until: Mono,
    pub(super) settled_step: u64,
    pub(super) forget_at: Option<Mono>,
    pub(super) keep: Duration,
    pub(super) scopes: [Arc<ScopeKey>; 5],
}

impl Act {
    /// The engine that opened it may still be at it.
    #[must_use]
    pub fn is_in_flight(&self, now: Mono) -> bool {
        self.settled.is_none() && now < self.due
    }

    /// How it ended, as far as anyone can say: an engine that died leaves it unknown. None while it is in flight.
    #[must_use]
    pub fn settlement(&self, now: Mono) -> Option<Settlement> {
        match self.settled {
            Some((how, _)) => Some(how),
            None if self.is_in_flight(now) => None,
            None => Some(Settlement::lost(self.ends.is_some())),
        }
    }

    /// How the action that ends the pod ended; none while it is in flight.
    #[must_use]
    pub fn ended(&self, now: Mono) -> Option<Settled> {
        self.settlement(now).map(|how| how.ended)
    }

    /// Whether somebody has to look whether the pod went.
    pub(super) fn owes_proof(&self) -> bool {
        self.mode == Mode::Enforce && self.settled.is_none_or(|(how, _)| how.ended != Settled::DidNot)
    }
}

/// How an act ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settlement {
    /// Whether anything was changed at all: what limits count.
    pub changed: Settled,
    /// Whether the action that ends the pod was taken; *did not* where the act has none.
    pub ended: Settled,
    /// Every action was made: a later delivery has nothing left to do.
    pub complete: bool,
}

impl Settlement {
    /// The end of an act whose engine died: anything may have happened.
    #[must_use]
    pub fn lost(ends: bool) -> Self {
        let ended = if ends { Settled::Unknown } else { Settled::DidNot };
        Self {
            changed: Settled::Unknown,
            ended,
            complete: false,
        }
    }
}

/// Whether a change was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Settled {
    /// The API server said that a change was made.
    Happened,
    /// No change was made.
    DidNot,
    /// A request was sent, and nothing tells how it ended.
    Unknown,
}
