//! Never more than allowed.

use std::time::Duration;

use drop_core::Outcome;
use drop_core::guard::Guard;
use drop_core::memory::{Call, Delays, Fault};
use drop_core::past::{Bounds, ScopeKey};
use drop_core::policy::{Policies, Source};
use falco_event::Alert;
use futures_executor::block_on;

use crate::world::{SHELL, World, policies};

fn limited(limit: &str) -> Policies {
    policies(&SHELL.replace(
        "mode: enforce",
        &format!("mode: enforce\n  limits: [{{ {limit} }}]"),
    ))
}

fn label(world: &World, policies: &Policies, pod: usize) -> (&'static str, Option<Guard>) {
    world.cluster.advance(Duration::from_millis(1));
    let outcome = world.handle(policies, &world.alert(&world.pods()[pod])).outcome;
    let guard = if let Outcome::Skipped { guard, .. } = &outcome {
        Some(*guard)
    } else {
        None
    };
    (outcome.label(), guard)
}

#[test]
fn each_scope_counts_pods_in_its_window() {
    for scope in ["workload", "response", "namespace", "policy", "cluster"] {
        let world = World::of(4);
        let policies = limited(&format!("scope: {scope}, max: 2, per: 1m"));
        let results: Vec<_> = (0..3).map(|pod| label(&world, &policies, pod)).collect();
        assert_eq!(
            results,
            [("acted", None), ("acted", None), ("skipped", Some(Guard::Limit))],
            "{scope}"
        );
        world.cluster.advance(Duration::from_secs(61));
        assert_eq!(
            label(&world, &policies, 0),
            ("acted", None),
            "{scope}: there is room again"
        );
    }
}

/// Two policies side by side: one drops what runs `nc`, within this limit; the other all else, with room for a minute.
fn nc_within(limit: &str) -> Policies {
    let policy = |name, when, limit| {
        format!(
            "---
apiVersion: falco-drop.dev/v1alpha1
kind: DropPolicy
metadata: {{ name: {name} }}
spec:
  mode: enforce
  limits: [{{ {limit} }}]
  responses: [{{ name: r, when: {when}, do: [delete: {{}}] }}]
"
        )
    };
    let nc = policy("nc", "proc.name = nc", limit);
    let rest = policy("rest", "proc.name != nc", "scope: policy, max: 100, per: 1m");
    let text = nc + &rest;
    Policies::parse(&[Source {
        name: "p.yaml",
        text: &text,
    }])
    .unwrap_or_else(|wrong| panic!("{wrong}"))
}

fn about(world: &World, process: &str) -> Alert {
    world.cluster.advance(Duration::from_millis(1));
    let pod = world.pods().into_iter().find(|pod| pod.deletion.is_none());
    let bash = world.alert(&pod.unwrap());
    let text = str::from_utf8(bash.as_bytes()).unwrap();
    Alert::from_slice(text.replace("bash", process).as_bytes()).unwrap()
}

fn run(world: &World, policies: &Policies, process: &str) -> Outcome {
    world.handle(policies, &about(world, process)).outcome
}

#[test]
fn a_limit_counts_what_every_policy_does_for_as_long_as_it_says() {
    for scope in ["workload", "namespace", "cluster"] {
        let world = World::of(4);
        let policies = nc_within(&format!("scope: {scope}, max: 2, per: 1h"));
        assert_eq!(run(&world, &policies, "bash").label(), "acted");
        assert_eq!(run(&world, &policies, "bash").label(), "acted");
        // Every act is found done, and is of no use to the policy that did it any more.
        for _ in 0..10 {
            world.confirm_after(Duration::from_mins(5));
        }
        let nc = run(&world, &policies, "nc");
        let by_limit = matches!(
            nc,
            Outcome::Skipped {
                guard: Guard::Limit,
                ..
            }
        );
        assert!(by_limit, "{scope}: {nc:?}");
        world.confirm_after(Duration::from_mins(11));
        assert_eq!(run(&world, &policies, "nc").label(), "acted", "{scope}");
    }
}

