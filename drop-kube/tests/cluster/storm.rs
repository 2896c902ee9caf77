//! A storm of alerts while something happens to the API server: nothing is lost, nothing is done twice, and all
//! recovers by itself.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use drop_core::Engine;
use drop_core::memory::{Records, Workload};
use drop_core::outcome::Ending;
use drop_core::pod::{Phase, Pod};
use drop_core::policy::Policies;
use drop_core::ports::{By, PodApi, Presence, Target};
use drop_core::testing::Fixture;
use drop_kube::testing::read_pod;
use drop_kube::{Index, KubePods, Settings};
use falco_event::{Namespace, PodUid};
use futures_util::StreamExt as _;
use futures_util::stream::iter;
use kube::Client;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::fixture::Real;
use crate::scene::{alert, engine, policies};

/// Pods that are dropped in one storm, how many alerts are under way at a time, and after how many the weather begins.
const PODS: u32 = 40;
const AT_ONCE: usize = 8;
const STRIKES_AFTER: usize = 10;
/// How often is looked whether the pods have come to rest, each 50 ms: after an API server that died, controllers take
/// up their work again in their own time.
const PATIENCE: u32 = 6_000;

/// Drops the pods of a Deployment one after the other over these clients, for requests and for watches, and lets the
/// weather begin when some of them are gone.
pub(crate) async fn survives(real: &Real, clients: [Client; 2], weather: impl Future<Output = ()>) {
    let namespace = real.namespace(&[]).await;
    real.create(Workload::deployment(namespace.clone(), "web".parse().unwrap()).replicas(PODS))
        .await;
    let old = steady(real, &namespace, &BTreeSet::new()).await;
    let (pods, index, keeping) = adapter(&namespace, clients).await;
    let (engine, records) = engine(pods.clone());
    let seen = Seen::start(real, &namespace);

    let strikes = Notify::new();
    let weather = async {
        strikes.notified().await;
        weather.await;
    };
    let (labels, ()) = tokio::join!(drop_all(&engine, &old, &strikes), weather);
    assert!(
        labels
            .iter()
            .all(|label| *label == "acted" || *label == "duplicate"),
        "{labels:?}"
    );

    let before: BTreeSet<_> = old.iter().map(|pod| pod.uid.clone()).collect();
    let after = steady(real, &namespace, &before).await;
    for pod in &old {
        let presence = real.pods.presence(&Target::of(pod)).await;
        assert_eq!(presence, Ok(Presence::Gone), "{}", pod.name);
    }
    let kept = after.iter().map(|pod| pod.uid.clone());
    let strangers = &seen.end() - &before.iter().cloned().chain(kept).collect();
    assert_eq!(strangers, BTreeSet::new(), "a pod that came after was hit");
    confirmed(&engine, &records, &before).await;
    knows(&index, &pods, &old, &after).await;
    keeping.abort();
}

async fn drop_all(engine: &Engine, old: &[Pod], strikes: &Notify) -> Vec<&'static str> {
    let policies = policies("limits: []", "delete: {}");
    let each: Vec<_> = old.iter().map(|pod| until_told(engine, &policies, pod)).collect();
    let mut told = iter(each).buffer_unordered(AT_ONCE);
    let mut labels = Vec::new();
    while let Some(label) = told.next().await {
        labels.push(label);
        if labels.len() == STRIKES_AFTER {
            strikes.notify_one();
        }
    }
    labels
}

/// Every act has its second record, once, and it says that the pod is gone.
async fn confirmed(engine: &Engine, records: &Records, before: &BTreeSet<PodUid>) {
    while engine.confirm().await.unwrap() != 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let closed = records.closed();
    assert!(
        closed
            .iter()
            .all(|closed| matches!(closed.ending, Ending::Confirmed { .. })),
        "{closed:?}"
    );
    let confirmed: BTreeSet<_> = closed.iter().map(|closed| closed.target.uid.clone()).collect();
    assert_eq!(&confirmed, before);
}

/// The index has what is there, and nothing else.
async fn knows(index: &Index, pods: &KubePods, old: &[Pod], after: &[Pod]) {
    index.warm().await;
    let count = |pod: &Pod| {
        let by = By::container(pod.containers[0].id.clone());
        async move { pods.find(&by).await.map(|found| found.pods.len()) }
    };
    let expected = old
        .iter()
        .map(|pod| (pod, 0))
        .chain(after.iter().map(|pod| (pod, 1)));
    for (pod, expected) in expected {
        while count(pod).await != Ok(expected) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    assert_eq!(index.len(), after.len());
}

/// The adapter with a warm index.
async fn adapter(namespace: &Namespace, clients: [Client; 2]) -> (KubePods, Index, JoinHandle<()>) {
    let mut settings = Settings::default();
    settings.reach.namespaces = Some([namespace.clone()].into());
    settings.try_within = Duration::from_millis(500);
    let [client, watching] = clients;
    let index = Index::new(watching, &settings);
    let kept = index.clone();
    let keeping = tokio::spawn(async move { kept.keep().await });
    index.warm().await;
    (
        KubePods::new(client, settings).with_index(index.clone()),
        index,
        keeping,
    )
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
    for _ in 0..PATIENCE {
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

/// Every pod that was ever seen in a namespace, by looking all the time.
struct Seen {
    uids: Arc<Mutex<BTreeSet<PodUid>>>,
    looking: JoinHandle<()>,
}

impl Seen {
    fn start(real: &Real, namespace: &Namespace) -> Self {
        let uids = Arc::new(Mutex::new(BTreeSet::new()));
        let (client, into) = (real.client.clone(), Arc::clone(&uids));
        let path = format!("/api/v1/namespaces/{namespace}/pods");
        let looking = tokio::spawn(async move {
            loop {
                let request = http::Request::get(&path).body(Vec::new()).unwrap();
                if let Ok(list) = client.request::<Value>(request).await {
                    let pods = list["items"].as_array().cloned().unwrap_or_default();
                    let pods = pods.into_iter().filter_map(|pod| read_pod(pod).ok());
                    into.lock().unwrap().extend(pods.map(|pod| pod.uid));
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Self { uids, looking }
    }

    fn end(self) -> BTreeSet<PodUid> {
        self.looking.abort();
        self.uids.lock().unwrap().clone()
    }
}
