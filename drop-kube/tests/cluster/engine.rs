//! The engine on a real API server, through the adapter.

use std::sync::Arc;
use std::time::{Duration, Instant};

use drop_core::Engine;
use drop_core::memory::Workload;
use drop_core::outcome::Ending;
use drop_core::ports::Journal;
use drop_core::record::Record;
use drop_core::testing::Fixture;
use drop_kube::{Events, Settings};
use falco_event::Namespace;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::fixture::Real;
use crate::scene::{alert, engine, policies, running};

/// The action of these tests.
const DELETE: &str = "delete: { gracePeriodSeconds: 3 }";

/// The whole of it: found by the index, deleted by UID, replaced by its controller, confirmed gone when the watch sees
/// it, and told on the pod and its Deployment.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs FALCO_DROP_TEST_KUBECONFIG"]
async fn an_alert_drops_its_pod_and_tells_it() {
    let real = Arc::new(Real::watched("engine", Settings::default()).await);
    let running = Arc::clone(&real);
    let end = tokio::spawn(async move { drop_one(&running).await }).await;
    real.remove_all().await;
    end.unwrap();
}

/// Asks the engine each time that the watch sees a pod go. Returns how often.
async fn confirm(engine: &Engine, changes: &mut watch::Receiver<u64>) -> u32 {
    let mut woken = 0;
    let confirmed = async {
        while engine.confirm().await.unwrap() != 0 {
            changes.changed().await.unwrap();
            woken += 1;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), confirmed)
        .await
        .unwrap();
    woken
}

async fn drop_one(real: &Real) {
    let namespace = real.namespace(&[]).await;
    real.create(Workload::deployment(
        namespace.clone(),
        "mysql-db".parse().unwrap(),
    ))
    .await;
    let old = running(real, &namespace, None).await;
    let (engine, records) = engine(real.pods.clone());
    let mut changes = real.index.as_ref().unwrap().changes();
    let decided = engine.handle(&policies("", DELETE), &alert(&old), None).await;
    assert_eq!(decided.outcome.label(), "acted", "{}", decided.outcome);
    confirm(&engine, &mut changes).await;
    assert_eq!(
        records.closed().remove(0).ending,
        Ending::Confirmed { ours: true }
    );
    let new = running(real, &namespace, Some(&old)).await;
    assert_ne!((new.uid, new.name), (old.uid.clone(), old.name.clone()));
    told(real, &namespace, Record::Decided(Box::new(decided))).await;
}

/// A pod whose containers do not end on SIGTERM is there until its grace is over, and is confirmed only then.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs FALCO_DROP_TEST_KUBECONFIG"]
async fn a_pod_that_ignores_sigterm_is_confirmed_after_its_grace() {
    let mut settings = Settings::default();
    let real = Real::connect("sigterm").await;
    let namespace = real.namespace(&[]).await;
    // Only its own namespace is watched, so that nothing else wakes it.
    settings.reach.namespaces = Some([namespace.clone()].into());
    let real = Arc::new(real.with_index(settings).await);
    let running = Arc::clone(&real);
    let end = tokio::spawn(async move { outlive_sigterm(&running, &namespace).await }).await;
    real.remove_all().await;
    end.unwrap();
}

async fn outlive_sigterm(real: &Real, namespace: &Namespace) {
    real.create(Workload::pod(namespace.clone(), "stubborn".parse().unwrap()).ignores_sigterm())
        .await;
    let pod = running(real, namespace, None).await;
    let (engine, records) = engine(real.pods.clone());
    let mut changes = real.index.as_ref().unwrap().changes();
    let began = Instant::now();
    let decided = engine.handle(&policies("", DELETE), &alert(&pod), None).await;
    assert_eq!(decided.outcome.label(), "acted", "{}", decided.outcome);
    assert_eq!(engine.confirm().await, Ok(1), "it is still there");
    assert_eq!(
        confirm(&engine, &mut changes).await,
        1,
        "the first wake finds it gone"
    );
    assert_eq!(
        records.closed().remove(0).ending,
        Ending::Confirmed { ours: true }
    );
    // The policy's grace is 3 s; the API server counts them from a time that it cut to whole seconds.
    assert!(
        began.elapsed() >= Duration::from_millis(1_900),
        "{:?}",
        began.elapsed()
    );
}

async fn told(real: &Real, namespace: &Namespace, record: Record) {
    let events = Events::new(real.client.clone(), "drop-server-0", &Settings::default());
    events.write(&record).await;
    events.write(&record).await;
    let through = async {
        while events.posted() + events.left_out() < 4 {
            real.wait().await;
        }
    };
    tokio::select! { () = events.keep() => {}, () = through => {} }
    assert_eq!((events.posted(), events.left_out()), (4, 0));
    let posted = real
        .send(
            "GET",
            &format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events"),
            None,
        )
        .await
        .unwrap();
    let ours = |event: &&Value| event["reportingController"] == json!("falco-drop.dev/drop-server");
    let mut regarded: Vec<&str> = posted["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(ours)
        .filter_map(|event| event["regarding"]["kind"].as_str())
        .collect();
    regarded.sort_unstable();
    assert_eq!(regarded, ["Deployment", "Pod"]);
}
