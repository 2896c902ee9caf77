//! cloudevents-sdk as the oracle: where it can say something, it says the same.
//!
//! Where it falls short (it does not decode percent-encoding, refuses what is not ASCII, checks no names and no empty
//! attributes), `tests/cloudevents.rs` has the specification's word.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::collections::BTreeMap;

use cloudevents::binding::http::to_event;
use cloudevents::event::ExtensionValue;
use cloudevents::{AttributesReader, Data, Event};
use falco_event::cloudevents::{CONTENT_TYPE, Received, Sender, TYPE, receive};
use falco_event::proptest1 as generate;
use falco_event::{Alert, Timestamp};
use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn structured_mode() -> HeaderMap {
    HeaderMap::from_iter([(http::header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE))])
}

fn extensions(event: &Event) -> BTreeMap<String, String> {
    let text = |value: &ExtensionValue| value.to_string();
    event
        .iter_extensions()
        .map(|(name, value)| (name.to_owned(), text(value)))
        .collect()
}

fn same(event: &Event, received: &Received) -> Result<(), TestCaseError> {
    prop_assert_eq!(event.id(), &received.id);
    prop_assert_eq!(event.source().to_string(), received.source.as_str());
    prop_assert_eq!(event.subject(), received.subject.as_deref());
    let time = event
        .time()
        .map(|time| time.to_rfc3339().parse::<Timestamp>().unwrap());
    prop_assert_eq!(time, received.time);
    prop_assert_eq!(extensions(event), received.extensions.clone());
    Ok(())
}

/// Names of extensions that no attribute of the specification has.
fn extension_names() -> impl Strategy<Value = String> {
    "x[a-z0-9]{1,10}"
}

/// Few, so that the tests are fast; more by `PROPTEST_CASES`.
fn cases() -> ProptestConfig {
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    if asked {
        ProptestConfig::default()
    } else {
        ProptestConfig::with_cases(64)
    }
}

proptest! {
    #![proptest_config(cases())]

    /// What we send, the SDK reads.
    #[test]
    fn the_sdk_reads_what_is_sent(alert in generate::alert()) {
        let sent = Sender::default().structured(&alert, NOW);
        let event: Event = serde_json::from_slice(&sent).or_else(|_| without_surrogates(&sent)).unwrap();
        let received = receive(&structured_mode(), &sent).unwrap();
        same(&event, &received)?;
        prop_assert_eq!(event.ty(), TYPE);
        prop_assert_eq!(event.datacontenttype(), Some("application/json"));
        prop_assert_eq!(&received.alert, &alert);
    }

    /// What the SDK sends, we read: structured mode, and the values are all there.
    #[test]
    fn what_the_sdk_sends_structured_is_received(alert in generate::alert()) {
        let event = Event::from(&alert);
        let received = receive(&structured_mode(), &serde_json::to_vec(&event).unwrap()).unwrap();
        same(&event, &received)?;
        prop_assert!(received.alert.says_same(&alert));
        prop_assert_eq!(received.alert.id(), alert.id());
    }

    /// Binary mode, with raw blanks, raw UTF-8 and raw `%` as the SDK of Go writes them too. The alert arrives whatever
    /// the headers make of its rule.
    #[test]
    fn what_the_sdk_sends_binary_is_received(alert in generate::alert()) {
        let event = Event::from(&alert);
        let request = http::Request::<Option<Vec<u8>>>::try_from(event.clone()).unwrap();
        let body = request.body().clone().unwrap_or_default();
        let received = receive(request.headers(), &body).unwrap();
        let plain = |text: &str| !text.contains(['%', '"']);
        if plain(alert.rule()) && alert.tags().all(plain) {
            same(&event, &received)?;
        }
        prop_assert!(received.alert.says_same(&alert));
    }

    /// Any request in binary mode that both accept means the same to both; what only the SDK accepts, we have a reason
    /// to refuse.
    #[test]
    fn binary_requests_mean_the_same(
        alert in generate::alert(),
        id in "[!-~&&[^%\"]]{0,12}",
        source in prop::sample::select(vec!["https://falco.org", "falco.org", "/a/b?c#d", ""]),
        subject in prop::option::of("[ -~&&[^%\"]]{0,12}"),
        extras in prop::collection::btree_map(extension_names(), "[ -~&&[^%\"]]{0,12}", 0..4),
    ) {
        let mut headers = HeaderMap::new();
        let mut set = |name: &str, value: &str| {
            headers.insert(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        };
        for (name, value) in [("ce-specversion", "1.0"), ("ce-type", TYPE), ("ce-id", &id), ("ce-source", source)] {
            set(name, value);
        }
        if let Some(subject) = &subject {
            set("ce-subject", subject);
        }
        for (name, value) in &extras {
            set(&format!("ce-{name}"), value);
        }
        let event = to_event(&headers, alert.as_bytes().to_vec()).unwrap();
        match receive(&headers, alert.as_bytes()) {
            Ok(received) => {
                same(&event, &received)?;
                prop_assert_eq!(received.alert, alert);
            }
            Err(_) => prop_assert!(id.is_empty() || source.is_empty() || subject.is_some_and(|subject| subject.is_empty())),
        }
    }
}

/// `serde_json` refuses half a surrogate pair, which is kept in `data` as it came: read the event without its data.
fn without_surrogates(sent: &[u8]) -> Result<Event, serde_json::Error> {
    let text = std::str::from_utf8(sent).unwrap();
    let data = text.find(",\"data\":").unwrap();
    serde_json::from_str(&format!("{}}}", text.get(..data).unwrap()))
}

#[test]
fn an_event_holds_json_where_json_keeps_all() {
    let data = |text: &str| {
        Event::from(&Alert::from_slice(text.as_bytes()).unwrap())
            .data()
            .cloned()
            .unwrap()
    };
    let with = |field: &str| {
        format!(
            r#"{{"rule":"r","priority":1,"time":"2026-01-01T00:00:00Z","output_fields":{{"a":{field}}}}}"#
        )
    };
    for kept in [
        "1",
        "18446744073709551615",
        "-9223372036854775808",
        "0.5",
        "\"x\"",
        "null",
        "[1,2]",
    ] {
        assert_eq!(
            data(&with(kept)),
            Data::Json(serde_json::from_str(&with(kept)).unwrap()),
            "{kept}"
        );
    }
    for lost in ["18446744073709551616", "1.10", "1e400", "-0", "\"\\ud800\""] {
        assert_eq!(data(&with(lost)), Data::Binary(with(lost).into_bytes()), "{lost}");
    }
}

#[test]
fn only_events_of_falcos_type_become_alerts() {
    let alert = Alert::from_slice(br#"{"rule":"r","priority":1,"time":"2026-01-01T00:00:00Z"}"#).unwrap();
    let mut event = Event::from(&alert);
    for data in [
        Data::String(r#"{"rule":"s","priority":1,"time":"2026-01-01T00:00:00Z"}"#.into()),
        Data::Binary(alert.as_bytes().to_vec()),
    ] {
        event.set_data("application/json", data.clone());
        let rule = Alert::try_from(&event).unwrap().rule().to_owned();
        assert_eq!(rule, if matches!(data, Data::String(_)) { "s" } else { "r" });
    }
    assert_eq!(
        Alert::try_from(&Event::default()).unwrap_err().to_string(),
        "CloudEvent of type `type`: expected `falco.rule.output.v1`"
    );
}
