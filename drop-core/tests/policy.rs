//! The document: what is read, and what is said of what is not.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test may stop")]

use std::time::Duration;

use drop_core::condition::Truth;
use drop_core::policy::{Action, DEFAULT_LIMITS, MinAvailable, Mode, OnBreach, Policies, Scope, Source};
use falco_event::Alert;

const WHOLE: &str = r#"
apiVersion: falco-drop.dev/v1alpha1
kind: DropPolicy
metadata:
  name: shells
spec:
  mode: enforce
  namespaces: [shop, web]
  maxAlertAge: 5m
  lists:
    trusted: [kube-system, falco]
  macros:
    in_trusted: pod.namespace in (trusted)
  fields:
    acme.score: uint
  responses:
    - name: shell-in-container
      mode: observe
      when: alert.rule = "Terminal shell in container" and not in_trusted
      minAvailable: 50%
      limits:
        - { scope: response, max: 5, per: 1h }
      do:
        - label: { labels: { security: hit, gone: null }, continueOnError: true }
        - delete: { gracePeriodSeconds: 0 }
    - name: score
      when: acme.score > 7
      do:
        - delete: {}
  protect:
    namespaces: [payments]
    namespaceSelector: { matchLabels: { falco-drop.dev/protect: "true" } }
    workloads:
      - { namespace: shop, kind: StatefulSet, name: ledger }
  limits:
    - { scope: workload, max: 2, per: 10m }
    - { scope: cluster, max: 20, per: 1m, onBreach: disarm }
"#;

fn parse(text: &str) -> Policies {
    Policies::parse(&[Source { name: "p.yaml", text }]).unwrap_or_else(|wrong| panic!("{wrong}"))
}

fn alert(rule: &str, fields: &str) -> Alert {
    let text = format!(
        r#"{{"time":"2026-01-02T03:04:05Z","rule":"{rule}","priority":"Notice","output_fields":{fields}}}"#
    );
    Alert::from_slice(text.as_bytes()).unwrap()
}

#[test]
fn every_key_of_the_document_is_read() {
    let policies = parse(WHOLE);
    let policy = policies.iter().next().unwrap();
    assert_eq!(policy.name, "shells");
    assert_eq!(policy.max_alert_age, Duration::from_secs(300));
    let namespaces: Vec<_> = policy
        .namespaces
        .iter()
        .flatten()
        .map(|name| name.as_str())
        .collect();
    assert_eq!(namespaces, ["shop", "web"]);
    let [shell, score] = policy.responses.as_slice() else {
        panic!("{:?}", policy.responses)
    };
    assert_eq!((shell.mode, score.mode), (Mode::Observe, Mode::Enforce));
    assert_eq!(shell.min_available, Some(MinAvailable::Percent(50)));
    assert_eq!(
        (shell.limits[0].scope, shell.limits[0].per),
        (Scope::Response, Duration::from_secs(3600))
    );
    assert_eq!(
        shell.when.to_string(),
        r#"alert.rule = "Terminal shell in container" and not pod.namespace in (kube-system, falco)"#
    );
    let labels = [
        ("gone".to_owned(), None),
        ("security".to_owned(), Some("hit".to_owned())),
    ]
    .into();
    assert_eq!(shell.actions[0].action, Action::Label { labels });
    assert!(shell.actions[0].continue_on_error);
    assert_eq!(
        shell.actions[1].action,
        Action::Delete {
            grace_period_seconds: 0
        }
    );
    assert_eq!(
        score.actions[0].action,
        Action::Delete {
            grace_period_seconds: 1
        }
    );
    assert_eq!(policy.limits[1].on_breach, OnBreach::Disarm);
    let protected: Vec<_> = policies
        .protect()
        .namespaces
        .iter()
        .map(|name| name.as_str())
        .collect();
    assert_eq!(
        protected,
        ["kube-node-lease", "kube-public", "kube-system", "payments"]
    );
    assert_eq!(policies.protect().workloads.len(), 1);
    assert!(
        policies.protect().namespace_selectors[0]
            .matches(&[("falco-drop.dev/protect".to_owned(), "true".to_owned())].into())
    );
    assert_eq!(policies.hash().len(), 64);
}

#[test]
fn what_is_left_out_has_its_default() {
    let policies = parse(
        "apiVersion: falco-drop.dev/v1alpha1\nkind: DropPolicy\nmetadata: {name: a}\nspec: {responses: [{name: r, when: alert.rule = x, do: [record: {}]}]}",
    );
    let policy = policies.iter().next().unwrap();
    assert_eq!(policy.responses[0].mode, Mode::Observe);
    assert_eq!(policy.namespaces, None);
    assert_eq!(policy.max_alert_age, Duration::from_secs(300));
    assert_eq!(policy.limits, DEFAULT_LIMITS);
}

#[test]
fn candidates_keep_the_order_of_the_documents() {
    let policies = parse(WHOLE);
    let names = |rule| {
        policies
            .candidates(rule)
            .map(|(_, response)| response.name.as_str())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names("Terminal shell in container"),
        ["shell-in-container", "score"]
    );
    assert_eq!(names("Other"), ["score"]);
    let (_, score) = policies.candidates("Other").next().unwrap();
    assert_eq!(
        score.when.eval(&alert("Other", r#"{"acme.score": 8}"#), None),
        Truth::True
    );
    assert_eq!(
        score.when.eval(&alert("Other", r#"{"acme.score": 7}"#), None),
        Truth::False
    );
}

#[test]
fn no_source_is_no_policy_and_an_empty_source_is_a_mistake() {
    assert_eq!(Policies::parse(&[]).unwrap().iter().count(), 0);
    for text in ["", "# only a comment\n", "---\n"] {
        let wrong = Policies::parse(&[Source { name: "p.yaml", text }]).unwrap_err();
        assert_eq!(wrong.iter().next().unwrap().message, "the file holds no policy");
    }
}

/// What is cut, doubled or replaced in a policy is read or refused, and shown; nothing panics.
#[test]
fn a_damaged_document_is_read_or_refused() {
    let pieces = [
        "", ":", "- ", "{", "}", "\n", "\"", "'", "|", "&a", "*a", "!x", "\u{feff}", "\t", "é", "0x", "#",
        "(", "not ",
    ];
    let mut refused = 0;
    for (i, (at, _)) in WHOLE.char_indices().enumerate().step_by(11) {
        let piece = pieces[i % pieces.len()];
        let (before, after) = WHOLE.split_at(at);
        for text in [
            before.to_owned(),
            format!("{before}{piece}{after}"),
            format!("{before}{}", after.get(1..).unwrap_or_default()),
        ] {
            if let Err(wrong) = Policies::parse(&[Source {
                name: "p.yaml",
                text: &text,
            }]) {
                assert!(!wrong.to_string().is_empty() && !wrong.is_empty(), "{text}");
                refused += 1;
            }
        }
    }
    assert!(refused > 150, "{refused}");
}
