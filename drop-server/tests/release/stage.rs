//! Namespaces and cluster-wide objects that a test has to itself.

use std::cell::RefCell;
use std::panic::AssertUnwindSafe;
use std::path::Path;

use futures_util::FutureExt;
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::discovery::Scope;
use kube::{Api, Client, Config, discovery};
use serde_json::{Value, json};

/// Who the applied fields belong to.
const MANAGER: &str = "falco-drop-test";

/// The namespace `falco-drop` under another name, and all that a test makes around it.
pub(crate) struct Stage {
    pub(crate) client: Client,
    /// What stands for `falco-drop`, as a namespace and in every name.
    pub(crate) own: String,
    /// What is to be removed, last made first.
    made: RefCell<Vec<(Api<DynamicObject>, String)>>,
}

/// The cluster for tests, and never another one.
pub(crate) async fn config() -> Config {
    let path =
        std::env::var("FALCO_DROP_TEST_KUBECONFIG").expect("FALCO_DROP_TEST_KUBECONFIG names a kubeconfig");
    let kubeconfig = Kubeconfig::read_from(path).unwrap();
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .unwrap()
}

impl Stage {
    /// Runs a test on a stage of its own, and removes what it made, also where it failed.
    pub(crate) async fn with(test: impl AsyncFnOnce(&Self)) {
        let client = Client::try_from(config().await).unwrap();
        let mut stage = Self {
            client,
            own: String::new(),
            made: RefCell::default(),
        };
        stage.own = stage.namespace(json!({})).await;
        let ended = AssertUnwindSafe(test(&stage)).catch_unwind().await;
        stage.strike().await;
        if let Err(failure) = ended {
            std::panic::resume_unwind(failure);
        }
    }

    async fn strike(&self) {
        let made = self.made.take();
        for (api, name) in made.into_iter().rev() {
            // Best effort: what cannot be removed has a name that says where it comes from.
            let _ = api.delete(&name, &DeleteParams::default().grace_period(0)).await;
        }
    }

