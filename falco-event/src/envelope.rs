//! Whether what was located in a text is an alert.

use jiff::Timestamp;

use crate::draft::{Draft, Member};
use crate::error::Fault;
use crate::excerpt::excerpt_json;
use crate::fields::{Entry, Fields};
use crate::json::{ALERT_LEVELS, Scanner, Syntax};
use crate::priority::Priority;
use crate::time;
use crate::value::{Doc, Slot, Span, Value};

/// What an alert says, before anything is concluded from it.
pub(crate) struct Envelope {
    /// The bytes, where they are not the text because they were not UTF-8.
    pub(crate) bytes: Option<Box<[u8]>>,
    pub(crate) fields: Fields,
    pub(crate) rule: Span,
    pub(crate) priority: Priority,
    pub(crate) time: Timestamp,
    pub(crate) source: Option<Span>,
    pub(crate) hostname: Option<Span>,
    pub(crate) output: Option<Span>,
    pub(crate) message: Option<Span>,
    pub(crate) tags: Option<Slot>,
    pub(crate) others: Vec<Entry>,
}

/// A fault and where it is, counted from the start of the alert.
#[derive(Debug)]
pub(crate) struct Flaw {
    pub(crate) at: usize,
    pub(crate) fault: Fault,
}

impl Flaw {
    pub(crate) fn syntax(bytes: &[u8], syntax: Syntax) -> Self {
        Self {
            at: syntax.at,
            fault: Fault::syntax(bytes, syntax),
        }
    }
}

/// Where a place in the lossy text of `bytes` is in `bytes`.
fn place_in(bytes: &[u8], lossy: usize) -> usize {
    let (mut read, mut written) = (0, 0);
    for chunk in bytes.utf8_chunks() {
        let (valid, invalid) = (chunk.valid().len(), chunk.invalid().len());
        if written + valid > lossy {
            break;
        }
        written += valid
            + if invalid > 0 {
                char::REPLACEMENT_CHARACTER.len_utf8()
            } else {
                0
            };
        read += valid + invalid;
    }
    (read + lossy).saturating_sub(written)
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
        let read = Draft::read(&mut Scanner::new(text.as_bytes(), ALERT_LEVELS))
            .map_err(|syntax| Flaw::syntax(bytes, syntax));
        let judged = read.and_then(|draft| Self::judge(&text, Some(bytes.into()), draft));
        judged.map_err(|flaw| Flaw {
            at: place_in(bytes, flaw.at),
            ..flaw
        })
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
        let judge = Judge {
            doc: &doc,
            required: [
                ("rule", draft.rule),
                ("priority", draft.priority),
                ("time", draft.time),
            ],
        };
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
            fields: Fields::new(doc, fields, draft.unordered),
        })
    }
}

/// Whether members have values that they can have.
struct Judge<'a> {
    doc: &'a Doc,
    required: [(&'static str, Option<Member>); 3],
}

impl Judge<'_> {
    fn refuse<T>(&self, member: &'static str, found: Member, expected: &'static str) -> Result<T, Flaw> {
        let from = self.doc.written.get(found.at..).unwrap_or_default();
        let end = Scanner::new(from.as_bytes(), ALERT_LEVELS)
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

    /// One of the required members is missing: says all that are.
    fn missing<T>(&self) -> Result<T, Flaw> {
        let is_missing = |member: &Option<Member>| {
            member.is_none_or(|member| matches!(self.doc.value(member.slot), Value::Null | Value::String("")))
        };
        let missing = self.required.iter().filter(|(_, member)| is_missing(member));
        let members = missing.map(|(name, _)| *name).collect();
        Err(Flaw {
            at: 0,
            fault: Fault::Missing { members },
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
        filled.map_or_else(|| self.missing(), Ok)
    }

    fn priority(&self, member: Option<Member>) -> Result<Priority, Flaw> {
        let Some(found) = member else {
            return self.missing();
        };
        let read = match self.doc.value(found.slot) {
            Value::Null | Value::String("") => return self.missing(),
            Value::String(name) => name.parse().ok(),
            Value::Number(number) => number.as_u64().and_then(|number| Priority::try_from(number).ok()),
            Value::Bool(_) | Value::List(_) | Value::Object(_) => None,
        };
        let expected = "`Emergency`, `Alert`, `Critical`, `Error`, `Warning`, `Notice`, `Informational`, `Debug`, or a number from 0 to 7";
        read.map_or_else(|| self.refuse("priority", found, expected), Ok)
    }

    fn time(&self, member: Option<Member>) -> Result<Timestamp, Flaw> {
        let Some(found) = member else {
            return self.missing();
        };
        let read = match self.doc.value(found.slot) {
            Value::Null | Value::String("") => return self.missing(),
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
