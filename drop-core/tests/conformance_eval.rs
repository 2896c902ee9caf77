//! Falco's own cases of typing and evaluation, over fields that an alert can carry.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test may stop")]
#![expect(
    clippy::disallowed_methods,
    reason = "the test reads a file, and what is tested does not"
)]

use std::path::Path;

use drop_core::condition::{Condition, Scope, Truth};
use falco_event::Alert;
use serde_json::{Value, json};

fn cases() -> Vec<Value> {
    let path = Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../shared/data/filter_cases.jsonl"
    ));
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The fields of Falco's mock and sample plugins, which its tests use beside its own.
fn scope() -> Scope {
    let mut scope = Scope::default();
    for name in [
        "c.true",
        "c.false",
        "c.doublequote",
        "c.singlequote",
        "sample.proc_name",
        "sample.tick",
    ] {
        scope.add_field(name, "string").unwrap();
    }
    scope.add_field("sample.is_open", "uint").unwrap();
    scope
}

/// What the synthetic event of a test gives an alert.
fn fields(suite: &str, test: &str, input: &str) -> Value {
    match (suite, test) {
        ("compiler", "filter_cache_corner_cases") => {
            json!({"sample.is_open": 0, "evt.arg[1]": "/test/dir", "fd.cip": "1.1.1.1", "evt.source": "syscall"})
        }
        ("compiler", "filter_cache_unary_check_plugin_ptr_instability") => {
            json!({"sample.proc_name": "init", "sample.tick": "false"})
        }
        ("compiler", _) => json!({"c.true": "1", "c.false": "0", "c.doublequote": "hello \"quoted\"",
            "c.singlequote": "hello 'quoted'", "evt.args": "x", "evt.source": "syscall", "syscall.type": "getcwd", "evt.type": "getcwd"}),
        ("filter_op_pmatch", _) => json!({"fd.name": "/opt/dir/subdir/file.txt"}),
        ("filter_op_contains", _) => json!({"evt.arg.flags": "O_CREAT|O_RDWR", "fd.name": "/tmp/the_file"}),
        ("filter_op_net_compare", test) | (_, test) if test.contains("ipv6") => {
            json!({"fd.cip": "::1", "fd.sip": "2001:4860:4860::8888", "fd.lip": "2001:4860:4860::8888", "fd.rip": "::1"})
        }
        (_, test) if test.starts_with("net_") => {
            json!({"fd.cip": "172.40.111.222", "fd.sip": "142.251.111.147"})
        }
        ("filter_op_numeric_compare", _) | (_, "signed_int_compare") => {
            json!({"evt.cpu": 1, "evt.rawarg.res": -65534, "fd.num": -1})
        }
        (suite, _) if suite.starts_with("filter_op_bytebuf") => json!({"evt.buffer": "hello"}),
        (suite, _) if suite.starts_with("filterchecks") => json!({"proc.name": "myexe"}),
        (suite, _) if suite.starts_with("filter_transformer") => {
            json!({"fd.name": "/tmp/file_to_run", "fd.directory": "/tmp", "fd.types": ["file"]})
        }
        other => panic!("no event for {other:?} {input}"),
    }
}

fn alert(fields: &Value) -> Alert {
    let alert = json!({"time": "2026-01-02T03:04:05Z", "rule": "r", "priority": "Notice", "source": "syscall", "output_fields": fields});
    Alert::from_slice(alert.to_string().as_bytes()).unwrap()
}

/// Cases of what no alert carries, or what this language refuses on purpose; the reference says why.
fn is_left_out(input: &str) -> bool {
    // byte buffers: an alert has their text only
    input.contains("bcontains") || input.contains("bstartswith") || input.contains("c.buffer")
}

#[test]
#[ignore = "reads ../shared, which .ci/run has"]
fn falco_types_the_same() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for case in cases() {
        let (kind, input) = (case["kind"].as_str().unwrap(), case["input"].as_str().unwrap());
        let good = match kind {
            "compile_ok" => true,
            "compile_fail" => false,
            _ => continue,
        };
        if is_left_out(input) && good {
            continue;
        }
        seen += 1;
        let compiled = Condition::compile(input, &scope());
        if compiled.is_ok() != good {
            wrong.push(format!("{kind}: {input}\n    {:?}", compiled.err()));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {seen}\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
#[ignore = "reads ../shared, which .ci/run has"]
fn falco_evaluates_the_same() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for case in cases() {
        let text = |key: &str| case[key].as_str().unwrap();
        if !text("kind").starts_with("eval") {
            continue;
        }
        let input = text("input");
        if is_left_out(input) {
            continue;
        }
        let want = Truth::from(case["expect"].as_bool().unwrap());
        seen += 1;
        match Condition::compile(input, &scope()) {
            Ok(condition) => {
                let got = condition.eval(&alert(&fields(text("suite"), text("test"), input)), None);
                if got != want {
                    wrong.push(format!("{got:?}: {} {} {input}", text("suite"), text("test")));
                }
            }
            Err(problems) => wrong.push(format!("{input}\n    {problems:?}")),
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {seen}\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
#[ignore = "reads ../shared, which .ci/run has"]
fn falco_warns_of_the_same() {
    let mut seen = 0;
    for case in cases() {
        let Some(want) = case["warnings"].as_u64() else {
            continue;
        };
        let input = case["input"].as_str().unwrap();
        let condition =
            Condition::compile(input, &scope()).unwrap_or_else(|problems| panic!("{input}: {problems:?}"));
        let of_values = |message: &str| message.contains("as a text") || message.contains("end to end");
        let got = condition
            .dangers(&scope())
            .iter()
            .filter(|danger| of_values(&danger.message))
            .count();
        assert_eq!(got as u64, want, "{input}");
        seen += 1;
    }
    assert!(seen > 0);
}
