//! The counters: falcosidekick's that concern this way, under its names, and what it lacks.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use falco_event::Alert;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::events::{Events, Label};

/// The media type of [`Metrics::text`].
pub(crate) const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Why an alert is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// There was no room to the end of the delay, and it was not more urgent than what there was.
    NotTaken,
    /// The spool could not be written.
    Unwritable,
    /// It made room for another.
    SpoolFull,
    /// A sink that is not the first was over its share.
    OverShare,
    /// It was tried in vain until it was too old.
    TooOld,
    /// It was the oldest of too many dead letters.
    DeadLettersFull,
    /// It was in a spool that broke.
    Broken,
    /// It waited for a sink that is configured no more.
    NoSink,
    /// The program ended before it was delivered, and nothing keeps it.
    Shutdown,
}

impl Lost {
    const ALL: [Self; 9] = [
        Self::NotTaken,
        Self::Unwritable,
        Self::SpoolFull,
        Self::OverShare,
        Self::TooOld,
        Self::DeadLettersFull,
        Self::Broken,
        Self::NoSink,
        Self::Shutdown,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::NotTaken => "not_taken",
            Self::Unwritable => "unwritable",
            Self::SpoolFull => "spool_full",
            Self::OverShare => "over_share",
            Self::TooOld => "too_old",
            Self::DeadLettersFull => "dead_letters_full",
            Self::Broken => "spool_broken",
            Self::NoSink => "no_sink",
            Self::Shutdown => "shutdown",
        }
    }
}

// Every value of a label is written in this file or in the configuration, but for `Events`: no alert and no client can
// add a series without end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Input {
    source: &'static str,
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Output {
    destination: Arc<str>,
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct To {
    sink: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// Every series exists from the start, at 0: a rate over a series that appears with its first error shows nothing.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    events: Events,
    inputs: Family<Input, Counter>,
    outputs: Family<Output, Counter>,
    dropped: Family<Reason, Counter>,
    filtered: Counter,
    retries: Family<To, Counter>,
    in_flight: Family<To, Gauge>,
    paused: Family<To, Gauge>,
    send: Family<To, Histogram, fn() -> Histogram>,
    spool: SpoolMetrics,
}

#[derive(Debug, Default)]
struct SpoolMetrics {
    alerts: Gauge,
    bytes: Gauge,
    oldest: Gauge,
    writable: Gauge,
    dead: Gauge,
    broken: Counter,
}

/// How the spool is, at the moment of a scrape.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spooled {
    pub(crate) alerts: u64,
    pub(crate) bytes: u64,
    pub(crate) oldest: Duration,
    pub(crate) writable: bool,
}

/// The series of one sink.
#[derive(Clone, Debug)]
pub(crate) struct SinkMetrics {
    delivered: Counter,
    failed: Counter,
    retries: Counter,
    in_flight: Gauge,
    paused: Gauge,
    send: Histogram,
}

impl SinkMetrics {
    pub(crate) fn begin(&self) {
        self.in_flight.inc();
    }

    pub(crate) fn end(&self, took: Duration) {
        self.in_flight.dec();
        self.send.observe(took.as_secs_f64());
    }

    pub(crate) fn delivered(&self) {
        self.delivered.inc();
    }

    /// An alert is lost to this sink, or a dead letter.
    pub(crate) fn failed(&self) {
        self.failed.inc();
    }

    pub(crate) fn retried(&self) {
        self.retries.inc();
    }

    pub(crate) fn paused(&self, paused: bool) {
        self.paused.set(i64::from(paused));
    }
}

/// From 1 ms to the deadline of a request.
fn latencies() -> Histogram {
    Histogram::new([
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    ])
}

