//! Never more than a limit allows.

use std::collections::BTreeSet;
use std::time::Duration;

use drop_core::decide::Judgement;
use drop_core::guard::{Guard, Verdict};
use drop_core::past::ScopeKey;
use drop_core::policy::Mode;
use drop_core::ports::Target;
use falco_event::PodUid;

use super::availability::may_have_acted;
use super::{Checked, decided};
use crate::log::{Heard, Log, Opened, Written};
use crate::places::workload;
use crate::policies::{kept, limits};
use crate::run::Run;

/// 2. Never more pods than a limit allows, in any of its windows.
pub(super) fn never_more_acts_than_a_limit_allows(run: &Run, log: &Log) -> Checked {
    let real: Vec<&Opened> = log
        .opened
        .iter()
        .filter(|opened| opened.mode == Mode::Enforce)
        .collect();
    for (at, opened) in real.iter().enumerate() {
        for (scope, max, per) in limits(&opened.policy, &opened.response) {
            let key = scope_of(opened, scope);
            let counts = |before: &&&Opened| {
                scope_of(before, scope) == key
                    && before.target.uid != opened.target.uid
                    && counts(run, log, before, opened, per)
            };
            let mut others: Vec<_> = real[..at]
                .iter()
                .filter(counts)
                .map(|before| &before.target.uid)
                .collect();
            others.sort();
            others.dedup();
            hold!(
                others.len() < max,
                "{key} allows {max} pods in {per} s, and had {others:?} before {opened:?}"
            );
        }
    }
    Ok(())
}

/// Whether an act was made, or may have been, within the window that ends with the opening of another.
pub(super) fn counts(run: &Run, log: &Log, before: &Opened, opened: &Opened, per: u64) -> bool {
    let per = per.min(kept(&run.tasks[before.task].policies, &before.policy));
    log.calls_of(before.act)
        .filter(|call| call.seq < opened.seq && call.heard != Heard::NotMade)
        .any(|call| opened.at.since(call.latest(opened.seq)).as_nanos() <= u128::from(per) * 1_000_000_000)
}

pub(super) fn scope_of(opened: &Opened, scope: &str) -> ScopeKey {
    key(scope, &opened.policy, &opened.response, &opened.target)
}

fn key(scope: &str, policy: &str, response: &str, target: &Target) -> ScopeKey {
    match scope {
        "workload" => workload(target),
        "response" => ScopeKey::Response(format!("{policy}/{response}")),
        "namespace" => ScopeKey::Namespace(target.namespace.clone()),
        "policy" => ScopeKey::Policy(policy.to_owned()),
        _ => ScopeKey::Cluster,
    }
}

/// 2. Nor does a limit stop an act where there is room, whatever has become of every act that it may count.
pub(super) fn a_limit_stops_nothing_where_there_is_room(run: &Run, log: &Log) -> Checked {
    for (told, decided) in decided(log) {
        let Some(target) = &decided.target else { continue };
        for answered in &decided.responses {
            let Judgement {
                policy,
                response,
                verdicts,
                mode,
                ..
            } = &answered.judgement;
            let stops = |verdict: &Verdict| verdict.guard == Guard::Limit && !verdict.passes();
            if !verdicts.iter().any(stops) {
                continue;
            }
            let observes = |verdict: &Verdict| verdict.guard == Guard::Disarmed && verdict.passes();
            let disarmed = verdicts.iter().any(observes);
            let mode = if disarmed { Mode::Observe } else { *mode };
            let is_full = |(scope, max, per): (&str, usize, u64)| {
                let key = key(scope, policy, response, target);
                let counted: BTreeSet<&PodUid> = log
                    .opened
                    .iter()
                    .filter(|before| before.mode == mode && before.seq < told.seq)
                    .filter(|before| before.target.uid != target.uid && scope_of(before, scope) == key)
                    .filter(|before| may_count(run, log, before, told, per))
                    .map(|before| &before.target.uid)
                    .collect();
                counted.len() >= max
            };
            hold!(
                limits(policy, response).any(is_full),
                "there is room: {decided:?}"
            );
        }
    }
    Ok(())
}

/// Whether anyone can hold that an act is in a window, or in flight, at some time of a delivery.
fn may_count(run: &Run, log: &Log, before: &Opened, told: &Written, per: u64) -> bool {
    let task = &run.tasks[told.task];
    let ended = decided(log).find(|(written, _)| written.task == before.task);
    // What its engine did not tell the memory is settled whenever someone finds it.
    let settled = ended.filter(|_| !log.lost.contains(&before.task));
    let passed =
        settled.is_some_and(|(written, _)| task.began_at.since(written.at) > Duration::from_secs(per));
    !passed && may_have_acted(run, log, before, task.began)
}
