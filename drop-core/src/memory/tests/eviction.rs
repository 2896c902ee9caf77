use super::*;
use crate::memory::{Budget, Happened};
use crate::pod::Phase;
use crate::ports::ApiError;

const EVICT: Change = Change::Evict {
    grace_period_seconds: 1,
};

fn budget(name: &str, min_available: u32) -> Budget {
    let selector = [("app".to_owned(), "web".to_owned())].into();
    Budget {
        namespace: shop(),
        name: name.to_owned(),
        selector,
        min_available,
    }
}

fn left(cluster: &Cluster) -> u32 {
    cluster.budgets()[0].disruptions_allowed
}

#[test]
fn a_budget_with_nothing_left_refuses_and_nothing_changes() {
    let (cluster, pod) = with(deployment().replicas(2).ignores_sigterm());
    cluster.add_budget(budget("web", 2));
    let before = cluster.pod_objects();
    let error = apply(&cluster, &pod, &EVICT).unwrap_err();
    assert_eq!(
        error.why,
        ApiError::Budget("disruption budget `web` has nothing left".to_owned())
    );
    assert_eq!(cluster.pod_objects(), before);
    delete(&cluster, &pod, 1).unwrap();
    assert_eq!(
        presence(&cluster, &pod),
        Presence::Terminating,
        "a budget does not stop a deletion"
    );
}

#[test]
fn a_budget_is_spent_pod_by_pod() {
    let (cluster, pod) = with(deployment().replicas(3).start_after(secs(60)).ignores_sigterm());
    cluster.advance(secs(60));
    cluster.add_budget(budget("web", 2));
    assert_eq!(left(&cluster), 1);
    apply(&cluster, &pod, &EVICT).unwrap();
    assert_eq!(
        (presence(&cluster, &pod), left(&cluster)),
        (Presence::Terminating, 0)
    );
    let next = pods_of_web(&cluster)
        .into_iter()
        .find(|other| other.deletion.is_none() && other.phase == Phase::Running)
        .unwrap();
    assert!(matches!(
        apply(&cluster, &next, &EVICT).unwrap_err().why,
        ApiError::Budget(_)
    ));
    apply(&cluster, &pod, &EVICT).unwrap();
}

#[test]
fn a_wrong_uid_uses_the_budget_up_until_two_minutes_have_passed() {
    let (cluster, mut pod) = with(Workload::stateful_set(shop(), name("web")).replicas(2));
    cluster.add_budget(budget("web", 1));
    pod.uid = "11111111-2222-4333-8444-555555555555".parse().unwrap();
    assert!(matches!(
        apply(&cluster, &pod, &EVICT).unwrap_err().why,
        ApiError::Conflict(_)
    ));
    assert_eq!(left(&cluster), 0);
    assert_eq!(
        cluster.history().last().unwrap().what,
        Happened::Disrupted {
            budget: "web".to_owned()
        }
    );
    assert!(matches!(
        apply(&cluster, &pod, &EVICT).unwrap_err().why,
        ApiError::Budget(_)
    ));
    cluster.advance(secs(120));
    assert_eq!(left(&cluster), 1);
}

#[test]
fn two_budgets_about_one_pod_always_refuse() {
    let (cluster, pod) = with(deployment().replicas(3));
    cluster.add_budget(budget("one", 0));
    cluster.add_budget(budget("two", 0));
    assert!(matches!(
        apply(&cluster, &pod, &EVICT).unwrap_err().why,
        ApiError::Budget(_)
    ));
}

#[test]
fn a_pod_that_is_not_ready_may_go_only_while_the_budget_is_kept() {
    let (cluster, pod) = with(deployment().replicas(3).ignores_sigterm());
    cluster.add_budget(budget("web", 2));
    cluster.set_ready(&pod.uid, false).unwrap();
    assert_eq!(left(&cluster), 0);
    apply(&cluster, &pod, &EVICT).unwrap();

    let (cluster, pod) = with(deployment().replicas(2));
    cluster.add_budget(budget("web", 2));
    cluster.set_ready(&pod.uid, false).unwrap();
    assert!(matches!(
        apply(&cluster, &pod, &EVICT).unwrap_err().why,
        ApiError::Budget(_)
    ));

    let (cluster, pod) = with(deployment());
    cluster.add_budget(budget("web", 0));
    cluster.set_ready(&pod.uid, false).unwrap();
    assert!(
        matches!(
            apply(&cluster, &pod, &EVICT).unwrap_err().why,
            ApiError::Budget(_)
        ),
        "a budget of nothing"
    );
}

#[test]
fn a_pod_that_has_not_started_may_go_whatever_the_budget() {
    let (cluster, pod) = with(deployment().start_after(secs(60)));
    cluster.add_budget(budget("web", 5));
    apply(&cluster, &pod, &EVICT).unwrap();
}

#[test]
fn the_next_pod_of_a_name_is_not_counted_as_disrupted() {
    let (cluster, pod) = with(Workload::stateful_set(shop(), name("web")).replicas(2));
    cluster.add_budget(budget("web", 1));
    let stale = Pod {
        uid: "11111111-2222-4333-8444-555555555555".parse().unwrap(),
        ..pod.clone()
    };
    apply(&cluster, &stale, &EVICT).unwrap_err();
    assert_eq!(left(&cluster), 0);
    delete(&cluster, &pod, 0).unwrap();
    assert_eq!(left(&cluster), 1);
}
