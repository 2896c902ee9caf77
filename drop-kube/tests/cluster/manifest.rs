//! A workload of the conformance suite, as the API takes it.

use drop_core::memory::{Kind, Workload};
use serde_json::{Value, json};

/// The collection to post to, and the object.
pub(crate) fn of(workload: &Workload) -> (String, Value) {
    let (namespace, name) = (workload.namespace(), workload.name());
    if workload.kind() == Kind::Pod {
        let mut pod = template(workload);
        pod["metadata"]["name"] = json!(name);
        return (format!("/api/v1/namespaces/{namespace}/pods"), pod);
    }
    let plural = match workload.kind() {
        Kind::Deployment => "deployments",
        Kind::StatefulSet => "statefulsets",
        kind @ (Kind::Pod
        | Kind::ReplicaSet
        | Kind::DaemonSet
        | Kind::Job
        | Kind::CronJob
        | Kind::StaticPod) => {
            panic!("the suite makes no {kind}")
        }
    };
    let object = json!({
        "metadata": { "name": name },
        "spec": {
            "replicas": workload.wanted(),
            "serviceName": name,
            "selector": { "matchLabels": workload.labels() },
            "template": template(workload),
        },
    });
    (format!("/apis/apps/v1/namespaces/{namespace}/{plural}"), object)
}

fn template(workload: &Workload) -> Value {
    let mut annotations = json!(workload.annotations());
    if workload.does_ignore_sigterm() {
        // For stand-in kubelets, which start no container.
        annotations["control-plane.test/ignores-sigterm"] = json!("true");
    }
    // As process 1, `sleep` does not end on SIGTERM; a shell with a trap does.
    let command = if workload.does_ignore_sigterm() {
        json!(["sleep", "3600"])
    } else {
        json!(["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"])
    };
    let container = |name: &String| json!({ "name": name, "image": "busybox:1.37", "command": command });
    let containers: Vec<Value> = workload.container_names().iter().map(container).collect();
    json!({
        "metadata": { "labels": workload.labels(), "annotations": annotations },
        "spec": {
            "containers": containers,
            "terminationGracePeriodSeconds": workload.termination_grace_seconds(),
        },
    })
}
