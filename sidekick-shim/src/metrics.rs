//! The counters: falcosidekick's two that concern this way, under its names, and what it lacks.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::queue::Room;

/// The media type of [`Metrics::text`].
pub(crate) const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Why an alert is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The queue was full to the end of the delay.
    QueueFull,
    /// The sink answered with a status that ends it.
    RefusedBySink,
    /// It was tried in vain until it was too old.
    TooOld,
    /// The program ended before it was delivered.
    Shutdown,
    /// Its try panicked: an observer's mistake or ours.
    InternalError,
}

impl Lost {
    const ALL: [Self; 5] = [
        Self::QueueFull,
        Self::RefusedBySink,
        Self::TooOld,
        Self::Shutdown,
        Self::InternalError,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::RefusedBySink => "refused_by_sink",
            Self::TooOld => "too_old",
            Self::Shutdown => "shutdown",
            Self::InternalError => "internal_error",
        }
    }
}

// Every value of a label is written in this file: no alert and no client can add a series.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Input {
    source: &'static str,
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Output {
    destination: &'static str,
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// Every series exists from the start, at 0: a rate over a series that appears with its first error shows nothing.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    inputs: Family<Input, Counter>,
    outputs: Family<Output, Counter>,
    dropped: Family<Reason, Counter>,
    retries: Counter,
    filtered: Counter,
    queue_alerts: Gauge,
    queue_bytes: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            inputs: Family::default(),
            outputs: Family::default(),
            dropped: Family::default(),
            retries: Counter::default(),
            filtered: Counter::default(),
            queue_alerts: Gauge::default(),
            queue_bytes: Gauge::default(),
        };
        metrics.register();
        metrics.accepted(0);
        metrics.rejected(0);
        metrics.output("ok", 0);
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
        let help = "Alerts delivered (ok) and lost after they were accepted (error)";
        sidekick.register("outputs", help, self.outputs.clone());
        let shim = registry.sub_registry_with_prefix("sidekick_shim");
        shim.register("dropped", "Alerts lost, by reason", self.dropped.clone());
        shim.register(
            "retries",
            "Tries that failed and are followed by another",
            self.retries.clone(),
        );
        let help = "Alerts accepted that are not urgent enough for any sink";
        shim.register("filtered", help, self.filtered.clone());
        let help = "Alerts accepted and neither delivered nor lost";
        shim.register("queue_alerts", help, self.queue_alerts.clone());
        shim.register(
            "queue_bytes",
            "Bytes of those alerts as Falco sent them",
            self.queue_bytes.clone(),
        );
    }

    pub(crate) fn accepted(&self, alerts: u64) {
        self.input("accepted", alerts);
    }

    pub(crate) fn rejected(&self, inputs: u64) {
        self.input("rejected", inputs);
    }

    pub(crate) fn delivered(&self) {
        self.output("ok", 1);
    }

    pub(crate) fn filtered(&self) {
        self.filtered.inc();
    }

    pub(crate) fn retried(&self) {
        self.retries.inc();
    }

    /// Counts lost alerts. One that never got into the queue is no output's error.
    pub(crate) fn lost(&self, reason: Lost, alerts: u64) {
        self.dropped
            .get_or_create(&Reason {
                reason: reason.as_str(),
            })
            .inc_by(alerts);
        if reason != Lost::QueueFull {
            self.output("error", alerts);
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

    fn output(&self, status: &'static str, count: u64) {
        self.outputs
            .get_or_create(&Output {
                destination: "cloudevents",
                status,
            })
            .inc_by(count);
    }

    /// All series, in the `OpenMetrics` text format.
    pub(crate) fn text(&self, room: &Room) -> String {
        self.queue_alerts
            .set(i64::try_from(room.alerts()).unwrap_or(i64::MAX));
        self.queue_bytes
            .set(i64::try_from(room.bytes()).unwrap_or(i64::MAX));
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}
