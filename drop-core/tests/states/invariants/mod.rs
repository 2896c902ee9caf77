//! What holds of every case, each told from the log of the ports and the cluster's history: not by the engine's words.

use drop_core::Outcome;
use drop_core::record::{Closed, Decided, Record};

use crate::log::{Call, Log, Opened, Written};
use crate::run::Run;

type Checked = Result<(), String>;

macro_rules! hold {
    ($holds:expr, $($why:tt)+) => {
        if !$holds {
            return Err(format!($($why)+));
        }
    };
}

mod availability;
mod limits;
mod records;
mod redelivery;
mod targets;

/// Every invariant, in the order in which ARCHITECTURE.md names them.
pub(crate) fn all(run: &Run) -> Checked {
    let log = run.log.lock();
    targets::only_the_target_of_a_matching_enforced_response_is_changed(run, &log)?;
    limits::never_more_acts_than_a_limit_allows(run, &log)?;
    limits::a_limit_stops_nothing_where_there_is_room(run, &log)?;
    availability::enough_pods_stay_ready(run, &log)?;
    availability::availability_stops_nothing_where_enough_stay_ready(run, &log)?;
    availability::a_budget_stops_the_evictions_that_it_has_no_room_for(&log)?;
    memory_is_bounded(run, &log)?;
    targets::what_is_protected_is_not_touched(run, &log)?;
    redelivery::redelivery_changes_nothing_more(run, &log)?;
    redelivery::several_alerts_for_one_pod_end_in_one_act(run, &log)?;
    redelivery::a_retryable_failure_sent_again_comes_to_the_same_end(run, &log)?;
    targets::observe_changes_nothing(run, &log)?;
    records::every_delivery_has_one_record_and_every_act_is_in_it(run, &log)?;
    records::every_act_that_may_have_ended_a_pod_has_its_second_record(run, &log)?;
    records::the_record_says_what_the_cluster_says(run, &log)?;
    records::a_second_record_says_what_the_cluster_says(run, &log)?;
    records::what_came_late_is_not_hidden(run, &log)
}

/// 9. The memory holds no more acts than it has room for.
fn memory_is_bounded(run: &Run, log: &Log) -> Checked {
    let (held, bound) = (log.most_acts, run.bounds.acts);
    hold!(
        held <= bound,
        "the memory has room for {bound} acts and held {held}"
    );
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
