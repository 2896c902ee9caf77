//! The decision: what was planned, weighed against what the cluster says.

mod budget;
mod protection;

use std::time::Duration;

use falco_event::{Namespace, Offender};
use serde::{Deserialize, Serialize};

use self::budget::budget;
use self::protection::{protected, protected_namespace};
use crate::condition::Truth;
use crate::facts::{Facts, Known, Wants};
use crate::guard::{Guard, Verdict, decisive};
use crate::identity::Identity;
use crate::moment::{AHEAD, Moment, SKEW, between};
use crate::plan::{Plan, Wanted};
use crate::policy::{Mode, Policies, Policy, Protect, Step, soonest};

/// Every planned response, judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// How each clue of the alert fits the pod.
    pub identity: Identity,
    /// In document order; those whose condition does not hold are not in it.
    pub responses: Vec<Judgement>,
}

/// One response with every guard's verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Judgement {
    /// The policy's name.
    pub policy: String,
    /// The response's name.
    pub response: String,
    /// Whether it may act at all.
    pub mode: Mode,
    /// Every guard's verdict, also of those that let it pass.
    pub verdicts: Vec<Verdict>,
    /// What it does, if it may.
    pub actions: Vec<Step>,
}

impl Judgement {
    /// What stands against it; none where it may act.
    #[must_use]
    pub fn stopped(&self) -> Option<&Verdict> {
        decisive(&self.verdicts)
    }
}

/// Weighs the plan against the facts: conditions over the pod, identity, age, bounds, protection.
///
/// Pure: the same plan, facts and moment give the same decision. What rests on past acts is judged in the step that
/// opens an act ([`crate::past`]).
#[must_use]
pub fn decide(plan: &Plan<'_>, facts: &Facts, moment: &Moment) -> Decision {
    let identity = Identity::compare(plan.alert.offender(), facts, moment);
    let of_the_pod = pod_verdicts(plan.policies.protect(), &identity, facts, moment);
    let responses = plan
        .wanted
        .iter()
        .filter_map(|wanted| judge(plan, wanted, facts, moment, &of_the_pod))
        .collect();
    Decision { identity, responses }
}

/// The verdicts that need no pod: the age of the alert, and the namespace that it names, since a pod in another one
/// would contradict it.
#[must_use]
pub fn without_the_pod(plan: &Plan<'_>, policy: &Policy, moment: &Moment) -> Vec<Verdict> {
    let offender = plan.alert.offender();
    let mut verdicts = vec![alert_age(offender, policy, moment)];
    if let Some(namespace) = &offender.namespace {
        verdicts.push(bounds(policy, namespace));
        verdicts.push(protected_namespace(plan.policies.protect(), namespace));
    }
    verdicts
}

/// Whether the alert is neither old nor ahead of the clock.
fn alert_age(offender: &Offender, policy: &Policy, moment: &Moment) -> Verdict {
    let (age, ahead) = (moment.age(), moment.ahead());
    if ahead > SKEW {
        let why = format!(
            "the alert's time {} is {} s ahead of this clock",
            moment.alert,
            ahead.as_secs()
        );
        // By then its name may be another pod's, unless it says more of the pod or it is known when it came.
        let is_pinned = offender.container.is_some() || offender.pod_uid.is_some();
        let is_sure = is_pinned || between(moment.now, moment.happened) <= SKEW;
        let in_time = age.saturating_add(ahead.saturating_sub(SKEW)) <= policy.max_alert_age;
        return if is_sure && in_time && ahead <= AHEAD {
            Verdict::wait(Guard::AlertAge, why)
        } else {
            Verdict::stop(Guard::AlertAge, why)
        };
    }
    if age > policy.max_alert_age {
        let limit = policy.max_alert_age.as_secs();
        return Verdict::stop(
            Guard::AlertAge,
            format!("{} s old, and the policy says {limit} s", age.as_secs()),
        );
    }
    Verdict::pass(Guard::AlertAge)
}

