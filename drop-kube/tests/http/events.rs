//! Kubernetes Events of what the engine did through the adapter.

use std::sync::Arc;
use std::time::Duration;

use drop_core::Engine;
use drop_core::memory::Records;
use drop_core::past::LocalMemory;
use drop_core::policy::{Policies, Source};
use drop_core::ports::Journal;
use drop_core::record::Record;
use drop_kube::testing::{Fault, Verb};
use drop_kube::{Events, Settings};
use falco_event::Alert;
use serde_json::{Value, json};

use crate::{House, WITHIN};

pub(crate) const POLICY: &str = r#"
apiVersion: falco-drop.dev/v1alpha1
kind: DropPolicy
metadata: { name: shells }
spec:
  mode: enforce
  responses:
    - name: shell
      when: alert.rule = "Terminal shell in container"
      do: [delete: {}]
"#;

/// The record of an alert with this text about the house's first pod, which the engine dropped.
async fn dropped(house: &House, output: &str) -> Record {
    answered(house, POLICY, output).await
}

pub(crate) async fn answered(house: &House, policy: &str, output: &str) -> Record {
    house.cluster.advance(Duration::from_secs(60));
    let policies = Policies::parse(&[Source {
        name: "p.yaml",
        text: policy,
    }])
    .unwrap();
    let (cluster, records) = (Arc::new(house.cluster.clone()), Records::default());
    let memory = Arc::new(LocalMemory::new(cluster.clone()));
    let engine = Engine::new(Arc::new(house.pods.clone()), memory, Arc::new(records), cluster);
    let pod = house.pod();
    let alert = json!({
        "rule": "Terminal shell in container", "priority": "Notice", "source": "syscall",
        "time": house.cluster.now().to_string(), "output": output,
        "output_fields": { "container.id": pod.containers[0].id, "k8s.ns.name": "shop", "k8s.pod.name": pod.name },
    });
    let alert = Alert::from_slice(alert.to_string().as_bytes()).unwrap();
    Record::Decided(Box::new(engine.handle(&policies, &alert, None).await))
}

fn sink(house: &House) -> Events {
    let mut settings = Settings::default();
    settings.pause = Duration::from_millis(1);
    Events::new(house.server.client().unwrap(), "drop-server-0", &settings)
}

