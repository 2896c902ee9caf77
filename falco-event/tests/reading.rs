//! The envelope: who sends it how, what it must have, and what is refused.

use falco_event::{Alert, Fault, Priority, ReadError, Value, read_all};

const SENDERS: &[u8] = include_bytes!("fixtures/senders.jsonl");

fn read(text: &str) -> Result<Alert, ReadError> {
    Alert::from_slice(text.as_bytes())
}

fn with(member: &str) -> String {
    format!(r#"{{"rule":"r","priority":"Notice","time":"2026-01-01T00:00:00Z",{member}}}"#)
}

#[test]
fn every_sender_is_read() {
    let alerts: Vec<Alert> = read_all(SENDERS).map(|read| read.unwrap()).collect();
    assert_eq!(alerts.len(), 17);
    let bytes: Vec<u8> = alerts
        .iter()
        .flat_map(|alert| [alert.as_bytes(), b"\n"].concat())
        .collect();
    assert_eq!(bytes, SENDERS);
    let with_pod = alerts
        .iter()
        .filter(|alert| alert.offender().pod.is_some())
        .count();
    let internal = alerts.iter().filter(|alert| alert.is_internal()).count();
    let host = alerts.iter().filter(|alert| alert.offender().host).count();
    assert_eq!((with_pod, internal, host), (5, 3, 3));
    assert_eq!(
        alerts[2].id(),
        alerts[12].id(),
        "falcosidekick's copy of an alert"
    );
    for alert in &alerts {
        let anew = Alert::from_slice(&serde_json::to_vec(alert).unwrap()).unwrap();
        assert!(anew.says_same(alert), "{alert:?}");
    }
}

#[test]
fn an_alert_says_what_is_written() {
    let alert = Alert::from_slice(include_bytes!("fixtures/shell-in-pod.json")).unwrap();
    assert_eq!(alert.rule(), "Terminal shell in container");
    assert_eq!(alert.priority(), Priority::Notice);
    assert_eq!(alert.time().as_nanosecond(), 1_773_216_892_118_203_947);
    assert_eq!(
        (alert.source(), alert.hostname(), alert.message()),
        (Some("syscall"), Some("worker-2"), None)
    );
    assert!(
        alert
            .output()
            .unwrap()
            .starts_with("2026-03-11T08:14:52.118203947+0000: Notice A shell")
    );
    let tags: Vec<_> = alert.tags().collect();
    assert_eq!(
        tags,
        [
            "T1059",
            "container",
            "maturity_stable",
            "mitre_execution",
            "shell"
        ]
    );
    assert_eq!(alert.fields().len(), 17);
    assert_eq!(
        alert.fields().iter().next(),
        Some(("container.id", Value::String("4e1f90c3a7d2")))
    );
}

#[test]
fn three_members_are_required() {
    let all = [
        ("rule", r#""r""#),
        ("priority", r#""Notice""#),
        ("time", r#""2026-01-01T00:00:00Z""#),
    ];
    for (missing, _) in all {
        for value in [None, Some("null"), Some("\"\"")] {
            let members: Vec<_> = all
                .iter()
                .filter_map(|(name, good)| Some((name, if *name == missing { value? } else { good })))
                .map(|(name, value)| format!(r#""{name}":{value}"#))
                .collect();
            let error = read(&format!("{{{}}}", members.join(","))).unwrap_err();
            assert_eq!(
                error.fault(),
                &Fault::Missing {
                    members: vec![missing]
                },
                "{value:?}"
            );
        }
    }
}

#[test]
fn the_others_may_be_missing_null_or_empty() {
    for name in ["source", "hostname", "output", "message", "tags", "output_fields"] {
        for value in ["null", "\"\""] {
            let alert = read(&with(&format!(r#""{name}":{value}"#))).unwrap();
            let none = (alert.source(), alert.hostname(), alert.output(), alert.message());
            assert_eq!(none, (None, None, None, None), "{name}");
            assert_eq!((alert.tags().count(), alert.fields().len()), (0, 0), "{name}");
        }
    }
    let alert = read(&with(r#""tags":[],"output_fields":{}"#)).unwrap();
    assert_eq!((alert.tags().count(), alert.fields().is_empty()), (0, true));
}

#[test]
fn priorities_in_every_spelling() {
    for priority in Priority::ALL {
        let (word, number) = (priority.as_str(), priority.severity());
        for spelled in [
            format!("\"{word}\""),
            format!("\"{}\"", word.to_uppercase()),
            number.to_string(),
        ] {
            let text = format!(r#"{{"rule":"r","time":"2026-01-01T00:00:00Z","priority":{spelled}}}"#);
            assert_eq!(read(&text).unwrap().priority(), priority, "{spelled}");
            assert_eq!(serde_json::from_str::<Priority>(&spelled).unwrap(), priority);
        }
    }
    assert_eq!("info".parse(), Ok(Priority::Informational));
    assert!(Priority::Emergency < Priority::Debug && Priority::Error.at_least(Priority::Error));
    assert!(!Priority::Debug.at_least(Priority::Notice));
    for bad in ["8", "-1", "1.0", "true", "\"warn\"", "[]"] {
        let text = format!(r#"{{"rule":"r","time":"2026-01-01T00:00:00Z","priority":{bad}}}"#);
        assert!(
            matches!(
                read(&text).unwrap_err().fault(),
                Fault::Member {
                    member: "priority",
                    ..
                }
            ),
            "{bad}"
        );
    }
}

#[test]
fn times_in_every_spelling() {
    let good = [
        (r#""2026-01-01T00:00:01.120000000Z""#, 120_000_000),
        (r#""2026-01-01T00:00:01.12Z""#, 120_000_000),
        (r#""2026-01-01T00:00:01Z""#, 0),
        (r#""2026-01-01T01:00:01.000123+01:00""#, 123_000),
        (r#""2026-01-01T00:00:01.000123456+0000""#, 123_456),
        (r#""2026-01-01T00:00:01.5Z+2""#, 500_000_000),
        (r#"{"seconds":1767225601,"nanos":7}"#, 7),
        (r#"{"nanos":7,"seconds":"1767225601"}"#, 7),
        (r#"{"seconds":1767225601}"#, 0),
    ];
    for (spelled, nanos) in good {
        let alert = read(&format!(r#"{{"rule":"r","priority":0,"time":{spelled}}}"#)).unwrap();
        assert_eq!(
            alert.time().as_nanosecond(),
            1_767_225_601_000_000_000 + nanos,
            "{spelled}"
        );
    }
    let bad = [
        "1767225601",
        "\"yesterday\"",
        "\"2026-13-01T00:00:00Z\"",
        "\"2026-01-01T00:00:00\"",
        "{}",
        "[]",
        r#"{"seconds":1,"nanos":1000000000}"#,
        r#"{"seconds":1e3}"#,
        r#"{"seconds":99999999999999}"#,
    ];
    for spelled in bad {
        let error = read(&format!(r#"{{"rule":"r","priority":0,"time":{spelled}}}"#)).unwrap_err();
        assert!(
            matches!(error.fault(), Fault::Member { member: "time", .. }),
            "{spelled}: {error}"
        );
        assert_eq!(error.offset(), 32, "{spelled}");
    }
}

#[test]
fn of_a_member_that_is_there_twice_the_last_counts() {
    let alert = read(&with(
        r#""rule":"last","output_fields":{"a":1},"output_fields":{"b":1,"a":2,"b":3}"#,
    ))
    .unwrap();
    assert_eq!(alert.rule(), "last");
    let fields: Vec<_> = alert
        .fields()
        .iter()
        .map(|(name, value)| (name, serde_json::to_string(&value).unwrap()))
        .collect();
    assert_eq!(fields, [("a", "2".to_owned()), ("b", "3".to_owned())]);
    assert_eq!(
        read(&with(r#""rule":null"#)).unwrap_err().fault(),
        &Fault::Missing {
            members: vec!["rule"]
        }
    );
}

#[test]
fn names_of_members_are_read_in_any_case_and_with_escapes() {
    let alert =
        read(r#"{"RULE":"r","Priority":"Notice","TIME":"2026-01-01T00:00:00Z","Output_Fields":{"A":1}}"#)
            .unwrap();
    assert_eq!((alert.rule(), alert.fields().len()), ("r", 1));
    let alert = read(&with(
        r#""ou\u0074put":"by escape","output_fields":{"proc\u002ename":"sh"}"#,
    ))
    .unwrap();
    assert_eq!(alert.fields().get("proc.name"), Some(Value::String("sh")));
    assert_eq!(alert.output(), Some("by escape"));
}

#[test]
fn members_that_are_not_falcos_survive() {
    let alert = read(&with(
        r#""uuid":"7","nested":{"a":[1,{"b":null}]},"list":[[1,[2]],3]"#,
    ))
    .unwrap();
    let others: Vec<_> = alert
        .others()
        .map(|(name, value)| (name, serde_json::to_string(&value).unwrap()))
        .collect();
    let expected = [
        ("uuid", r#""7""#),
        ("nested", r#"{"a":[1,{"b":null}]}"#),
        ("list", "[[1,[2]],3]"),
    ];
    assert_eq!(others, expected.map(|(name, value)| (name, value.to_owned())));
}
