//! The HTTP binding: CloudEvents' own vectors, what Knative sends, and what the specification refuses.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use falco_event::cloudevents::{CONTENT_TYPE, Received, Refusal, receive};
use http::{HeaderMap, HeaderName, HeaderValue};

const ALERT: &str =
    r#"{"rule":"Terminal shell in container","priority":"Notice","time":"2026-01-01T00:00:00Z","n":1.10}"#;
const CORE: [(&str, &str); 4] = [
    ("ce-specversion", "1.0"),
    ("ce-id", "1"),
    ("ce-source", "https://falco.org"),
    ("ce-type", "falco.rule.output.v1"),
];

fn headers<'a>(lines: impl IntoIterator<Item = (&'a str, &'a str)>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
    }
    headers
}

/// In binary mode, with these headers over the usual ones; an empty name takes nothing away.
fn binary(changed: &[(&str, &str)]) -> Result<Received, Refusal> {
    let usual = CORE
        .into_iter()
        .filter(|(name, _)| !changed.iter().any(|(other, _)| other == name));
    receive(&headers(usual.chain(changed.iter().copied())), ALERT.as_bytes())
}

fn structured(members: &str) -> Result<Received, Refusal> {
    let event = format!(
        r#"{{"specversion":"1.0","id":"1","source":"https://falco.org","type":"falco.rule.output.v1",{members}}}"#
    );
    receive(&headers([("content-type", CONTENT_TYPE)]), event.as_bytes())
}

fn attribute(refusal: &Refusal) -> &str {
    if let Refusal::Invalid { attribute, .. } = refusal {
        attribute
    } else {
        ""
    }
}

