//! Never the wrong pod.

use std::time::Duration;

use drop_core::Outcome;
use drop_core::guard::Guard;
use drop_core::identity::{Clue, Fit};
use drop_core::memory::Workload;
use drop_core::pod::Pod;
use futures_executor::block_on;
use serde_json::json;

use crate::world::{SHELL, World, name, namespace, policies};

fn skipped(outcome: &Outcome) -> (Guard, bool) {
    let Outcome::Skipped { guard, retryable, .. } = outcome else {
        panic!("{outcome:?}")
    };
    (*guard, *retryable)
}

#[test]
fn alerts_that_name_no_pod_are_skipped_with_the_reason() {
    let world = World::new();
    let cases = [
        (json!({}), "the alert names no pod and no container"),
        (
            json!({ "container.id": "host" }),
            "the alert is about a node, not a pod",
        ),
        (
            json!({ "k8s.ns.name": "default", "k8s.pod.name": null }),
            "the alert names no pod and no container",
        ),
    ];
    for (fields, reason) in cases {
        let decided = world.handle(&policies(SHELL), &world.alert_with(|f| *f = fields));
        let Outcome::Skipped {
            guard: Guard::Target,
            why,
            retryable: false,
        } = &decided.outcome
        else {
            panic!("{decided:?}")
        };
        assert_eq!(why, reason);
    }
}

#[test]
fn a_name_that_is_none_never_reaches_the_cluster() {
    let world = World::new();
    for bad in ["../kube-system", "a/b", "", "A", "x?y", "..", "a%2fb"] {
        let alert = world.alert_with(|f| *f = json!({ "k8s.ns.name": "default", "k8s.pod.name": bad }));
        let decided = world.handle(&policies(SHELL), &alert);
        world.cluster.advance(Duration::from_millis(1));
        assert_eq!(skipped(&decided.outcome), (Guard::Target, false), "{bad}");
        assert_eq!(decided.target, None);
    }
}

#[test]
fn a_pod_that_only_its_container_tells_is_found() {
    let world = World::new();
    let pod = world.pod();
    let alert = world.alert_with(|f| {
        *f = json!({ "container.id": pod.containers[0].id.to_string().get(..12), "k8s.pod.name": null, "k8s.ns.name": null });
    });
    assert_eq!(
        world.handle(&policies(SHELL), &alert).outcome,
        Outcome::Acted { certain: true }
    );
    assert_eq!(world.cluster.touched()[0].uid, pod.uid);
}

#[test]
fn a_container_that_no_status_shows_yet_may_be_sent_again_for_fifteen_seconds() {
    let world = World::new();
    let policies = policies(SHELL);
    for fields in [
        json!({ "container.id": "0123456789ab" }),
        json!({
            "container.id": "0123456789ab", "k8s.ns.name": "default", "k8s.pod.name": world.pod().name,
        }),
    ] {
        let alert = world.alert_with(|f| *f = fields);
        assert!(skipped(&world.handle(&policies, &alert).outcome).1);
        world.cluster.advance(Duration::from_secs(16));
        assert!(!skipped(&world.handle(&policies, &alert).outcome).1);
    }
    assert_eq!(world.touched(), 0);
}

#[test]
fn the_pod_that_took_over_a_name_is_never_hit() {
    let world = World::new();
    let set = Workload::stateful_set(namespace("default"), name("ledger")).first_pod(name("ledger-0"));
    world.cluster.add_workload(set);
    world.cluster.advance(Duration::from_secs(60));
    let old = world
        .cluster
        .pod(&namespace("default"), &name("ledger-0"))
        .unwrap();
    let with_container = world.alert(&old);
    let with_uid = world.alert_with(|f| {
        *f = json!({ "k8s.ns.name": "default", "k8s.pod.name": "ledger-0", "k8s.pod.uid": old.uid })
    });
    let by_name = world.alert_with(|f| *f = json!({ "k8s.ns.name": "default", "k8s.pod.name": "ledger-0" }));
    world
        .cluster
        .delete(&old.namespace, &old.name, None, Some(0))
        .unwrap();
    world.cluster.advance(Duration::from_secs(20));
    let new = world
        .cluster
        .pod(&namespace("default"), &name("ledger-0"))
        .unwrap();
    assert_ne!(new.uid, old.uid);
    let policies = policies(SHELL);
    assert_eq!(
        skipped(&world.handle(&policies, &with_container).outcome),
        (Guard::Identity, false)
    );
    assert_eq!(
        skipped(&world.handle(&policies, &with_uid).outcome),
        (Guard::Identity, false)
    );
    assert_eq!(
        skipped(&world.handle(&policies, &by_name).outcome),
        (Guard::PodAge, false)
    );
    assert_eq!(world.touched(), 0);
}

#[test]
fn a_post_dated_alert_is_as_old_as_its_receipt() {
    let world = World::new();
    let received = world.cluster.now();
    let later = received + Duration::from_secs(30);
    let pod = world.pod();
    world
        .cluster
        .delete(&pod.namespace, &pod.name, None, Some(0))
        .unwrap();
    world.cluster.advance(Duration::from_secs(30));
    let new = world.pod();
    let alert = world.alert_at(later, |f| {
        *f = json!({ "k8s.ns.name": "default", "k8s.pod.name": new.name })
    });
    let decided = block_on(world.engine.handle(&policies(SHELL), &alert, Some(received)));
    assert_eq!(skipped(&decided.outcome), (Guard::PodAge, false));
}

