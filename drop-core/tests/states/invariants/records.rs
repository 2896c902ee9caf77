//! The records are whole, and true.

use drop_core::Outcome;
use drop_core::engine::ACT_WITHIN;
use drop_core::memory::{Actor, Happened};
use drop_core::moment::between;
use drop_core::outcome::Ending;
use drop_core::past::ActId;
use drop_core::policy::Mode;
use drop_core::ports::Mono;
use drop_core::record::{Answered, Decided};
use falco_event::Timestamp;

use super::redelivery::is_forgotten;
use super::{Checked, alert_of, closed, decided, ended};
use crate::log::{Call, Heard, Log, Opened, TaskId, Written};
use crate::run::{Done, Run};

/// 7. Every delivery that came to its end has exactly one record, and each change it asked for is in it.
pub(super) fn every_delivery_has_one_record_and_every_act_is_in_it(run: &Run, log: &Log) -> Checked {
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
pub(super) fn every_act_that_may_have_ended_a_pod_has_its_second_record(run: &Run, log: &Log) -> Checked {
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
pub(super) fn is_left_open(run: &Run, log: &Log, opened: &Opened, seq: u64) -> bool {
    let task = &run.tasks[opened.task];
    // The engine has twice the time of an act's changes to settle it; then another may have done so in its stead.
    let in_time = |written: &Written| written.at.since(opened.at) < ACT_WITHIN * 2;
    let ended =
        decided(log).any(|(written, _)| written.task == opened.task && written.seq < seq && in_time(written));
    task.done.is_none() || !ended || log.lost.contains(&opened.task)
}

/// 8. A record says what the cluster says.
pub(super) fn the_record_says_what_the_cluster_says(run: &Run, log: &Log) -> Checked {
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

/// 8. A second record says that a pod is gone only if it is, that it is ours only if the API server took it, and not
///    that someone else may have done it where the engine had said before that it did.
pub(super) fn a_second_record_says_what_the_cluster_says(run: &Run, log: &Log) -> Checked {
    for (written, closed) in closed(log) {
        let Ending::Confirmed { ours } = closed.ending else {
            continue;
        };
        hold!(!written.there, "confirmed, and still there: {closed:?}");
        let made = |call: &&Call| call.is_terminal() && call.heard == Heard::Made;
        let made = log.calls_of(closed.act).find(made);
        hold!(!ours || made.is_some(), "someone else did it: {closed:?}");
        let looked = run.tasks[written.task].began;
        let told = |call: &Call| {
            let mut ended = decided(log).filter(|(ended, _)| ended.task == call.task);
            ended.any(|(ended, _)| ended.seq < looked) && !log.lost.contains(&call.task)
        };
        hold!(
            ours || !made.is_some_and(told),
            "it is known to be ours: {closed:?}"
        );
    }
    Ok(())
}

/// 8. A request that came late has ended a pod before a delivery of its alert began: the outcome does not hide it.
pub(super) fn what_came_late_is_not_hidden(run: &Run, log: &Log) -> Checked {
    for (told, decided) in decided(log) {
        let silent = matches!(decided.outcome, Outcome::Acted { .. } | Outcome::Duplicate { .. });
        if silent || decided.outcome.is_retryable() {
            continue;
        }
        let task = &run.tasks[told.task];
        let own = |call: &&Call| call.is_terminal() && alert_of(log, call) == Some(decided.id);
        let unheard = |call: &&Call| call.changed.is_none() && call.heard != Heard::NotMade;
        for call in log.calls.iter().filter(own).filter(unheard) {
            let known = |other: &Call| {
                other.is_terminal() && other.target == call.target && other.heard == Heard::Made
            };
            let hidden = came_late(run, log, call).is_some_and(|at| at < task.began_at)
                && !log.calls.iter().any(known)
                && !is_forgotten(run, log, call, told, decided);
            hold!(!hidden, "`{}`, but {call:?} came late", decided.outcome);
        }
    }
    Ok(())
}

/// When a request that nobody waited for any more has ended the pod.
fn came_late(run: &Run, log: &Log, call: &Call) -> Option<Mono> {
    let history = run.cluster.history();
    let in_time = |revision: u64| {
        log.sent
            .iter()
            .any(|(from, to)| *from < revision && revision <= *to)
    };
    let late = history.iter().find(|entry| {
        entry.by == Actor::PodApi
            && entry.pod == call.target
            && matches!(entry.what, Happened::DeletionRequested { .. } | Happened::Removed)
            && !in_time(entry.revision)
    });
    late.map(|entry| Mono::default().plus(between(Timestamp::UNIX_EPOCH, entry.at)))
}
