//! The keys and values of a document.

use super::{brief, each_is_among_the_mistakes, policy, response, wrong};

#[test]
fn a_document_says_what_it_is_and_is_named() {
    each_is_among_the_mistakes(&[
        (
            "apiVersion: falco-drop.dev/v1alpha1",
            "apiVersion: falco-drop.dev/v1",
            "1:13 no such apiVersion: `falco-drop.dev/v1` (falco-drop.dev/v1alpha1)",
        ),
        ("kind:", "knd:", "2:1 no such key in a policy: `knd` (kind)"),
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
    ]);
}

#[test]
fn the_spec_has_these_keys_and_values() {
    each_is_among_the_mistakes(&[
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
    ]);
}

#[test]
fn a_response_has_these_keys_and_values() {
    each_is_among_the_mistakes(&[
        (
            "      when: ",
            "      whn: x\n      when: ",
            "8:7 no such key in a response: `whn` (when)",
        ),
        ("name: r", "name: R", "7:13 `R` cannot be a name"),
        (
            "      do:",
            "      minAvailable: 101%\n      do:",
            "9:21 `101%` is no share and no number of pods",
        ),
    ]);
}

#[test]
fn limits_and_protections_have_these_keys_and_values() {
    each_is_among_the_mistakes(&[
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
    ]);
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
