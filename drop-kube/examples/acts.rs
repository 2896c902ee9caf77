//! Compares acts through the engine and the adapter with a bare loop of kube-rs that deletes as many running pods with
//! the same concurrency, on a real API server and in interleaved pairs:
//! `cargo run --release -p drop-kube --example acts -- KUBECONFIG [events]`. It works in a namespace of its own.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a measurement: it prints, and fails as a test does"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use drop_core::Engine;
use drop_core::memory::Records;
use drop_core::past::LocalMemory;
use drop_core::policy::{Policies, Source};
use drop_core::ports::{Clock, Journal, Mono};
use drop_core::record::Record;
use drop_kube::{Connect, Events, Index, KubePods, Settings, connect, connect_for_watches};
use falco_event::{Alert, Timestamp};
use futures_util::stream::{self, StreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, Preconditions};
use serde_json::json;

const PODS: usize = 200;
const PAIRS: usize = 7;
const AT_ONCE: usize = 16;
const PLACE: &str = "falco-drop-acts";

const POLICY: &str = r#"
apiVersion: falco-drop.dev/v1alpha1
kind: DropPolicy
metadata: { name: shells }
spec:
  mode: enforce
  limits: []
  responses: [{ name: shell, when: 'alert.rule = "Terminal shell in container"', do: [{ delete: {} }] }]
"#;

struct Now(Instant);

impl Clock for Now {
    fn wall(&self) -> Timestamp {
        Timestamp::now()
    }

    fn mono(&self) -> Mono {
        Mono(u64::try_from(self.0.elapsed().as_nanos()).unwrap())
    }
}

#[tokio::main]
async fn main() {
    let kubeconfig = std::env::args_os().nth(1).map(Into::into);
    let connecting = Connect {
        kubeconfig,
        ..Connect::default()
    };
    let client = connect(&connecting).await.unwrap();
    let index = Index::new(
        connect_for_watches(&connecting).await.unwrap(),
        &Settings::default(),
    );
    let kept = index.clone();
    tokio::spawn(async move { kept.keep().await });
    index.warm().await;
    let engine = engine(&client, &index);
    let events = std::env::args()
        .nth(2)
        .map(|_| Events::new(client.clone(), "acts", &Settings::default()));
    if let Some(events) = events.clone() {
        tokio::spawn(async move { events.keep().await });
    }
    make(&client).await;
    let mut ratios = Vec::new();
    for _ in 0..PAIRS {
        let bare = bare(&client, running(&client).await).await;
        let (ours, mut each) = ours(&engine, events.as_ref(), running(&client).await).await;
        each.sort_unstable();
        let per_second = |took: Duration| PODS as f64 / took.as_secs_f64();
        println!(
            "bare {:.0}/s, ours {:.0}/s, alert to answer median {:?}, p99 {:?}",
            per_second(bare),
            per_second(ours),
            each[PODS / 2],
            each[PODS * 99 / 100]
        );
        ratios.push(bare.as_secs_f64() / ours.as_secs_f64());
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "ours / bare, median of {PAIRS} pairs: {:.2} ({ratios:.2?})",
        ratios[PAIRS / 2]
    );
    if let Some(events) = events {
        println!(
            "events posted {}, left out {}",
            events.posted(),
            events.left_out()
        );
    }
    send(
        &client,
        "DELETE",
        &format!("/api/v1/namespaces/{PLACE}"),
        &json!(null),
    )
    .await;
}

fn engine(client: &Client, index: &Index) -> Engine {
    let clock = Arc::new(Now(Instant::now()));
    let pods = KubePods::new(client.clone(), Settings::default()).with_index(index.clone());
    let memory = Arc::new(LocalMemory::new(clock.clone()));
    Engine::new(Arc::new(pods), memory, Arc::new(Records::default()), clock)
}

async fn bare(client: &Client, pods: Vec<Pod>) -> Duration {
    let api: Api<Pod> = Api::namespaced(client.clone(), PLACE);
    let began = Instant::now();
    stream::iter(pods)
        .for_each_concurrent(AT_ONCE, |pod| {
            let preconditions = Preconditions {
                uid: pod.metadata.uid.clone(),
                resource_version: None,
            };
            let how = DeleteParams::background()
                .grace_period(1)
                .preconditions(preconditions);
            let api = api.clone();
            async move {
                drop(
                    api.delete(pod.metadata.name.as_deref().unwrap(), &how)
                        .await
                        .unwrap(),
                )
            }
        })
        .await;
    began.elapsed()
}

async fn ours(engine: &Engine, events: Option<&Events>, pods: Vec<Pod>) -> (Duration, Vec<Duration>) {
    let policies = Policies::parse(&[Source {
        name: "p.yaml",
        text: POLICY,
    }])
    .unwrap();
    let policies = &policies;
    let began = Instant::now();
    let each = stream::iter(pods)
        .map(|pod| async move {
            let began = Instant::now();
            let decided = engine.handle(policies, &alert(&pod), None).await;
            assert_eq!(decided.outcome.label(), "acted", "{}", decided.outcome);
            if let Some(events) = events {
                events.write(&Record::Decided(Box::new(decided))).await;
            }
            began.elapsed()
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    (began.elapsed(), each)
}

fn alert(pod: &Pod) -> Alert {
    let status = &pod.status.as_ref().unwrap().container_statuses.as_ref().unwrap()[0];
    let id = status.container_id.as_ref().unwrap().rsplit('/').next().unwrap();
    let alert = json!({
        "rule": "Terminal shell in container", "priority": "Notice", "source": "syscall",
        "time": Timestamp::now().to_string(), "output": "a shell",
        "output_fields": { "container.id": id.get(..12), "k8s.ns.name": PLACE, "k8s.pod.name": pod.metadata.name },
    });
    Alert::from_slice(alert.to_string().as_bytes()).unwrap()
}

async fn make(client: &Client) {
    send(
        client,
        "POST",
        "/api/v1/namespaces",
        &json!({ "metadata": { "name": PLACE } }),
    )
    .await;
    let labels = json!({ "app": "web" });
    let deployment = json!({
        "metadata": { "name": "web" },
        "spec": { "replicas": PODS, "selector": { "matchLabels": labels }, "template": {
            "metadata": { "labels": labels }, "spec": { "containers": [{ "name": "web", "image": "nginx" }] },
        } },
    });
    send(
        client,
        "POST",
        &format!("/apis/apps/v1/namespaces/{PLACE}/deployments"),
        &deployment,
    )
    .await;
}

/// Waits until every pod runs and none is on its way out.
async fn running(client: &Client) -> Vec<Pod> {
    let api: Api<Pod> = Api::namespaced(client.clone(), PLACE);
    loop {
        let pods = api.list(&ListParams::default()).await.unwrap().items;
        let runs = |pod: &Pod| {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            phase == Some("Running") && pod.metadata.deletion_timestamp.is_none()
        };
        if pods.len() == PODS && pods.iter().all(runs) {
            // What the last round left to do is done.
            tokio::time::sleep(Duration::from_secs(1)).await;
            return pods;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn send(client: &Client, method: &str, path: &str, body: &serde_json::Value) {
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json");
    let body = if body.is_null() {
        Vec::new()
    } else {
        body.to_string().into_bytes()
    };
    client
        .request::<serde_json::Value>(request.body(body).unwrap())
        .await
        .unwrap();
}
