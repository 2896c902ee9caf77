//! Every mistake in a policy is an error, with its place and the right spelling.
#![expect(
    clippy::panic,
    clippy::too_many_lines,
    reason = "a test may stop, and its tables are long"
)]

use drop_core::policy::{Diagnostics, Policies, Source};

/// A policy with these responses and more keys in its `spec`.
fn policy(spec: &str) -> String {
    format!("apiVersion: falco-drop.dev/v1alpha1\nkind: DropPolicy\nmetadata:\n  name: p\nspec:\n{spec}")
}

fn response(when: &str) -> String {
    policy(&format!(
        "  responses:\n    - name: r\n      when: {when}\n      do:\n        - delete: {{}}\n"
    ))
}

fn wrong(text: &str) -> Diagnostics {
    match Policies::parse(&[Source { name: "p.yaml", text }]) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(wrong) => wrong,
    }
}

/// `line:column message [expected] (nearest)` of each.
fn brief(wrong: &Diagnostics) -> Vec<String> {
    let one = |one: &drop_core::policy::Diagnostic| {
        let nearest = one
            .nearest
            .as_ref()
            .map(|nearest| format!(" ({nearest})"))
            .unwrap_or_default();
        format!("{}:{} {}{nearest}", one.line, one.column, one.message)
    };
    wrong.iter().map(one).collect()
}

