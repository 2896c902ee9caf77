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
        format!("{a},{b}"),
        format!("{a},\n{b},\n"),
        format!("[{a}],[{b}]"),
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
    ];
    for (body, expected) in cases {
        assert_eq!(rules(&body), expected, "{body}");
    }
}

/// Brackets and commas that are too many or too few cost themselves only.
#[test]
fn a_stray_bracket_or_comma_loses_no_alert() {
    let (a, b) = (alert("a"), alert("b"));
    let cases = [
        (format!(",{a}"), vec![Err((1, 1)), ok("a")]),
        (format!("{a},,{b}"), vec![ok("a"), Err((1, 64)), ok("b")]),
        (format!("{a}]{b}"), vec![ok("a"), Err((1, 63)), ok("b")]),
        (format!("{a}}}{b}"), vec![ok("a"), Err((1, 63)), ok("b")]),
        (format!("[{a},]{b}"), vec![ok("a"), Err((1, 65)), ok("b")]),
        (format!("[,{a}]{b}"), vec![Err((1, 2)), ok("a"), ok("b")]),
        (format!("[{a},,{b}]"), vec![ok("a"), Err((1, 65)), ok("b")]),
        (format!("[{a} 7,{b}]"), vec![ok("a"), Err((1, 65)), ok("b")]),
        (format!("[{a} [{b}]]"), vec![ok("a"), Err((1, 65)), ok("b")]),
        (format!("[[{a}],{b}]"), vec![Err((1, 2)), ok("a"), ok("b")]),
        (format!("[\n[{a}]\n{b}"), vec![Err((2, 1)), ok("a"), ok("b")]),
    ];
    for (body, expected) in cases {
        assert_eq!(rules(&body), expected, "{body}");
    }
}

#[test]
fn after_what_is_not_json_the_next_line_of_an_alert_or_an_array_is_read() {
    let [a, b, c, d, e] = ["a", "b", "c", "d", "e"].map(alert);
    let cases = [
        (format!("junk\n[{c}]"), vec![Err((1, 1)), ok("c")]),
        (
            format!("junk\n \n\t[\n{c},\n{d}]"),
            vec![Err((1, 1)), ok("c"), ok("d")],
        ),
        (
            format!("{a},{b}\n[{c},]x{d}\n{e}"),
            vec![ok("a"), ok("b"), ok("c"), Err((2, 65)), Err((2, 66)), ok("e")],
        ),
        (
            format!("[{a},{{\"rule\":\n{b},\n{c}]\n{d}"),
            vec![ok("a"), Err((3, 1)), ok("b"), ok("c"), ok("d")],
        ),
        (
            format!("[{a},\njunk\n[{b},{c},]\n{d}"),
            vec![ok("a"), Err((2, 1)), ok("b"), ok("c"), Err((3, 128)), ok("d")],
        ),
        (
            format!("[{a} junk {b}\n{c}\n]{d}"),
            vec![ok("a"), Err((1, 65)), ok("c"), ok("d")],
        ),
        (
            format!("{{\"rule\":\n[{a},\n{b}]\nx"),
            vec![Err((4, 1)), ok("a"), ok("b"), Err((4, 1))],
        ),
        (format!("echo {a}\n{b}"), vec![Err((1, 1)), ok("b")]),
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

/// How many items a body of so many KiB of pieces has, and how often its bytes are looked at.
fn work(head: &str, piece: &str, tail: &str, kib: usize) -> (usize, usize) {
    let body = [head, &piece.repeat((kib << 10) / piece.len()), tail].concat();
    let mut reads = read_all(body.as_bytes());
    let items = reads.by_ref().count();
    assert!(
        items <= body.len() && reads.looks() <= 125 * body.len() && reads.looks() >= body.len() / 2,
        "{piece:?}: {items}, {}",
        reads.looks()
    );
    (items, reads.looks())
}

/// Four times the text is four times the work, or a little more: not sixteen times.
fn is_linear(head: &str, piece: &str, tail: &str, kib: usize) {
    let (small, large) = (work(head, piece, tail, kib), work(head, piece, tail, 4 * kib));
    let linear = |small: usize, large: usize| large <= 5 * small + 10;
    assert!(
        linear(small.0, large.0) && linear(small.1, large.1),
        "{piece:?}: {small:?}, {large:?}"
    );
}

/// Faults cost no more than the text they are in: in a second, not in an hour.
#[test]
fn many_faults_are_read_in_one_pass() {
    let alert = alert("a") + "\n";
    let pieces = [
        "{\n",
        "{\"a\":\n",
        "x{\"a\":\n",
        "[",
        "[\n",
        "[{",
        "[{\n",
        "[{},",
        "[{},\n",
        "{}x\n",
        ",",
        ",\n",
        "]",
        "}",
        "\"",
        "\"\n",
        "\"{",
        "x",
        "x\n",
        "null\n",
        "\u{fffd}[",
        &alert,
    ];
    for piece in pieces {
        is_linear("", piece, "", 32);
    }
}

/// Each of these lines is looked at from each of 120 lines before it, so there are fewer of them.
#[test]
fn many_faults_that_nest_are_read_in_one_pass() {
    for piece in [
        "{\"a\":[\n{},\n",
        "[\n{\"a\":\n",
        "[{},{\"a\":\n",
        "{}x{\"a\":\n",
        "{\"a\":[{\"b\":[\n",
        "[[{\"a\":\n",
    ] {
        is_linear("", piece, "", 2);
    }
}

/// What is right is not read again for each fault around it.
#[test]
fn what_is_right_in_a_fault_is_read_once_more_for_each_level() {
    is_linear("{\"a\":[\n", "{\"b\":[]},\n", "x", 32);
    is_linear("[\n", "{\"b\":[]},\n", "x", 32);
    is_linear("{\"a\":\n", "{\"b\":{\n}}\n", "", 32);
    is_linear(&"{\"a\":[\n".repeat(60), "{},\n", "x", 8);
}
