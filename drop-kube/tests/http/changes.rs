use std::collections::BTreeMap;
use std::time::Duration;

use drop_core::memory::{Budget, Happened};
use drop_core::ports::{ApiError, Change, PodApi, Presence, Target};
use drop_kube::testing::{Fault, Verb};
use serde_json::{Value, json};

use crate::{House, WITHIN, shop};

const DELETE: Change = Change::Delete {
    grace_period_seconds: 1,
};
const EVICT: Change = Change::Evict {
    grace_period_seconds: 1,
};

fn json_of(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}

#[tokio::test]
async fn a_delete_is_one_request_with_its_uid_in_the_body() {
    let house = House::new().await;
    let target = house.target();
    house.pods.apply(&target, &DELETE, WITHIN).await.unwrap();
    let sent = house.last();
    assert_eq!(
        (sent.verb, house.asked()),
        (Some(Verb::Delete), vec![format!("DELETE {}", path(&target))])
    );
    assert_eq!(sent.content_type, "application/json");
    let options = json!({
        "apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 1, "propagationPolicy": "Background",
        "preconditions": { "uid": target.uid },
    });
    assert_eq!(json_of(&sent.body), options);
    assert!(house.cluster.pod_by_uid(&target.uid).is_none());
}

#[tokio::test]
async fn an_eviction_s_options_are_spelled_as_the_api_has_them() {
    let house = House::new().await;
    let target = house.target();
    house.pods.apply(&target, &EVICT, WITHIN).await.unwrap();
    let path = path(&target);
    assert_eq!(
        house.asked(),
        [format!("GET {path}"), format!("POST {path}/eviction")]
    );
    let eviction = json!({
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": { "namespace": "shop", "name": target.name },
        "deleteOptions": {
            "apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 1, "propagationPolicy": "Background",
            "preconditions": { "uid": target.uid },
        },
    });
    assert_eq!(json_of(&house.last().body), eviction);
}

#[tokio::test]
async fn labels_and_annotations_are_a_merge_patch_that_names_the_uid() {
    let house = House::new().await;
    let target = house.target();
    let pairs = BTreeMap::from([
        ("security".to_owned(), Some("hit".to_owned())),
        ("app".to_owned(), None),
    ]);
    for (change, what) in [
        (Change::Annotate(pairs.clone()), "annotations"),
        (Change::Label(pairs.clone()), "labels"),
    ] {
        house.pods.apply(&target, &change, WITHIN).await.unwrap();
        let sent = house.last();
        assert_eq!(
            (sent.method.as_str(), sent.path.clone()),
            ("PATCH", path(&target))
        );
        assert_eq!(sent.content_type, "application/merge-patch+json");
        assert_eq!(
            json_of(&sent.body),
            json!({ "metadata": { "uid": target.uid, what: { "security": "hit", "app": null } } })
        );
    }
    let pod = house.cluster.pod_by_uid(&target.uid).unwrap();
    assert_eq!(pod.annotations.get("security").map(String::as_str), Some("hit"));
    assert_eq!(
        (
            pod.labels.get("security").map(String::as_str),
            pod.labels.get("app")
        ),
        (Some("hit"), None)
    );
}

/// No change hits the pod that has the name but not the UID.
#[tokio::test]
async fn another_uid_is_a_conflict_and_nothing_is_touched() {
    let house = House::new().await;
    let target = Target::new(
        shop(),
        house.pod().name,
        "00000000-0000-0000-0000-000000000000".parse().unwrap(),
    );
    let pairs = BTreeMap::from([("a".to_owned(), Some("b".to_owned()))]);
    for change in [
        DELETE,
        EVICT,
        Change::Label(pairs.clone()),
        Change::Annotate(pairs),
    ] {
        let error = house.pods.apply(&target, &change, WITHIN).await.unwrap_err();
        assert!(matches!(error.why, ApiError::Conflict(_)), "{change:?}: {error}");
        assert!(!error.maybe_happened, "{change:?}");
    }
    assert_eq!(house.cluster.touched(), []);
    assert_eq!(house.pods.presence(&target).await, Ok(Presence::Gone));
}

#[tokio::test]
async fn a_pod_that_is_gone_is_not_found() {
    let house = House::new().await;
    let target = Target::new(shop(), "gone".parse().unwrap(), house.pod().uid);
    for change in [DELETE, EVICT, Change::Label(BTreeMap::new())] {
        let error = house.pods.apply(&target, &change, WITHIN).await.unwrap_err();
        assert_eq!(
            (error.why, error.maybe_happened),
            (ApiError::NotFound, false),
            "{change:?}"
        );
    }
}

