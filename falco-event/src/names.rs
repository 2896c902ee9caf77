//! Names that an alert gives to Kubernetes objects. A value of one of these types is right: it can be put into a
//! URL path, a log line or a label without a second look, because nothing but a valid name builds it.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::excerpt::excerpt;

/// A text that is not the name it was taken for.
///
/// ```
/// let refused = "shop/../kube-system".parse::<falco_event::Namespace>().unwrap_err();
/// assert!(refused.to_string().starts_with("`shop/../kube-system` is no namespace: expected a DNS label"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{input}` is no {name}: expected {expected}")]
pub struct NameError {
    name: &'static str,
    input: String,
    expected: &'static str,
}

impl NameError {
    fn new(name: &'static str, input: &str, expected: &'static str) -> Self {
        Self {
            name,
            input: excerpt(input),
            expected,
        }
    }

    /// Which name was wanted: `namespace`, `pod name`, ...
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What was there: escaped, and at most 64 characters of it.
    #[must_use]
    pub fn input(&self) -> &str {
        &self.input
    }

    /// What a valid name looks like.
    #[must_use]
    pub fn expected(&self) -> &'static str {
        self.expected
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident($text:ty), $name:literal, $check:path, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type($text);

        impl $type {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<&str> for $type {
            type Error = NameError;

            fn try_from(text: &str) -> Result<Self, NameError> {
                if $check(text) { Ok(Self(text.into())) } else { Err(NameError::new($name, text, $expected)) }
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::try_from(text.as_str())
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::try_from(text)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq<str> for $type {
            fn eq(&self, text: &str) -> bool {
                self.as_str() == text
            }
        }

        impl PartialEq<&str> for $type {
            fn eq(&self, text: &&str) -> bool {
                self.as_str() == *text
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($type), self.as_str())
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::try_from(text).map_err(serde::de::Error::custom)
            }
        }
    };
}

name!(
    /// The name of a namespace: a DNS label (RFC 1123) of at most 63 bytes.
    ///
    /// ```
    /// use falco_event::Namespace;
    ///
    /// let ours = std::collections::BTreeSet::from(["shop".parse::<Namespace>()?]);
    /// assert!(ours.contains("shop") && ours.iter().all(|name| name == "shop"));
    /// # Ok::<(), falco_event::NameError>(())
    /// ```
    Namespace(Arc<str>),
    "namespace",
    is_label,
    "a DNS label: 1 to 63 of `a-z`, `0-9` and `-`, a letter or digit at both ends"
);
name!(
    /// The name of a pod: a DNS subdomain (RFC 1123) of at most 253 bytes.
    PodName(Arc<str>),
    "pod name",
    is_subdomain,
    "a DNS name: 1 to 253 of `a-z`, `0-9`, `-` and `.`, a letter or digit at both ends of each part"
);
name!(
    /// The name of a node: a DNS subdomain (RFC 1123) of at most 253 bytes.
    NodeName(Arc<str>),
    "node name",
    is_subdomain,
    "a DNS name: 1 to 253 of `a-z`, `0-9`, `-` and `.`, a letter or digit at both ends of each part"
);
name!(
    /// A pod's `metadata.uid`. An API server gives a UUID; a static pod has, on its node, a hash of 32 hex digits
    /// instead. Both are letters, digits and dashes, at most 64; more is not asked, because Kubernetes calls it opaque.
    PodUid(Arc<str>),
    "pod UID",
    is_uid,
    "1 to 64 letters, digits and `-`, a letter or digit at both ends"
);
name!(
    /// A container's id: 12 hex digits, as Falco cuts it, or all 64.
    ///
    /// ```
    /// use falco_event::ContainerId;
    /// let falco: ContainerId = "f29b261f8831".parse()?;
    /// let status = ContainerId::from_status(
    ///     "containerd://f29b261f8831aa0f2b9c1d6a0b6f0e5c4d3b2a190817263544536271809fabcd",
    /// )?;
    /// assert!(falco.matches(&status));
    /// # Ok::<(), falco_event::NameError>(())
    /// ```
    ContainerId(Digits),
    "container id",
    is_container_id,
    "12 or 64 of `0-9` and `a-f`"
);

/// The digits of a container's id, in place: it is in most alerts, and needs no allocation of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Digits {
    /// Zeros after the end, so that the order is the order of texts.
    bytes: [u8; 64],
    len: u8,
}

impl From<&str> for Digits {
    fn from(text: &str) -> Self {
        let mut digits = Self {
            bytes: [0; 64],
            len: 0,
        };
        for (byte, digit) in digits.bytes.iter_mut().zip(text.bytes()) {
            *byte = digit;
            digits.len += 1;
        }
        digits
    }
}

impl Deref for Digits {
    type Target = str;

    fn deref(&self) -> &str {
        let digits = self.bytes.get(..usize::from(self.len)).unwrap_or_default();
        std::str::from_utf8(digits).unwrap_or_default()
    }
}

/// A set of these can be asked for text. Container ids are kept in another form.
macro_rules! borrow {
    ($($type:ident),*) => {$(
        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    )*};
}

borrow!(Namespace, PodName, PodUid, NodeName);

impl ContainerId {
    /// Reads what a pod's status says, `<runtime>://<id>`, or a bare id.
    ///
    /// # Errors
    /// What is left after the runtime is not 12 or 64 lower-case hex digits.
    pub fn from_status(text: &str) -> Result<Self, NameError> {
        Self::try_from(text.split_once("://").map_or(text, |(_, id)| id))
    }

    /// Whether both are ids of one container: equal as far as the shorter one goes.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.0.starts_with(other.as_str()) || other.0.starts_with(self.as_str())
    }

    /// The first 12 digits, which is what Falco's `container.id` holds.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

fn is_label(text: &str) -> bool {
    text.len() <= 63 && is_dns_part(text.as_bytes())
}

/// As Kubernetes checks it: the length of a part is bounded only by that of the whole.
fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.as_bytes().split(|&b| b == b'.').all(is_dns_part)
}

fn is_dns_part(part: &[u8]) -> bool {
    let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    let end = |b: Option<&u8>| b.is_some_and(|b| *b != b'-');
    part.iter().all(inner) && end(part.first()) && end(part.last())
}

fn is_uid(text: &str) -> bool {
    let bytes = text.as_bytes();
    let end = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    bytes.len() <= 64
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
        && end(bytes.first())
        && end(bytes.last())
}

fn is_container_id(text: &str) -> bool {
    matches!(text.len(), 12 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}
