//! What the API server may do to an act, and what the sender is told.

use std::time::Duration;

use drop_core::Outcome;
use drop_core::memory::{Call, Fault};
use drop_core::outcome::Ending;
use drop_core::ports::ApiError;

use crate::world::{SHELL, World, policies};

fn text() -> String {
    "because".to_owned()
}

#[test]
fn each_answer_of_a_read_is_retryable_and_sent_again_it_acts() {
    let faults = [
        ApiError::Forbidden(text()),
        ApiError::Conflict(text()),
        ApiError::TooManyRequests(text()),
        ApiError::Unavailable(text()),
        ApiError::TimedOut(text()),
    ];
    for error in faults {
        let world = World::new();
        let (policies, alert) = (policies(SHELL), world.alert(&world.pod()));
        world.cluster.fail_next(Call::Find, Fault::Answer(error.clone()));
        let decided = world.handle(&policies, &alert);
        assert!(
            matches!(&decided.outcome, Outcome::Failed { retryable: true, why } if why.contains("because")),
            "{error:?}: {decided:?}"
        );
        assert_eq!(
            world.handle(&policies, &alert).outcome,
            Outcome::Acted { certain: true },
            "{error:?}"
        );
    }
}

#[test]
fn each_answer_of_a_delete_has_its_outcome() {
    let cases = [
        (ApiError::Forbidden(text()), true),
        (ApiError::Conflict(text()), true),
        (ApiError::TooManyRequests(text()), true),
        (ApiError::Unavailable(text()), true),
        (ApiError::Invalid(text()), false),
    ];
    for (error, again) in cases {
        let world = World::new();
        let (policies, alert) = (policies(SHELL), world.alert(&world.pod()));
        world
            .cluster
            .fail_next(Call::Delete, Fault::Answer(error.clone()));
        let decided = world.handle(&policies, &alert);
        assert!(
            matches!(decided.outcome, Outcome::Failed { retryable, .. } if retryable == again),
            "{error:?}: {decided:?}"
        );
        let expected = if again {
            Outcome::Acted { certain: true }
        } else {
            Outcome::Duplicate { of: alert.id() }
        };
        assert_eq!(world.handle(&policies, &alert).outcome, expected, "{error:?}");
    }
}

#[test]
fn an_answer_that_was_lost_is_found_out_by_sending_the_alert_again() {
    let world = World::new();
    let (policies, alert) = (policies(SHELL), world.alert(&world.pod()));
    world.cluster.fail_next(Call::Delete, Fault::AnswerLost);
    let first = world.handle(&policies, &alert);
    assert!(first.outcome.is_retryable(), "{first:?}");
    let second = world.handle(&policies, &alert);
    assert_eq!(
        second.outcome,
        Outcome::Acted { certain: false },
        "the pod goes, and perhaps by this act"
    );
    world.confirm_after(Duration::from_secs(30));
    assert_eq!(
        world.records.closed()[0].ending,
        Ending::Confirmed { ours: false }
    );
    assert_eq!(world.touched(), 1);
}

#[test]
fn a_request_that_was_lost_is_made_again() {
    let world = World::new();
    let (policies, alert) = (policies(SHELL), world.alert(&world.pod()));
    world.cluster.fail_next(Call::Delete, Fault::RequestLost);
    assert!(world.handle(&policies, &alert).outcome.is_retryable());
    world.cluster.advance(Duration::from_millis(1));
    assert_eq!(
        world.handle(&policies, &alert).outcome,
        Outcome::Acted { certain: true }
    );
    world.confirm_after(Duration::from_secs(2));
    assert_eq!(
        world.records.closed().len(),
        1,
        "the act that never was has no second record"
    );
}

#[test]
fn a_pod_that_someone_else_removed_is_not_claimed() {
    let world = World::new();
    let (policies, pod) = (policies(SHELL), world.pod());
    let alert = world.alert(&pod);
    world
        .cluster
        .fail_next(Call::Delete, Fault::Answer(ApiError::NotFound));
    let decided = world.handle(&policies, &alert);
    assert_eq!(decided.outcome.label(), "skipped");
    world.confirm_after(Duration::from_secs(2));
    assert_eq!(world.records.closed(), vec![]);
}

