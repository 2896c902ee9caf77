//! All mistakes are reported at once: those of a part, of a document, and of several documents and files.

use drop_core::policy::{Policies, Source};

use super::{brief, policy, response, wrong};

/// `file:line:column message` of each mistake of two files.
fn of_two(first: &str, second: &str) -> Vec<String> {
    let source = |name, text| Source { name, text };
    let wrong = Policies::parse(&[source("a.yaml", first), source("b.yaml", second)]).unwrap_err();
    wrong.iter().map(ToString::to_string).collect()
}

#[test]
fn all_mistakes_of_all_files_are_reported_at_once() {
    let first = format!(
        "{}---\n{}",
        response("proc.nmae = sh"),
        response("alert.rule = x")
    );
    let second = response("alert.rule = x")
        .replace("kind:", "knd:")
        .replace("do:", "doo:");
    assert_eq!(
        of_two(&first, &second),
        [
            "a.yaml:8:13: no such field: `proc.nmae`; expected a field of Falco, its plugins, the envelope or the pod, or one that `spec.fields` declares; did you mean `proc.name`?",
            "a.yaml:15:9: two policies are named `p`; the other is in a.yaml",
            "b.yaml:1:1: the policy has no `kind`",
            "b.yaml:2:1: no such key in a policy: `knd`; expected `apiVersion`, `kind`, `metadata`, `spec`, `status`; did you mean `kind`?",
            "b.yaml:4:9: two policies are named `p`; the other is in a.yaml",
            "b.yaml:7:7: the response has no `do`",
            "b.yaml:9:7: no such key in a response: `doo`; expected `name`, `mode`, `when`, `minAvailable`, `limits`, `do`; did you mean `do`?",
        ]
    );
}

#[test]
fn two_policies_of_one_name_are_a_mistake() {
    let text = response("alert.rule = x");
    assert_eq!(
        of_two(&text, &text),
        ["b.yaml:4:9: two policies are named `p`; the other is in a.yaml"]
    );
    assert_eq!(
        of_two(&text.replace("spec:", "spc:"), &text),
        [
            "a.yaml:1:1: the policy has no `spec`",
            "a.yaml:5:1: no such key in a policy: `spc`; expected `apiVersion`, `kind`, `metadata`, `spec`, `status`; did you mean `spec`?",
            "b.yaml:4:9: two policies are named `p`; the other is in a.yaml",
        ]
    );
}

#[test]
fn two_responses_of_one_name_are_a_mistake_whatever_else_is_wrong_with_them() {
    let text = policy(
        "  responses:\n    - { name: r, when: nope, do: [record: {}] }\n    - { name: r, when: alert.rule = x, do: [] }\n",
    );
    assert_eq!(
        brief(&wrong(&text)),
        [
            "7:24 no such macro: `nope`",
            "8:15 two responses are named `r`",
            "8:44 the response does nothing",
        ]
    );
}

#[test]
fn a_mistake_in_a_response_hides_no_other() {
    let text = policy(
        "  responses:
    - name: r
      when: alert.rule = x
      minAvailable: 101%
      limits: [{ scope: pod, max: 1, per: 1m }]
      do:
        - delte: {}
        - label: { labels: { a: \"b c\" }, continueOnError: yes }
        - delete: {}
        - record: {}
",
    );
    assert_eq!(
        brief(&wrong(&text)),
        [
            "9:21 `101%` is no share and no number of pods",
            "10:25 no such scope: `pod`",
            "12:11 no such action: `delte` (delete)",
            "13:33 `b c` cannot be the value of a label",
            "13:59 unexpected text",
            "15:11 this action is never reached: the one before ends the pod",
        ]
    );
}

#[test]
fn a_mistake_in_a_protection_hides_no_other() {
    let text = response("alert.rule = x")
        + "  protect:
    namespaces: x
    namespaceSelector: {}
    workloads: [{ namespace: a, kind: deployment, name: b }]
";
    assert_eq!(
        brief(&wrong(&text)),
        [
            "12:17 unexpected text",
            "13:24 the selector has no `matchLabels`",
            "14:39 `deployment` is no kind",
        ]
    );
}
