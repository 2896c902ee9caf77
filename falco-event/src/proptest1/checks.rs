//! What holds for any input at all: the properties that property tests and fuzzers share. Hidden: no part of the API.

use serde::de::IgnoredAny;

use crate::alert::Alert;
use crate::body::read_all;
use crate::edit::Edit;
use crate::error::{Fault, ReadError};

/// A property that does not hold, and for what.
pub type Check = Result<(), String>;

fn check(holds: bool, what: &str, of: &dyn std::fmt::Debug) -> Check {
    if holds {
        Ok(())
    } else {
        Err(format!("{what}: {of:?}"))
    }
}

/// Reading any body: no panic, at least one item, each alert a piece of the body, and the same when it is read again;
/// in work that grows with the body and not with its square.
///
/// # Errors
/// Says which property does not hold.
pub fn body(bytes: &[u8]) -> Check {
    let mut items = 0_usize;
    let mut reads = read_all(bytes);
    for read in reads.by_ref() {
        items += 1;
        match read {
            Ok(alert) => {
                let text = alert.as_bytes();
                check(
                    bytes.windows(text.len()).any(|window| window == text),
                    "not a piece of the body",
                    &alert,
                )?;
                again(&alert)?;
                edited(&alert)?;
            }
            Err(error) => message(&error, bytes)?,
        }
    }
    check(
        items > 0 && items <= bytes.len().max(1),
        "a number of items that cannot be",
        &items,
    )?;
    let most = 125 * bytes.len();
    check(reads.looks() <= most, "too many looks", &reads.looks())?;
    one(bytes)
}

/// Reading one alert agrees with `serde_json` on what is JSON.
fn one(bytes: &[u8]) -> Check {
    let read = Alert::from_slice(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Ok(());
    };
    let json = serde_json::from_str::<IgnoredAny>(text.strip_prefix('\u{feff}').unwrap_or(text)).is_ok();
    match read {
        Ok(alert) => check(json, "an alert that is not JSON", &alert),
        Err(error) => match error.fault() {
            Fault::Syntax { expected, .. } => {
                let other = expected.starts_with("an ") || expected.starts_with("fewer levels");
                check(!json || other, "JSON that is refused", &error)
            }
            Fault::Empty | Fault::Trailing => check(!json, "JSON that is refused", &error),
            Fault::Missing { .. } | Fault::Member { .. } | Fault::TooLong => Ok(()),
        },
    }
}

/// An alert read again from its bytes, or from what is written anew, is the same.
///
/// # Errors
/// Says which property does not hold.
pub fn again(alert: &Alert) -> Check {
    let bytes = Alert::from_slice(alert.as_bytes()).map_err(|error| format!("its own bytes: {error}"))?;
    check(
        bytes == *alert && bytes.says_same(alert) && bytes.id() == alert.id(),
        "not the same",
        alert,
    )?;
    let anew = serde_json::to_vec(alert).map_err(|error| format!("not written anew: {error}"))?;
    let anew = Alert::from_slice(&anew).map_err(|error| format!("what was written anew: {error}"))?;
    check(
        anew.says_same(alert) && anew.id() == alert.id(),
        "not the same when written anew",
        alert,
    )
}

/// An edit changes the fields and tags that it names, and nothing else that can be asked; the other values stay byte for
/// byte, and the same edit is the same bytes.
///
/// # Errors
/// Says which property does not hold.
pub fn edited(alert: &Alert) -> Check {
    let edit = || Edit::default().field("edited", "\"\n").tag("edited");
    let new = alert.edited(&edit());
    check(
        new.edited(&edit()) == new,
        "an edit that adds again what is there",
        alert,
    )?;
    let field = new.fields().raw("edited").and_then(|value| value.as_str());
    check(
        field == Some("\"\n") && new.tags().any(|tag| tag == "edited"),
        "an edit without effect",
        alert,
    )?;
    let rest = |alert: &Alert| {
        let fields = alert.fields().iter().filter(|(name, _)| *name != "edited");
        let mut fields: Vec<_> = fields.map(|(name, value)| format!("{name}={value:?}")).collect();
        // Of a name that was written twice the place may change.
        fields.sort();
        let tags: Vec<_> = alert
            .tags()
            .filter(|tag| *tag != "edited")
            .map(str::to_owned)
            .collect();
        (fields, tags)
    };
    check(
        rest(&new) == rest(alert),
        "an edit that changes other fields or tags",
        alert,
    )?;
    let same = (
        new.rule(),
        new.time(),
        new.output(),
        new.message(),
        new.hostname(),
    ) == (
        alert.rule(),
        alert.time(),
        alert.output(),
        alert.message(),
        alert.hostname(),
    );
    let same = same && new.others().eq(alert.others()) && new.id() == alert.id();
    check(same, "an edit that changes the envelope", alert)
}

