//! Signed events: an HMAC over the data, so that nobody between or beside the two ends can make up an alert.

use std::collections::BTreeMap;
use std::fmt;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::excerpt::excerpt;

/// The extension with the signature of the data: HMAC-SHA256 (RFC 2104) in 64 lower-case hex digits.
pub const SIGNATURE: &str = "hmacsha256";

/// The extension with the id of the key that the data are signed with.
pub const KEY_ID: &str = "hmackeyid";

/// The shortest secret in bytes: as long as what it makes.
const SHORTEST: usize = 32;

/// Keys by id. Both ends have them; the first signs, and each verifies, so a key is changed by giving the new one to the
/// receivers, then to the sender as its first, and taking the old one away.
///
/// ```
/// use std::collections::BTreeMap;
/// use falco_event::cloudevents::{KEY_ID, Keys, SIGNATURE};
///
/// let sender = Keys::parse("2026-06 0123456789abcdef0123456789abcdef\n")?;
/// let receiver = Keys::parse("2026-07 fedcba9876543210fedcba9876543210\n2026-06 0123456789abcdef0123456789abcdef\n")?;
/// let signature = sender.sign(b"{}");
/// let extensions: BTreeMap<_, _> = signature.extensions().map(|(name, value)| (name.to_owned(), value.to_owned())).into();
/// assert_eq!(extensions[KEY_ID], "2026-06");
/// assert!(receiver.verify(&extensions, b"{}").is_ok());
/// assert!(receiver.verify(&extensions, b"[]").is_err());
/// # Ok::<(), falco_event::cloudevents::KeysError>(())
/// ```
#[derive(Clone)]
pub struct Keys {
    first: Key,
    others: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    id: String,
    mac: Hmac<Sha256>,
}

/// What a sender says of the data that it signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    key: String,
    hex: String,
}

/// Why a text holds no keys. What it holds instead is not shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// A line is no key.
    #[error(
        "line {line} is no key: expected an id of `a-z`, `0-9`, `-`, `_` and `.`, a blank, and a secret of at least {SHORTEST} characters without blanks"
    )]
    Line {
        /// Counted from 1.
        line: usize,
    },
    /// Two keys have one id.
    #[error("line {line} has the id of another key: expected each once")]
    Twice {
        /// Counted from 1.
        line: usize,
    },
    /// There is no key.
    #[error("no key: expected lines of an id and a secret")]
    Empty,
}

/// Why an event is not one of a sender that has a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Forged {
    /// It says nothing of a signature.
    #[error("no signature: expected the extensions `{KEY_ID}` and `{SIGNATURE}`")]
    Unsigned,
    /// The key is not one of these.
    #[error("signed with key `{id}`: expected one that is known here")]
    UnknownKey {
        /// The id, escaped and short.
        id: String,
    },
    /// The signature is of other data or of another key.
    #[error("the signature does not fit the data")]
    Mismatch,
}

impl Keys {
    /// Reads keys, one a line: its id, a blank, its secret. Blank lines and those with `#` first say nothing.
    ///
    /// The bytes of the secret are the key as they stand; `openssl rand -hex 32` makes a good one.
    ///
    /// # Errors
    /// A line is no key, two have one id, or there is none.
    pub fn parse(text: &str) -> Result<Self, KeysError> {
        let mut keys: Vec<Key> = Vec::new();
        let lines = text.lines().map(str::trim).zip(1..);
        for (text, line) in lines.filter(|(text, _)| !text.is_empty() && !text.starts_with('#')) {
            let key = Key::parse(text).ok_or(KeysError::Line { line })?;
            if keys.iter().any(|other| other.id == key.id) {
                return Err(KeysError::Twice { line });
            }
            keys.push(key);
        }
        let mut keys = keys.into_iter();
        let first = keys.next().ok_or(KeysError::Empty)?;
        Ok(Self {
            first,
            others: keys.collect(),
        })
    }

    /// Signs the data of an event, which are the bytes of its alert, with the first key.
    #[must_use]
    pub fn sign(&self, data: &[u8]) -> Signature {
        let Key { id, mac } = &self.first;
        let code = mac.clone().chain_update(data).finalize().into_bytes();
        Signature {
            key: id.clone(),
            hex: code.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }

    /// Whether the extensions of an event have a signature of these data by one of the keys. The time it takes says
    /// nothing about how much of a wrong signature is right.
    ///
    /// # Errors
    /// There is none, its key is not known, or it is not of these data.
    pub fn verify(&self, extensions: &BTreeMap<String, String>, data: &[u8]) -> Result<(), Forged> {
        let (Some(id), Some(hex)) = (extensions.get(KEY_ID), extensions.get(SIGNATURE)) else {
            return Err(Forged::Unsigned);
        };
        let mut keys = std::iter::once(&self.first).chain(&self.others);
        let key = keys
            .find(|key| key.id == *id)
            .ok_or_else(|| Forged::UnknownKey { id: excerpt(id) })?;
        let code = bytes(hex).ok_or(Forged::Mismatch)?;
        let mac = key.mac.clone().chain_update(data);
        mac.verify_slice(&code).map_err(|_| Forged::Mismatch)
    }
}

impl Key {
    fn parse(line: &str) -> Option<Self> {
        let (id, secret) = line.split_once([' ', '\t'])?;
        let secret = secret.trim_start();
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
        let good = id.len() <= 64 && id.bytes().all(allowed);
        let long = secret.len() >= SHORTEST && !secret.contains(char::is_whitespace);
        let mac = Hmac::new_from_slice(secret.as_bytes()).ok()?;
        (good && long).then(|| Self {
            id: id.to_owned(),
            mac,
        })
    }
}

/// The ids, and nothing of the secrets.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = std::iter::once(&self.first).chain(&self.others);
        f.debug_list().entries(keys.map(|key| &key.id)).finish()
    }
}

