//! What truly happened, in order: written by the ports, read by the invariants.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use drop_core::engine::ACT_WITHIN;
use drop_core::facts::Facts;
use drop_core::past::{ActId, ScopeKey};
use drop_core::policy::Mode;
use drop_core::ports::{Change, Mono, Target};
use drop_core::record::Record;
use falco_event::AlertId;

/// Which future of the test's executor: deliveries, confirmations, re-armings.
pub(crate) type TaskId = usize;

/// An act that a step of the memory has opened.
#[derive(Debug, Clone)]
pub(crate) struct Opened {
    pub(crate) seq: u64,
    pub(crate) task: TaskId,
    pub(crate) act: ActId,
    pub(crate) alert: AlertId,
    pub(crate) policy: String,
    pub(crate) response: String,
    pub(crate) target: Target,
    pub(crate) mode: Mode,
    pub(crate) ends: Option<u32>,
    pub(crate) at: Mono,
    /// The scopes that were disarmed before that step.
    pub(crate) disarmed: Vec<ScopeKey>,
}

/// What the engine heard of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Nothing yet, or the engine is no more.
    Nothing,
    Made,
    NotMade,
    Unknown,
}

/// A change that was asked of the cluster.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) seq: u64,
    pub(crate) task: TaskId,
    /// The act that its task had opened last.
    pub(crate) act: Option<ActId>,
    pub(crate) target: Target,
    pub(crate) change: Change,
    pub(crate) heard: Heard,
    pub(crate) asked: Mono,
    /// When it was asked for, then when it was answered.
    pub(crate) at: Mono,
    /// The place of the answer in the order of everything.
    pub(crate) answered: Option<u64>,
    /// When the cluster changed by it, if that was while the call was under way.
    pub(crate) changed: Option<u64>,
    /// The pod was terminating before the request came.
    pub(crate) terminating: bool,
}

impl Call {
    /// When the cluster may have changed by it at the latest, as far as that was known at this place in the order.
    pub(crate) fn latest(&self, seq: u64) -> Mono {
        match self.answered {
            // No request leaves after its deadline, however long its answer takes.
            Some(answered) if answered < seq => self.at.min(self.asked.plus(ACT_WITHIN)),
            Some(_) | None => self.asked,
        }
    }

    pub(crate) fn is_terminal(&self) -> bool {
        matches!(self.change, Change::Delete { .. } | Change::Evict { .. })
    }
}

/// A record that was handed over, and what the cluster was like then.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) seq: u64,
    pub(crate) task: TaskId,
    pub(crate) record: Record,
    pub(crate) at: Mono,
    /// Whether the pod of a second record was there.
    pub(crate) there: bool,
}

/// The facts about a pod that a task was told.
#[derive(Debug, Clone)]
pub(crate) struct Read {
    pub(crate) seq: u64,
    pub(crate) task: TaskId,
    pub(crate) facts: Facts,
}

/// The log.
#[derive(Debug, Default)]
pub(crate) struct Log {
    seq: u64,
    pub(crate) current: TaskId,
    pub(crate) opened: Vec<Opened>,
    pub(crate) calls: Vec<Call>,
    /// The cluster's revisions before and after each change that came in time.
    pub(crate) sent: Vec<(u64, u64)>,
    pub(crate) reads: Vec<Read>,
    pub(crate) written: Vec<Written>,
    /// Tasks that the memory did not answer once.
    pub(crate) lost: Vec<TaskId>,
    /// The most acts that the memory held after a step.
    pub(crate) most_acts: usize,
}

impl Log {
    /// The next number in the order of everything.
    pub(crate) fn next(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    pub(crate) fn last_act(&self) -> Option<ActId> {
        let own = |opened: &&Opened| opened.task == self.current;
        self.opened.iter().rev().find(own).map(|opened| opened.act)
    }

    /// What a task was told of its pod before this.
    pub(crate) fn read(&self, task: TaskId, before: u64) -> Option<&Facts> {
        let own = |read: &&Read| read.task == task && read.seq < before;
        self.reads.iter().rev().find(own).map(|read| &read.facts)
    }

    pub(crate) fn opened(&self, act: ActId) -> Option<&Opened> {
        self.opened.iter().find(|opened| opened.act == act)
    }

    pub(crate) fn calls_of(&self, act: ActId) -> impl Iterator<Item = &Call> {
        self.calls.iter().filter(move |call| call.act == Some(act))
    }
}

/// One log for all ports.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shared(Arc<Mutex<Log>>);

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
