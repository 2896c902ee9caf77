//! Structured mode: the event as a JSON object.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::attributes::{Attributes, CORE};
use super::refusal::Refusal;
use crate::error::{Fault, ReadError};
use crate::excerpt::excerpt;
use crate::json::{ALERT_LEVELS, Scanner, Str, Syntax, unescape};

/// An event's attributes, and its data as JSON text, text or bytes.
pub(super) struct Structured<'a> {
    pub(super) attributes: Attributes,
    pub(super) data: Option<Data<'a>>,
}

pub(super) enum Data<'a> {
    /// JSON where it stands.
    Json(&'a [u8]),
    /// Decoded from `data_base64`.
    Bytes(Vec<u8>),
}

enum Stop {
    Syntax(Syntax),
    Refusal(Refusal),
}

impl From<Syntax> for Stop {
    fn from(syntax: Syntax) -> Self {
        Self::Syntax(syntax)
    }
}

impl<'a> Structured<'a> {
    /// The data as bytes: JSON as it stands, but the text of a string where the data are said not to be JSON.
    pub(super) fn data(&self) -> Cow<'a, [u8]> {
        match &self.data {
            None => Cow::Borrowed(&[]),
            Some(Data::Bytes(bytes)) => Cow::Owned(bytes.clone()),
            Some(Data::Json(json)) => {
                let inside = json.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
                match inside {
                    Some(inside) if !self.attributes.has_json_data() => {
                        let mut text = String::new();
                        unescape(inside, &mut text);
                        Cow::Owned(text.into_bytes())
                    }
                    Some(_) | None => Cow::Borrowed(json),
                }
            }
        }
    }

    pub(super) fn read(body: &'a [u8]) -> Result<Self, Refusal> {
        let mut event = Self {
            attributes: Attributes::default(),
            data: None,
        };
        let mut scan = Scanner::new(body, ALERT_LEVELS + 1);
        scan.object(|scan, key| event.member(scan, &key))
            .map_err(|stop| stop.refusal(body))?;
        match scan.token() {
            None => Ok(event),
            Some(_) => Err(Refusal::Structure(ReadError::new(
                body,
                scan.at(),
                Fault::Trailing,
            ))),
        }
    }

    fn member(&mut self, scan: &mut Scanner<'a>, key: &Str) -> Result<(), Stop> {
        let name = text(scan, key)?;
        let value = match scan.token() {
            Some(b'n') => return Ok(scan.literal("null")?),
            _ if name == "data" => Data::Json(scan_slice(scan)?),
            _ if name == "data_base64" => Data::Bytes(base64(scan)?),
            _ => return self.attribute(scan, &name),
        };
        match self.data.replace(value) {
            Some(_) => Err(Stop::Refusal(Refusal::invalid(
                &name,
                "data given twice: expected once",
            ))),
            None => Ok(()),
        }
    }

    fn attribute(&mut self, scan: &mut Scanner<'a>, name: &str) -> Result<(), Stop> {
        let value = match scan.token() {
            Some(b'"') => {
                let string = scan.string("a string")?;
                text(scan, &string)?
            }
            _ => scalar(name, scan_slice(scan)?)?,
        };
        self.attributes.add(name, value).map_err(Stop::Refusal)
    }
}

impl Stop {
    fn refusal(self, body: &[u8]) -> Refusal {
        match self {
            Self::Refusal(refusal) => refusal,
            Self::Syntax(syntax) => {
                Refusal::Structure(ReadError::new(body, syntax.at, Fault::syntax(body, syntax)))
            }
        }
    }
}

fn scan_slice<'a>(scan: &mut Scanner<'a>) -> Result<&'a [u8], Syntax> {
    let range = scan.skip()?;
    Ok(scan.slice(range))
}

/// A string that must be UTF-8; half a surrogate pair is not refused but read as U+FFFD.
fn text(scan: &Scanner<'_>, string: &Str) -> Result<String, Stop> {
    let inside = scan.slice(string.inside.clone());
    if std::str::from_utf8(inside).is_err() {
        return Err(Stop::Syntax(Syntax {
            at: string.inside.start,
            expected: "UTF-8",
        }));
    }
    let mut text = String::new();
    unescape(inside, &mut text);
    Ok(text)
}

/// Booleans and integers are attributes of extensions; what the specification's own attributes hold are strings.
fn scalar(name: &str, json: &[u8]) -> Result<String, Stop> {
    let text = String::from_utf8_lossy(json);
    let integer = text.parse::<i32>().is_ok();
    if !CORE.contains(&name) && (integer || matches!(&*text, "true" | "false")) {
        return Ok(text.into_owned());
    }
    let expected = if CORE.contains(&name) {
        "a string"
    } else {
        "a string, a boolean or a 32-bit integer"
    };
    Err(Stop::Refusal(Refusal::invalid(
        name,
        format!("`{}`: expected {expected}", excerpt(&text)),
    )))
}

fn base64(scan: &mut Scanner<'_>) -> Result<Vec<u8>, Stop> {
    let string = scan.string("a string of base64")?;
    let refuse = |_| {
        Stop::Refusal(Refusal::invalid(
            "data_base64",
            "not base64: expected RFC 4648 with padding",
        ))
    };
    STANDARD.decode(text(scan, &string)?).map_err(refuse)
}
