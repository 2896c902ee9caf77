//! What makes two texts the same alert.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::alert::Alert;
use crate::excerpt::excerpt;

/// The identity of an alert: 128 bits of a SHA-256 over what the alert says, and over nothing that a sender rewrites.
///
/// What goes in, each part with its length before it: the rule; the time as nanoseconds since 1970; the source, where
/// `syscalls` (falcosidekick's word for an absent one) and none are `syscall`, and Falco's internal rules and
/// falcosidekick's `Test rule` are `internal`;
/// the hostname; and the offender: on the host or not, the first 12 digits of the container id, pod UID, namespace,
/// pod. What does not: the spelling of the time and the priority, the order of members, tags, output fields that do
/// not name the offender, members that senders add (`uuid`) or drop (`message`).
///
/// ```
/// use falco_event::Alert;
/// let falco = Alert::from_slice(br#"{"rule":"r","priority":"Informational","time":"2026-01-01T00:00:00.120000000Z"}"#)?;
/// let sidekick = Alert::from_slice(
///     br#"{"uuid":"1","rule":"r","priority":"info","time":"2026-01-01T00:00:00.12Z","source":"syscalls"}"#,
/// )?;
/// assert_eq!(falco.id(), sidekick.id());
/// assert_eq!(falco.id().to_string().len(), 32);
/// # Ok::<(), falco_event::ReadError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlertId(u128);

/// A text that is not the identity of an alert.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{input}` is no alert id: expected 32 of `0-9` and `a-f`")]
pub struct AlertIdError {
    input: String,
}

impl AlertId {
    pub(crate) fn of(alert: &Alert) -> Self {
        let offender = alert.offender();
        let mut hash = Parts(Sha256::new());
        hash.part("falco-event 1");
        hash.part(alert.rule());
        hash.0.update(alert.time().as_nanosecond().to_be_bytes());
        hash.part(source(alert));
        hash.part(alert.hostname().unwrap_or_default());
        hash.part(if offender.host { "host" } else { "" });
        hash.part(offender.container.as_ref().map_or("", |id| id.short()));
        hash.part(offender.pod_uid.as_ref().map_or("", |uid| uid.as_str()));
        hash.part(offender.namespace.as_ref().map_or("", |name| name.as_str()));
        hash.part(offender.pod.as_ref().map_or("", |name| name.as_str()));
        hash.first_128_bits()
    }

    /// As it is written: 32 hex digits.
    pub(crate) fn digits(self) -> [u8; 32] {
        let mut digits = [0; 32];
        for (pair, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(self.0.to_be_bytes()) {
            *pair = [byte >> 4, byte & 15].map(|digit| {
                if digit < 10 {
                    b'0' + digit
                } else {
                    b'a' - 10 + digit
                }
            });
        }
        digits
    }
}

fn source(alert: &Alert) -> &str {
    match alert.source() {
        _ if alert.rule().starts_with("Falco internal: ") || alert.rule() == "Test rule" => "internal",
        None | Some("syscalls") => "syscall",
        Some(source) => source,
    }
}

struct Parts(Sha256);

impl Parts {
    fn part(&mut self, text: &str) {
        self.0.update((text.len() as u64).to_be_bytes());
        self.0.update(text);
    }

    fn first_128_bits(self) -> AlertId {
        let digest = self.0.finalize();
        AlertId(
            digest
                .iter()
                .take(16)
                .fold(0, |id, byte| id << 8 | u128::from(*byte)),
        )
    }
}

impl fmt::Display for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(std::str::from_utf8(&self.digits()).unwrap_or_default())
    }
}

impl fmt::Debug for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AlertId({self})")
    }
}

impl FromStr for AlertId {
    type Err = AlertIdError;

    fn from_str(text: &str) -> Result<Self, AlertIdError> {
        let digits = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let id = if digits {
            u128::from_str_radix(text, 16).ok()
        } else {
            None
        };
        id.map(Self).ok_or_else(|| AlertIdError { input: excerpt(text) })
    }
}

impl Serialize for AlertId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AlertId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}
