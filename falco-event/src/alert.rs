//! One alert.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::error::{Fault, ReadError};
use crate::excerpt::excerpt;
use crate::fields::{Entry, Fields};
use crate::id::AlertId;
use crate::json::Scanner;
use crate::offender::Offender;
use crate::priority::Priority;
use crate::read::{Draft, Flaw, Member, read_one};
use crate::time;
use crate::value::{Doc, Slot, Span, Value};

/// One alert of Falco: its text, and where in the text each thing stands.
///
/// Cloning it is cheap: the clones share the text. Two alerts are equal if their bytes are; for "the same alert,
/// whichever way it came" compare [`Alert::id`].
///
/// ```
/// use falco_event::{Alert, Priority};
/// let alert = Alert::from_slice(br#"{"output":"","priority":"Notice","rule":"Terminal shell in container",
///     "time":"2021-01-11T23:48:20.851908334Z", "output_fields": {"container.id":"f29b261f8831",
///     "k8s.ns.name":"default","k8s.pod.name":"mysql-db-7d59548d75-wh44s","proc.name":"bash"}}"#)?;
/// assert_eq!(alert.rule(), "Terminal shell in container");
/// assert_eq!(alert.priority(), Priority::Notice);
/// assert_eq!(alert.fields().get("proc.name").and_then(|v| v.as_str()), Some("bash"));
/// let pod = alert.offender().pod.as_ref().map(|pod| pod.as_str());
/// assert_eq!(pod, Some("mysql-db-7d59548d75-wh44s"));
/// # Ok::<(), falco_event::ReadError>(())
/// ```
#[derive(Clone)]
pub struct Alert(Arc<Inner>);

struct Inner {
    envelope: Envelope,
    offender: OnceLock<Offender>,
    id: OnceLock<AlertId>,
}

/// What an alert says, before anything is concluded from it.
pub(crate) struct Envelope {
    /// The bytes, where they are not the text because they were not UTF-8.
    bytes: Option<Box<[u8]>>,
    fields: Fields,
    rule: Span,
    priority: Priority,
    time: Timestamp,
    source: Option<Span>,
    hostname: Option<Span>,
    output: Option<Span>,
    message: Option<Span>,
    tags: Option<Slot>,
    others: Vec<Entry>,
}

impl Alert {
    /// Reads a text that is exactly one alert; blanks and a byte order mark around it are ignored.
    ///
    /// Not an error: unknown members, a missing member other than `rule`, `priority` and `time`, escapes of half a
    /// surrogate pair and bytes that are not UTF-8 (both are read as U+FFFD).
    ///
    /// # Errors
    /// It is not JSON, lacks one of the three, or a member of the envelope has a value that it cannot have.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, ReadError> {
        read_one(bytes)
    }

    /// The name of the rule; never empty.
    #[must_use]
    pub fn rule(&self) -> &str {
        self.text(self.0.envelope.rule)
    }

    /// How urgent the rule says it is.
    #[must_use]
    pub fn priority(&self) -> Priority {
        self.0.envelope.priority
    }

    /// When it happened, by the clock of the node.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.0.envelope.time
    }

    /// Where the event came from: `syscall`, a plugin's source such as `k8s_audit`, `internal`. None where it is
    /// absent (before Falco 0.30), null or empty.
    #[must_use]
    pub fn source(&self) -> Option<&str> {
        self.filled(self.0.envelope.source)
    }

    /// The host that Falco ran on: the node, if Falco was told its name, else often Falco's own pod. None where it
    /// is absent (before Falco 0.33), null or empty.
    #[must_use]
    pub fn hostname(&self) -> Option<&str> {
        self.filled(self.0.envelope.hostname)
    }

    /// The sentence of the rule with its prefix of time and priority. None where it is absent, null or empty.
    #[must_use]
    pub fn output(&self) -> Option<&str> {
        self.filled(self.0.envelope.output)
    }

    /// The sentence without the prefix (Falco 0.39, off by default). None where it is absent, null or empty.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.filled(self.0.envelope.message)
    }

    /// The tags in the order in which they stand; none where they are absent, null or empty.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        let list = match self.0.envelope.tags.map(|slot| self.doc().value(slot)) {
            Some(Value::List(list)) => Some(list),
            Some(_) | None => None,
        };
        list.into_iter()
            .flat_map(|list| list.iter())
            .filter_map(|tag| tag.as_str())
    }

    /// The output fields.
    #[must_use]
    pub fn fields(&self) -> &Fields {
        &self.0.envelope.fields
    }

    /// Members of the envelope that are not Falco's, such as falcosidekick's `uuid`, in the order in which they stand.
    pub fn others(&self) -> impl Iterator<Item = (&str, Value<'_>)> {
        let doc = self.doc();
        self.0
            .envelope
            .others
            .iter()
            .map(|entry| (doc.str(entry.name), doc.value(entry.value)))
    }

    /// The bytes of this alert as they were read, from `{` to `}`.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0
            .envelope
            .bytes
            .as_deref()
            .unwrap_or(self.doc().written.as_bytes())
    }

    /// Who did it, as far as the alert says.
    #[must_use]
    pub fn offender(&self) -> &Offender {
        self.0.offender.get_or_init(|| Offender::of(self))
    }

    /// What makes this alert the same alert on whichever way it came.
    #[must_use]
    pub fn id(&self) -> AlertId {
        *self.0.id.get_or_init(|| AlertId::of(self))
    }

    /// Whether Falco speaks of itself (drops, metrics), and of no one's deed.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        self.source().map_or_else(
            || self.rule().starts_with("Falco internal: "),
            |source| source == "internal",
        )
    }

    /// Whether both say the same: equal in everything that can be asked, whatever the bytes.
    #[must_use]
    pub fn says_same(&self, other: &Self) -> bool {
        self.rule() == other.rule()
            && (self.priority(), self.time()) == (other.priority(), other.time())
            && (self.source(), self.hostname()) == (other.source(), other.hostname())
            && (self.output(), self.message()) == (other.output(), other.message())
            && self.tags().eq(other.tags())
            && self.fields() == other.fields()
            && self.other_members() == other.other_members()
    }

    fn doc(&self) -> &Doc {
        &self.0.envelope.fields.doc
    }

    /// By name; of one name the last.
    fn other_members(&self) -> BTreeMap<&str, Value<'_>> {
        self.others().collect()
    }

    fn text(&self, span: Span) -> &str {
        self.doc().str(span)
    }

    fn filled(&self, span: Option<Span>) -> Option<&str> {
        span.map(|span| self.text(span)).filter(|text| !text.is_empty())
    }
}

