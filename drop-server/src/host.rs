//! The host of the engine: it runs every accepted alert to its end, and asks for the second records.

use std::sync::Arc;
use std::time::Duration;

use drop_core::past::ScopeKey;
use drop_core::{Engine, Outcome};
use falco_event::{Alert, Timestamp};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::body::Room;
use crate::keys::KeyFile;
use crate::metrics::Metrics;
use crate::policies::{Status, Store};
use crate::readiness::Readiness;

/// Alerts at a time; more are answered 503, and their sender keeps them. Each waits for the API server at most.
const MAX_IN_FLIGHT: usize = 4_096;

/// How often the pods that were acted on are looked at.
const CONFIRM_EVERY: Duration = Duration::from_millis(250);

/// How long after a look began the next one does at the soonest.
const CONFIRM_PAUSE: Duration = Duration::from_millis(50);

/// Changes each time that a pod went.
pub(crate) type Gone = watch::Receiver<u64>;

/// The engine with its policies, and the alerts under way.
#[derive(Debug)]
pub struct Host {
    engine: Engine,
    policies: Arc<Store>,
    metrics: Arc<Metrics>,
    keys: Option<Arc<KeyFile>>,
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
            keys: None,
            readiness: Readiness::default(),
            bodies: Room::default(),
            room: Arc::new(Semaphore::new(MAX_IN_FLIGHT)),
            tasks: TaskTracker::new(),
            acted: Arc::default(),
        }
    }

    /// Where there are keys, accepts only events that are signed with one of them, and nothing without an envelope.
    #[must_use]
    pub fn with_keys(self, keys: Option<Arc<KeyFile>>) -> Self {
        Self { keys, ..self }
    }

    /// The keys that events have to be signed with.
    pub(crate) fn keys(&self) -> Option<&KeyFile> {
        self.keys.as_deref()
    }

    /// Tells at `/readyz` what this says.
    #[must_use]
    pub fn with_readiness(self, readiness: Readiness) -> Self {
        Self { readiness, ..self }
    }

    /// Starts handling an alert, as a task that nobody can drop; none where there is no room. What it `holds` it has until
    /// it is done: the room of its body, which must not be given to another before.
    ///
    /// The future is of its outcome; none where the task has panicked.
    pub fn accept<H: Send + 'static>(
        &self,
        alert: Alert,
        received: Option<Timestamp>,
        holds: H,
    ) -> Option<impl Future<Output = Option<Outcome>> + use<H>> {
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
            drop((permit, holds));
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

    /// The scopes that a breached limit has switched to observe; none where the memory does not answer, as each alert
    /// says then.
    pub(crate) async fn disarmed(&self) -> Vec<ScopeKey> {
        self.engine.disarmed().await.unwrap_or_default()
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
            let mut soonest = Instant::now() + CONFIRM_PAUSE;
            while self.look().await {
                tokio::select! {
                    () = tokio::time::sleep(CONFIRM_EVERY) => {}
                    () = went(&mut gone) => {}
                }
                // In a cluster where pods come and go all the time, each look would be followed by the next.
                tokio::time::sleep_until(soonest).await;
                soonest = Instant::now() + CONFIRM_PAUSE;
            }
        }
    }

    /// Looks for a while more, and writes down what is not proven then; nothing where nobody takes the records.
    pub(crate) async fn leave(&self, within: Duration) {
        let looking = async {
            while self.look().await {
                tokio::time::sleep(CONFIRM_EVERY).await;
            }
        };
        if tokio::time::timeout(within, looking).await.is_ok() {
            return;
        }
        let written = tokio::time::timeout(CONFIRM_EVERY, self.engine.leave("drop-server has ended"));
        if !matches!(written.await, Ok(Ok(()))) {
            tracing::error!("what became of the last acts was not written down");
        }
    }

    /// Looks once; whether there is more to look at. It is a task of its own, so that a panic costs this look and not
    /// those after it, and ends with this.
    async fn look(&self) -> bool {
        let engine = self.engine.clone();
        match AbortOnDropHandle::new(tokio::spawn(async move { engine.confirm().await })).await {
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
mod tests;
