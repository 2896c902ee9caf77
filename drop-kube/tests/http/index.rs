//! The index, kept by a watch over HTTP.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use drop_core::Outcome;
use drop_core::facts::{Known, Wants};
use drop_core::memory::Workload;
use drop_core::pod::Pod;
use drop_core::ports::{ApiError, By, Change, Found, PodApi, Presence, Target, Way};
use drop_core::record::Record;
use drop_kube::testing::{Fault, Verb};
use drop_kube::{Index, KubePods, Reach, Settings};
use falco_event::Timestamp;

use crate::events::{POLICY, answered};
use crate::{House, WITHIN, indexed, listed, read, shop};

/// A house whose adapter has an index, and the task that keeps it.
struct Watched {
    house: House,
    index: Index,
    pods: KubePods,
    keeping: tokio::task::JoinHandle<()>,
}

const SETTLE: Duration = Duration::from_millis(20);

impl Watched {
    async fn warm(settings: Settings) -> Self {
        let watched = Self::over(House::with(settings.clone()).await, &settings);
        watched.index.warm().await;
        watched
    }

    fn over(house: House, settings: &Settings) -> Self {
        let mut settings = settings.clone();
        // On loopback what was missed is there at once.
        settings.settle = settings.settle.min(SETTLE);
        let index = Index::new(house.server.client().unwrap(), &settings);
        let pods = house.pods.clone().with_index(index.clone());
        let kept = index.clone();
        let keeping = tokio::spawn(async move { kept.keep().await });
        Self {
            house,
            index,
            pods,
            keeping,
        }
    }

    /// Asks until the mark finds so many pods.
    async fn until_found(&self, by: &By, wanted: usize) {
        until(async || {
            self.pods
                .find(by)
                .await
                .is_ok_and(|found| found.pods.len() == wanted)
        })
        .await;
    }

    /// The requests that are not the index's own.
    fn asked(&self) -> Vec<String> {
        let own = |asked: &String| asked.contains("/pods?limit=") || asked.contains("watch=true");
        self.house
            .asked()
            .into_iter()
            .filter(|asked| !own(asked))
            .collect()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.keeping.abort();
    }
}

