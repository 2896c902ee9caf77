//! Who may send alerts: names and passwords, HTTP's Basic scheme.

use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::follow::{Followed, Followers};

/// Marks a password that is kept as its SHA-256.
const HASHED: &str = "{SHA256}";

/// Names and passwords, none of which is kept as it is.
#[derive(Debug)]
pub(crate) struct Credentials(Vec<Pair>);

#[derive(Debug)]
struct Pair {
    user: [u8; 32],
    password: [u8; 32],
}

impl Credentials {
    /// Reads `user:password` or `user:{SHA256}` with the hash in hex, a line each; blank lines and those with `#` first
    /// say nothing.
    ///
    /// # Errors
    /// Which line is wrong. It is not shown.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut pairs = Vec::new();
        for (line, number) in text.lines().zip(1..) {
            let line = line.trim_end_matches('\r');
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let pair = pair(line).ok_or_else(|| {
                format!("line {number} is no credential, expected `user:password` or `user:{HASHED}` with 64 hex digits")
            })?;
            pairs.push(pair);
        }
        if pairs.is_empty() {
            return Err("there is no credential: nobody could send an alert".to_owned());
        }
        Ok(Self(pairs))
    }

    /// Those of a file, as it is from then on.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub(crate) fn follow(path: PathBuf, followers: &mut Followers) -> Result<Arc<Followed<Self>>, String> {
        followers.follow(vec![path], |texts| {
            let text = texts.first().map(Vec::as_slice).unwrap_or_default();
            Self::parse(std::str::from_utf8(text).map_err(|_| "it is not UTF-8")?)
        })
    }

    /// Whether a request shows one of them. The time that it takes depends on how many there are, not on what is shown.
    pub(crate) fn admit(&self, headers: &HeaderMap) -> bool {
        let mut all = headers.get_all(AUTHORIZATION).iter();
        let (Some(header), None) = (all.next(), all.next()) else {
            return false;
        };
        let Some(shown) = shown(header) else {
            return false;
        };
        let admitted = self.0.iter().fold(Choice::from(0), |admitted, pair| {
            admitted | (pair.user.ct_eq(&shown.user) & pair.password.ct_eq(&shown.password))
        });
        admitted.into()
    }
}

fn pair(line: &str) -> Option<Pair> {
    let (user, password) = line.split_once(':')?;
    if user.is_empty() || password.is_empty() {
        return None;
    }
    let password = match password.strip_prefix(HASHED) {
        Some(hex) => from_hex(hex)?,
        None => hash(password.as_bytes()),
    };
    Some(Pair {
        user: hash(user.as_bytes()),
        password,
    })
}

fn shown(header: &HeaderValue) -> Option<Pair> {
    let (scheme, encoded) = header.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = STANDARD.decode(encoded.trim()).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let (user, password) = decoded.split_at_checked(colon)?;
    Some(Pair {
        user: hash(user),
        password: hash(password.get(1..)?),
    })
}

fn hash(text: &[u8]) -> [u8; 32] {
    Sha256::digest(text).into()
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let (digits, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |[high, low]: &[u8; 2]| u8::try_from(digit(*high)? * 16 + digit(*low)?).ok();
    let bytes: Option<Vec<u8>> = digits.iter().map(byte).collect();
    if rest.is_empty() {
        bytes?.try_into().ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(credentials: &Credentials, authorization: &str) -> bool {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, authorization.parse().unwrap())]);
        credentials.admit(&headers)
    }

    fn basic(pair: &str) -> String {
        format!("Basic {}", STANDARD.encode(pair))
    }

    #[test]
    fn who_shows_one_of_them_is_admitted() {
        let text = "# comment\n\nfalco:s3:cret\r\nother:{SHA256}BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD\n";
        let credentials = Credentials::parse(text).unwrap();
        for pair in ["falco:s3:cret", "other:abc"] {
            assert!(admit(&credentials, &basic(pair)), "{pair}");
            assert!(
                admit(&credentials, &basic(pair).replace("Basic", "bASIC")),
                "{pair}"
            );
        }
        for pair in [
            "falco:abc",
            "other:s3:cret",
            "falco:",
            ":",
            "falco",
            "",
            "Falco:s3:cret",
            "falco:s3:cret ",
        ] {
            assert!(!admit(&credentials, &basic(pair)), "{pair}");
        }
        for header in ["", "Basic", "Basic ", "Basic ?", "Bearer ZmFsY286czM6Y3JldA=="] {
            assert!(!admit(&credentials, header), "{header}");
        }
        assert!(!credentials.admit(&HeaderMap::new()));
        let mut twice = HeaderMap::new();
        for _ in 0..2 {
            twice.append(AUTHORIZATION, basic("other:abc").parse().unwrap());
        }
        assert!(!credentials.admit(&twice));
    }

    #[test]
    fn a_wrong_line_is_named_and_not_shown() {
        for (text, line) in [
            ("falco:a\ns3cret", "line 2"),
            (":s3cret", "line 1"),
            ("falco:", "line 1"),
            ("falco:{SHA256}s3cret", "line 1"),
            ("falco:{SHA256}", "line 1"),
            ("# a\n", "no credential"),
        ] {
            let why = Credentials::parse(text).unwrap_err();
            assert!(why.contains(line) && !why.contains("s3cret"), "{why}");
        }
    }

    #[test]
    fn nothing_of_them_is_in_what_is_printed() {
        let credentials = Credentials::parse("falco:s3cret").unwrap();
        assert!(!format!("{credentials:?}").contains("s3cret"));
    }
}