    /// A new namespace with these labels.
    pub(crate) async fn namespace(&self, labels: Value) -> String {
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &core("Namespace", "namespaces"));
        let wanted = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "generateName": "falco-drop-test-", "labels": labels } });
        let made = api
            .create(&PostParams::default(), &object(&wanted))
            .await
            .unwrap();
        let name = made.metadata.name.unwrap();
        self.made.borrow_mut().push((api, name.clone()));
        name
    }

    /// The manifests of these folders of `release/`, with the test's own name in place of `falco-drop`.
    pub(crate) fn manifests(&self, folders: &[&str]) -> Vec<Value> {
        let release = Path::new(env!("CARGO_MANIFEST_DIR")).join("../release");
        let mut all = Vec::new();
        for folder in folders {
            let listed: Value =
                parse(&std::fs::read_to_string(release.join(folder).join("kustomization.yaml")).unwrap());
            for name in listed["resources"]
                .as_array()
                .unwrap()
                .iter()
                .map(|name| name.as_str().unwrap())
            {
                if let Ok(text) = std::fs::read_to_string(release.join(folder).join(name)) {
                    all.extend(self.renamed(&text).split("\n---\n").map(parse));
                }
            }
        }
        all
    }

    /// Labels such as `falco-drop.dev/protect` keep their names.
    fn renamed(&self, text: &str) -> String {
        text.replace("falco-drop.dev", "\u{1}")
            .replace("falco-drop", &self.own)
            .replace('\u{1}', "falco-drop.dev")
    }

    /// Applies an object with strict validation; those of the kinds in `dry` are checked to the end, but not stored.
    pub(crate) async fn apply(&self, manifest: &Value, dry: &[&str]) {
        let api = self.api(manifest).await;
        let (kind, name) = (
            manifest["kind"].as_str().unwrap(),
            manifest["metadata"]["name"].as_str().unwrap(),
        );
        let mut params = PatchParams::apply(MANAGER).force().validation_strict();
        params.dry_run = dry.contains(&kind);
        let applied = api.patch(name, &params, &Patch::Apply(manifest)).await;
        applied.unwrap_or_else(|error| panic!("{kind} {name}: {error}"));
        if !params.dry_run {
            self.made.borrow_mut().push((api, name.to_owned()));
        }
    }

    /// Applies the objects of `release/base` that have these kinds.
    pub(crate) async fn apply_kinds(&self, kinds: &[&str]) {
        for manifest in self.manifests(&["base"]) {
            if kinds.contains(&manifest["kind"].as_str().unwrap()) {
                self.apply(&manifest, &[]).await;
            }
        }
    }

    /// The API of an object's kind, in its namespace if it has one.
    async fn api(&self, manifest: &Value) -> Api<DynamicObject> {
        let version = manifest["apiVersion"].as_str().unwrap();
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let kind = GroupVersionKind::gvk(group, version, manifest["kind"].as_str().unwrap());
        let (resource, capabilities) = discovery::pinned_kind(&self.client, &kind)
            .await
            .unwrap_or_else(|error| panic!("{kind:?}: {error}"));
        match (capabilities.scope, manifest["metadata"]["namespace"].as_str()) {
            (Scope::Cluster, None) => Api::all_with(self.client.clone(), &resource),
            (Scope::Namespaced, Some(namespace)) => {
                Api::namespaced_with(self.client.clone(), namespace, &resource)
            }
            (_, namespace) => panic!("{kind:?} in {namespace:?}"),
        }
    }

    /// The namespace enforces the restricted Pod Security Standard, which a Deployment only warns about.
    pub(crate) async fn admit_pod_of(&self, deployment: &Value) {
        let mut pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "tried", "namespace": self.own } });
        pod["spec"] = deployment["spec"]["template"]["spec"].clone();
        self.apply(&pod, &["Pod"]).await;
    }

    /// The custom resource definitions of a folder in that which `FALCO_DROP_TEST_CRDS` names, if the cluster does not have
    /// this one of them.
    pub(crate) async fn define(&self, folder: &str, one: &str) {
        let folder = Path::new(&std::env::var("FALCO_DROP_TEST_CRDS").unwrap_or_default()).join(folder);
        let crds = ApiResource::from_gvk_with_plural(
            &GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
            "customresourcedefinitions",
        );
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &crds);
        if api.get_opt(one).await.unwrap().is_some() {
            return;
        }
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| {
            panic!(
                "the cluster has no {one}, and {} has no definitions: {error}",
                folder.display()
            )
        }) {
            let definition = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            for definition in definition
                .split("\n---\n")
                .map(parse)
                .filter(|definition| definition["kind"] == "CustomResourceDefinition")
            {
                self.apply(&definition, &[]).await;
                names.push(definition["metadata"]["name"].as_str().unwrap().to_owned());
            }
        }
        for name in names {
            let established = |found: &DynamicObject| {
                let conditions = found.data["status"]["conditions"]
                    .as_array()
                    .cloned()
                    .unwrap_or_default();
                conditions
                    .iter()
                    .any(|condition| condition["type"] == "Established" && condition["status"] == "True")
            };
            until(async || established(&api.get(&name).await.unwrap())).await;
        }
    }

    /// Lets drop-server's account act in a namespace, as a person would.
    pub(crate) async fn bind_role_to_act(&self, namespace: &str) {
        let role = self.renamed("falco-drop-act");
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": { "name": "falco-drop-act", "namespace": namespace },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
            "subjects": [{ "kind": "ServiceAccount", "name": "drop-server", "namespace": self.own }],
        });
        self.apply(&binding, &[]).await;
    }

    /// A pod that no node takes, so that nothing is pulled and it goes at once.
    pub(crate) async fn pod(&self, namespace: &str, name: &str) {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": namespace },
            "spec": {
                "nodeSelector": { "falco-drop.dev/test": "no-such-node" },
                "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
                "containers": [{
                    "name": "none", "image": "none",
                    "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
                }],
            },
        });
        // The namespace's service account is made a moment after it.
        let accounts: Api<DynamicObject> = Api::namespaced_with(
            self.client.clone(),
            namespace,
            &core("ServiceAccount", "serviceaccounts"),
        );
        until(async || accounts.get_opt("default").await.unwrap().is_some()).await;
        self.apply(&pod, &[]).await;
    }
}

/// Asks again and again until it holds, half a minute long.
pub(crate) async fn until(mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..300 {
        if holds().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("it does not come to hold");
}

pub(crate) fn core(kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("", "v1", kind), plural)
}

pub(crate) fn object(value: &Value) -> DynamicObject {
    serde_json::from_value(value.clone()).unwrap()
}

fn parse(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}
