//! Disruption budgets: they stop an eviction, and a deletion only notes them.

use std::time::Duration;

use drop_core::Outcome;
use drop_core::facts::{Budget, Known};
use drop_core::guard::{Guard, Says};
use drop_core::memory::{self, Call, Fault, Workload};
use drop_core::outcome::Ending;
use drop_core::ports::ApiError;
use drop_core::record::Decided;

use crate::world::{SHELL, World, name, namespace, policies};

/// A world of two pods and a budget that keeps so many of them.
fn world(min_available: u32) -> World {
    let world = World::of(2);
    world.cluster.add_budget(budget("db", min_available));
    world
}

fn budget(name: &str, min_available: u32) -> memory::Budget {
    memory::Budget {
        namespace: namespace("default"),
        name: name.to_owned(),
        selector: [("app".to_owned(), "db".to_owned())].into(),
        min_available,
    }
}

fn evicting() -> String {
    SHELL.replace("delete", "evict")
}

fn handle(world: &World, spec: &str) -> Decided {
    world.handle(&policies(spec), &world.alert(&world.pod()))
}

fn forbidden() -> Fault {
    Fault::Answer(ApiError::Forbidden("no right".to_owned()))
}

fn says(decided: &Decided) -> Says {
    let verdicts = &decided.responses[0].judgement.verdicts;
    let budget = verdicts.iter().find(|verdict| verdict.guard == Guard::Budget);
    budget.unwrap().says.clone()
}

#[test]
fn a_budget_with_nothing_left_stops_an_eviction_and_nothing_is_asked_for() {
    let world = world(2);
    let decided = handle(&world, &evicting());
    let why = "disruption budget `db` has nothing left".to_owned();
    assert_eq!(
        decided.outcome,
        Outcome::Skipped {
            guard: Guard::Budget,
            why: why.clone(),
            retryable: false
        }
    );
    assert_eq!(says(&decided), Says::Stop(why));
    let budgets = vec![Budget {
        name: "db".to_owned(),
        disruptions_allowed: 0,
        spares_ready_only: true,
    }];
    assert_eq!(decided.facts.unwrap().budgets, Known::Is(budgets));
    assert_eq!(world.touched(), 0);
}

#[test]
fn a_budget_with_something_left_lets_it_go() {
    let world = world(1);
    let decided = handle(&world, &evicting());
    assert_eq!((decided.outcome.label(), says(&decided)), ("acted", Says::Pass));
    assert_eq!(world.touched(), 1);
}

#[test]
fn two_budgets_about_one_pod_stop_an_eviction() {
    let world = world(0);
    world.cluster.add_budget(budget("too", 0));
    let decided = handle(&world, &evicting());
    let why = "2 disruption budgets are about the pod, and the API server evicts no such pod";
    assert_eq!(says(&decided), Says::Stop(why.to_owned()));
}

/// As the API server judges it: an attacker who makes the pod fail its probe hides behind nothing.
#[test]
fn a_pod_that_is_not_ready_is_evicted_where_the_budget_has_its_healthy_pods() {
    for (replicas, acts) in [(3, true), (2, false)] {
        let world = World::of(replicas);
        world.cluster.add_budget(budget("db", 2));
        world.cluster.set_ready(&world.pod().uid, false).unwrap();
        let decided = handle(&world, &evicting());
        assert_eq!(decided.outcome.label(), if acts { "acted" } else { "skipped" });
        assert_eq!(world.touched(), usize::from(acts));
    }
}

#[test]
fn a_pod_that_is_on_its_way_out_is_evicted_whatever_the_budget() {
    let world = world(5);
    let lone = Workload::pod(namespace("default"), name("lone")).label("app", "db");
    world.cluster.add_workload(lone.ignores_sigterm());
    world.cluster.advance(Duration::from_secs(60));
    world
        .cluster
        .delete(&namespace("default"), &name("lone"), None, Some(600))
        .unwrap();
    let lone = world.cluster.pod(&namespace("default"), &name("lone")).unwrap();
    let decided = world.handle(&policies(&evicting()), &world.alert(&lone));
    assert_eq!((decided.outcome.label(), says(&decided)), ("acted", Says::Pass));
}

/// The API server heeds the budget by itself, and what it says is final.
#[test]
fn budgets_that_cannot_be_read_are_left_to_the_api_server() {
    for (min_available, label) in [(1, "acted"), (2, "failed")] {
        let world = world(min_available);
        world.cluster.fail(Call::Budgets, forbidden());
        let decided = handle(&world, &evicting());
        assert_eq!(
            (decided.outcome.label(), decided.outcome.is_retryable()),
            (label, false)
        );
        let note = "the disruption budgets could not be read: forbidden: no right";
        assert_eq!(says(&decided), Says::Note(note.to_owned()));
    }
}

