//! Why a text is not an alert.

use std::fmt;

use crate::excerpt::excerpt_json;
use crate::json::Syntax;

/// Why a text is not an alert: what is wrong, where, and what was expected there.
///
/// ```
/// let refused = falco_event::Alert::from_slice(br#"{"rule":"x","priority":"Loud"}"#).unwrap_err();
/// assert_eq!(
///     refused.to_string(),
///     "line 1, column 24 (byte 23): `priority` is `\"Loud\"`: expected `Emergency`, `Alert`, `Critical`, `Error`, `Warning`, `Notice`, `Informational`, `Debug`, or a number from 0 to 7"
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column} (byte {offset}): {fault}")]
pub struct ReadError {
    offset: usize,
    line: usize,
    column: usize,
    fault: Fault,
}

/// What is wrong with a text that is not an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// There is no alert in it at all.
    Empty,
    /// It is not JSON, or not the JSON that can stand here.
    Syntax {
        /// What could stand here.
        expected: &'static str,
        /// What does: escaped and short; empty at the end of the text.
        found: String,
    },
    /// Members that every alert has are absent, null or empty.
    Missing {
        /// All of them that are: of `rule`, `priority` and `time`, in this order.
        members: Vec<&'static str>,
    },
    /// A member of the envelope has a value that it cannot have.
    Member {
        /// Its name, as Falco spells it.
        member: &'static str,
        /// What it can be.
        expected: &'static str,
        /// What it is: JSON, escaped and short.
        found: String,
    },
    /// There is more after the one alert that was asked for.
    Trailing,
    /// It is longer than 512 MiB.
    TooLong,
}

/// A place in a body that knows its line. Going on from it costs no more than what lies between, so that a body of
/// a million faults is not read from its start a million times.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    offset: usize,
    line: usize,
    line_start: usize,
}

impl Place {
    pub(crate) const START: Self = Self {
        offset: 0,
        line: 1,
        line_start: 0,
    };

    /// The place at `offset`, which is not before this one.
    pub(crate) fn on_to(self, body: &[u8], offset: usize) -> Self {
        let between = body.get(self.offset..offset).unwrap_or_default();
        let last = between.iter().rposition(|&b| b == b'\n');
        Self {
            offset,
            line: self.line + between.iter().filter(|&&b| b == b'\n').count(),
            line_start: last.map_or(self.line_start, |newline| self.offset + newline + 1),
        }
    }

    pub(crate) fn error(self, fault: Fault) -> ReadError {
        let Self {
            offset,
            line,
            line_start,
        } = self;
        ReadError {
            offset,
            line,
            column: 1 + offset.saturating_sub(line_start),
            fault,
        }
    }
}

impl ReadError {
    /// `offset` counts bytes from the start of `body`.
    pub(crate) fn new(body: &[u8], offset: usize, fault: Fault) -> Self {
        Place::START.on_to(body, offset).error(fault)
    }

    /// Where it is, in bytes from the start of what was read.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The line, from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }

    /// The column in bytes, from 1.
    #[must_use]
    pub fn column(&self) -> usize {
        self.column
    }

    /// What is wrong there.
    #[must_use]
    pub fn fault(&self) -> &Fault {
        &self.fault
    }
}

impl Fault {
    /// A syntax error in `bytes`.
    pub(crate) fn syntax(bytes: &[u8], Syntax { at, expected }: Syntax) -> Self {
        let rest = bytes.get(at..bytes.len().min(at + 16)).unwrap_or_default();
        Self::Syntax {
            expected,
            found: excerpt_json(&String::from_utf8_lossy(rest)),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("nothing here: expected an alert, a JSON object"),
            Self::Syntax { expected, found } if found.is_empty() => {
                write!(f, "the text ends here: expected {expected}")
            }
            Self::Syntax { expected, found } => write!(f, "found `{found}`: expected {expected}"),
            Self::Missing { members } => {
                let members = members.join("` and no `");
                write!(
                    f,
                    "the alert has no `{members}`: expected `rule`, `priority` and `time`"
                )
            }
            Self::Member {
                member,
                expected,
                found,
            } => {
                write!(f, "`{member}` is `{found}`: expected {expected}")
            }
            Self::Trailing => f.write_str("more text after the alert: expected one alert and no more"),
            Self::TooLong => f.write_str("the text is too long: expected at most 512 MiB"),
        }
    }
}
