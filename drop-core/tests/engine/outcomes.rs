//! One outcome per alert, and the pod that it is about.

use std::time::Duration;

use drop_core::Outcome;
use drop_core::facts::{Facts, Known, Wants};
use drop_core::guard::{Guard, Verdict};
use drop_core::memory::{Call, Fault};
use drop_core::outcome::Ending;
use drop_core::past::Bounds;
use drop_core::pod::{Owner, Pod};
use drop_core::policy::{Mode, Policies, Source};
use drop_core::ports::{ApiError, ApplyError, By, Change, Found, PodApi, Presence, Target};
use drop_core::record::Decided;
use falco_event::{Alert, Timestamp};
use futures_executor::block_on;

use crate::world::{SHELL, World, policies};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn drops_the_pod_once_and_proves_it_gone() {
    let world = World::new();
    let pod = world.pod();
    let decided = world.handle(&policies(SHELL), &world.alert(&pod));
    assert_eq!(decided.outcome, Outcome::Acted { certain: true });
    assert_eq!(
        decided.to_string(),
        format!(
            "[Terminal shell in container] deleted {} from default because a shell",
            pod.name
        )
    );
    assert_eq!(world.confirm_after(2 * SECOND), 0);
    assert_eq!(world.cluster.pod_by_uid(&pod.uid), None);
    let closed = world.records.closed();
    assert_eq!(closed.len(), 1);
    assert_eq!(
        (closed[0].id, &closed[0].ending),
        (decided.id, &Ending::Confirmed { ours: true })
    );
    assert_eq!(world.pods().len(), 1, "the controller has replaced it");
    assert_eq!(world.touched(), 1);
}

#[test]
fn the_same_alert_again_is_a_duplicate_and_changes_nothing() {
    let world = World::new();
    let (policies, alert) = (policies(SHELL), world.alert(&world.pod()));
    let first = world.handle(&policies, &alert);
    world.confirm_after(2 * SECOND);
    let second = world.handle(&policies, &alert);
    assert_eq!(second.outcome, Outcome::Duplicate { of: first.id });
    assert_eq!(world.touched(), 1);
}

#[test]
fn several_alerts_for_one_pod_end_in_one_act() {
    let world = World::new();
    let (policies, pod) = (policies(SHELL), world.pod());
    world.handle(&policies, &world.alert(&pod));
    world.cluster.advance(Duration::from_millis(1));
    let second = world.handle(&policies, &world.alert(&pod));
    assert!(
        matches!(second.outcome, Outcome::Skipped { retryable: false, .. }),
        "{:?}",
        second.outcome
    );
    assert_eq!(world.touched(), 1);
}

#[test]
fn an_alert_that_no_response_matches_is_ignored_and_asks_the_cluster_nothing() {
    let world = World::new();
    world
        .cluster
        .fail(drop_core::memory::Call::Find, drop_core::memory::Fault::NeverSent);
    let policies = policies(&SHELL.replace("Terminal shell in container", "Another rule"));
    let decided = world.handle(&policies, &world.alert(&world.pod()));
    assert_eq!(decided.outcome, Outcome::Ignored);
    assert_eq!((decided.target, decided.responses), (None, vec![]));
    assert_eq!(world.records.decided().len(), 1);
}

#[test]
fn observe_decides_the_same_and_touches_nothing() {
    let world = World::new();
    let alert = world.alert(&world.pod());
    let observed = world.handle(&policies(&SHELL.replace("enforce", "observe")), &alert);
    assert_eq!(observed.outcome, Outcome::Observed);
    assert_eq!(observed.responses[0].judgement.mode, Mode::Observe);
    assert_eq!(world.touched(), 0);
    let other = World::new();
    let enforced = other.handle(&policies(SHELL), &other.alert(&other.pod()));
    let judged = |decided: &Decided| -> Vec<_> {
        let verdicts = &decided.responses[0].judgement.verdicts;
        let says = |verdict: &Verdict| (verdict.guard, verdict.passes());
        verdicts.iter().map(says).collect()
    };
    assert_eq!(judged(&observed), judged(&enforced));
}

/// A pod that would be gone lives on: what its successors would have raised is never seen.
#[test]
fn a_limit_of_would_be_acts_says_that_it_is_a_lower_bound() {
    let world = World::of(3);
    let observing = SHELL.replace(
        "mode: enforce",
        "mode: observe\n  limits: [{ scope: cluster, max: 2, per: 1m }]",
    );
    let policies = policies(&observing);
    for pod in world.pods() {
        let decided = world.handle(&policies, &world.alert(&pod));
        let verdicts = &decided.responses[0].judgement.verdicts;
        let limit = verdicts.iter().find(|verdict| verdict.guard == Guard::Limit);
        let said = limit.unwrap().says.to_string();
        assert!(
            said.contains("would-be acts, whose pods live on: a lower bound"),
            "{said}"
        );
    }
}