#[test]
fn a_deletion_asks_for_no_budget_and_the_record_says_so() {
    let world = world(2);
    world.cluster.fail(Call::Budgets, forbidden());
    let decided = handle(&world, SHELL);
    assert_eq!((decided.outcome.label(), says(&decided)), ("acted", Says::Pass));
    let json = serde_json::to_value(&decided).unwrap();
    assert_eq!(json["facts"]["budgets"], "notAsked");
}

/// The alert of one response that evicts and one that deletes: what was read for the first is noted by the second.
#[test]
fn a_deletion_notes_a_budget_that_was_read_and_is_not_stopped_by_it() {
    let both = format!(
        "{}    - name: drop\n      when: alert.rule = \"Terminal shell in container\"\n      do: [delete: {{}}]\n",
        evicting()
    );
    let world = world(2);
    let decided = handle(&world, &both);
    assert_eq!(decided.outcome, Outcome::Acted { certain: true });
    let [evict, delete] = decided.responses.as_slice() else {
        panic!("{decided:?}")
    };
    assert_eq!(evict.result.label(), "skipped");
    let note = "disruption budget `db` has nothing left, which a deletion does not heed";
    assert!(
        delete
            .judgement
            .verdicts
            .iter()
            .any(|verdict| verdict.says == Says::Note(note.to_owned())),
        "{delete:?}"
    );
    let unknown = self::world(2);
    unknown.cluster.fail(Call::Budgets, forbidden());
    assert_eq!(handle(&unknown, &both).outcome, Outcome::Acted { certain: true });
}

#[test]
fn what_an_eviction_may_not_do_the_deletion_after_it_does() {
    let spec = SHELL.replace("[delete: {}]", "[evict: { continueOnError: true }, delete: {}]");
    let world = world(2);
    let decided = handle(&world, &spec);
    assert_eq!(decided.outcome, Outcome::Acted { certain: true });
    assert_eq!(decided.facts.unwrap().budgets, Known::NotAsked);
    assert_eq!(decided.responses[0].tried.len(), 2);
}

/// Its eviction is refused, and what the response goes on to is what ended the pod.
#[test]
fn the_grace_of_an_act_is_that_of_the_action_that_was_taken() {
    let forced =
        "[evict: { gracePeriodSeconds: 30, continueOnError: true }, delete: { gracePeriodSeconds: 0 }]";
    let first = world(2);
    handle(&first, &SHELL.replace("[delete: {}]", forced));
    assert_eq!(first.confirm_after(Duration::from_secs(1)), 0);
    let endings: Vec<_> = first
        .records
        .closed()
        .into_iter()
        .map(|closed| closed.ending)
        .collect();
    assert!(matches!(endings[..], [Ending::Unconfirmed { .. }]), "{endings:?}");

    let slow = "[evict: { continueOnError: true }, delete: { gracePeriodSeconds: 600 }]";
    let world = World::of(2);
    let lone = Workload::pod(namespace("default"), name("lone"))
        .label("app", "db")
        .ignores_sigterm();
    world.cluster.add_workload(lone);
    world.cluster.advance(Duration::from_secs(60));
    world.cluster.add_budget(budget("db", 3));
    let lone = world.cluster.pod(&namespace("default"), &name("lone")).unwrap();
    world.handle(
        &policies(&SHELL.replace("[delete: {}]", slow)),
        &world.alert(&lone),
    );
    world.cluster.advance(Duration::from_secs(5));
    assert_eq!(world.confirm_after(Duration::from_secs(150)), 1, "it has 600 s");
    let sooner = SHELL.replace("delete: {}", "delete: { gracePeriodSeconds: 10 }");
    let decided = world.handle(&policies(&sooner), &world.alert(&lone));
    assert_eq!(decided.outcome, Outcome::Acted { certain: true }, "{decided:?}");
}

#[test]
fn an_eviction_of_which_nobody_knows_is_in_the_result() {
    let world = World::of(2);
    world.cluster.fail_next(Call::Evict, Fault::AnswerLost);
    let spec = "[evict: { gracePeriodSeconds: 0, continueOnError: true }, delete: {}]";
    let decided = handle(&world, &SHELL.replace("[delete: {}]", spec));
    assert_eq!(
        decided.responses[0].result,
        Outcome::Acted { certain: false },
        "{decided:?}"
    );
}