impl From<Envelope> for Alert {
    fn from(envelope: Envelope) -> Self {
        Self(Arc::new(Inner {
            envelope,
            offender: OnceLock::new(),
            id: OnceLock::new(),
        }))
    }
}

impl PartialEq for Alert {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Alert {}

impl fmt::Debug for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Alert({})", self.doc().written)
    }
}

/// Writes the alert anew, from what was read: Falco's names in Falco's order, the time with nine digits and `Z`, the
/// priority in Falco's spelling. To pass an alert on as it was, use [`Alert::as_bytes`].
impl Serialize for Alert {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let texts = [
            ("hostname", self.hostname()),
            ("message", self.message()),
            ("output", self.output()),
        ];
        for (name, text) in texts.into_iter().filter_map(|(name, text)| Some((name, text?))) {
            map.serialize_entry(name, text)?;
        }
        map.serialize_entry("output_fields", self.fields())?;
        map.serialize_entry("priority", &self.priority())?;
        map.serialize_entry("rule", self.rule())?;
        if let Some(source) = self.source() {
            map.serialize_entry("source", source)?;
        }
        if let Some(tags) = self.0.envelope.tags {
            map.serialize_entry("tags", &self.doc().value(tags))?;
        }
        map.serialize_entry("time", &format!("{:.9}", self.time()))?;
        for (name, value) in self.others() {
            map.serialize_entry(name, &value)?;
        }
        map.end()
    }
}

impl Envelope {
    /// Judges what was located in `bytes`.
    pub(crate) fn new(bytes: &[u8], draft: Draft) -> Result<Self, Flaw> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::judge(text, None, draft),
            Err(_) => Self::lossy(bytes),
        }
    }

    /// Replacing what is not UTF-8 moves what follows, so everything is located again. Only strings can hold such
    /// bytes, so what was JSON still is.
    fn lossy(bytes: &[u8]) -> Result<Self, Flaw> {
        let text = String::from_utf8_lossy(bytes);
        let syntax = |at| Flaw {
            at,
            fault: Fault::Syntax {
                expected: "UTF-8",
                found: String::new(),
            },
        };
        let draft = Draft::read(&mut Scanner::new(text.as_bytes())).map_err(|fault| syntax(fault.at))?;
        Self::judge(&text, Some(bytes.into()), draft)
    }

    fn judge(text: &str, bytes: Option<Box<[u8]>>, draft: Draft) -> Result<Self, Flaw> {
        let Draft {
            meant,
            items,
            fields,
            others,
            ..
        } = draft;
        let doc = Doc {
            written: text.into(),
            meant,
            items,
        };
        let judge = Judge { doc: &doc };
        judge.no_fields(draft.no_fields)?;
        Ok(Self {
            rule: judge.required_text("rule", draft.rule)?,
            priority: judge.priority(draft.priority)?,
            time: judge.time(draft.time)?,
            source: judge.text("source", draft.source)?,
            hostname: judge.text("hostname", draft.hostname)?,
            output: judge.text("output", draft.output)?,
            message: judge.text("message", draft.message)?,
            tags: judge.tags(draft.tags)?,
            others,
            bytes,
            fields: Fields::new(doc, fields),
        })
    }
}

