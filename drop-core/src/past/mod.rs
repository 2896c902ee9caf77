//! What the engine remembers: one log of acts and the alerts handled, as plain data with pure rules.
//!
//! Limits, availability, obligations and recovery are queries of that one log, so a new policy migrates nothing.
//! Every method is one step of a [`Memory`](crate::ports::Memory): it sees the whole past and takes its own time.

mod act;
mod alerts;
mod local;
mod rules;

use std::collections::{BTreeMap, BTreeSet};

use falco_event::{AlertId, PodUid};

pub use act::{Act, ActId, Opening, ScopeKey, Settled, Settlement};
pub use alerts::{Claim, Claimed};
pub use local::LocalMemory;
pub use rules::Opened;

use crate::policy::Mode;
use crate::ports::Mono;

/// Acts that are kept at most; without room for another the engine stops acting and says so.
pub const MAX_ACTS: usize = 16_384;

/// Closed acts of one response at one pod that are kept at most, the newest: an alert that is sent again soon still
/// finds its own.
pub const MAX_ACTS_AT_POD: usize = 8;

/// Alerts handled that are remembered at most; the oldest is forgotten first, and the pod's UID still guards.
pub const MAX_ALERTS: usize = 65_536;

/// The past.
#[derive(Debug, Clone, Default)]
pub struct Past {
    next: u64,
    /// Counts claims and settlements: their order, where two times are the same.
    steps: u64,
    acts: BTreeMap<ActId, Act>,
    by_pod: BTreeMap<PodUid, BTreeSet<ActId>>,
    by_alert: BTreeMap<AlertId, BTreeSet<ActId>>,
    by_scope: BTreeMap<(Mode, ScopeKey), InScope>,
    obligations: BTreeSet<ActId>,
    forgettable: BTreeSet<(Mono, ActId)>,
    disarmed: BTreeMap<ScopeKey, Mono>,
    alerts: alerts::Alerts,
}

/// The acts of one scope: those in flight, and those that ended, by when.
#[derive(Debug, Clone, Default)]
struct InScope {
    open: BTreeSet<ActId>,
    settled: BTreeSet<(Mono, ActId)>,
}

/// A point in the memory's order of steps, and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Since {
    step: u64,
    at: Mono,
}