#[test]
fn a_fact_that_cannot_be_read_stops_what_rests_on_it_until_it_can() {
    let specs = [
        (
            SHELL.replace(
                "mode: enforce",
                "mode: enforce\n  protect: { namespaceSelector: { matchLabels: { a: b } } }",
            ),
            Call::Namespace,
        ),
        (
            SHELL.replace(
                "mode: enforce",
                "mode: enforce\n  protect: { workloads: [{ namespace: x, kind: Deployment, name: y }] }",
            ),
            Call::Owner,
        ),
        (
            SHELL.replace(
                "mode: enforce",
                "mode: enforce\n  limits: [{ scope: workload, max: 1, per: 1m }]",
            ),
            Call::Owner,
        ),
        (
            SHELL.replace("alert.rule", "not ns.label[x] = y and alert.rule"),
            Call::Namespace,
        ),
        (
            SHELL.replace("- name: shell", "- name: shell\n      minAvailable: 0"),
            Call::Siblings,
        ),
    ];
    for (spec, call) in specs {
        let world = World::new();
        let (policies, alert) = (policies(&spec), world.alert(&world.pod()));
        world
            .cluster
            .fail_next(call, Fault::Answer(ApiError::Unavailable(text())));
        let decided = world.handle(&policies, &alert);
        assert!(decided.outcome.is_retryable(), "{spec}: {decided:?}");
        assert_eq!(world.touched(), 0, "{spec}");
        assert_eq!(
            world.handle(&policies, &alert).outcome,
            Outcome::Acted { certain: true },
            "{spec}"
        );
    }
}

#[test]
fn a_failure_after_a_label_leaves_the_rest_for_the_next_try() {
    let world = World::new();
    let spec = SHELL.replace("[delete: {}]", "[label: { labels: { a: b } }, delete: {}]");
    let (policies, alert) = (policies(&spec), world.alert(&world.pod()));
    world
        .cluster
        .fail_next(Call::Delete, Fault::Answer(ApiError::Unavailable(text())));
    assert!(world.handle(&policies, &alert).outcome.is_retryable());
    let again = world.handle(&policies, &alert);
    assert_eq!(again.outcome, Outcome::Acted { certain: true });
    assert_eq!(again.responses[0].tried.len(), 2);
}

#[test]
fn continue_on_error_goes_on() {
    let world = World::new();
    let spec = SHELL.replace(
        "[delete: {}]",
        "[label: { labels: { a: b }, continueOnError: true }, delete: {}]",
    );
    world
        .cluster
        .fail_next(Call::Patch, Fault::Answer(ApiError::Forbidden(text())));
    let decided = world.handle(&policies(&spec), &world.alert(&world.pod()));
    assert_eq!(decided.outcome, Outcome::Acted { certain: true });
    assert_eq!(
        decided.responses[0].tried[0].error.as_deref(),
        Some("forbidden: because")
    );
}

#[test]
fn a_label_that_was_set_before_the_pod_went_is_not_a_skip() {
    let world = World::new();
    let spec = SHELL.replace("[delete: {}]", "[label: { labels: { a: b } }, delete: {}]");
    let (policies, alert) = (policies(&spec), world.alert(&world.pod()));
    world
        .cluster
        .fail_next(Call::Delete, Fault::Answer(ApiError::NotFound));
    let decided = world.handle(&policies, &alert);
    assert_eq!(
        decided.outcome,
        Outcome::Failed {
            why: "some of it was done, and the rest could not be".to_owned(),
            retryable: false
        }
    );
    assert_eq!(world.touched(), 1);
}

