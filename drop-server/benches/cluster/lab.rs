//! A namespace with Deployments in it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};

/// How long what is counted has to have been so.
const CALM: Duration = Duration::from_secs(2);

pub(crate) struct Lab {
    pub(crate) client: Client,
    pub(crate) kubeconfig: PathBuf,
    pub(crate) namespace: String,
}

impl Lab {
    pub(crate) async fn start(kubeconfig: PathBuf) -> Self {
        let client = client(&kubeconfig).await;
        let namespace = format!("falco-drop-bench-{}", std::process::id());
        let lab = Self {
            client,
            kubeconfig,
            namespace,
        };
        let object = json!({ "metadata": { "name": lab.namespace } });
        lab.send("POST", "/api/v1/namespaces", &object).await;
        lab
    }

    pub(crate) async fn end(&self) {
        self.send(
            "DELETE",
            &format!("/api/v1/namespaces/{}", self.namespace),
            &json!({}),
        )
        .await;
    }

    /// A Deployment of so many pods, each of the size that pods have: two containers, some 9 KiB.
    pub(crate) async fn deploy(&self, name: &str, replicas: u32) {
        let labels = json!({
            "app": name, "app.kubernetes.io/name": name, "app.kubernetes.io/instance": "bench",
            "app.kubernetes.io/managed-by": "Helm", "team": "payments",
        });
        let env: Vec<Value> = (0..24)
            .map(|n| json!({ "name": format!("SETTING_{n}"), "value": "a value of usual length" }))
            .collect();
        let container = |name: &str| {
            json!({
                "name": name, "image": format!("registry.example.com/{name}@sha256:{}", "0".repeat(64)), "env": env,
                "readinessProbe": { "httpGet": { "path": "/ready", "port": 8080 } },
                "resources": { "requests": { "cpu": "1m", "memory": "1Mi" } },
            })
        };
        let deployment = json!({
            "metadata": { "name": name },
            "spec": {
                "replicas": replicas, "selector": { "matchLabels": { "app": name } },
                "template": {
                    "metadata": {
                        "labels": labels,
                        "annotations": { "checksum/config": "0".repeat(64), "prometheus.io/scrape": "true" },
                    },
                    "spec": { "containers": [container("web"), container("sidecar")] },
                },
            },
        });
        let path = format!("/apis/apps/v1/namespaces/{}/deployments", self.namespace);
        self.send("POST", &path, &deployment).await;
    }

    pub(crate) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The pods, once there are so many, all of them run, and nothing else happens.
    pub(crate) async fn running(&self, count: usize) -> Vec<Pod> {
        loop {
            let pods = self.pods().list(&ListParams::default()).await.unwrap().items;
            let runs = |pod: &Pod| container_id(pod).is_some() && pod.metadata.deletion_timestamp.is_none();
            if pods.len() == count && pods.iter().all(runs) {
                tokio::time::sleep(CALM).await;
                return pods;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    pub(crate) async fn send(&self, method: &str, path: &str, body: &Value) -> Value {
        let kind = if method == "PATCH" {
            "application/merge-patch+json"
        } else {
            "application/json"
        };
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", kind);
        let request = request.body(body.to_string().into_bytes()).unwrap();
        self.client.request(request).await.unwrap()
    }
}

/// A client of its own, whose tasks are the runtime's that it is called on.
pub(crate) async fn client(kubeconfig: &Path) -> Client {
    let read = Kubeconfig::read_from(kubeconfig).unwrap();
    let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await;
    Client::try_from(config.unwrap()).unwrap()
}

/// The id of the pod's first container, as the runtime has it.
pub(crate) fn container_id(pod: &Pod) -> Option<&str> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    statuses
        .first()?
        .container_id
        .as_ref()?
        .split_once("://")
        .map(|(_, id)| id)
}