impl Metrics {
    /// All counters, and labels of falcosidekick's count beside its own.
    pub(crate) fn new(labels: &[Label]) -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            events: Events::new(labels),
            inputs: Family::default(),
            outputs: Family::default(),
            dropped: Family::default(),
            filtered: Counter::default(),
            retries: Family::default(),
            in_flight: Family::default(),
            paused: Family::default(),
            send: Family::new_with_constructor(latencies),
            spool: SpoolMetrics::default(),
        };
        metrics.register();
        metrics.accepted(0);
        metrics.rejected(0);
        for reason in Lost::ALL {
            metrics.lost(reason, 0);
        }
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        let sidekick = registry.sub_registry_with_prefix("falcosecurity_falcosidekick");
        sidekick.register(
            "inputs",
            "Alerts accepted; requests and alerts rejected",
            self.inputs.clone(),
        );
        sidekick.register_collector(Box::new(self.events.clone()));
        let help = "Alerts that a sink has (ok), and that are dead letters or lost to it (error)";
        sidekick.register("outputs", help, self.outputs.clone());
        let shim = registry.sub_registry_with_prefix("sidekick_shim");
        shim.register("dropped", "Alerts lost, by reason", self.dropped.clone());
        let help = "Alerts accepted that are not urgent enough for any sink";
        shim.register("filtered", help, self.filtered.clone());
        let help = "Tries that failed and are followed by another";
        shim.register("retries", help, self.retries.clone());
        shim.register(
            "in_flight",
            "Requests on their way to a sink",
            self.in_flight.clone(),
        );
        let help = "1 while a sink is paused because its configuration is wrong";
        shim.register("sinks_paused", help, self.paused.clone());
        let help = "How long a sink took to answer, or not to";
        shim.register_with_unit("send", help, Unit::Seconds, self.send.clone());
        let spool = shim.sub_registry_with_prefix("spool");
        let own = &self.spool;
        spool.register("alerts", "Alerts that wait for a sink", own.alerts.clone());
        let help = "What they take on the disk";
        spool.register_with_unit("size", help, Unit::Bytes, own.bytes.clone());
        let help = "How long the oldest of them has waited";
        spool.register_with_unit("oldest_age", help, Unit::Seconds, own.oldest.clone());
        let help = "0 while the spool cannot be written and alerts are not taken";
        spool.register("writable", help, own.writable.clone());
        let help = "Alerts that a sink refused for what they are";
        spool.register("dead_letters", help, own.dead.clone());
        spool.register(
            "broken",
            "Files of the spool that were set aside",
            own.broken.clone(),
        );
    }

    /// Counts an alert that came in, whatever becomes of it.
    pub(crate) fn received(&self, alert: &Alert) {
        self.events.count(alert);
    }

    pub(crate) fn accepted(&self, alerts: u64) {
        self.input("accepted", alerts);
    }

    pub(crate) fn rejected(&self, inputs: u64) {
        self.input("rejected", inputs);
    }

    pub(crate) fn filtered(&self) {
        self.filtered.inc();
    }

    /// Counts lost alerts.
    pub(crate) fn lost(&self, reason: Lost, alerts: u64) {
        let reason = reason.as_str();
        self.dropped.get_or_create(&Reason { reason }).inc_by(alerts);
    }

    /// How many dead letters there are.
    pub(crate) fn dead_letters(&self, alerts: u64) {
        self.spool.dead.set(gauge(alerts));
    }

    /// Counts files that were set aside.
    pub(crate) fn broken(&self, files: u64) {
        self.spool.broken.inc_by(files);
    }

    /// The series of a sink, from now on at 0.
    pub(crate) fn sink(&self, name: &str) -> SinkMetrics {
        let sink: Arc<str> = name.into();
        let output = |status| Output {
            destination: Arc::clone(&sink),
            status,
        };
        let to = To {
            sink: Arc::clone(&sink),
        };
        SinkMetrics {
            delivered: self.outputs.get_or_create_owned(&output("ok")),
            failed: self.outputs.get_or_create_owned(&output("error")),
            retries: self.retries.get_or_create_owned(&to),
            in_flight: self.in_flight.get_or_create_owned(&to),
            paused: self.paused.get_or_create_owned(&to),
            send: self.send.get_or_create_owned(&to),
        }
    }

    fn input(&self, status: &'static str, count: u64) {
        self.inputs
            .get_or_create(&Input {
                source: "requests",
                status,
            })
            .inc_by(count);
    }

    /// All series, in the `OpenMetrics` text format.
    pub(crate) fn text(&self, spooled: Spooled) -> String {
        let spool = &self.spool;
        spool.alerts.set(gauge(spooled.alerts));
        spool.bytes.set(gauge(spooled.bytes));
        spool.oldest.set(gauge(spooled.oldest.as_secs()));
        spool.writable.set(i64::from(spooled.writable));
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

/// How many texts of all series may be alive: a client that does not read its own keeps it for a minute.
const TEXTS: usize = 8;

/// The texts that scrapers are sent.
#[derive(Debug)]
pub(crate) struct Texts {
    alive: Arc<Semaphore>,
    last: Mutex<Bytes>,
}

/// One of them, counted as long as somebody has it.
struct Text {
    text: String,
    _alive: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

impl Default for Texts {
    fn default() -> Self {
        Self {
            alive: Arc::new(Semaphore::new(TEXTS)),
            last: Mutex::default(),
        }
    }
}

impl Texts {
    /// A new one; the last one where too many are alive. It is written by another thread, and holds up no alert.
    pub(crate) async fn text(&self, metrics: &Arc<Metrics>, spooled: impl Future<Output = Spooled>) -> Bytes {
        let last = || self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(alive) = Arc::clone(&self.alive).try_acquire_owned() else {
            return last().clone();
        };
        let (metrics, spooled) = (Arc::clone(metrics), spooled.await);
        let written = tokio::task::spawn_blocking(move || metrics.text(spooled)).await;
        let text = Bytes::from_owner(Text {
            text: written.unwrap_or_default(),
            _alive: alive,
        });
        *last() = text.clone();
        text
    }
}

fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn texts_that_nobody_reads_are_no_more_than_a_few() {
        let (texts, metrics) = (Texts::default(), Arc::new(Metrics::new(&[])));
        let spooled = || async {
            Spooled {
                alerts: 0,
                bytes: 0,
                oldest: Duration::ZERO,
                writable: true,
            }
        };
        let mut unread = Vec::new();
        for _ in 0..3 * TEXTS {
            metrics.accepted(1);
            unread.push(texts.text(&metrics, spooled()).await);
        }
        let places: std::collections::HashSet<_> = unread.iter().map(|text| text.as_ptr()).collect();
        assert_eq!(places.len(), TEXTS);
        unread.clear();
        metrics.accepted(1);
        let text = texts.text(&metrics, spooled()).await;
        let expected = format!("status=\"accepted\"}} {}\n", 3 * TEXTS + 1);
        assert!(String::from_utf8_lossy(&text).contains(&expected));
    }
}