#[test]
fn header_values_are_decoded_as_the_specification_shows() {
    let vectors = [
        ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
        ("Euro%20%e2%82%ac%20%f0%9f%98%80", "Euro € 😀"),
        ("%45%75%72%6F", "Euro"),
        ("\"Euro%20%E2%82%AC\"", "Euro €"),
        (r#""a \"quoted\" \\ word""#, r#"a "quoted" \ word"#),
        ("Terminal shell in container", "Terminal shell in container"),
        ("Zażółć € 😀", "Zażółć € 😀"),
        ("100%", "100%"),
        ("100% sure %2", "100% sure %2"),
        ("%25%32%30", "%20"),
        (r#"{"othervalue": 5}"#, r#"{"othervalue": 5}"#),
        ("", ""),
    ];
    for (header, text) in vectors {
        let received = binary(&[("ce-comexampleextension", header)]).unwrap();
        assert_eq!(received.extensions["comexampleextension"], text, "{header}");
    }
    for subject in ["Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"] {
        assert_eq!(
            binary(&[("ce-subject", subject)]).unwrap().subject.as_deref(),
            Some("Euro € 😀")
        );
    }
    for bad in ["%C0%A0", "%ff", "a%80"] {
        assert_eq!(
            attribute(&binary(&[("ce-subject", bad)]).unwrap_err()),
            "subject",
            "{bad}"
        );
    }
}

/// The fixtures of CloudEvents' conformance suite (`yaml/v1.yaml`, `v1_minimum.yaml`, `v03.yaml`): good events, and none
/// of Falco's; those of version 0.3 are refused.
#[test]
fn conformance_events_are_understood_and_are_no_alerts() {
    let other = |found: &str| {
        Err(Refusal::OtherType {
            found: found.to_owned(),
        })
    };
    let some_event = [
        ("ce-specversion", "1.0"),
        ("ce-type", "com.example.someevent"),
        ("ce-time", "2018-04-05T03:56:24Z"),
        ("ce-id", "4321-4321-4321"),
        ("ce-source", "/mycontext/subcontext"),
        ("ce-comexampleextension1", "value"),
        ("ce-comexampleextension2", r#"{"othervalue": 5}"#),
    ];
    assert_eq!(
        receive(&headers(some_event), br#"{"world":"hello"}"#),
        other("com.example.someevent")
    );
    let event = br#"{"specversion":"1.0","type":"com.example.someevent","time":"2018-04-05T03:56:24Z","id":"4321-4321-4321",
        "source":"/mycontext/subcontext","comexampleextension1":"value","comexampleextension2":"{\"othervalue\": 5}",
        "data":{"world":"hello"}}"#;
    assert_eq!(
        receive(
            &headers([("content-type", "application/cloudevents+json")]),
            event
        ),
        other("com.example.someevent")
    );
    let bodies = [
        ("text/plain; charset=us-ascii", "Hello"),
        ("text/plain; charset=utf-8", "Hello 😀"),
        ("application/json", "\"Hello\""),
        ("application/json", r#"{"a":1}"#),
        ("application/json", "[1,2]"),
        ("application/xml", "<a/>"),
    ];
    for (number, (media_type, body)) in bodies.into_iter().enumerate() {
        let id = format!("conformance-000{}", number + 1);
        let minimum = |version| {
            headers([
                ("ce-specversion", version),
                ("ce-type", "io.github.cloudevents.conformance"),
                ("ce-id", id.as_str()),
                (
                    "ce-source",
                    "//github.com/cloudevents/conformance/yaml/v1.0/v1_minimum.yaml",
                ),
                ("content-type", media_type),
            ])
        };
        assert_eq!(
            receive(&minimum("1.0"), body.as_bytes()),
            other("io.github.cloudevents.conformance")
        );
        assert_eq!(
            attribute(&receive(&minimum("0.3"), body.as_bytes()).unwrap_err()),
            "specversion"
        );
    }
}

#[test]
fn media_types_choose_the_mode() {
    let event = format!(
        r#"{{"specversion":"1.0","id":"1","source":"/x","type":"falco.rule.output.v1","data":{ALERT}}}"#
    );
    let with = |media_type: &str| receive(&headers([("content-type", media_type)]), event.as_bytes());
    for good in [
        "application/cloudevents+json",
        "Application/CloudEvents+JSON",
        "application/cloudevents+json; charset=UTF-8",
        "application/cloudevents+json;charset=utf-8;x=\"y\"",
        " application/cloudevents+json ; q=1",
    ] {
        assert_eq!(with(good).unwrap().alert.as_bytes(), ALERT.as_bytes(), "{good}");
    }
    for bad in [
        "application/cloudevents-batch+json",
        "application/cloudevents+avro",
        "application/cloudevents+jsonfoo",
        "application/cloudevents",
    ] {
        let refusal = with(bad).unwrap_err();
        assert_eq!(
            (&refusal, refusal.status().as_u16()),
            (
                &Refusal::UnsupportedMediaType {
                    found: bad.to_owned()
                },
                415
            ),
            "{bad}"
        );
    }
    for bare in ["application/json", "text/plain", ""] {
        assert_eq!(with(bare), Err(Refusal::NotACloudEvent), "{bare}");
    }
    assert_eq!(
        receive(&HeaderMap::new(), ALERT.as_bytes()),
        Err(Refusal::NotACloudEvent)
    );
    let twice = receive(
        &headers([("content-type", CONTENT_TYPE), ("content-type", "text/plain")]),
        b"",
    );
    assert_eq!(attribute(&twice.unwrap_err()), "content-type");
}

#[test]
fn what_knative_delivers_is_received() {
    let received = binary(&[
        ("ce-time", "2026-01-01T00:00:00.000000001Z"),
        ("ce-rule", "Zażółć shell"),
        ("ce-recordedtime", "2026-01-01T00:00:02Z"),
        ("ce-knativearrivaltime", "2026-01-01T00:00:03.5Z"),
        ("content-type", "application/json; charset=utf-8"),
        ("ce-datacontenttype", "ignored"),
        ("prefer", "reply"),
        ("kn-namespace", "default"),
        ("ce-subject", "shop/api-1"),
    ])
    .unwrap();
    assert_eq!(received.alert.as_bytes(), ALERT.as_bytes());
    assert_eq!(
        (received.id.as_str(), received.source.as_str()),
        ("1", "https://falco.org")
    );
    assert_eq!(received.subject.as_deref(), Some("shop/api-1"));
    assert_eq!(received.time.unwrap().as_nanosecond(), 1_767_225_600_000_000_001);
    assert_eq!(received.received.unwrap().as_second(), 1_767_225_602);
    let names: Vec<_> = received.extensions.keys().map(String::as_str).collect();
    assert_eq!(names, ["knativearrivaltime", "recordedtime", "rule"]);
    for source in ["falco.org", "https://falco.org", "syscall"] {
        assert_eq!(binary(&[("ce-source", source)]).unwrap().source, source);
    }
}

#[test]
fn what_the_specification_refuses_is_refused() {
    let cases: [(&[(&str, &str)], &str); 16] = [
        (&[("ce-specversion", "0.3")], "specversion"),
        (&[("ce-specversion", "")], "specversion"),
        (&[("ce-id", "")], "id"),
        (&[("ce-source", "")], "source"),
        (&[("ce-source", "not a uri")], "source"),
        (&[("ce-source", "/a\"b")], "source"),
        (&[("ce-type", "")], "type"),
        (&[("ce-subject", "")], "subject"),
        (&[("ce-time", "yesterday")], "time"),
        (&[("ce-time", "2026-01-01 00:00:00Z")], "time"),
        (&[("ce-dataschema", "a b")], "dataschema"),
        (&[("ce-bad_name", "x")], "bad_name"),
        (&[("ce-data", "x")], "data"),
        (&[("ce-", "x")], ""),
        (&[("ce-rule", "a%0Ab")], "rule"),
        (&[("ce-rule", "a"), ("ce-rule", "b")], "rule"),
    ];
    for (changed, expected) in cases {
        let refusal = binary(changed).unwrap_err();
        assert!(matches!(refusal, Refusal::Invalid { .. }), "{changed:?}");
        assert_eq!(
            (attribute(&refusal), refusal.status().as_u16()),
            (expected, 400),
            "{changed:?}"
        );
    }
    for (missing, _) in CORE {
        let refusal = receive(
            &headers(CORE.into_iter().filter(|(name, _)| *name != missing)),
            ALERT.as_bytes(),
        );
        assert_eq!(
            attribute(&refusal.unwrap_err()),
            missing.trim_start_matches("ce-")
        );
    }
    for control in ["%00", "%7F", "%C2%80", "%EF%BF%BF", "%EF%B7%90", "a\tb"] {
        assert_eq!(
            attribute(&binary(&[("ce-rule", control)]).unwrap_err()),
            "rule",
            "{control}"
        );
    }
}

#[test]
fn structured_members_are_checked() {
    let data = format!(r#""data":{ALERT}"#);
    let good = structured(&format!(
        r#""flag":true,"number":-7,"none":null,"text":"a\u20ac","subject":null,{data}"#
    ))
    .unwrap();
    let extensions: Vec<_> = good
        .extensions
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(extensions, [("flag", "true"), ("number", "-7"), ("text", "a€")]);
    assert_eq!((good.alert.as_bytes(), good.subject), (ALERT.as_bytes(), None));
    let bad = [
        (r#""id":"2""#, "id"),
        (r#""Upper":"x""#, "Upper"),
        (r#""bad_name":"x""#, "bad_name"),
        (r#""":"x""#, ""),
        (r#""x":1.5"#, "x"),
        (r#""x":2147483648"#, "x"),
        (r#""x":{}"#, "x"),
        (r#""x":[]"#, "x"),
        (r#""x":"a\nb""#, "x"),
        (r#""subject":7"#, "subject"),
        (r#""time":"2026""#, "time"),
        (r#""x":"1","x":"2""#, "x"),
        (r#""data_base64":"e30=""#, "data_base64"),
        (r#""subject":"""#, "subject"),
    ];
    for (member, expected) in bad {
        let refusal = structured(&format!("{data},{member}")).unwrap_err();
        assert!(matches!(refusal, Refusal::Invalid { .. }), "{member}: {refusal}");
        assert_eq!(attribute(&refusal), expected, "{member}");
    }
    let broken = structured("\"data\":{").unwrap_err();
    assert!(matches!(broken, Refusal::Structure(_)), "{broken}");
    assert_eq!(broken.status().as_u16(), 400);
    let trailing = receive(&headers([("content-type", CONTENT_TYPE)]), b"{} {}").unwrap_err();
    assert_eq!(
        trailing.to_string(),
        "structured CloudEvent: line 1, column 4 (byte 3): more text after the alert: expected one alert and no more"
    );
}

#[test]
fn data_come_as_json_text_or_base64() {
    let base64 = "eyJydWxlIjoiciIsInByaW9yaXR5IjoxLCJ0aW1lIjoiMjAyNi0wMS0wMVQwMDowMDowMFoifQ==";
    assert_eq!(
        structured(&format!(r#""data_base64":"{base64}""#))
            .unwrap()
            .alert
            .rule(),
        "r"
    );
    let text = serde_json::to_string(ALERT).unwrap();
    let as_text = structured(&format!(r#""datacontenttype":"text/plain","data":{text}"#)).unwrap();
    assert_eq!(as_text.alert.as_bytes(), ALERT.as_bytes());
    for media_type in [
        "application/json",
        "Application/JSON; charset=utf-8",
        "application/vnd.falco+json",
    ] {
        let refusal = structured(&format!(r#""datacontenttype":"{media_type}","data":{text}"#)).unwrap_err();
        assert!(matches!(refusal, Refusal::Data(_)), "a JSON string is no alert");
    }
    for (members, message) in [
        (
            r#""x":"y""#,
            "data of the CloudEvent: line 1, column 1 (byte 0): nothing here: expected an alert, a JSON object",
        ),
        (
            r#""data":{"rule":"r"}"#,
            "data of the CloudEvent: line 1, column 1 (byte 0): the alert has no `priority` and no `time`: expected `rule`, `priority` and `time`",
        ),
        (
            r#""data_base64":"!""#,
            "CloudEvent attribute `data_base64`: not base64: expected RFC 4648 with padding",
        ),
    ] {
        assert_eq!(structured(members).unwrap_err().to_string(), message);
    }
}

#[test]
fn refusals_say_what_was_expected() {
    let messages = [
        (
            receive(&HeaderMap::new(), b""),
            "not a CloudEvent: expected `ce-` headers or the media type `application/cloudevents+json`",
        ),
        (
            binary(&[("ce-type", "com.example")]),
            "CloudEvent of type `com.example`: expected `falco.rule.output.v1`",
        ),
        (
            binary(&[("ce-id", "")]),
            "CloudEvent attribute `id`: empty: expected at least one character",
        ),
        (
            binary(&[("ce-specversion", "0.3")]),
            "CloudEvent attribute `specversion`: `0.3`: expected `1.0`",
        ),
        (
            binary(&[("ce-x_y", "1")]),
            "CloudEvent attribute `x_y`: bad name: expected `a-z` and `0-9`",
        ),
        (
            binary(&[("ce-x", "a%1Bb")]),
            "CloudEvent attribute `x`: `a\\u{1b}b`: expected no control characters and no noncharacters",
        ),
        (
            binary(&[("ce-source", "a b")]),
            "CloudEvent attribute `source`: `a b`: expected a URI reference (RFC 3986)",
        ),
        (
            binary(&[("ce-time", "noon")]),
            "CloudEvent attribute `time`: `noon`: expected a time of RFC 3339",
        ),
        (
            binary(&[("content-type", "application/cloudevents-batch+json")]),
            "media type `application/cloudevents-batch+json`: expected `application/cloudevents+json` or binary mode, one event a request",
        ),
    ];
    for (received, message) in messages {
        assert_eq!(received.unwrap_err().to_string(), message);
    }
    assert_eq!(
        binary(&[("ce-type", "com.example")])
            .unwrap_err()
            .status()
            .as_u16(),
        202
    );
}