#[test]
fn the_more_careful_mode_counts() {
    let world = World::new();
    let policies = policies(&SHELL.replace("- name: shell", "- name: shell\n      mode: observe"));
    assert_eq!(
        world.handle(&policies, &world.alert(&world.pod())).outcome,
        Outcome::Observed
    );
    assert_eq!(world.touched(), 0);
}

#[test]
fn what_stops_a_response_is_final_and_said() {
    let kube_system = SHELL.replace(
        "mode: enforce",
        "mode: enforce\n  protect: { namespaces: [default] }",
    );
    let by_owner =
        "mode: enforce\n  protect: { workloads: [{ namespace: default, kind: Deployment, name: db }] }";
    let by_label = "mode: enforce\n  protect: { namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: default } } }";
    let cases = [
        (kube_system, Guard::Protected),
        (SHELL.replace("mode: enforce", by_owner), Guard::Protected),
        (SHELL.replace("mode: enforce", by_label), Guard::Protected),
        (
            SHELL.replace("mode: enforce", "mode: enforce\n  namespaces: [shop]"),
            Guard::Bounds,
        ),
        (
            SHELL.replace("- name: shell", "- name: shell\n      minAvailable: 1"),
            Guard::Availability,
        ),
    ];
    for (spec, expected) in cases {
        let world = World::new();
        let decided = world.handle(&policies(&spec), &world.alert(&world.pod()));
        let Outcome::Skipped { guard, retryable, .. } = &decided.outcome else {
            panic!("{spec}: {:?}", decided.outcome)
        };
        assert_eq!((*guard, *retryable), (expected, false), "{spec}");
        assert_eq!(world.touched(), 0, "{spec}");
    }
}

#[test]
fn every_response_that_matches_runs_until_one_ends_the_pod() {
    let world = World::new();
    let policies = policies(
        r#"
  mode: enforce
  responses:
    - { name: away, when: pod.namespace = elsewhere, do: [delete: {}] }
    - { name: watch, mode: observe, when: proc.name = bash, do: [delete: {}] }
    - { name: mark, when: proc.name = bash, do: [label: { labels: { security: hit } }] }
    - { name: end, when: proc.name = bash, do: [delete: { gracePeriodSeconds: 3 }] }
    - { name: late, when: proc.name = bash, do: [annotate: { annotations: { a: b } }] }
"#,
    );
    let decided = world.handle(&policies, &world.alert(&world.pod()));
    let results: Vec<_> = decided
        .responses
        .iter()
        .map(|a| (a.judgement.response.as_str(), a.result.label()))
        .collect();
    assert_eq!(
        results,
        [("watch", "observed"), ("mark", "acted"), ("end", "acted")]
    );
    assert_eq!(decided.outcome, Outcome::Acted { certain: true });
}

#[test]
fn old_and_future_alerts_are_skipped_without_a_look_up() {
    let cases = [
        (-301, Some(false)),
        (-300, None),
        (2, None),
        (3, Some(true)),
        (61, Some(false)),
    ];
    for (offset, expected) in cases {
        let world = World::new();
        let (pod, now) = (world.pod(), world.cluster.now());
        let at = Timestamp::from_second(now.as_second() + offset).unwrap();
        let alert = world.alert_at(at, |fields| {
            fields["container.id"] = pod.containers[0].id.to_string().into();
        });
        let decided = world.handle(&policies(SHELL), &alert);
        let waits = |retry: bool| matches!(decided.outcome, Outcome::Skipped { guard: Guard::AlertAge, retryable, .. } if retryable == retry);
        let age = [false, true].into_iter().find(|retry| waits(*retry));
        assert_eq!(age, expected, "{offset}: {:?}", decided.outcome);
        assert_eq!(decided.target.is_none(), expected.is_some());
    }
}

#[test]
fn an_alert_from_out_of_bounds_asks_the_cluster_nothing() {
    let out = [
        "mode: enforce\n  namespaces: [shop]",
        "mode: enforce\n  protect: { namespaces: [default] }",
    ];
    for spec in out.map(|with| SHELL.replace("mode: enforce", with)) {
        let world = World::new();
        let alert = world.alert(&world.pod());
        world.cluster.fail(Call::Find, Fault::NeverSent);
        let outcome = world.handle(&policies(&spec), &alert).outcome;
        assert!(
            matches!(
                outcome,
                Outcome::Skipped {
                    guard: Guard::Bounds | Guard::Protected,
                    retryable: false,
                    ..
                }
            ),
            "{outcome:?}"
        );
    }
}

