//! The acts of one scope, so that a limit counts its pods without looking at each.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use falco_event::PodUid;

use super::Past;
use super::act::{Act, ActId, Settled};
use super::opening::ScopeKey;
use crate::policy::Mode;
use crate::ports::Mono;

/// The acts of one scope and mode.
#[derive(Debug, Clone, Default)]
pub(super) struct InScope {
    /// Those that are not settled.
    open: BTreeSet<ActId>,
    /// Of each pod the last that changed something, or may have, by when it was settled: a pod counts once.
    last: BTreeSet<(Mono, ActId)>,
    /// How many pods are in each window that a limit asked for.
    windows: Vec<Window>,
}

/// A window slides: a pod that falls out of it is looked at once, not at each question.
#[derive(Debug, Clone, Copy)]
struct Window {
    width: Duration,
    asked: Mono,
    pods: usize,
}

impl InScope {
    fn is_empty(&self) -> bool {
        self.open.is_empty() && self.last.is_empty()
    }

    pub(super) fn open(&mut self, id: ActId) {
        self.open.insert(id);
    }

    /// The acts that are not settled.
    pub(super) fn opened(&self) -> &BTreeSet<ActId> {
        &self.open
    }

    /// An act is the last of its pod. Windows that no limit has asked for as long as they are wide are forgotten: a
    /// policy that is gone asks no more.
    fn add(&mut self, (at, id): (Mono, ActId)) {
        if !self.last.insert((at, id)) {
            return;
        }
        self.windows
            .retain(|window| window.asked.plus(window.width) >= at);
        for window in self.counting(at) {
            window.pods += 1;
        }
    }

    /// An act is not the last of its pod any more, or is forgotten.
    fn remove(&mut self, (at, id): (Mono, ActId)) {
        if self.last.remove(&(at, id)) {
            for window in self.counting(at) {
                window.pods -= 1;
            }
        }
    }

    /// The windows that count what was settled then.
    fn counting(&mut self, at: Mono) -> impl Iterator<Item = &mut Window> {
        let counts = move |window: &&mut Window| window.start() <= at;
        self.windows.iter_mut().filter(counts)
    }

    /// How many pods are in the window of this width that ends now.
    pub(super) fn pods_within(&mut self, width: Duration, now: Mono) -> usize {
        let from = (start(now, width), ActId(0));
        let same = |window: &&mut Window| window.width == width && window.asked <= now;
        if let Some(window) = self.windows.iter_mut().find(same) {
            window.pods -= self.last.range((window.start(), ActId(0))..from).count();
            window.asked = now;
            return window.pods;
        }
        let pods = self.last.range(from..).count();
        self.windows.retain(|window| window.width != width);
        self.windows.push(Window {
            width,
            asked: now,
            pods,
        });
        pods
    }
}

impl Window {
    fn start(&self) -> Mono {
        start(self.asked, self.width)
    }
}

/// What of an act its scopes are about.
pub(super) struct InScopes {
    id: ActId,
    pod: PodUid,
    mode: Mode,
    settled: Option<Mono>,
    scopes: [Arc<ScopeKey>; 5],
}

impl InScopes {
    pub(super) fn of(act: &Act) -> Self {
        Self {
            id: act.id,
            pod: act.target.uid.clone(),
            mode: act.mode,
            settled: act.settled.map(|(_, at)| at),
            scopes: act.scopes.clone(),
        }
    }
}

impl Past {
    /// An act was settled, or is forgotten: a pod counts once in a scope, by the last of its acts that changed something
    /// or may have.
    pub(super) fn recount(&mut self, act: &InScopes) {
        for key in &act.scopes {
            let mut counted: Vec<_> = self.changes(act.mode, key, &act.pod).collect();
            counted.sort_unstable();
            let last = counted.pop();
            let Some(scope) = self.scope(act.mode, key) else {
                continue;
            };
            scope.open.remove(&act.id);
            counted.extend(act.settled.map(|at| (at, act.id)));
            for other in counted.into_iter().filter(|other| Some(*other) != last) {
                scope.remove(other);
            }
            if let Some(last) = last {
                scope.add(last);
            }
            if scope.is_empty()
                && let Some(scopes) = self.by_scope.get_mut(&act.mode)
            {
                scopes.remove(key);
            }
        }
    }