#[test]
fn what_one_policy_disarmed_no_other_drops() {
    let world = World::of(4);
    let policies = nc_within("scope: workload, max: 1, per: 1h, onBreach: disarm");
    assert_eq!(run(&world, &policies, "nc").label(), "acted");
    assert_eq!(run(&world, &policies, "nc").label(), "skipped");
    assert_eq!(run(&world, &policies, "bash").label(), "observed");
}

#[test]
fn no_act_is_made_that_a_limit_of_another_policy_could_not_count() {
    let world = World::of(4);
    let policies = nc_within("scope: workload, max: 1, per: 1h");
    world.cluster.fail_next(Call::Owner, Fault::NeverSent);
    let bash = run(&world, &policies, "bash");
    let waits = matches!(
        bash,
        Outcome::Skipped {
            guard: Guard::Facts,
            ..
        }
    ) && bash.is_retryable();
    assert!(waits, "{bash:?}");
    assert_eq!(run(&world, &policies, "bash").label(), "acted");
}

#[test]
fn an_act_that_may_have_happened_counts_and_one_that_did_not_does_not() {
    for (fault, left) in [(Fault::RequestLost, "skipped"), (Fault::NeverSent, "acted")] {
        let world = World::of(2);
        let policies = limited("scope: cluster, max: 1, per: 1m");
        world.cluster.fail_next(Call::Delete, fault);
        assert_eq!(label(&world, &policies, 0).0, "failed");
        assert_eq!(label(&world, &policies, 1).0, left);
    }
}

#[test]
fn a_breach_disarms_its_scope_until_a_person_arms_it_again() {
    let world = World::of(4);
    let policies = limited("scope: workload, max: 1, per: 1m, onBreach: disarm");
    assert_eq!(label(&world, &policies, 0).0, "acted");
    assert_eq!(label(&world, &policies, 1), ("skipped", Some(Guard::Disarmed)));
    world.cluster.advance(Duration::from_secs(61));
    assert_eq!(label(&world, &policies, 2).0, "observed");
    let scope = ScopeKey::Workload {
        namespace: crate::world::namespace("default"),
        kind: "Deployment".to_owned(),
        name: "db".to_owned(),
    };
    assert_eq!(
        block_on(world.engine.disarmed()).unwrap(),
        std::slice::from_ref(&scope)
    );
    assert!(block_on(world.engine.rearm(&scope)).unwrap());
    assert!(block_on(world.engine.disarmed()).unwrap().is_empty());
    assert!(!block_on(world.engine.rearm(&scope)).unwrap());
    assert_eq!(label(&world, &policies, 3).0, "acted");
}

#[test]
fn pods_that_were_acted_on_are_not_available_whatever_their_status_says() {
    let world = World::of(4);
    let policies = policies(&SHELL.replace("- name: shell", "- name: shell\n      minAvailable: 50%"));
    let slow = Delays {
        start: Duration::from_secs(60),
        ..Delays::default()
    };
    world.cluster.set_delays(slow);
    let pods = world.pods();
    let results: Vec<_> = pods
        .iter()
        .take(3)
        .map(|pod| {
            world.cluster.advance(Duration::from_millis(1));
            world.handle(&policies, &world.alert(pod)).outcome.label()
        })
        .collect();
    assert_eq!(results, ["acted", "acted", "skipped"]);
}

#[test]
fn a_new_policy_neither_clears_nor_arms_what_is_remembered() {
    let world = World::of(4);
    let old = limited("scope: workload, max: 1, per: 1m, onBreach: disarm");
    let alert = world.alert(&world.pods()[0]);
    assert_eq!(world.handle(&old, &alert).outcome.label(), "acted");
    assert_eq!(label(&world, &old, 1), ("skipped", Some(Guard::Disarmed)));
    let new = limited("scope: workload, max: 2, per: 1h, onBreach: disarm");
    assert_eq!(world.handle(&new, &alert).outcome.label(), "duplicate");
    assert_eq!(label(&world, &new, 1).0, "observed", "it is disarmed still");
}