impl Past {
    /// How many acts are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.acts.len()
    }

    /// Nothing was ever done, or all of it is forgotten.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.acts.is_empty()
    }

    /// An act by its id; none once it is forgotten.
    #[must_use]
    pub fn act(&self, id: ActId) -> Option<&Act> {
        self.acts.get(&id)
    }

    /// The acts for one alert, oldest first.
    pub fn acts_for(&self, alert: AlertId) -> impl Iterator<Item = &Act> {
        self.by_alert
            .get(&alert)
            .into_iter()
            .flatten()
            .filter_map(|id| self.acts.get(id))
    }

    /// The acts at one pod, oldest first.
    pub fn acts_at(&self, pod: &PodUid) -> impl Iterator<Item = &Act> {
        self.by_pod
            .get(pod)
            .into_iter()
            .flatten()
            .filter_map(|id| self.acts.get(id))
    }

    /// The acts whose end nobody has proven yet, oldest first.
    pub fn obligations(&self) -> impl Iterator<Item = &Act> {
        self.obligations.iter().filter_map(|id| self.acts.get(id))
    }

    /// The scopes that a breached limit has switched to observe, and since when.
    pub fn disarmed(&self) -> impl Iterator<Item = (&ScopeKey, Mono)> {
        self.disarmed.iter().map(|(key, since)| (key, *since))
    }

    /// Arms a scope again. It forgets the disarming, not the acts: until there is room the limit still skips.
    pub fn rearm(&mut self, key: &ScopeKey) -> bool {
        self.disarmed.remove(key).is_some()
    }

    /// Notes how an act ended. The first settlement stands.
    pub fn settle(&mut self, id: ActId, how: Settlement, now: Mono) {
        let Some(act) = self.acts.get_mut(&id) else { return };
        if act.settled.is_some() {
            return;
        }
        self.steps += 1;
        act.settled = Some((how, now));
        act.settled_step = self.steps;
        let owes_proof = act.owes_proof();
        for key in act.scopes.clone() {
            let scope = self.by_scope.entry((act.mode, key)).or_default();
            scope.open.remove(&id);
            if how.changed != Settled::DidNot {
                scope.settled.insert((now, id));
            }
        }
        if !owes_proof {
            self.close(id, now);
        }
    }

    /// A read that began after `since` saw this pod alive and not terminating: acts that ended unknown before then
    /// have not happened. They still count in their limits, for a request under way may yet arrive.
    pub fn seen_alive(&mut self, pod: &PodUid, since: Since, now: Mono) {
        let ended_before = |act: &&Act| match act.settled {
            Some(_) => act.settled_step <= since.step,
            None => act.due <= since.at,
        };
        let unknown = |act: &&Act| !act.refuted && act.ended(now) == Some(Settled::Unknown);
        let refuted: Vec<ActId> = self
            .acts_at(pod)
            .filter(ended_before)
            .filter(unknown)
            .map(|act| act.id)
            .collect();
        for id in refuted {
            self.settle(id, Settlement::lost(true), now);
            if let Some(act) = self.acts.get_mut(&id) {
                act.refuted = true;
            }
            self.close(id, now);
        }
    }

    /// The present, for a read that begins after it.
    #[must_use]
    pub fn present(&self, now: Mono) -> Since {
        Since {
            step: self.steps,
            at: now,
        }
    }

    /// Ends an act: nobody has to look at the pod again. It is kept as long as its windows need it; an act that did
    /// nothing is forgotten at once, or one missing right would fill the memory.
    pub fn close(&mut self, id: ActId, now: Mono) {
        let Some(act) = self.acts.get_mut(&id) else { return };
        if act.closed {
            return;
        }
        act.closed = true;
        let until = now.plus(act.keep);
        act.forget_at = Some(until);
        let nothing = act.settled.is_some_and(|(how, _)| how.changed == Settled::DidNot);
        self.obligations.remove(&id);
        self.forgettable.insert((until, id));
        if nothing {
            self.remove(id);
        }
    }

    /// Forgets the oldest closed acts of the same response at the same pod: limits count a pod once, so one noisy pod
    /// must not take the room of all others.
    fn thin(&mut self, act: &Act) {
        let same = |other: &&Act| {
            other.closed
                && other.mode == act.mode
                && other.policy == act.policy
                && other.response == act.response
        };
        let mut closed: Vec<ActId> = self
            .acts_at(&act.target.uid)
            .filter(same)
            .map(|other| other.id)
            .collect();
        closed.truncate(closed.len().saturating_sub(MAX_ACTS_AT_POD));
        closed.into_iter().for_each(|id| self.remove(id));
    }

    fn insert(&mut self, act: Act) -> ActId {
        self.thin(&act);
        let id = act.id;
        self.by_pod.entry(act.target.uid.clone()).or_default().insert(id);
        self.by_alert.entry(act.alert).or_default().insert(id);
        for key in &act.scopes {
            self.by_scope
                .entry((act.mode, key.clone()))
                .or_default()
                .open
                .insert(id);
        }
        self.obligations.insert(id);
        self.acts.insert(id, act);
        id
    }

    fn forget(&mut self, now: Mono) {
        while let Some((until, id)) = self.forgettable.first().copied()
            && until < now
        {
            self.forgettable.pop_first();
            self.remove(id);
        }
    }

    fn remove(&mut self, id: ActId) {
        let Some(act) = self.acts.remove(&id) else { return };
        if let Some(until) = act.forget_at {
            self.forgettable.remove(&(until, id));
        }
        forget_in(&mut self.by_pod, &act.target.uid, id);
        forget_in(&mut self.by_alert, &act.alert, id);
        for key in act.scopes {
            let key = (act.mode, key);
            let Some(scope) = self.by_scope.get_mut(&key) else {
                continue;
            };
            scope.open.remove(&id);
            if let Some((_, at)) = act.settled {
                scope.settled.remove(&(at, id));
            }
            if scope.open.is_empty() && scope.settled.is_empty() {
                self.by_scope.remove(&key);
            }
        }
    }
}

fn forget_in<K: Ord>(index: &mut BTreeMap<K, BTreeSet<ActId>>, key: &K, id: ActId) {
    if let Some(ids) = index.get_mut(key) {
        ids.remove(&id);
        if ids.is_empty() {
            index.remove(key);
        }
    }
}
