//! The decision as a pure function: one alert, one pod, and what each guard says at its boundary.
#![cfg(test)]

use std::collections::BTreeMap;
use std::time::Duration;

use drop_core::decide::{Judgement, decide};
use drop_core::facts::{Budget, Facts, Known};
use drop_core::guard::{Guard, Says};
use drop_core::moment::Moment;
use drop_core::plan::plan;
use drop_core::pod::{Container, Deletion, Phase, Pod};
use drop_core::policy::{Policies, Source};
use falco_event::{Alert, ContainerId, Namespace, NodeName, PodName, PodUid, Timestamp};
use serde_json::{Value, json};

const UID: &str = "0b7c9f7e-52a5-4a1e-9a53-0a3a3f1c2d4e";
const SHORT: &str = "3f9a1c0b7e2d";
const CONTAINER: &str = "3f9a1c0b7e2d4f6a8b9c0d1e2f3a4b5c6d7e8f9a0b1c2d3e4f5a6b7c8d9e0f1a";

/// A time this many milliseconds after the alert.
fn after(millis: i64) -> Timestamp {
    let alert: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let then = alert + jiff::SignedDuration::from_millis(millis);
    then.to_string().parse().unwrap()
}

/// The alert by name alone, or with further fields.
fn alert(more: &[(&str, &str)]) -> Alert {
    let mut fields = json!({ "k8s.ns.name": "shop", "k8s.pod.name": "db-1" });
    for (field, value) in more {
        fields[*field] = json!(value);
    }
    alert_of(&fields)
}

fn alert_of(fields: &Value) -> Alert {
    let alert = json!({
        "rule": "shell", "priority": "Notice", "source": "syscall", "hostname": "node-1",
        "time": after(0).to_string(), "output": "", "output_fields": fields,
    });
    Alert::from_slice(alert.to_string().as_bytes()).unwrap()
}

/// The pod, an hour older than the alert.
fn pod() -> Pod {
    Pod {
        namespace: Namespace::try_from("shop").unwrap(),
        name: PodName::try_from("db-1").unwrap(),
        uid: PodUid::try_from(UID).unwrap(),
        created: after(-3_600_000),
        deletion: None,
        phase: Phase::Running,
        ready: true,
        node: Some(NodeName::try_from("node-1").unwrap()),
        containers: vec![container(None)],
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        controller: None,
        service_account: None,
        priority_class: None,
        mirror: false,
    }
}

fn container(ended: Option<Timestamp>) -> Container {
    Container {
        name: "db".to_owned(),
        id: ContainerId::try_from(CONTAINER).unwrap(),
        ended,
    }
}

/// Which guard stops the delete, and whether the alert may be sent again; judged this long after the alert.
fn judged(spec: &str, alert: &Alert, facts: &Facts, millis: i64) -> Option<(Guard, bool)> {
    stopped(&judgement(
        "delete: { gracePeriodSeconds: 5 }",
        spec,
        alert,
        facts,
        millis,
    ))
}

fn judgement(action: &str, spec: &str, alert: &Alert, facts: &Facts, millis: i64) -> Judgement {
    let text = format!(
        "apiVersion: falco-drop.dev/v1alpha1\nkind: DropPolicy\nmetadata: {{ name: p }}\nspec:\n  mode: enforce\n  {spec}\n  \
         responses: [{{ name: r, when: alert.rule = shell, do: [{action}] }}]\n"
    );
    let source = Source {
        name: "p.yaml",
        text: &text,
    };
    let policies = Policies::parse(&[source]).unwrap_or_else(|wrong| panic!("{wrong}"));
    let moment = Moment::of(alert, None, after(millis));
    let decision = decide(&plan(&policies, alert), facts, &moment);
    let [response] = decision.responses.as_slice() else {
        panic!("{decision:?}")
    };
    response.clone()
}

fn stopped(response: &Judgement) -> Option<(Guard, bool)> {
    let verdict = response.stopped()?;
    Some((verdict.guard, matches!(verdict.says, Says::Wait(_))))
}

fn with(change: impl FnOnce(&mut Pod)) -> Facts {
    let mut pod = pod();
    change(&mut pod);
    alone(pod)
}

/// A pod that nothing owns.
fn alone(pod: Pod) -> Facts {
    Facts {
        owner: Known::Is(None),
        ..Facts::of(pod)
    }
}

const STOPS: bool = false;
const WAITS: bool = true;

