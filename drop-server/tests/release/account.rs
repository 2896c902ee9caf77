//! drop-server's service account, and what the API server lets it do.

use http::{HeaderName, HeaderValue};
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::stage::{self, Stage, core, object, until};

/// The account, by impersonation.
pub(crate) struct Account {
    name: String,
    client: Client,
    admin: Client,
}

impl Account {
    pub(crate) async fn of(stage: &Stage) -> Self {
        let name = format!("system:serviceaccount:{}:drop-server", stage.own);
        let mut config = stage::config().await;
        let mut header = |name: &'static str, value: &str| {
            config.headers.push((
                HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            ));
        };
        header("impersonate-user", &name);
        header("impersonate-group", "system:serviceaccounts");
        Self {
            client: Client::try_from(config).unwrap(),
            admin: stage.client.clone(),
            name,
        }
    }

    fn pods(&self, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &core("Pod", "pods"))
    }

    /// What the API server says that it may do, in a namespace or, where that is empty, in the cluster.
    pub(crate) async fn may(&self, verb: &str, resource: &str, namespace: &str) -> bool {
        let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let kind = kube::api::GroupVersionKind::gvk("authorization.k8s.io", "v1", "SubjectAccessReview");
        let reviews = kube::api::ApiResource::from_gvk_with_plural(&kind, "subjectaccessreviews");
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "metadata": {},
            "spec": {
                "user": self.name,
                "groups": ["system:serviceaccounts", "system:authenticated"],
                "resourceAttributes": {
                    "verb": verb, "group": group, "resource": resource, "subresource": subresource, "namespace": namespace,
                },
            },
        });
        let api: Api<DynamicObject> = Api::all_with(self.admin.clone(), &reviews);
        let answer = api
            .create(&PostParams::default(), &object(&review))
            .await
            .unwrap();
        answer.data["status"]["allowed"].as_bool().unwrap()
    }

    /// Roles and admission policies take effect a moment after they are made.
    pub(crate) async fn until_refused(&self, namespace: &str, pod: &str) {
        let params = DeleteParams {
            dry_run: true,
            ..DeleteParams::default()
        };
        until(async || match self.pods(namespace).delete(pod, &params).await {
            Err(error) => error.to_string().contains("ValidatingAdmissionPolicy"),
            Ok(_) => false,
        })
        .await;
    }

    pub(crate) async fn delete(&self, namespace: &str, pod: &str) -> Result<(), String> {
        said(self.pods(namespace).delete(pod, &DeleteParams::default()).await)
    }

    pub(crate) async fn label(&self, namespace: &str, pod: &str) -> Result<(), String> {
        let patch = json!({ "metadata": { "labels": { "security": "hit" } } });
        self.patch(namespace, pod, &patch).await
    }

    pub(crate) async fn patch(&self, namespace: &str, pod: &str, patch: &Value) -> Result<(), String> {
        said(
            self.pods(namespace)
                .patch(pod, &PatchParams::default(), &Patch::Strategic(patch))
                .await,
        )
    }

    /// Only tried: an eviction that is let through would end the pod.
    pub(crate) async fn evict(&self, namespace: &str, pod: &str) -> Result<(), String> {
        let eviction = json!({
            "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": pod, "namespace": namespace },
            "deleteOptions": { "dryRun": ["All"] },
        });
        let params = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        said(
            self.pods(namespace)
                .create_subresource::<_, Value>("eviction", pod, &params, &eviction)
                .await,
        )
    }
}

fn said<T>(answer: Result<T, kube::Error>) -> Result<(), String> {
    answer.map(|_| ()).map_err(|error| error.to_string())
}
