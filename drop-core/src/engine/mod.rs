//! The engine: from one delivery of an alert to its outcome, over the ports.
//!
//! ```text
//! plan ─▶ claim ─▶ find ─▶ facts ─▶ decide ─▶ open ─▶ apply ─▶ settle ─▶ fold
//!  │        │                                  └── one step of the memory ──┘
//!  └ empty: ignored                                      confirm ─▶ close, later
//! ```
//! It has no runtime: it awaits its ports and nothing else. The host runs each call to its end; if it does not, an act
//! that was opened stands, and counts as unknown.

mod act;
mod confirm;
mod together;

use std::sync::Arc;
use std::time::Duration;

use falco_event::{Alert, PodUid, Timestamp};

use crate::decide::{decide, without_the_pod};
use crate::facts::{Facts, Wants};
use crate::guard::{Guard, Says, Verdict, decisive};
use crate::moment::Moment;
use crate::outcome::Outcome;
use crate::past::{Act, Claim, Claimed, Past, ScopeKey, Settled, Settlement};
use crate::plan::{Plan, plan};
use crate::pod::Pod;
use crate::policy::{Mode, Policies};
use crate::ports::{By, Clock, Journal, Lost, Memory, Mono, PodApi, Presence, Target};
use crate::record::{Decided, Record, nanos};
use crate::target::{Sought, mark, seek};

/// How long one act's changes may take together. Longer than an API server under load needs, and short enough that
/// the sender, who waits 30 s and more, still gets an answer.
pub const ACT_WITHIN: Duration = Duration::from_secs(10);

/// After this a delivery that has not come to its end is taken to be dead, and another may take over.
pub const CLAIM_WITHIN: Duration = Duration::from_secs(60);

/// How long after its grace a pod may take to go before the act is given up as unconfirmed.
pub const PROOF_WITHIN: Duration = Duration::from_secs(120);

/// The engine. Cheap to clone; every clone is the same engine.
///
/// What its host owes it: each [`handle`](Self::handle) runs to its end; [`confirm`](Self::confirm) is called every second
/// and when a pod goes, or no act is ever closed; and [`leave`](Self::leave) comes before the program ends.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use drop_core::memory::{Cluster, Records, Workload};
/// use drop_core::past::LocalMemory;
/// use drop_core::policy::{Policies, Source};
/// use drop_core::{Engine, Outcome};
/// use falco_event::Alert;
///
/// # futures_executor::block_on(async {
/// let text = r#"
/// apiVersion: falco-drop.dev/v1alpha1
/// kind: DropPolicy
/// metadata: { name: shells }
/// spec:
///   mode: enforce
///   responses:
///     - { name: shell, when: alert.rule = "Terminal shell in container", do: [delete: {}] }
/// "#;
/// let policies = Policies::parse(&[Source { name: "shells.yaml", text }])?;
///
/// // The ports: here all of them in memory. `drop_kube::KubePods` is the first over a Kubernetes API server.
/// let cluster = Cluster::new("2026-03-01T12:00:00Z".parse()?);
/// cluster.add_workload(Workload::deployment("shop".parse()?, "web".parse()?));
/// let (pods, clock, records) = (Arc::new(cluster.clone()), Arc::new(cluster.clone()), Records::default());
/// let memory = Arc::new(LocalMemory::new(clock.clone()));
/// let engine = Engine::new(pods, memory, Arc::new(records.clone()), clock);
///
/// cluster.advance(Duration::from_secs(60));
/// let pod = cluster.pods().remove(0);
/// let alert = format!(
///     r#"{{"rule":"Terminal shell in container","priority":"Notice","time":"2026-03-01T12:01:00Z",
///         "output_fields":{{"k8s.ns.name":"shop","k8s.pod.name":"{}"}}}}"#,
///     pod.name
/// );
/// let decided = engine.handle(&policies, &Alert::from_slice(alert.as_bytes())?, None).await;
/// assert_eq!(decided.outcome, Outcome::Acted { certain: true });
///
/// cluster.advance(Duration::from_secs(1));
/// assert_eq!(engine.confirm().await?, 0);
/// assert_eq!(records.closed().len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Engine {
    api: Arc<dyn PodApi>,
    memory: Arc<dyn Memory>,
    journal: Arc<dyn Journal>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

