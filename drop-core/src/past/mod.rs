//! What the engine remembers: one log of acts and the alerts handled, as plain data with pure rules.
//!
//! Limits, availability, obligations and recovery are queries of that one log, so a new policy migrates nothing.
//! Every method is one step of a [`Memory`](crate::ports::Memory): it sees the whole past and takes its own time.

mod act;
mod alerts;
mod endings;
mod local;
mod opening;
mod rules;
mod scope;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use falco_event::{AlertId, PodUid};

pub use act::{Act, ActId, Settled, Settlement};
pub use alerts::{Claim, Claimed};
pub use local::LocalMemory;
pub use opening::{Opening, ScopeKey};
pub use rules::Opened;

use self::scope::{InScope, InScopes};
use crate::policy::Mode;
use crate::ports::Mono;

/// Acts that are kept at most, half of them would-be acts; without room for another the engine stops acting and says so.
/// An act costs at most 2 KiB, where each is at a pod of another workload, so all of them 32 MiB.
pub const MAX_ACTS: usize = 16_384;

/// Closed acts of one response at one pod that are kept at most, the newest: an alert that is sent again soon still
/// finds its own.
pub const MAX_ACTS_AT_POD: usize = 8;

/// Alerts handled that are remembered at most; the oldest is forgotten first, and the pod's UID still guards. An alert
/// costs at most 64 bytes, so all of them 4 MiB.
pub const MAX_ALERTS: usize = 65_536;

/// How much a past remembers at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bounds {
    /// Acts: [`MAX_ACTS`] unless set.
    pub acts: usize,
    /// Alerts handled: [`MAX_ALERTS`] unless set.
    pub alerts: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            acts: MAX_ACTS,
            alerts: MAX_ALERTS,
        }
    }
}

/// The past.
#[derive(Debug, Clone, Default)]
pub struct Past {
    bounds: Bounds,
    next: u64,
    /// Counts claims and settlements: their order, where two times are the same.
    steps: u64,
    acts: HashMap<ActId, Box<Act>>,
    /// How many of them are would-be acts.
    observed: usize,
    by_pod: HashMap<PodUid, Vec<ActId>>,
    by_alert: HashMap<AlertId, Vec<ActId>>,
    by_scope: BTreeMap<Mode, BTreeMap<Arc<ScopeKey>, InScope>>,
    obligations: BTreeSet<ActId>,
    forgettable: BTreeSet<(Mono, ActId)>,
    disarmed: BTreeMap<ScopeKey, Mono>,
    alerts: alerts::Alerts,
}

/// A point in the memory's order of steps, and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Since {
    step: u64,
    at: Mono,
}

impl Past {
    /// An empty past that remembers no more than this.
    #[must_use]
    pub fn with_bounds(bounds: Bounds) -> Self {
        Self {
            bounds,
            ..Self::default()
        }
    }

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
        self.acts.get(&id).map(Box::as_ref)
    }

    /// The acts for one alert, oldest first.
    pub fn acts_for(&self, alert: AlertId) -> impl Iterator<Item = &Act> {
        self.by_alert
            .get(&alert)
            .into_iter()
            .flatten()
            .filter_map(|id| self.acts.get(id).map(Box::as_ref))
    }

    /// The acts at one pod, oldest first.
    pub fn acts_at(&self, pod: &PodUid) -> impl Iterator<Item = &Act> {
        self.by_pod
            .get(pod)
            .into_iter()
            .flatten()
            .filter_map(|id| self.acts.get(id).map(Box::as_ref))
    }

    /// The acts whose end nobody has proven yet, oldest first.
    pub fn obligations(&self) -> impl Iterator<Item = &Act> {
        self.obligations.iter().filter_map(|id| self.act(*id))
    }

    /// The scopes that a breached limit has switched to observe, and since when.
    pub fn disarmed(&self) -> impl Iterator<Item = (&ScopeKey, Mono)> {
        self.disarmed.iter().map(|(key, since)| (key, *since))
    }

    /// Arms a scope again. It forgets the disarming, not the acts: until there is room the limit still skips.
    pub fn rearm(&mut self, key: &ScopeKey) -> bool {
        self.disarmed.remove(key).is_some()
    }

    /// Forgets the oldest closed or refuted acts of the same response at the same pod: limits count a pod once, so one
    /// noisy pod must not take the room of all others.
    fn thin(&mut self, act: &Act) {
        let same = |other: &&Act| {
            (other.closed || other.refuted)
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
        let scopes = self.by_scope.entry(act.mode).or_default();
        for key in &act.scopes {
            scopes.entry(Arc::clone(key)).or_default().open(id);
        }
        self.by_pod.entry(act.target.uid.clone()).or_default().push(id);
        self.by_alert.entry(act.alert).or_default().push(id);
        self.obligations.insert(id);
        self.observed += usize::from(act.mode == Mode::Observe);
        self.acts.insert(id, Box::new(act));
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
        self.observed -= usize::from(act.mode == Mode::Observe);
        if let Some(until) = act.forget_at {
            self.forgettable.remove(&(until, id));
        }
        forget_in(&mut self.by_pod, &act.target.uid, id);
        forget_in(&mut self.by_alert, &act.alert, id);
        self.obligations.remove(&id);
        self.recount(&InScopes::of(&act));
    }
}

fn forget_in<K: Eq + Hash>(index: &mut HashMap<K, Vec<ActId>>, key: &K, id: ActId) {
    if let Some(ids) = index.get_mut(key) {
        ids.retain(|other| *other != id);
        if ids.is_empty() {
            index.remove(key);
        }
    }
}
