//! Requests and answers that come late: what nobody can know is said so, and what is known late is believed.

use std::sync::Arc;
use std::time::Duration;

use drop_core::memory::{Call, Fault, Workload};
use drop_core::outcome::Ending;
use drop_core::ports::ApiError;
use drop_core::{Engine, Outcome};
use falco_event::Alert;
use futures_executor::block_on;

use crate::stalled::{At, Stalled, now};
use crate::world::{SHELL, World, name, namespace, policies};

const MAYBE: Outcome = Outcome::Acted { certain: false };
const CERTAIN: Outcome = Outcome::Acted { certain: true };

/// A world whose first DELETE arrives 20 s after its engine has stopped to wait for it. A later delivery has seen the
/// pod alive, and its own DELETE ended so.
fn late(second: Fault) -> (World, Alert, Outcome) {
    let world = World::new();
    let alert = world.alert(&world.pod());
    world
        .cluster
        .fail_next(Call::Delete, Fault::Late(Duration::from_secs(20)));
    assert!(world.handle(&policies(SHELL), &alert).outcome.is_retryable());
    world.cluster.fail_next(Call::Delete, second);
    let told = world.handle(&policies(SHELL), &alert).outcome;
    (world, alert, told)
}

fn endings(world: &World) -> Vec<Ending> {
    let closed = world.records.closed();
    closed.into_iter().map(|closed| closed.ending).collect()
}

#[test]
fn a_delete_that_comes_after_the_pod_was_seen_alive_may_have_been_ours() {
    let (world, alert, told) = late(Fault::NeverSent);
    assert!(told.is_retryable());
    assert_eq!(world.confirm_after(Duration::from_secs(1)), 1);
    world.cluster.advance(Duration::from_secs(20));
    assert_eq!(world.handle(&policies(SHELL), &alert).outcome, MAYBE);
    assert_eq!(world.confirm_after(Duration::from_secs(1)), 0);
    assert_eq!(endings(&world), [Ending::Confirmed { ours: false }]);
}

/// Read alive, the pod goes before the change that the delivery makes of its own.
#[test]
fn a_delete_that_comes_between_a_look_and_a_change_may_have_been_ours() {
    let stalled = Stalled::new();
    let brief = policies(&SHELL.replace("delete: {}", "delete: { gracePeriodSeconds: 1 }"));
    let alert = stalled.world.alert(&stalled.world.pod());
    let cluster = stalled.world.cluster.clone();
    cluster.fail_next(Call::Delete, Fault::Late(Duration::from_secs(5)));
    let told = now(stalled.engine.handle(&brief, &alert, None)).outcome;
    assert!(told.is_retryable(), "{told:?}");
    stalled.at(At::Found, move || cluster.advance(Duration::from_secs(7)));
    let told = now(stalled.engine.handle(&brief, &alert, None)).outcome;
    assert_eq!(told, MAYBE);
    assert_eq!(now(stalled.engine.confirm()), Ok(0));
    assert_eq!(endings(&stalled.world), [Ending::Confirmed { ours: false }]);
}

/// Its container was started anew meanwhile, so no pod has it: that says nothing of the pod.
#[test]
fn a_container_that_is_gone_does_not_make_its_pod_gone() {
    let world = World::new();
    let (policies, pod) = (policies(SHELL), world.pod());
    let short = pod.containers[0].id.to_string();
    let alert = world.alert_with(|fields| fields["container.id"] = short.get(..12).into());
    world.cluster.fail_next(Call::Delete, Fault::RequestLost);
    assert!(world.handle(&policies, &alert).outcome.is_retryable());
    assert_eq!(
        world.confirm_after(Duration::from_secs(1)),
        1,
        "it was seen alive"
    );
    for _ in 0..2 {
        let restarted = world.cluster.restart_container(&pod.uid, &pod.containers[0].name);
        restarted.unwrap();
        world.cluster.advance(Duration::from_secs(10));
    }
    assert_eq!(world.handle(&policies, &alert).outcome.label(), "skipped");
    assert_eq!(world.confirm_after(Duration::from_secs(150)), 0);
    assert_eq!(endings(&world), []);
}

/// Its age alone would stop every response, and asks the cluster nothing; what was done for it before does.
#[test]
fn an_alert_that_is_too_old_to_act_on_still_says_what_came_late() {
    let (world, alert, told) = late(Fault::NeverSent);
    assert!(told.is_retryable());
    world.cluster.advance(Duration::from_secs(301));
    assert_eq!(world.handle(&policies(SHELL), &alert).outcome, MAYBE);
}

