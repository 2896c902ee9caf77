//! One response carried out: open, apply, settle.

use super::{ACT_WITHIN, CLAIM_WITHIN, Delivery, Engine, failed, skipped, stopped};
use crate::decide::Judgement;
use crate::facts::Facts;
use crate::guard::{Guard, Verdict};
use crate::moment::SKEW;
use crate::outcome::Outcome;
use crate::past::{ActId, Claim, Opened, Opening, Settled, Settlement};
use crate::plan::Wanted;
use crate::policy::{Action, Mode, Policies, Step, soonest};
use crate::ports::{ApiError, ApplyError, Change, Mono, Presence, Target};
use crate::record::{Answered, Tried};

/// The answers of an act's actions, as far as it came.
struct Tries {
    tried: Vec<Tried>,
    /// The failure that ended it, or that left what the response is for undone.
    failure: Option<ApplyError>,
    /// The last failure that the response went on from.
    passed: Option<ApplyError>,
    /// The worst that is known of any change, and of the one that ends the pod.
    changed: Settled,
    ended: Settled,
    /// The grace of the action that ended the pod, or that may have.
    grace: Option<u32>,
}

impl Engine {
    /// Judges what rests on the past, and does what the response says, if nothing stands against it.
    pub(super) async fn answer(
        &self,
        delivery: &mut Delivery<'_>,
        claim: &Claim,
        facts: &Facts,
        mut judgement: Judgement,
    ) -> Answered {
        let plain = |judgement, result| Answered {
            judgement,
            act: None,
            tried: Vec::new(),
            result,
        };
        if let Some(outcome) = stopped(&judgement.verdicts) {
            return plain(judgement, outcome);
        }
        if judgement.actions.iter().all(|step| step.action == Action::Record) {
            return plain(judgement, Outcome::Observed);
        }
        // From before the act is opened: no change leaves after others may take this engine for dead.
        let until = self.clock.mono().plus(ACT_WITHIN);
        match self.open(delivery, claim, facts, &judgement).await {
            Err(lost) => plain(judgement, failed(lost, true)),
            Ok(Opened::Done(act)) => {
                let result = done(judgement.mode);
                Answered {
                    judgement,
                    act: Some(act),
                    tried: Vec::new(),
                    result,
                }
            }
            Ok(Opened::Stopped(verdicts)) => {
                judgement.verdicts.extend(verdicts);
                let outcome = stopped(&judgement.verdicts).unwrap_or(Outcome::Observed);
                plain(judgement, outcome)
            }
            Ok(Opened::Open { id, mode, verdicts }) => {
                judgement.verdicts.extend(verdicts);
                judgement.mode = mode;
                self.carry_out(delivery, id, judgement, until).await
            }
        }
    }

    async fn open(
        &self,
        delivery: &Delivery<'_>,
        claim: &Claim,
        facts: &Facts,
        judgement: &Judgement,
    ) -> Result<Opened, String> {
        let planned = |wanted: &&Wanted<'_>| {
            wanted.policy.name == judgement.policy && wanted.response.name == judgement.response
        };
        let Some(wanted) = delivery.plan.wanted.iter().find(planned) else {
            return Err("the response is not in the plan".to_owned());
        };
        let target = Target::of(&facts.pod);
        let policies = delivery.plan.policies;
        let opening = opening(policies, wanted, judgement, claim, facts, &target);
        self.step(|past, now| past.open(&opening, now))
            .await
            .map_err(|lost| lost.to_string())
    }

    async fn carry_out(
        &self,
        delivery: &mut Delivery<'_>,
        act: ActId,
        judgement: Judgement,
        until: Mono,
    ) -> Answered {
        let (result, how, grace, tried) = match (judgement.mode, delivery.record.target.clone()) {
            (Mode::Enforce, Some(target)) => {
                delivery.record.times.acting = Some(self.elapsed(delivery.started));
                let tries = self.make(&target, &judgement.actions, until).await;
                delivery.record.times.acted = Some(self.elapsed(delivery.started));
                let gone = self.found_gone(&target, &tries).await;
                if gone {
                    // Later than the look that showed it alive: an earlier try may have come in between.
                    delivery.seen = Some(None);
                }
                (tries.result(gone), tries.settlement(), tries.grace, tries.tried)
            }
            (Mode::Observe, _) | (Mode::Enforce, None) => {
                (Outcome::Observed, would_be(&judgement.actions), None, Vec::new())
            }
        };
        // A memory that does not answer leaves the act open: it counts as unknown, and `confirm` looks after it.
        let kept = self.step(|past, now| {
            past.ended_by(act, grace);
            past.settle(act, how, now);
        });
        let kept = kept.await;
        let result = match (kept, result) {
            (Err(lost), Outcome::Failed { .. } | Outcome::Skipped { .. }) => failed(lost.to_string(), true),
            (_, result) => result,
        };
        Answered {
            judgement,
            act: Some(act),
            tried,
            result,
        }
    }

    /// Makes the changes in order, until one fails that the response does not go on from, or one ends the pod.
    async fn make(&self, target: &Target, steps: &[Step], until: Mono) -> Tries {
        let mut tries = Tries {
            tried: Vec::new(),
            failure: None,
            passed: None,
            changed: Settled::DidNot,
            ended: Settled::DidNot,
            grace: None,
        };
        for step in steps {
            let Some(change) = change(&step.action) else {
                continue;
            };
            let answer = self
                .api
                .apply(target, &change, until.since(self.clock.mono()))
                .await;
            tries.note(&step.action, &answer);
            match answer {
                Ok(()) if step.action.is_terminal() => break,
                Ok(()) => {}
                Err(failure) if step.continue_on_error => tries.passed = Some(failure),
                Err(failure) => {
                    tries.failure = Some(failure);
                    break;
                }
            }
        }
        tries.judged(steps)
    }

    /// Whether an act failed because its pod is gone.
    async fn found_gone(&self, target: &Target, tries: &Tries) -> bool {
        match tries.failure.as_ref().map(|failure| &failure.why) {
            Some(ApiError::NotFound) => true,
            Some(ApiError::Conflict(_)) => matches!(self.api.presence(target).await, Ok(Presence::Gone)),
            None
            | Some(
                ApiError::Invalid(_)
                | ApiError::Forbidden(_)
                | ApiError::Budget(_)
                | ApiError::TooManyRequests(_)
                | ApiError::Unavailable(_)
                | ApiError::TimedOut(_),
            ) => false,
        }
    }
}

