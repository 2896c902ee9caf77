//! A namespace of a real cluster, for one test.

use std::path::Path;

use futures_util::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::wait::await_condition;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client, Config};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// A namespace that the test has to itself, and the cluster-wide roles made for it.
pub(crate) struct Lab {
    client: Client,
    kubeconfig: Kubeconfig,
    pub(crate) namespace: String,
}

/// What the cluster-wide objects of a test are found by.
pub(crate) const LABEL: &str = "falco-drop.dev/test";

/// A service account's kubeconfig.
pub(crate) struct Account(tempfile::NamedTempFile);

impl Account {
    pub(crate) fn kubeconfig(&self) -> &Path {
        self.0.path()
    }
}

fn object<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

impl Lab {
    pub(crate) async fn start() -> Self {
        let path = std::env::var("FALCO_DROP_TEST_KUBECONFIG")
            .expect("FALCO_DROP_TEST_KUBECONFIG names a kubeconfig");
        let kubeconfig = Kubeconfig::read_from(path).unwrap();
        let client = client(kubeconfig.clone()).await;
        let wanted: Namespace = object(json!({ "metadata": { "generateName": "falco-drop-test-" } }));
        let made = Api::all(client.clone())
            .create(&PostParams::default(), &wanted)
            .await
            .unwrap();
        Self {
            client,
            kubeconfig,
            namespace: made.metadata.name.unwrap(),
        }
    }

    /// Sends a request with all rights, and gives the object of its answer.
    pub(crate) async fn send(&self, method: &str, path: &str, body: &Value) -> Value {
        let kind = if method == "PATCH" {
            "application/merge-patch+json"
        } else {
            "application/json"
        };
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", kind)
            .body(body.to_string().into_bytes());
        self.client.request(request.unwrap()).await.unwrap()
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Makes a Deployment of one pod, and waits until that runs.
    pub(crate) async fn deploy(&self, name: &str) -> Pod {
        let deployment: Deployment = object(json!({
            "metadata": { "name": name },
            "spec": {
                "replicas": 1, "selector": { "matchLabels": { "app": name } },
                "template": {
                    "metadata": { "labels": { "app": name } },
                    "spec": { "terminationGracePeriodSeconds": 30, "containers": [{ "name": "mysql", "image": "mysql" }] },
                },
            },
        }));
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), &self.namespace);
        api.create(&PostParams::default(), &deployment).await.unwrap();
        self.running(name, None).await
    }

    /// The pod of the Deployment that runs, has a container id, and another UID than this.
    pub(crate) async fn running(&self, app: &str, not: Option<&str>) -> Pod {
        let config = watcher::Config::default().labels(&format!("app={app}"));
        let mut changes = watcher(self.pods(), config).boxed();
        while let Some(event) = changes.try_next().await.unwrap() {
            let (watcher::Event::Apply(pod) | watcher::Event::InitApply(pod)) = event else {
                continue;
            };
            let runs = pod.metadata.deletion_timestamp.is_none() && container_id(&pod).is_some();
            if runs && pod.metadata.uid.as_deref() != not {
                return pod;
            }
        }
        panic!("the watch has ended")
    }

    /// The note of falco-drop's Event about this pod, as soon as there is one.
    pub(crate) async fn event(&self, pod: &Pod) -> String {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let uid = pod.metadata.uid.clone();
        let mut changes = watcher(events, watcher::Config::default()).boxed();
        while let Some(change) = changes.try_next().await.unwrap() {
            let (watcher::Event::Apply(event) | watcher::Event::InitApply(event)) = change else {
                continue;
            };
            let ours = event.reporting_controller.as_deref() == Some("falco-drop.dev/drop-server");
            if ours && event.regarding.as_ref().is_some_and(|object| object.uid == uid) {
                return event.note.unwrap_or_default();
            }
        }
        panic!("the watch has ended")
    }

    /// Waits until no pod of that name has that UID.
    pub(crate) async fn assert_gone(&self, pod: &Pod) {
        let (name, uid) = (pod.metadata.name.as_deref().unwrap(), pod.metadata.uid.clone());
        let gone = move |now: Option<&Pod>| now.is_none_or(|now| now.metadata.uid != uid);
        await_condition(self.pods(), name, gone).await.unwrap();
    }

    pub(crate) async fn is_alive(&self, pod: &Pod) -> bool {
        let now = self
            .pods()
            .get_opt(pod.metadata.name.as_deref().unwrap())
            .await
            .unwrap();
        now.is_some_and(|now| {
            now.metadata.uid == pod.metadata.uid && now.metadata.deletion_timestamp.is_none()
        })
    }

    /// A service account `drop-server` with these roles of `release/`, as a kubeconfig.
    pub(crate) async fn account(&self, roles: &[&str]) -> Account {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.namespace);
        let account: ServiceAccount = object(json!({ "metadata": { "name": "drop-server" } }));
        accounts.create(&PostParams::default(), &account).await.unwrap();
        self.bind(roles).await;
        let request: TokenRequest = object(json!({ "spec": { "audiences": [], "expirationSeconds": 3600 } }));
        let made = accounts
            .create_token_request("drop-server", &PostParams::default(), &request)
            .await
            .unwrap();
        self.with_user(&json!({ "token": made.status.unwrap().token }))
    }

    /// The kubeconfig with other credentials.
    pub(crate) fn with_user(&self, user: &Value) -> Account {
        let mut config = serde_json::to_value(&self.kubeconfig).unwrap();
        for named in config["users"].as_array_mut().unwrap() {
            named["user"].clone_from(user);
        }
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, config.to_string().as_bytes()).unwrap();
        Account(file)
    }

    /// Gives the account these roles, as `release/` has them, under names of the test's own.
    pub(crate) async fn bind(&self, roles: &[&str]) {
        for name in roles {
            let own = format!("{}-{name}", self.namespace);
            let mut role = released(name);
            role.metadata.name = Some(own.clone());
            role.metadata.labels = Some([(LABEL.to_owned(), self.namespace.clone())].into());
            Api::all(self.client.clone())
                .create(&PostParams::default(), &role)
                .await
                .unwrap();
            let binding: ClusterRoleBinding = object(json!({
                "metadata": { "name": own, "labels": { LABEL: self.namespace } },
                "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": own },
                "subjects": [{ "kind": "ServiceAccount", "name": "drop-server", "namespace": self.namespace }],
            }));
            Api::all(self.client.clone())
                .create(&PostParams::default(), &binding)
                .await
                .unwrap();
        }
    }
}

