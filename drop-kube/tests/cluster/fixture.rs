//! A real cluster as a fixture: what a test makes in it, by requests of its own.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use drop_core::memory::{Budget, Workload};
use drop_core::pod::Pod;
use drop_core::ports::PodApi;
use drop_core::testing::Fixture;
use drop_kube::testing::read_pod;
use drop_kube::{Connect, Index, KubePods, Settings, connect};
use falco_event::Namespace;
use kube::Client;
use serde_json::{Value, json};

use crate::manifest;

/// How long things may take that a cluster does by itself: 60 s in steps of 50 ms.
const PATIENCE: u32 = 1_200;

pub(crate) struct Real {
    pub(crate) client: Client,
    pub(crate) pods: KubePods,
    pub(crate) index: Option<Index>,
    /// What its namespaces are named after.
    stem: String,
    made: AtomicU32,
    namespaces: Mutex<Vec<Namespace>>,
}

impl Real {
    /// The cluster that `FALCO_DROP_TEST_KUBECONFIG` names.
    pub(crate) async fn connect(stem: &str) -> Self {
        Self::at(&kubeconfig(), stem).await
    }

    /// The cluster of this kubeconfig.
    pub(crate) async fn at(to: &Connect, stem: &str) -> Self {
        let client = connect(to).await.unwrap();
        Self {
            pods: KubePods::new(client.clone(), Settings::default()),
            client,
            index: None,
            stem: format!("falco-drop-{stem}-{}", std::process::id()),
            made: AtomicU32::new(0),
            namespaces: Mutex::default(),
        }
    }

    /// The same, with an index that is warm.
    pub(crate) async fn watched(stem: &str, settings: Settings) -> Self {
        Self::connect(stem).await.with_index(settings).await
    }

    /// Itself with an index that is warm.
    pub(crate) async fn with_index(self, settings: Settings) -> Self {
        let index = Index::connect(&kubeconfig(), &settings).await.unwrap();
        let kept = index.clone();
        tokio::spawn(async move { kept.keep().await });
        index.warm().await;
        let pods = KubePods::new(self.client.clone(), settings).with_index(index.clone());
        Self {
            pods,
            index: Some(index),
            ..self
        }
    }

    /// Sends a request, and gives the answer's object; none for 404.
    pub(crate) async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Option<Value> {
        let kind = if method == "PATCH" {
            "application/merge-patch+json"
        } else {
            "application/json"
        };
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", kind);
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        match self.client.request::<Value>(request.body(body).unwrap()).await {
            Ok(object) => Some(object),
            Err(kube::Error::Api(status)) if status.code == 404 => None,
            Err(error) => panic!("{method} {path}: {error}"),
        }
    }

    /// Asks until the answer is as it has to be.
    pub(crate) async fn until(&self, path: &str, is: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..PATIENCE {
            if let Some(object) = self.send("GET", path, None).await.filter(&is) {
                return object;
            }
            self.wait().await;
        }
        panic!("{path} does not become what it has to");
    }

    pub(crate) async fn remove_all(&self) {
        let namespaces = self.namespaces.lock().unwrap().clone();
        for namespace in namespaces {
            self.remove(&namespace).await;
        }
    }

    /// Pods that would use up a long grace period are removed by force, or the namespace would stay as long.
    async fn remove(&self, namespace: &Namespace) {
        let path = format!("/api/v1/namespaces/{namespace}");
        self.send("DELETE", &path, None).await;
        let force = json!({ "kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0 });
        self.send("DELETE", &format!("{path}/pods"), Some(&force)).await;
    }
}

pub(crate) fn kubeconfig() -> Connect {
    let path = std::env::var_os("FALCO_DROP_TEST_KUBECONFIG").filter(|path| !path.is_empty());
    assert!(
        path.is_some(),
        "FALCO_DROP_TEST_KUBECONFIG must name a kubeconfig with all rights"
    );
    Connect {
        kubeconfig: path.map(Into::into),
        context: None,
    }
}

#[async_trait]
impl Fixture for Real {
    fn api(&self) -> &dyn PodApi {
        &self.pods
    }

    async fn namespace(&self, labels: &[(&str, &str)]) -> Namespace {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let name: Namespace = format!("{}-{number}", self.stem).parse().unwrap();
        let labels: Value = labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), json!(value)))
            .collect();
        let object = json!({ "metadata": { "name": name, "labels": labels } });
        self.namespaces.lock().unwrap().push(name.clone());
        self.send("POST", "/api/v1/namespaces", Some(&object)).await;
        // Before it has its service account no pod can be made in it.
        self.until(
            &format!("/api/v1/namespaces/{name}/serviceaccounts/default"),
            |_| true,
        )
        .await;
        name
    }

    async fn create(&self, workload: Workload) {
        let (collection, object) = manifest::of(&workload);
        self.send("POST", &collection, Some(&object)).await.unwrap();
    }

    async fn budget(&self, budget: Budget) {
        let collection = format!(
            "/apis/policy/v1/namespaces/{}/poddisruptionbudgets",
            budget.namespace
        );
        let object = json!({
            "metadata": { "name": budget.name },
            "spec": { "minAvailable": budget.min_available, "selector": { "matchLabels": budget.selector } },
        });
        self.send("POST", &collection, Some(&object)).await.unwrap();
        let counts = |object: &Value| {
            object
                .pointer("/status/expectedPods")
                .is_some_and(|expected| *expected != json!(0))
        };
        self.until(&format!("{collection}/{}", budget.name), counts).await;
    }

    async fn pods(&self, namespace: &Namespace) -> Vec<Pod> {
        let list = self
            .send("GET", &format!("/api/v1/namespaces/{namespace}/pods"), None)
            .await
            .unwrap();
        let items = list
            .get("items")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        items.into_iter().map(|pod| read_pod(pod).unwrap()).collect()
    }

    async fn wait(&self) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    async fn done(&self, namespace: &Namespace) {
        self.remove(namespace).await;
    }

    /// Says what a kubelet would: the container ended, and runs again under another id.
    async fn restart_container(&self, pod: &Pod, container: &str) -> bool {
        let before = pod
            .containers
            .iter()
            .find(|instance| instance.name == container)
            .unwrap();
        let after: String = before.id.as_str().chars().rev().collect();
        let status = json!({ "status": { "containerStatuses": [{
            "name": container, "image": "i", "imageID": "i", "ready": true, "restartCount": 1,
            "containerID": format!("containerd://{after}"),
            "state": { "running": { "startedAt": "2026-03-01T12:00:01Z" } },
            "lastState": { "terminated": {
                "containerID": format!("containerd://{}", before.id), "exitCode": 137,
                "startedAt": "2026-03-01T12:00:00Z", "finishedAt": "2026-03-01T12:00:01Z",
            } },
        }] } });
        let path = format!("/api/v1/namespaces/{}/pods/{}/status", pod.namespace, pod.name);
        self.send("PATCH", &path, Some(&status)).await.is_some()
    }
}
