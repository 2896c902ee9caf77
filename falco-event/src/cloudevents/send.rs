//! From an alert to an event in structured mode.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;

use super::attributes::{is_allowed, is_uri_reference};
use super::header::carries;
use super::overrides::Overrides;
use super::refusal::Refusal;
use super::{RECORDED_TIME, SOURCE, TYPE};
use crate::alert::Alert;
use crate::excerpt::excerpt;
use crate::names::{Namespace, PodName};

/// Writes alerts as CloudEvents in structured mode.
///
/// The id is the alert's own ([`Alert::id`]), so the same alert sent twice is the same event. Extensions: `rule`,
/// `priority`, `eventsource`, `hostname` as falcosidekick's; `tags` (joined by commas), `namespace` and `pod` for
/// Triggers to filter by; `recordedtime`. An attribute with nothing to say is left out.
///
/// ```
/// use falco_event::{Alert, Timestamp, cloudevents::Sender};
/// let bytes = br#"{"rule":"r", "priority":"Notice","time":"2026-01-01T00:00:00Z"}"#;
/// let alert = Alert::from_slice(bytes)?;
/// let event = Sender::default().structured(&alert, Timestamp::UNIX_EPOCH);
/// let event = String::from_utf8(event)?;
/// assert!(event.starts_with(r#"{"specversion":"1.0","id":""#));
/// assert!(event.contains(r#""rule":"r","priority":"Notice","eventsource":"syscall""#));
/// assert!(event.ends_with(r#""data":{"rule":"r", "priority":"Notice","time":"2026-01-01T00:00:00Z"}}"#));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Sender {
    source: String,
    overrides: Overrides,
}

impl Default for Sender {
    fn default() -> Self {
        Self {
            source: SOURCE.to_owned(),
            overrides: Overrides::default(),
        }
    }
}

impl Sender {
    /// Events from another source than [`SOURCE`].
    ///
    /// # Errors
    /// It is empty, or not a URI reference (RFC 3986).
    pub fn with_source(self, source: &str) -> Result<Self, Refusal> {
        if source.is_empty() || !is_uri_reference(source) {
            let why = format!("`{}`: expected a URI reference (RFC 3986)", excerpt(source));
            return Err(Refusal::invalid("source", why));
        }
        Ok(Self {
            source: source.to_owned(),
            ..self
        })
    }

    /// Events with these extensions set over their own.
    #[must_use]
    pub fn with_overrides(self, overrides: Overrides) -> Self {
        Self { overrides, ..self }
    }

    /// The event of an alert, to be sent with [`CONTENT_TYPE`](super::CONTENT_TYPE). `received` is when the alert
    /// came in.
    ///
    /// The data are the bytes of the alert, verbatim; in `data_base64` where they are not UTF-8.
    #[must_use]
    pub fn structured(&self, alert: &Alert, received: Timestamp) -> Vec<u8> {
        self.write(alert, received, &[])
    }

    /// The same event, signed: its [`KEY_ID`](super::KEY_ID) and [`SIGNATURE`](super::SIGNATURE) are over all others.
    #[cfg(feature = "signed")]
    #[must_use]
    pub fn signed(&self, alert: &Alert, received: Timestamp, keys: &super::Keys) -> Vec<u8> {
        self.write(alert, received, &keys.sign(alert.as_bytes()).extensions())
    }

    fn write(&self, alert: &Alert, received: Timestamp, last: &[(&str, &str)]) -> Vec<u8> {
        let bytes = alert.as_bytes();
        let mut event = Json(Vec::with_capacity(bytes.len() + 640));
        event.0.extend_from_slice(b"{\"specversion\":\"1.0\"");
        event.plain("id", &[&alert.id().digits()]);
        event.member("source", &self.source);
        event.plain("type", &[TYPE.as_bytes()]);
        event.time("time", alert.time(), &NINE_DIGITS);
        event.plain("datacontenttype", &[b"application/json"]);
        if let Some((namespace, pod)) = pod(alert) {
            event.plain(
                "subject",
                &[namespace.as_str().as_bytes(), b"/", pod.as_str().as_bytes()],
            );
        }
        for (name, value) in extensions(alert).filter(|(name, _)| !self.overrides.has(name)) {
            event.member(name, &value);
        }
        event.time(RECORDED_TIME, received, &DIGITS);
        let is_last = |name: &str| last.iter().any(|(other, _)| *other == name);
        for (name, value) in self.overrides.iter().filter(|(name, _)| !is_last(name)) {
            event.member(name, value);
        }
        for (name, value) in last {
            event.member(name, value);
        }
        event.data(bytes, alert.is_utf8());
        event.0
    }
}

