//! Enough pods stay ready, as far as anyone could know, and no budget is asked for what it has not.

use std::collections::BTreeSet;

use drop_core::facts::{Budget, Facts, Siblings};
use drop_core::guard::{Guard, Says};
use drop_core::pod::Phase;
use drop_core::policy::Mode;
use drop_core::ports::Change;
use falco_event::PodUid;

use super::limits::counts;
use super::records::is_left_open;
use super::{Checked, decided};
use crate::log::{Heard, Log, Opened};
use crate::policies::{Min, kept, response};
use crate::run::Run;

/// 2. After an act as many pods are ready as must be: those that were told to be, without those that were acted on.
pub(super) fn enough_pods_stay_ready(run: &Run, log: &Log) -> Checked {
    let ends = |opened: &&Opened| opened.mode == Mode::Enforce && opened.ends.is_some();
    for opened in log.opened.iter().filter(ends) {
        let Some((needed, siblings)) = needed(log, opened.task, opened.seq, &opened.policy, &opened.response)
        else {
            continue;
        };
        // A label that was set before a delete was refused takes no pod away.
        let asked = |before: &Opened| {
            let mut calls = log.calls_of(before.act).filter(|call| call.is_terminal());
            calls.any(|call| call.seq < opened.seq && call.heard != Heard::NotMade)
        };
        let gone = |uid: &&PodUid| {
            let mut acts = log.opened.iter().filter(ends);
            acts.any(|before| {
                let keep = kept(&run.tasks[before.task].policies, &before.policy);
                let counts = asked(before) && counts(run, log, before, opened, keep);
                before.seq < opened.seq && before.target.uid == **uid && counts
            })
        };
        let others = siblings.ready.iter().filter(|uid| **uid != opened.target.uid);
        let left: Vec<&PodUid> = others.filter(|uid| !gone(uid)).collect();
        hold!(
            left.len() >= needed,
            "{needed} must stay ready, and {left:?} do after {opened:?}"
        );
    }
    Ok(())
}

/// 2. Availability stops nothing where enough pods stay ready whatever has become of every act.
pub(super) fn availability_stops_nothing_where_enough_stay_ready(run: &Run, log: &Log) -> Checked {
    for (told, decided) in decided(log) {
        let began = run.tasks[told.task].began;
        for answered in &decided.responses {
            let judgement = &answered.judgement;
            let stopped = judgement
                .verdicts
                .iter()
                .any(|verdict| verdict.guard == Guard::Availability && !verdict.passes());
            let (Some(target), true) = (&decided.target, stopped) else {
                continue;
            };
            let read = needed(log, told.task, told.seq, &judgement.policy, &judgement.response);
            let Some((needed, siblings)) = read else {
                return Err(format!("nobody said how many are ready: {decided:?}"));
            };
            // Acts that only observe would be gone for a decision that only observes.
            let acted: BTreeSet<&PodUid> = log
                .opened
                .iter()
                .filter(|before| before.seq < told.seq && before.ends.is_some())
                .filter(|before| may_have_acted(run, log, before, began))
                .map(|before| &before.target.uid)
                .chain([&target.uid])
                .collect();
            let left = siblings.ready.iter().filter(|uid| !acted.contains(uid)).count();
            hold!(
                left < needed,
                "{needed} must stay ready, and {left} do: {decided:?}"
            );
        }
    }
    Ok(())
}

/// Whether anyone can hold that an act was made, or that it still may be.
pub(super) fn may_have_acted(run: &Run, log: &Log, before: &Opened, began: u64) -> bool {
    before.mode == Mode::Observe
        || is_left_open(run, log, before, began)
        || log.calls_of(before.act).any(|call| call.heard != Heard::NotMade)
}

fn needed<'l>(
    log: &'l Log,
    task: usize,
    before: u64,
    policy: &str,
    name: &str,
) -> Option<(usize, &'l Siblings)> {
    let min = response(policy, name).min_available?;
    let siblings = log.read(task, before)?.siblings.value()?.as_ref()?;
    let needed = match min {
        Min::Pods(pods) => pods,
        Min::Percent(share) => (u64::from(siblings.desired) * share).div_ceil(100),
    };
    Some((usize::try_from(needed).unwrap(), siblings))
}

/// 2. An eviction is asked for only where the budget had room for it, as it was read, and skipped only where not.
pub(super) fn a_budget_stops_the_evictions_that_it_has_no_room_for(log: &Log) -> Checked {
    for call in log
        .calls
        .iter()
        .filter(|call| matches!(call.change, Change::Evict { .. }))
    {
        let refused = log.read(call.task, call.seq).is_some_and(is_refused);
        hold!(!refused, "the budget has no room: {call:?}");
    }
    for (told, decided) in decided(log) {
        let verdicts = decided
            .responses
            .iter()
            .flat_map(|answered| &answered.judgement.verdicts);
        let mut stops = verdicts
            .filter(|verdict| verdict.guard == Guard::Budget && matches!(verdict.says, Says::Stop(_)));
        let refused = log.read(told.task, told.seq).is_some_and(is_refused);
        hold!(
            stops.next().is_none() || refused,
            "no budget is against it: {decided:?}"
        );
    }
    Ok(())
}

/// As the API server judges an eviction.
fn is_refused(facts: &Facts) -> bool {
    let pod = &facts.pod;
    let counts = pod.deletion.is_none() && matches!(pod.phase, Phase::Running | Phase::Unknown);
    let none = |budgets: &Vec<Budget>| {
        budgets.len() > 1
            || budgets
                .iter()
                .any(|budget| budget.disruptions_allowed == 0 && (pod.ready || !budget.spares_ready_only))
    };
    counts && facts.budgets.value().is_some_and(none)
}
