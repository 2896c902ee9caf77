//! Every event that is sent has the shape that CloudEvents 1.0 gives it: the constraints of the specification's JSON
//! Schema (`formats/cloudevents.json`), of its JSON format and of its attributes, written here once more.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use falco_event::cloudevents::{Overrides, Sender, parse_overrides};
use falco_event::{Alert, Timestamp, proptest1 as generate};
use proptest::prelude::*;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of an event, each once, as they are written.
struct Event(BTreeMap<String, Box<RawValue>>);

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Event;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Event, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    if members.insert(name, value).is_some() {
                        return Err(serde::de::Error::custom("a member that is there twice"));
                    }
                }
                Ok(Event(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// The bytes of the data, and the attributes; or what is wrong with them.
fn shape(event: &[u8]) -> Result<(Vec<u8>, BTreeMap<String, String>), String> {
    let Event(mut members) = serde_json::from_slice(event).map_err(|error| error.to_string())?;
    let data = match (members.remove("data"), members.remove("data_base64")) {
        (Some(data), None) => data.get().as_bytes().to_vec(),
        (None, Some(data)) => {
            let text: String = serde_json::from_str(data.get()).map_err(|error| error.to_string())?;
            STANDARD.decode(text).map_err(|error| error.to_string())?
        }
        _ => return Err("not exactly one of `data` and `data_base64`".to_owned()),
    };
    let mut attributes = BTreeMap::new();
    for (name, value) in members {
        let text = serde_json::from_str::<String>(value.get());
        let text = text.map_err(|_| format!("`{name}` is no string: {value}"))?;
        attribute(&name, &text).map_err(|why| format!("`{name}`: {why}: {text:?}"))?;
        attributes.insert(name, text);
    }
    for name in ["specversion", "id", "source", "type"] {
        attributes
            .get(name)
            .ok_or_else(|| format!("`{name}` is required"))?;
    }
    Ok((data, attributes))
}

fn attribute(name: &str, text: &str) -> Result<(), &'static str> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    if name.is_empty() || !name.bytes().all(allowed) {
        return Err("a name of something other than `a-z` and `0-9`");
    }
    if !text.chars().all(is_of_a_string) {
        return Err("a character that no string may have");
    }
    let right = match name {
        "specversion" => text == "1.0",
        "id" | "type" | "subject" => !text.is_empty(),
        "source" => !text.is_empty() && is_uri_reference(text),
        "dataschema" => text.contains(':') && is_uri_reference(text),
        "datacontenttype" => text
            .split_once('/')
            .is_some_and(|(a, b)| !a.is_empty() && !b.is_empty()),
        "time" | "recordedtime" => is_rfc3339(text),
        _ => !text.is_empty(),
    };
    if right {
        Ok(())
    } else {
        Err("a value that it cannot have")
    }
}

/// No control characters, and no code points that are never characters.
fn is_of_a_string(c: char) -> bool {
    !matches!(c, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{fdd0}'..='\u{fdef}')
        && !matches!(u32::from(c) & 0xffff, 0xfffe | 0xffff)
}

fn is_uri_reference(text: &str) -> bool {
    text.bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&b))
}

/// `date-time` of RFC 3339, section 5.6, in UTC, as the sender writes it.
fn is_rfc3339(text: &str) -> bool {
    let digit = |b: u8| if b.is_ascii_digit() { b'0' } else { b };
    let form: Vec<u8> = text.bytes().map(digit).collect();
    let Some(fraction) = form
        .strip_prefix(b"0000-00-00T00:00:00")
        .and_then(|rest| rest.strip_suffix(b"Z"))
    else {
        return false;
    };
    let has_digits = fraction
        .strip_prefix(b".")
        .is_some_and(|digits| !digits.is_empty() && digits.iter().all(|b| *b == b'0'));
    (fraction.is_empty() || has_digits) && text.parse::<Timestamp>().is_ok()
}

/// Alerts, one of four with a byte that is not UTF-8.
fn alert() -> impl Strategy<Value = Alert> {
    let spoil = prop::sample::select(vec![false, false, false, true]);
    (generate::alert(), spoil).prop_map(|(alert, spoil)| {
        if !spoil {
            return alert;
        }
        let all = alert.as_bytes();
        let open = all.get(..all.len() - 1).unwrap();
        Alert::from_slice(&[open, b",\"odd\":\"\xff\"}"].concat()).unwrap()
    })
}