#[test]
fn after_a_forced_deletion_absence_proves_nothing() {
    let world = World::new();
    let policies = policies(&SHELL.replace("delete: {}", "delete: { gracePeriodSeconds: 0 }"));
    world.handle(&policies, &world.alert(&world.pod()));
    assert_eq!(world.confirm_after(SECOND), 0);
    assert!(matches!(
        world.records.closed()[0].ending,
        Ending::Unconfirmed { .. }
    ));
}

#[test]
fn records_survive_json() {
    let world = World::new();
    world.handle(&policies(SHELL), &world.alert(&world.pod()));
    world.confirm_after(2 * SECOND);
    for record in world.records.all() {
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(
            serde_json::from_str::<drop_core::record::Record>(&text).unwrap(),
            record,
            "{text}"
        );
    }
}

#[test]
fn what_is_not_proven_at_the_end_is_told_once() {
    let world = World::new();
    let decided = world.handle(&policies(SHELL), &world.alert(&world.pod()));
    for _ in 0..2 {
        block_on(world.engine.leave("it has ended")).unwrap();
    }
    let closed = world.records.closed();
    let why = "it has ended".to_owned();
    assert_eq!(closed.len(), 1);
    assert_eq!(
        (closed[0].id, &closed[0].ending),
        (decided.id, &Ending::Unconfirmed { why })
    );
    assert_eq!(world.confirm_after(2 * SECOND), 0);
}

#[test]
fn where_nothing_was_done_the_alert_is_no_reason_for_it() {
    let world = World::new();
    let alert = world.alert(&world.pod());
    let handled = [(); 2].map(|()| world.handle(&policies(SHELL), &alert).to_string());
    assert!(
        handled[1].starts_with("[Terminal shell in container] duplicate")
            && handled[1].ends_with("; the alert: a shell"),
        "{handled:?}"
    );
}

#[test]
fn the_line_says_what_failed_whatever_was_done_before() {
    let world = World::new();
    let trial = "    - name: trial\n      mode: observe\n      when: alert.rule = \"Terminal shell in container\"\n      do: [evict: {}]\n";
    let two = SHELL.replace("  responses:\n", &format!("  responses:\n{trial}"));
    world.cluster.fail_next(
        Call::Delete,
        Fault::Answer(ApiError::Forbidden("no right".to_owned())),
    );
    let decided = world.handle(&policies(&two), &world.alert(&world.pod()));
    assert_eq!(decided.responses[0].result, Outcome::Observed);
    assert!(decided.to_string().contains("no right"), "{decided}");
}

/// Lines of the log wait in memory, and an attacker writes the texts.
#[test]
fn text_of_an_alert_makes_no_long_line() {
    let world = World::new();
    let long = "\u{7f}".repeat(100_000);
    let alert = serde_json::json!({
        "rule": long, "priority": "Notice", "time": world.cluster.now().to_string(), "output": long,
    });
    let alert = Alert::from_slice(alert.to_string().as_bytes()).unwrap();
    let line = world.handle(&policies(SHELL), &alert).to_string();
    assert!(line.len() < 20_000, "{}", line.len());
}

#[test]
fn text_of_an_alert_cannot_forge_a_line() {
    let world = World::new();
    let mut text = String::from_utf8(world.alert(&world.pod()).as_bytes().to_vec()).unwrap();
    text = text.replace("a shell", "x\\n[rule] deleted everything \\u001b[31m\\u202e");
    let alert = falco_event::Alert::from_slice(text.as_bytes()).unwrap();
    let line = world.handle(&policies(SHELL), &alert).to_string();
    assert!(
        line.ends_with("because x\\n[rule] deleted everything \\u{1b}[31m\\u{202e}"),
        "{line}"
    );
}

#[test]
fn an_owner_that_only_the_pod_names_protects_nothing() {
    let world = World::new();
    let spec = SHELL.replace(
        "mode: enforce",
        "mode: enforce\n  protect: { workloads: [{ namespace: default, kind: StatefulSet, name: ledger }] }",
    );
    let claims = Claims(world.cluster.clone());
    let engine = world.engine_over(std::sync::Arc::new(claims));
    let decided =
        futures_executor::block_on(engine.handle(&policies(&spec), &world.alert(&world.pod()), None));
    assert_eq!(decided.outcome, Outcome::Acted { certain: true }, "{decided:?}");
}

