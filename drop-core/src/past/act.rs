//! One response's changes to one pod.

use std::fmt;
use std::time::Duration;

use falco_event::{AlertId, Namespace};
use serde::{Deserialize, Serialize};

use super::Claim;
use crate::facts::Siblings;
use crate::pod::Owner;
use crate::policy::{Limit, MinAvailable, Mode, Scope};
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
    /// The pod was seen alive after an end that was unknown: it was not ended by this act.
    pub refuted: bool,
    /// Nothing more is owed.
    pub closed: bool,
    pub(super) settled_step: u64,
    pub(super) forget_at: Option<Mono>,
    pub(super) keep: Duration,
    pub(super) scopes: Vec<ScopeKey>,
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

/// Whose acts a limit counts, for one pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ScopeKey {
    /// Pods of one owner at the top; a pod that nothing owns is its own workload.
    Workload {
        /// Their namespace.
        namespace: Namespace,
        /// The owner's kind; `Pod` where nothing owns it.
        kind: String,
        /// The owner's name.
        name: String,
    },
    /// One response, as `policy/response`.
    Response(String),
    /// One namespace.
    Namespace(Namespace),
    /// One policy.
    Policy(String),
    /// The whole cluster.
    Cluster,
}

impl fmt::Display for ScopeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workload {
                namespace,
                kind,
                name,
            } => write!(f, "workload {namespace}/{kind}/{name}"),
            Self::Response(name) => write!(f, "response {name}"),
            Self::Namespace(name) => write!(f, "namespace {name}"),
            Self::Policy(name) => write!(f, "policy {name}"),
            Self::Cluster => f.write_str("cluster"),
        }
    }
}

/// What an act is opened with.
#[derive(Debug, Clone)]
pub struct Opening<'a> {
    /// The right to handle the alert. Every read that led here is later.
    pub claim: Claim,
    /// The policy's name.
    pub policy: &'a str,
    /// The response's name.
    pub response: &'a str,
    /// The pod.
    pub target: &'a Target,
    /// Its owner at the top, where it was read and there is one.
    pub owner: Option<&'a Owner>,
    /// Whether the act is real.
    pub mode: Mode,
    /// The grace in seconds of the action that ends the pod.
    pub ends: Option<u32>,
    /// Whether it labels or annotates the pod.
    pub edits: bool,
    /// The limits of the response's document.
    pub limits: Vec<Limit>,
    /// How many pods must stay ready, and how many are.
    pub available: Option<(MinAvailable, &'a Siblings)>,
    /// The pod was read alive and not terminating.
    pub alive: bool,
    /// How long the engine may take to settle it.
    pub within: Duration,
    /// How long it is kept after it is closed: the longest of its windows and the alert's greatest age.
    pub keep: Duration,
}

impl Opening<'_> {
    pub(super) fn key(&self, scope: Scope) -> ScopeKey {
        let namespace = self.target.namespace.clone();
        match scope {
            Scope::Workload => match self.owner {
                Some(owner) => ScopeKey::Workload {
                    namespace,
                    kind: owner.kind.clone(),
                    name: owner.name.clone(),
                },
                None => ScopeKey::Workload {
                    namespace,
                    kind: "Pod".to_owned(),
                    name: self.target.name.to_string(),
                },
            },
            Scope::Response => ScopeKey::Response(format!("{}/{}", self.policy, self.response)),
            Scope::Namespace => ScopeKey::Namespace(namespace),
            Scope::Policy => ScopeKey::Policy(self.policy.to_owned()),
            Scope::Cluster => ScopeKey::Cluster,
        }
    }

    pub(super) fn act(&self, id: ActId, mode: Mode, now: Mono) -> Act {
        let scopes = [
            Scope::Workload,
            Scope::Response,
            Scope::Namespace,
            Scope::Policy,
            Scope::Cluster,
        ];
        Act {
            id,
            alert: self.claim.alert,
            policy: self.policy.to_owned(),
            response: self.response.to_owned(),
            target: self.target.clone(),
            mode,
            ends: self.ends,
            edits: self.edits,
            opened: now,
            due: now.plus(self.within),
            settled: None,
            refuted: false,
            closed: false,
            settled_step: 0,
            forget_at: None,
            keep: self.keep,
            scopes: scopes.map(|scope| self.key(scope)).to_vec(),
        }
    }
}