/// One delivery on its way: the plan, the moment, the record that grows.
struct Delivery<'a> {
    plan: Plan<'a>,
    moment: Moment,
    started: Mono,
    /// The pod that the cluster showed alive and not terminating, or that it showed none; none where it did not say.
    seen: Option<Option<PodUid>>,
    record: Decided,
}

impl Engine {
    /// An engine over its ports.
    #[must_use]
    pub fn new(
        api: Arc<dyn PodApi>,
        memory: Arc<dyn Memory>,
        journal: Arc<dyn Journal>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            api,
            memory,
            journal,
            clock,
        }
    }

    /// Handles one delivery of an alert and returns its record, which the journal has been given too.
    ///
    /// `received` is when the alert was first received, where its event says so. Handling the same alert again changes
    /// nothing more. If the outcome [is retryable](Outcome::is_retryable) the sender should keep the alert and send it
    /// again. It never fails: what goes wrong is in the outcome.
    pub async fn handle(&self, policies: &Policies, alert: &Alert, received: Option<Timestamp>) -> Decided {
        let (arrived, started) = (self.clock.wall(), self.clock.mono());
        let plan = plan(policies, alert);
        let moment = Moment::of(alert, received, arrived);
        let record = Decided::new(alert, received, policies.hash(), self.scope(), arrived);
        let mut delivery = Delivery {
            plan,
            moment,
            started,
            seen: None,
            record,
        };
        delivery.record.times.planned = self.elapsed(started);
        let outcome = if delivery.plan.is_empty() && !self.memory.may_remember(delivery.record.id) {
            Outcome::Ignored
        } else {
            self.deliver(&mut delivery).await
        };
        let mut record = delivery.record;
        record.outcome = outcome;
        record.times.ended = self.elapsed(started);
        let record = Record::Decided(Box::new(record));
        self.journal.write(&record).await;
        match record {
            Record::Decided(decided) => *decided,
            Record::Closed(_) => Decided::new(alert, received, policies.hash(), self.scope(), arrived),
        }
    }

    /// Among whom limits, disarming and handled alerts hold, in words: who shares the engine's memory.
    #[must_use]
    pub fn scope(&self) -> &str {
        self.memory.scope()
    }

    /// The scopes that a breached limit has switched to observe.
    ///
    /// # Errors
    /// Where the memory does not answer.
    pub async fn disarmed(&self) -> Result<Vec<ScopeKey>, Lost> {
        self.step(|past, _| past.disarmed().map(|(key, _)| key.clone()).collect())
            .await
    }

    /// Arms a scope again that a breached limit had switched to observe. False where it was armed.
    ///
    /// # Errors
    /// Where the memory does not answer.
    pub async fn rearm(&self, scope: &ScopeKey) -> Result<bool, Lost> {
        self.step(|past, _| past.rearm(scope)).await
    }

    /// Claims the alert, so that of several deliveries at a time one acts, and folds the outcome over all of them.
    async fn deliver(&self, delivery: &mut Delivery<'_>) -> Outcome {
        let alert = delivery.record.id;
        let claimed = self.step(|past, now| {
            let claimed = past.claim(alert, CLAIM_WITHIN, now);
            (claimed, past.acts_for(alert).next().is_none())
        });
        match claimed.await {
            Err(lost) => failed(lost.to_string(), true),
            Ok((Claimed::Handled, _)) => Outcome::Duplicate { of: alert },
            Ok((Claimed::InFlight, _)) => in_flight("another delivery of the same alert is in flight"),
            Ok((Claimed::Yours(claim), first)) => {
                let fresh = match hopeless(&delivery.plan, &delivery.moment) {
                    Some(outcome) if first => outcome,
                    // What was done for it before may have come late: its pod tells.
                    Some(outcome) => match self.find(delivery).await {
                        Err(unread @ Outcome::Failed { .. }) => unread,
                        Ok(_) | Err(_) => outcome,
                    },
                    None => self.respond(delivery, &claim).await,
                };
                self.conclude(delivery, claim, fresh).await
            }
        }
    }

    /// Finds the pod, reads the facts, decides, and carries the decision out.
    async fn respond(&self, delivery: &mut Delivery<'_>, claim: &Claim) -> Outcome {
        let pod = match self.find(delivery).await {
            Ok(pod) => pod,
            Err(outcome) => return outcome,
        };
        let (wants, target) = (delivery.plan.wants(&pod), Target::of(&pod));
        let facts = if wants == Wants::default() {
            Facts::of(pod)
        } else {
            self.api.facts(pod, wants).await
        };
        // What is judged is what is acted on, whatever the port does.
        if Target::of(&facts.pod) != target {
            return failed(
                "the facts that were read are those of another pod".to_owned(),
                true,
            );
        }
        let decision = decide(&delivery.plan, &facts, &delivery.moment);
        delivery.record.times.decided = Some(self.elapsed(delivery.started));
        delivery.record.identity = Some(decision.identity);
        let (mut outcome, mut on_trial) = (Outcome::Ignored, Outcome::Ignored);
        for judgement in decision.responses {
            let ends = judgement.actions.iter().any(|step| step.action.is_terminal());
            let answered = self.answer(delivery, claim, &facts, judgement).await;
            let (mode, result) = (answered.judgement.mode, answered.result.clone());
            delivery.record.responses.push(answered);
            // What is on trial holds up nothing.
            if mode == Mode::Observe {
                on_trial = on_trial.fold(result);
                continue;
            }
            let last = result.is_retryable() || (ends && matches!(result, Outcome::Acted { .. }));
            outcome = outcome.fold(result);
            if last {
                break;
            }
        }
        delivery.record.facts = Some(facts);
        if matches!(outcome, Outcome::Acted { .. }) {
            outcome
        } else {
            outcome.fold(on_trial)
        }
    }

    /// Finds the pod that the alert is about, or says what comes of the alert without one.
    async fn find(&self, delivery: &mut Delivery<'_>) -> Result<Pod, Outcome> {
        let (sought, way) = seek(&*self.api, delivery.plan.alert.offender(), &delivery.moment).await;
        delivery.record.way = way;
        delivery.record.times.found = Some(self.elapsed(delivery.started));
        match sought {
            Sought::Found(pod) => {
                let alive = pod.deletion.is_none().then(|| pod.uid.clone());
                delivery.seen = Some(alive);
                delivery.record.target = Some(Target::of(&pod));
                Ok(*pod)
            }
            Sought::Gone(verdict) => {
                delivery.seen = self.sees_gone(delivery.plan.alert).await.then_some(None);
                Err(skipped(&verdict))
            }
            Sought::Unclear(verdict) => Err(skipped(&verdict)),
            Sought::Failed(error) => Err(failed(format!("the pod could not be read: {error}"), true)),
        }
    }

    /// Whether no pod with the alert's mark means that the pods of its acts are gone. A container may be gone from a pod that
    /// runs on, with another in its place.
    async fn sees_gone(&self, alert: &Alert) -> bool {
        if !matches!(mark(alert.offender()), Some(By::Container { .. })) {
            return true;
        }
        let targets = |past: &mut Past, _| -> Vec<Target> {
            let acts = past.acts_for(alert.id()).filter(|act| act.mode == Mode::Enforce);
            acts.map(|act| act.target.clone()).collect()
        };
        for target in self.step(targets).await.unwrap_or_default() {
            if !matches!(
                self.api.presence(&target).await,
                Ok(Presence::Gone | Presence::Terminating)
            ) {
                return false;
            }
        }
        true
    }

    /// Forms the alert's outcome over all its tries, in the step that marks it handled.
    async fn conclude(&self, delivery: &Delivery<'_>, claim: Claim, fresh: Outcome) -> Outcome {
        let concluded = self.step(|past, now| {
            if let Some(alive) = &delivery.seen {
                past.looked(claim.alert, alive.as_ref(), claim.since, now);
            }
            let outcome = fresh.clone().fold(done_so_far(past, &claim, now));
            // What no response matches now another policy may match later.
            let ignored = delivery.plan.is_empty() && outcome == Outcome::Ignored;
            let handled = !outcome.is_retryable() && !ignored;
            past.release(claim, handled).then_some(outcome)
        });
        match concluded.await {
            Ok(Some(outcome)) => outcome,
            Ok(None) => in_flight("another delivery of the same alert has taken over"),
            Err(lost) => failed(lost.to_string(), true),
        }
    }

    async fn step<T: Send>(&self, mut f: impl FnMut(&mut Past, Mono) -> T + Send) -> Result<T, Lost> {
        let mut out = None;
        self.memory
            .update(&mut |past, now| out = Some(f(past, now)))
            .await?;
        out.ok_or_else(|| Lost("it did not run the step".to_owned()))
    }

    fn elapsed(&self, since: Mono) -> u64 {
        nanos(self.clock.mono().since(since))
    }
}

