//! The host of the engine: it runs every accepted alert to its end, and asks for the second records.

use std::sync::Arc;
use std::time::Duration;

use drop_core::{Engine, Outcome};
use falco_event::{Alert, Timestamp};
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::task::TaskTracker;

use crate::body::Room;
use crate::metrics::Metrics;
use crate::policies::{Status, Store};
use crate::readiness::Readiness;

/// Alerts at a time; more are answered 503, and their sender keeps them. Each waits for the API server at most.
const MAX_IN_FLIGHT: usize = 4_096;

/// How often the pods that were acted on are looked at.
const CONFIRM_EVERY: Duration = Duration::from_millis(250);

/// Changes each time that a pod went.
pub(crate) type Gone = watch::Receiver<u64>;

/// The engine with its policies, and the alerts under way.
#[derive(Debug)]
pub struct Host {
    engine: Engine,
    policies: Arc<Store>,
    metrics: Arc<Metrics>,
    readiness: Readiness,
    bodies: Room,
    room: Arc<Semaphore>,
    tasks: TaskTracker,
    acted: Arc<Notify>,
}

impl Host {
    /// A host of this engine, under the policies that are in force when an alert comes.
    #[must_use]
    pub fn new(engine: Engine, policies: Arc<Store>, metrics: Arc<Metrics>) -> Self {
        Self {
            engine,
            policies,
            metrics,
            readiness: Readiness::default(),
            bodies: Room::default(),
            room: Arc::new(Semaphore::new(MAX_IN_FLIGHT)),
            tasks: TaskTracker::new(),
            acted: Arc::default(),
        }
    }

    /// Tells at `/readyz` what this says.
    #[must_use]
    pub fn with_readiness(self, readiness: Readiness) -> Self {
        Self { readiness, ..self }
    }

    /// Starts handling an alert, as a task that nobody can drop; none where there is no room.
    ///
    /// The future is of its outcome; none where the task has panicked.
    pub fn accept(
        &self,
        alert: Alert,
        received: Option<Timestamp>,
    ) -> Option<impl Future<Output = Option<Outcome>> + use<>> {
        let permit = Arc::clone(&self.room).try_acquire_owned().ok()?;
        let (engine, active, acted) = (
            self.engine.clone(),
            self.policies.active(),
            Arc::clone(&self.acted),
        );
        let task = self.tasks.spawn(async move {
            // However the task ends, an act that it opened has to be looked after.
            let _tell = Tell(acted);
            let decided = engine.handle(&active.policies, &alert, received).await;
            drop(permit);
            decided.outcome
        });
        Some(async move {
            match task.await {
                Ok(outcome) => Some(outcome),
                Err(error) => {
                    tracing::error!(%error, "an alert's task did not come to its end");
                    None
                }
            }
        })
    }

    /// Among whom limits and disarming hold, in words.
    pub(crate) fn scope(&self) -> &str {
        self.engine.scope()
    }

    /// The room for the bodies of requests.
    pub(crate) fn bodies(&self) -> &Room {
        &self.bodies
    }

    /// What the server counts.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// What is told at `/readyz`.
    pub(crate) fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// The policies in force.
    #[must_use]
    pub fn policies(&self) -> Status {
        self.policies.status()
    }

    /// Looks at the pods that were acted on until each is proven gone, or not: on a timer, and each time that `gone`
    /// says that a pod went. Never returns.
    pub(crate) async fn confirm(&self, mut gone: Option<Gone>) {
        loop {
            self.acted.notified().await;
            while self.look().await {
                tokio::select! {
                    () = tokio::time::sleep(CONFIRM_EVERY) => {}
                    () = went(&mut gone) => {}
                }
            }
        }
    }

    /// Looks once; whether there is more to look at. It is a task of its own, so that a panic costs this look and not
    /// those after it.
    async fn look(&self) -> bool {
        let engine = self.engine.clone();
        match tokio::spawn(async move { engine.confirm().await }).await {
            Ok(Ok(open)) => return open > 0,
            Ok(Err(error)) => tracing::warn!(%error, "acts could not be confirmed"),
            Err(error) => {
                tracing::error!(%error, "a look at the pods that were acted on broke off; it goes on")
            }
        }
        true
    }

    /// Waits until every alert under way has come to its end.
    pub async fn drain(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Tells at its end that there may be something to look at.
struct Tell(Arc<Notify>);

impl Drop for Tell {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// Resolves when a pod goes; never where nobody tells.
async fn went(gone: &mut Option<Gone>) {
    let told = match gone {
        Some(changes) => changes.changed().await.is_ok(),
        None => false,
    };
    if !told {
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
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
        let told = host.accept(alert(&cluster), None).unwrap();
        assert_eq!(told.await.is_some(), changes == 0);
        for _ in 0..100 {
            cluster.advance(Duration::from_secs(1));
            tokio::time::sleep(CONFIRM_EVERY).await;
        }
        assert_eq!(records.closed().len(), 1);
        looking.abort();
    }

    /// Time stands still as long as there is something to do.
    #[tokio::test(start_paused = true)]
    async fn a_pod_that_goes_is_confirmed_at_once_where_a_watch_tells() {
        let cluster = cluster();
        let (host, records) = host(&cluster, cluster.clone());
        let gone = watch::Sender::new(0);
        let looking = confirming(&host, Some(gone.subscribe()));
        let outcome = host.accept(alert(&cluster), None).unwrap().await;
        assert_eq!(outcome, Some(Outcome::Acted { certain: true }));
        let settled = async || {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
        };
        settled().await;
        assert_eq!(records.closed(), [], "it is still there");
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
}
