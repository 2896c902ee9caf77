//! What is said of policies: diagnostics, warnings, explanations, the effective policy and the schema.
#![expect(clippy::panic, reason = "a test may stop")]
#![expect(
    clippy::disallowed_methods,
    reason = "the test reads a file, and what is tested does not"
)]

use drop_core::policy::{Policies, Source, schema};
use falco_event::Alert;

const DANGEROUS: &str = r#"apiVersion: falco-drop.dev/v1alpha1
kind: DropPolicy
metadata:
  name: dangerous
spec:
  mode: enforce
  namespaces: [kube-system, shop]
  lists:
    trusted: [registry.example.com/app]
  responses:
    - name: broad
      when: alert.rule = "Terminal shell in container"
      do:
        - delete: { gracePeriodSeconds: 0 }
    - name: narrow
      when: alert.rule = "Terminal shell in container" and proc.name = bash
      do:
        - delete: {}
    - name: race
      when: |
        alert.rule = "Other" and
          not container.image.repository in (trusted)
      do:
        - delete: {}
    - name: everything
      when: alert.priority >= Debug
      do:
        - evict: {}
    - name: unprinted
      when: alert.rule = "Third" and proc.vmsize > 1 and user.name != root
      limits:
        - { scope: response, max: 10, per: 1m }
        - { scope: response, max: 5, per: 1m }
      do:
        - label: { labels: { hit: "true" } }
  protect:
    namespaceSelector: { matchLabels: {} }
  limits: []
"#;

fn parse(text: &str) -> Policies {
    Policies::parse(&[Source { name: "p.yaml", text }]).unwrap_or_else(|wrong| panic!("{wrong}"))
}

#[test]
fn mistakes_are_shown_where_they_stand() {
    let text = r#"apiVersion: falco-drop.dev/v1alpha1
kind: DropPolicy
metadata:
  name: shells
spec:
  mod: enforce
  lists:
    trusted: [kube-system, falco]
  responses:
    - name: shell-in-container
      when: >-
        alert.rule = "Terminal shell in container"
        and not pod.namespace in (trustd)
        and proc.nmae = bash
      do:
        - delete: { gracePeriods: 2 }
"#;
    let wrong = Policies::parse(&[Source {
        name: "shells.yaml",
        text,
    }])
    .unwrap_err();
    insta::assert_snapshot!("mistakes", wrong.to_string());
    insta::assert_snapshot!("mistakes_json", serde_json::to_string_pretty(&wrong).unwrap());
    let syntax = Policies::parse(&[Source {
        name: "shells.yaml",
        text: "spec:\n  responses: [\n",
    }])
    .unwrap_err();
    insta::assert_snapshot!("no_yaml", syntax.to_string());
}

#[test]
fn what_is_dangerous_is_warned_of() {
    insta::assert_snapshot!("warnings", parse(DANGEROUS).warnings().to_string());
}

#[test]
fn a_careful_policy_has_no_warnings() {
    let text = r#"apiVersion: falco-drop.dev/v1alpha1
kind: DropPolicy
metadata: { name: careful }
spec:
  mode: enforce
  macros:
    trusted_image: container.image.repository in (registry.example.com/app)
  responses:
    - name: shell
      when: alert.rule = "Terminal shell in container" and container.image.repository exists and not trusted_image
      do: [{ delete: {} }]
    - name: other
      when: alert.rule = "Other" and proc.name in (sh) and proc.name != bash
      do: [{ delete: {} }]
"#;
    let warnings = parse(text).warnings();
    assert!(warnings.is_empty(), "{warnings}");
}

#[test]
fn every_part_is_explained() {
    let policies = parse(DANGEROUS);
    let alert = Alert::from_slice(
        br#"{"time":"2026-01-02T03:04:05Z","rule":"Other","priority":"Notice","output_fields":{"proc.name":"bash","container.image.repository":null}}"#,
    )
    .unwrap();
    let all: Vec<String> = policies
        .explain(&alert, None)
        .iter()
        .map(ToString::to_string)
        .collect();
    insta::assert_snapshot!("explanations", all.join("\n"));
    insta::assert_snapshot!(
        "explanation_json",
        serde_json::to_string_pretty(&policies.explain(&alert, None)[2]).unwrap()
    );
}

#[test]
fn what_is_printed_is_the_same_policy() {
    let text = DANGEROUS.replace(
        "  lists:",
        "  fields: { acme.score: uint, \"acme.x\": string list }\n  maxAlertAge: 90s\n  lists:",
    );
    let text = text.replace("matchLabels: {} }", "matchLabels: { a.b/c: \"true\" } }\n    namespaces: [pay]\n    workloads: [{ namespace: shop, kind: StatefulSet, name: ledger }]");
    let text = text.replace("- evict: {}", "- annotate: { annotations: { k: \"v \\\"w\\\"\\n\", gone: null }, continueOnError: true }\n        - record: {}\n      minAvailable: 50%");
    let first = parse(&text);
    let printed = first.print();
    insta::assert_snapshot!("printed", printed);
    let again = parse(&printed);
    assert_eq!(again.print(), printed);
    let shown = |policies: &Policies| format!("{:?}", policies.iter().collect::<Vec<_>>());
    assert_eq!(shown(&first), shown(&again));
    assert_eq!(first.protect(), again.protect());
    assert_ne!(first.hash(), again.hash());
}

#[test]
fn the_schema_in_the_docs_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/policy.schema.json");
    let current = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(path, &current).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == current,
        "docs/policy.schema.json is out of date: run this test with UPDATE_SCHEMA=1"
    );
}

#[test]
fn policies_that_cannot_hide_each_other_are_not_said_to() {
    let two = |first: &str, second: &str| {
        let responses = format!(
            "  responses:\n    - name: a\n{first}\n      do: [{{ delete: {{}} }}]\n    - name: b\n{second}\n      do: [{{ delete: {{}} }}]\n"
        );
        let text = format!(
            "apiVersion: falco-drop.dev/v1alpha1\nkind: DropPolicy\nmetadata: {{ name: p }}\nspec:\n  mode: enforce\n{responses}"
        );
        parse(&text)
            .warnings()
            .iter()
            .any(|warning| warning.message.contains("never acts"))
    };
    let a = "      when: alert.rule in (x, y)";
    assert!(two(a, "      when: alert.rule = x"));
    assert!(two(
        "      when: alert.priority >= Warning",
        "      when: alert.priority >= Critical and alert.rule = x"
    ));
    assert!(!two(a, "      when: alert.rule in (x, z)"));
    assert!(!two(
        "      mode: observe\n      when: alert.rule = x",
        "      when: alert.rule = x"
    ));
    assert!(!two(
        "      minAvailable: 1\n      when: alert.rule = x",
        "      when: alert.rule = x"
    ));
    assert!(!two(
        "      when: alert.rule = x and proc.name = y",
        "      when: alert.rule = x"
    ));
}
