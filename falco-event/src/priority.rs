//! How urgent a rule says its alerts are.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::excerpt::excerpt;

/// Falco's eight priorities, most severe first.
///
/// The order is Falco's own numbers, 0 for `Emergency` to 7 for `Debug`: **the smaller is the more severe**, so
/// that sorting puts what matters first. To ask for "this or worse" use [`Priority::at_least`].
///
/// ```
/// use falco_event::Priority;
/// let priority: Priority = "info".parse()?;
/// assert_eq!(priority.to_string(), "Informational");
/// assert!(Priority::Critical < Priority::Debug);
/// assert!(Priority::Critical.at_least(Priority::Warning));
/// # Ok::<(), falco_event::PriorityError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(
    missing_docs,
    reason = "Falco's words, which it does not define beyond their order"
)]
pub enum Priority {
    Emergency,
    Alert,
    Critical,
    Error,
    Warning,
    Notice,
    Informational,
    Debug,
}

/// A text or number that is no priority.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{input}` is no priority: expected `Emergency`, `Alert`, `Critical`, `Error`, `Warning`, `Notice`, \
     `Informational` or `Debug`, in any case, or a number from 0 to 7"
)]
pub struct PriorityError {
    input: String,
}

impl Priority {
    /// All eight, most severe first.
    pub const ALL: [Self; 8] = [
        Self::Emergency,
        Self::Alert,
        Self::Critical,
        Self::Error,
        Self::Warning,
        Self::Notice,
        Self::Informational,
        Self::Debug,
    ];

    /// Falco's number: 0 is `Emergency`, 7 is `Debug`.
    #[must_use]
    pub fn severity(self) -> u8 {
        self as u8
    }

    /// Whether this is as severe as `other`, or more.
    #[must_use]
    pub fn at_least(self, other: Self) -> bool {
        self <= other
    }

    /// The word as Falco's JSON has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Emergency => "Emergency",
            Self::Alert => "Alert",
            Self::Critical => "Critical",
            Self::Error => "Error",
            Self::Warning => "Warning",
            Self::Notice => "Notice",
            Self::Informational => "Informational",
            Self::Debug => "Debug",
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// In any case; `info` is `Informational`, Falco's only alias.
impl FromStr for Priority {
    type Err = PriorityError;

    fn from_str(text: &str) -> Result<Self, PriorityError> {
        if text.eq_ignore_ascii_case("info") {
            return Ok(Self::Informational);
        }
        let named = Self::ALL
            .into_iter()
            .find(|p| p.as_str().eq_ignore_ascii_case(text));
        named.ok_or_else(|| PriorityError { input: excerpt(text) })
    }
}

/// Falco's gRPC clients write the number.
impl TryFrom<u64> for Priority {
    type Error = PriorityError;

    fn try_from(number: u64) -> Result<Self, PriorityError> {
        let index = usize::try_from(number).ok();
        let found = index.and_then(|index| Self::ALL.get(index)).copied();
        found.ok_or_else(|| PriorityError {
            input: number.to_string(),
        })
    }
}

impl Serialize for Priority {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Priority {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnySpelling)
    }
}

struct AnySpelling;

impl serde::de::Visitor<'_> for AnySpelling {
    type Value = Priority;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a priority by name, or by number from 0 to 7")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Priority, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Priority, E> {
        Priority::try_from(number).map_err(E::custom)
    }
}
