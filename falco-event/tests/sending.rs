//! Alerts as structured events: what is in them, and what an operator sets.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use falco_event::cloudevents::{CONTENT_TYPE, Received, Refusal, Sender, TYPE, parse_overrides, receive};
use falco_event::{Alert, Timestamp};
use http::{HeaderMap, HeaderValue, header};

const SHELL: &[u8] = include_bytes!("fixtures/shell-in-pod.json");

fn structured(event: &[u8]) -> Result<Received, Refusal> {
    receive(
        &HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE))]),
        event,
    )
}

/// A request in binary mode whose extension `rule` is this, as it stands.
fn binary(rule: &str) -> Result<Received, Refusal> {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("ce-specversion", "1.0"),
        ("ce-id", "1"),
        ("ce-source", "/"),
        ("ce-type", TYPE),
        ("ce-rule", rule),
    ] {
        headers.insert(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    receive(&headers, SHELL)
}

#[test]
fn an_alert_is_sent_as_a_structured_event() {
    let alert = Alert::from_slice(SHELL).unwrap();
    let received = "2026-03-11T08:14:53Z".parse::<Timestamp>().unwrap();
    let event = Sender::default().structured(&alert, received);
    let head = format!(
        r#"{{"specversion":"1.0","id":"{}","source":"https://falco.org","type":"falco.rule.output.v1","time":"2026-03-11T08:14:52.118203947Z","datacontenttype":"application/json","subject":"shop/checkout-6d8f7c9b54-q7xkz","rule":"Terminal shell in container","priority":"Notice","eventsource":"syscall","hostname":"worker-2","tags":"T1059,container,maturity_stable,mitre_execution,shell","namespace":"shop","pod":"checkout-6d8f7c9b54-q7xkz","recordedtime":"2026-03-11T08:14:53Z","data":"#,
        alert.id()
    );
    assert_eq!(
        String::from_utf8(event).unwrap(),
        format!("{head}{}}}", String::from_utf8_lossy(SHELL))
    );
    assert_eq!(
        Sender::default().structured(&alert, received),
        Sender::default().structured(&alert, received)
    );
}

#[test]
fn what_no_header_can_carry_is_left_out() {
    let text = br#"{"rule":"a\nb\u0085\uffff \"q\"","priority":1,"time":"2026-01-01T00:00:00Z","hostname":"\u0007","tags":["x\ty","z"]}"#;
    let alert = Alert::from_slice(text).unwrap();
    let event = String::from_utf8(Sender::default().structured(&alert, Timestamp::UNIX_EPOCH)).unwrap();
    assert!(
        event.contains(
            r#""rule":"ab \"q\"","priority":"Alert","eventsource":"syscall","tags":"xy,z","recordedtime":"#
        ),
        "{event}"
    );
}

/// Knative writes extensions into headers as they stand: what would not be read there again costs the hint, not the
/// alert.
#[test]
fn a_percent_sign_costs_no_alert() {
    for (rule, sent) in [
        ("100% sure", "100% sure"),
        ("%41", "%41"),
        ("a%ffb", "affb"),
        ("a%0Ab", "a0Ab"),
        ("\"%C2%80\"", "\"C280\""),
    ] {
        let text = format!(
            r#"{{"rule":{},"priority":1,"time":"2026-01-01T00:00:00Z"}}"#,
            serde_json::Value::from(rule)
        );
        let alert = Alert::from_slice(text.as_bytes()).unwrap();
        let event = Sender::default().structured(&alert, Timestamp::UNIX_EPOCH);
        let received = structured(&event).unwrap();
        assert_eq!(received.extensions["rule"], sent);
        assert!(binary(sent).is_ok());
    }
}

#[test]
fn a_sender_has_the_source_it_is_told() {
    let alert = Alert::from_slice(SHELL).unwrap();
    let sender = Sender::default().with_source("/clusters/prod#falco").unwrap();
    let event = sender.structured(&alert, Timestamp::UNIX_EPOCH);
    let received = structured(&event).unwrap();
    assert_eq!(received.source, "/clusters/prod#falco");
    for bad in ["", "a b", "a\nb", "%zz"] {
        assert!(Sender::default().with_source(bad).is_err(), "{bad}");
    }
}

#[test]
fn data_that_are_not_utf8_are_sent_as_base64() {
    let bytes = b"{\"rule\":\"r\xff\",\"priority\":1,\"time\":\"2026-01-01T00:00:00Z\"}";
    let alert = Alert::from_slice(bytes).unwrap();
    let event = Sender::default().structured(&alert, Timestamp::UNIX_EPOCH);
    let value: serde_json::Value = serde_json::from_slice(&event).unwrap();
    assert!(value.get("data").is_none() && value["data_base64"].is_string());
    assert_eq!(structured(&event).unwrap().alert.as_bytes(), bytes);
}

#[test]
fn overrides_are_set_over_what_is_there() {
    let overrides =
        parse_overrides(r#"{"extensions":{"cluster":"prod \"1\"","rule":"hidden"},"x":1}"#).unwrap();
    let alert = Alert::from_slice(SHELL).unwrap();
    let event = Sender::default()
        .with_overrides(overrides)
        .structured(&alert, Timestamp::UNIX_EPOCH);
    let received = structured(&event).unwrap();
    assert_eq!(received.extensions["cluster"], "prod \"1\"");
    assert_eq!(
        (received.extensions["rule"].as_str(), received.alert.rule()),
        ("hidden", "Terminal shell in container")
    );
}

#[test]
fn overrides_that_no_event_can_have_are_refused() {
    for none in ["", " \n", "{}", r#"{"extensions":null}"#, r#"{"extensions":{}}"#] {
        assert_eq!(parse_overrides(none).unwrap().iter().count(), 0, "{none}");
    }
    let cases = [
        (
            r#"{"extensions":{"a_b":"x"}}"#,
            "extension `a_b`: bad name: expected `a-z` and `0-9`",
        ),
        (
            r#"{"extensions":{"":"x"}}"#,
            "extension ``: empty name: expected `a-z` and `0-9`",
        ),
        (
            r#"{"extensions":{"data":"x"}}"#,
            "extension `data`: not a name for an attribute: expected the data in the body",
        ),
        (
            r#"{"extensions":{"id":"x"}}"#,
            "extension `id`: an attribute that the sender sets: expected another name",
        ),
        (
            r#"{"extensions":{"recordedtime":"x"}}"#,
            "extension `recordedtime`: an attribute that the sender sets: expected another name",
        ),
        (
            r#"{"extensions":{"a":"x\ny"}}"#,
            "extension `a` is `x\\ny`: expected no control characters and no noncharacters",
        ),
        (
            "[]",
            "not an object of extensions: expected `{\"extensions\":{\"name\":\"value\"}}`: found `[]`",
        ),
        (
            r#"{"extensions":{"a":1}}"#,
            "not an object of extensions: expected `{\"extensions\":{\"name\":\"value\"}}`: invalid type: integer `1`, expected a string at line 1 column 20",
        ),
    ];
    for (json, message) in cases {
        assert_eq!(parse_overrides(json).unwrap_err().to_string(), message);
    }
    assert!(parse_overrides("{").is_err());
}
