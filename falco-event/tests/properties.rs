//! What holds for any alert and for any bytes.

use falco_event::proptest1::{self as generate, checks};
use falco_event::{Alert, ContainerId, Namespace, NodeName, PodName, PodUid, Value, read_all};
use proptest::prelude::*;

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

    #[test]
    fn no_bytes_do_harm(bytes in generate::body()) {
        prop_assert_eq!(checks::body(&bytes), Ok(()));
        prop_assert_eq!(checks::request(&bytes), Ok(()));
    }

    #[test]
    fn what_is_no_alert_names_no_one(json in generate::json()) {
        prop_assert_eq!(checks::body(json.as_bytes()), Ok(()));
        prop_assert!(read_all(json.as_bytes()).all(|read| read.is_err()));
    }

    #[test]
    fn a_generated_alert_is_read_and_written_anew(text in generate::alert_text()) {
        let alert = Alert::from_slice(text.as_bytes()).unwrap();
        prop_assert_eq!(alert.as_bytes(), text.as_bytes());
        prop_assert_eq!(checks::again(&alert), Ok(()));
        prop_assert_eq!(checks::edited(&alert), Ok(()));
    }

    #[test]
    fn an_alert_survives_every_way_through_cloudevents(alert in generate::alert()) {
        prop_assert_eq!(checks::sent(&alert), Ok(()));
    }

    #[test]
    fn the_offender_is_who_the_fields_say((offender, alert) in generate::alert_of()) {
        prop_assert_eq!(alert.offender(), &offender);
    }

    #[test]
    fn several_alerts_in_a_body_are_all_read(
        texts in prop::collection::vec(generate::alert_text(), 1..5),
        between in prop::sample::select(vec!["", "\n", " \r\n\t"]),
    ) {
        let joined = texts.join(between);
        let array = format!("[{}]", texts.join(&format!(",{between}")));
        for body in [joined, array] {
            let read: Vec<_> = read_all(body.as_bytes()).map(|alert| alert.unwrap().as_bytes().to_vec()).collect();
            prop_assert_eq!(&read, &texts.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>());
        }
    }

    /// A bad line loses itself only, whatever is wrong with it, if it has no line break.
    #[test]
    fn a_bad_line_loses_no_other(
        good in prop::collection::vec(line_of_alerts(), 2..5),
        bad in bad_line(),
        cut in any::<(prop::sample::Index, prop::sample::Index)>(),
    ) {
        let mut lines: Vec<Vec<u8>> = good.iter().map(|(line, _)| line.clone()).collect();
        let at = cut.0.index(lines.len());
        let truncated = lines[at].get(..cut.1.index(lines[at].len())).unwrap().to_vec();
        for bad in [bad.into_bytes(), truncated] {
            lines[at] = bad;
            let body = lines.join(&b'\n');
            prop_assert_eq!(checks::body(&body), Ok(()));
            let read: Vec<_> = read_all(&body).flatten().map(|alert| alert.as_bytes().to_vec()).collect();
            for (index, (_, alerts)) in good.iter().enumerate() {
                prop_assert!(index == at || alerts.iter().all(|alert| read.contains(alert)), "line {}: {:?}", index, String::from_utf8_lossy(&body));
            }
        }
    }

    #[test]
    fn what_is_no_name_never_becomes_one(text in prop_oneof![any::<String>(), "[a-z0-9./%_A-Z-]{0,300}"]) {
        let path_safe = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
        let dots = |name: &str| name.split('.').all(|part| !part.is_empty());
        if let Ok(name) = Namespace::try_from(text.as_str()) {
            prop_assert!(path_safe(name.as_str()) && name.as_str().len() <= 63 && !name.as_str().contains('.'));
        }
        if let Ok(name) = PodName::try_from(text.as_str()) {
            prop_assert!(path_safe(name.as_str()) && name.as_str().len() <= 253 && dots(name.as_str()));
        }
        if let Ok(name) = NodeName::try_from(text.as_str()) {
            prop_assert!(path_safe(name.as_str()) && dots(name.as_str()));
        }
        if let Ok(uid) = PodUid::try_from(text.as_str()) {
            prop_assert!(path_safe(uid.as_str()) && uid.as_str().len() <= 64 && !uid.as_str().contains('.'));
        }
        if let Ok(id) = ContainerId::try_from(text.as_str()) {
            prop_assert!(matches!(id.as_str().len(), 12 | 64));
            prop_assert!(id.as_str().bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
        }
    }

    #[test]
    fn numbers_keep_every_digit(number in "-?(0|[1-9][0-9]{0,50})(\\.[0-9]{1,30})?([eE][-+]?[0-9]{1,3})?") {
        let text = format!(r#"{{"rule":"r","priority":0,"time":"2026-01-01T00:00:00Z","output_fields":{{"n":{number}}}}}"#);
        let alert = Alert::from_slice(text.as_bytes()).unwrap();
        let Some(Value::Number(read)) = alert.fields().get("n") else { return Err(TestCaseError::fail("no number")) };
        prop_assert_eq!(read.as_str(), &number);
        let member = format!("\"n\":{number}");
        prop_assert!(serde_json::to_string(&alert).unwrap().contains(&member));
    }
}

/// An alert written on one line: what JSON allows as a blank between tokens is not in strings.
fn one_line(alert: &Alert) -> Vec<u8> {
    alert
        .as_bytes()
        .iter()
        .map(|byte| if *byte == b'\n' { b' ' } else { *byte })
        .collect()
}

/// A line, and the alerts in it: one, or some in an array, or with a comma between and after them.
fn line_of_alerts() -> impl Strategy<Value = (Vec<u8>, Vec<Vec<u8>>)> {
    let alerts = prop::collection::vec(generate::alert().prop_map(|alert| one_line(&alert)), 1..3);
    let around = prop::sample::select(vec![("", ""), ("[", "]"), ("", ","), ("[", ",]"), ("[", "],")]);
    (alerts, around).prop_map(|(alerts, (open, close))| {
        let line = [open.as_bytes(), &alerts.join(&b','), close.as_bytes()].concat();
        (line, alerts)
    })
}

/// Any text on one line, half of it made of what means something in JSON.
fn bad_line() -> impl Strategy<Value = String> {
    prop_oneof![
        "[^\\n]{0,40}",
        "([\\[\\]{},:x7 ]|\"a\"|\"|\"a\":\\[|\\{\"a\":){1,8}"
    ]
}
