//! Kubernetes Events about what was done: a journal that never makes an act wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use drop_core::ports::{ApiError, Journal};
use drop_core::record::Record;
use kube::Client;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::Settings;
use crate::caller::Caller;
use crate::event::{Event, events};
use crate::request::Ask;

/// Events that wait to be posted: beyond them one more is left out.
const QUEUE: usize = 256;
/// Events in a second: some two Kubernetes clients' worth of writes, and an act makes two.
const PER_SECOND: u32 = 20;
/// How long one Event may take over all its tries.
const WITHIN: Duration = Duration::from_secs(5);

/// Posts an Event on the pod, and one on its owner, for each response that changed something, or may have.
///
/// As a [`Journal`] it takes records without waiting; [`Events::keep`], run as a task of its own, posts them, at most
/// twenty in a second. What finds no room, and what the API server does not take, is left out and counted: an Event
/// is for people who look, the record is the record.
///
/// Needs the right to create `events` in `events.k8s.io` where pods are dropped.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use drop_kube::{Connect, Events, Settings};
///
/// let client = drop_kube::connect(&Connect::default()).await?;
/// let events = Events::new(client, "drop-server-7c9d8-x2x9k", &Settings::default());
/// tokio::spawn({ let events = events.clone(); async move { events.keep().await } });
/// println!("{} left out", events.left_out());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Events {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    caller: Caller,
    instance: String,
    try_within: Duration,
    sender: mpsc::Sender<Event>,
    receiver: Mutex<mpsc::Receiver<Event>>,
    posted: AtomicU64,
    left_out: AtomicU64,
    /// How many were taken and are neither posted nor left out.
    waiting: watch::Sender<usize>,
}

impl Events {
    /// A journal of Events. `instance` says which of several replicas reports: the name of its pod, say.
    #[must_use]
    pub fn new(client: Client, instance: &str, settings: &Settings) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        // Requests of its own: acts must not wait for a slot behind Events.
        let own = Settings {
            in_flight: 1,
            ..settings.clone()
        };
        let shared = Shared {
            caller: Caller::new(client, &own),
            // The API server takes 1 to 128 characters.
            instance: if instance.is_empty() {
                "drop-server".to_owned()
            } else {
                instance.chars().take(128).collect()
            },
            try_within: settings.try_within,
            sender,
            receiver: Mutex::new(receiver),
            posted: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
            waiting: watch::Sender::new(0),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Posts what comes, for ever.
    pub async fn keep(&self) {
        let mut receiver = self.shared.receiver.lock().await;
        let mut pace = interval(Duration::from_secs(1) / PER_SECOND);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while let Some(event) = receiver.recv().await {
            pace.tick().await;
            self.post(&event).await;
            self.shared
                .waiting
                .send_modify(|waiting| *waiting = waiting.saturating_sub(1));
        }
    }

    /// Waits until [`Events::keep`] has posted what waits, but not for longer than this. Returns how many still wait,
    /// which are lost where the program ends.
    pub async fn finish(&self, within: Duration) -> usize {
        let mut waiting = self.shared.waiting.subscribe();
        // The sender is in `self`: that it is late is all that can be said.
        let _ = timeout(within, waiting.wait_for(|waiting| *waiting == 0)).await;
        *waiting.borrow()
    }

    /// How many Events were posted.
    #[must_use]
    pub fn posted(&self) -> u64 {
        self.shared.posted.load(Ordering::Relaxed)
    }

    /// How many were not: there was no room, or the API server did not take them.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.shared.left_out.load(Ordering::Relaxed)
    }

    async fn post(&self, event: &Event) {
        let ask = Ask::post(event.path.clone(), &event.object, self.shared.try_within);
        match self.shared.caller.change(&ask, Instant::now() + WITHIN).await {
            // A conflict is the same Event, from a record that was written twice or a try whose answer was lost.
            Ok(())
            | Err(crate::caller::Failed {
                why: ApiError::Conflict(_),
                ..
            }) => {
                self.shared.posted.fetch_add(1, Ordering::Relaxed);
            }
            Err(failed) => {
                tracing::warn!(why = %failed.why, "a Kubernetes Event is left out");
                self.shared.left_out.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

#[async_trait]
impl Journal for Events {
    async fn write(&self, record: &Record) {
        let Record::Decided(decided) = record else { return };
        for event in events(decided, &self.shared.instance) {
            // Before it can be posted.
            self.shared
                .waiting
                .send_modify(|waiting| *waiting = waiting.saturating_add(1));
            if self.shared.sender.try_send(event).is_err() {
                self.shared
                    .waiting
                    .send_modify(|waiting| *waiting = waiting.saturating_sub(1));
                self.shared.left_out.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
