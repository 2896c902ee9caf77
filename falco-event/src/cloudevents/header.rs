//! Binary mode: attributes in headers.

use http::{HeaderMap, HeaderValue};

use super::attributes::{Attributes, is_allowed};
use super::refusal::Refusal;

const PREFIX: &str = "ce-";

/// Whether a request claims to be an event in binary mode.
pub(super) fn has_attributes(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| name.as_str().starts_with(PREFIX))
}

/// The attributes of an event in binary mode; `content-type` is its `datacontenttype`, and a header of that name is
/// not looked at.
pub(super) fn attributes(headers: &HeaderMap, content_type: Option<String>) -> Result<Attributes, Refusal> {
    let mut attributes = Attributes::default();
    for (header, value) in headers {
        if let Some(name) = header.as_str().strip_prefix(PREFIX)
            && name != "datacontenttype"
        {
            attributes.add(name, decode(name, value)?)?;
        }
    }
    if let Some(content_type) = content_type.filter(|value| !value.is_empty()) {
        attributes.add("datacontenttype", content_type)?;
    }
    Ok(attributes)
}

/// Whether a value that is written into a header as it stands, which is what Knative does, is a value when it is read.
pub(super) fn carries(value: &str) -> bool {
    let read = String::from_utf8(percent_decoded(&unquoted(value.as_bytes())));
    read.is_ok_and(|text| text.chars().all(is_allowed))
}

/// Quotes, then percent-encoding, as the HTTP binding wants (3.1.3.2). Knative sends neither, but raw blanks and raw
/// UTF-8, so both are let through, and a `%` that starts no escape stands for itself.
fn decode(name: &str, value: &HeaderValue) -> Result<String, Refusal> {
    let bytes = percent_decoded(&unquoted(value.as_bytes()));
    String::from_utf8(bytes)
        .map_err(|_| Refusal::invalid(name, "not UTF-8: expected UTF-8, or UTF-8 in percent-encoding"))
}

fn unquoted(bytes: &[u8]) -> Vec<u8> {
    let Some(inside) = bytes
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""))
    else {
        return bytes.to_vec();
    };
    let mut text = Vec::with_capacity(inside.len());
    let mut rest = inside.iter();
    while let Some(&byte) = rest.next() {
        let escaped = if byte == b'\\' { rest.next() } else { None };
        text.push(escaped.copied().unwrap_or(byte));
    }
    text
}

fn percent_decoded(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'%'
            && let Some(decoded) = after.get(..2).and_then(hex)
        {
            text.push(decoded);
            rest = after.get(2..).unwrap_or_default();
        } else {
            text.push(byte);
            rest = after;
        }
    }
    text
}

fn hex(digits: &[u8]) -> Option<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let [high, low] = digits else { return None };
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}
