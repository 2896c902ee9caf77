//! What holds of every case, each told from the log of the ports and the cluster's history: not by the engine's words.

use drop_core::Outcome;
use drop_core::engine::{ACT_WITHIN, CLAIM_WITHIN};
use drop_core::guard::Guard;
use drop_core::memory::{Actor, Happened};
use drop_core::outcome::Ending;
use drop_core::past::{ActId, ScopeKey};
use drop_core::policy::Mode;
use drop_core::ports::Change;
use drop_core::record::{Answered, Closed, Decided, Record};

use crate::log::{Call, Heard, Log, Opened, TaskId, Written};
use crate::places::{is_protected, workload};
use crate::policies::{kept, limits, response};
use crate::run::{Done, Run};

type Checked = Result<(), String>;

macro_rules! hold {
    ($holds:expr, $($why:tt)+) => {
        if !$holds {
            return Err(format!($($why)+));
        }
    };
}

/// Every invariant, in the order in which ARCHITECTURE.md names them.
pub(crate) fn all(run: &Run) -> Checked {
    let log = run.log.lock();
    only_the_target_of_a_matching_enforced_response_is_changed(run, &log)?;
    never_more_acts_than_a_limit_allows(&log)?;
    what_is_protected_is_not_touched(run, &log)?;
    redelivery_changes_nothing_more(run, &log)?;
    several_alerts_for_one_pod_end_in_one_act(run, &log)?;
    a_retryable_failure_sent_again_comes_to_the_same_end(run, &log)?;
    observe_changes_nothing(run, &log)?;
    every_delivery_has_one_record_and_every_act_is_in_it(run, &log)?;
    every_act_that_may_have_ended_a_pod_has_its_second_record(run, &log)?;
    the_record_says_what_the_cluster_says(run, &log)?;
    a_second_record_says_what_the_cluster_says(run, &log)
}

/// 1. No pod but the target of a matching, enforced response is ever changed.
fn only_the_target_of_a_matching_enforced_response_is_changed(run: &Run, log: &Log) -> Checked {
    for entry in run.cluster.history() {
        let asked = |call: &Call| call.target == entry.pod && makes(&call.change, &entry.what);
        let ours = entry.by == Actor::PodApi && !matches!(entry.what, Happened::Disrupted { .. });
        hold!(
            !ours || log.calls.iter().any(asked),
            "nobody asked for this change: {entry:?}"
        );
    }
    for call in &log.calls {
        let opened = act_of(log, call)?;
        hold!(
            opened.target == call.target,
            "an act at one pod changes another: {call:?}"
        );
        let Some(alert) = run.tasks[call.task].alert.map(|alert| &run.alerts[alert]) else {
            return Err(format!("a change without an alert: {call:?}"));
        };
        hold!(
            alert.may_hit.contains(&call.target.uid),
            "the wrong pod: {call:?} for {alert:?}"
        );
        let response = response(&opened.policy, &opened.response);
        hold!(
            (response.matches)(alert.alert.rule(), &call.target),
            "the response does not match: {opened:?}"
        );
    }
    Ok(())
}

fn makes(change: &Change, what: &Happened) -> bool {
    let ends = matches!(
        what,
        Happened::DeletionRequested { .. } | Happened::DeletionShortened { .. } | Happened::Removed
    );
    (ends && matches!(change, Change::Delete { .. } | Change::Evict { .. }))
        || (*what == Happened::Labelled && matches!(change, Change::Label(_)))
        || (*what == Happened::Annotated && matches!(change, Change::Annotate(_)))
}