/// Removes everything, also after a failure.
impl Drop for Lab {
    fn drop(&mut self) {
        let (kubeconfig, namespace) = (self.kubeconfig.clone(), self.namespace.clone());
        // A runtime of its own: the test's may be ending.
        let removal = std::thread::spawn(move || {
            tokio::runtime::Runtime::new()
                .unwrap()
                .block_on(remove(kubeconfig, &namespace));
        });
        if removal.join().is_err() {
            eprintln!("{} is left", self.namespace);
        }
    }
}

async fn client(kubeconfig: Kubeconfig) -> Client {
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    Client::try_from(config.unwrap()).unwrap()
}

async fn remove(kubeconfig: Kubeconfig, namespace: &str) {
    let client = client(kubeconfig).await;
    let roles: Api<ClusterRole> = Api::all(client.clone());
    let bindings: Api<ClusterRoleBinding> = Api::all(client.clone());
    let own = ListParams::default().labels(&format!("{LABEL}={namespace}"));
    bindings
        .delete_collection(&DeleteParams::default(), &own)
        .await
        .unwrap();
    roles
        .delete_collection(&DeleteParams::default(), &own)
        .await
        .unwrap();
    let namespaces: Api<Namespace> = Api::all(client);
    namespaces
        .delete(namespace, &DeleteParams::default())
        .await
        .unwrap();
}

fn container_id(pod: &Pod) -> Option<&String> {
    pod.status
        .as_ref()?
        .container_statuses
        .as_ref()?
        .first()?
        .container_id
        .as_ref()
}

/// A cluster role as it is released.
fn released(name: &str) -> ClusterRole {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../release/base/rights.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let mut documents = text
        .split("\n---\n")
        .map(|document| serde_saphyr::from_str::<Value>(document).unwrap());
    let is_it = |value: &Value| value["kind"] == "ClusterRole" && value["metadata"]["name"] == name;
    object(
        documents
            .find(is_it)
            .unwrap_or_else(|| panic!("no ClusterRole `{name}` in {path}")),
    )
}