/// Whether members have values that they can have.
struct Judge<'a> {
    doc: &'a Doc,
}

impl Judge<'_> {
    fn refuse<T>(&self, member: &'static str, found: Member, expected: &'static str) -> Result<T, Flaw> {
        let from = self.doc.written.get(found.at..).unwrap_or_default();
        let end = Scanner::new(from.as_bytes())
            .skip()
            .map_or(from.len(), |range| range.end);
        let found_text = excerpt_json(from.get(..end).unwrap_or_default());
        Err(Flaw {
            at: found.at,
            fault: Fault::Member {
                member,
                expected,
                found: found_text,
            },
        })
    }

    fn missing<T>(member: &'static str) -> Result<T, Flaw> {
        Err(Flaw {
            at: 0,
            fault: Fault::Missing { member },
        })
    }

    fn text(&self, name: &'static str, member: Option<Member>) -> Result<Option<Span>, Flaw> {
        match member {
            None | Some(Member { slot: Slot::Null, .. }) => Ok(None),
            Some(Member {
                slot: Slot::String(span),
                ..
            }) => Ok(Some(span)),
            Some(found) => self.refuse(name, found, "a string"),
        }
    }

    fn required_text(&self, name: &'static str, member: Option<Member>) -> Result<Span, Flaw> {
        let filled = self
            .text(name, member)?
            .filter(|span| !self.doc.str(*span).is_empty());
        filled.map_or_else(|| Self::missing(name), Ok)
    }

    fn priority(&self, member: Option<Member>) -> Result<Priority, Flaw> {
        let Some(found) = member else {
            return Self::missing("priority");
        };
        let read = match self.doc.value(found.slot) {
            Value::Null | Value::String("") => return Self::missing("priority"),
            Value::String(name) => name.parse().ok(),
            Value::Number(number) => number.as_u64().and_then(|number| Priority::try_from(number).ok()),
            Value::Bool(_) | Value::List(_) | Value::Object(_) => None,
        };
        let expected = "one of Falco's eight priorities or a number from 0 to 7";
        read.map_or_else(|| self.refuse("priority", found, expected), Ok)
    }

    fn time(&self, member: Option<Member>) -> Result<Timestamp, Flaw> {
        let Some(found) = member else {
            return Self::missing("time");
        };
        let read = match self.doc.value(found.slot) {
            Value::Null | Value::String("") => return Self::missing("time"),
            Value::String(text) => time::from_text(text),
            Value::Object(json) => time::from_object(json.as_bytes()),
            Value::Bool(_) | Value::Number(_) | Value::List(_) => None,
        };
        read.map_or_else(|| self.refuse("time", found, time::EXPECTED), Ok)
    }

    fn tags(&self, member: Option<Member>) -> Result<Option<Slot>, Flaw> {
        let Some(found) = member else { return Ok(None) };
        match self.doc.value(found.slot) {
            Value::Null | Value::String("") => Ok(None),
            Value::List(tags) if tags.iter().all(|tag| tag.as_str().is_some()) => Ok(Some(found.slot)),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::List(_) | Value::Object(_) => {
                self.refuse("tags", found, "an array of strings")
            }
        }
    }

    fn no_fields(&self, member: Option<Member>) -> Result<(), Flaw> {
        match member {
            None | Some(Member { slot: Slot::Null, .. }) => Ok(()),
            Some(Member {
                slot: Slot::String(span),
                ..
            }) if self.doc.str(span).is_empty() => Ok(()),
            Some(found) => self.refuse("output_fields", found, "an object"),
        }
    }
}

/// JSON is escaped already, but for what a terminal would obey.
fn excerpt_json(json: &str) -> String {
    if json.chars().any(char::is_control) || json.len() > 64 {
        excerpt(json)
    } else {
        json.to_owned()
    }
}
