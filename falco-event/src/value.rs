//! The values of output fields, and the text they stand in.

use std::fmt;

use serde::ser::{Error, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// A JSON value of an output field, borrowed from its alert.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// `null`: Falco could not extract the field.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, exact.
    Number(Number<'a>),
    /// A string, its escapes resolved.
    String(&'a str),
    /// An array.
    List(List<'a>),
    /// An object, as the JSON text it is. Falco sends none in `output_fields`.
    Object(&'a str),
}

impl<'a> Value<'a> {
    /// The text of a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&'a str> {
        if let Self::String(text) = self {
            Some(text)
        } else {
            None
        }
    }
}

/// A number as its text, so that no digit is lost: nanoseconds pass 2^53, plugins pass 2^64.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Number<'a>(&'a str);

impl<'a> Number<'a> {
    /// The number as it was written.
    #[must_use]
    pub fn as_str(&self) -> &'a str {
        self.0
    }

    /// The number if it is written as an integer and fits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        self.0.parse().ok()
    }

    /// The number if it is written as an integer and fits.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        self.0.parse().ok()
    }

    /// The number if it is written as an integer and fits.
    #[must_use]
    pub fn as_i128(&self) -> Option<i128> {
        self.0.parse().ok()
    }

    /// The nearest double; none for a number beyond all doubles, such as `1e400`.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        self.0.parse().ok().filter(|number: &f64| number.is_finite())
    }
}

impl fmt::Display for Number<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

impl fmt::Debug for Number<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Number({})", self.0)
    }
}

/// An array in an alert.
#[derive(Clone, Copy)]
pub struct List<'a> {
    doc: &'a Doc,
    items: Span,
}

impl<'a> List<'a> {
    /// The items, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Value<'a>> + use<'a> {
        let doc = self.doc;
        doc.items(self.items).iter().map(move |slot| doc.value(*slot))
    }

    /// How many items it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.doc.items(self.items).len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl PartialEq for List<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl fmt::Debug for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(number) => verbatim(number.0, serializer),
            Self::String(text) => serializer.serialize_str(text),
            Self::List(list) => list.serialize(serializer),
            Self::Object(json) => verbatim(json, serializer),
        }
    }
}

impl Serialize for List<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut items = serializer.serialize_seq(Some(self.len()))?;
        for item in self.iter() {
            items.serialize_element(&item)?;
        }
        items.end()
    }
}

/// JSON text as it stands, which is how `serde_json` writes a number exactly.
fn verbatim<S: Serializer>(json: &str, serializer: S) -> Result<S::Ok, S::Error> {
    let raw: &RawValue = serde_json::from_str(json).map_err(S::Error::custom)?;
    raw.serialize(serializer)
}

/// A range of text, or of items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

/// Set in a span of text that is not in the alert as written, but in what its escapes mean.
const MEANT: u32 = 1 << 31;

impl Span {
    /// Of the text as written. Readers refuse what is longer than this can say.
    pub(crate) fn written(range: std::ops::Range<usize>) -> Self {
        Self {
            start: small(range.start),
            end: small(range.end),
        }
    }

    pub(crate) fn meant(range: std::ops::Range<usize>) -> Self {
        let Self { start, end } = Self::written(range);
        Self {
            start: start | MEANT,
            end: end | MEANT,
        }
    }

    fn range(self) -> std::ops::Range<usize> {
        (self.start & !MEANT) as usize..(self.end & !MEANT) as usize
    }
}

fn small(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

/// Where a value stands.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Slot {
    Null,
    Bool(bool),
    Number(Span),
    String(Span),
    List(Span),
    Object(Span),
}

/// The text of one alert and what its spans point into.
#[derive(Debug)]
pub(crate) struct Doc {
    /// The alert as written; with U+FFFD where it was not UTF-8.
    pub(crate) written: Box<str>,
    /// What the strings with escapes mean, one after the other.
    pub(crate) meant: String,
    /// The items of all arrays; those of one array are neighbours.
    pub(crate) items: Vec<Slot>,
}

impl Doc {
    pub(crate) fn str(&self, span: Span) -> &str {
        let text = if span.start & MEANT == 0 {
            &self.written
        } else {
            self.meant.as_str()
        };
        text.get(span.range()).unwrap_or_default()
    }

    fn items(&self, span: Span) -> &[Slot] {
        self.items.get(span.range()).unwrap_or_default()
    }

    pub(crate) fn value(&self, slot: Slot) -> Value<'_> {
        match slot {
            Slot::Null => Value::Null,
            Slot::Bool(value) => Value::Bool(value),
            Slot::Number(span) => Value::Number(Number(self.str(span))),
            Slot::String(span) => Value::String(self.str(span)),
            Slot::List(items) => Value::List(List { doc: self, items }),
            Slot::Object(span) => Value::Object(self.str(span)),
        }
    }
}