#[test]
fn a_noisy_pod_does_not_fill_the_memory_of_acts() {
    for spec in [
        SHELL.replace("enforce", "observe"),
        SHELL.replace("delete: {}", "label: { labels: { a: b } }"),
    ] {
        let world = World::new();
        let policies = policies(&spec.replace("mode:", "limits: []\n  mode:"));
        for _ in 0..100 {
            world.cluster.advance(Duration::from_millis(1));
            world.handle(&policies, &world.alert(&world.pod()));
        }
        assert!(
            world.remembered() <= drop_core::past::MAX_ACTS_AT_POD + 1,
            "{}",
            world.remembered()
        );
    }
}

#[test]
fn an_act_that_did_nothing_is_forgotten() {
    let world = World::new();
    let (policies, alert) = (policies(SHELL), world.alert(&world.pod()));
    world.cluster.fail(Call::Delete, Fault::NeverSent);
    for _ in 0..100 {
        world.handle(&policies, &alert);
    }
    assert_eq!(world.remembered(), 0);
}

/// What is asked of the memory of a world that holds so many acts and alerts.
fn bounds(acts: usize, alerts: usize) -> Bounds {
    let mut bounds = Bounds::default();
    (bounds.acts, bounds.alerts) = (acts, alerts);
    bounds
}

#[test]
fn a_memory_without_room_stops_acts_and_says_so_until_there_is_room() {
    let world = World::bounded(4, bounds(2, 10));
    let policies = limited("scope: cluster, max: 9, per: 1m");
    assert_eq!(label(&world, &policies, 0).0, "acted");
    assert_eq!(label(&world, &policies, 1).0, "acted");
    let alert = world.alert(&world.pods()[2]);
    let full = world.handle(&policies, &alert).outcome;
    let why = "2 acts are remembered, and there is no room for another";
    assert_eq!(
        full,
        Outcome::Skipped {
            guard: Guard::Memory,
            why: why.to_owned(),
            retryable: true
        }
    );
    assert_eq!(world.touched(), 2);
    world.confirm_after(Duration::from_secs(1));
    world.cluster.advance(Duration::from_secs(290));
    assert!(
        world.handle(&policies, &alert).outcome.is_retryable(),
        "they are kept as long as an alert may come"
    );
    world.cluster.advance(Duration::from_secs(80));
    assert_eq!(label(&world, &policies, 2).0, "acted");
}

#[test]
fn would_be_acts_do_not_take_the_room_of_real_ones() {
    let world = World::bounded(4, bounds(2, 10));
    let trial = policies(&SHELL.replace("mode: enforce", "mode: observe\n  limits: []"));
    assert_eq!(label(&world, &trial, 0).0, "observed");
    assert_eq!(label(&world, &trial, 1), ("skipped", Some(Guard::Memory)));
    assert_eq!(label(&world, &policies(SHELL), 2).0, "acted");
}

#[test]
fn the_alert_handled_first_is_forgotten_first_and_nothing_more_is_done_for_it() {
    let world = World::bounded(4, bounds(10, 2));
    let policies = limited("scope: cluster, max: 9, per: 1m");
    let alerts: Vec<_> = world.pods().iter().take(3).map(|pod| world.alert(pod)).collect();
    for alert in &alerts {
        assert_eq!(world.handle(&policies, alert).outcome.label(), "acted");
    }
    let again: Vec<_> = alerts
        .iter()
        .rev()
        .map(|alert| world.handle(&policies, alert).outcome.label())
        .collect();
    assert_eq!(
        again,
        ["duplicate", "duplicate", "acted"],
        "its act is remembered"
    );
    assert_eq!(world.touched(), 3);
}