#[test]
fn a_label_of_an_earlier_try_is_not_forgotten_when_a_later_one_is_skipped() {
    let world = World::new();
    let spec = SHELL.replace("[delete: {}]", "[label: { labels: { a: b } }, delete: {}]");
    let (policies, pod) = (policies(&spec), world.pod());
    let alert = world.alert(&pod);
    world
        .cluster
        .fail_next(Call::Delete, Fault::Answer(ApiError::Forbidden(text())));
    assert!(world.handle(&policies, &alert).outcome.is_retryable());
    world
        .cluster
        .delete(&pod.namespace, &pod.name, None, Some(0))
        .unwrap();
    let again = world.handle(&policies, &alert);
    assert!(
        matches!(again.outcome, Outcome::Failed { retryable: false, .. }),
        "{again:?}"
    );
}

#[test]
fn a_label_that_may_have_been_set_is_not_refuted_by_a_pod_that_lives() {
    let world = World::new();
    let spec = SHELL.replace(
        "[delete: {}]",
        "[label: { labels: { a: b }, continueOnError: true }, delete: {}]",
    );
    let (policies, alert) = (policies(&spec), world.alert(&world.pod()));
    world.cluster.fail_next(Call::Patch, Fault::AnswerLost);
    world.cluster.fail_next(Call::Delete, Fault::RequestLost);
    assert!(world.handle(&policies, &alert).outcome.is_retryable());
    assert_eq!(
        world.confirm_after(Duration::from_secs(1)),
        1,
        "the pod is alive so far"
    );
    assert_eq!(world.confirm_after(Duration::from_secs(121)), 0, "and lives on");
    assert_eq!(world.records.closed(), []);
    world.cluster.advance(Duration::from_secs(180));
    assert_eq!(
        world.handle(&policies, &alert).outcome,
        Outcome::Acted { certain: false },
        "too old to try again, and nobody knows of the label"
    );
}

#[test]
fn an_alert_that_is_just_young_enough_finds_what_was_done_for_it() {
    let world = World::of(2);
    let (policies, pod) = (
        policies(&SHELL.replace("mode: enforce", "mode: enforce\n  limits: []")),
        world.pod(),
    );
    let ahead = world.cluster.now() + Duration::from_secs(2);
    let name = |fields: &mut serde_json::Value| {
        fields["k8s.ns.name"] = "default".into();
        fields["k8s.pod.name"] = pod.name.as_str().into();
    };
    let alert = world.alert_at(ahead, name);
    world.cluster.fail_next(Call::Delete, Fault::AnswerLost);
    assert!(world.handle(&policies, &alert).outcome.is_retryable());
    world.confirm_after(Duration::from_secs(1));
    world.cluster.advance(Duration::from_secs(301));
    // Another act, which forgets the acts that nobody needs any more.
    let other = world.alert(&world.pods()[0]);
    world.handle(&policies, &other);
    assert_eq!(
        world.handle(&policies, &alert).outcome,
        Outcome::Acted { certain: false }
    );
}

#[test]
fn to_go_on_from_a_refused_delete_is_not_to_have_deleted() {
    let cases = [
        ("[delete: { continueOnError: true }]", Call::Delete),
        (
            "[evict: { continueOnError: true }, label: { labels: { a: b } }]",
            Call::Evict,
        ),
        (
            "[label: { labels: { a: b }, continueOnError: true }]",
            Call::Patch,
        ),
    ];
    for (actions, call) in cases {
        let world = World::new();
        let (policies, alert) = (
            policies(&SHELL.replace("[delete: {}]", actions)),
            world.alert(&world.pod()),
        );
        world
            .cluster
            .fail_next(call, Fault::Answer(ApiError::Forbidden(text())));
        let decided = world.handle(&policies, &alert);
        assert_eq!(
            decided.outcome,
            Outcome::Failed {
                why: "forbidden: because".to_owned(),
                retryable: true
            },
            "{actions}"
        );
        assert!(!decided.to_string().contains("deleted"), "{decided}");
        assert_eq!(
            world.handle(&policies, &alert).outcome,
            Outcome::Acted { certain: true },
            "{actions}"
        );
    }
}
