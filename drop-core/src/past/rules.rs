//! What the past says against an act: pure functions, judged in the step that opens it.

use std::collections::BTreeSet;

use falco_event::PodUid;

use super::act::{Act, ActId, Opening, ScopeKey, Settled};
use super::{InScope, MAX_ACTS, Past};
use crate::facts::Siblings;
use crate::guard::{Guard, Verdict};
use crate::policy::{Limit, MinAvailable, Mode, OnBreach, Scope};
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
        let mode = self.mode(opening);
        let mut verdicts = vec![
            self.at_pod(opening, mode, now),
            self.availability(opening, mode, now),
            self.room(),
        ];
        if mode != opening.mode {
            verdicts.push(Verdict::note(
                Guard::Disarmed,
                "a breached limit has switched this scope to observe",
            ));
        }
        for limit in &opening.limits {
            let verdict = self.limit(limit, opening, mode, now);
            if !verdict.passes() && limit.on_breach == OnBreach::Disarm && mode == Mode::Enforce {
                self.disarmed.entry(opening.key(limit.scope)).or_insert(now);
            }
            verdicts.push(verdict);
        }
        if !verdicts.iter().all(Verdict::passes) {
            return Opened::Stopped(verdicts);
        }
        self.next += 1;
        let id = self.insert(opening.act(ActId(self.next), mode, now));
        Opened::Open { id, mode, verdicts }
    }

    fn done_before(&self, opening: &Opening<'_>, now: Mono) -> Option<ActId> {
        let same = |act: &&Act| act.policy == opening.policy && act.response == opening.response;
        let mut own = self.acts_for(opening.claim.alert).filter(same);
        let complete = |act: &&Act| act.settlement(now).is_some_and(|how| how.complete);
        own.find(|act| act.mode == opening.mode && complete(act))
            .map(|act| act.id)
    }

    fn mode(&self, opening: &Opening<'_>) -> Mode {
        let scopes = [
            Scope::Workload,
            Scope::Response,
            Scope::Namespace,
            Scope::Policy,
            Scope::Cluster,
        ];
        let disarmed = !self.disarmed.is_empty()
            && scopes
                .into_iter()
                .any(|scope| self.disarmed.contains_key(&opening.key(scope)));
        if disarmed { Mode::Observe } else { opening.mode }
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

    fn room(&self) -> Verdict {
        if self.acts.len() < MAX_ACTS {
            return Verdict::pass(Guard::Memory);
        }
        Verdict::wait(
            Guard::Memory,
            format!("{MAX_ACTS} acts are remembered, and there is no room for another"),
        )
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
            left += u64::from(ending.iter().all(|act| act.ended(now) == Some(Settled::DidNot)));
            certain += u64::from(
                ending
                    .iter()
                    .all(|act| matches!(act.ended(now), None | Some(Settled::DidNot))),
            );
        }
        let why = format!("{left} would stay ready, and {needed} must");
        match () {
            () if left >= needed => Verdict::pass(Guard::Availability),
            () if certain >= needed => Verdict::wait(Guard::Availability, why),
            () => Verdict::stop(Guard::Availability, why),
        }
    }

    /// Counts distinct pods whose act happened, may have happened or is in flight; never the pod itself.
    fn limit(&self, limit: &Limit, opening: &Opening<'_>, mode: Mode, now: Mono) -> Verdict {
        let key = opening.key(limit.scope);
        let max = usize::try_from(limit.max.get()).unwrap_or(usize::MAX);
        let Some(scope) = self.by_scope.get(&(mode, key.clone())) else {
            return Verdict::pass(Guard::Limit);
        };
        let settled = self.settled_pods(scope, limit, &opening.target.uid, now, max);
        let open = scope
            .open
            .iter()
            .filter_map(|id| self.acts.get(id))
            .map(|act| &act.target.uid);
        let mut all = settled.clone();
        all.extend(open.filter(|uid| **uid != opening.target.uid).take(max));
        let why = || breach(&key, limit, mode);
        match () {
            () if all.len() < max => Verdict::pass(Guard::Limit),
            () if settled.len() < max => Verdict::wait(Guard::Limit, why()),
            () => Verdict::stop(Guard::Limit, why()),
        }
    }

    /// At most `max` of them: more do not change the verdict.
    fn settled_pods<'a>(
        &'a self,
        scope: &InScope,
        limit: &Limit,
        own: &PodUid,
        now: Mono,
        max: usize,
    ) -> BTreeSet<&'a PodUid> {
        let per = u64::try_from(limit.per.as_nanos()).unwrap_or(u64::MAX);
        let from = (Mono(now.0.saturating_sub(per)), ActId(0));
        let mut pods = BTreeSet::new();
        for uid in scope
            .settled
            .range(from..)
            .rev()
            .filter_map(|(_, id)| self.acts.get(id))
            .map(|act| &act.target.uid)
        {
            if uid != own {
                pods.insert(uid);
            }
            if pods.len() >= max {
                break;
            }
        }
        pods
    }
}

fn breach(key: &ScopeKey, limit: &Limit, mode: Mode) -> String {
    let bound = match mode {
        Mode::Enforce => "",
        // A pod that would be gone lives on, and its successor is never seen: the true count may be higher.
        Mode::Observe => " (of would-be acts, a lower bound)",
    };
    format!(
        "{key} has had {} pods in {} s{bound}",
        limit.max,
        limit.per.as_secs_f64()
    )
}

fn needed(min: MinAvailable, siblings: &Siblings) -> u64 {
    match min {
        MinAvailable::Pods(pods) => u64::from(pods),
        MinAvailable::Percent(share) => (u64::from(siblings.desired) * u64::from(share)).div_ceil(100),
    }
}
