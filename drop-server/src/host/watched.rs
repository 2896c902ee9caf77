//! A watch that sees a pod go wakes who looks after it.

use drop_core::memory::{Cluster, Records, Workload};
use drop_core::outcome::Ending;
use drop_core::past::LocalMemory;
use drop_core::policy::{Policies, Source};
use tokio::time::Instant;

use super::*;
use crate::clock::SystemClock;

const POLICY: &str = "{ apiVersion: falco-drop.dev/v1alpha1, kind: DropPolicy, metadata: { name: p }, spec: { \
    mode: enforce, limits: [], responses: [{ name: r, when: alert.rule = a, do: [{ delete: {} }] }] } }";

/// A host over a cluster with one pod that takes its whole grace to end, and that pod's alert.
fn stage() -> (Cluster, Records, Arc<Host>, Alert) {
    let cluster = Cluster::new(Timestamp::now());
    let web = Workload::pod("shop".parse().unwrap(), "web".parse().unwrap());
    cluster.add_workload(web.ignores_sigterm());
    let (records, clock) = (Records::default(), Arc::new(SystemClock::default()));
    let memory = Arc::new(LocalMemory::new(clock.clone()));
    let engine = Engine::new(
        Arc::new(cluster.clone()),
        memory,
        Arc::new(records.clone()),
        clock,
    );
    let policies = Policies::parse(&[Source {
        name: "p",
        text: POLICY,
    }]);
    let metrics = Arc::new(Metrics::default());
    let store = Arc::new(Store::new(policies.unwrap(), Arc::clone(&metrics)));
    let container = &cluster.pods()[0].containers[0].id;
    let alert = format!(
        r#"{{"rule":"a","priority":"Notice","time":"{}","output_fields":{{"container.id":"{container}"}}}}"#,
        Timestamp::now()
    );
    let alert = Alert::from_slice(alert.as_bytes()).unwrap();
    (
        cluster,
        records,
        Arc::new(Host::new(engine, store, metrics)),
        alert,
    )
}

/// Time stands still unless everything waits for it.
#[tokio::test(start_paused = true)]
async fn a_pod_that_goes_is_confirmed_at_once_where_a_watch_tells() {
    let (cluster, records, host, alert) = stage();
    let gone = watch::Sender::new(0);
    let confirming = Arc::clone(&host);
    let watched = gone.subscribe();
    tokio::spawn(async move { confirming.confirm(Some(watched)).await });
    let outcome = host.accept(alert, None).unwrap().await.unwrap();
    assert_eq!(outcome, Outcome::Acted { certain: true });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(records.closed(), [], "it is still there");
    let began = Instant::now();
    cluster.advance(Duration::from_secs(60));
    gone.send_modify(|gone| *gone += 1);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let ending = records.closed().pop().map(|closed| closed.ending);
    assert_eq!(ending, Some(Ending::Confirmed { ours: true }));
    assert_eq!(began.elapsed(), Duration::ZERO, "no timer had to pass");
}