#[test]
fn a_key_that_is_not_known_is_an_error() {
    let good = response("alert.rule = x");
    let cases = [
        (
            "apiVersion: falco-drop.dev/v1alpha1",
            "apiVersion: falco-drop.dev/v1",
            "1:13 no such apiVersion: `falco-drop.dev/v1` (falco-drop.dev/v1alpha1)",
        ),
        ("kind:", "knd:", "2:1 no such key in a policy: `knd` (kind)"),
        (
            "spec:",
            "spec:\n  response: []",
            "6:3 no such key in `spec`: `response` (responses)",
        ),
        (
            "spec:",
            "spec:\n  mode: enfore",
            "6:9 no such mode: `enfore` (enforce)",
        ),
        (
            "      when: ",
            "      whn: x\n      when: ",
            "8:7 no such key in a response: `whn` (when)",
        ),
        (
            "- delete: {}",
            "- delte: {}",
            "10:11 no such action: `delte` (delete)",
        ),
        (
            "{}",
            "{ gracePeriods: 2 }",
            "10:21 no such key in `delete`: `gracePeriods` (gracePeriodSeconds)",
        ),
        ("{}", "{ gracePeriodSeconds: \"2\" }", "10:41 unexpected text"),
        ("{}", "{ gracePeriodSeconds: -1 }", "10:41 unexpected `-1`"),
        ("{}", "{ continueOnError: yes }", "10:38 unexpected text"),
        (
            "- delete: {}",
            "- record: {}\n          delete: {}",
            "10:11 an action has one name",
        ),
        (
            "- delete: {}",
            "- delete: {}\n        - label: { labels: { a: b } }",
            "11:11 this action is never reached: the one before ends the pod",
        ),
        (
            "- delete: {}",
            "- label: { labels: { a: \"b c\" } }",
            "10:33 `b c` cannot be the value of a label",
        ),
        (
            "- delete: {}",
            "- label: { labels: {} }",
            "10:28 `label` changes nothing",
        ),
        ("name: r", "name: R", "7:13 `R` cannot be a name"),
        (
            "  name: p",
            "  name: p\n  namespace: x",
            "5:3 no such key in `metadata`: `namespace`",
        ),
        (
            "  name: p",
            "  name: p\n  labels: { a: 1 }",
            "5:16 unexpected a number",
        ),
        ("spec:", "spec:\n  maxAlertAge: 5", "6:16 unexpected a number"),
        (
            "spec:",
            "spec:\n  maxAlertAge: 5 minutes",
            "6:16 `5 minutes` is no duration",
        ),
        (
            "spec:",
            "spec:\n  namespaces: []",
            "6:15 an empty list allows no namespace",
        ),
        (
            "spec:",
            "spec:\n  limits: [{ scope: pod, max: 1, per: 1m }]",
            "6:21 no such scope: `pod`",
        ),
        (
            "spec:",
            "spec:\n  limits: [{ scope: policy, max: 0, per: 1m }]",
            "6:34 unexpected `0`",
        ),
        (
            "spec:",
            "spec:\n  limits: [{ scope: policy, per: 1m }]",
            "6:12 the limit has no `max`",
        ),
        (
            "spec:",
            "spec:\n  protect: { workloads: [{ namespace: a, kind: deployment, name: b }] }",
            "6:48 `deployment` is no kind",
        ),
        (
            "spec:",
            "spec:\n  fields: { acme.x: uit }",
            "6:21 no such type: `uit` (uint)",
        ),
        (
            "spec:",
            "spec:\n  fields: { proc.name: uint }",
            "6:13 `proc.name` has its type already",
        ),
        (
            "spec:",
            "spec:\n  mode: observe\n  mode: enforce",
            "7:3 the key `mode` is there twice",
        ),
        (
            "      do:",
            "      minAvailable: 101%\n      do:",
            "9:21 `101%` is no share and no number of pods",
        ),
        (
            "      do:\n        - delete: {}",
            "      do: []",
            "9:11 the response does nothing",
        ),
    ];
    Policies::parse(&[Source {
        name: "p.yaml",
        text: &good,
    }])
    .unwrap();
    let mut bad = Vec::new();
    for (from, to, want) in cases {
        let text = good.replacen(from, to, 1);
        let got = brief(&wrong(&text));
        if !got.contains(&want.to_owned()) {
            bad.push(format!("{to}\n   want {want}\n   got {got:?}"));
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn what_must_be_there_is_missed() {
    for (key, want) in [
        ("name: r", "the response has no `name`"),
        ("when: alert.rule = x", "the response has no `when`"),
    ] {
        let text = response("alert.rule = x").replacen(key, "mode: observe", 1);
        assert!(
            brief(&wrong(&text)).iter().any(|line| line.ends_with(want)),
            "{key}: {}",
            wrong(&text)
        );
    }
    assert_eq!(
        brief(&wrong(&policy("  mode: enforce\n"))),
        ["6:3 `spec` has no `responses`"]
    );
    assert_eq!(brief(&wrong("spec: {}\n")).len(), 4);
    assert_eq!(
        brief(&wrong(&policy("  responses: []\n"))),
        ["6:14 the policy has no response"]
    );
}

/// The peer's mistakes (a condition that is dropped, widened, or read as something else) are errors here.
#[test]
fn a_condition_with_a_mistake_never_widens() {
    let cases = [
        ("\"\"", "8:14 the condition is empty"),
        ("proc.nmae = sh", "8:13 no such field: `proc.nmae` (proc.name)"),
        (
            "pod.labels[app] = x",
            "8:13 no such field: `pod.labels` (pod.label)",
        ),
        (
            "alert.field = x",
            "8:13 `alert.field` needs an argument: `alert.field[\"key\"]`",
        ),
        (
            "alert.priority >= Warnng",
            "8:31 `Warnng` is no priority (Warning)",
        ),
        ("alert.priority >= 4", "8:31 a priority is compared by its name"),
        (
            "alert.priority = Warnings",
            "8:30 `Warnings` is no priority (Warning)",
        ),
        ("proc.pid = 1.5", "8:24 `1.5` is no whole number"),
        ("proc.pid = 0x10", "8:24 `0x10` is no whole number"),
        (
            "user.uid = 4294967296",
            "8:24 `4294967296` does not fit the field's 32 bits",
        ),
        (
            "proc.pid contains 1",
            "8:22 `contains` does not go with a whole number",
        ),
        ("fd.sip = 10.0.0.0/8", "8:22 `10.0.0.0/8` is no IP address"),
        ("fd.snet = 10.0.0.0", "8:23 `10.0.0.0` is no network"),
        ("fd.sport = htps", "8:24 `htps` is no port (https)"),
        ("container.privileged = yes", "8:36 `yes` is no truth value"),
        (
            "proc.name regex \"(\"",
            "8:29 not a regular expression: unclosed group",
        ),
        (
            "evt.buffer bcontains 00",
            "8:24 `bcontains` compares bytes, and an alert carries none: Falco prints buffers as text or in base64, cut at 1 KiB",
        ),
        ("proc.name = sh AND fd.name exists", "8:28 unexpected `AND` (and)"),
        ("proc.name = sh && fd.name exists", "8:28 unexpected `&&` (and)"),
        ("proc.name contians sh", "8:23 unexpected `contians` (contains)"),
        (
            "proc.name in (a, b",
            "8:31 the condition ends too early: a `(` is not closed",
        ),
        (
            "(proc.name = sh",
            "8:28 the condition ends too early: a `(` is not closed",
        ),
        ("proc.name =", "8:24 the condition ends too early"),
        ("in_trusted", "8:13 no such macro: `in_trusted`"),
        ("proc.name in trusted", "8:26 no such list: `trusted`"),
        (
            "alert.rule = a and alert.rule = b",
            "8:13 the condition can never hold: no alert is of two rules, or of none",
        ),
        ("evt.arg = x", "8:13 `evt.arg` needs an argument: `evt.arg[…]`"),
        ("proc.name[1] = x", "8:13 `proc.name` takes no argument"),
        ("tolower(proc.aname) = x", "8:21 this field cannot be transformed"),
        (
            "proc.name = val(proc.pid)",
            "8:25 the left side is text and the right side is a whole number",
        ),
        (
            "proc.name = val(proc.aname)",
            "8:25 this field can only stand on the left side",
        ),
    ];
    let mut bad = Vec::new();
    for (when, want) in cases {
        let got = brief(&wrong(&response(when)));
        if got != [want] {
            bad.push(format!("{when}\n   want {want}\n   got {got:?}"));
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn names_are_checked_in_whatever_order_they_stand() {
    let names = |names: &str| {
        policy(&format!(
            "{names}  responses: [{{ name: r, when: alert.rule = x, do: [record: {{}}] }}]\n"
        ))
    };
    let cases = [
        (
            "  macros: { a: b, b: a }\n",
            vec![
                "6:13 the macro `a` stands for itself",
                "6:19 the macro `b` stands for itself",
            ],
        ),
        (
            "  lists: { a: [a] }\n",
            vec!["6:12 the list `a` stands for itself"],
        ),
        ("  macros: { a: nope }\n", vec!["6:16 no such macro: `nope`"]),
        (
            "  macros: { and: proc.name = x }\n",
            vec!["6:13 `and` is a word of the language"],
        ),
        (
            "  lists: { xyz: [1] }\n  macros: { xyz: proc.name = y }\n",
            vec!["7:13 the name `xyz` is taken"],
        ),
        (
            "  lists: { \"a b\": [1] }\n",
            vec!["6:12 `a b` cannot be the name of a list"],
        ),
        ("  lists: { a: [[b]] }\n", vec!["6:16 unexpected a list"]),
        // used by another macro, it is reported once
        (
            "  macros: { a: proc.nmae = x, b: a and a }\n",
            vec!["6:16 no such field: `proc.nmae` (proc.name)"],
        ),
    ];
    for (text, want) in cases {
        assert_eq!(brief(&wrong(&names(text))), want, "{text}");
    }
    // used before they are defined
    let text = names("  macros: { a: b or b, b: proc.name in (c) }\n  lists: { c: [d, e], d: [sh, bash] }\n");
    Policies::parse(&[Source {
        name: "p.yaml",
        text: &text,
    }])
    .unwrap_or_else(|wrong| panic!("{wrong}"));
}

#[test]
fn an_unquoted_item_that_may_be_a_name_asks_for_quotes() {
    let text = |when: &str| {
        let lists = "  lists: { trusted: [kube-system, falco] }\n  macros: { in_trusted: pod.namespace in (trusted) }\n";
        policy(&format!(
            "{lists}  responses: [{{ name: r, when: '{when}', do: [record: {{}}] }}]\n"
        ))
    };
    let cases = [
        (
            "pod.namespace in (trustd)",
            "8:51 `trustd` is nearly the name of the list `trusted` (trusted)",
        ),
        (
            "pod.namespace in (a, trusetd)",
            "8:54 `trusetd` is nearly the name of the list `trusted` (trusted)",
        ),
        (
            "pod.namespace = trusted",
            "8:49 `trusted` is the name of a list, which cannot stand here (trusted)",
        ),
        (
            "pod.namespace in (in_trustd)",
            "8:51 `in_trustd` is nearly the name of the macro `in_trusted` (in_trusted)",
        ),
        (
            "trusted",
            "8:33 `trusted` is a list, and stands alone where a condition should",
        ),
    ];
    for (when, want) in cases {
        let got = brief(&wrong(&text(when)));
        assert!(
            got == [want] || got.first().is_some_and(|first| first.starts_with(want)),
            "{when}: {got:#?}"
        );
    }
    for when in [
        "pod.namespace in (\"trustd\")",
        "pod.namespace = \"trusted\"",
        "pod.namespace in (x)",
    ] {
        Policies::parse(&[Source {
            name: "p.yaml",
            text: &text(when),
        }])
        .unwrap_or_else(|wrong| panic!("{wrong}"));
    }
}

#[test]
fn all_mistakes_of_all_files_are_reported_at_once() {
    let first = format!(
        "{}---\n{}",
        response("proc.nmae = sh"),
        response("alert.rule = x")
    );
    let second = response("alert.rule = x")
        .replace("mode", "mood")
        .replace("do:", "doo:");
    let wrong = Policies::parse(&[
        Source {
            name: "a.yaml",
            text: &first,
        },
        Source {
            name: "b.yaml",
            text: &second,
        },
    ])
    .unwrap_err();
    let places: Vec<_> = wrong
        .iter()
        .map(|one| format!("{}:{}", one.file, one.line))
        .collect();
    assert_eq!(places, ["a.yaml:8", "b.yaml:7", "b.yaml:9"]);
    let twice = Policies::parse(&[
        Source {
            name: "a.yaml",
            text: &response("alert.rule = x"),
        },
        Source {
            name: "b.yaml",
            text: &response("alert.rule = x"),
        },
    ]);
    assert_eq!(
        brief(&twice.unwrap_err()),
        ["4:9 two policies are named `p`; the other is in a.yaml"]
    );
}

#[test]
fn nesting_and_length_are_errors_and_no_crash() {
    let deep = format!("'{}a{}'", "(".repeat(100_000), ")".repeat(100_000));
    assert_eq!(
        brief(&wrong(&response(&deep))),
        ["8:14 the condition is too long: 200001 bytes, at most 65536"]
    );
    let deep = format!("'{}a{}'", "(".repeat(30_000), ")".repeat(30_000));
    assert_eq!(
        brief(&wrong(&response(&deep))),
        ["8:114 parentheses are nested more than 100 deep"]
    );
    let nots = format!("'{}proc.name = x'", "not ".repeat(10_000));
    Policies::parse(&[Source {
        name: "p",
        text: &response(&nots),
    }])
    .unwrap();
    // each macro twice the one before: 2^18 parts
    let macros: String = (1..19)
        .map(|i| format!("    m{i}x{i}: m{0}x{0} and m{0}x{0}\n", i - 1))
        .collect();
    let text = policy(&format!(
        "  macros:\n    m0x0: proc.name = x\n{macros}  responses: [{{ name: r, when: m18x18, do: [record: {{}}] }}]\n"
    ));
    assert!(
        brief(&wrong(&text)).iter().any(|line| line.contains("too large")),
        "{}",
        wrong(&text)
    );
    // as deep as may be, in text and by macros
    let deep = format!("'{}proc.name = x{}'", "(".repeat(100), ")".repeat(100));
    Policies::parse(&[Source {
        name: "p",
        text: &response(&deep),
    }])
    .unwrap();
    let chain = |length: usize| {
        let macros: String = (1..=length)
            .map(|i| format!("    k{i}z: not (k{}z and proc.pid = {i})\n", i - 1))
            .collect();
        policy(&format!(
            "  macros:\n    k0z: proc.name = x\n{macros}  responses: [{{ name: r, when: 'k{length}z', do: [record: {{}}] }}]\n"
        ))
    };
    let deepest = Policies::parse(&[Source {
        name: "p",
        text: &chain(110),
    }])
    .unwrap_or_else(|wrong| panic!("{wrong}"));
    assert_eq!(deepest.print().matches("proc.pid").count(), 110);
    assert!(
        brief(&wrong(&chain(130)))
            .iter()
            .any(|line| line.contains("too large"))
    );
    let lines = "[".repeat(100_000);
    assert_eq!(wrong(&lines).len(), 1);
}

/// Alert texts and policies are shown escaped, on one line each.
#[test]
fn what_is_shown_stays_on_its_line() {
    let text = response("\"proc.name\\n\\e[31m = x\"");
    let wrong = wrong(&text);
    let message = &wrong.iter().next().unwrap().message;
    assert!(!message.contains(['\n', '\u{1b}']), "{message:?}");
}
