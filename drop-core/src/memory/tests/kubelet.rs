use super::*;
use crate::memory::{Delays, Stop};
use crate::pod::Phase;
use crate::ports::{ApiError, By};

#[test]
fn a_pod_starts_after_its_delay() {
    let (cluster, pod) = with(deployment().start_after(secs(3)));
    assert_eq!((pod.phase, pod.containers.len()), (Phase::Pending, 0));
    cluster.advance(secs(3));
    let pod = cluster.pods().remove(0);
    assert_eq!((pod.phase, pod.containers.len()), (Phase::Running, 1));
    assert_eq!(pod.containers[0].id.as_str().len(), 64);
}

#[test]
fn creation_has_whole_seconds() {
    let (_, pod) = with(deployment());
    assert_eq!(pod.created, "2026-03-01T12:00:00Z".parse().unwrap());
}

#[test]
fn a_restarted_container_keeps_its_previous_instance_only() {
    let (cluster, pod) = with(deployment().containers(&["app", "sidecar"]));
    let first = pod.containers[0].id.clone();
    cluster.advance(secs(10));
    let second = cluster.restart_container(&pod.uid, "app").unwrap();
    let now = cluster.pod_by_uid(&pod.uid).unwrap();
    let ended: Vec<_> = now.containers.iter().map(|c| (c.id.clone(), c.ended)).collect();
    assert_eq!(
        ended,
        [
            (first.clone(), Some(cluster.now())),
            (pod.containers[1].id.clone(), None),
            (second.clone(), None)
        ]
    );
    let third = cluster.restart_container(&pod.uid, "app").unwrap();
    let found = |id| block_on(cluster.find(&By::container(id))).unwrap().pods.len();
    assert_eq!((found(first), found(second), found(third)), (0, 1, 1));
    assert_eq!(
        cluster.restart_container(&pod.uid, "nobody"),
        Err(ApiError::NotFound)
    );
}

#[test]
fn a_status_lags_and_so_does_the_confirmation() {
    let cluster = cluster();
    cluster.set_delays(Delays {
        report: secs(2),
        ..Delays::default()
    });
    cluster.add_workload(Workload::pod(shop(), name("lone")));
    assert_eq!(cluster.pods()[0].phase, Phase::Pending);
    cluster.advance(secs(2));
    let pod = cluster.pods().remove(0);
    assert_eq!(pod.phase, Phase::Running);
    delete(&cluster, &pod, 30).unwrap();
    assert_eq!(cluster.pods()[0].phase, Phase::Running);
    cluster.advance(secs(2));
    assert_eq!(presence(&cluster, &pod), Presence::Gone);
}

#[test]
fn containers_stop_some_time_after_sigterm_or_at_the_end_of_the_grace() {
    for (grace, gone_after) in [(30, 4), (2, 2)] {
        let (cluster, pod) = with(Workload::pod(shop(), name("lone")).stop(Stop::After(secs(4))));
        delete(&cluster, &pod, grace).unwrap();
        cluster.advance(Duration::from_millis(gone_after * 1000 - 1));
        assert_eq!(presence(&cluster, &pod), Presence::Terminating);
        cluster.advance(Duration::from_millis(1));
        assert_eq!(presence(&cluster, &pod), Presence::Gone);
    }
}

#[test]
fn a_pod_deleted_before_it_started_never_starts() {
    let (cluster, pod) = with(
        Workload::pod(shop(), name("lone"))
            .start_after(secs(5))
            .finalizer("test/keep"),
    );
    delete(&cluster, &pod, 30).unwrap();
    cluster.advance(secs(10));
    let kept = cluster.pod_by_uid(&pod.uid).unwrap();
    assert_eq!((kept.phase, kept.containers.len()), (Phase::Succeeded, 0));
}

#[test]
fn time_does_not_go_back() {
    let cluster = cluster();
    let now = cluster.now();
    cluster.advance_to("2020-01-01T00:00:00Z".parse().unwrap());
    assert_eq!(cluster.now(), now);
    cluster.advance(Duration::MAX);
    assert!(cluster.now() > now);
}
