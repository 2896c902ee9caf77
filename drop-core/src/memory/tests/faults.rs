use super::*;
use crate::facts::{Known, Wants};
use crate::memory::{Call, Fault};
use crate::ports::{ApiError, By};

const DELETE: Change = Change::Delete {
    grace_period_seconds: 30,
};

fn failing(fault: Fault) -> (Cluster, Pod, ApplyError) {
    let (cluster, pod) = with(deployment().ignores_sigterm());
    cluster.fail_next(Call::Delete, fault);
    let error = apply(&cluster, &pod, &DELETE).unwrap_err();
    (cluster, pod, error)
}

#[test]
fn an_error_before_changes_nothing_and_comes_once() {
    let refused = ApiError::Forbidden("no".to_owned());
    let (cluster, pod, error) = failing(Fault::Answer(refused.clone()));
    assert_eq!(
        error,
        ApplyError {
            why: refused,
            maybe_happened: false
        }
    );
    assert_eq!(presence(&cluster, &pod), Presence::Alive);
    apply(&cluster, &pod, &DELETE).unwrap();
}

#[test]
fn a_lost_answer_hides_a_change_that_was_made() {
    let (cluster, pod, error) = failing(Fault::AnswerLost);
    assert!(
        error.maybe_happened && matches!(error.why, ApiError::TimedOut(_)),
        "{error:?}"
    );
    assert_eq!(presence(&cluster, &pod), Presence::Terminating);
}

#[test]
fn a_lost_request_looks_the_same_and_changed_nothing() {
    let (cluster, pod, error) = failing(Fault::RequestLost);
    assert!(error.maybe_happened, "{error:?}");
    assert_eq!(presence(&cluster, &pod), Presence::Alive);
    let (_, _, error) = failing(Fault::NeverSent);
    assert!(
        !error.maybe_happened && matches!(error.why, ApiError::TimedOut(_)),
        "{error:?}"
    );
}

#[test]
fn a_late_request_arrives_after_its_caller_gave_up() {
    let (cluster, pod, error) = failing(Fault::Late(secs(90)));
    assert!(error.maybe_happened, "{error:?}");
    cluster.advance(secs(89));
    assert_eq!(presence(&cluster, &pod), Presence::Alive);
    cluster.advance(secs(1));
    assert_eq!(presence(&cluster, &pod), Presence::Terminating);
    assert_eq!(cluster.touched(), [Target::of(&pod)]);
}

#[test]
fn a_late_request_cannot_hit_a_later_pod() {
    let (cluster, old) = with(Workload::stateful_set(shop(), name("ledger")));
    cluster.fail_next(Call::Delete, Fault::Late(secs(90)));
    apply(&cluster, &old, &DELETE).unwrap_err();
    cluster.delete(&old.namespace, &old.name, None, Some(0)).unwrap();
    cluster.advance(secs(100));
    assert_eq!(cluster.pod(&old.namespace, &old.name).unwrap().deletion, None);
    assert_eq!(cluster.touched(), []);
}

#[test]
fn no_time_left_sends_nothing() {
    let (cluster, pod) = with(deployment());
    let error = block_on(cluster.apply(&Target::of(&pod), &DELETE, Duration::ZERO)).unwrap_err();
    assert!(
        matches!(error.why, ApiError::TimedOut(_)) && !error.maybe_happened,
        "{error:?}"
    );
    assert_eq!(cluster.touched(), []);
}

#[test]
fn faults_last_until_they_are_healed() {
    let (cluster, pod) = with(deployment());
    cluster.fail(
        Call::Find,
        Fault::Answer(ApiError::Unavailable("down".to_owned())),
    );
    let by = By::Uid(pod.uid.clone());
    for _ in 0..3 {
        assert_eq!(
            block_on(cluster.find(&by)),
            Err(ApiError::Unavailable("down".to_owned()))
        );
    }
    cluster.heal();
    assert_eq!(block_on(cluster.find(&by)), Ok(found(vec![pod])));
}

#[test]
fn a_read_never_says_not_found() {
    let (cluster, pod) = with(deployment());
    cluster.fail_next(Call::Find, Fault::Answer(ApiError::NotFound));
    assert_eq!(
        block_on(cluster.find(&By::Uid(pod.uid.clone()))),
        Ok(found(Vec::new()))
    );
    cluster.fail_next(Call::Presence, Fault::Answer(ApiError::NotFound));
    assert_eq!(presence(&cluster, &pod), Presence::Gone);
}

#[test]
fn a_fact_that_cannot_be_read_is_unknown_and_the_others_are_not() {
    let (cluster, pod) = with(deployment());
    cluster.fail_next(
        Call::Owner,
        Fault::Answer(ApiError::Forbidden("no right".to_owned())),
    );
    let wants = Wants {
        namespace: true,
        owner: true,
        ..Wants::default()
    };
    let facts = block_on(cluster.facts(pod, wants));
    assert_eq!(facts.owner, Known::Unknown("forbidden: no right".to_owned()));
    assert!(facts.namespace.value().is_some());
    assert_eq!(facts.siblings, Known::NotAsked);
}