/// The cluster, whose pods say that a protected workload owns them, which the cluster does not confirm.
struct Claims(drop_core::memory::Cluster);

#[async_trait::async_trait]
impl PodApi for Claims {
    async fn find(&self, by: &By) -> Result<Found, ApiError> {
        let mut found = self.0.find(by).await?;
        for pod in &mut found.pods {
            pod.controller = Some(Owner {
                api_version: "apps/v1".to_owned(),
                kind: "StatefulSet".to_owned(),
                name: "ledger".to_owned(),
                uid: "forged".to_owned(),
            });
        }
        Ok(found)
    }
    async fn facts(&self, pod: Pod, wants: Wants) -> Facts {
        let mut facts = Facts::of(pod);
        facts.owner = if wants.owner {
            Known::Is(None)
        } else {
            Known::NotAsked
        };
        facts
    }
    async fn apply(&self, target: &Target, change: &Change, within: Duration) -> Result<(), ApplyError> {
        self.0.apply(target, change, within).await
    }
    async fn presence(&self, target: &Target) -> Result<Presence, ApiError> {
        self.0.presence(target).await
    }
}

#[test]
fn what_stops_an_alert_for_good_comes_before_its_clock() {
    let world = World::new();
    let alert = world.alert_at(world.cluster.now() + Duration::from_secs(30), |fields| {
        fields["k8s.ns.name"] = "kube-system".into();
        fields["k8s.pod.name"] = "x".into();
        fields["container.id"] = "0123456789ab".into();
    });
    let outcome = world.handle(&policies(SHELL), &alert).outcome;
    assert!(
        matches!(
            outcome,
            Outcome::Skipped {
                guard: Guard::Protected,
                retryable: false,
                ..
            }
        ),
        "{outcome:?}"
    );
}

/// A wait that ends when the alert is too old is none.
#[test]
fn an_alert_waits_for_a_clock_only_as_long_as_it_may_be_old() {
    for (age, waits) in [("27s", false), ("28s", true)] {
        let world = World::new();
        let (now, pod) = (world.cluster.now(), world.pod());
        let alert = world.alert_at(now + Duration::from_secs(30), |fields| {
            fields["container.id"] = pod.containers[0].id.to_string().into();
        });
        let spec = SHELL.replace("mode: enforce", &format!("mode: enforce\n  maxAlertAge: {age}"));
        let handle = || block_on(world.engine.handle(&policies(&spec), &alert, Some(now))).outcome;
        assert_eq!(handle().is_retryable(), waits, "{age}");
        world.cluster.advance(Duration::from_secs(28));
        assert_eq!(handle().label(), if waits { "acted" } else { "duplicate" });
    }
}

/// The first has no room for its would-be act, or no right to what its condition asks; the second acts.
#[test]
fn a_policy_on_trial_holds_up_no_other() {
    let document = |name: &str, mode: &str, when: &str| {
        format!(
            "apiVersion: falco-drop.dev/v1alpha1\nkind: DropPolicy\nmetadata: {{ name: {name} }}\nspec: {{ mode: {mode}, limits: [], responses: [{{ name: r, when: '{when}', do: [{{ delete: {{}} }}] }}] }}\n"
        )
    };
    let parse = |texts: &[String]| {
        let text = texts.join("---\n");
        Policies::parse(&[Source {
            name: "p.yaml",
            text: &text,
        }])
        .unwrap_or_else(|wrong| panic!("{wrong}"))
    };
    let when = "alert.rule = \"Terminal shell in container\"";
    let (trial, real) = (
        document("trial", "observe", when),
        document("real", "enforce", when),
    );

    let mut bounds = Bounds::default();
    bounds.acts = 4;
    let full = World::bounded(6, bounds);
    let alone = parse(std::slice::from_ref(&trial));
    for pod in &full.pods()[..2] {
        full.handle(&alone, &full.alert(pod));
    }
    let asks = document("trial", "observe", &format!("{when} and ns.label[team] = a"));
    let forbidden = World::of(6);
    let fault = Fault::Answer(ApiError::Forbidden("no right".to_owned()));
    forbidden.cluster.fail(Call::Namespace, fault);
    for (world, trial) in [(full, trial), (forbidden, asks)] {
        let decided = world.handle(&parse(&[trial, real.clone()]), &world.alert(&world.pods()[3]));
        assert_eq!(decided.outcome, Outcome::Acted { certain: true });
        assert!(decided.responses[0].result.is_retryable(), "{decided:?}");
    }
}
