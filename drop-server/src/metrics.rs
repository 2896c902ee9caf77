//! What the server counts. Every value of a label is written in the program: no alert can add a series.

use drop_core::outcome::Ending;
use drop_core::record::Record;
use drop_kube::Events;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The media type of [`Metrics::text`].
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    outcome: &'static str,
    /// Whether its sender was told to send it again.
    again: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    ending: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Why {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reload {
    result: &'static str,
}

/// The counters of one server. Each series exists from the start, at 0, so that a rate over it shows its first change.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    deliveries: Family<Of, Counter>,
    endings: Family<Ended, Counter>,
    refused: Counter,
    forged: Counter,
    records_lost: Counter,
    reloads: Family<Reload, Counter>,
    generation: Gauge,
    policies_refused: Gauge,
    disarmed: Gauge,
    cold: Gauge,
    rights_missing: Gauge,
    keys_refused: Gauge,
    sent_back: Family<Why, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("falco_drop"),
            deliveries: Family::default(),
            endings: Family::default(),
            refused: Counter::default(),
            forged: Counter::default(),
            records_lost: Counter::default(),
            reloads: Family::default(),
            generation: Gauge::default(),
            policies_refused: Gauge::default(),
            disarmed: Gauge::default(),
            cold: Gauge::default(),
            rights_missing: Gauge::default(),
            keys_refused: Gauge::default(),
            sent_back: Family::default(),
        };
        for outcome in ["acted", "observed", "ignored", "skipped", "duplicate", "failed"] {
            let again = "false";
            metrics.deliveries.get_or_create(&Of { outcome, again }).inc_by(0);
        }
        for outcome in ["skipped", "failed"] {
            let again = "true";
            metrics.deliveries.get_or_create(&Of { outcome, again }).inc_by(0);
        }
        for ending in ["confirmed", "unconfirmed"] {
            metrics.endings.get_or_create(&Ended { ending }).inc_by(0);
        }
        for reason in ["no_room", "panic"] {
            metrics.sent_back.get_or_create(&Why { reason }).inc_by(0);
        }
        for result in ["taken", "refused"] {
            metrics.reloads.get_or_create(&Reload { result }).inc_by(0);
        }
        metrics.register();
        metrics
    }
}

/// The Kubernetes Events of a server, which counts them itself.
#[derive(Debug)]
struct Told(Events);

impl Collector for Told {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let help = "Kubernetes Events about what was done, posted or left out for want of room or right";
        let mut family = encoder.encode_descriptor("events", help, None, MetricType::Counter)?;
        for (result, count) in [("posted", self.0.posted()), ("left_out", self.0.left_out())] {
            ConstCounter::new(count).encode(family.encode_family(&Reload { result })?)?;
        }
        Ok(())
    }
}

impl Metrics {
    /// Tells of these Events too.
    pub(crate) fn with_events(mut self, events: Option<Events>) -> Self {
        if let Some(events) = events {
            self.registry.register_collector(Box::new(Told(events)));
        }
        self
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "deliveries",
            "Deliveries of alerts, by outcome",
            self.deliveries.clone(),
        );
        registry.register(
            "acts_closed",
            "Acts on pods, by how they ended",
            self.endings.clone(),
        );
        registry.register(
            "refused",
            "Requests that were refused, and events of another type",
            self.refused.clone(),
        );
        registry.register(
            "forged",
            "Requests without a valid signature, where one is asked for",
            self.forged.clone(),
        );
        registry.register(
            "records_lost",
            "Records that could not be written",
            self.records_lost.clone(),
        );
        registry.register(
            "policy_reloads",
            "Changes of the policy files, by what came of them",
            self.reloads.clone(),
        );
        let help = "The generation of the policies in force: 1 at the start";
        registry.register("policy_generation", help, self.generation.clone());
        let help = "1 while the policy files as they are now are not in force, else 0";
        registry.register("policy_refused", help, self.policies_refused.clone());
        let help = "Scopes that a breached limit has switched to observe";
        registry.register("scopes_disarmed", help, self.disarmed.clone());
        let help = "1 while the index cannot tell of all pods that the policies reach, else 0";
        registry.register("index_cold", help, self.cold.clone());
        let help = "Rights that the policies need and the account lacks";
        registry.register("rights_missing", help, self.rights_missing.clone());
        let help = "1 while the file of signing keys as it is now is not in force, else 0";
        registry.register("keys_refused", help, self.keys_refused.clone());
        let help = "Deliveries of alerts without a record, answered 503";
        registry.register("sent_back", help, self.sent_back.clone());
    }

    pub(crate) fn recorded(&self, record: &Record) {
        match record {
            Record::Decided(decided) => {
                let outcome = decided.outcome.label();
                let again = match decided.outcome.is_retryable() {
                    true => "true",
                    false => "false",
                };
                self.deliveries.get_or_create(&Of { outcome, again }).inc();
            }
            Record::Closed(closed) => {
                let ending = match closed.ending {
                    Ending::Confirmed { .. } => "confirmed",
                    Ending::Unconfirmed { .. } => "unconfirmed",
                };
                self.endings.get_or_create(&Ended { ending }).inc();
            }
        }
    }

    pub(crate) fn refused(&self) {
        self.refused.inc();
    }

    pub(crate) fn forged(&self) {
        self.forged.inc();
    }

    pub(crate) fn record_lost(&self) {
        self.records_lost.inc();
    }

    /// The policies of this generation are in force, and are what the files say.
    pub(crate) fn in_force(&self, generation: u64) {
        self.generation.set(i64::try_from(generation).unwrap_or(i64::MAX));
        self.policies_refused.set(0);
    }

    pub(crate) fn policies_taken(&self) {
        self.reloads.get_or_create(&Reload { result: "taken" }).inc();
    }

    pub(crate) fn policies_refused(&self) {
        self.reloads.get_or_create(&Reload { result: "refused" }).inc();
        self.policies_refused.set(1);
    }

    /// So many scopes observe because of a breached limit.
    pub(crate) fn disarmed(&self, scopes: usize) {
        self.disarmed.set(i64::try_from(scopes).unwrap_or(i64::MAX));
    }

    /// Whether the index cannot tell of all pods.
    pub(crate) fn index_cold(&self, is_cold: bool) {
        self.cold.set(i64::from(is_cold));
    }

    /// So many rights are missing.
    pub(crate) fn rights_missing(&self, rights: usize) {
        self.rights_missing.set(i64::try_from(rights).unwrap_or(i64::MAX));
    }

    /// Whether the file of keys is not in force.
    pub(crate) fn keys_refused(&self, is_refused: bool) {
        self.keys_refused.set(i64::from(is_refused));
    }

    /// A delivery that nothing else tells of.
    pub(crate) fn sent_back(&self, reason: &'static str) {
        self.sent_back.get_or_create(&Why { reason }).inc();
    }

    /// All of it, in the text form of OpenMetrics.
    pub(crate) fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