/// `namespace/pod`, where both are known.
pub(super) fn subject(alert: &Alert) -> Option<String> {
    pod(alert).map(|(namespace, pod)| format!("{namespace}/{pod}"))
}

fn pod(alert: &Alert) -> Option<(&Namespace, &PodName)> {
    let offender = alert.offender();
    offender.namespace.as_ref().zip(offender.pod.as_ref())
}

/// The extensions of an alert, without those that would be empty.
pub(super) fn extensions(alert: &Alert) -> impl Iterator<Item = (&'static str, Cow<'_, str>)> {
    let offender = alert.offender();
    let extensions = [
        ("rule", clean(alert.rule())),
        ("priority", Cow::Borrowed(alert.priority().as_str())),
        ("eventsource", clean(alert.source().unwrap_or("syscall"))),
        ("hostname", clean(alert.hostname().unwrap_or_default())),
        ("tags", Cow::Owned(tags(alert))),
        (
            "namespace",
            Cow::Borrowed(offender.namespace.as_ref().map_or("", |name| name.as_str())),
        ),
        (
            "pod",
            Cow::Borrowed(offender.pod.as_ref().map_or("", |name| name.as_str())),
        ),
    ];
    extensions.into_iter().filter(|(_, value)| !value.is_empty())
}

fn tags(alert: &Alert) -> String {
    let mut tags = String::with_capacity(TAGS);
    for tag in alert.tags() {
        if !tags.is_empty() {
            tags.push(',');
        }
        tags.push_str(&clean(tag));
    }
    tags
}

/// How times are written: the alert's with Falco's digits, others with as many as they have.
const NINE_DIGITS: DateTimePrinter = DateTimePrinter::new().precision(Some(9));
const DIGITS: DateTimePrinter = DateTimePrinter::new();

/// Room for the tags of a usual alert.
const TAGS: usize = 128;

/// A Broker cannot write a control character into a header, and the specification allows none. A `%` that Knative
/// would write as it stands, and receivers would take for an escape of such a character or of no text at all, would
/// cost the whole event, so there it is left out too.
fn clean(text: &str) -> Cow<'_, str> {
    // Nearly every text. Without short cuts: these are a few vector instructions.
    let usual = |byte: u8| matches!(byte, b' '..=b'~') & (byte != b'%');
    if text.bytes().fold(true, |all, byte| all & usual(byte)) {
        return text.into();
    }
    let allowed: Cow<'_, str> = if text.chars().all(is_allowed) {
        text.into()
    } else {
        text.chars().filter(|c| is_allowed(*c)).collect()
    };
    if allowed.contains('%') && !carries(&allowed) {
        allowed.replace('%', "").into()
    } else {
        allowed
    }
}

/// A JSON object being written.
struct Json(Vec<u8>);

impl Json {
    fn name(&mut self, name: &str) {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    /// A member whose text needs no escapes.
    fn plain(&mut self, name: &str, text: &[&[u8]]) {
        self.name(name);
        self.0.push(b'"');
        text.iter().for_each(|part| self.0.extend_from_slice(part));
        self.0.push(b'"');
    }

    fn member(&mut self, name: &str, text: &str) {
        let plain = |byte: u8| (byte >= b' ') & (byte != b'"') & (byte != b'\\');
        if text.bytes().fold(true, |all, byte| all & plain(byte)) {
            return self.plain(name, &[text.as_bytes()]);
        }
        self.name(name);
        self.0
            .extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
    }

    fn time(&mut self, name: &str, time: Timestamp, printer: &DateTimePrinter) {
        self.name(name);
        self.0.push(b'"');
        // Memory can be written.
        let _ = printer.print_timestamp(&time, &mut self.0);
        self.0.push(b'"');
    }

    fn data(&mut self, bytes: &[u8], is_utf8: bool) {
        if is_utf8 {
            self.name("data");
            self.0.extend_from_slice(bytes);
        } else {
            self.plain("data_base64", &[STANDARD.encode(bytes).as_bytes()]);
        }
        self.0.push(b'}');
    }
}
