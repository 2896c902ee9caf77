//! A storm of alerts while the API server freezes and is cut off: nothing is lost, nothing is done twice, and all
//! recovers by itself.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use drop_core::Engine;
use drop_core::memory::Workload;
use drop_core::pod::{Phase, Pod};
use drop_core::policy::Policies;
use drop_core::ports::{By, PodApi, Presence, Target};
use drop_core::testing::Fixture;
use drop_kube::{Index, KubePods, Settings};
use falco_event::{Namespace, PodUid};
use futures_util::future::join_all;
use kube::{Client, Config};
use tokio::task::JoinHandle;

use crate::fixture::{Real, kubeconfig};
use crate::proxy::{Proxy, Way};
use crate::scene::{alert, engine, policies};

/// Pods that are dropped in one storm.
const PODS: u32 = 40;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs FALCO_DROP_TEST_KUBECONFIG"]
async fn a_storm_survives_an_api_server_that_freezes_and_goes() {
    let real = Arc::new(Real::connect("storm").await);
    let running = Arc::clone(&real);
    let end = tokio::spawn(async move { storm(&running).await }).await;
    real.remove_all().await;
    end.unwrap();
}

async fn storm(real: &Real) {
    let namespace = real.namespace(&[]).await;
    real.create(Workload::deployment(namespace.clone(), "web".parse().unwrap()).replicas(PODS))
        .await;
    let old = steady(real, &namespace, &BTreeSet::new()).await;

    let (proxy, pods, index, keeping) = adapter(&namespace).await;
    let (engine, _) = engine(pods.clone());
    let policies = policies("limits: []", "delete: {}");
    let weather = async {
        for way in [Way::Frozen, Way::Open, Way::Cut, Way::Open, Way::Frozen] {
            proxy.set(way);
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
        proxy.set(Way::Open);
    };
    let storm = join_all(old.iter().map(|pod| until_told(&engine, &policies, pod)));
    let (labels, ()) = tokio::join!(storm, weather);
    assert!(
        labels
            .iter()
            .all(|label| *label == "acted" || *label == "duplicate"),
        "{labels:?}"
    );

    let before: BTreeSet<_> = old.iter().map(|pod| pod.uid.clone()).collect();
    let after = steady(real, &namespace, &before).await;
    assert!(after.iter().all(|pod| !before.contains(&pod.uid)));
    for pod in &old {
        assert_eq!(
            real.pods.presence(&Target::of(pod)).await,
            Ok(Presence::Gone),
            "{}",
            pod.name
        );
    }
    index.warm().await;
    for pod in &after {
        while pods
            .find(&By::Uid(pod.uid.clone()))
            .await
            .is_ok_and(|found| found.pods.is_empty())
        {
            real.wait().await;
        }
    }
    keeping.abort();
}

/// The adapter with a warm index, by way of a proxy.
async fn adapter(namespace: &Namespace) -> (Proxy, KubePods, Index, JoinHandle<()>) {
    let read = kube::config::Kubeconfig::read_from(kubeconfig().kubeconfig.unwrap()).unwrap();
    let config = Config::from_custom_kubeconfig(read, &Default::default())
        .await
        .unwrap();
    let proxy = Proxy::start(&config).await;
    let client = || Client::try_from(proxy.through(config.clone())).unwrap();
    let mut settings = Settings::default();
    settings.reach.namespaces = Some([namespace.clone()].into());
    settings.try_within = Duration::from_millis(500);
    let index = Index::new(client(), &settings);
    let kept = index.clone();
    let keeping = tokio::spawn(async move { kept.keep().await });
    index.warm().await;
    let pods = KubePods::new(client(), settings).with_index(index.clone());
    (proxy, pods, index, keeping)
}

/// Sends an alert as a sender does: again, until it is told an end.
async fn until_told(engine: &Engine, policies: &Policies, pod: &Pod) -> &'static str {
    let alert = alert(pod);
    loop {
        let decided = engine.handle(policies, &alert, None).await;
        if !decided.outcome.is_retryable() {
            return decided.outcome.label();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until as many pods run as there have to be, none of them on its way out and none of these.
async fn steady(real: &Real, namespace: &Namespace, but: &BTreeSet<PodUid>) -> Vec<Pod> {
    for _ in 0..1_200 {
        let pods = Fixture::pods(real, namespace).await;
        let runs = |pod: &Pod| {
            pod.phase == Phase::Running
                && pod.deletion.is_none()
                && !pod.containers.is_empty()
                && !but.contains(&pod.uid)
        };
        if pods.len() == usize::try_from(PODS).unwrap() && pods.iter().all(runs) {
            return pods;
        }
        real.wait().await;
    }
    panic!("the pods do not come to rest");
}