impl Signature {
    /// The extensions that an event with this signature has, by name.
    #[must_use]
    pub fn extensions(&self) -> [(&'static str, &str); 2] {
        [(KEY_ID, &self.key), (SIGNATURE, &self.hex)]
    }
}

/// Lower-case hex digits alone, so that one signature has one spelling.
fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    let byte = |[high, low]: &[u8; 2]| Some(digit(*high)? << 4 | digit(*low)?);
    if rest.is_empty() {
        pairs.iter().map(byte).collect()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &str =
        "# keys\n\na 0123456789abcdef0123456789abcdef\nb.2_x-\tffffffffffffffffffffffffffffffff \r\n";

    fn extensions(key: &str, signature: &str) -> BTreeMap<String, String> {
        [(KEY_ID, key), (SIGNATURE, signature)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    #[test]
    fn it_is_hmac_sha256() {
        let keys = Keys::parse("k Jefe-Jefe-Jefe-Jefe-Jefe-Jefe-Jefe-Jefe").unwrap();
        // printf %s 'what do ya want for nothing?' | openssl dgst -sha256 -hmac Jefe-Jefe-Jefe-Jefe-Jefe-Jefe-Jefe-Jefe
        let openssls = "fc5ac09b99a592ff8f9478480617f48d38733893ed809b4dab61d0395af19410";
        assert_eq!(keys.sign(b"what do ya want for nothing?").hex, openssls);
    }

    #[test]
    fn what_is_signed_with_any_key_verifies_and_nothing_else_does() {
        let keys = Keys::parse(KEYS).unwrap();
        let other = Keys::parse(KEYS.replace("a 0123", "a 1123").as_str()).unwrap();
        let second = Keys::parse("b.2_x- ffffffffffffffffffffffffffffffff").unwrap();
        let data = b"{\"rule\":\"r\"}";
        let signed = |signature: &Signature| extensions(&signature.key, &signature.hex);
        assert_eq!(keys.verify(&signed(&keys.sign(data)), data), Ok(()));
        assert_eq!(keys.verify(&signed(&second.sign(data)), data), Ok(()));
        assert_eq!(
            keys.verify(&signed(&other.sign(data)), data),
            Err(Forged::Mismatch)
        );
        assert_eq!(keys.verify(&BTreeMap::new(), data), Err(Forged::Unsigned));
        let Signature { key, hex } = keys.sign(data);
        assert_eq!(
            keys.verify(&BTreeMap::from([(KEY_ID.to_owned(), key.clone())]), data),
            Err(Forged::Unsigned)
        );
        let unknown = keys.verify(&extensions("c\n", &hex), data).unwrap_err();
        assert_eq!(
            unknown.to_string(),
            r"signed with key `c\n`: expected one that is known here"
        );
        assert_eq!(
            keys.verify(&extensions("b.2_x-", &hex), data),
            Err(Forged::Mismatch)
        );
        for wrong in [
            "",
            "00",
            hex.get(2..).unwrap(),
            hex.get(1..).unwrap(),
            &hex.to_uppercase(),
            &format!("{hex}00"),
            &format!("{hex} "),
        ] {
            assert_eq!(
                keys.verify(&extensions(&key, wrong), data),
                Err(Forged::Mismatch),
                "{wrong}"
            );
        }
    }

    #[test]
    fn one_bit_of_the_data_is_enough() {
        let keys = Keys::parse(KEYS).unwrap();
        let data = b"{\"rule\":\"r\"}";
        let Signature { key, hex } = keys.sign(data);
        for at in 0..data.len() * 8 {
            let mut other = *data;
            other[at / 8] ^= 1 << (at % 8);
            assert_eq!(
                keys.verify(&extensions(&key, &hex), &other),
                Err(Forged::Mismatch),
                "bit {at}"
            );
        }
    }

    #[test]
    fn a_wrong_line_is_named_and_no_secret_is_shown() {
        let secret = "0123456789abcdef0123456789abcdef";
        let cases = [
            (String::new(), "no key"),
            (format!("a {secret}\nb short"), "line 2"),
            (format!("A {secret}"), "line 1"),
            (secret.to_owned(), "line 1"),
            (format!("a {secret} more"), "line 1"),
            (format!("{} {secret}", "a".repeat(65)), "line 1"),
            (format!("a {secret}\na {secret}"), "line 2 has the id"),
        ];
        for (text, expected) in cases {
            let error = Keys::parse(&text).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains(secret), "{error}");
        }
        let keys = Keys::parse(KEYS).unwrap();
        assert_eq!(format!("{keys:?}"), r#"["a", "b.2_x-"]"#);
    }
}