    /// When a pod was changed in a scope, or may have been, and by which acts.
    fn changes(&self, mode: Mode, key: &ScopeKey, pod: &PodUid) -> impl Iterator<Item = (Mono, ActId)> {
        let counts = move |act: &&Act| act.mode == mode && act.scopes.iter().any(|scope| **scope == *key);
        self.acts_at(pod).filter(counts).filter_map(|act| {
            let (how, at) = act.settled?;
            (how.changed != Settled::DidNot).then_some((at, act.id))
        })
    }

    /// The last of these.
    pub(super) fn last_in(&self, mode: Mode, key: &ScopeKey, pod: &PodUid) -> Option<(Mono, ActId)> {
        self.changes(mode, key, pod).max()
    }

    pub(super) fn scope(&mut self, mode: Mode, key: &ScopeKey) -> Option<&mut InScope> {
        self.by_scope.get_mut(&mode)?.get_mut(key)
    }

    /// The key as the index has it, so that all acts of a scope share one.
    pub(super) fn shared(&self, mode: Mode, key: ScopeKey) -> Arc<ScopeKey> {
        let known = self
            .by_scope
            .get(&mode)
            .and_then(|scopes| scopes.get_key_value(&key));
        known.map_or_else(|| Arc::new(key), |(known, _)| Arc::clone(known))
    }
}

/// When a window of this width that ends now begins.
pub(super) fn start(now: Mono, width: Duration) -> Mono {
    let width = u64::try_from(width.as_nanos()).unwrap_or(u64::MAX);
    Mono(now.0.saturating_sub(width))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Something that happens to a scope after so many seconds.
    #[derive(Debug, Clone)]
    enum Step {
        Add,
        Remove(prop::sample::Index),
        Ask(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => Just(Step::Add),
            1 => any::<prop::sample::Index>().prop_map(Step::Remove),
            3 => prop::sample::select(vec![0, 1, 5, 60, u64::MAX]).prop_map(Step::Ask),
        ]
    }

    proptest! {
        /// Whatever was asked before, the answer is what a look at each would give.
        #[test]
        fn windows_count_what_a_search_counts(steps in prop::collection::vec((0..4_u64, step()), 1..60)) {
            let (mut scope, mut now, mut next) = (InScope::default(), Mono(0), 0);
            let mut all: Vec<(Mono, ActId)> = Vec::new();
            for (seconds, step) in steps {
                now = now.plus(Duration::from_secs(seconds));
                match step {
                    Step::Add => {
                        next += 1;
                        scope.add((now, ActId(next)));
                        all.push((now, ActId(next)));
                    }
                    Step::Remove(which) if !all.is_empty() => {
                        let act = all.swap_remove(which.index(all.len()));
                        scope.remove(act);
                    }
                    Step::Remove(_) => {}
                    Step::Ask(width) => {
                        let width = Duration::from_secs(width);
                        let from = start(now, width);
                        let searched = all.iter().filter(|(at, _)| *at >= from).count();
                        prop_assert_eq!(scope.pods_within(width, now), searched);
                    }
                }
            }
        }
    }

    #[test]
    fn a_window_that_nobody_asks_for_is_forgotten() {
        let mut scope = InScope::default();
        let at = |seconds| Mono(0).plus(Duration::from_secs(seconds));
        for width in 1..100 {
            scope.pods_within(Duration::from_secs(width), at(0));
        }
        scope.add((at(50), ActId(1)));
        assert_eq!(scope.windows.len(), 50);
        scope.add((at(99), ActId(2)));
        assert_eq!(scope.windows.len(), 1);
    }
}