/// Posts what waits, until so many are through.
async fn post(events: &Events, through: u64) {
    let enough = async {
        while events.posted() + events.left_out() < through {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! { () = events.keep() => {}, () = enough => {} }
}

#[tokio::test]
async fn a_dropped_pod_and_its_owner_each_have_an_event() {
    let house = House::new().await;
    let pod = house.pod();
    let record = dropped(&house, "a shell\n2026 INFO forged \u{1b}[31m").await;
    let events = sink(&house);
    events.write(&record).await;
    post(&events, 2).await;
    let posted = house.server.events();
    assert_eq!((posted.len(), events.posted(), events.left_out()), (2, 2, 0));
    let Record::Decided(decided) = &record else {
        panic!("an alert is decided")
    };
    let note = format!(
        "deleted pod {} by response `shells/shell` for alert {} of rule `Terminal shell in container`: \
         a shell\\n2026 INFO forged \\u{{1b}}[31m",
        pod.name, decided.id
    );
    for event in &posted {
        assert_eq!(
            (&event["reason"], &event["action"], &event["type"]),
            (&json!("Deleted"), &json!("Deleted"), &json!("Warning"))
        );
        assert_eq!(event["note"], json!(note));
        assert_eq!(event["eventTime"], json!("2026-03-01T12:01:00.000000Z"));
        assert_eq!(event["reportingController"], json!("falco-drop.dev/drop-server"));
        assert_eq!(
            (&event["reportingInstance"], &event["metadata"]["namespace"]),
            (&json!("drop-server-0"), &json!("shop"))
        );
    }
    let regarded = |event: &Value| {
        (
            event["regarding"]["kind"].clone(),
            event["regarding"]["uid"].clone(),
        )
    };
    assert_eq!(regarded(&posted[0]), (json!("Pod"), json!(pod.uid)));
    let controllers = house.cluster.controllers();
    let top = controllers
        .iter()
        .find(|controller| controller.this.kind == "Deployment")
        .unwrap();
    assert_eq!(regarded(&posted[1]), (json!("Deployment"), json!(top.this.uid)));
    assert_eq!(posted[1]["related"]["uid"], json!(pod.uid));
}

#[tokio::test]
async fn what_waits_at_the_end_is_posted_or_counted() {
    let house = House::new().await;
    let record = dropped(&house, "a shell").await;
    let events = sink(&house);
    assert_eq!(events.finish(WITHIN).await, 0);
    events.write(&record).await;
    assert_eq!(events.finish(Duration::ZERO).await, 2);
    let left = tokio::select! { () = events.keep() => 2, left = events.finish(WITHIN) => left };
    assert_eq!((left, events.posted()), (0, 2));
}

/// A journal may be given a record twice: it is one Event all the same.
#[tokio::test]
async fn a_record_that_comes_again_is_no_new_event() {
    let house = House::new().await;
    let record = dropped(&house, "a shell").await;
    let events = sink(&house);
    events.write(&record).await;
    events.write(&record).await;
    post(&events, 4).await;
    assert_eq!((house.server.events().len(), events.left_out()), (2, 0));
}

#[tokio::test]
async fn a_note_is_bounded_as_the_api_server_wants_it() {
    let house = House::new().await;
    let record = dropped(&house, &"é".repeat(5_000)).await;
    let events = sink(&house);
    events.write(&record).await;
    post(&events, 2).await;
    let note = house.server.events()[0]["note"].as_str().unwrap().to_owned();
    assert!(
        note.len() <= 1_024 && note.ends_with('…') && note.starts_with("deleted pod web-"),
        "{note}"
    );
}

#[tokio::test]
async fn what_finds_no_room_or_is_refused_is_counted_and_nobody_waits() {
    let house = House::new().await;
    let record = dropped(&house, "a shell").await;
    let events = sink(&house);
    // Nobody posts yet: what does not fit is left out at once.
    for _ in 0..200 {
        events.write(&record).await;
    }
    assert_eq!((events.posted(), events.left_out()), (0, 400 - 256));
    house.server.fail(Verb::Create, Fault::status(403));
    post(&events, 400 - 256 + 1).await;
    assert_eq!((events.posted(), events.left_out()), (0, 400 - 256 + 1));
    assert_eq!(house.server.events(), Vec::<Value>::new());
}

/// What the house's API server was told of this record: reasons, and the beginning of each note.
async fn told(house: &House, record: &Record) -> Vec<(Value, String)> {
    let events = sink(house);
    events.write(record).await;
    post(&events, 2).await;
    let posted = house.server.events();
    let told = posted.iter().map(|event| {
        let note = event["note"].as_str().unwrap();
        let begin = note.split(" by response ").next().unwrap();
        (event["reason"].clone(), begin.to_owned())
    });
    told.collect()
}

#[tokio::test]
async fn what_may_have_been_done_has_events_that_say_so() {
    let house = House::new().await;
    let name = house.pod().name;
    house.server.fail(Verb::Delete, Fault::Close);
    let record = dropped(&house, "a shell").await;
    let Record::Decided(decided) = &record else {
        panic!("an alert is decided")
    };
    assert_eq!(decided.outcome.label(), "failed");
    let told = told(&house, &record).await;
    let may = (json!("Deleted"), format!("may have deleted pod {name}"));
    assert_eq!(told, [may.clone(), may]);
}

#[tokio::test]
async fn what_a_response_did_before_it_failed_has_events() {
    let house = House::new().await;
    let name = house.pod().name;
    house.server.fail(Verb::Delete, Fault::status(403));
    let policy = POLICY.replace("[delete: {}]", "[label: { labels: { a: b } }, delete: {}]");
    let record = answered(&house, &policy, "a shell").await;
    let told = told(&house, &record).await;
    let note = format!("labelled pod {name}, though not all could be done,");
    let labelled = (json!("Labelled"), note);
    assert_eq!(told, [labelled.clone(), labelled]);
}

#[tokio::test]
async fn what_changed_nothing_has_no_event() {
    let house = House::new().await;
    house.server.fail(Verb::Delete, Fault::status(403));
    let record = dropped(&house, "a shell").await;
    let events = sink(&house);
    events.write(&record).await;
    assert_eq!((events.posted(), events.left_out()), (0, 0));
    let Record::Decided(decided) = record else {
        panic!("an alert is decided")
    };
    assert_eq!(decided.outcome.label(), "failed");
    assert!(decided.outcome.is_retryable());
}
