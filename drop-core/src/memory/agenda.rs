//! What is still to happen, in the order of its time.

use std::collections::BTreeSet;
use std::time::Duration;

use falco_event::{PodUid, Timestamp};

use super::controller::Key;

/// Something that happens by itself. The order is the one in which things of the same time happen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Task {
    /// A change arrives whose caller gave up waiting.
    Arrive(u64),
    /// The containers of a pod have stopped.
    Stop(PodUid),
    /// The containers of a pod run.
    Start(PodUid),
    /// The kubelet tells the API server what it knows of a pod.
    Report(PodUid),
    /// A controller looks at its pods.
    Reconcile(Key),
}

/// Tasks by time; the same task at the same time is there once.
#[derive(Debug, Clone, Default)]
pub(super) struct Agenda(BTreeSet<(Timestamp, Task)>);

impl Agenda {
    pub(super) fn add(&mut self, at: Timestamp, task: Task) {
        self.0.insert((at, task));
    }

    /// Takes the first task, if its time is not after `until`.
    pub(super) fn pop(&mut self, until: Timestamp) -> Option<(Timestamp, Task)> {
        let due = self.0.first().is_some_and(|(at, _)| *at <= until);
        if due { self.0.pop_first() } else { None }
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        self.0.first().map(|(at, _)| *at)
    }
}

/// The time this much later, or the last there is.
pub(super) fn later(time: Timestamp, by: Duration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// The time this many seconds earlier or later, in whole seconds: as the API server writes it.
pub(super) fn shifted(time: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_second(time.as_second().saturating_add(seconds)).unwrap_or(Timestamp::MAX)
}
