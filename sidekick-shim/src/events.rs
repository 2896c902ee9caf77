//! Falcosidekick's count of alerts by what they say, with a bound on what an alert can make it remember.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use falco_event::{Alert, Priority};
use hashbrown::{Equivalent, HashMap};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

/// How many values of a label are kept; further ones are counted together.
const VALUES: usize = 200;

/// How many values all series have together at most: 5,000 series of falcosidekick's own labels, some 3 MiB in a scrape.
const SERIES_VALUES: usize = 35_000;

/// How many labels there may be beside falcosidekick's own.
pub(crate) const MORE_LABELS: usize = 16;

/// The longest value in bytes; the longest name of a rule of Falco's has about 100.
const LONGEST: usize = 128;

/// What stands for a value that is one too many.
const OTHER: &str = "other";

/// A label for an output field, beside falcosidekick's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) name: String,
    pub(crate) field: String,
}

/// The names of falcosidekick's own.
pub(crate) const LABELS: [&str; 7] = [
    "hostname",
    "rule",
    "priority",
    "priority_raw",
    "source",
    "k8s_ns_name",
    "k8s_pod_name",
];

/// The counts; a clone is the same counts.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    labels: Arc<[Label]>,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    hostnames: Values,
    rules: Values,
    sources: Values,
    namespaces: Values,
    fields: Vec<Values>,
    series: HashMap<Series, u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Series {
    hostname: Arc<str>,
    rule: Arc<str>,
    priority: Priority,
    source: Arc<str>,
    namespace: Arc<str>,
    fields: Vec<Arc<str>>,
}

impl Series {
    /// Falcosidekick's labels. It fills the last one with the pod's name; names of pods have no end, so here it is
    /// empty, which is what Prometheus takes an absent label for.
    fn labels<'a>(&'a self, fields: &'a [Label]) -> Vec<(&'a str, Cow<'a, str>)> {
        // Falcosidekick counts from 1, `Debug`, to 8, `Emergency`.
        let priority = 8 - self.priority.severity();
        let own = [
            Cow::Borrowed(&*self.hostname),
            Cow::Borrowed(&*self.rule),
            Cow::Owned(priority.to_string()),
            Cow::Owned(self.priority.as_str().to_lowercase()),
            Cow::Borrowed(&*self.source),
            Cow::Borrowed(&*self.namespace),
            Cow::Borrowed(""),
        ];
        let values = self.fields.iter().map(|value| Cow::Borrowed(&**value));
        let fields = fields.iter().map(|label| &*label.name).zip(values);
        LABELS.into_iter().zip(own).chain(fields).collect()
    }
}

/// What an alert says, as a series has it unless a value of it is one too many. Its hash is that of the series.
#[derive(Hash)]
struct Said<'a> {
    hostname: &'a str,
    rule: &'a str,
    priority: Priority,
    source: &'a str,
    namespace: &'a str,
    fields: Vec<&'a str>,
}

impl<'a> Said<'a> {
    fn by(alert: &'a Alert, labels: &[Label]) -> Self {
        // Of other fields than texts falcosidekick makes nothing.
        let field = |label: &Label| alert.fields().get(&label.field).and_then(|value| value.as_str());
        Self {
            fields: labels
                .iter()
                .map(|label| cut(field(label).unwrap_or_default()))
                .collect(),
            hostname: cut(alert.hostname().unwrap_or("unknown")),
            rule: cut(alert.rule()),
            priority: alert.priority(),
            source: cut(alert.source().unwrap_or("syscall")),
            namespace: cut(namespace(alert)),
        }
    }
}

/// Falcosidekick's field, where the alert has it: to find out all that an alert says of its pod takes a tenth of the time
/// of accepting it.
fn namespace(alert: &Alert) -> &str {
    let field = alert.fields().get("k8s.ns.name").and_then(|value| value.as_str());
    field.unwrap_or_else(|| {
        let namespace = alert.offender().namespace.as_ref();
        namespace.map_or("", |name| name.as_str())
    })
}

