//! What objects say of what owns them, where it is not so.

use drop_core::facts::Wants;
use drop_core::memory::Workload;
use drop_core::pod::{Owner, Pod};
use drop_core::ports::PodApi;
use drop_core::testing::Fixture;
use falco_event::Namespace;
use serde_json::{Value, json};

use crate::fixture::Real;
use crate::scene::running;

const OWNER: Wants = Wants {
    namespace: false,
    owner: true,
    siblings: false,
    budgets: false,
    host: None,
};

fn owner(api_version: &str, kind: &str, object: &Value) -> Owner {
    let text = |at: &str| object.pointer(at).and_then(Value::as_str).unwrap().to_owned();
    Owner {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        name: text("/metadata/name"),
        uid: text("/metadata/uid"),
    }
}

/// Creates an object that says it is owned by this.
async fn create(real: &Real, namespace: &Namespace, kind: &str, name: &str, above: Option<&Owner>) -> Owner {
    let container = json!([{ "name": "main", "image": "registry.k8s.io/pause:3.10" }]);
    let (api_version, spec) = match kind {
        "ReplicaSet" => {
            let labels = json!({ "app": name });
            let template = json!({ "metadata": { "labels": labels }, "spec": { "containers": container } });
            (
                "apps/v1",
                json!({ "replicas": 0, "selector": { "matchLabels": labels }, "template": template }),
            )
        }
        "Job" => {
            let template = json!({ "spec": { "containers": container, "restartPolicy": "Never" } });
            ("batch/v1", json!({ "suspend": true, "template": template }))
        }
        _ => {
            let template = json!({ "spec": { "containers": container, "restartPolicy": "Never" } });
            let job = json!({ "spec": { "template": template } });
            (
                "batch/v1",
                json!({ "suspend": true, "schedule": "0 0 1 1 *", "jobTemplate": job }),
            )
        }
    };
    let reference = |above: &Owner| {
        json!({
            "apiVersion": above.api_version, "kind": above.kind, "name": above.name, "uid": above.uid, "controller": true,
        })
    };
    let owners: Vec<_> = above.map(reference).into_iter().collect();
    let object = json!({
        "apiVersion": api_version, "kind": kind, "spec": spec,
        "metadata": { "name": name, "ownerReferences": owners },
    });
    let path = format!(
        "/apis/{api_version}/namespaces/{namespace}/{}s",
        kind.to_lowercase()
    );
    let made = real.send("POST", &path, Some(&object)).await.unwrap();
    owner(api_version, kind, &made)
}

#[tokio::test]
#[ignore = "needs FALCO_DROP_TEST_KUBECONFIG"]
async fn an_owner_that_an_object_only_claims_is_none() {
    let real = Real::connect("owners").await;
    let namespace = real.namespace(&[]).await;
    let web = Workload::deployment(namespace.clone(), "web".parse().unwrap()).replicas(1);
    real.create(web).await;
    let pod = running(&real, &namespace, None).await;
    let seen = async |pod: Pod| {
        let owner = real.pods.facts(pod, OWNER).await.owner;
        let owner = owner.value().cloned().flatten().unwrap();
        (owner.kind, owner.name)
    };
    let said = |kind: &str, name: &str| (kind.to_owned(), name.to_owned());
    assert_eq!(seen(pod.clone()).await, said("Deployment", "web"));

    let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/web");
    let web = owner(
        "apps/v1",
        "Deployment",
        &real.send("GET", &path, None).await.unwrap(),
    );
    let nightly = create(&real, &namespace, "CronJob", "nightly", None).await;
    let rollout = Owner {
        api_version: "argoproj.io/v1alpha1".to_owned(),
        kind: "Rollout".to_owned(),
        ..web.clone()
    };
    for (kind, name, above) in [
        ("Job", "of-a-cron-job", &nightly),
        ("Job", "of-a-deployment", &web),
        ("ReplicaSet", "of-a-rollout", &rollout),
        ("ReplicaSet", "of-a-cron-job", &nightly),
    ] {
        let claims = create(&real, &namespace, kind, name, Some(above)).await;
        let pod = Pod {
            controller: Some(claims),
            ..pod.clone()
        };
        assert_eq!(seen(pod).await, said(kind, name));
    }

    // The CronJob itself says which Jobs are its own.
    let made = create(&real, &namespace, "Job", "made", Some(&nightly)).await;
    let reference = json!({ "apiVersion": "batch/v1", "kind": "Job", "name": made.name, "uid": made.uid, "namespace": namespace });
    let status = json!({ "status": { "active": [reference] } });
    let path = format!("/apis/batch/v1/namespaces/{namespace}/cronjobs/nightly/status");
    real.send("PATCH", &path, Some(&status)).await.unwrap();
    let pod = Pod {
        controller: Some(made),
        ..pod
    };
    assert_eq!(seen(pod).await, said("CronJob", "nightly"));
    real.remove_all().await;
}
