//! Who looks after the second records: woken by a watch, and not stopped by a panic.

use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use drop_core::facts::{Facts, Wants};
use drop_core::memory::{Cluster, Records, Workload};
use drop_core::outcome::Ending;
use drop_core::past::LocalMemory;
use drop_core::pod::Pod;
use drop_core::policy::{Policies, Source};
use drop_core::ports::{ApiError, ApplyError, By, Change, Found, PodApi, Presence, Target};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;

const POLICY: &str = "
apiVersion: falco-drop.dev/v1alpha1
kind: DropPolicy
metadata: { name: p }
spec: { mode: enforce, limits: [], responses: [{ name: r, when: alert.rule = a, do: [{ delete: {} }] }] }
";

/// The cluster, which panics so often when it is asked whether a pod is there, and after the next change if it is to.
struct Panicking {
    cluster: Cluster,
    looks: AtomicU32,
    changes: AtomicU32,
}

fn panics(left: &AtomicU32) {
    let due = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
    assert!(due.is_err(), "for the test");
}

#[async_trait]
impl PodApi for Panicking {
    async fn find(&self, by: &By) -> Result<Found, ApiError> {
        self.cluster.find(by).await
    }
    async fn facts(&self, pod: Pod, wants: Wants) -> Facts {
        self.cluster.facts(pod, wants).await
    }
    async fn apply(&self, target: &Target, change: &Change, within: Duration) -> Result<(), ApplyError> {
        let made = self.cluster.apply(target, change, within).await;
        panics(&self.changes);
        made
    }
    async fn presence(&self, target: &Target) -> Result<Presence, ApiError> {
        panics(&self.looks);
        self.cluster.presence(target).await
    }
}

/// A cluster with a pod that takes its whole grace to end.
fn cluster() -> Cluster {
    let cluster = Cluster::new("2026-03-01T12:00:00Z".parse().unwrap());
    let web = Workload::pod("shop".parse().unwrap(), "web".parse().unwrap());
    cluster.add_workload(web.ignores_sigterm());
    cluster.advance(Duration::from_secs(60));
    cluster
}

/// A host whose engine sees the cluster through `api`, and what it writes.
fn host(cluster: &Cluster, api: impl PodApi + 'static) -> (Arc<Host>, Records) {
    let (clock, records) = (Arc::new(cluster.clone()), Records::default());
    let memory = Arc::new(LocalMemory::new(clock.clone()));
    let engine = Engine::new(Arc::new(api), memory, Arc::new(records.clone()), clock);
    let source = Source {
        name: "p",
        text: POLICY,
    };
    let metrics = Arc::new(Metrics::default());
    let store = Store::new(Policies::parse(&[source]).unwrap(), Arc::clone(&metrics));
    (Arc::new(Host::new(engine, Arc::new(store), metrics)), records)
}

fn alert(cluster: &Cluster) -> Alert {
    let alert = format!(
        r#"{{"rule":"a","priority":"Notice","source":"syscall","time":"{}","output":"x",
            "output_fields":{{"k8s.ns.name":"shop","k8s.pod.name":"web"}}}}"#,
        cluster.now()
    );
    Alert::from_slice(alert.as_bytes()).unwrap()
}

fn confirming(host: &Arc<Host>, gone: Option<Gone>) -> JoinHandle<()> {
    let host = Arc::clone(host);
    tokio::spawn(async move { host.confirm(gone).await })
}

/// An alert is handled over a cluster that panics so often, and everyone waits for its second record.
async fn confirmed(looks: u32, changes: u32) {
    let cluster = cluster();
    let api = Panicking {
        cluster: cluster.clone(),
        looks: AtomicU32::new(looks),
        changes: AtomicU32::new(changes),
    };
    let (host, records) = host(&cluster, api);
    let looking = confirming(&host, None);
    let told = host.accept(alert(&cluster), None, ()).unwrap();
    assert_eq!(told.await.is_some(), changes == 0);
    for _ in 0..100 {
        cluster.advance(Duration::from_secs(1));
        tokio::time::sleep(CONFIRM_EVERY).await;
    }
    assert_eq!(records.closed().len(), 1);
    looking.abort();
}

#[tokio::test]
async fn an_alert_holds_the_room_of_its_body_until_it_is_handled_whoever_waits() {
    let cluster = cluster();
    let (host, records) = host(&cluster, cluster.clone());
    let room = Arc::new(());
    drop(host.accept(alert(&cluster), None, Arc::clone(&room)).unwrap());
    assert_eq!(Arc::strong_count(&room), 2);
    while Arc::strong_count(&room) > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(records.decided().len(), 1);
}

/// Time stands still as long as there is something to do.
#[tokio::test(start_paused = true)]
async fn a_pod_that_goes_is_confirmed_at_once_where_a_watch_tells() {
    let cluster = cluster();
    let (host, records) = host(&cluster, cluster.clone());
    let gone = watch::Sender::new(0);
    let looking = confirming(&host, Some(gone.subscribe()));
    let outcome = host.accept(alert(&cluster), None, ()).unwrap().await;
    assert_eq!(outcome, Some(Outcome::Acted { certain: true }));
    let settled = async || {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    };
    settled().await;
    assert_eq!(records.closed(), [], "it is still there");
    tokio::time::advance(CONFIRM_PAUSE).await;
    let began = Instant::now();
    cluster.advance(Duration::from_secs(60));
    gone.send_modify(|gone| *gone += 1);
    settled().await;
    let ending = records.closed().pop().map(|closed| closed.ending);
    assert_eq!(ending, Some(Ending::Confirmed { ours: true }));
    assert_eq!(began.elapsed(), Duration::ZERO, "no timer had to pass");
    looking.abort();
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_pods_are_looked_at_does_not_end_the_looking() {
    confirmed(3, 0).await;
}

#[tokio::test(start_paused = true)]
async fn an_act_whose_task_panics_is_looked_after() {
    confirmed(0, 1).await;
}
