//! What the past says against an act: pure functions, judged in the step that opens it.

use std::collections::BTreeSet;

use falco_event::PodUid;

use super::Past;
use super::act::{Act, ActId, Settled};
use super::opening::{Keys, Opening, ScopeKey};
use super::scope::{InScope, start};
use crate::facts::Siblings;
use crate::guard::{Guard, Says, Verdict};
use crate::policy::{Limit, MinAvailable, Mode, OnBreach};
use crate::ports::Mono;

/// What opening an act came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// The act is open: it reserves its place in every limit, and obliges the engine to find out how it ends.
    Open {
        /// Its number.
        id: ActId,
        /// Enforce, unless the response or a disarmed limit says observe.
        mode: Mode,
        /// What was judged, all in its favour.
        verdicts: Vec<Verdict>,
    },
    /// An earlier delivery of the same alert has done it.
    Done(ActId),
    /// The past is against it.
    Stopped(Vec<Verdict>),
}

impl Past {
    /// Judges what rests on the past and, where nothing stands against it, opens the act: one atomic step.
    pub fn open(&mut self, opening: &Opening<'_>, now: Mono) -> Opened {
        self.forget(now);
        if opening.alive {
            self.seen_alive(&opening.target.uid, opening.claim.since, now);
        }
        if !self.holds(&opening.claim) {
            let why = "another delivery of the same alert has taken over";
            return Opened::Stopped(vec![Verdict::wait(Guard::ActInFlight, why)]);
        }
        if let Some(done) = self.done_before(opening, now) {
            return Opened::Done(done);
        }
        let keys = opening.keys();
        let disarmed = self.disarmed_before(opening, &keys);
        let mode = disarmed.as_ref().map_or(opening.mode, |_| Mode::Observe);
        let mut verdicts = vec![
            self.at_pod(opening, mode, now),
            self.availability(opening, mode, now),
            self.room(mode),
        ];
        verdicts.extend(disarmed);
        self.limits(opening, &keys, mode, now, &mut verdicts);
        if !verdicts.iter().all(Verdict::passes) {
            return Opened::Stopped(verdicts);
        }
        self.next += 1;
        let scopes = keys.all().map(|key| self.shared(mode, key));
        let id = self.insert(opening.act(ActId(self.next), mode, scopes, now));
        Opened::Open { id, mode, verdicts }
    }

    fn done_before(&self, opening: &Opening<'_>, now: Mono) -> Option<ActId> {
        let same = |act: &&Act| act.policy == opening.policy && act.response == opening.response;
        let mut own = self.acts_for(opening.claim.alert).filter(same);
        let complete = |act: &&Act| act.settlement(now).is_some_and(|how| how.complete);
        own.find(|act| act.mode == opening.mode && complete(act))
            .map(|act| act.id)
    }

    /// That the response only observes, where a limit was breached before.
    fn disarmed_before(&self, opening: &Opening<'_>, keys: &Keys) -> Option<Verdict> {
        let key = keys.iter().find(|key| self.disarmed.contains_key(key))?;
        let note = || Verdict::note(Guard::Disarmed, format!("{key} observes: a limit was breached"));
        (opening.mode == Mode::Enforce).then(note)
    }

    /// Judges the limits. Those that disarm do so where nothing else stands against the act: one that would not have been
    /// made breaches nothing.
    fn limits(
        &mut self,
        opening: &Opening<'_>,
        keys: &Keys,
        mode: Mode,
        now: Mono,
        verdicts: &mut Vec<Verdict>,
    ) {
        let mut breaches = Vec::new();
        for limit in &opening.limits {
            let key = keys.of(limit.scope);
            let verdict = self.limit(limit, key, &opening.target.uid, mode, now);
            // What waits for acts in flight has not been refused: they may come to nothing.
            if let Says::Stop(why) = &verdict.says
                && limit.on_breach == OnBreach::Disarm
                && mode == Mode::Enforce
            {
                let why = format!("{why}: from now on it observes");
                breaches.push((key, Verdict::stop(Guard::Disarmed, why)));
            }
            verdicts.push(verdict);
        }
        let against = verdicts.iter().filter(|verdict| !verdict.passes()).count();
        if against == breaches.len() {
            for (key, verdict) in breaches {
                self.disarmed.entry(key.clone()).or_insert(now);
                // The outcome says what the first one does.
                verdicts.insert(0, verdict);
            }
        }
    }

    /// Several alerts for one pod end in one act.
    fn at_pod(&self, opening: &Opening<'_>, mode: Mode, now: Mono) -> Verdict {
        let Some(grace) = opening.ends.filter(|_| mode == Mode::Enforce) else {
            return Verdict::pass(Guard::ActInFlight);
        };
        for act in self
            .acts_at(&opening.target.uid)
            .filter(|act| act.mode == Mode::Enforce)
        {
            let Some(before) = act.ends else { continue };
            if act.is_in_flight(now) {
                return Verdict::wait(
                    Guard::ActInFlight,
                    format!("an act for alert {} is at this pod", act.alert),
                );
            }
            if before <= grace && act.ended(now) == Some(Settled::Happened) {
                return Verdict::stop(
                    Guard::ActInFlight,
                    format!("this pod was dropped for alert {}", act.alert),
                );
            }
        }
        Verdict::pass(Guard::ActInFlight)
    }

