//! Output fields: by Falco's names, with Falco's types, and missing in four ways.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use falco_event::{Alert, ElementType, FieldType, Missing, Typed, Value, field_type};

fn alert(fields: &str) -> Alert {
    let text = format!(
        r#"{{"rule":"r","priority":"Notice","time":"2026-01-01T00:00:00Z","output_fields":{{{fields}}}}}"#
    );
    Alert::from_slice(text.as_bytes()).unwrap()
}

#[test]
fn four_ways_to_be_missing_are_one_until_asked() {
    let alert = alert(r#""null":null,"na":"<NA>","empty":"","there":"<na>","list":[],"zero":0,"no":false"#);
    let fields = alert.fields();
    let missing = [
        ("absent", Missing::Absent),
        ("null", Missing::Null),
        ("na", Missing::NotAvailable),
        ("empty", Missing::Empty),
    ];
    for (name, how) in missing {
        assert_eq!(
            (fields.get(name), fields.typed(name), fields.missing(name)),
            (None, None, Some(how)),
            "{name}"
        );
    }
    for name in ["there", "list", "zero", "no"] {
        assert_eq!(fields.missing(name), None, "{name}");
        assert_eq!(fields.get(name), fields.raw(name), "{name}");
        assert!(fields.get(name).is_some(), "{name}");
    }
    assert_eq!(
        (fields.raw("na"), fields.raw("null"), fields.raw("absent")),
        (Some(Value::String("<NA>")), Some(Value::Null), None)
    );
    assert_eq!((fields.len(), fields.iter().count()), (7, 7));
}

#[test]
fn values_have_falcos_types() {
    let alert = alert(
        r#""proc.name":"sh","user.loginuid":-1,"fd.rport":3333,"proc.fdusage":0.5,"thread.cpu":3,"container.privileged":true,
        "fd.sip":"2001:db8::1","fd.cip":"10.0.0.7","evt.time.iso8601":1773216892118203947,"ka.req.pod.containers.image":["a","b"],
        "proc.exe_ino.ctime":18446744073709551615,"container.start_ts":1773216892118203947,"proc.aname[2]":"bash","user.uid":"0""#,
    );
    let fields = alert.fields();
    let time = falco_event::Timestamp::from_nanosecond(1_773_216_892_118_203_947).unwrap();
    let expected = [
        ("proc.name", Typed::String("sh")),
        ("user.loginuid", Typed::Integer(-1)),
        ("fd.rport", Typed::Unsigned(3333)),
        ("proc.fdusage", Typed::Double(0.5)),
        ("thread.cpu", Typed::Double(3.0)),
        ("container.privileged", Typed::Bool(true)),
        ("fd.sip", Typed::Ip("2001:db8::1".parse().unwrap())),
        ("fd.cip", Typed::Ip("10.0.0.7".parse().unwrap())),
        ("evt.time.iso8601", Typed::Time(time)),
        ("proc.aname[2]", Typed::String("bash")),
        ("user.uid", Typed::Unsigned(0)),
    ];
    for (name, typed) in expected {
        assert_eq!(fields.typed(name), Some(typed), "{name}");
    }
    let Some(Typed::List(list)) = fields.typed("ka.req.pod.containers.image") else {
        unreachable_list()
    };
    assert_eq!(
        list.iter().collect::<Vec<_>>(),
        [Value::String("a"), Value::String("b")]
    );
    assert_eq!((list.len(), list.is_empty()), (2, false));
}

#[expect(clippy::panic, reason = "a test stops where it fails")]
fn unreachable_list() -> ! {
    panic!("no list")
}

#[test]
fn a_value_of_another_type_comes_as_json() {
    let alert = alert(
        r#""proc.name":7,"user.loginuid":"root","evt.time":"09:20:49.620298462","fd.sip":"nowhere","acme.score":9,"fd.rport":-1,"proc.fdusage":1e400"#,
    );
    for (name, value) in alert.fields().iter() {
        assert_eq!(alert.fields().typed(name), Some(Typed::Json(value)), "{name}");
    }
}

#[test]
fn types_are_found_by_name_and_by_base() {
    let cases = [
        ("evt.time", Some(FieldType::Time)),
        ("evt.rawtime", Some(FieldType::Time)),
        ("evt.latency", Some(FieldType::Integer)),
        ("evt.buffer", Some(FieldType::String)),
        ("proc.tty", Some(FieldType::Unsigned)),
        ("fd.net", Some(FieldType::String)),
        ("evt.arg[0]", Some(FieldType::String)),
        ("evt.arg.flags", Some(FieldType::String)),
        ("k8s.pod.label[app.kubernetes.io/name]", Some(FieldType::String)),
        ("k8s.pod.label.app", Some(FieldType::String)),
        ("ka.uri.param[command]", Some(FieldType::String)),
        (
            "ka.req.pod.volumes.hostpath[0]",
            Some(FieldType::List(ElementType::String)),
        ),
        (
            "json.value[/resource/labels/policy_name]",
            Some(FieldType::String),
        ),
        ("proc.name[2]", None),
        ("proc.name.x", None),
        ("n_drops", None),
        ("", None),
        ("[", None),
    ];
    for (name, expected) in cases {
        assert_eq!(field_type(name), expected, "{name}");
    }
}

#[test]
fn fields_are_found_in_any_order_and_compared_without_it() {
    let names: Vec<String> = (0..300).map(|n| format!("f{}", n * 7919 % 300)).collect();
    let written: Vec<String> = names
        .iter()
        .map(|name| format!("\"{name}\":\"{name}\""))
        .collect();
    let mut sorted = written.clone();
    sorted.sort();
    let (any, ordered) = (alert(&written.join(",")), alert(&sorted.join(",")));
    for name in &names {
        assert_eq!(any.fields().get(name), Some(Value::String(name)));
        assert_eq!(ordered.fields().get(name), Some(Value::String(name)));
    }
    assert!(
        any.fields().iter().map(|(name, _)| name).eq(names.iter()),
        "in the order in which they were written"
    );
    assert_eq!(any.fields(), ordered.fields());
    assert_ne!(any, ordered);
}

/// The table against the data it was made of.
#[test]
#[ignore = "reads ../shared, which .ci/run has"]
fn every_field_of_falcos_tables_has_its_type() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data");
    let plugins = std::fs::read_to_string(format!("{folder}/fields_plugins.tsv")).unwrap();
    let plugins: Vec<_> = plugins
        .lines()
        .skip(1)
        .filter_map(|line| line.split('\t').nth(1).zip(line.split('\t').nth(2)))
        .collect();
    assert_eq!(plugins.len(), 805);
    for (name, falco) in plugins {
        let expected = match falco {
            "string" => FieldType::String,
            "string (list)" => FieldType::List(ElementType::String),
            "uint64" | "reltime" => FieldType::Unsigned,
            "bool" => FieldType::Bool,
            "ipaddr" => FieldType::Ip,
            _ => FieldType::Time,
        };
        assert_eq!(field_type(name), Some(expected), "{name}");
    }
    let libraries = std::fs::read_to_string(format!("{folder}/fields_libsinsp.tsv")).unwrap();
    for name in libraries
        .lines()
        .skip(1)
        .filter_map(|line| line.split('\t').nth(1))
    {
        assert!(field_type(name).is_some() || name == "evt.rawarg", "{name}");
    }
}
