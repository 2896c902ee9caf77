//! Every message: what was wrong, where, and what was expected; on one line, whatever the alert holds.

use falco_event::{Alert, AlertId, ContainerId, Namespace, PodName, PodUid, Priority, read_all};

#[test]
fn an_error_says_what_where_and_what_was_expected() {
    let cases = [
        (
            "",
            "line 1, column 1 (byte 0): nothing here: expected an alert, a JSON object",
        ),
        ("[]", "line 1, column 1 (byte 0): found `[]`: expected an object"),
        (
            "{\"rule\":\n7x}",
            "line 2, column 2 (byte 10): found `x}`: expected `,` or `}`",
        ),
        (
            "{\"rule\":\"r",
            "line 1, column 11 (byte 10): the text ends here: expected the end of a string, `\"`",
        ),
        (
            "{\"rule\":7}",
            "line 1, column 9 (byte 8): `rule` is `7`: expected a string",
        ),
        (
            "{\"rule\":\"r\",\"priority\":\"Loud\"}",
            "line 1, column 24 (byte 23): `priority` is `\"Loud\"`: expected `Emergency`, `Alert`, `Critical`, `Error`, `Warning`, `Notice`, `Informational`, `Debug`, or a number from 0 to 7",
        ),
        (
            "{\"rule\":\"r\",\"priority\":1,\"time\":5}",
            "line 1, column 33 (byte 32): `time` is `5`: expected an RFC 3339 time, or an object of `seconds` and `nanos`",
        ),
        (
            "{\"rule\":\"r\",\"priority\":1,\"time\":\"2026-01-01T00:00:00Z\",\"tags\":[1]}",
            "line 1, column 63 (byte 62): `tags` is `[1]`: expected an array of strings",
        ),
        (
            "{\"rule\":\"r\",\"priority\":1,\"time\":\"2026-01-01T00:00:00Z\",\"output_fields\":[]}",
            "line 1, column 72 (byte 71): `output_fields` is `[]`: expected an object",
        ),
        (
            "{\"rule\":\"r\",\"priority\":1,\"time\":\"2026-01-01T00:00:00Z\"} {",
            "line 1, column 57 (byte 56): more text after the alert: expected one alert and no more",
        ),
    ];
    for (body, message) in cases {
        assert_eq!(
            Alert::from_slice(body.as_bytes()).unwrap_err().to_string(),
            message,
            "{body}"
        );
    }
}

#[test]
fn an_error_names_all_that_is_missing() {
    let cases = [
        (
            "{\"rule\":\"r\",\"priority\":\"\",\"time\":\"2026-01-01T00:00:00Z\"}",
            "line 1, column 1 (byte 0): the alert has no `priority`: expected `rule`, `priority` and `time`",
        ),
        (
            "{\"rule\":\"r\",\"time\":null}",
            "line 1, column 1 (byte 0): the alert has no `priority` and no `time`: expected `rule`, `priority` and `time`",
        ),
        (
            "{\"rule\":\"\"}",
            "line 1, column 1 (byte 0): the alert has no `rule` and no `priority` and no `time`: expected `rule`, `priority` and `time`",
        ),
        (
            "{\"priority\":\"Loud\"}",
            "line 1, column 1 (byte 0): the alert has no `rule` and no `time`: expected `rule`, `priority` and `time`",
        ),
    ];
    for (body, message) in cases {
        assert_eq!(
            Alert::from_slice(body.as_bytes()).unwrap_err().to_string(),
            message,
            "{body}"
        );
    }
}

#[test]
fn what_an_alert_holds_is_escaped_and_cut() {
    let long = format!(
        "{{\"rule\":\"r\",\"priority\":\"\u{1b}[31m{}\"}}",
        "x".repeat(10_000)
    )
    .replace('\u{1b}', "\\u001b");
    let cases = [
        Alert::from_slice(long.as_bytes()).unwrap_err().to_string(),
        read_all("{\"rule\":\u{1b}[31m\n".as_bytes())
            .next()
            .unwrap()
            .unwrap_err()
            .to_string(),
        Alert::from_slice("{\"rule\":[\"\u{202e}\u{1b}\"]}".replace('\u{1b}', "").as_bytes())
            .unwrap_err()
            .to_string(),
        Namespace::try_from("a\n\u{202e}b").unwrap_err().to_string(),
        PodName::try_from("x".repeat(10_000)).unwrap_err().to_string(),
    ];
    for message in cases {
        assert!(
            !message.chars().any(|c| c.is_control() || c == '\u{202e}') && message.len() < 400,
            "{message}"
        );
    }
}

#[test]
fn names_say_what_they_should_be() {
    let messages = [
        Namespace::try_from("Shop").unwrap_err().to_string(),
        PodUid::try_from("a/b").unwrap_err().to_string(),
        ContainerId::try_from("host").unwrap_err().to_string(),
        "loud".parse::<Priority>().unwrap_err().to_string(),
        "12".parse::<AlertId>().unwrap_err().to_string(),
    ];
    assert_eq!(
        messages,
        [
            "`Shop` is no namespace: expected a DNS label: 1 to 63 of `a-z`, `0-9` and `-`, a letter or digit at both ends",
            "`a/b` is no pod UID: expected 1 to 64 letters, digits and `-`, a letter or digit at both ends",
            "`host` is no container id: expected 12 or 64 of `0-9` and `a-f`",
            "`loud` is no priority: expected `Emergency`, `Alert`, `Critical`, `Error`, `Warning`, `Notice`, `Informational` or `Debug`, in any case, or a number from 0 to 7",
            "`12` is no alert id: expected 32 of `0-9` and `a-f`",
        ]
    );
}