impl Equivalent<Series> for Said<'_> {
    fn equivalent(&self, series: &Series) -> bool {
        *self.hostname == *series.hostname
            && *self.rule == *series.rule
            && self.priority == series.priority
            && *self.source == *series.source
            && *self.namespace == *series.namespace
            && self
                .fields
                .iter()
                .copied()
                .eq(series.fields.iter().map(|value| &**value))
    }
}

fn cut(value: &str) -> &str {
    value
        .get(..value.floor_char_boundary(LONGEST))
        .unwrap_or_default()
}

/// The first values of a label.
#[derive(Debug, Default)]
struct Values(HashSet<Arc<str>>);

impl Values {
    fn keep(&mut self, value: &str) -> Arc<str> {
        if let Some(kept) = self.0.get(value) {
            return Arc::clone(kept);
        }
        // That there is none is not one of them.
        if self.0.len() >= VALUES && !value.is_empty() {
            return OTHER.into();
        }
        let kept: Arc<str> = value.into();
        self.0.insert(Arc::clone(&kept));
        kept
    }
}

impl Events {
    pub(crate) fn new(labels: &[Label]) -> Self {
        let counts = Counts {
            fields: labels.iter().map(|_| Values::default()).collect(),
            ..Counts::default()
        };
        Self {
            labels: labels.into(),
            counts: Arc::new(Mutex::new(counts)),
        }
    }

    /// How many series there may be.
    fn most(&self) -> usize {
        SERIES_VALUES / (LABELS.len() + self.labels.len())
    }

    pub(crate) fn count(&self, alert: &Alert) {
        let said = Said::by(alert, &self.labels);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        // Nearly every alert is one of a kind that was counted before.
        if let Some(count) = counts.series.get_mut(&said) {
            *count = count.saturating_add(1);
            return;
        }
        let mut series = Series {
            hostname: counts.hostnames.keep(said.hostname),
            rule: counts.rules.keep(said.rule),
            priority: said.priority,
            source: counts.sources.keep(said.source),
            namespace: counts.namespaces.keep(said.namespace),
            fields: counts
                .fields
                .iter_mut()
                .zip(&said.fields)
                .map(|(values, value)| values.keep(value))
                .collect(),
        };
        // Those of `other` alone, one a priority, come on top.
        if counts.series.len() >= self.most() && !counts.series.contains_key(&series) {
            let other: Arc<str> = OTHER.into();
            series = Series {
                hostname: Arc::clone(&other),
                rule: Arc::clone(&other),
                priority: series.priority,
                source: Arc::clone(&other),
                namespace: Arc::clone(&other),
                fields: vec![other; series.fields.len()],
            };
        }
        let count = counts.series.entry(series).or_default();
        *count = count.saturating_add(1);
    }
}