    /// Would-be acts have half of the room at most: a policy on trial must not switch off the others.
    fn room(&self, mode: Mode) -> Verdict {
        let most = self.bounds.acts;
        let why = match mode {
            _ if self.acts.len() >= most => format!("{most} acts are remembered"),
            Mode::Observe if self.observed >= most / 2 => {
                format!("{} would-be acts are remembered", most / 2)
            }
            Mode::Enforce | Mode::Observe => return Verdict::pass(Guard::Memory),
        };
        Verdict::wait(Guard::Memory, format!("{why}, and there is no room for another"))
    }

    /// Ready pods that were acted on are subtracted, because their status lags behind.
    fn availability(&self, opening: &Opening<'_>, mode: Mode, now: Mono) -> Verdict {
        let Some((min, siblings)) = opening.available.filter(|_| opening.ends.is_some()) else {
            return Verdict::pass(Guard::Availability);
        };
        let needed = needed(min, siblings);
        let (mut certain, mut left) = (0_u64, 0_u64);
        for uid in siblings.ready.iter().filter(|uid| **uid != opening.target.uid) {
            let ending: Vec<&Act> = self
                .acts_at(uid)
                .filter(|act| act.mode == mode && act.ends.is_some())
                .collect();
            // What the pod was seen to outlive may still come for a while, and not after that.
            let stays = |act: &&Act| match act.ended(now) {
                Some(Settled::DidNot) => true,
                Some(Settled::Unknown) => act.refuted && act.closed,
                Some(Settled::Happened) | None => false,
            };
            let may_stay = |act: &&Act| stays(act) || act.refuted || act.ended(now).is_none();
            left += u64::from(ending.iter().all(stays));
            certain += u64::from(ending.iter().all(may_stay));
        }
        let why = format!("{left} would stay ready, and {needed} must");
        match () {
            () if left >= needed => Verdict::pass(Guard::Availability),
            () if certain >= needed => Verdict::wait(Guard::Availability, why),
            () => Verdict::stop(Guard::Availability, why),
        }
    }

    /// Counts distinct pods whose act happened, may have happened or is in flight; never the pod itself.
    fn limit(&mut self, limit: &Limit, key: &ScopeKey, own: &PodUid, mode: Mode, now: Mono) -> Verdict {
        let max = usize::try_from(limit.max.get()).unwrap_or(usize::MAX);
        let own_counts = self.is_within(limit, mode, key, own, now);
        let Some(scope) = self.scope(mode, key) else {
            return room(mode);
        };
        let settled = scope.pods_within(limit.per, now) - usize::from(own_counts);
        let open = scope.opened().len();
        let why = || breach(key, limit, mode);
        match () {
            () if settled >= max => Verdict::stop(Guard::Limit, why()),
            () if settled.saturating_add(open) < max => room(mode),
            () if settled + self.more_pods(limit, mode, key, own, now) < max => room(mode),
            () => Verdict::wait(Guard::Limit, why()),
        }
    }

    /// Whether a pod counts in the window of a limit.
    fn is_within(&self, limit: &Limit, mode: Mode, key: &ScopeKey, pod: &PodUid, now: Mono) -> bool {
        self.last_in(mode, key, pod)
            .is_some_and(|(at, _)| at >= start(now, limit.per))
    }

    /// How many other pods have acts in flight and do not count yet.
    fn more_pods(&self, limit: &Limit, mode: Mode, key: &ScopeKey, own: &PodUid, now: Mono) -> usize {
        let scope = self.by_scope.get(&mode).and_then(|scopes| scopes.get(key));
        let open = scope.into_iter().flat_map(InScope::opened);
        let pods: BTreeSet<&PodUid> = open
            .filter_map(|id| self.acts.get(id))
            .map(|act| &act.target.uid)
            .filter(|uid| *uid != own && !self.is_within(limit, mode, key, uid, now))
            .collect();
        pods.len()
    }
}

/// A pod that would be gone lives on, and its successor is never seen: the true count may be higher.
const LOWER_BOUND: &str = "would-be acts, whose pods live on: a lower bound";

fn room(mode: Mode) -> Verdict {
    match mode {
        Mode::Enforce => Verdict::pass(Guard::Limit),
        Mode::Observe => Verdict::note(Guard::Limit, format!("it counts {LOWER_BOUND}")),
    }
}

fn breach(key: &ScopeKey, limit: &Limit, mode: Mode) -> String {
    let per = limit.per.as_secs_f64();
    let said = format!("{key} has had {} pods in {per} s", limit.max);
    match mode {
        Mode::Enforce => said,
        Mode::Observe => format!("{said} ({LOWER_BOUND})"),
    }
}

fn needed(min: MinAvailable, siblings: &Siblings) -> u64 {
    match min {
        MinAvailable::Pods(pods) => u64::from(pods),
        MinAvailable::Percent(share) => (u64::from(siblings.desired) * u64::from(share)).div_ceil(100),
    }
}
