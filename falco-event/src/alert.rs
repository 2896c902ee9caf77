//! One alert.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;

use crate::envelope::Envelope;
use crate::error::ReadError;
use crate::fields::Fields;
use crate::id::AlertId;
use crate::offender::Offender;
use crate::priority::Priority;
use crate::read::read_one;
use crate::value::{Doc, List, Span, Value};

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
        self.tag_list()
            .into_iter()
            .flat_map(|list| list.iter())
            .filter_map(|tag| tag.as_str())
    }

    pub(crate) fn tag_list(&self) -> Option<List<'_>> {
        match self.doc().value(self.0.envelope.tags?) {
            Value::List(list) => Some(list),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => None,
        }
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

    /// Whether its bytes are text.
    #[cfg(feature = "cloudevents")]
    pub(crate) fn is_utf8(&self) -> bool {
        self.0.envelope.bytes.is_none()
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