async fn until(is: impl AsyncFn() -> bool) {
    for _ in 0..5_000 {
        if is().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("waited in vain");
}

#[tokio::test]
async fn a_warm_index_finds_by_every_mark_without_a_request() {
    let watched = Watched::warm(Settings::default()).await;
    let pod = watched.house.pod();
    let id = pod.containers[0].id.clone();
    let short = id.as_str().get(..12).unwrap().parse().unwrap();
    let name = By::Name(pod.namespace.clone(), pod.name.clone());
    for by in [
        By::container(id),
        By::container(short),
        By::Uid(pod.uid.clone()),
        name,
    ] {
        assert_eq!(watched.pods.find(&by).await, indexed(vec![pod.clone()]), "{by:?}");
    }
    assert_eq!((watched.index.len(), watched.asked()), (2, vec![]));
    watched
        .pods
        .apply(
            &Target::of(&pod),
            &Change::Delete {
                grace_period_seconds: 1,
            },
            WITHIN,
        )
        .await
        .unwrap();
    assert_eq!(watched.asked().len(), 1, "an act costs one request");
}

/// A watch that is behind shows the pod before; a pod of a StatefulSet has its name.
#[tokio::test]
async fn a_name_that_is_taken_over_is_asked_for_though_the_index_knows_it() {
    let watched = Watched::warm(Settings::default()).await;
    watched.house.server.fail(Verb::Watch, Fault::Hang);
    watched.house.server.end_watches();
    let set = Workload::stateful_set(shop(), "db".parse().unwrap());
    watched.house.cluster.add_workload(set);
    let by = By::Name(shop(), "db-0".parse().unwrap());
    let old = watched.pods.find(&by).await.unwrap().pods.remove(0);
    watched
        .house
        .cluster
        .delete(&old.namespace, &old.name, Some(&old.uid), Some(0))
        .unwrap();
    let new = watched.pods.find(&by).await.unwrap().pods.remove(0);
    assert_ne!(new.uid, old.uid);
}

/// The answer to a delete was lost, and the watch is behind: the index still has the pod, and who asks again must not
/// be told that it lives.
#[tokio::test]
async fn what_a_change_was_sent_to_is_asked_for() {
    let watched = Watched::warm(Settings::default()).await;
    let pod = watched.house.pod();
    watched.house.server.fail(Verb::Watch, Fault::Hang);
    watched.house.server.end_watches();
    watched.house.server.fail(Verb::Delete, Fault::CloseAfter);
    let delete = Change::Delete {
        grace_period_seconds: 1,
    };
    let error = watched
        .pods
        .apply(&Target::of(&pod), &delete, WITHIN)
        .await
        .unwrap_err();
    assert!(error.maybe_happened);
    let name = By::Name(pod.namespace.clone(), pod.name.clone());
    for by in [
        By::container(pod.containers[0].id.clone()),
        By::Uid(pod.uid.clone()),
        name,
    ] {
        assert_eq!(watched.pods.find(&by).await, read(vec![]), "{by:?}");
    }
}

#[tokio::test]
async fn what_changes_is_in_the_index_soon_after() {
    let watched = Watched::warm(Settings::default()).await;
    let old = watched.house.pod();
    let mut changes = watched.index.changes();
    watched
        .house
        .cluster
        .delete(&old.namespace, &old.name, Some(&old.uid), Some(0))
        .unwrap();
    changes.changed().await.unwrap();
    assert_eq!(
        watched.pods.find(&By::Uid(old.uid.clone())).await,
        indexed(vec![])
    );
    assert_eq!(
        watched
            .pods
            .find(&By::container(old.containers[0].id.clone()))
            .await,
        indexed(vec![])
    );
    watched
        .until_found(&By::Uid(watched.house.cluster.pods()[1].uid.clone()), 1)
        .await;
    let pod = watched.house.pod();
    let after = watched
        .house
        .cluster
        .restart_container(&pod.uid, &pod.containers[0].name)
        .unwrap();
    watched.until_found(&By::container(after), 1).await;
    watched
        .until_found(&By::container(pod.containers[0].id.clone()), 1)
        .await;
}

/// Cold: a name is one GET; what the API server cannot select by has to wait.
#[tokio::test]
async fn a_cold_index_finds_by_name_and_says_that_it_is_cold() {
    let house = House::new().await;
    house.server.fail(Verb::List, Fault::Hang);
    let watched = Watched::over(house, &Settings::default());
    let pod = watched.house.pod();
    let name = By::Name(pod.namespace.clone(), pod.name.clone());
    assert_eq!(watched.pods.find(&name).await, read(vec![pod.clone()]));
    let why = "the index is cold: the first list of pods is not there yet";
    for by in [
        By::Uid(pod.uid.clone()),
        By::container(pod.containers[0].id.clone()),
    ] {
        assert_eq!(
            watched.pods.find(&by).await,
            Err(ApiError::Unavailable(why.into()))
        );
    }
    assert_eq!(
        watched.index.cold().as_deref(),
        Some("the first list of pods is not there yet")
    );
}

#[tokio::test]
async fn without_the_right_to_watch_pods_are_found_by_shared_lists() {
    let house = House::new().await;
    house.server.fail(Verb::Watch, Fault::status(403));
    let watched = Watched::over(house, &Settings::default());
    until(async || {
        watched
            .index
            .cold()
            .is_some_and(|why| why.starts_with("forbidden: "))
    })
    .await;
    let pod = watched.house.pod();
    assert_eq!(
        watched.pods.find(&By::Uid(pod.uid.clone())).await,
        listed(vec![pod])
    );
}

/// Each end of a watch: broken off, within a line, with a line that is none, expired, refused for a while.
#[tokio::test]
async fn a_watch_that_ends_is_taken_up_again_and_nothing_is_lost() {
    for fault in [
        None,
        Some(Fault::HalfBody),
        Some(Fault::BrokenJson),
        Some(Fault::status(410)),
        Some(Fault::Expired),
        Some(Fault::status(503)),
        Some(Fault::proxy(502)),
        Some(Fault::Close),
        Some(Fault::CloseAfter),
        Some(Fault::Slow(Duration::from_millis(2))),
    ] {
        let watched = Watched::warm(Settings::default()).await;
        if let Some(fault) = fault.clone() {
            watched.house.server.fail_next(Verb::Watch, fault);
        }
        watched.house.server.end_watches();
        let gone = watched.house.pod();
        watched
            .house
            .cluster
            .delete(&gone.namespace, &gone.name, Some(&gone.uid), Some(0))
            .unwrap();
        watched.until_found(&By::Uid(gone.uid.clone()), 0).await;
        for pod in watched.house.cluster.pods() {
            watched.until_found(&By::Uid(pod.uid.clone()), 1).await;
        }
        assert_eq!(watched.index.len(), 2, "{fault:?}");
    }
}

#[tokio::test]
async fn a_first_list_that_breaks_off_is_whole_in_the_end() {
    for fault in [Fault::HalfBody, Fault::BrokenJson] {
        let house = House::new().await;
        house.server.fail_next(Verb::List, fault);
        let watched = Watched::over(house, &Settings::default());
        watched.index.warm().await;
        assert_eq!(watched.index.len(), 2);
        for pod in watched.house.cluster.pods() {
            assert_eq!(
                watched.pods.find(&By::Uid(pod.uid.clone())).await,
                indexed(vec![pod])
            );
        }
    }
}

/// A connection that is dead without a sign.
#[tokio::test]
async fn a_watch_that_says_nothing_is_taken_up_again_and_nothing_is_lost() {
    let mut settings = Settings::default();
    settings.silent = Duration::from_millis(20);
    let house = House::new().await;
    house.server.fail_next(Verb::Watch, Fault::HangAfter);
    let watched = Watched::over(house, &settings);
    watched.index.warm().await;
    let gone = watched.house.pod();
    watched
        .house
        .cluster
        .delete(&gone.namespace, &gone.name, Some(&gone.uid), Some(0))
        .unwrap();
    watched.until_found(&By::Uid(gone.uid), 0).await;
    assert_eq!(watched.index.len(), 2);
}

/// What came while it could not watch is not known to be absent before the watch has told it.
#[tokio::test]
async fn an_index_is_warm_again_only_when_it_was_told_what_it_missed() {
    for _ in 0..3 {
        let watched = Watched::warm(Settings::default()).await;
        watched.house.server.fail(Verb::Watch, Fault::status(503));
        watched.house.server.end_watches();
        until(async || watched.index.cold().is_some()).await;
        let new = Workload::pod(shop(), "new".parse().unwrap());
        watched.house.cluster.add_workload(new);
        let name = "new".parse().unwrap();
        let new = watched.house.cluster.pod(&shop(), &name).unwrap();
        watched.house.server.heal();
        watched.index.warm().await;
        assert_eq!(watched.pods.find(&container_of(&new)).await, indexed(vec![new]));
    }
}

/// While tokens are changed an API server refuses for a moment: that must not cost a list, nor the pods meanwhile.
#[tokio::test]
async fn a_refusal_that_passes_costs_no_list() {
    let watched = Watched::warm(Settings::default()).await;
    watched.house.server.fail_next(Verb::Watch, Fault::status(401));
    watched.house.server.end_watches();
    until(async || watched.index.cold().is_some()).await;
    assert_eq!(watched.index.len(), 2);
    watched.index.warm().await;
    let lists = watched.house.asked();
    let lists = lists.iter().filter(|asked| asked.contains("/pods?limit="));
    assert_eq!(lists.count(), 1);
}

/// After a restore of its store an API server may refuse a place that it never had.
#[tokio::test]
async fn a_place_that_is_refused_is_asked_for_anew() {
    let watched = Watched::warm(Settings::default()).await;
    watched.house.server.fail_next(Verb::Watch, Fault::status(400));
    watched.house.server.end_watches();
    until(async || watched.index.cold().is_some()).await;
    watched.index.warm().await;
    let lists = watched.house.asked();
    let lists = lists.iter().filter(|asked| asked.contains("/pods?limit="));
    assert_eq!(lists.count(), 2);
}

#[tokio::test]
async fn a_refusal_that_stays_costs_the_pods() {
    let watched = Watched::warm(Settings::default()).await;
    watched.house.server.fail(Verb::Watch, Fault::status(403));
    watched.house.server.end_watches();
    until(async || watched.index.is_empty()).await;
    let pod = watched.house.pod();
    assert_eq!(watched.pods.find(&container_of(&pod)).await, listed(vec![pod]));
}

/// What a proxy answers for an API server that it does not reach is no watch.
#[tokio::test]
async fn watches_that_end_before_they_say_anything_make_the_index_cold() {
    let watched = Watched::warm(Settings::default()).await;
    let (status, retry_after, body) = (200, None, String::new());
    let empty = Fault::Answer {
        status,
        retry_after,
        body,
    };
    watched.house.server.fail(Verb::Watch, empty);
    watched.house.server.end_watches();
    until(async || watched.index.cold().is_some()).await;
    let why = "its watches end before they say anything";
    assert_eq!(watched.index.cold().as_deref(), Some(why));
}

/// An index whose only watch has been silent for too long to be believed.
async fn quiet() -> Watched {
    let mut settings = Settings::default();
    settings.believed = Duration::ZERO;
    let house = House::new().await;
    house.server.fail(Verb::Watch, Fault::HangAfter);
    let watched = Watched::over(house, &settings);
    watched.index.warm().await;
    watched
}

/// The connection died before the pod came: an alert about it must not be told for good that there is none.
#[tokio::test]
async fn what_a_silent_watch_does_not_show_is_listed() {
    let watched = quiet().await;
    let old = watched.house.pod();
    let new = Workload::pod(shop(), "new".parse().unwrap());
    watched.house.cluster.add_workload(new);
    let name = "new".parse().unwrap();
    let new = watched.house.cluster.pod(&shop(), &name).unwrap();
    let container = new.containers[0].id.clone();
    let node = new.node.clone();
    let by = By::Container {
        id: container,
        on: node,
    };
    let way = Way::NodeList;
    let pods = vec![new.clone()];
    assert_eq!(watched.pods.find(&by).await, Ok(Found { pods, way }));
    let by = By::Uid(new.uid.clone());
    assert_eq!(watched.pods.find(&by).await, listed(vec![new]));
    let nothing = By::Uid("none".parse().unwrap());
    assert_eq!(watched.pods.find(&nothing).await, listed(vec![]));
    assert_eq!(
        watched.pods.find(&container_of(&old)).await,
        indexed(vec![old]),
        "what it shows is no absence"
    );
}

/// A container that was restarted since is none that the pod of that name has in the index.
#[tokio::test]
async fn a_pod_that_a_silent_watch_knows_by_the_alert_s_name_alone_is_read() {
    let watched = quiet().await;
    let pod = watched.house.pod();
    let restarted = watched
        .house
        .cluster
        .restart_container(&pod.uid, &pod.containers[0].name)
        .unwrap();
    let pod = watched.house.pod();
    assert!(pod.containers.iter().any(|container| container.id == restarted));
    let found = watched
        .pods
        .find_with(&name_of(&pod), &[By::container(restarted)])
        .await;
    assert_eq!(found, read(vec![pod]));
}

/// Nothing that is missing in the index can make it another pod: the act alone is asked for.
#[tokio::test]
async fn a_pod_that_bears_more_of_the_alert_s_marks_is_believed_of_a_silent_watch() {
    let watched = quiet().await;
    let pod = watched.house.pod();
    let (uid, none) = (
        By::Uid(pod.uid.clone()),
        By::container("f".repeat(64).parse().unwrap()),
    );
    for others in [
        vec![container_of(&pod)],
        vec![uid.clone()],
        vec![uid.clone(), none],
        vec![],
    ] {
        let found = watched.pods.find_with(&name_of(&pod), &others).await;
        assert_eq!(found, indexed(vec![pod.clone()]), "{others:?}");
    }
    assert_eq!(watched.pods.find(&uid).await, indexed(vec![pod.clone()]));
    assert_eq!(watched.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn an_act_costs_one_request_however_long_the_watch_has_been_silent() {
    let mut watched = quiet().await;
    let pod = watched.house.pod();
    watched.house.pods = watched.pods.clone();
    let policy = POLICY.replace("mode: enforce", "mode: enforce\n  limits: []");
    let record = answered(&watched.house, &policy, "a shell").await;
    assert!(
        matches!(&record, Record::Decided(decided) if decided.outcome == Outcome::Acted { certain: true }),
        "{record:?}"
    );
    let delete = format!("DELETE /api/v1/namespaces/shop/pods/{}", pod.name);
    assert_eq!(watched.asked(), [delete]);
}

/// Its name may be another pod's by now, and its container cannot.
#[tokio::test]
async fn a_name_that_can_be_taken_over_is_believed_with_another_mark_and_asked_for_without() {
    let house = House::new().await;
    let set = Workload::stateful_set(shop(), "db".parse().unwrap());
    house.cluster.add_workload(set);
    let watched = Watched::over(house, &Settings::default());
    watched.index.warm().await;
    let pod = watched
        .house
        .cluster
        .pod(&shop(), &"db-0".parse().unwrap())
        .unwrap();
    let name = name_of(&pod);
    let with = watched.pods.find_with(&name, &[container_of(&pod)]).await;
    assert_eq!((with, watched.asked()), (indexed(vec![pod.clone()]), vec![]));
    assert_eq!(watched.pods.find(&name).await, read(vec![pod]));
}

/// Pods that went unseen would count as left.
#[tokio::test]
async fn siblings_are_not_counted_by_a_silent_watch() {
    let watched = quiet().await;
    let wants = Wants {
        siblings: true,
        ..Wants::default()
    };
    let pod = watched.house.pod();
    let other = watched
        .house
        .cluster
        .pods()
        .into_iter()
        .find(|it| it.uid != pod.uid);
    let other = other.unwrap();
    watched
        .house
        .cluster
        .delete(&other.namespace, &other.name, Some(&other.uid), Some(60))
        .unwrap();
    let facts = watched.pods.facts(pod, wants).await;
    let siblings = facts.siblings.value().cloned().flatten().unwrap();
    assert!(!siblings.ready.contains(&other.uid), "{siblings:?}");
}

/// What comes while its pods are listed anew is not known to be absent.
#[tokio::test]
async fn an_index_that_has_lost_its_place_is_cold_until_it_has_listed_again() {
    let watched = Watched::warm(Settings::default()).await;
    watched.house.server.fail_next(Verb::Watch, Fault::Expired);
    watched.house.server.fail_next(Verb::List, Fault::Hang);
    watched.house.server.end_watches();
    until(async || watched.index.cold().is_some()).await;
    let new = Workload::pod(shop(), "new".parse().unwrap());
    watched.house.cluster.add_workload(new);
    let new = watched
        .house
        .cluster
        .pod(&shop(), &"new".parse().unwrap())
        .unwrap();
    let cold = "the index is cold: the pods have to be listed again";
    assert_eq!(
        watched.pods.find(&container_of(&new)).await,
        Err(ApiError::Unavailable(cold.into()))
    );
}

#[tokio::test]
async fn a_watch_that_cannot_be_taken_up_makes_the_index_cold() {
    let watched = Watched::warm(Settings::default()).await;
    watched.house.server.fail(Verb::Watch, Fault::status(503));
    watched.house.server.end_watches();
    until(async || watched.index.cold().is_some()).await;
    let by = By::Uid(watched.house.pod().uid);
    assert!(
        matches!(watched.pods.find(&by).await, Err(ApiError::Unavailable(why)) if why.starts_with("the index is cold: "))
    );
    watched.house.server.heal();
    watched.index.warm().await;
    watched.until_found(&by, 1).await;
}

#[tokio::test]
async fn only_the_namespaces_that_are_named_are_watched() {
    let mut settings = Settings::default();
    settings.reach.namespaces = Some([shop(), "bank".parse().unwrap()].into());
    let watched = Watched::warm(settings).await;
    watched.house.cluster.add_workload(Workload::deployment(
        "other".parse().unwrap(),
        "x".parse().unwrap(),
    ));
    watched.house.cluster.add_workload(Workload::deployment(
        "bank".parse().unwrap(),
        "pay".parse().unwrap(),
    ));
    let of = |namespace: &str| {
        let pods = watched.house.cluster.pods();
        By::Uid(
            pods.into_iter()
                .find(|pod| pod.namespace.as_str() == namespace)
                .unwrap()
                .uid,
        )
    };
    watched.until_found(&of("bank"), 1).await;
    watched.until_found(&of("other"), 0).await;
    assert_eq!(watched.index.len(), 3);
    assert!(
        watched
            .house
            .asked()
            .iter()
            .all(|asked| !asked.contains("/api/v1/pods"))
    );
}

#[tokio::test]
async fn annotations_that_nobody_asked_for_are_not_kept() {
    let mut settings = Settings::default();
    settings.reach.annotations = Some(["kept".to_owned()].into());
    let house = House::new().await;
    let noted = Workload::pod(shop(), "noted".parse().unwrap())
        .annotation("kept", "yes")
        .annotation("large", "x");
    house.cluster.add_workload(noted);
    let watched = Watched::over(house, &settings);
    watched.index.warm().await;
    let uid = watched
        .house
        .cluster
        .pod(&shop(), &"noted".parse().unwrap())
        .unwrap()
        .uid;
    let found = watched.pods.find(&By::Uid(uid)).await.unwrap().pods;
    assert_eq!(
        found[0].annotations,
        [("kept".to_owned(), "yes".to_owned())].into()
    );
}

fn reach(namespaces: &[&str], annotations: &[&str]) -> Reach {
    Reach {
        namespaces: Some(namespaces.iter().map(|name| name.parse().unwrap()).collect()),
        annotations: Some(annotations.iter().map(|&key| key.to_owned()).collect()),
    }
}

/// An index that watches nothing yet, a pod of `shop` and one of `bank`.
async fn watching_nothing() -> (Watched, Pod, Pod) {
    let mut settings = Settings::default();
    settings.reach = reach(&[], &[]);
    let house = House::new().await;
    let bank = Workload::deployment("bank".parse().unwrap(), "pay".parse().unwrap());
    house.cluster.add_workload(bank);
    let mut pods = house.cluster.pods();
    let (pay, web) = (pods.remove(0), pods.remove(0));
    (Watched::over(house, &settings), web, pay)
}

fn name_of(pod: &Pod) -> By {
    By::Name(pod.namespace.clone(), pod.name.clone())
}

fn container_of(pod: &Pod) -> By {
    By::container(pod.containers[0].id.clone())
}

/// What was not looked for is not told as absent, from the moment that it is asked for.
#[tokio::test]
async fn a_namespace_that_is_reached_later_is_cold_until_it_has_been_listed_and_the_others_stay_warm() {
    let (watched, web, pay) = watching_nothing().await;
    let first = watched.index.reach(reach(&["shop"], &[]));
    watched.index.warm().await;
    assert_eq!(watched.pods.find(&container_of(&pay)).await, indexed(vec![]));

    watched.house.server.fail(Verb::List, Fault::Hang);
    let second = watched.index.reach(reach(&["bank"], &[]));
    let cold = "the index is cold: the first list of pods is not there yet";
    assert_eq!(
        watched.pods.find(&container_of(&pay)).await,
        Err(ApiError::Unavailable(cold.into()))
    );
    let name = By::Name(pay.namespace.clone(), pay.name.clone());
    assert_eq!(watched.pods.find(&name).await, read(vec![pay.clone()]));
    assert_eq!(watched.pods.find(&container_of(&web)).await, indexed(vec![web]));
    drop((first, second));
}

#[tokio::test]
async fn what_is_not_held_any_more_is_not_watched_any_more() {
    let (watched, _, pay) = watching_nothing().await;
    let first = watched.index.reach(reach(&["shop", "bank"], &[]));
    let second = watched.index.reach(reach(&["bank"], &[]));
    watched.index.warm().await;
    until(async || watched.house.server.watches() == 2).await;
    drop(first);
    until(async || watched.house.server.watches() == 1).await;
    assert_eq!(watched.index.len(), 1);
    assert_eq!(watched.pods.find(&container_of(&pay)).await, indexed(vec![pay]));
    drop(second);
    until(async || watched.house.server.watches() == 0).await;
    assert!(watched.index.is_empty());
}

/// Both before its watches can be looked after.
#[tokio::test]
async fn what_is_given_up_and_held_again_at_once_is_watched() {
    let (watched, _, pay) = watching_nothing().await;
    let first = watched.index.reach(reach(&["bank"], &[]));
    watched.index.warm().await;
    drop(first);
    let _second = watched.index.reach(reach(&["bank"], &[]));
    until(async || watched.index.cold().is_none()).await;
    assert_eq!(watched.pods.find(&container_of(&pay)).await, indexed(vec![pay]));
}

#[tokio::test]
async fn a_pod_that_two_watches_have_is_found_once() {
    let (watched, _, pay) = watching_nothing().await;
    let everywhere = Reach {
        namespaces: None,
        ..reach(&[], &[])
    };
    let _holds = (
        watched.index.reach(everywhere),
        watched.index.reach(reach(&["bank"], &[])),
    );
    watched.index.warm().await;
    assert_eq!(watched.index.len(), 4);
    assert_eq!(watched.pods.find(&container_of(&pay)).await, indexed(vec![pay]));
}

/// The pods that are there were put in without it.
#[tokio::test]
async fn an_annotation_that_is_asked_for_later_is_not_told_as_absent() {
    let (watched, ..) = watching_nothing().await;
    let noted = Workload::pod(shop(), "noted".parse().unwrap()).annotation("team", "web");
    watched.house.cluster.add_workload(noted);
    let _first = watched.index.reach(reach(&["shop"], &[]));
    watched.index.warm().await;
    let pods = watched.house.cluster.pods();
    let noted = pods.iter().find(|pod| pod.name.as_str() == "noted").unwrap();
    let annotations = async || {
        let found = watched.pods.find(&container_of(noted)).await?;
        Ok(found.pods[0].annotations.clone())
    };
    assert_eq!(annotations().await, Ok(BTreeMap::new()));
    let _second = watched.index.reach(reach(&["shop"], &["team"]));
    let cold = "the index is cold: other annotations are asked for";
    assert_eq!(annotations().await, Err(ApiError::Unavailable(cold.into())));
    watched.index.warm().await;
    let team = [("team".to_owned(), "web".to_owned())].into();
    assert_eq!(annotations().await, Ok(team));
}

#[tokio::test]
async fn a_pod_that_is_too_large_for_the_index_is_found_by_it_and_read() {
    let watched = Watched::over(House::new().await, &Settings::default());
    let large = Workload::pod(shop(), "large".parse().unwrap()).annotation("note", &"x".repeat(2_000));
    watched.house.cluster.add_workload(large);
    watched.index.warm().await;
    let large = watched
        .house
        .cluster
        .pod(&shop(), &"large".parse().unwrap())
        .unwrap();
    assert_eq!(watched.pods.find(&container_of(&large)).await, read(vec![large]));
    assert_eq!(watched.asked(), ["GET /api/v1/namespaces/shop/pods/large"]);
}

/// One of two namespaces must not be watched: only there pods are listed.
#[tokio::test]
async fn where_it_must_not_watch_pods_are_listed_and_nowhere_else() {
    let (watched, web, pay) = watching_nothing().await;
    watched.house.server.fail_next(Verb::List, Fault::status(403));
    let _first = watched.index.reach(reach(&["bank"], &[]));
    until(async || {
        watched
            .index
            .cold()
            .is_some_and(|why| why.starts_with("forbidden: "))
    })
    .await;
    let _second = watched.index.reach(reach(&["shop"], &[]));
    until(async || watched.pods.find(&container_of(&web)).await == indexed(vec![web.clone()])).await;
    assert_eq!(watched.pods.find(&container_of(&pay)).await, listed(vec![pay]));
    let lists = watched
        .house
        .asked()
        .into_iter()
        .filter(|asked| asked.ends_with("/pods?limit=500"));
    assert!(
        lists.clone().all(|asked| asked.contains("/bank/")) && lists.count() > 0,
        "{:?}",
        watched.house.asked()
    );
}

#[tokio::test]
async fn siblings_are_counted_by_the_index() {
    let watched = Watched::warm(Settings::default()).await;
    let wants = Wants {
        siblings: true,
        ..Wants::default()
    };
    let facts = watched.pods.facts(watched.house.pod(), wants).await;
    let siblings = facts.siblings.value().cloned().flatten().unwrap();
    let ready = watched
        .house
        .cluster
        .pods()
        .into_iter()
        .map(|pod| pod.uid)
        .collect();
    assert_eq!((siblings.desired, siblings.ready), (2, ready));
    assert!(
        watched
            .asked()
            .iter()
            .all(|asked| !asked.contains("/pods?labelSelector")),
        "{:?}",
        watched.asked()
    );
}

/// That a pod is on its way out, and that it went, is told by the watch; how an act ended costs no request.
#[tokio::test]
async fn how_a_pod_ends_is_told_by_the_watch() {
    let settings = Settings::default();
    let house = House::at(Timestamp::now(), settings.clone()).await;
    let stubborn = Workload::pod(shop(), "stubborn".parse().unwrap()).ignores_sigterm();
    house.cluster.add_workload(stubborn);
    let watched = Watched::over(house, &settings);
    watched.index.warm().await;
    let name = "stubborn".parse().unwrap();
    let target = Target::of(&watched.house.cluster.pod(&shop(), &name).unwrap());
    let delete = Change::Delete {
        grace_period_seconds: 60,
    };
    watched.pods.apply(&target, &delete, WITHIN).await.unwrap();
    // Before the watch has told, it is asked for.
    until(async || {
        let asked = watched.asked().len();
        let presence = watched.pods.presence(&target).await;
        presence == Ok(Presence::Terminating) && watched.asked().len() == asked
    })
    .await;
    let asked = watched.asked().len();
    let mut changes = watched.index.changes();
    watched.house.cluster.advance(Duration::from_secs(61));
    changes.changed().await.unwrap();
    assert_eq!(watched.pods.presence(&target).await, Ok(Presence::Gone));
    assert_eq!(watched.asked().len(), asked, "{:?}", watched.asked());
}

/// A watch that is behind for longer than the pod had.
#[tokio::test]
async fn a_pod_that_is_later_than_it_had_to_be_is_asked_for() {
    let watched = Watched::warm(Settings::default()).await;
    let target = watched.house.target();
    watched.house.cluster.set_delays(drop_core::memory::Delays {
        stop: drop_core::memory::Stop::IgnoresSigterm,
        ..Default::default()
    });
    let delete = Change::Delete {
        grace_period_seconds: 60,
    };
    watched.pods.apply(&target, &delete, WITHIN).await.unwrap();
    assert_eq!(watched.pods.presence(&target).await, Ok(Presence::Terminating));
    assert_eq!(watched.asked().len(), 2, "{:?}", watched.asked());
}

#[tokio::test]
async fn the_index_ends_with_its_task() {
    let watched = Watched::warm(Settings::default()).await;
    until(async || watched.house.server.watches() == 1).await;
    let server = Arc::new(&watched.house.server);
    watched.keeping.abort();
    until(async || server.watches() == 0).await;
}

#[tokio::test]
async fn a_host_is_a_node_where_a_pod_stands_on_it() {
    let watched = Watched::warm(Settings::default()).await;
    let pod = watched.house.pod();
    let is_node = async |host: &str| {
        let host = Some(host.parse().unwrap());
        let wants = Wants {
            host,
            ..Wants::default()
        };
        watched.pods.facts(pod.clone(), wants).await.host_is_node
    };
    assert_eq!(is_node("node-1").await, Known::Is(true));
    assert_eq!(is_node("falco-x2x9k").await, Known::Is(false));
    assert_eq!(watched.asked(), Vec::<String>::new());
    watched.house.server.fail(Verb::Watch, Fault::status(503));
    watched.house.server.fail(Verb::List, Fault::status(503));
    watched.house.server.end_watches();
    until(async || watched.index.cold().is_some()).await;
    assert!(matches!(is_node("node-1").await, Known::Unknown(why) if why.starts_with("the index is cold: ")));
}
