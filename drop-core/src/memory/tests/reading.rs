use std::collections::BTreeMap;

use falco_event::ContainerId;

use super::*;
use crate::facts::{Known, Wants};
use crate::ports::By;

const ALL: Wants = Wants {
    namespace: true,
    owner: true,
    siblings: true,
    budgets: true,
    host: None,
};

fn find(cluster: &Cluster, by: &By) -> Vec<Pod> {
    block_on(cluster.find(by)).unwrap().pods
}

#[test]
fn a_pod_is_found_by_each_mark() {
    let (cluster, pod) = with(deployment().ignores_sigterm());
    let id = &pod.containers[0].id;
    let short: ContainerId = id.short().parse().unwrap();
    for by in [
        By::container(id.clone()),
        By::container(short),
        By::Uid(pod.uid.clone()),
        By::Name(pod.namespace.clone(), pod.name.clone()),
    ] {
        assert_eq!(find(&cluster, &by), std::slice::from_ref(&pod), "{by:?}");
    }
    for by in [
        By::container("000000000000".parse().unwrap()),
        By::Uid("nobody".parse().unwrap()),
        By::Name("elsewhere".parse().unwrap(), pod.name.clone()),
    ] {
        assert_eq!(find(&cluster, &by), [], "{by:?}");
    }
}

#[test]
fn containers_that_share_twelve_digits_are_all_found() {
    let cluster = cluster();
    for (pod, digit) in [("one", "1"), ("two", "2")] {
        let id = format!("0123456789ab{}", digit.repeat(52)).parse().unwrap();
        cluster.add_workload(Workload::pod(shop(), name(pod)).first_container(id));
    }
    assert_eq!(
        find(&cluster, &By::container("0123456789ab".parse().unwrap())).len(),
        2
    );
    let whole = format!("0123456789ab{}", "2".repeat(52)).parse().unwrap();
    assert_eq!(find(&cluster, &By::container(whole))[0].name, name("two"));
}

#[test]
fn the_owner_is_the_top_of_the_chain() {
    for (workload, kind, owner) in [
        (deployment(), "Deployment", "web"),
        (
            Workload::new(Kind::ReplicaSet, shop(), name("bare-set")),
            "ReplicaSet",
            "bare-set",
        ),
        (
            Workload::stateful_set(shop(), name("ledger")),
            "StatefulSet",
            "ledger",
        ),
        (Workload::job(shop(), name("report")), "Job", "report"),
        (Workload::cron_job(shop(), name("nightly")), "CronJob", "nightly"),
    ] {
        let (cluster, pod) = with(workload);
        let facts = block_on(cluster.facts(pod.clone(), ALL));
        let top = facts.owner.value().unwrap().clone().unwrap();
        assert_eq!((top.kind.as_str(), top.name.as_str()), (kind, owner));
        let controllers = cluster.controllers();
        assert!(
            controllers
                .iter()
                .any(|controller| controller.this == top && controller.above.is_none())
        );
        assert!(
            controllers
                .iter()
                .any(|controller| Some(&controller.this) == pod.controller.as_ref())
        );
    }
}

#[test]
fn nothing_owns_a_bare_pod() {
    let (cluster, pod) = with(Workload::pod(shop(), name("lone")));
    let facts = block_on(cluster.facts(pod, ALL));
    assert_eq!((facts.owner, facts.siblings), (Known::Is(None), Known::Is(None)));
}

#[test]
fn siblings_are_the_ready_pods_that_stay() {
    let (cluster, pod) = with(deployment().replicas(3).start_after(secs(5)).ignores_sigterm());
    let siblings = |cluster: &Cluster| {
        let facts = block_on(cluster.facts(pod.clone(), ALL));
        facts.siblings.value().unwrap().clone().unwrap()
    };
    assert_eq!(
        (siblings(&cluster).desired, siblings(&cluster).ready.len()),
        (3, 0)
    );
    cluster.advance(secs(5));
    assert_eq!(siblings(&cluster).ready.len(), 3);
    delete(&cluster, &pod, 30).unwrap();
    let after = siblings(&cluster);
    assert_eq!((after.desired, after.ready.len()), (3, 2));
    assert!(
        !after.ready.contains(&pod.uid),
        "a terminating pod is not counted as ready"
    );
}

#[test]
fn a_namespace_has_its_labels() {
    let (cluster, pod) = with(deployment());
    let read = |pod: &Pod| block_on(cluster.facts(pod.clone(), ALL)).namespace;
    let own = ("kubernetes.io/metadata.name".to_owned(), "shop".to_owned());
    assert_eq!(read(&pod), Known::Is(BTreeMap::from([own.clone()])));
    cluster.add_namespace(&shop(), &[("team", "a")]);
    assert_eq!(
        read(&pod),
        Known::Is(BTreeMap::from([own, ("team".to_owned(), "a".to_owned())]))
    );
    let elsewhere = Pod {
        namespace: "elsewhere".parse().unwrap(),
        ..pod
    };
    assert_eq!(read(&elsewhere), Known::Is(BTreeMap::new()));
}

#[test]
fn history_tells_who_changed_what() {
    let (cluster, pod) = with(deployment());
    let before = cluster.revision();
    apply(&cluster, &pod, &label("security", Some("hit"))).unwrap();
    apply(&cluster, &pod, &label("security", Some("hit"))).unwrap();
    let new = cluster.history_since(before);
    assert_eq!(new.len(), 1, "a change to what is so already is none");
    assert_eq!(
        (new[0].by, &new[0].pod),
        (crate::memory::Actor::PodApi, &Target::of(&pod))
    );
    assert_eq!(cluster.revision(), new[0].revision);
    apply(&cluster, &pod, &label("security", None)).unwrap();
    assert_eq!(cluster.pod_by_uid(&pod.uid).unwrap().labels.get("security"), None);
}

#[test]
fn a_pod_whose_probe_fails_is_no_ready_sibling() {
    let (cluster, pod) = with(deployment());
    cluster.set_ready(&pod.uid, false).unwrap();
    let facts = block_on(cluster.facts(pod, ALL));
    assert_eq!(facts.siblings.value().unwrap().as_ref().unwrap().ready.len(), 0);
}
