//! What a prototype's test has caught, each with the steps that make it. Then everything else must hold as well.

use std::time::Duration;

use drop_core::Outcome;
use drop_core::guard::Guard;
use drop_core::memory::{Call, Delays, Fault};
use drop_core::past::Bounds;
use drop_core::ports::ApiError;
use drop_core::record::Record;

use crate::invariants;
use crate::log::TaskId;
use crate::places::namespace;
use crate::raise::{Marks, Sources, Times, raise};
use crate::run::{Done, Run};
use crate::steps::{Setting, Step};

/// Positions in the list of policies.
const PLAIN: usize = 0;
const TIGHT: usize = 2;
const FORCE: usize = 7;

fn run(policies: usize) -> Run {
    Run::new(&Setting {
        delays: Delays::default(),
        policies,
        bounds: Bounds::default(),
        clocks_ms: [0, 0],
        twice: true,
    })
}

/// An alert of now about a pod of `shop`, by name.
fn alert(run: &mut Run, rule: &str, pod: &str, post_dated_ms: Option<i64>) -> usize {
    let shop = namespace("shop");
    let pods = run.cluster.pods();
    let truth = pods
        .iter()
        .find(|candidate| candidate.namespace == shop && candidate.name.as_str().starts_with(pod))
        .unwrap();
    let marks = Marks {
        name: true,
        uid: false,
        container: None,
        host: None,
    };
    let sources = Sources {
        truth,
        other: truth,
        containers: [None, None],
        nodes: &[],
    };
    let times = Times {
        now: run.cluster.now(),
        skew_ms: 0,
        received_skew_ms: 0,
        post_dated_ms,
    };
    run.alerts.push(raise(rule, marks, None, &sources, &times));
    // No two alerts are the same.
    run.cluster.advance(Duration::from_millis(1));
    run.alerts.len() - 1
}

fn deliver(run: &mut Run, alert: usize) -> Outcome {
    let task = run.deliver(alert, false, false);
    finish(run, task)
}

fn finish(run: &mut Run, task: TaskId) -> Outcome {
    run.poll(task, None);
    match &run.tasks[task].done {
        Some(Done::Decided(decided)) => decided.outcome.clone(),
        _ => panic!("it is no delivery"),
    }
}

fn guard(outcome: &Outcome) -> Option<(Guard, bool)> {
    let Outcome::Skipped { guard, retryable, .. } = outcome else {
        return None;
    };
    Some((*guard, *retryable))
}

fn everything_else_holds(mut run: Run) -> Run {
    run.come_to_rest();
    invariants::all(&run).unwrap();
    run
}

fn seconds(run: &Run, seconds: u64) {
    run.cluster.advance(Duration::from_secs(seconds));
}

fn second_records(run: &Run) -> usize {
    let log = run.log.lock();
    let closed = log
        .written
        .iter()
        .filter(|written| matches!(written.record, Record::Closed(_)));
    closed.count()
}

const CERTAIN: Outcome = Outcome::Acted { certain: true };
const MAYBE: Outcome = Outcome::Acted { certain: false };

#[test]
fn no_second_record_for_a_delete_that_never_was() {
    let mut run = run(PLAIN);
    let alert = alert(&mut run, "A", "lone", None);
    run.cluster.fail_next(Call::Delete, Fault::RequestLost);
    assert!(deliver(&mut run, alert).is_retryable());
    assert_eq!(deliver(&mut run, alert), CERTAIN);
    assert_eq!(second_records(&everything_else_holds(run)), 1);
}

#[test]
fn a_pod_that_someone_else_killed_is_not_claimed() {
    let mut run = run(PLAIN);
    let alert = alert(&mut run, "A", "db-0", None);
    let task = run.deliver(alert, false, false);
    // The pod was found, and goes before the act.
    run.poll(task, Some(6));
    let db = "db-0".parse().unwrap();
    run.cluster
        .delete(&namespace("shop"), &db, None, Some(0))
        .unwrap();
    assert_eq!(guard(&finish(&mut run, task)), Some((Guard::Target, false)));
    assert_eq!(second_records(&everything_else_holds(run)), 0);
}

#[test]
fn an_unknown_act_is_remembered_until_the_alert_is_too_old() {
    let mut run = run(TIGHT);
    let lost = alert(&mut run, "B", "db-0", None);
    run.cluster.fail_next(Call::Evict, Fault::AnswerLost);
    assert!(deliver(&mut run, lost).is_retryable());
    seconds(&run, 10);
    let task = run.confirm(true);
    run.poll(task, None);
    seconds(&run, 288);
    let other = alert(&mut run, "B", "db-1", None);
    assert_eq!(deliver(&mut run, other), CERTAIN);
    assert_eq!(deliver(&mut run, lost), MAYBE);
    everything_else_holds(run);
}

#[test]
fn a_post_dated_alert_does_not_hit_the_pod_that_took_over_the_name() {
    let mut run = run(PLAIN);
    let alert = alert(&mut run, "A", "db-0", Some(30_000));
    let db = "db-0".parse().unwrap();
    run.cluster
        .delete(&namespace("shop"), &db, None, Some(0))
        .unwrap();
    seconds(&run, 30);
    assert_eq!(guard(&deliver(&mut run, alert)), Some((Guard::PodAge, false)));
    everything_else_holds(run);
}

#[test]
fn a_second_record_survives_a_crash_at_every_point() {
    for polls in 0..12 {
        let mut run = run(PLAIN);
        let alert = alert(&mut run, "A", "web", None);
        assert_eq!(deliver(&mut run, alert), CERTAIN);
        seconds(&run, 2);
        let task = run.confirm(true);
        run.poll(task, Some(polls));
        run.drop_task(task);
        assert!(second_records(&everything_else_holds(run)) >= 1, "{polls}");
    }
}