fn message(error: &ReadError, bytes: &[u8]) -> Check {
    let text = error.to_string();
    check(
        !text.chars().any(char::is_control),
        "a message with a control character",
        &text,
    )?;
    check(text.len() < 1000, "a long message", &text)?;
    check(error.offset() <= bytes.len(), "a place beyond the body", error)
}

/// Receiving any request: no panic, and what is accepted can be sent and received again.
///
/// The bytes are headers as `name: value` lines, an empty line, and the body.
///
/// # Errors
/// Says which property does not hold.
#[cfg(feature = "cloudevents")]
pub fn request(bytes: &[u8]) -> Check {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = match end {
        Some(end) => (bytes.get(..end), bytes.get(end + 2..)),
        None => (Some(bytes), None),
    };
    let headers = headers(head.unwrap_or_default());
    match crate::cloudevents::receive(&headers, body.unwrap_or_default()) {
        Ok(received) => {
            check(
                !received.id.is_empty() && !received.source.is_empty(),
                "an empty attribute",
                &received,
            )?;
            sent(&received.alert)
        }
        Err(refusal) => {
            let text = refusal.to_string();
            check(
                !text.chars().any(char::is_control),
                "a message with a control character",
                &text,
            )
        }
    }
}

#[cfg(feature = "cloudevents")]
fn headers(head: &[u8]) -> http::HeaderMap {
    let line = |line: &[u8]| {
        let colon = line.iter().position(|b| *b == b':')?;
        let name = http::HeaderName::from_bytes(line.get(..colon)?).ok()?;
        let value = http::HeaderValue::from_bytes(line.get(colon + 1..)?.trim_ascii()).ok()?;
        Some((name, value))
    };
    let mut headers = http::HeaderMap::new();
    for (name, value) in head.split(|b| *b == b'\n').filter_map(line) {
        headers.append(name, value);
    }
    headers
}

/// An alert sent in structured mode is received with the same bytes; through an `Event`, with the same values.
///
/// # Errors
/// Says which property does not hold.
#[cfg(feature = "cloudevents")]
pub fn sent(alert: &Alert) -> Check {
    use crate::cloudevents::{CONTENT_TYPE, Sender, receive};
    let now = jiff::Timestamp::UNIX_EPOCH;
    let event = Sender::default().structured(alert, now);
    let mut headers = http::HeaderMap::new();
    headers.insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static(CONTENT_TYPE),
    );
    let received = receive(&headers, &event).map_err(|refusal| format!("our own event: {refusal}"))?;
    check(received.alert == *alert, "other bytes", alert)?;
    check(
        received.id == alert.id().to_string() && received.alert.id() == alert.id(),
        "another id",
        alert,
    )?;
    check(
        (received.time, received.received) == (Some(alert.time()), Some(now)),
        "another time",
        alert,
    )?;
    #[cfg(feature = "signed")]
    signed(alert, &headers)?;
    let event = cloudevents::Event::from(alert);
    let back = Alert::try_from(&event).map_err(|refusal| format!("our own event: {refusal}"))?;
    check(
        back.says_same(alert) && back.id() == alert.id(),
        "not the same through an event",
        alert,
    )?;
    let json = serde_json::to_vec(&event).map_err(|error| format!("the SDK in structured mode: {error}"))?;
    relayed(alert, &headers, &json)?;
    let request = http::Request::<Option<Vec<u8>>>::try_from(event)
        .map_err(|error| format!("the SDK in binary mode: {error}"))?;
    relayed(
        alert,
        request.headers(),
        request.body().as_deref().unwrap_or_default(),
    )
}

/// The alert's signed event verifies, and does not as another alert's.
#[cfg(feature = "signed")]
fn signed(alert: &Alert, headers: &http::HeaderMap) -> Check {
    use crate::cloudevents::{Keys, Sender, receive};
    let keys = Keys::parse("a 0123456789abcdef0123456789abcdef").map_err(|error| error.to_string())?;
    let event = Sender::default().signed(alert, jiff::Timestamp::UNIX_EPOCH, &keys);
    let received = receive(headers, &event).map_err(|refusal| format!("our signed event: {refusal}"))?;
    let data = received.alert.as_bytes();
    check(
        keys.verify(&received.extensions, data).is_ok(),
        "signed, and does not verify",
        alert,
    )?;
    let other = [data, b" "].concat();
    check(
        keys.verify(&received.extensions, &other).is_err(),
        "a signature of anything",
        alert,
    )
}

/// What the SDK made of the alert's event is received, and says the same.
#[cfg(feature = "cloudevents")]
fn relayed(alert: &Alert, headers: &http::HeaderMap, body: &[u8]) -> Check {
    let received = crate::cloudevents::receive(headers, body)
        .map_err(|refusal| format!("relayed: {refusal}: {alert:?}"))?;
    check(
        received.alert.says_same(alert) && received.alert.id() == alert.id(),
        "not the same when relayed",
        alert,
    )
}
