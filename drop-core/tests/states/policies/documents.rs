//! The documents, each beside what a reader of it would say it allows.

use drop_core::policy::Mode;
use drop_core::ports::Target;

use super::{Document, Min, Response};
use crate::places::kind;

const fn on(name: &'static str, mode: Mode, matches: fn(&str, &Target) -> bool) -> Response {
    Response {
        name,
        mode,
        min_available: None,
        limits: &[],
        matches,
    }
}

const fn keeping(name: &'static str, min: Min, matches: fn(&str, &Target) -> bool) -> Response {
    Response {
        min_available: Some(min),
        ..on(name, ENFORCE, matches)
    }
}

fn a(rule: &str, _: &Target) -> bool {
    rule == "A"
}

fn b(rule: &str, _: &Target) -> bool {
    rule == "B"
}

fn any(_: &str, _: &Target) -> bool {
    true
}

const ENFORCE: Mode = Mode::Enforce;
const OBSERVE: Mode = Mode::Observe;

/// Every document.
pub(super) static DOCUMENTS: [Document; 13] = [
    Document {
        name: "plain",
        spec: "
  mode: enforce
  limits: [{ scope: workload, max: 2, per: 1m }]
  responses:
    - { name: plain-a, when: alert.rule = A, do: [delete: {}] }",
        limits: &[("workload", 2, 60)],
        max_alert_age: 300,
        responses: &[on("plain-a", ENFORCE, a)],
    },
    Document {
        name: "tight",
        spec: "
  mode: enforce
  limits: [{ scope: cluster, max: 1, per: 30s }]
  responses:
    - { name: tight-a, when: alert.rule = A, limits: [{ scope: response, max: 2, per: 5m }], do: [delete: {}] }
    - { name: tight-b, when: alert.rule = B, do: [evict: { gracePeriodSeconds: 5 }] }",
        limits: &[("cluster", 1, 30)],
        max_alert_age: 300,
        responses: &[
            Response {
                name: "tight-a",
                mode: ENFORCE,
                min_available: None,
                limits: &[("response", 2, 300)],
                matches: a,
            },
            on("tight-b", ENFORCE, b),
        ],
    },
    Document {
        name: "watch",
        spec: "
  responses:
    - { name: watch-a, when: alert.rule = A, do: [delete: {}] }
    - { name: watch-b, mode: enforce, when: alert.rule = B, do: [label: { labels: { seen: b } }] }",
        limits: &[],
        max_alert_age: 300,
        responses: &[on("watch-a", OBSERVE, a), on("watch-b", OBSERVE, b)],
    },
    Document {
        name: "mixed",
        spec: "
  mode: enforce
  limits: [{ scope: namespace, max: 3, per: 1m }]
  responses:
    - { name: mixed-mark, when: alert.rule = A, do: [label: { labels: { security: hit } }] }
    - { name: mixed-away, when: alert.rule = A and pod.namespace = elsewhere, do: [delete: {}] }
    - { name: mixed-look, mode: observe, when: alert.rule = A, do: [delete: {}] }
    - name: mixed-end
      when: alert.rule = A
      do: [label: { labels: { end: soon }, continueOnError: true }, delete: { gracePeriodSeconds: 3 }]
    - { name: mixed-late, when: 'alert.rule in (A, B)', do: [annotate: { annotations: { late: x } }] }",
        limits: &[("namespace", 3, 60)],
        max_alert_age: 300,
        responses: &[
            on("mixed-mark", ENFORCE, a),
            on("mixed-away", ENFORCE, |_, _| false),
            on("mixed-look", OBSERVE, a),
            on("mixed-end", ENFORCE, a),
            on("mixed-late", ENFORCE, any),
        ],
    },
    Document {
        name: "breaker",
        spec: "
  mode: enforce
  limits: [{ scope: workload, max: 1, per: 1m, onBreach: disarm }, { scope: policy, max: 3, per: 5m }]
  responses:
    - { name: breaker-a, when: alert.rule = A, do: [delete: {}] }
    - { name: breaker-b, when: alert.rule = B, do: [annotate: { annotations: { b: x } }] }",
        limits: &[("workload", 1, 60), ("policy", 3, 300)],
        max_alert_age: 300,
        responses: &[on("breaker-a", ENFORCE, a), on("breaker-b", ENFORCE, b)],
    },
    Document {
        name: "avail",
        spec: "
  mode: enforce
  limits: []
  responses:
    - { name: avail-any, when: 'alert.rule in (A, B)', minAvailable: 50%, do: [evict: {}] }",
        limits: &[],
        max_alert_age: 300,
        responses: &[keeping("avail-any", Min::Percent(50), any)],
    },
    Document {
        name: "force",
        spec: "
  mode: enforce
  limits: [{ scope: cluster, max: 2, per: 2m }]
  responses:
    - { name: force-a, when: alert.rule = A, do: [delete: { gracePeriodSeconds: 0 }] }
    - { name: force-b, when: alert.rule = B, do: [delete: { gracePeriodSeconds: 30 }] }",
        limits: &[("cluster", 2, 120)],
        max_alert_age: 300,
        responses: &[on("force-a", ENFORCE, a), on("force-b", ENFORCE, b)],
    },
    Document {
        name: "facts",
        spec: "
  mode: enforce
  limits: [{ scope: namespace, max: 1, per: 10s }]
  responses:
    - { name: facts-a, when: alert.rule = A and pod.owner.kind = StatefulSet, do: [delete: {}] }
    - { name: facts-b, when: 'alert.rule = B and ns.label[team] = red', do: [delete: {}] }",
        limits: &[("namespace", 1, 10)],
        max_alert_age: 300,
        responses: &[
            on("facts-a", ENFORCE, |rule, target| {
                rule == "A" && kind(target) == "StatefulSet"
            }),
            on("facts-b", ENFORCE, |rule, target| {
                rule == "B" && target.namespace.as_str() == "red"
            }),
        ],
    },
    Document {
        name: "note",
        spec: "
  mode: enforce
  responses:
    - { name: note-a, when: alert.rule = A, do: [record: {}] }
    - { name: note-b, when: alert.rule = B, do: [annotate: { annotations: { b: x } }, record: {}] }",
        limits: &[("workload", 5, 600), ("policy", 30, 60)],
        max_alert_age: 300,
        responses: &[on("note-a", ENFORCE, a), on("note-b", ENFORCE, b)],
    },
    Document {
        name: "steps",
        spec: "
  mode: enforce
  limits: [{ scope: response, max: 2, per: 1m }]
  responses:
    - { name: steps-a, when: alert.rule = A, do: [label: { labels: { step: one } }, evict: {}] }",
        limits: &[("response", 2, 60)],
        max_alert_age: 300,
        responses: &[on("steps-a", ENFORCE, a)],
    },
    Document {
        name: "short",
        spec: "
  mode: enforce
  maxAlertAge: 20s
  limits: [{ scope: policy, max: 2, per: 30s }]
  responses:
    - { name: short-a, when: alert.rule = A, do: [delete: {}] }",
        limits: &[("policy", 2, 30)],
        max_alert_age: 20,
        responses: &[on("short-a", ENFORCE, a)],
    },
    Document {
        name: "none",
        spec: "
  mode: enforce
  responses:
    - { name: none-z, when: alert.rule = Z, do: [delete: {}] }",
        limits: &[],
        max_alert_age: 300,
        responses: &[on("none-z", ENFORCE, |_, _| false)],
    },
    Document {
        name: "keep",
        spec: "
  mode: enforce
  limits: []
  responses:
    - { name: keep-a, when: alert.rule = A, minAvailable: 2, do: [delete: {}] }
    - { name: keep-b, when: alert.rule = B, minAvailable: 1, do: [delete: { gracePeriodSeconds: 30 }] }",
        limits: &[],
        max_alert_age: 300,
        responses: &[keeping("keep-a", Min::Pods(2), a), keeping("keep-b", Min::Pods(1), b)],
    },
];
