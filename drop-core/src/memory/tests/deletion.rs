use falco_event::Timestamp;

use super::*;
use crate::memory::{Actor, Happened};
use crate::pod::{Deletion, Phase};
use crate::ports::ApiError;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn deletion(cluster: &Cluster, pod: &Pod) -> Option<Deletion> {
    cluster.pod_by_uid(&pod.uid).unwrap().deletion
}

#[test]
fn a_deletion_timestamp_is_now_plus_grace_in_whole_seconds() {
    let (cluster, pod) = with(deployment().ignores_sigterm());
    delete(&cluster, &pod, 5).unwrap();
    assert_eq!(
        deletion(&cluster, &pod),
        Some(Deletion {
            at: at("2026-03-01T12:00:05Z"),
            grace_seconds: 5
        })
    );
    assert_eq!(presence(&cluster, &pod), Presence::Terminating);
}

#[test]
fn only_a_shorter_grace_changes_a_deletion_and_counts_from_its_start() {
    let (cluster, pod) = with(deployment().ignores_sigterm());
    delete(&cluster, &pod, 60).unwrap();
    cluster.advance(secs(10));
    for longer in [60, 61, 600] {
        delete(&cluster, &pod, longer).unwrap();
        assert_eq!(deletion(&cluster, &pod).unwrap().at, at("2026-03-01T12:01:00Z"));
    }
    delete(&cluster, &pod, 30).unwrap();
    assert_eq!(
        deletion(&cluster, &pod),
        Some(Deletion {
            at: at("2026-03-01T12:00:30Z"),
            grace_seconds: 30
        })
    );
    let changes = cluster
        .history()
        .into_iter()
        .filter(|entry| entry.by == Actor::PodApi)
        .map(|entry| entry.what);
    assert_eq!(
        changes.collect::<Vec<_>>(),
        [
            Happened::DeletionRequested { grace_seconds: 60 },
            Happened::DeletionShortened { grace_seconds: 30 }
        ]
    );
}

#[test]
fn the_whole_grace_passes_for_a_pod_that_ignores_sigterm() {
    let (cluster, pod) = with(deployment().ignores_sigterm());
    delete(&cluster, &pod, 5).unwrap();
    cluster.advance(secs(4));
    assert_eq!(presence(&cluster, &pod), Presence::Terminating);
    cluster.advance(secs(1));
    assert_eq!(presence(&cluster, &pod), Presence::Gone);
    let removed = cluster
        .history()
        .into_iter()
        .find(|entry| entry.what == Happened::Removed)
        .unwrap();
    assert_eq!(
        (removed.by, removed.at),
        (Actor::Kubelet, at("2026-03-01T12:00:05.25Z"))
    );
}

#[test]
fn a_shorter_grace_kills_sooner() {
    let (cluster, pod) = with(deployment().ignores_sigterm());
    delete(&cluster, &pod, 300).unwrap();
    delete(&cluster, &pod, 2).unwrap();
    cluster.advance(secs(2));
    assert_eq!(presence(&cluster, &pod), Presence::Gone);
    cluster.advance(secs(600));
    assert_eq!(pods_of_web(&cluster).len(), 1);
}

#[test]
fn grace_zero_removes_at_once() {
    let (cluster, pod) = with(deployment().ignores_sigterm());
    delete(&cluster, &pod, 0).unwrap();
    assert_eq!(presence(&cluster, &pod), Presence::Gone);
}

#[test]
fn without_a_grace_the_pod_has_its_own() {
    let (cluster, pod) = with(deployment().ignores_sigterm().grace_seconds(42));
    cluster.delete(&pod.namespace, &pod.name, None, None).unwrap();
    assert_eq!(deletion(&cluster, &pod).unwrap().grace_seconds, 42);
}

#[test]
fn a_pod_that_no_node_took_or_that_has_finished_goes_at_once() {
    let (cluster, pod) = with(deployment().unschedulable());
    assert_eq!((pod.phase, pod.node.as_ref()), (Phase::Pending, None));
    delete(&cluster, &pod, 300).unwrap();
    assert_eq!(presence(&cluster, &pod), Presence::Gone);

    let (cluster, pod) = with(Workload::pod(shop(), name("once")).ignores_sigterm());
    cluster.finish(&pod.uid, Phase::Failed).unwrap();
    delete(&cluster, &pod, 300).unwrap();
    assert_eq!(presence(&cluster, &pod), Presence::Gone);
}

#[test]
fn another_uid_is_a_conflict_and_changes_nothing() {
    let (cluster, mut pod) = with(deployment());
    let before = cluster.pod_objects();
    pod.uid = "11111111-2222-4333-8444-555555555555".parse().unwrap();
    let evict = Change::Evict {
        grace_period_seconds: 1,
    };
    for change in [
        Change::Delete {
            grace_period_seconds: 0,
        },
        evict,
        label("a", Some("b")),
    ] {
        let error = apply(&cluster, &pod, &change).unwrap_err();
        assert!(matches!(error.why, ApiError::Conflict(_)), "{error:?}");
        assert!(!error.maybe_happened);
    }
    assert_eq!(cluster.pod_objects(), before);
    assert_eq!(cluster.touched(), []);
}

#[test]
fn a_pod_that_is_not_there_is_not_found() {
    let (cluster, mut pod) = with(deployment());
    pod.name = name("nobody");
    for change in [
        Change::Delete {
            grace_period_seconds: 0,
        },
        label("a", Some("b")),
    ] {
        assert_eq!(
            apply(&cluster, &pod, &change).unwrap_err().why,
            ApiError::NotFound
        );
    }
}

#[test]
fn a_finalizer_keeps_a_pod_that_has_stopped() {
    let (cluster, pod) = with(deployment().finalizer("batch.kubernetes.io/job-tracking"));
    delete(&cluster, &pod, 5).unwrap();
    let kept = cluster.pod_by_uid(&pod.uid).unwrap();
    assert_eq!(
        (kept.phase, kept.deletion.unwrap().grace_seconds),
        (Phase::Succeeded, 0)
    );
    delete(&cluster, &pod, 0).unwrap();
    assert_eq!(presence(&cluster, &pod), Presence::Terminating);
    cluster.remove_finalizers(&pod.uid).unwrap();
    assert_eq!(presence(&cluster, &pod), Presence::Gone);
}

#[test]
fn the_mirror_of_a_static_pod_comes_back_with_the_same_containers() {
    let (cluster, pod) = with(Workload::static_pod("kube-system".parse().unwrap(), name("etcd")));
    assert!(pod.mirror);
    assert_eq!(pod.name, name("etcd-node-1"));
    delete(&cluster, &pod, 30).unwrap();
    let again = cluster.pod(&pod.namespace, &pod.name).unwrap();
    assert_ne!(again.uid, pod.uid);
    assert_eq!(again.containers, pod.containers);
}
