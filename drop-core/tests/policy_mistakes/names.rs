//! Lists and macros, and what may be meant as one.

use super::{brief, good, policy, wrong};

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
    good(&text);
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
            "8:49 `trusted` is the name of a list, which cannot stand here",
        ),
        (
            "pod.namespace = in_trusted",
            "8:49 `in_trusted` is the name of a macro, which cannot stand here",
        ),
        (
            "pod.namespace in (in_trusted)",
            "8:51 `in_trusted` is the name of a macro, which cannot stand here",
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
        assert_eq!(got, [want], "{when}");
    }
    for when in [
        "pod.namespace in (\"trustd\")",
        "pod.namespace = \"trusted\"",
        "pod.namespace in (x)",
    ] {
        good(&text(when));
    }
}
