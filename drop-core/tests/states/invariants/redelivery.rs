//! An alert that comes again, and several about one pod.

use std::collections::BTreeSet;

use drop_core::Outcome;
use drop_core::engine::{ACT_WITHIN, CLAIM_WITHIN};
use drop_core::guard::Guard;
use drop_core::policy::Mode;
use drop_core::record::Decided;

use super::{Checked, alert_of, decided, ended, endings};
use crate::log::{Call, Heard, Log, Opened, Written};
use crate::policies::kept;
use crate::run::Run;

/// 4. Once an alert's outcome is told, nothing more is done for it; and no response ends a pod twice for one alert.
pub(super) fn redelivery_changes_nothing_more(run: &Run, log: &Log) -> Checked {
    for (told, decided) in endings(log) {
        // It was handled some time after its task began, and its record came later still.
        if is_crowded_out(run, log, run.tasks[told.task].began) {
            continue;
        }
        let more = |opened: &&Opened| {
            opened.alert == decided.id && opened.mode == Mode::Enforce && opened.seq > told.seq
        };
        let more = log.opened.iter().find(more);
        hold!(
            more.is_none(),
            "after {} for {}: {more:?}",
            decided.outcome,
            decided.id
        );
        let later = |call: &&Call| {
            call.seq > told.seq
                && run.tasks[call.task].began > told.seq
                && alert_of(log, call) == Some(decided.id)
        };
        let call = log.calls.iter().find(later);
        hold!(
            call.is_none(),
            "after {} for {}: {call:?}",
            decided.outcome,
            decided.id
        );
    }
    for one in ended(log) {
        let same = |call: &&Call| {
            call.seq > one.seq
                && call.target == one.target
                && alert_of(log, call) == alert_of(log, one)
                && call
                    .act
                    .and_then(|act| log.opened(act))
                    .map(|opened| &opened.response)
                    == one
                        .act
                        .and_then(|act| log.opened(act))
                        .map(|opened| &opened.response)
        };
        let again = ended(log).find(same);
        hold!(again.is_none(), "{one:?}, and again {again:?}");
    }
    Ok(())
}

/// So many alerts may have been handled since, some without a record since their engine died, that the memory has no
/// room for this one: then the pod's UID alone guards.
fn is_crowded_out(run: &Run, log: &Log, since: u64) -> bool {
    let before: BTreeSet<_> = decided(log)
        .filter(|(written, _)| written.seq <= since)
        .map(|(written, _)| written.task)
        .collect();
    let later = run
        .tasks
        .iter()
        .enumerate()
        .filter(|(task, _)| !before.contains(task));
    let alerts: BTreeSet<_> = later.filter_map(|(_, task)| task.alert).collect();
    alerts.len() >= run.bounds.alerts
}

/// 4. Nor is a pod ended by two alerts: not while one is at it, nor once one has done it with as little grace.
pub(super) fn several_alerts_for_one_pod_end_in_one_act(run: &Run, log: &Log) -> Checked {
    let ends = |opened: &&Opened| opened.mode == Mode::Enforce && opened.ends.is_some();
    for opened in log.opened.iter().filter(ends) {
        let earlier = log
            .opened
            .iter()
            .filter(ends)
            .filter(|before| before.seq < opened.seq && before.target.uid == opened.target.uid);
        for before in earlier {
            let young = opened.at.since(before.at) < ACT_WITHIN * 2;
            let told = run.tasks[before.task].done.is_some() && !log.lost.contains(&before.task);
            let is_over = |call: &Call| call.answered.is_some_and(|answered| answered < opened.seq);
            for call in log.calls_of(before.act).filter(|call| call.is_terminal()) {
                let in_flight = young && !is_over(call);
                hold!(
                    !in_flight,
                    "an act is at this pod: {before:?}, and again {opened:?}"
                );
                let done = young && told && is_over(call) && call.heard == Heard::Made;
                let again = done && before.ends <= opened.ends;
                hold!(!again, "this pod was ended: {before:?}, and again {opened:?}");
            }
        }
    }
    Ok(())
}

/// 5. What may be sent again comes to an end, and to the same one: an act of an earlier delivery is not forgotten.
pub(super) fn a_retryable_failure_sent_again_comes_to_the_same_end(run: &Run, log: &Log) -> Checked {
    for alert in 0..run.alerts.len() {
        hold!(
            !run.waits(alert),
            "the sender never has an answer: {:?}",
            run.alerts[alert]
        );
    }
    for (told, decided) in endings(log) {
        let before = |call: &&Call| {
            alert_of(log, call) == Some(decided.id)
                && call.changed.is_some_and(|changed| changed < told.seq)
                && !is_forgotten(run, log, call, told, decided)
        };
        if let Some(call) = ended(log).find(before) {
            hold!(
                matches!(decided.outcome, Outcome::Acted { .. }),
                "`{}` for {}, whose act ended the pod: {call:?}",
                decided.outcome,
                decided.id
            );
        }
    }
    Ok(())
}

/// An alert that is sent again after its greatest age is too old, whatever it once did. Other policies may find it
/// young again: an act is kept as the policies say that were in force.
pub(super) fn is_forgotten(run: &Run, log: &Log, call: &Call, told: &Written, decided: &Decided) -> bool {
    let old = matches!(
        decided.outcome,
        Outcome::Skipped {
            guard: Guard::AlertAge,
            ..
        }
    );
    let other = run.tasks[call.task].policies.hash() != decided.policies;
    let keep = call
        .act
        .and_then(|act| log.opened(act))
        .map_or(0, |opened| kept(&run.tasks[opened.task].policies, &opened.policy));
    // It judged the alert's age when it arrived, and took longer than any delivery may.
    let stalled = u128::from(decided.times.ended) > CLAIM_WITHIN.as_nanos();
    // It was handled, forgotten, and acted on anew before this record of it was written.
    let crowded = is_crowded_out(run, log, run.tasks[told.task].began);
    crowded || (old || other || stalled) && told.at.since(call.latest(told.seq)).as_secs() >= keep
}