fn judge(
    plan: &Plan<'_>,
    wanted: &Wanted<'_>,
    facts: &Facts,
    moment: &Moment,
    shared: &[Verdict],
) -> Option<Judgement> {
    let condition = match wanted.holds {
        Truth::Unknown => wanted.response.when.eval(plan.alert, Some(facts)),
        known @ (Truth::True | Truth::False) => known,
    };
    if condition == Truth::False {
        return None;
    }
    let mut verdicts = vec![
        readable(condition, plan.policies, wanted, facts),
        alert_age(plan.alert.offender(), wanted.policy, moment),
    ];
    verdicts.extend_from_slice(shared);
    verdicts.push(bounds(wanted.policy, &facts.pod.namespace));
    verdicts.push(terminating(&wanted.response.actions, facts, moment));
    verdicts.push(budget(wanted.response, facts));
    Some(Judgement {
        policy: wanted.policy.name.clone(),
        response: wanted.response.name.clone(),
        mode: wanted.response.mode,
        verdicts,
        actions: wanted.response.actions.clone(),
    })
}

/// A fact that could not be read stops what rests on it until it can be read.
fn readable(condition: Truth, policies: &Policies, wanted: &Wanted<'_>, facts: &Facts) -> Verdict {
    let guards = Wants {
        owner: policies.counts_workloads(&facts.pod.namespace),
        ..wanted.guard_wants()
    };
    if condition == Truth::Unknown {
        let why =
            unread(&wanted.response.when.wants(), facts).unwrap_or_else(|| "a fact was not read".to_owned());
        return Verdict::wait(Guard::Facts, format!("the condition cannot be told: {why}"));
    }
    match unread(&guards, facts) {
        Some(why) => Verdict::wait(Guard::Facts, why),
        None => Verdict::pass(Guard::Facts),
    }
}

/// The first of the wanted facts that could not be read, or that nobody read.
fn unread(wants: &Wants, facts: &Facts) -> Option<String> {
    fn why<T>(what: &str, wanted: bool, fact: &Known<T>) -> Option<String> {
        match fact {
            Known::Unknown(why) if wanted => Some(format!("{what} could not be read: {why}")),
            Known::NotAsked if wanted => Some(format!("nobody has read {what}")),
            Known::Unknown(_) | Known::NotAsked | Known::Is(_) => None,
        }
    }
    // Of disruption budgets the API server has the last word.
    why("the labels of the namespace", wants.namespace, &facts.namespace)
        .or_else(|| why("the owner", wants.owner, &facts.owner))
        .or_else(|| why("the ready pods of the owner", wants.siblings, &facts.siblings))
}

fn pod_verdicts(protect: &Protect, identity: &Identity, facts: &Facts, moment: &Moment) -> Vec<Verdict> {
    let [identity, pod_age] = identity.verdicts(&facts.pod, moment);
    vec![
        identity,
        pod_age,
        protected(protect, facts),
        mirror(facts),
        finished(facts),
    ]
}

fn bounds(policy: &Policy, namespace: &Namespace) -> Verdict {
    match &policy.namespaces {
        Some(allowed) if !allowed.contains(namespace) => Verdict::stop(
            Guard::Bounds,
            format!("the policy does not act in namespace `{namespace}`"),
        ),
        Some(_) | None => Verdict::pass(Guard::Bounds),
    }
}

fn mirror(facts: &Facts) -> Verdict {
    if facts.pod.mirror {
        return Verdict::stop(
            Guard::Mirror,
            "a static pod cannot be stopped this way: its kubelet goes on running it",
        );
    }
    Verdict::pass(Guard::Mirror)
}

fn finished(facts: &Facts) -> Verdict {
    if facts.pod.phase.is_finished() {
        return Verdict::stop(
            Guard::Finished,
            format!("the pod has ended ({})", facts.pod.phase),
        );
    }
    Verdict::pass(Guard::Finished)
}

/// A pod that ends by itself at least as soon as we would end it is left to itself.
fn terminating(actions: &[Step], facts: &Facts, moment: &Moment) -> Verdict {
    match (&facts.pod.deletion, soonest(actions)) {
        (Some(deletion), Some(grace))
            if between(moment.now, deletion.at) <= Duration::from_secs(grace.into()) =>
        {
            Verdict::stop(
                Guard::Terminating,
                format!("the pod is terminating, and ends by {}", deletion.at),
            )
        }
        (Some(_) | None, _) => Verdict::pass(Guard::Terminating),
    }
}
