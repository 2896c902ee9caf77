use super::*;
use crate::memory::{Delays, Happened, Stop};
use crate::pod::Phase;

#[test]
fn a_deployment_replaces_at_once_under_another_name() {
    let (cluster, old) = with(
        Workload::deployment("default".parse().unwrap(), name("mysql-db"))
            .first_pod(name("mysql-db-7d59548d75-wh44s"))
            .ignores_sigterm(),
    );
    assert_eq!(old.name, name("mysql-db-7d59548d75-wh44s"));
    assert_eq!(old.controller.as_ref().unwrap().name, "mysql-db-7d59548d75");
    assert_eq!(old.labels["pod-template-hash"], "7d59548d75");
    delete(&cluster, &old, 5).unwrap();
    let pods = cluster.pods();
    let new = pods.iter().find(|pod| pod.uid != old.uid).unwrap();
    assert_eq!(pods.len(), 2);
    assert!(
        new.name.as_str().starts_with("mysql-db-7d59548d75-") && new.name != old.name,
        "{}",
        new.name
    );
    assert_eq!((new.phase, new.deletion), (Phase::Running, None));
    assert_ne!(new.containers[0].id, old.containers[0].id);
}

#[test]
fn a_stateful_set_takes_the_name_again_once_it_is_free() {
    let (cluster, old) = with(
        Workload::stateful_set(shop(), name("ledger"))
            .replicas(2)
            .ignores_sigterm(),
    );
    let names = |cluster: &Cluster| {
        cluster
            .pods()
            .into_iter()
            .map(|pod| pod.name.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&cluster), ["ledger-0", "ledger-1"]);
    delete(&cluster, &old, 5).unwrap();
    assert_eq!(cluster.pod(&shop(), &name("ledger-0")).unwrap().uid, old.uid);
    cluster.advance(secs(5));
    let new = cluster.pod(&shop(), &name("ledger-0")).unwrap();
    assert_ne!(new.uid, old.uid);
    assert_eq!(names(&cluster), ["ledger-0", "ledger-1"]);
}

#[test]
fn a_stateful_set_starts_its_pods_one_after_the_other() {
    let cluster = cluster();
    cluster.set_delays(Delays {
        start: secs(2),
        ..Delays::default()
    });
    cluster.add_workload(Workload::stateful_set(shop(), name("ledger")).replicas(3));
    assert_eq!(cluster.pods().len(), 1);
    cluster.advance(secs(2));
    assert_eq!(cluster.pods().len(), 2);
    cluster.advance(secs(4));
    assert_eq!(cluster.pods().len(), 3);
}

#[test]
fn a_daemon_set_has_one_pod_for_each_node() {
    let (cluster, old) = with(Workload::daemon_set(shop(), name("agent")).ignores_sigterm());
    cluster.add_node("node-2".parse().unwrap());
    assert_eq!(cluster.pods().len(), 2);
    delete(&cluster, &old, 5).unwrap();
    assert_eq!(
        cluster.pods().len(),
        2,
        "the node is taken while the old pod terminates"
    );
    cluster.advance(secs(5));
    let nodes = cluster
        .pods()
        .into_iter()
        .map(|pod| pod.node.unwrap().to_string());
    assert_eq!(nodes.collect::<std::collections::BTreeSet<_>>().len(), 2);
}

#[test]
fn a_job_replaces_what_failed_and_not_what_succeeded() {
    let (cluster, first) = with(Workload::job(shop(), name("report")));
    cluster.finish(&first.uid, Phase::Failed).unwrap();
    assert_eq!(cluster.pods().len(), 2);
    let second = cluster
        .pods()
        .into_iter()
        .find(|pod| pod.uid != first.uid)
        .unwrap();
    cluster.finish(&second.uid, Phase::Succeeded).unwrap();
    delete(&cluster, &first, 5).unwrap();
    assert_eq!(cluster.pods().len(), 1);
}

#[test]
fn a_bare_pod_stays_gone() {
    let (cluster, pod) = with(Workload::pod(shop(), name("lone")));
    delete(&cluster, &pod, 5).unwrap();
    assert_eq!(cluster.pods(), []);
}

#[test]
fn relabelling_releases_a_pod_and_restoring_adopts_it_again() {
    let (cluster, pod) = with(deployment());
    apply(&cluster, &pod, &label("app", Some("quarantine"))).unwrap();
    assert_eq!(cluster.pod_by_uid(&pod.uid).unwrap().controller, None);
    assert_eq!(pods_of_web(&cluster).len(), 1);
    assert_eq!(cluster.pods().len(), 2);
    cluster.advance(secs(60));
    apply(&cluster, &pod, &label("app", Some("web"))).unwrap();
    assert_eq!(pods_of_web(&cluster).len(), 1, "the surplus pod is given up");
}