/// A wrong UID would use up the budget of the pod that took the name.
#[tokio::test]
async fn an_eviction_of_a_replaced_pod_spends_no_budget() {
    let house = House::new().await;
    let selector = BTreeMap::from([("app".to_owned(), "web".to_owned())]);
    house.cluster.add_budget(Budget {
        namespace: shop(),
        name: "web".into(),
        selector,
        min_available: 1,
    });
    let target = Target::new(
        shop(),
        house.pod().name,
        "00000000-0000-0000-0000-000000000000".parse().unwrap(),
    );
    house.pods.apply(&target, &EVICT, WITHIN).await.unwrap_err();
    assert_eq!(house.cluster.budgets()[0].disruptions_allowed, 1);
    assert!(
        !house
            .cluster
            .history()
            .iter()
            .any(|entry| matches!(entry.what, Happened::Disrupted { .. }))
    );
}

#[tokio::test]
async fn what_a_budget_refuses_is_asked_once() {
    let house = House::new().await;
    let budget = |name: &str| Budget {
        namespace: shop(),
        name: name.into(),
        selector: BTreeMap::from([("app".to_owned(), "web".to_owned())]),
        min_available: 2,
    };
    house.cluster.add_budget(budget("web"));
    for expected in [
        "disruption budget `web` has nothing left",
        "more than one PodDisruptionBudget",
    ] {
        let before = house.server.requests().len();
        let error = house
            .pods
            .apply(&house.target(), &EVICT, WITHIN)
            .await
            .unwrap_err();
        assert!(
            matches!(&error.why, ApiError::Budget(why) if why.contains(expected)),
            "{error}"
        );
        assert!(!error.maybe_happened);
        assert_eq!(
            house.server.requests().len() - before,
            2,
            "one read of the UID, one eviction"
        );
        house.cluster.add_budget(budget("web-too"));
    }
    assert_eq!(house.cluster.touched(), []);
}

#[tokio::test]
async fn an_invalid_label_is_refused_for_good() {
    let house = House::new().await;
    let pairs = BTreeMap::from([("a".to_owned(), Some("two words".to_owned()))]);
    let error = house
        .pods
        .apply(&house.target(), &Change::Label(pairs), WITHIN)
        .await
        .unwrap_err();
    assert!(matches!(error.why, ApiError::Invalid(_)), "{error}");
    assert_eq!(house.server.requests().len(), 1);
}

#[tokio::test]
async fn presence_follows_the_pod_to_its_end() {
    let house = House::new().await;
    let uid = house.pod().uid;
    house.cluster.set_delays(drop_core::memory::Delays {
        stop: drop_core::memory::Stop::IgnoresSigterm,
        ..Default::default()
    });
    let target = house.target();
    assert_eq!(house.pods.presence(&target).await, Ok(Presence::Alive));
    house
        .pods
        .apply(
            &target,
            &Change::Delete {
                grace_period_seconds: 5,
            },
            WITHIN,
        )
        .await
        .unwrap();
    assert_eq!(house.pods.presence(&target).await, Ok(Presence::Terminating));
    house.pods.apply(&target, &DELETE, WITHIN).await.unwrap();
    house.cluster.advance(Duration::from_secs(1));
    assert_eq!(house.cluster.pod_by_uid(&uid), None, "the shorter grace counts");
    assert_eq!(house.pods.presence(&target).await, Ok(Presence::Gone));
    assert!(
        house
            .server
            .requests()
            .iter()
            .all(|request| request.verb != Some(Verb::List))
    );
}

/// The answer to a change is its status: a body that breaks off after it takes nothing back.
#[tokio::test]
async fn a_change_is_done_when_its_status_says_so() {
    for fault in [Fault::HalfBody, Fault::BrokenJson] {
        let house = House::new().await;
        house.server.fail_next(Verb::Delete, fault.clone());
        let target = house.target();
        assert_eq!(
            house.pods.apply(&target, &DELETE, WITHIN).await,
            Ok(()),
            "{fault:?}"
        );
        assert_eq!(
            (house.server.requests().len(), house.cluster.touched()),
            (1, vec![target]),
            "{fault:?}"
        );
    }
}

fn path(target: &Target) -> String {
    format!("/api/v1/namespaces/{}/pods/{}", target.namespace, target.name)
}