#[test]
fn a_delete_that_comes_after_the_alert_was_handled_has_its_second_record() {
    let (world, _, told) = late(Fault::Answer(ApiError::Invalid("no".to_owned())));
    assert!(
        matches!(told, Outcome::Failed { retryable: false, .. }),
        "{told:?}"
    );
    assert_eq!(world.confirm_after(Duration::from_secs(1)), 1);
    assert_eq!(world.confirm_after(Duration::from_secs(20)), 0);
    assert_eq!(endings(&world), [Ending::Confirmed { ours: false }]);
}

#[test]
fn a_delete_that_never_comes_has_no_second_record() {
    let world = World::new();
    let alert = world.alert(&world.pod());
    world.cluster.fail_next(Call::Delete, Fault::RequestLost);
    assert!(world.handle(&policies(SHELL), &alert).outcome.is_retryable());
    assert_eq!(world.confirm_after(Duration::from_secs(60)), 1);
    assert_eq!(
        world.confirm_after(Duration::from_secs(62)),
        0,
        "by now it would have come"
    );
    assert_eq!(endings(&world), []);
}

/// Another alert's act has ended the pod: that explains it.
#[test]
fn an_act_that_was_refuted_stays_so_where_another_act_ended_the_pod() {
    let world = World::new();
    let (one, two) = (world.alert(&world.pod()), alert_of_a_moment_later(&world));
    world.cluster.fail_next(Call::Delete, Fault::RequestLost);
    assert!(world.handle(&policies(SHELL), &one).outcome.is_retryable());
    assert_eq!(world.confirm_after(Duration::from_secs(1)), 1);
    assert_eq!(world.handle(&policies(SHELL), &two).outcome, CERTAIN);
    assert_eq!(world.handle(&policies(SHELL), &one).outcome.label(), "skipped");
    assert_eq!(world.confirm_after(Duration::from_secs(10)), 0);
    assert_eq!(endings(&world), [Ending::Confirmed { ours: true }]);
}

fn alert_of_a_moment_later(world: &World) -> Alert {
    world.cluster.advance(Duration::from_millis(1));
    world.alert(&world.pod())
}

/// The engine that deletes the pod stalls until another takes it for dead. What it knows it says in the end.
#[test]
fn an_engine_that_was_given_up_and_lives_is_believed() {
    let stalled = Stalled::new();
    let lone = Workload::pod(namespace("default"), name("lone")).ignores_sigterm();
    stalled.world.cluster.add_workload(lone);
    stalled.world.cluster.advance(Duration::from_secs(60));
    let lone = stalled
        .world
        .cluster
        .pod(&namespace("default"), &name("lone"))
        .unwrap();
    let slow = SHELL.replace("delete: {}", "delete: { gracePeriodSeconds: 60 }");
    let (cluster, engine) = (stalled.world.cluster.clone(), stalled.engine.clone());
    stalled.at(At::Applied, move || {
        cluster.advance(Duration::from_secs(21));
        assert_eq!(
            now(engine.confirm()),
            Ok(1),
            "it is given up, and the pod is there"
        );
    });
    let decided = now(stalled
        .engine
        .handle(&policies(&slow), &stalled.world.alert(&lone), None));
    assert_eq!(decided.outcome, CERTAIN);
    assert_eq!(stalled.world.records.closed(), []);
    stalled.world.cluster.advance(Duration::from_secs(60));
    assert_eq!(now(stalled.engine.confirm()), Ok(0));
    assert_eq!(endings(&stalled.world), [Ending::Confirmed { ours: true }]);
}

/// The policy that matched the alert is gone. Its earlier try is not.
#[test]
fn an_alert_that_no_response_matches_any_more_still_says_what_was_done_for_it() {
    let other = SHELL.replace("Terminal shell", "Another");
    for (fault, expected) in [(Fault::AnswerLost, MAYBE), (Fault::NeverSent, Outcome::Ignored)] {
        let world = World::new();
        let alert = world.alert(&world.pod());
        world.cluster.fail_next(Call::Delete, fault);
        assert!(world.handle(&policies(SHELL), &alert).outcome.is_retryable());
        assert_eq!(world.handle(&policies(&other), &alert).outcome, expected);
    }
}

/// To ask such a memory costs a request, so an alert that no response matches is not worth it.
#[test]
fn a_memory_that_cannot_tell_at_no_cost_is_not_asked_about_an_alert_that_nothing_matches() {
    let world = World::new();
    let stalled = Stalled::new();
    let engine: &Engine = &stalled.engine;
    let alert = world.alert(&world.pod());
    let other = Arc::new(policies(&SHELL.replace("Terminal shell", "Another")));
    assert_eq!(
        block_on(engine.handle(&other, &alert, None)).outcome,
        Outcome::Ignored
    );
    assert_eq!(stalled.steps(), 0);
}
