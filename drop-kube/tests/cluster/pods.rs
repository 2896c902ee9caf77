//! Pods that take over a name, restart a container, or are kept by a disruption budget: through the engine, with an
//! index.

use std::sync::Arc;

use drop_core::guard::Guard;
use drop_core::memory::{Budget, Workload};
use drop_core::outcome::{Ending, Outcome};
use drop_core::pod::Pod;
use drop_core::ports::{By, PodApi, Presence, Target};
use drop_core::record::Decided;
use drop_core::testing::Fixture;
use drop_kube::Settings;
use falco_event::{Alert, Namespace, Timestamp};
use serde_json::json;

use crate::fixture::Real;
use crate::scene::{alert, engine, policies, running};

/// Runs the test in a namespace that it alone uses and its index alone watches, and removes that whatever happens.
async fn in_a_namespace<F>(stem: &str, test: impl FnOnce(Arc<Real>, Namespace) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let real = Real::connect(stem).await;
    let namespace = real.namespace(&[]).await;
    let mut settings = Settings::default();
    settings.reach.namespaces = Some([namespace.clone()].into());
    let real = Arc::new(real.with_index(settings).await);
    let end = tokio::spawn(test(Arc::clone(&real), namespace)).await;
    real.remove_all().await;
    end.unwrap();
}

/// An alert that names nothing but this container.
fn of_container(id: &str, time: Timestamp) -> Alert {
    let alert = json!({
        "rule": "Terminal shell in container", "priority": "Notice", "source": "syscall", "time": time.to_string(),
        "output": "a shell", "output_fields": { "container.id": id },
    });
    Alert::from_slice(alert.to_string().as_bytes()).unwrap()
}

fn is_skipped(decided: &Decided, by: Guard) -> bool {
    matches!(&decided.outcome, Outcome::Skipped { guard, retryable: false, .. } if *guard == by)
}

async fn presence(real: &Real, pod: &Pod) -> Presence {
    real.pods.presence(&Target::of(pod)).await.unwrap()
}

/// Waits until the index knows the container.
async fn until_found(real: &Real, pod: &Pod) {
    let by = By::container(pod.containers[0].id.clone());
    while !real
        .pods
        .find(&by)
        .await
        .is_ok_and(|found| !found.pods.is_empty())
    {
        real.wait().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs FALCO_DROP_TEST_KUBECONFIG"]
async fn the_pod_that_took_over_a_stateful_set_s_name_is_not_hit() {
    in_a_namespace("name", async |real, namespace| {
        let set = Workload::stateful_set(namespace.clone(), "db".parse().unwrap());
        real.create(set).await;
        let old = running(&real, &namespace, None).await;
        let (engine, _) = engine(real.pods.clone());
        let policies = policies("", "delete: {}");
        let first = engine.handle(&policies, &alert(&old), None).await;
        assert_eq!(first.outcome, Outcome::Acted { certain: true });
        let new = running(&real, &namespace, Some(&old)).await;
        assert_eq!(new.name, old.name);
        until_found(&real, &new).await;

        // Another alert of the container that is gone, which names the pod too, and one that names the container alone.
        let late = engine.handle(&policies, &alert(&old), None).await;
        assert!(!matches!(late.outcome, Outcome::Acted { .. }), "{}", late.outcome);
        let before = Timestamp::from_second(Timestamp::now().as_second() - 60).unwrap();
        let late = of_container(old.containers[0].id.as_str(), before);
        let late = engine.handle(&policies, &late, None).await;
        assert!(is_skipped(&late, Guard::Target), "{}", late.outcome);
        assert_eq!(presence(&real, &new).await, Presence::Alive);
        assert_eq!(presence(&real, &old).await, Presence::Gone);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs FALCO_DROP_TEST_KUBECONFIG"]
async fn a_container_that_runs_again_under_another_id_is_found_by_that_one() {
    in_a_namespace("restart", async |real, namespace| {
        let web = Workload::deployment(namespace.clone(), "web".parse().unwrap());
        real.create(web).await;
        let before = running(&real, &namespace, None).await;
        let container = &before.containers[0];
        assert!(real.restart_container(&before, &container.name).await);
        let after = Fixture::pods(&*real, &namespace).await.remove(0);
        let now = after.containers.iter().find(|it| it.ended.is_none()).unwrap();
        assert_ne!(now.id, container.id);
        until_found(
            &real,
            &Pod {
                containers: vec![now.clone()],
                ..after.clone()
            },
        )
        .await;

        let (engine, _) = engine(real.pods.clone());
        let policies = policies("", "delete: {}");
        // The instance before had ended when this is said to have happened.
        let ended = engine
            .handle(
                &policies,
                &of_container(container.id.as_str(), Timestamp::now()),
                None,
            )
            .await;
        assert!(
            !matches!(ended.outcome, Outcome::Acted { .. }),
            "{}",
            ended.outcome
        );
        assert_eq!(presence(&real, &after).await, Presence::Alive);
        let short = now.id.as_str().get(..12).unwrap();
        let dropped = engine
            .handle(&policies, &of_container(short, Timestamp::now()), None)
            .await;
        assert_eq!(dropped.outcome, Outcome::Acted { certain: true });
        assert_eq!(dropped.target, Some(Target::of(&after)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs FALCO_DROP_TEST_KUBECONFIG"]
async fn an_eviction_heeds_the_disruption_budget() {
    in_a_namespace("budget", async |real, namespace| {
        let web = Workload::deployment(namespace.clone(), "web".parse().unwrap());
        real.create(web.replicas(2)).await;
        while Fixture::pods(&*real, &namespace)
            .await
            .iter()
            .filter(|pod| pod.ready)
            .count()
            < 2
        {
            real.wait().await;
        }
        let budget = Budget {
            namespace: namespace.clone(),
            name: "web".into(),
            selector: [("app".to_owned(), "web".to_owned())].into(),
            min_available: 2,
        };
        real.budget(budget).await;
        let pod = running(&real, &namespace, None).await;
        let (engine, records) = engine(real.pods.clone());
        let policies = policies("", "evict: {}");
        let kept = engine.handle(&policies, &alert(&pod), None).await;
        assert!(is_skipped(&kept, Guard::Budget), "{}", kept.outcome);
        assert_eq!(presence(&real, &pod).await, Presence::Alive);

        let path = format!("/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets/web");
        real.send("PATCH", &path, Some(&json!({ "spec": { "minAvailable": 1 } })))
            .await
            .unwrap();
        real.until(&path, |budget| budget["status"]["disruptionsAllowed"] == json!(1))
            .await;
        let mut changes = real.index.as_ref().unwrap().changes();
        let evicted = engine.handle(&policies, &alert(&pod), None).await;
        assert_eq!(evicted.outcome, Outcome::Acted { certain: true });
        while engine.confirm().await.unwrap() != 0 {
            changes.changed().await.unwrap();
        }
        assert_eq!(
            records.closed().remove(0).ending,
            Ending::Confirmed { ours: true }
        );
    })
    .await;
}
