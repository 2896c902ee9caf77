//! How acts end, as far as anyone can say.

use std::time::Duration;

use falco_event::{AlertId, PodUid};

use super::scope::InScopes;
use super::{Act, ActId, Past, Settled, Settlement, Since};
use crate::policy::Mode;
use crate::ports::Mono;

/// How long an act rests that has not ended its pod so far: that its request comes late is rare, and each look is a
/// request of its own.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(10);

impl Past {
    /// Notes how an act ended, as its own engine knows it. The first word of the engine stands.
    pub fn settle(&mut self, id: ActId, how: Settlement, now: Mono) {
        let open = |act: &Act| act.settled.is_none() || act.assumed;
        if self.act(id).is_some_and(open) {
            self.end(id, how, false, now);
        }
    }

    /// Notes, before its end, the grace of the action that ended the pod or may have: of several that an act has, one that
    /// came later may be another's.
    pub fn ended_by(&mut self, id: ActId, grace: Option<u32>) {
        if let Some(act) = self.acts.get_mut(&id)
            && (act.settled.is_none() || act.assumed)
        {
            act.ends = grace.or(act.ends);
        }
    }

    /// The engine of an act has died or is late: anything may have happened. If it lives, it is believed later.
    pub fn give_up(&mut self, id: ActId, now: Mono) {
        if let Some(act) = self.act(id).filter(|act| act.settled.is_none()) {
            let lost = Settlement::lost(act.ends.is_some());
            self.end(id, lost, true, now);
        }
    }

    fn end(&mut self, id: ActId, how: Settlement, assumed: bool, now: Mono) {
        let Some(act) = self.acts.get_mut(&id) else { return };
        act.assumed = assumed;
        act.refuted &= how.ended == Settled::Unknown;
        if let Some((before, _)) = &mut act.settled {
            *before = how;
        } else {
            self.steps += 1;
            act.settled_step = self.steps;
            act.settled = Some((how, now));
        }
        let (owes_proof, in_scopes) = (act.owes_proof(), InScopes::of(act));
        self.recount(&in_scopes);
        if !owes_proof {
            self.close(id, now);
        }
    }

    /// A read that began after `since` saw this pod alive and not terminating: acts that ended unknown before then
    /// have not happened so far. They still count in their limits, and are looked after a while longer, for a request
    /// under way may yet arrive.
    pub fn seen_alive(&mut self, pod: &PodUid, since: Since, now: Mono) {
        let ended_before = |act: &&Act| match act.settled {
            Some(_) => act.settled_step <= since.step,
            None => act.due <= since.at,
        };
        let unknown = |act: &&Act| act.ended(now) == Some(Settled::Unknown);
        let refuted: Vec<ActId> = self
            .acts_at(pod)
            .filter(ended_before)
            .filter(unknown)
            .map(|act| act.id)
            .collect();
        for id in refuted {
            self.give_up(id, now);
            if let Some(act) = self.acts.get_mut(&id) {
                act.refuted = true;
                act.rests_until = now.plus(LOOK_AGAIN);
            }
        }
    }

    /// The acts whose pods are to be looked at now: those that are owed a proof, but for the refuted ones of a moment
    /// ago. What an engine that died has left is given up first.
    pub fn to_look_at(&mut self, now: Mono) -> Vec<Act> {
        let dead = self
            .obligations()
            .filter(|act| act.settled.is_none() && !act.is_in_flight(now));
        let dead: Vec<ActId> = dead.map(|act| act.id).collect();
        for id in dead {
            self.give_up(id, now);
        }
        let due = |act: &&Act| act.settled.is_some() && (!act.refuted || act.rests_until <= now);
        self.obligations().filter(due).cloned().collect()
    }

    /// A read that began after `since` looked for the pod of an alert, and [saw it alive](Self::seen_alive), or none: acts
    /// for the alert at any other pod are in [doubt](Self::doubt).
    pub fn looked(&mut self, alert: AlertId, alive: Option<&PodUid>, since: Since, now: Mono) {
        if let Some(uid) = alive {
            self.seen_alive(uid, since, now);
        }
        let others = self.acts_for(alert).filter(|act| Some(&act.target.uid) != alive);
        let others: Vec<ActId> = others.map(|act| act.id).collect();
        for id in others {
            self.doubt(id, now);
        }
    }

    /// A read saw that the pod of a refuted act is gone or going: a request that came late may have done it, unless
    /// another act is known to have. Whether that act is in doubt now, and so owed a proof again.
    pub fn doubt(&mut self, id: ActId, now: Mono) -> bool {
        let Some(act) = self.act(id) else { return false };
        let known = |other: &Act| other.mode == Mode::Enforce && other.ended(now) == Some(Settled::Happened);
        // What only observed has ended nothing, however late it comes.
        if !act.refuted || !act.owes_proof() || self.acts_at(&act.target.uid).any(known) {
            return false;
        }
        let Some(act) = self.acts.get_mut(&id) else {
            return false;
        };
        act.refuted = false;
        act.closed = false;
        if let Some(until) = act.forget_at.take() {
            self.forgettable.remove(&(until, id));
        }
        self.obligations.insert(id);
        true
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
}