impl Collector for Events {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        // Copied, so that a scrape that is long does not hold up alerts.
        let series = self
            .counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .series
            .clone();
        let help = "Alerts received, by what they say.";
        let mut family = encoder.encode_descriptor("falco_events", help, None, MetricType::Counter)?;
        for (series, count) in &series {
            ConstCounter::new(*count)
                .encode(family.encode_family(&series.labels(&self.labels).as_slice())?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    fn count(events: &Events, json: &serde_json::Value) {
        events.count(&Alert::from_slice(json.to_string().as_bytes()).unwrap());
    }

    fn shown(events: &Events) -> Vec<String> {
        let mut registry = Registry::with_prefix("falcosecurity_falcosidekick");
        registry.register_collector(Box::new(events.clone()));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let mut lines: Vec<_> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(str::to_owned)
            .collect();
        lines.sort();
        lines
    }

    #[test]
    fn alerts_are_counted_under_falcosidekicks_labels() {
        let events = Events::new(&[]);
        let alert = serde_json::json!({
            "hostname": "n1", "rule": "a \"b\"\n", "priority": "Emergency", "time": "2026-06-02T10:00:00Z", "source": "syscall",
            "output_fields": { "k8s.ns.name": "shop", "k8s.pod.name": "web-0" },
        });
        count(&events, &alert);
        count(&events, &alert);
        count(
            &events,
            &serde_json::json!({ "rule": "r", "priority": "debug", "time": "2026-06-02T10:00:00Z" }),
        );
        let audit = serde_json::json!({
            "hostname": "n1", "rule": "exec", "priority": "Notice", "time": "2026-06-02T10:00:00Z", "source": "k8s_audit",
            "output_fields": { "ka.target.namespace": "bank", "ka.target.name": "db-0", "ka.target.resource": "pods" },
        });
        count(&events, &audit);
        insta::assert_snapshot!(shown(&events).join("\n"), @r#"
        falcosecurity_falcosidekick_falco_events_total{hostname="n1",rule="a \"b\"\n",priority="8",priority_raw="emergency",source="syscall",k8s_ns_name="shop",k8s_pod_name=""} 2
        falcosecurity_falcosidekick_falco_events_total{hostname="n1",rule="exec",priority="3",priority_raw="notice",source="k8s_audit",k8s_ns_name="bank",k8s_pod_name=""} 1
        falcosecurity_falcosidekick_falco_events_total{hostname="unknown",rule="r",priority="1",priority_raw="debug",source="syscall",k8s_ns_name="",k8s_pod_name=""} 1
        "#);
    }

    #[test]
    fn a_field_can_be_a_label_and_has_its_first_values() {
        let label = |name: &str, field: &str| Label {
            name: name.to_owned(),
            field: field.to_owned(),
        };
        let events = Events::new(&[label("env", "env"), label("proc_name", "proc.name")]);
        for number in 0..=VALUES {
            let fields = serde_json::json!({ "env": "prod", "proc.name": format!("p{number}") });
            count(
                &events,
                &serde_json::json!({ "rule": "r", "priority": "Notice", "time": "2026-06-02T10:00:00Z", "output_fields": fields }),
            );
        }
        count(
            &events,
            &serde_json::json!({ "rule": "r", "priority": "Notice", "time": "2026-06-02T10:00:00Z", "output_fields": { "env": 5 } }),
        );
        let lines = shown(&events);
        let has = |end: &str| lines.iter().any(|line| line.ends_with(end));
        assert!(
            has(r#",k8s_pod_name="",env="prod",proc_name="p0"} 1"#),
            "{lines:?}"
        );
        assert!(has(r#",env="prod",proc_name="other"} 1"#), "{lines:?}");
        assert!(has(r#",env="",proc_name=""} 1"#), "{lines:?}");
        assert_eq!(lines.len(), VALUES + 2);
    }

    #[test]
    fn no_alert_makes_it_remember_without_end() {
        let events = Events::new(&[]);
        let long = "\u{e9}".repeat(1000);
        for number in 0..2 * VALUES {
            count(
                &events,
                &serde_json::json!({
                    "hostname": format!("h{}", number % 150), "rule": format!("{number}{long}"), "source": format!("s{}", number / 3),
                    "priority": "Notice", "time": "2026-06-02T10:00:00Z",
                }),
            );
        }
        let lines = shown(&events);
        assert!(lines.iter().all(|line| line.len() < 600), "{lines:?}");
        let values = |label: &str| {
            let values = lines
                .iter()
                .map(|line| line.split_once(&format!("{label}=\"")).unwrap().1);
            values
                .map(|rest| rest.split('"').next().unwrap())
                .collect::<HashSet<_>>()
        };
        assert_eq!(values("rule").len(), VALUES + 1);
        assert!(values("rule").contains(OTHER));

        let mut counts = events.counts.lock().unwrap();
        let any = counts.series.keys().next().unwrap().clone();
        for number in 0..events.most() {
            let series = Series {
                hostname: number.to_string().into(),
                ..any.clone()
            };
            counts.series.insert(series, 1);
        }
        let full = counts.series.len();
        drop(counts);
        for number in 0..100 {
            let host = format!("new{number}");
            count(
                &events,
                &serde_json::json!({ "hostname": host, "rule": "r", "priority": "Notice", "time": "2026-06-02T10:00:00Z" }),
            );
        }
        assert_eq!(events.counts.lock().unwrap().series.len(), full + 1);
    }
}
