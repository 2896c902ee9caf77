use std::collections::{BTreeMap, BTreeSet};

use drop_core::facts::{self, Facts, Known, Siblings, Wants};
use drop_core::memory::{Budget, Kind, Workload};
use drop_core::pod::Pod;
use drop_core::ports::PodApi;
use drop_kube::testing::{Fault, Verb};

use crate::{House, shop};

const ALL: Wants = Wants {
    namespace: true,
    owner: true,
    siblings: true,
    budgets: false,
    host: None,
};

#[tokio::test]
async fn what_is_not_wanted_is_not_read() {
    let house = House::new().await;
    let pod = house.pod();
    assert_eq!(
        house.pods.facts(pod.clone(), Wants::default()).await,
        Facts::of(pod)
    );
    assert_eq!(house.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn a_deployment_s_pod_is_known_up_to_the_top() {
    let house = House::new().await;
    let pod = house.pod();
    let facts = house.pods.facts(pod.clone(), ALL).await;
    let labels = [("kubernetes.io/metadata.name", "shop"), ("tier", "front")];
    let labels: BTreeMap<String, String> = labels.map(|(key, value)| (key.into(), value.into())).into();
    assert_eq!(facts.namespace, Known::Is(labels));
    let top = house
        .cluster
        .controllers()
        .into_iter()
        .find(|c| c.this.kind == "Deployment")
        .unwrap()
        .this;
    assert_eq!(facts.owner, Known::Is(Some(top)));
    let ready: BTreeSet<_> = house.cluster.pods().into_iter().map(|pod| pod.uid).collect();
    assert_eq!(facts.siblings, Known::Is(Some(Siblings { desired: 2, ready })));
    let mut asked = house.asked();
    asked.sort();
    let set = &pod.controller.as_ref().unwrap().name;
    let hash = set.strip_prefix("web-").unwrap();
    let query = "labelSelector=app%3Dweb";
    assert!(
        asked.contains(&"GET /api/v1/namespaces/shop".to_owned()),
        "{asked:?}"
    );
    assert!(
        asked.contains(&format!("GET /apis/apps/v1/namespaces/shop/replicasets/{set}")),
        "{asked:?}"
    );
    assert!(
        asked.contains(&"GET /apis/apps/v1/namespaces/shop/deployments/web".to_owned()),
        "{asked:?}"
    );
    assert_eq!(
        asked.len(),
        6,
        "the Deployment twice, and two lists with {query} for {hash}: {asked:?}"
    );
}

#[tokio::test]
async fn each_kind_of_owner_is_counted_by_its_own_number() {
    let house = House::new().await;
    let name = |name: &str| name.parse().unwrap();
    for (kind, top, desired) in [
        (Kind::StatefulSet, "StatefulSet", 3),
        (Kind::ReplicaSet, "ReplicaSet", 3),
        (Kind::DaemonSet, "DaemonSet", 1),
        (Kind::Job, "Job", 3),
        (Kind::CronJob, "CronJob", 3),
    ] {
        let called = format!("w-{}", top.to_lowercase());
        house
            .cluster
            .add_workload(Workload::new(kind, shop(), name(&called)).replicas(3));
        let pods = house.cluster.pods_of(kind, &shop(), &name(&called));
        let facts = house.pods.facts(pods[0].clone(), ALL).await;
        let owner = facts.owner.value().cloned().flatten().unwrap();
        assert_eq!((owner.kind.as_str(), owner.name.as_str()), (top, called.as_str()));
        let ready = pods.iter().map(|pod| pod.uid.clone()).collect();
        assert_eq!(
            facts.siblings,
            Known::Is(Some(Siblings { desired, ready })),
            "{kind}"
        );
    }
}

#[tokio::test]
async fn a_pod_that_nothing_owns_has_no_owner_and_needs_no_request() {
    let house = House::new().await;
    let facts = house
        .pods
        .facts(
            Pod {
                controller: None,
                ..house.pod()
            },
            Wants {
                namespace: false,
                ..ALL
            },
        )
        .await;
    assert_eq!((facts.owner, facts.siblings), (Known::Is(None), Known::Is(None)));
    assert_eq!(house.asked(), Vec::<String>::new());
}

/// The name in an owner reference can be any text.
#[tokio::test]
async fn an_owner_whose_name_is_a_path_is_not_asked_for() {
    let house = House::new().await;
    let mut pod = house.pod();
    if let Some(owner) = &mut pod.controller {
        owner.name = "../../../../v1/nodes/node-1".into();
    }
    let facts = house.pods.facts(pod, ALL).await;
    assert_eq!((facts.owner, facts.siblings), (Known::Is(None), Known::Is(None)));
    let asked = house.asked();
    assert!(
        asked
            .iter()
            .all(|asked| !asked.contains("..") && !asked.contains("nodes")),
        "{asked:?}"
    );
}

#[tokio::test]
async fn a_terminating_pod_is_not_ready() {
    let house = House::new().await;
    house.cluster.set_delays(drop_core::memory::Delays {
        stop: drop_core::memory::Stop::IgnoresSigterm,
        ..Default::default()
    });
    let pod = house.pod();
    house
        .cluster
        .delete(&pod.namespace, &pod.name, Some(&pod.uid), Some(30))
        .unwrap();
    let facts = house.pods.facts(pod.clone(), ALL).await;
    let siblings = facts.siblings.value().cloned().flatten().unwrap();
    assert!(!siblings.ready.contains(&pod.uid), "{siblings:?}");
    assert_eq!(siblings.desired, 2);
}

#[tokio::test]
async fn a_fact_that_cannot_be_read_is_unknown_with_the_reason() {
    let house = House::new().await;
    house.server.fail(Verb::Get, Fault::status(403));
    let facts = house.pods.facts(house.pod(), ALL).await;
    let why = "forbidden: the API server answered 403: the fake API server was told to fail";
    assert_eq!(facts.namespace, Known::Unknown(why.into()));
    assert_eq!(facts.owner, Known::Unknown(why.into()));
    assert_eq!(facts.siblings, Known::Unknown(why.into()));
    house.server.heal();
    house.server.fail(Verb::List, Fault::status(403));
    let facts = house.pods.facts(house.pod(), ALL).await;
    assert!(facts.owner.value().is_some());
    assert_eq!(facts.siblings, Known::Unknown(why.into()));
}

/// `web` may go, `all` (an empty selector) has nothing left, and the third is about others.
#[tokio::test]
async fn budgets_are_one_list_of_the_namespace() {
    let house = House::new().await;
    let budget = |name: &str, labels: &[(&str, &str)], min_available| {
        let pairs = labels.iter().map(|(key, value)| ((*key).into(), (*value).into()));
        house.cluster.add_budget(Budget {
            namespace: shop(),
            name: name.into(),
            selector: pairs.collect(),
            min_available,
        });
    };
    budget("web", &[("app", "web")], 1);
    budget("all", &[], 2);
    budget("db", &[("app", "db")], 0);
    let wants = Wants {
        budgets: true,
        ..Wants::default()
    };
    let facts = house.pods.facts(house.pod(), wants.clone()).await;
    let told = |name: &str, disruptions_allowed| facts::Budget {
        name: name.into(),
        disruptions_allowed,
        spares_ready_only: true,
    };
    assert_eq!(facts.budgets, Known::Is(vec![told("all", 0), told("web", 1)]));
    let list = "GET /apis/policy/v1/namespaces/shop/poddisruptionbudgets?limit=500";
    assert_eq!(house.asked(), [list]);
    house.server.fail(Verb::List, Fault::status(403));
    let facts = house.pods.facts(house.pod(), wants).await;
    let why = "forbidden: the API server answered 403: the fake API server was told to fail";
    assert_eq!(facts.budgets, Known::Unknown(why.into()));
}

#[tokio::test]
async fn without_an_index_nobody_can_tell_whether_a_host_is_a_node_and_nobody_asks() {
    let house = House::new().await;
    let wants = Wants {
        host: Some("node-1".parse().unwrap()),
        ..Wants::default()
    };
    let facts = house.pods.facts(house.pod(), wants).await;
    assert_eq!(
        facts.host_is_node,
        Known::Unknown("no index of pods is kept".into())
    );
    assert_eq!(house.asked(), Vec::<String>::new());
}