#[test]
fn scaling_down_gives_up_the_youngest_pod() {
    let (cluster, oldest) = with(deployment());
    cluster.advance(secs(10));
    assert!(cluster.scale(Kind::Deployment, &shop(), &name("web"), 3));
    assert_eq!(pods_of_web(&cluster).len(), 3);
    assert!(cluster.scale(Kind::Deployment, &shop(), &name("web"), 1));
    assert_eq!(
        pods_of_web(&cluster)
            .into_iter()
            .map(|pod| pod.uid)
            .collect::<Vec<_>>(),
        [oldest.uid]
    );
    assert!(!cluster.scale(Kind::StatefulSet, &shop(), &name("web"), 1));
}

#[test]
fn a_slow_controller_replaces_later() {
    let (cluster, pod) = with(deployment());
    cluster.set_delays(Delays {
        replace: secs(3),
        stop: Stop::After(secs(1)),
        ..Delays::default()
    });
    delete(&cluster, &pod, 30).unwrap();
    cluster.advance(secs(1));
    assert_eq!(cluster.pods(), []);
    cluster.advance(secs(2));
    assert_eq!(cluster.pods().len(), 1);
}

#[test]
fn a_workload_that_is_there_stays_as_it_is() {
    let (cluster, pod) = with(deployment());
    assert!(!cluster.add_workload(deployment().replicas(5)));
    assert_eq!(cluster.pods(), [pod]);
}

#[test]
fn of_two_pods_of_a_daemon_set_on_a_node_the_oldest_stays() {
    let (cluster, oldest) = with(Workload::daemon_set(shop(), name("agent")));
    cluster.advance(secs(10));
    cluster.add_workload(Workload::pod(shop(), name("a-pod")).label("app", "agent"));
    let left = cluster.pods().into_iter().map(|pod| pod.uid).collect::<Vec<_>>();
    assert_eq!(left, [oldest.uid]);
}

#[test]
fn a_pod_that_one_controller_lets_go_another_takes() {
    let (cluster, pod) = with(Workload::new(Kind::ReplicaSet, shop(), name("web")));
    cluster.add_workload(Workload::new(Kind::ReplicaSet, shop(), name("another")).replicas(0));
    let before = cluster.revision();
    apply(&cluster, &pod, &label("app", Some("another"))).unwrap();
    let happened = cluster
        .history_since(before)
        .into_iter()
        .filter(|entry| entry.pod.uid == pod.uid);
    assert_eq!(
        happened.map(|entry| entry.what).take(4).collect::<Vec<_>>(),
        [
            Happened::Labelled,
            Happened::Released,
            Happened::Adopted,
            Happened::DeletionRequested { grace_seconds: 30 }
        ]
    );
}

#[test]
fn a_stateful_set_scales_down_from_the_last_ordinal() {
    let (cluster, first) = with(Workload::stateful_set(shop(), name("ledger")).replicas(3));
    cluster.scale(Kind::StatefulSet, &shop(), &name("ledger"), 1);
    assert_eq!(
        cluster.pods().into_iter().map(|pod| pod.uid).collect::<Vec<_>>(),
        [first.uid]
    );
}

#[test]
fn a_stateful_set_waits_for_a_name_that_another_pod_has() {
    let (cluster, stranger) = with(Workload::pod(shop(), name("ledger-0")));
    cluster.add_workload(Workload::stateful_set(shop(), name("ledger")));
    assert_eq!(cluster.pods(), std::slice::from_ref(&stranger));
    delete(&cluster, &stranger, 1).unwrap();
    assert_eq!(
        cluster.pods_of(Kind::StatefulSet, &shop(), &name("ledger")).len(),
        1
    );
}

#[test]
fn a_terminating_pod_is_not_adopted() {
    let (cluster, pod) = with(
        Workload::pod(shop(), name("lone"))
            .label("app", "web")
            .ignores_sigterm(),
    );
    delete(&cluster, &pod, 30).unwrap();
    cluster.add_workload(deployment());
    let edits = Change::Label([("pod-template-hash".to_owned(), None)].into());
    apply(&cluster, &pod, &edits).unwrap();
    let hash = pods_of_web(&cluster)[0].labels["pod-template-hash"].clone();
    apply(&cluster, &pod, &label("pod-template-hash", Some(&hash))).unwrap();
    assert_eq!(cluster.pod_by_uid(&pod.uid).unwrap().controller, None);
}