#[test]
fn a_delivery_that_crashes_at_any_point_is_made_good() {
    for polls in 0..24 {
        let mut run = run(PLAIN);
        let alert = alert(&mut run, "A", "web", None);
        let task = run.deliver(alert, false, false);
        run.poll(task, Some(polls));
        run.drop_task(task);
        let run = everything_else_holds(run);
        assert_eq!(run.cluster.touched().len(), 1, "{polls}");
    }
}

#[test]
fn what_a_retry_did_not_do_leaves_what_is_unknown_in_the_limit() {
    let mut run = run(TIGHT);
    let (first, second) = (
        alert(&mut run, "A", "db-0", None),
        alert(&mut run, "A", "db-1", None),
    );
    run.cluster
        .fail_next(Call::Delete, Fault::Late(Duration::from_secs(20)));
    assert!(deliver(&mut run, first).is_retryable());
    run.cluster
        .fail_next(Call::Delete, Fault::Answer(ApiError::Forbidden("no".to_owned())));
    assert!(deliver(&mut run, first).is_retryable());
    assert_eq!(guard(&deliver(&mut run, second)), Some((Guard::Limit, false)));
    everything_else_holds(run);
}

#[test]
fn of_two_alerts_one_says_that_it_acted() {
    let mut run = run(PLAIN);
    let (one, two) = (
        alert(&mut run, "A", "lone", None),
        alert(&mut run, "A", "lone", None),
    );
    run.cluster.fail_next(Call::Delete, Fault::AnswerLost);
    let first = run.deliver(one, false, false);
    run.poll(first, Some(9));
    let told = deliver(&mut run, two);
    assert_eq!(guard(&told), Some((Guard::ActInFlight, true)));
    assert!(finish(&mut run, first).is_retryable());
    assert_eq!(deliver(&mut run, one), MAYBE);
    // The pod ends by what the first did: the other is told so, and does not claim it.
    assert_eq!(guard(&deliver(&mut run, two)), Some((Guard::Terminating, false)));
    everything_else_holds(run);
}

#[test]
fn of_two_alerts_whose_requests_were_lost_none_says_that_the_other_acted() {
    let mut run = run(PLAIN);
    let (one, two) = (
        alert(&mut run, "A", "lone", None),
        alert(&mut run, "A", "lone", None),
    );
    for lost in [one, two] {
        run.cluster.fail_next(Call::Delete, Fault::RequestLost);
        assert!(deliver(&mut run, lost).is_retryable());
    }
    assert_eq!(deliver(&mut run, one), CERTAIN);
    assert_eq!(guard(&deliver(&mut run, two)), Some((Guard::Terminating, false)));
    everything_else_holds(run);
}

#[test]
fn a_final_refusal_does_not_hide_the_act_before_it() {
    let mut run = run(FORCE);
    let alert = alert(&mut run, "B", "lone", None);
    run.cluster.fail_next(Call::Delete, Fault::AnswerLost);
    assert!(deliver(&mut run, alert).is_retryable());
    run.cluster
        .fail_next(Call::Delete, Fault::Answer(ApiError::Invalid("no".to_owned())));
    assert_eq!(deliver(&mut run, alert), MAYBE);
    everything_else_holds(run);
}

#[test]
fn a_redelivery_is_not_refused_by_its_own_act() {
    let mut run = run(TIGHT);
    let alert = alert(&mut run, "A", "db-0", None);
    run.cluster.fail_next(Call::Delete, Fault::RequestLost);
    assert!(deliver(&mut run, alert).is_retryable());
    assert_eq!(deliver(&mut run, alert), CERTAIN);
    everything_else_holds(run);
}

#[test]
fn a_delivery_that_ends_after_another_took_over_changes_nothing() {
    for polls in 0..24 {
        let mut run = run(PLAIN);
        let alert = alert(&mut run, "A", "lone", None);
        let late = run.deliver(alert, false, false);
        run.poll(late, Some(polls));
        seconds(&run, 301);
        let _ = deliver(&mut run, alert);
        let _ = finish(&mut run, late);
        everything_else_holds(run);
    }
}

#[test]
fn a_read_from_before_an_act_of_the_same_millisecond_says_nothing_of_it() {
    let mut run = run(PLAIN);
    let (one, two) = (
        alert(&mut run, "A", "lone", None),
        alert(&mut run, "A", "lone", None),
    );
    let early = run.deliver(one, false, false);
    // It has read the pod alive.
    run.poll(early, Some(4));
    run.cluster.fail_next(Call::Delete, Fault::AnswerLost);
    assert!(deliver(&mut run, two).is_retryable());
    let _ = finish(&mut run, early);
    assert_eq!(deliver(&mut run, two), MAYBE);
    everything_else_holds(run);
}

#[test]
fn every_call_of_a_memory_may_be_lost() {
    use crate::ports::Loss;
    for loss in [Loss::Before, Loss::After] {
        for answered in 0..5_u8 {
            let mut run = run(PLAIN);
            let alert = alert(&mut run, "A", "web", None);
            let task = run.deliver(alert, false, false);
            // Two polls a call: claim, find, facts, open, apply, settle, conclude.
            run.poll(task, Some(answered * 4));
            run.take(&Step::Lose(loss));
            let _ = finish(&mut run, task);
            everything_else_holds(run);
        }
    }
}