/// 2. Never more pods than a limit allows, in any of its windows.
fn never_more_acts_than_a_limit_allows(log: &Log) -> Checked {
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
                    && counts(log, before, opened, per)
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
fn counts(log: &Log, before: &Opened, opened: &Opened, per: u64) -> bool {
    let per = per.min(kept(&before.policy, &before.response));
    log.calls_of(before.act)
        .filter(|call| call.seq < opened.seq && call.heard != Heard::NotMade)
        .any(|call| opened.at.since(call.latest(opened.seq)).as_nanos() <= u128::from(per) * 1_000_000_000)
}

fn scope_of(opened: &Opened, scope: &str) -> ScopeKey {
    match scope {
        "workload" => workload(&opened.target),
        "response" => ScopeKey::Response(format!("{}/{}", opened.policy, opened.response)),
        "namespace" => ScopeKey::Namespace(opened.target.namespace.clone()),
        "policy" => ScopeKey::Policy(opened.policy.clone()),
        _ => ScopeKey::Cluster,
    }
}

/// 3. What is protected is not touched: not by a change, nor by a budget that is spent.
fn what_is_protected_is_not_touched(run: &Run, log: &Log) -> Checked {
    for call in &log.calls {
        hold!(!is_protected(&call.target), "protected: {call:?}");
    }
    for target in run.cluster.touched() {
        hold!(!is_protected(&target), "protected: {target:?}");
    }
    Ok(())
}

/// 4. Once an alert's outcome is told, nothing more is done for it; and no response ends a pod twice for one alert.
fn redelivery_changes_nothing_more(run: &Run, log: &Log) -> Checked {
    for (told, decided) in endings(log) {
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

/// 4. Nor is a pod ended by two alerts: not while one is at it, nor once one has done it with as little grace.
fn several_alerts_for_one_pod_end_in_one_act(run: &Run, log: &Log) -> Checked {
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
fn a_retryable_failure_sent_again_comes_to_the_same_end(run: &Run, log: &Log) -> Checked {
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
/// young again: an act is kept as its own policies say.
fn is_forgotten(run: &Run, log: &Log, call: &Call, told: &Written, decided: &Decided) -> bool {
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
        .map_or(0, |opened| kept(&opened.policy, &opened.response));
    // It judged the alert's age when it arrived, and took longer than any delivery may.
    let stalled = u128::from(decided.times.ended) > CLAIM_WITHIN.as_nanos();
    (old || other || stalled) && told.at.since(call.latest(told.seq)).as_secs() >= keep
}

/// 6. Observe changes nothing: neither by policy, nor by response, nor where a breached limit has disarmed the scope.
fn observe_changes_nothing(_: &Run, log: &Log) -> Checked {
    for call in &log.calls {
        let opened = act_of(log, call)?;
        hold!(opened.mode == Mode::Enforce, "a would-be act: {call:?}");
        let mode = response(&opened.policy, &opened.response).mode;
        hold!(mode == Mode::Enforce, "the policy only observes: {call:?}");
        for scope in ["workload", "response", "namespace", "policy", "cluster"] {
            let disarmed = opened.disarmed.contains(&scope_of(opened, scope));
            hold!(!disarmed, "the scope {scope} is disarmed: {opened:?}");
        }
    }
    Ok(())
}

/// 7. Every delivery that came to its end has exactly one record, and each change it asked for is in it.
fn every_delivery_has_one_record_and_every_act_is_in_it(run: &Run, log: &Log) -> Checked {
    for (id, task) in run.tasks.iter().enumerate() {
        let written: Vec<&Decided> = decided(log)
            .filter(|(written, _)| written.task == id)
            .map(|(_, decided)| decided)
            .collect();
        hold!(written.len() <= 1, "two records for one delivery: {written:?}");
        if let Some(Done::Decided(answer)) = &task.done {
            hold!(written == [&**answer], "not recorded: {answer:?}");
            tries_are_recorded(log, id, answer)?;
        }
    }
    Ok(())
}

fn tries_are_recorded(log: &Log, task: TaskId, decided: &Decided) -> Checked {
    let calls: Vec<(Option<ActId>, Heard)> = log
        .calls
        .iter()
        .filter(|call| call.task == task)
        .map(|call| (call.act, call.heard))
        .collect();
    let tried: Vec<(Option<ActId>, Heard)> = decided.responses.iter().flat_map(tries).collect();
    hold!(calls == tried, "asked {calls:?}, recorded {tried:?}: {decided:?}");
    Ok(())
}

fn tries(answered: &Answered) -> impl Iterator<Item = (Option<ActId>, Heard)> {
    answered.tried.iter().map(|tried| {
        let heard = match (&tried.error, tried.maybe_happened) {
            (None, _) => Heard::Made,
            (Some(_), true) => Heard::Unknown,
            (Some(_), false) => Heard::NotMade,
        };
        (answered.act, heard)
    })
}

/// 7. Every act that ended a pod has its second record, and no act that certainly did not; in the end nothing is owed.
fn every_act_that_may_have_ended_a_pod_has_its_second_record(run: &Run, log: &Log) -> Checked {
    hold!(run.owed == Some(0), "acts are owed a proof: {:?}", run.owed);
    for call in ended(log) {
        let told = closed(log).any(|(_, closed)| Some(closed.act) == call.act);
        hold!(told, "no second record: {call:?}");
    }
    for (written, closed) in closed(log) {
        let Some(opened) = log.opened(closed.act) else {
            return Err(format!("a second record for no act: {closed:?}"));
        };
        hold!(
            opened.mode == Mode::Enforce && opened.ends.is_some(),
            "nothing was to be ended: {closed:?}"
        );
        let may = |call: &Call| call.is_terminal() && call.heard != Heard::NotMade;
        hold!(
            log.calls_of(closed.act).any(may) || is_left_open(run, log, opened, written.seq),
            "a second record for what never was: {closed:?}"
        );
    }
    Ok(())
}

/// The engine died, was late, or could not tell the memory how the act ended: then nobody knows.
fn is_left_open(run: &Run, log: &Log, opened: &Opened, seq: u64) -> bool {
    let task = &run.tasks[opened.task];
    // The engine has twice the time of an act's changes to settle it; then another may have done so in its stead.
    let in_time = |written: &Written| written.at.since(opened.at) < ACT_WITHIN * 2;
    let ended =
        decided(log).any(|(written, _)| written.task == opened.task && written.seq < seq && in_time(written));
    task.done.is_none() || !ended || log.lost.contains(&opened.task)
}

/// 8. A record says what the cluster says.
fn the_record_says_what_the_cluster_says(run: &Run, log: &Log) -> Checked {
    for (told, decided) in decided(log) {
        let calls: Vec<&Call> = log
            .calls
            .iter()
            .filter(|call| call.seq < told.seq && alert_of(log, call) == Some(decided.id))
            .collect();
        let made = |call: &&&Call| {
            call.heard == Heard::Made || call.changed.is_some_and(|changed| changed < told.seq)
        };
        let made = calls
            .iter()
            .find(|call| made(call) && !is_forgotten(run, log, call, told, decided));
        match &decided.outcome {
            Outcome::Acted { certain: true } => {
                let true_of = |call: &&&Call| {
                    call.heard == Heard::Made
                        && (call.changed.is_some() || call.terminating || !call.is_terminal())
                };
                hold!(
                    calls.iter().any(|call| true_of(&call)),
                    "never acted: {decided:?}"
                );
            }
            Outcome::Acted { certain: false } => {
                let may = |opened: &Opened| {
                    let maybe = log.calls_of(opened.act).any(|call| call.heard != Heard::NotMade);
                    opened.alert == decided.id && (maybe || is_left_open(run, log, opened, told.seq))
                };
                hold!(log.opened.iter().any(may), "cannot have acted: {decided:?}");
            }
            Outcome::Skipped { retryable: false, .. } | Outcome::Observed => {
                hold!(made.is_none(), "`{}`, but {made:?}", decided.outcome);
            }
            Outcome::Failed { retryable: false, .. } => {
                let ended = made.filter(|call| call.is_terminal());
                hold!(ended.is_none(), "`{}`, but {ended:?}", decided.outcome);
            }
            // These say nothing of what was done: no response matches, the outcome was told before, or it is not known.
            Outcome::Ignored
            | Outcome::Duplicate { .. }
            | Outcome::Skipped { retryable: true, .. }
            | Outcome::Failed { retryable: true, .. } => {}
        }
    }
    Ok(())
}

/// 8. A second record says that a pod is gone only if it is, and that it is ours only if the API server took it.
fn a_second_record_says_what_the_cluster_says(_: &Run, log: &Log) -> Checked {
    for (written, closed) in closed(log) {
        if let Ending::Confirmed { ours } = closed.ending {
            hold!(!written.there, "confirmed, and still there: {closed:?}");
            let made = |call: &Call| call.is_terminal() && call.heard == Heard::Made;
            hold!(
                !ours || log.calls_of(closed.act).any(made),
                "someone else did it: {closed:?}"
            );
        }
    }
    Ok(())
}

fn act_of<'l>(log: &'l Log, call: &Call) -> Result<&'l Opened, String> {
    let opened = call.act.and_then(|act| log.opened(act));
    opened.ok_or_else(|| format!("a change without an act: {call:?}"))
}

fn alert_of(log: &Log, call: &Call) -> Option<falco_event::AlertId> {
    call.act
        .and_then(|act| log.opened(act))
        .map(|opened| opened.alert)
}

/// The changes that truly began to end a pod while their call was under way.
fn ended(log: &Log) -> impl Iterator<Item = &Call> {
    log.calls
        .iter()
        .filter(|call| call.is_terminal() && call.changed.is_some())
}

fn decided(log: &Log) -> impl Iterator<Item = (&Written, &Decided)> {
    log.written.iter().filter_map(|written| match &written.record {
        Record::Decided(decided) => Some((written, &**decided)),
        Record::Closed(_) => None,
    })
}

fn closed(log: &Log) -> impl Iterator<Item = (&Written, &Closed)> {
    log.written.iter().filter_map(|written| match &written.record {
        Record::Decided(_) => None,
        Record::Closed(closed) => Some((written, closed)),
    })
}

/// The records that end an alert. One that no response matches leaves no trace: other policies may match it later.
fn endings(log: &Log) -> impl Iterator<Item = (&Written, &Decided)> {
    decided(log).filter(|(_, decided)| {
        let ignored = matches!(decided.outcome, Outcome::Ignored | Outcome::Duplicate { .. });
        !ignored && !decided.outcome.is_retryable()
    })
}