#[test]
fn a_pod_that_is_gone_is_said_to_be() {
    let world = World::new();
    let (pod, policies) = (world.pod(), policies(SHELL));
    let alert = world.alert(&pod);
    world
        .cluster
        .delete(&pod.namespace, &pod.name, None, Some(0))
        .unwrap();
    assert_eq!(
        skipped(&world.handle(&policies, &alert).outcome),
        (Guard::Target, false)
    );
}

#[test]
fn mirror_pods_and_finished_pods_are_left_alone() {
    let world = World::new();
    world
        .cluster
        .add_workload(Workload::static_pod(namespace("default"), name("etcd-node-1")));
    world
        .cluster
        .add_workload(Workload::pod(namespace("default"), name("done")));
    world.cluster.advance(Duration::from_secs(60));
    let mirror = world.pods().into_iter().find(|pod| pod.mirror).unwrap();
    let done = world.cluster.pod(&namespace("default"), &name("done")).unwrap();
    let alert = world.alert(&done);
    world
        .cluster
        .finish(&done.uid, drop_core::pod::Phase::Succeeded)
        .unwrap();
    assert_eq!(
        skipped(&world.handle(&policies(SHELL), &world.alert(&mirror)).outcome),
        (Guard::Mirror, false)
    );
    assert_eq!(
        skipped(&world.handle(&policies(SHELL), &alert).outcome),
        (Guard::Finished, false)
    );
    assert_eq!(world.touched(), 0);
}

/// Two nodes, with a pod on the first.
fn on_two_nodes() -> (World, Pod) {
    let world = World::new();
    world.cluster.add_node("node-2".parse().unwrap());
    let pod = world.pod();
    assert_eq!(pod.node, Some("node-1".parse().unwrap()));
    (world, pod)
}

#[test]
fn a_host_that_is_another_node_contradicts() {
    for (host, fit, acts) in [
        ("node-1", Fit::Agrees, true),
        ("node-2", Fit::Contradicts, false),
        ("falco-x2x9k", Fit::CannotTell, true),
        ("node-2.example.org", Fit::CannotTell, true),
    ] {
        let (world, pod) = on_two_nodes();
        let fields = json!({
            "k8s.ns.name": pod.namespace, "k8s.pod.name": pod.name, "evt.hostname": host,
            "container.id": pod.containers[0].id.to_string().get(..12),
        });
        let decided = world.handle(&policies(SHELL), &world.alert_with(|f| *f = fields));
        assert_eq!(
            decided.identity.as_ref().unwrap().fit(Clue::Node),
            Some(fit),
            "{host}"
        );
        if acts {
            assert_eq!(decided.outcome, Outcome::Acted { certain: true }, "{host}");
        } else {
            assert_eq!(skipped(&decided.outcome), (Guard::Identity, false), "{host}");
        }
        let asked = host != "node-1";
        assert_eq!(
            decided.facts.unwrap().host_is_node.is_not_asked(),
            !asked,
            "{host}"
        );
    }
}

/// A plugin's event comes from wherever the plugin runs.
#[test]
fn the_host_of_an_alert_that_is_no_system_call_says_nothing() {
    let (world, pod) = on_two_nodes();
    let mut alert: serde_json::Value = serde_json::from_slice(world.alert(&pod).as_bytes()).unwrap();
    alert["source"] = json!("k8s_audit");
    alert["hostname"] = json!("node-2");
    let alert = falco_event::Alert::from_slice(alert.to_string().as_bytes()).unwrap();
    let decided = world.handle(&policies(SHELL), &alert);
    assert_eq!(decided.identity.unwrap().fit(Clue::Node), None);
    assert_eq!(decided.outcome, Outcome::Acted { certain: true });
}

/// Without a node of its own the pod contradicts no host.
#[test]
fn a_pod_that_no_node_has_taken_contradicts_no_host() {
    let world = World::new();
    world
        .cluster
        .add_workload(Workload::pod(namespace("default"), name("waiting")).unschedulable());
    world.cluster.advance(Duration::from_secs(60));
    let fields = json!({ "k8s.ns.name": "default", "k8s.pod.name": "waiting", "evt.hostname": "node-1" });
    let decided = world.handle(&policies(SHELL), &world.alert_with(|f| *f = fields));
    assert_eq!(decided.identity.unwrap().fit(Clue::Node), Some(Fit::CannotTell));
}

/// By name alone, and nobody says when the alert came: by the time that it names, the name is another pod's.
#[test]
fn an_alert_that_is_ahead_does_not_wait_for_the_pod_that_comes_after() {
    for says_when in [false, true] {
        let world = World::new();
        let set = Workload::stateful_set(namespace("default"), name("st"));
        world.cluster.add_workload(set);
        world.cluster.advance(Duration::from_secs(60));
        let (now, policies) = (world.cluster.now(), policies(SHELL));
        let alert = world.alert_at(now + Duration::from_secs(40), |fields| {
            fields["k8s.ns.name"] = json!("default");
            fields["k8s.pod.name"] = json!("st-0");
        });
        let received = says_when.then_some(now);
        let first = block_on(world.engine.handle(&policies, &alert, received)).outcome;
        assert_eq!(first.is_retryable(), says_when, "{first:?}");
        let (at, of) = (namespace("default"), name("st-0"));
        world.cluster.delete(&at, &of, None, Some(1)).unwrap();
        world.cluster.advance(Duration::from_secs(39));
        let second = block_on(world.engine.handle(&policies, &alert, received)).outcome;
        assert!(["skipped", "duplicate"].contains(&second.label()), "{second:?}");
        assert_eq!(world.touched(), 0);
    }
}