impl Tries {
    fn note(&mut self, action: &Action, answer: &Result<(), ApplyError>) {
        let how = match answer {
            Ok(()) => Settled::Happened,
            Err(error) if error.maybe_happened => Settled::Unknown,
            Err(_) => Settled::DidNot,
        };
        self.changed = more(self.changed, how);
        if let Some(grace) = action.grace_period_seconds() {
            self.ended = more(self.ended, how);
            self.grace = match how {
                Settled::Happened => Some(grace),
                Settled::Unknown => Some(self.grace.map_or(grace, |before| before.min(grace))),
                Settled::DidNot => self.grace,
            };
        }
        self.tried.push(Tried::new(action, answer));
    }

    /// To go on from a failure is not to succeed: a pod that was to end and did not, or a response of which nothing
    /// was done, has failed.
    fn judged(mut self, steps: &[Step]) -> Self {
        let main = if soonest(steps).is_some() {
            self.ended
        } else {
            self.changed
        };
        if self.failure.is_none() && main != Settled::Happened {
            self.failure = self.passed.take();
        }
        self
    }

    /// What the alert's sender is told of an act.
    fn result(&self, gone: bool) -> Outcome {
        let Some(ApplyError { why, maybe_happened }) = &self.failure else {
            return if self.tried.is_empty() {
                Outcome::Observed
            } else {
                Outcome::Acted { certain: true }
            };
        };
        // Of an action that the response went on from nobody may know how it ended.
        let maybe = *maybe_happened || [self.changed, self.ended].contains(&Settled::Unknown);
        match (gone, maybe) {
            (true, true) => Outcome::Acted { certain: false },
            (true, false) => skipped(&Verdict::stop(
                Guard::Target,
                "the pod went before it was acted on",
            )),
            (false, maybe) => failed(why.to_string(), maybe || why.is_retryable()),
        }
    }

    fn settlement(&self) -> Settlement {
        Settlement {
            changed: self.changed,
            ended: self.ended,
            complete: self.failure.is_none(),
        }
    }
}

/// The more of two ends: what happened is certain, what may have happened counts.
fn more(one: Settled, other: Settled) -> Settled {
    match (one, other) {
        (Settled::Happened, _) | (_, Settled::Happened) => Settled::Happened,
        (Settled::Unknown, _) | (_, Settled::Unknown) => Settled::Unknown,
        (Settled::DidNot, Settled::DidNot) => Settled::DidNot,
    }
}

fn done(mode: Mode) -> Outcome {
    match mode {
        Mode::Enforce => Outcome::Acted { certain: true },
        Mode::Observe => Outcome::Observed,
    }
}

fn would_be(steps: &[Step]) -> Settlement {
    let ended = if soonest(steps).is_some() {
        Settled::Happened
    } else {
        Settled::DidNot
    };
    Settlement {
        changed: Settled::Happened,
        ended,
        complete: true,
    }
}

fn edits(step: &Step) -> bool {
    matches!(step.action, Action::Label { .. } | Action::Annotate { .. })
}

fn change(action: &Action) -> Option<Change> {
    match action {
        Action::Delete { grace_period_seconds } => Some(Change::Delete {
            grace_period_seconds: *grace_period_seconds,
        }),
        Action::Evict { grace_period_seconds } => Some(Change::Evict {
            grace_period_seconds: *grace_period_seconds,
        }),
        Action::Label { labels } => Some(Change::Label(labels.clone())),
        Action::Annotate { annotations } => Some(Change::Annotate(annotations.clone())),
        Action::Record => None,
    }
}

fn opening<'a>(
    policies: &Policies,
    wanted: &'a Wanted<'_>,
    judgement: &'a Judgement,
    claim: &Claim,
    facts: &'a Facts,
    target: &'a Target,
) -> Opening<'a> {
    let limits = wanted.policy.limits.iter().chain(&wanted.response.limits);
    let siblings = facts.siblings.value().and_then(Option::as_ref);
    let owner = facts.owner.value().and_then(Option::as_ref);
    Opening {
        claim: *claim,
        policy: &judgement.policy,
        response: &judgement.response,
        target,
        owner,
        mode: judgement.mode,
        ends: soonest(&judgement.actions),
        edits: judgement.actions.iter().any(edits),
        limits: limits.copied().collect(),
        available: wanted.response.min_available.zip(siblings),
        alive: facts.pod.deletion.is_none(),
        within: ACT_WITHIN * 2,
        // Sent again, the alert is not too old for so long: its time and the two clocks that judge it may be apart, and a
        // delivery that came in time may take its own.
        keep: policies
            .longest_window()
            .max(wanted.policy.max_alert_age + SKEW * 2 + CLAIM_WITHIN),
    }
}
