//! JSON as it is found in alerts: strings, bytes, numbers, depth, and what is not JSON.

use falco_event::{Alert, Fault, ReadError, Value, read_all};

fn read(text: &str) -> Result<Alert, ReadError> {
    Alert::from_slice(text.as_bytes())
}

fn with(member: &str) -> String {
    format!(r#"{{"rule":"r","priority":"Notice","time":"2026-01-01T00:00:00Z",{member}}}"#)
}

#[test]
fn strings_mean_what_their_escapes_say() {
    let cases = [
        (r#""a\"b\\c\/d\b\f\n\r\te""#, "a\"b\\c/d\u{8}\u{c}\n\r\te"),
        (r#""\u00e9\u20AC\ud83d\ude00""#, "é€😀"),
        (r#""\ud800""#, "\u{fffd}"),
        (r#""\ud800\ud800\udc00x\udc00""#, "\u{fffd}\u{10000}x\u{fffd}"),
        (r#""\ud83dx\u0041""#, "\u{fffd}xA"),
        (r#""\u0000""#, "\0"),
    ];
    for (json, text) in cases {
        let alert = read(&with(&format!(r#""output_fields":{{"a":{json}}}"#))).unwrap();
        assert_eq!(alert.fields().get("a"), Some(Value::String(text)), "{json}");
    }
}

#[test]
fn bytes_that_are_not_utf8_are_read_lossily_and_passed_on() {
    let body = [b"{\"rule\":\"r\xff\",\"priority\":0,\"time\":\"2026-01-01T00:00:00Z\",\"output_fields\":{\"a\":\"\xe2\x82\"}}".as_slice()].concat();
    let alert = Alert::from_slice(&body).unwrap();
    assert_eq!(alert.rule(), "r\u{fffd}");
    assert_eq!(alert.fields().get("a"), Some(Value::String("\u{fffd}")));
    assert_eq!(alert.as_bytes(), body);
    let refused =
        Alert::from_slice(b"{\"rule\":\"\xff\xff\",\"priority\":9,\"time\":\"2026-01-01T00:00:00Z\"}")
            .unwrap_err();
    assert_eq!(
        (refused.offset(), refused.column()),
        (24, 25),
        "places count the bytes that came"
    );
    assert!(matches!(
        Alert::from_slice(b"{\"rule\":\xff}").unwrap_err().fault(),
        Fault::Syntax { .. }
    ));
}

#[test]
fn numbers_are_exact() {
    let numbers = [
        "9007199254740993",
        "18446744073709551615",
        "340282366920938463463374607431768211456",
        "1e400",
        "-0",
        "1.10",
    ];
    for number in numbers {
        let alert = read(&with(&format!(r#""output_fields":{{"n":{number}}}"#))).unwrap();
        let Some(Value::Number(read)) = alert.fields().get("n") else {
            panic!("{number}")
        };
        assert_eq!(read.as_str(), number);
    }
    let alert = read(&with(
        r#""output_fields":{"n":18446744073709551615,"big":1e400,"d":2.5}"#,
    ))
    .unwrap();
    let number = |name| match alert.fields().get(name) {
        Some(Value::Number(number)) => number,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        (number("n").as_u64(), number("n").as_i64()),
        (Some(u64::MAX), None)
    );
    assert_eq!(number("n").as_i128(), Some(18_446_744_073_709_551_615));
    assert_eq!((number("big").as_f64(), number("d").as_f64()), (None, Some(2.5)));
}

#[test]
fn depth_has_an_end() {
    let nested = |levels: usize| with(&format!(r#""x":{}1{}"#, "[".repeat(levels), "]".repeat(levels)));
    assert!(read(&nested(119)).is_ok());
    assert!(
        read(&nested(120))
            .unwrap_err()
            .to_string()
            .ends_with("at most 120 in an alert")
    );
    assert!(read(&nested(100_000)).is_err());
    assert!(read_all("[".repeat(100_000).as_bytes()).all(|item| item.is_err()));
}

#[test]
fn what_is_not_json_is_refused() {
    let bad = [
        "{",
        "}",
        "{\"rule\"}",
        "{\"rule\":}",
        "{\"rule\":\"r\",}",
        "{'rule':'r'}",
        "{\"a\":01}",
        "{\"a\":1.}",
        "{\"a\":+1}",
        "{\"a\":.5}",
        "{\"a\":1e}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12g4\"}",
        "{\"a\":\"\u{0}\"}",
        "{\"a\":\"\n\"}",
        "{\"a\":\"",
        "nul",
        "{\"a\":tru}",
        "{\"a\":NaN}",
        "{\"a\" 1}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":[1 2]}",
        "{\"a\":[1,]}",
        "{}x",
        "// {}",
    ];
    for text in bad {
        let fault = read(text).unwrap_err().fault().clone();
        assert!(
            matches!(fault, Fault::Syntax { .. } | Fault::Missing { .. }),
            "{text}: {fault:?}"
        );
        assert!(serde_json::from_str::<serde_json::Value>(text).is_err(), "{text}");
    }
}