/// What the tries of the alert have done, as far as anyone can say now.
fn done_so_far(past: &Past, claim: &Claim, now: Mono) -> Outcome {
    past.acts_for(claim.alert)
        .filter(|act| act.mode == Mode::Enforce)
        .filter_map(|act| act.settlement(now).map(|how| done_by(act, how)))
        .fold(Outcome::Ignored, Outcome::fold)
}

fn done_by(act: &Act, how: Settlement) -> Outcome {
    match (how.changed, how.ended) {
        _ if how.complete => Outcome::Acted { certain: true },
        (_, Settled::Happened) => Outcome::Acted { certain: true },
        (_, Settled::Unknown) if !act.refuted => Outcome::Acted { certain: false },
        (Settled::Unknown, _) if act.edits || !act.refuted => Outcome::Acted { certain: false },
        (Settled::Happened, _) => failed("some of it was done, and the rest could not be".to_owned(), false),
        (Settled::Unknown | Settled::DidNot, _) => Outcome::Ignored,
    }
}

/// No response matches, or each is stopped by what the alert itself says: no question to the cluster is worth it.
fn hopeless(plan: &Plan<'_>, moment: &Moment) -> Option<Outcome> {
    let mut against = Vec::new();
    for wanted in &plan.wanted {
        let verdicts = without_the_pod(plan, wanted.policy, moment);
        against.push(decisive(&verdicts)?.clone());
    }
    // One that waits may act later.
    let waits = against
        .iter()
        .find(|verdict| matches!(verdict.says, Says::Wait(_)));
    Some(waits.or(against.first()).map_or(Outcome::Ignored, skipped))
}

fn skipped(verdict: &Verdict) -> Outcome {
    let (why, retryable) = match &verdict.says {
        Says::Stop(why) => (why.clone(), false),
        Says::Wait(why) => (why.clone(), true),
        Says::Pass | Says::Note(_) => (String::new(), false),
    };
    Outcome::Skipped {
        guard: verdict.guard,
        why,
        retryable,
    }
}

fn in_flight(why: &str) -> Outcome {
    skipped(&Verdict::wait(Guard::ActInFlight, why))
}

fn failed(why: String, retryable: bool) -> Outcome {
    Outcome::Failed { why, retryable }
}

fn stopped(verdicts: &[Verdict]) -> Option<Outcome> {
    decisive(verdicts).map(skipped)
}
