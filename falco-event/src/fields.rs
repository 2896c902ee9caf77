//! The output fields of an alert.

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::field_type::{FieldType, field_type};
use crate::value::{Doc, List, Slot, Span, Value};

/// The `output_fields` of an alert: each name once, in the order in which they were written.
///
/// A name that was written twice has its last value, as in Falco's and in Go's readers.
///
/// ```
/// use falco_event::{Alert, Missing, Typed};
/// let alert = Alert::from_slice(br#"{"rule":"r","priority":"Notice","time":"2026-01-01T00:00:00Z",
///     "output_fields":{"evt.time":1767225600123456789,"proc.name":"sh","user.name":"<NA>","k8s.pod.name":null}}"#)?;
/// let fields = alert.fields();
/// assert_eq!(fields.get("proc.name").and_then(|value| value.as_str()), Some("sh"));
/// assert_eq!(fields.get("k8s.pod.name"), None);
/// assert_eq!(fields.missing("k8s.pod.name"), Some(Missing::Null));
/// assert_eq!(fields.missing("user.name"), Some(Missing::NotAvailable));
/// assert!(matches!(fields.typed("evt.time"), Some(Typed::Time(time)) if time.subsec_nanosecond() == 123_456_789));
/// # Ok::<(), falco_event::ReadError>(())
/// ```
pub struct Fields {
    pub(crate) doc: Doc,
    entries: Vec<Entry>,
    /// The entries by name; none where they stand in that order, as Falco writes them.
    by_name: Option<Box<[u32]>>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) name: Span,
    pub(crate) value: Slot,
}

/// The ways in which an alert says that it does not have a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Missing {
    /// The field is not there.
    Absent,
    /// `null`: Falco could not extract it (yet).
    Null,
    /// The string `<NA>`, which Falco's libraries have in place of some names.
    NotAvailable,
    /// The empty string.
    Empty,
}

/// A field's value with the type that Falco gives the field.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Typed<'a> {
    /// Text.
    String(&'a str),
    /// A signed integer.
    Integer(i64),
    /// An unsigned integer.
    Unsigned(u64),
    /// A double.
    Double(f64),
    /// A truth value.
    Bool(bool),
    /// Several values.
    List(List<'a>),
    /// An address.
    Ip(IpAddr),
    /// A point in time.
    Time(Timestamp),
    /// The JSON value as it is: of a field that Falco's tables do not know, or a value that is not of its type.
    Json(Value<'a>),
}

impl Fields {
    /// `unordered` where the names are not known to be in order, each once.
    pub(crate) fn new(doc: Doc, entries: Vec<Entry>, unordered: bool) -> Self {
        let mut fields = Self {
            doc,
            entries,
            by_name: None,
        };
        if unordered {
            fields.sort();
        }
        fields
    }

    /// Sorts an index, and of entries of one name keeps the last.
    fn sort(&mut self) {
        let doc = &self.doc;
        let mut order: Vec<usize> = (0..self.entries.len()).collect();
        let name = |index: usize| self.entries.get(index).map(|entry| doc.str(entry.name));
        order.sort_by_key(|&index| (name(index), std::cmp::Reverse(index)));
        order.dedup_by_key(|index| name(*index));
        let mut kept = order.clone();
        kept.sort_unstable();
        let place = |index: &usize| {
            kept.binary_search(index)
                .ok()
                .and_then(|place| u32::try_from(place).ok())
        };
        self.by_name = Some(order.iter().filter_map(place).collect());
        self.entries = kept
            .iter()
            .filter_map(|&index| self.entries.get(index))
            .copied()
            .collect();
    }

    fn find(&self, name: &str) -> Option<&Entry> {
        let key = |entry: &Entry| self.doc.str(entry.name).cmp(name);
        let Some(order) = &self.by_name else {
            return self.entries.get(self.entries.binary_search_by(key).ok()?);
        };
        let entry = |index: &u32| self.entries.get(*index as usize);
        let place = order
            .binary_search_by(|index| entry(index).map_or(std::cmp::Ordering::Less, key))
            .ok()?;
        order.get(place).and_then(entry)
    }

    /// The value of a field, unless it is missing in any of the four ways of [`Missing`].
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Value<'_>> {
        self.raw(name).filter(|value| spelled_missing(value).is_none())
    }

    /// The value of a field as it stands, `null`, `<NA>` and the empty string too.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<Value<'_>> {
        self.find(name).map(|entry| self.doc.value(entry.value))
    }

    /// In which way a field is missing; none if it has a value.
    #[must_use]
    pub fn missing(&self, name: &str) -> Option<Missing> {
        self.raw(name)
            .map_or(Some(Missing::Absent), |value| spelled_missing(&value))
    }

    /// The value of a field with the type that Falco gives it; none if it is missing in any of the four ways.
    ///
    /// A value that is not of that type is not lost: it comes as [`Typed::Json`].
    #[must_use]
    pub fn typed(&self, name: &str) -> Option<Typed<'_>> {
        let value = self.get(name)?;
        let typed = field_type(name).and_then(|falco| typed(value, falco));
        Some(typed.unwrap_or(Typed::Json(value)))
    }

    /// All fields as they stand, missing or not.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, Value<'_>)> {
        self.entries
            .iter()
            .map(|entry| (self.doc.str(entry.name), self.doc.value(entry.value)))
    }

    /// All fields, their values not yet looked at.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (&str, Slot)> {
        self.entries
            .iter()
            .map(|entry| (self.doc.str(entry.name), entry.value))
    }

    /// How many fields there are, missing or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no field, missing or not.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

pub(crate) fn spelled_missing(value: &Value<'_>) -> Option<Missing> {
    match value {
        Value::Null => Some(Missing::Null),
        Value::String("<NA>") => Some(Missing::NotAvailable),
        Value::String("") => Some(Missing::Empty),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::List(_) | Value::Object(_) => None,
    }
}

fn typed<'a>(value: Value<'a>, falco: FieldType) -> Option<Typed<'a>> {
    match falco {
        FieldType::String => value.as_str().map(Typed::String),
        FieldType::Integer => digits(value)?.parse().ok().map(Typed::Integer),
        FieldType::Unsigned => digits(value)?.parse().ok().map(Typed::Unsigned),
        FieldType::Double => digits(value)?
            .parse()
            .ok()
            .filter(|d: &f64| d.is_finite())
            .map(Typed::Double),
        FieldType::Bool => truth(value).map(Typed::Bool),
        FieldType::Ip => value.as_str()?.parse().ok().map(Typed::Ip),
        FieldType::Time => Timestamp::from_nanosecond(digits(value)?.parse().ok()?)
            .ok()
            .map(Typed::Time),
        FieldType::List(_) => {
            if let Value::List(list) = value {
                Some(Typed::List(list))
            } else {
                None
            }
        }
    }
}

/// A number, or the string of one: falcosidekick and Falco's internal alerts put numbers in quotes.
fn digits(value: Value<'_>) -> Option<&str> {
    if let Value::Number(number) = value {
        Some(number.as_str())
    } else {
        value.as_str()
    }
}

fn truth(value: Value<'_>) -> Option<bool> {
    if let Value::Bool(truth) = value {
        Some(truth)
    } else {
        value.as_str()?.parse().ok()
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Equal as values: the same names, each with the same value; the order does not count.
impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|(name, value)| other.raw(name) == Some(value))
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (name, value) in self.iter() {
            map.serialize_entry(name, &value)?;
        }
        map.end()
    }
}
