//! From an HTTP request to an alert.

use std::collections::BTreeMap;

use http::{HeaderMap, header};
use jiff::Timestamp;

use super::CONTENT_TYPE;
use super::attributes::{Attributes, CORE};
use super::header::{attributes, has_attributes};
use super::refusal::Refusal;
use super::structured::Structured;
use crate::alert::Alert;
use crate::excerpt::excerpt;

/// An alert that came in a CloudEvent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The alert.
    pub alert: Alert,
    /// The event's id, for its sender's eyes: to know the same alert again use [`Alert::id`].
    pub id: String,
    /// The event's source.
    pub source: String,
    /// What the event is about, by its sender's word.
    pub subject: Option<String>,
    /// The event's time, by its sender's word; Falco's is [`Alert::time`].
    pub time: Option<Timestamp>,
    /// When a [`Sender`](super::Sender) took the alert in: the extension `recordedtime`.
    pub received: Option<Timestamp>,
    /// All attributes that the specification does not define, as text. Hints: decide by the alert.
    pub extensions: BTreeMap<String, String>,
}

/// Reads an alert from an HTTP request: a CloudEvent in binary or structured mode.
///
/// Not an error: blanks and UTF-8 in header values as they are, or in percent-encoding; a media type in any case and
/// with parameters; any source, because falcosidekick's changed five times.
///
/// ```
/// use http::{HeaderMap, HeaderValue};
/// let mut headers = HeaderMap::new();
/// headers.insert("ce-specversion", HeaderValue::from_static("1.0"));
/// headers.insert("ce-id", HeaderValue::from_static("1"));
/// headers.insert("ce-source", HeaderValue::from_static("https://falco.org"));
/// headers.insert("ce-type", HeaderValue::from_static("falco.rule.output.v1"));
/// headers.insert("ce-rule", HeaderValue::from_static("Terminal shell in container"));
/// let body = br#"{"rule":"Terminal shell in container","priority":"Notice","time":"2026-01-01T00:00:00Z"}"#;
/// let received = falco_event::cloudevents::receive(&headers, body)?;
/// assert_eq!(received.alert.as_bytes(), body);
/// assert_eq!(received.extensions["rule"], "Terminal shell in container");
/// # Ok::<(), falco_event::cloudevents::Refusal>(())
/// ```
///
/// # Errors
/// The request is no CloudEvent, breaks the specification, is of another type, or its data is no alert; what to
/// answer is [`Refusal::status`].
pub fn receive(headers: &HeaderMap, body: &[u8]) -> Result<Received, Refusal> {
    let content_type = content_type(headers)?;
    match Mode::of(headers, content_type.as_deref())? {
        Mode::Binary => {
            let attributes = attributes(headers, content_type)?;
            attributes.check()?;
            received(attributes, body)
        }
        Mode::Structured => {
            let event = Structured::read(body)?;
            event.attributes.check()?;
            let data = event.data();
            received(event.attributes, &data)
        }
    }
}

fn received(attributes: Attributes, data: &[u8]) -> Result<Received, Refusal> {
    let alert = Alert::from_slice(data).map_err(Refusal::Data)?;
    let (time, received) = (attributes.time()?, attributes.recorded_time());
    let mut rest = attributes.into_map();
    let mut take = |name: &str| rest.remove(name);
    let (id, source, subject) = (take("id"), take("source"), take("subject"));
    rest.retain(|name, _| !CORE.contains(&name.as_str()));
    Ok(Received {
        alert,
        id: id.unwrap_or_default(),
        source: source.unwrap_or_default(),
        subject,
        time,
        received,
        extensions: rest,
    })
}

enum Mode {
    Binary,
    Structured,
}

impl Mode {
    fn of(headers: &HeaderMap, content_type: Option<&str>) -> Result<Self, Refusal> {
        let media_type = content_type
            .and_then(|value| value.split(';').next())
            .unwrap_or_default();
        let media_type = media_type.trim().to_ascii_lowercase();
        if media_type == CONTENT_TYPE {
            return Ok(Self::Structured);
        }
        if media_type.starts_with("application/cloudevents") {
            return Err(Refusal::UnsupportedMediaType {
                found: excerpt(&media_type),
            });
        }
        if has_attributes(headers) {
            Ok(Self::Binary)
        } else {
            Err(Refusal::NotACloudEvent)
        }
    }
}

fn content_type(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(Refusal::invalid("content-type", "given twice: expected once"));
    }
    Ok(first.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()))
}
