//! What is said of policies: diagnostics, warnings, explanations, the effective policy and the schema.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test may stop")]
#![expect(
    clippy::disallowed_methods,
    reason = "the test reads a file, and what is tested does not"
)]

use drop_core::policy::{Policies, Source, schema};
use falco_event::Alert;
use serde_json::{Value, json};

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
        - label: { labels: { hit: "true" } }
        - annotate: { annotations: { hit: "true" }, continueOnError: true }
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
    let config_map = Policies::parse(&[Source {
        name: "policies.yaml",
        text: "apiVersion: v1\nkind: ConfigMap\ndata: { policy.yaml: x }\n",
    }])
    .unwrap_err();
    insta::assert_snapshot!(config_map.to_string(), @r"
    error: a ConfigMap is no policy
     --> policies.yaml:2:7
      |
    2 | kind: ConfigMap
      |       ^^^^^^^^^ expected the texts under its `data`, each as a file
    ");
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
fn a_limit_of_a_response_that_only_records_can_never_bind() {
    let warned = |actions: &str| -> Vec<String> {
        let text = format!(
            "apiVersion: falco-drop.dev/v1alpha1\nkind: DropPolicy\nmetadata: {{ name: p }}\nspec:\n  responses:\n    - name: r\n      when: alert.rule = x\n      limits: [{{ scope: response, max: 1, per: 1m }}]\n      do: {actions}\n"
        );
        parse(&text).warnings().iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        warned("[{ record: {} }]"),
        ["p.yaml:8:16: this limit can never bind: the response only records"]
    );
    assert!(warned("[{ record: {} }, { delete: {} }]").is_empty());
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
    let both = [alert.as_bytes(), b"\n{\"rule\":1}\n"].concat();
    let both: Vec<_> = policies.explain_all(&both).collect();
    let first = both[0].as_ref().unwrap().to_string();
    let head = format!(
        "alert {} [Other] at 2026-01-02T03:04:05Z\ndangerous/broad\n",
        alert.id()
    );
    assert!(first.starts_with(&head), "{first}");
    assert_eq!(first.matches("\n\n").count(), 5, "{first}");
    assert!(both[1].is_err());
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
    let limited = |scope| format!("      limits: [{{ scope: {scope}, max: 1, per: 1m }}]\n{a}");
    assert!(!two(&limited("response"), "      when: alert.rule = x"));
    assert!(!two(&limited("workload"), "      when: alert.rule = x"));
}

#[test]
fn what_a_budget_or_a_limit_may_stop_leaves_something_to_the_next() {
    let warned = |limits: &str, first: &str| {
        let text = format!(
            "apiVersion: falco-drop.dev/v1alpha1\nkind: DropPolicy\nmetadata: {{ name: p }}\nspec:\n  mode: enforce\n  limits: [{limits}]\n  responses:\n    - {{ name: a, when: alert.rule = x, do: [{first}: {{}}] }}\n    - {{ name: b, when: alert.rule = x, do: [delete: {{}}] }}\n"
        );
        let warnings = parse(&text).warnings();
        warnings
            .iter()
            .any(|warning| warning.message.contains("never acts"))
    };
    let limit = |scope| format!("{{ scope: {scope}, max: 1, per: 1m }}");
    assert!(warned(&limit("policy"), "delete"));
    assert!(!warned(&limit("response"), "delete"));
    assert!(!warned(&limit("policy"), "evict"));
}

/// As much of JSON Schema as the policy's schema uses.
fn fits(schema: &Value, value: &Value) -> bool {
    let keyword = |name: &str| schema.get(name);
    let of_type = |name: &Value| match name.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => value.is_number(),
    };
    let typed = keyword("type").is_none_or(|name| {
        name.as_array()
            .map_or_else(|| of_type(name), |names| names.iter().any(of_type))
    });
    let equal = keyword("const").is_none_or(|constant| constant == value);
    let listed = keyword("enum").is_none_or(|words| words.as_array().unwrap().contains(value));
    let one = keyword("oneOf").is_none_or(|all| {
        all.as_array()
            .unwrap()
            .iter()
            .filter(|one| fits(one, value))
            .count()
            == 1
    });
    let pattern = keyword("pattern").zip(value.as_str());
    let matches = pattern.is_none_or(|(pattern, text)| {
        regex::Regex::new(pattern.as_str().unwrap())
            .unwrap()
            .is_match(text)
    });
    let least = keyword("minimum")
        .zip(value.as_i64())
        .is_none_or(|(least, number)| number >= least.as_i64().unwrap());
    let items = value.as_array().is_none_or(|items| {
        let enough = keyword("minItems").is_none_or(|least| items.len() as u64 >= least.as_u64().unwrap());
        enough && keyword("items").is_none_or(|item| items.iter().all(|value| fits(item, value)))
    });
    typed && equal && listed && one && matches && least && items && keys_fit(schema, value)
}

fn keys_fit(schema: &Value, value: &Value) -> bool {
    let Some(object) = value.as_object() else {
        return true;
    };
    let required = schema
        .get("required")
        .and_then(Value::as_array)
        .is_none_or(|keys| keys.iter().all(|key| object.contains_key(key.as_str().unwrap())));
    let other = schema.get("additionalProperties");
    let entry = |(key, value): (&String, &Value)| match (
        schema.get("properties").and_then(|known| known.get(key)),
        other,
    ) {
        (Some(known), _) => fits(known, value),
        (None, Some(Value::Bool(allowed))) => *allowed,
        (None, Some(of)) => fits(of, value),
        (None, None) => true,
    };
    required && object.iter().all(entry)
}