/// What an operator may set: half nothing, else up to three extensions, the sender's own among them.
fn overrides() -> impl Strategy<Value = Overrides> {
    let name = prop_oneof![
        "[a-z0-9]{1,20}",
        prop::sample::select(vec!["rule", "pod", "tags"]).prop_map(str::to_owned)
    ];
    let extensions = prop::collection::btree_map(name, "[ -~é€😀]{1,20}", 0..4);
    let parsed = extensions.prop_filter_map("extensions", |extensions| {
        parse_overrides(&serde_json::json!({ "extensions": extensions }).to_string()).ok()
    });
    prop_oneof![Just(Overrides::default()), parsed]
}

proptest! {
    #[test]
    fn every_event_has_the_shape_of_the_specification(
        alert in alert(),
        received in 0_i64..253_402_207_200,
        overrides in overrides(),
    ) {
        let expected: Vec<_> = overrides.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let received = Timestamp::from_second(received).unwrap();
        let event = Sender::default().with_overrides(overrides).structured(&alert, received);
        let (data, attributes) = match shape(&event) {
            Ok(shape) => shape,
            Err(why) => return Err(TestCaseError::fail(format!("{why}: {}", String::from_utf8_lossy(&event)))),
        };
        prop_assert_eq!(data, alert.as_bytes());
        prop_assert_eq!(attributes["time"].parse::<Timestamp>().unwrap(), alert.time());
        prop_assert_eq!(&attributes["id"], &alert.id().to_string());
        for (name, value) in expected {
            prop_assert_eq!(&attributes[&name], &value);
        }
    }
}

/// RFC 3339 has years of four digits, and no other.
#[test]
fn a_time_that_no_event_can_have_is_refused() {
    for time in [
        r#""-000001-12-31T23:59:59Z""#,
        r#"{"seconds":-62167219201,"nanos":0}"#,
    ] {
        let text = format!(r#"{{"rule":"r","priority":1,"time":{time}}}"#);
        let error = Alert::from_slice(text.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("`time` is `"), "{error}");
    }
    for time in [
        r#""0000-01-01T00:00:00Z""#,
        r#"{"seconds":-62167219200,"nanos":0}"#,
        r#""9999-12-30T22:00:00Z""#,
    ] {
        let text = format!(r#"{{"rule":"r","priority":1,"time":{time}}}"#);
        let alert = Alert::from_slice(text.as_bytes()).unwrap();
        shape(&Sender::default().structured(&alert, Timestamp::UNIX_EPOCH)).unwrap();
    }
}

/// The check finds what it is there to find.
#[test]
fn what_has_not_the_shape_is_told() {
    let good = r#"{"specversion":"1.0","id":"1","source":"/","type":"t","time":"2026-01-01T00:00:00.5Z","rule":"r","data":{}}"#;
    assert_eq!(shape(good.as_bytes()).map(|(data, _)| data), Ok(b"{}".to_vec()));
    for (from, to) in [
        (r#""id":"1""#, r#""id":"""#),
        (r#""id":"1","#, ""),
        (r#""source":"/""#, r#""source":"a b""#),
        (r#""type":"t""#, r#""type":7"#),
        ("1.0", "0.3"),
        ("00.5Z", "00.Z"),
        ("2026-", "-002026-"),
        (r#""rule":"r""#, r#""Rule":"r""#),
        (r#""rule":"r""#, r#""rule":"\u0007""#),
        (r#""rule":"r""#, r#""rule":"\uffff""#),
        (r#""rule":"r""#, r#""rule":null"#),
        (r#""rule":"r""#, r#""rule":"r","rule":"r""#),
        (r#","data":{}"#, ""),
        (r#""data":{}"#, r#""data":{},"data_base64":"e30=""#),
        (r#""data":{}"#, r#""data_base64":"e30""#),
    ] {
        let bad = good.replacen(from, to, 1);
        assert!(bad != good && shape(bad.as_bytes()).is_err(), "{bad}");
    }
}
