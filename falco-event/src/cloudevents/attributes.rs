//! What the specification says of names and values of attributes, in either mode.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::refusal::Refusal;
use super::{RECORDED_TIME, TYPE};
use crate::excerpt::excerpt;

/// The attributes that the specification defines; the rest are extensions.
pub(super) const CORE: [&str; 8] = [
    "specversion",
    "id",
    "source",
    "type",
    "subject",
    "time",
    "datacontenttype",
    "dataschema",
];

pub(super) const STRING: &str = "expected no control characters and no noncharacters";

/// Attributes as they come, each name once.
#[derive(Debug, Default)]
pub(super) struct Attributes(BTreeMap<String, String>);

impl Attributes {
    /// Adds one, checking its name and value by what holds for all.
    pub(super) fn add(&mut self, name: &str, value: String) -> Result<(), Refusal> {
        if let Some(why) = bad_name(name) {
            return Err(Refusal::invalid(name, why));
        }
        if !value.chars().all(is_allowed) {
            return Err(Refusal::invalid(name, format!("`{}`: {STRING}", excerpt(&value))));
        }
        match self.0.insert(name.to_owned(), value) {
            Some(_) => Err(Refusal::invalid(name, "given twice: expected once")),
            None => Ok(()),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Checks what the specification wants of its own attributes, and that the event is an alert's.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        let version = self.filled("specversion")?;
        if version != "1.0" {
            return Err(Refusal::invalid(
                "specversion",
                format!("`{}`: expected `1.0`", excerpt(version)),
            ));
        }
        self.filled("id")?;
        self.uri("source", self.filled("source")?)?;
        let event_type = self.filled("type")?;
        for name in ["subject", "time", "datacontenttype", "dataschema"] {
            if self.get(name).is_some() {
                self.filled(name)?;
            }
        }
        if let Some(schema) = self.get("dataschema") {
            self.uri("dataschema", schema)?;
        }
        self.time()?;
        if event_type == TYPE {
            Ok(())
        } else {
            Err(Refusal::OtherType {
                found: excerpt(event_type),
            })
        }
    }

    fn filled(&self, name: &str) -> Result<&str, Refusal> {
        match self.get(name) {
            None => Err(Refusal::invalid(name, "absent: expected in every event")),
            Some("") => Err(Refusal::invalid(name, "empty: expected at least one character")),
            Some(value) => Ok(value),
        }
    }

    fn uri(&self, name: &str, value: &str) -> Result<(), Refusal> {
        if is_uri_reference(value) {
            return Ok(());
        }
        Err(Refusal::invalid(
            name,
            format!("`{}`: expected a URI reference (RFC 3986)", excerpt(value)),
        ))
    }

    pub(super) fn time(&self) -> Result<Option<Timestamp>, Refusal> {
        let Some(text) = self.get("time") else {
            return Ok(None);
        };
        let time = rfc3339(text);
        let refuse = || {
            Refusal::invalid(
                "time",
                format!("`{}`: expected a time of RFC 3339", excerpt(text)),
            )
        };
        time.map(Some).ok_or_else(refuse)
    }

    /// Whether the data are JSON by their media type, which is so where none is given.
    pub(super) fn has_json_data(&self) -> bool {
        self.get("datacontenttype").is_none_or(|media_type| {
            let essence = media_type
                .split(';')
                .next()
                .unwrap_or_default()
                .trim()
                .to_ascii_lowercase();
            essence.ends_with("/json") || essence.ends_with("+json")
        })
    }

    /// The time of receipt; a value that is no time is left to stand among the extensions.
    pub(super) fn recorded_time(&self) -> Option<Timestamp> {
        self.get(RECORDED_TIME).and_then(rfc3339)
    }

    pub(super) fn into_map(self) -> BTreeMap<String, String> {
        self.0
    }
}

fn rfc3339(text: &str) -> Option<Timestamp> {
    let separated = matches!(text.as_bytes().get(10), Some(b'T' | b't'));
    if separated && !text.contains('[') {
        text.parse().ok()
    } else {
        None
    }
}

/// What is wrong with an attribute's name.
pub(super) fn bad_name(name: &str) -> Option<&'static str> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    match name {
        "" => Some("empty name: expected `a-z` and `0-9`"),
        "data" => Some("not a name for an attribute: expected the data in the body"),
        _ if !name.bytes().all(allowed) => Some("bad name: expected `a-z` and `0-9`"),
        _ => None,
    }
}

/// CloudEvents' `String`: no control characters and no noncharacters.
pub(super) fn is_allowed(character: char) -> bool {
    let code = u32::from(character);
    !character.is_control() && !matches!(code, 0xFDD0..=0xFDEF) && code & 0xFFFE != 0xFFFE
}

pub(super) fn is_uri_reference(text: &str) -> bool {
    let bytes = text.as_bytes();
    let escaped = |at: usize| {
        bytes
            .get(at + 1..at + 3)
            .is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
    };
    bytes.iter().enumerate().all(|(at, byte)| match byte {
        b'%' => escaped(at),
        b'-' | b'.' | b'_' | b'~' | b':' | b'/' | b'?' | b'#' | b'[' | b']' | b'@' => true,
        b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' => true,
        other => other.is_ascii_alphanumeric(),
    })
}