/// A policy in JSON with one place changed.
fn with(pointer: &str, value: Value) -> Value {
    let mut policy = json!({
        "apiVersion": "falco-drop.dev/v1alpha1", "kind": "DropPolicy",
        "metadata": {"name": "p", "labels": {"a": "b"}, "uid": "x"},
        "spec": {
            "mode": "enforce", "namespaces": ["shop"], "maxAlertAge": "1h30m", "lists": {"l": ["a", 1]}, "macros": {"m": "proc.name in (l)"},
            "fields": {"acme.x": "string list"},
            "responses": [{"name": "r", "mode": "observe", "when": "m", "minAvailable": "50%",
                "limits": [{"scope": "response", "max": 5, "per": "1h"}],
                "do": [{"label": {"labels": {"a": null}, "continueOnError": true}}, {"record": {}}, {"delete": {"gracePeriodSeconds": 0}}]}],
            "protect": {"namespaces": ["pay"], "namespaceSelector": {"matchLabels": {"a": "b"}},
                "workloads": [{"namespace": "shop", "kind": "StatefulSet", "name": "ledger"}]},
            "limits": [{"scope": "cluster", "max": 20, "per": "1m", "onBreach": "disarm"}],
        },
    });
    *policy.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
    policy
}

#[test]
fn the_schema_and_the_reader_agree() {
    let both = |policy: &Value| {
        let read = Policies::parse(&[Source {
            name: "p.json",
            text: &policy.to_string(),
        }]);
        (
            fits(&schema(), policy),
            read.map(|_| ()).map_err(|wrong| wrong.to_string()),
        )
    };
    assert_eq!(both(&with("/spec/mode", json!("enforce"))), (true, Ok(())));
    assert_eq!(
        both(&with("/spec/responses/0/minAvailable", json!(2))),
        (true, Ok(()))
    );
    assert_eq!(both(&with("/spec/limits", json!([]))), (true, Ok(())));
    let wrong = [
        ("/apiVersion", json!("v1")),
        ("/spec/mode", json!("on")),
        ("/spec/namespaces", json!([])),
        ("/spec/namespaces/0", json!("A")),
        ("/spec/maxAlertAge", json!(5)),
        ("/spec/maxAlertAge", json!("5 minutes")),
        ("/spec/fields", json!({"acme.x": "text"})),
        ("/spec/responses", json!([])),
        ("/spec/responses/0", json!({"name": "r", "when": "m", "does": []})),
        ("/spec/responses/0", Value::Null),
        ("/spec/responses/0/do", json!([])),
        ("/spec/responses/0/do/1", Value::Null),
        ("/spec/responses/0/do/1", json!({"record": {}, "delete": {}})),
        ("/spec/responses/0/do/2", json!({"delete": {"gracePeriods": 2}})),
        (
            "/spec/responses/0/do/2",
            json!({"delete": {"gracePeriodSeconds": -1}}),
        ),
        ("/spec/responses/0/do/2", json!({"delete": null})),
        ("/spec/limits/0/max", json!(0)),
        ("/spec/limits/0", Value::Null),
        ("/spec/protect/workloads/0/kind", json!("deployment")),
        ("/spec/protect/namespaceSelector", json!({})),
        ("/metadata", json!({"labels": {}})),
    ];
    for (pointer, value) in wrong {
        let (schema, read) = both(&with(pointer, value.clone()));
        assert!(!schema && read.is_err(), "{pointer} {value}: {schema} {read:?}");
    }
}

/// The fenced blocks of a page, by its path from the root.
fn blocks(page: &str) -> Vec<String> {
    let path = format!("{}/../{page}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let fenced = text.split("```").skip(1).step_by(2);
    fenced
        .filter_map(|block| Some(block.split_once('\n')?.1.to_owned()))
        .collect()
}

#[test]
fn the_examples_of_the_reference_are_read() {
    let policies = parse(&blocks("docs/src/reference-policy.md")[0]);
    assert_eq!(
        policies.iter().next().map(|policy| policy.responses.len()),
        Some(1)
    );
    let condition = &blocks("docs/src/reference-conditions.md")[0];
    let compiled =
        drop_core::condition::Condition::compile(condition, &drop_core::condition::Scope::default());
    assert!(compiled.is_ok(), "{compiled:?}");
}

/// A pod's own label would let whoever is in the pod exempt it.
#[test]
fn the_first_examples_rest_on_nothing_that_a_pod_says_of_itself() {
    let readme = blocks("README.md");
    let policy = readme
        .iter()
        .find(|block| block.starts_with("apiVersion: falco-drop"))
        .unwrap();
    let warnings = parse(policy).warnings();
    assert!(warnings.is_empty(), "{warnings}");

    let guide = blocks("docs/src/write-a-policy.md");
    let when = guide.iter().find(|block| block.starts_with("when: >")).unwrap();
    let when = when.replace('\n', "\n        ");
    let text = format!(
        "apiVersion: falco-drop.dev/v1alpha1\nkind: DropPolicy\nmetadata: {{ name: p }}\nspec:\n  responses:\n    - name: r\n      do: [{{ delete: {{}} }}]\n      {when}"
    );
    let warnings = parse(&text).warnings();
    assert!(warnings.is_empty(), "{warnings}");
    let without = text.replace("proc.pname exists and ", "");
    let warnings = parse(&without).warnings().to_string();
    assert!(warnings.contains("lacks `proc.pname`"), "{warnings}");
}
