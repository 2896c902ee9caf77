//! Bodies of several alerts, of none, and of alerts among other things.

use falco_event::{Alert, Fault, read_all};

fn alert(rule: &str) -> String {
    format!(r#"{{"rule":"{rule}","priority":"Notice","time":"2026-01-01T00:00:00Z"}}"#)
}

/// The rules of what is read, and for what is not its line and column.
fn rules(body: &str) -> Vec<Result<String, (usize, usize)>> {
    let item = |read: Result<Alert, falco_event::ReadError>| match read {
        Ok(alert) => Ok(alert.rule().to_owned()),
        Err(error) => Err((error.line(), error.column())),
    };
    read_all(body.as_bytes()).map(item).collect()
}

fn ok(rule: &str) -> Result<String, (usize, usize)> {
    Ok(rule.to_owned())
}

#[test]
fn several_alerts_are_all_read() {
    let (a, b) = (alert("a"), alert("b"));
    for body in [
        format!("{a}{b}"),
        format!("{a}\n{b}\n"),
        format!("\u{feff} {a}\r\n\r\n{b}"),
        format!("[{a},{b}]"),
        format!("[{a} ,\n{b} ]\n"),
        format!("{a}[{b}]"),
        format!("[{a}][{b}]"),
    ] {
        assert_eq!(rules(&body), [ok("a"), ok("b")], "{body}");
    }
}

#[test]
fn one_alert_may_have_blanks_and_a_byte_order_mark_around_it() {
    let alert = Alert::from_slice(format!("\u{feff}\n {} \t\r\n", alert("a")).as_bytes()).unwrap();
    assert_eq!(alert.as_bytes(), self::alert("a").as_bytes());
}

#[test]
fn a_body_without_an_alert_is_one_error() {
    for body in ["", " \n\t", "\u{feff}", "[]", " [ ] "] {
        let read: Vec<_> = read_all(body.as_bytes()).collect();
        assert_eq!(read.len(), 1, "{body:?}");
        assert_eq!(read[0].as_ref().unwrap_err().fault(), &Fault::Empty, "{body:?}");
    }
    assert_eq!(Alert::from_slice(b"").unwrap_err().fault(), &Fault::Empty);
}

#[test]
fn what_is_wrong_has_its_place_and_the_rest_is_read() {
    let (a, b) = (alert("a"), alert("b"));
    let cases = [
        (
            format!("{a}\n{{\"rule\":\"x\"}}\n{b}"),
            vec![ok("a"), Err((2, 1)), ok("b")],
        ),
        (format!("{a}\nnull\n{b}"), vec![ok("a"), Err((2, 1)), ok("b")]),
        (format!("{a}\nnot json\n{b}"), vec![ok("a"), Err((2, 1)), ok("b")]),
        (
            format!("{{\"rule\":\"cut\n{a}\n{b}"),
            vec![Err((1, 13)), ok("a"), ok("b")],
        ),
        (
            format!("{{\"rule\":\n{a}\n{b}"),
            vec![Err((3, 1)), ok("a"), ok("b")],
        ),
        (format!("{a}{{\"rule\""), vec![ok("a"), Err((1, 70))]),
        (format!("[{a},7,{b}]"), vec![ok("a"), Err((1, 65)), ok("b")]),
        (format!("[{a} {b}]"), vec![ok("a"), Err((1, 65)), ok("b")]),
        (format!("[{a},{b}"), vec![ok("a"), ok("b"), Err((1, 127))]),
        (format!("{a}]"), vec![ok("a"), Err((1, 63))]),
        (format!("{a},{b}"), vec![ok("a"), Err((1, 63))]),
    ];
    for (body, expected) in cases {
        assert_eq!(rules(&body), expected, "{body}");
    }
}

#[test]
fn exactly_one_is_asked_of_from_slice() {
    let two = format!("{}\n{}", alert("a"), alert("b"));
    let error = Alert::from_slice(two.as_bytes()).unwrap_err();
    assert_eq!(
        (error.fault(), error.line(), error.column()),
        (&Fault::Trailing, 2, 1)
    );
    assert!(matches!(
        Alert::from_slice(b"[]").unwrap_err().fault(),
        Fault::Syntax {
            expected: "an object",
            ..
        }
    ));
}

/// Faults cost no more than the text they are in: in a second, not in an hour.
#[test]
fn many_faults_are_read_in_one_pass() {
    for line in ["{\n", "{\"a\":\n", "x\n", "[\n", "{\"a\":[\n{},\n", "null\n"] {
        let body = line.repeat(1_000);
        assert!(read_all(body.as_bytes()).all(|read| read.is_err()), "{line:?}");
    }
}