#[test]
fn what_fits_is_not_stopped() {
    for clue in [
        ("k8s.pod.uid", UID),
        ("container.id", SHORT),
        ("container.id", CONTAINER),
    ] {
        assert_eq!(judged("", &alert(&[clue]), &alone(pod()), 0), None, "{clue:?}");
    }
}

#[test]
fn each_contradiction_is_final() {
    let contradictions = [
        ("k8s.ns.name", "web"),
        ("k8s.pod.name", "db-2"),
        ("k8s.pod.uid", "0b7c9f7e-52a5-4a1e-9a53-0a3a3f1c2d4f"),
    ];
    let container = ("container.id", CONTAINER);
    for clue in contradictions {
        let result = judged("", &alert(&[container, clue]), &alone(pod()), 0);
        assert_eq!(result, Some((Guard::Identity, STOPS)), "{clue:?}");
    }
}

#[test]
fn the_host_contradicts_only_as_another_nodes_name() {
    let on = |name: &str, is_node| Facts {
        host_is_node: is_node,
        ..with(|pod| pod.node = Some(NodeName::try_from(name).unwrap()))
    };
    let cases = [
        (on("node-1", Known::Is(true)), None),
        (on("node-2", Known::Is(true)), Some((Guard::Identity, STOPS))),
        (on("node-2", Known::Is(false)), None),
        (on("node-2", Known::NotAsked), None),
        (on("node-2", Known::Unknown("no index".to_owned())), None),
    ];
    for (facts, expected) in cases {
        assert_eq!(judged("", &alert(&[]), &facts, 0), expected, "{facts:?}");
    }
}

#[test]
fn by_name_alone_the_pod_is_three_seconds_older_than_the_alert() {
    for (millis, expected) in [(-3_000, None), (-2_999, Some((Guard::PodAge, STOPS)))] {
        let facts = with(|pod| pod.created = after(millis));
        assert_eq!(judged("", &alert(&[]), &facts, 0), expected, "{millis}");
    }
}

#[test]
fn a_known_container_or_uid_makes_the_age_of_the_pod_nothing() {
    let younger = with(|pod| pod.created = after(500));
    for clue in [("k8s.pod.uid", UID), ("container.id", CONTAINER)] {
        assert_eq!(judged("", &alert(&[clue]), &younger, 1_000), None, "{clue:?}");
    }
}

#[test]
fn an_unknown_container_waits_for_the_status_and_is_then_another_pods() {
    let facts = with(|pod| pod.containers.clear());
    let unknown = alert(&[("container.id", CONTAINER)]);
    assert_eq!(
        judged("", &unknown, &facts, 14_999),
        Some((Guard::Identity, WAITS))
    );
    assert_eq!(
        judged("", &unknown, &facts, 15_000),
        Some((Guard::Identity, STOPS))
    );
    let by_uid = alert(&[("container.id", CONTAINER), ("k8s.pod.uid", UID)]);
    assert_eq!(judged("", &by_uid, &facts, 15_000), None);
}

#[test]
fn a_container_that_ended_before_the_alert_did_not_raise_it() {
    let ended_before = Some((Guard::Identity, STOPS));
    for (ended, expected) in [(1, None), (0, None), (-2_000, None), (-2_001, ended_before)] {
        let facts = with(|pod| pod.containers = vec![container(Some(after(ended)))]);
        let result = judged("", &alert(&[("container.id", CONTAINER)]), &facts, 20_000);
        assert_eq!(result, expected, "{ended}");
    }
}

#[test]
fn a_short_id_of_two_containers_cannot_tell() {
    let mut other = container(None);
    let twin = format!("{}{}", SHORT, "0".repeat(52));
    other.id = ContainerId::try_from(twin.as_str()).unwrap();
    let facts = with(|pod| pod.containers.push(other));
    let short = alert(&[("container.id", SHORT)]);
    assert_eq!(judged("", &short, &facts, 20_000), Some((Guard::Identity, STOPS)));
    assert_eq!(
        judged("", &alert(&[("container.id", CONTAINER)]), &facts, 20_000),
        None
    );
}

#[test]
fn a_policy_acts_in_the_namespaces_that_it_names() {
    let outside = Some((Guard::Bounds, STOPS));
    for (bounds, expected) in [("[shop, web]", None), ("[web]", outside)] {
        let spec = format!("namespaces: {bounds}");
        assert_eq!(judged(&spec, &alert(&[]), &alone(pod()), 0), expected, "{bounds}");
    }
}

