//! The identity of an alert: equal on every way it can come, and of two alerts different.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::collections::BTreeSet;

use falco_event::{Alert, AlertId};

fn id(text: &str) -> AlertId {
    Alert::from_slice(text.as_bytes()).unwrap().id()
}

#[test]
fn the_same_alert_on_any_way_is_the_same() {
    let ways = [
        r#"{"hostname":"n","output":"o","output_fields":{"container.id":"f29b261f8831","k8s.ns.name":"a","k8s.pod.name":"b"},"priority":"Informational","rule":"r","source":"syscall","tags":["x","y"],"time":"2026-01-01T00:00:00.120000000Z"}"#,
        r#"{"uuid":"1","output":"o","priority":"Informational","rule":"r","time":"2026-01-01T00:00:00.12Z","output_fields":{"k8s.pod.name":"b","k8s.ns.name":"a","custom":"c","container.id":"f29b261f8831"},"source":"syscalls","tags":["y","x"],"hostname":"n"}"#,
        r#"{"rule":"r","priority":"info","time":"2026-01-01T01:00:00.12+01:00","hostname":"n","message":"m","output_fields":{"container.id":"f29b261f8831","k8s.ns.name":"a","k8s.pod.name":"b"}}"#,
        r#"{"rule":"r","priority":6,"time":{"seconds":1767225600,"nanos":120000000},"source":null,"hostname":"n","output_fields":{"container.id":"f29b261f8831","k8s.ns.name":"a","k8s.pod.name":"b","evt.time":1}}"#,
    ];
    let ids: BTreeSet<AlertId> = ways.into_iter().map(id).collect();
    assert_eq!(ids.len(), 1);
    let id = ids.first().unwrap();
    assert_eq!(
        id.to_string(),
        EXPECTED,
        "a change here makes every alert in flight a new one"
    );
    assert_eq!(EXPECTED.parse::<AlertId>().as_ref(), Ok(id));
    assert_eq!(
        serde_json::from_str::<AlertId>(&serde_json::to_string(id).unwrap()).unwrap(),
        *id
    );
}

const EXPECTED: &str = "90e7ea618a7059122e6dde25ef2b6874";

#[test]
fn alerts_that_differ_in_what_they_say_are_different() {
    let alert = |rule, time, source, host, fields: &str| {
        id(&format!(
            r#"{{"rule":"{rule}","priority":1,"time":"{time}","source":"{source}","hostname":"{host}","output_fields":{{{fields}}}}}"#
        ))
    };
    let (t, u) = ("2026-01-01T00:00:00.000000001Z", "2026-01-01T00:00:00.000000002Z");
    let ids = [
        alert("r", t, "syscall", "h", ""),
        alert("s", t, "syscall", "h", ""),
        alert("r", u, "syscall", "h", ""),
        alert("r", t, "k8s_audit", "h", ""),
        alert("r", t, "syscall", "i", ""),
        alert("rh", t, "syscall", "", ""),
        alert("r", t, "syscall", "h", r#""container.id":"host""#),
        alert("r", t, "syscall", "h", r#""container.id":"f29b261f8831""#),
        alert("r", t, "syscall", "h", r#""k8s.ns.name":"a""#),
        alert("r", t, "syscall", "h", r#""k8s.pod.name":"a""#),
        alert("r", t, "syscall", "h", r#""k8s.pod.uid":"a""#),
    ];
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
}