#[test]
fn an_alert_has_an_age_and_waits_for_a_clock_that_is_a_minute_behind_at_most() {
    let (stops, waits) = (Some((Guard::AlertAge, STOPS)), Some((Guard::AlertAge, WAITS)));
    let named = alert(&[]);
    let pinned = alert(&[("container.id", SHORT)]);
    for (alert, millis, expected) in [
        (&named, 60_000, None),
        (&named, 60_001, stops),
        (&named, -2_000, None),
        (&named, -2_001, stops),
        (&pinned, -2_001, waits),
        (&pinned, -60_000, waits),
        (&pinned, -60_001, stops),
    ] {
        let result = judged("maxAlertAge: 60s", alert, &alone(pod()), millis);
        assert_eq!(result, expected, "{millis}");
    }
}

#[test]
fn a_terminating_pod_is_deleted_again_where_ours_ends_it_sooner() {
    for (left, expected) in [(5_001, None), (5_000, Some((Guard::Terminating, STOPS)))] {
        let facts = with(|pod| {
            pod.deletion = Some(Deletion {
                at: after(left),
                grace_seconds: 30,
            });
        });
        assert_eq!(judged("", &alert(&[]), &facts, 0), expected, "{left}");
    }
}

#[test]
fn an_unread_fact_stops_what_wants_it_and_nothing_else() {
    let unread = Facts {
        namespace: Known::Unknown("forbidden".to_owned()),
        owner: Known::Unknown("forbidden".to_owned()),
        siblings: Known::Unknown("forbidden".to_owned()),
        budgets: Known::Unknown("forbidden".to_owned()),
        ..alone(pod())
    };
    assert_eq!(judged("limits: []", &alert(&[]), &unread, 0), None);
    let by_owner = "limits: [{ scope: workload, max: 5, per: 1m }]";
    for unread in [unread, Facts::of(pod())] {
        assert_eq!(
            judged(by_owner, &alert(&[]), &unread, 0),
            Some((Guard::Facts, WAITS))
        );
    }
}

#[test]
fn a_budget_stops_an_eviction_is_noted_for_a_deletion_and_is_nothing_to_a_label() {
    let budget = Budget {
        name: "keep".to_owned(),
        disruptions_allowed: 0,
        spares_ready_only: false,
    };
    let with_budget = |change: &dyn Fn(&mut Pod)| Facts {
        budgets: Known::Is(vec![budget.clone()]),
        ..with(change)
    };
    let says = |action, facts: &Facts| {
        let verdicts = judgement(action, "", &alert(&[]), facts, 0).verdicts;
        verdicts
            .into_iter()
            .find(|verdict| verdict.guard == Guard::Budget)
            .unwrap()
            .says
    };
    let why = "disruption budget `keep` has nothing left";
    let running = with_budget(&|_| ());
    assert_eq!(says("evict: {}", &running), Says::Stop(why.to_owned()));
    let noted = Says::Note(format!("{why}, which a deletion does not heed"));
    assert_eq!(says("delete: {}", &running), noted);
    assert_eq!(says("label: { labels: { a: b } }", &running), Says::Pass);
    let deletion = Deletion {
        at: after(60_000),
        grace_seconds: 60,
    };
    for uncounted in [
        with_budget(&|pod| pod.phase = Phase::Pending),
        with_budget(&|pod| pod.phase = Phase::Failed),
        with_budget(&|pod| pod.deletion = Some(deletion)),
    ] {
        assert_eq!(says("evict: {}", &uncounted), Says::Pass, "{uncounted:?}");
    }
}

#[test]
fn what_has_ended_or_cannot_be_stopped_is_left_alone() {
    for (facts, guard) in [
        (with(|pod| pod.phase = Phase::Succeeded), Guard::Finished),
        (with(|pod| pod.phase = Phase::Failed), Guard::Finished),
        (with(|pod| pod.mirror = true), Guard::Mirror),
    ] {
        assert_eq!(judged("", &alert(&[]), &facts, 0), Some((guard, STOPS)));
    }
}

#[test]
fn the_earlier_of_alert_and_receipt_is_when_it_happened() {
    let alert = alert(&[]);
    for (received, happened) in [(-5_000, -5_000), (5_000, 0)] {
        let moment = Moment::of(&alert, Some(after(received)), after(10_000));
        assert_eq!(moment.happened, after(happened));
        assert_eq!(
            moment.age(),
            Duration::from_millis((10_000 - happened).unsigned_abs())
        );
    }
}
