//! The objects of a cluster in memory, as the API shows them.

use std::collections::BTreeMap;

use drop_core::memory::{BudgetStatus, Cluster, Controller, PodObject};
use drop_core::pod::{Container, Owner};
use falco_event::Timestamp;
use serde_json::{Value, json};

use super::reply::Reply;
use super::route::Route;

/// GET of one object.
pub(super) fn get(cluster: &Cluster, route: &Route) -> Reply {
    let name = route.name.as_ref().map_or("", |name| name.as_str());
    let found = all(cluster, route)
        .into_iter()
        .find(|object| object.pointer("/metadata/name") == Some(&json!(name)));
    found.map_or_else(|| Reply::absent(&route.resource, name), Reply::ok)
}

/// GET of a collection: what the selector selects, a page of it.
pub(super) fn list(cluster: &Cluster, route: &Route) -> Reply {
    let selector = route.parameter("labelSelector");
    let Some(wanted) = equalities(selector) else {
        return Reply::failed(
            400,
            "BadRequest",
            "the fake API server knows only selectors like `a=b,c=d`",
        );
    };
    let fields = route.parameter("fieldSelector");
    let node = fields.strip_prefix("spec.nodeName=").map(|node| json!(node));
    let on_it = |object: &Value| {
        node.as_ref()
            .is_none_or(|node| object.pointer("/spec/nodeName") == Some(node))
    };
    let selected: Vec<Value> = all(cluster, route)
        .into_iter()
        .filter(|object| has(object, &wanted) && on_it(object))
        .collect();
    let from = route.parameter("continue").parse::<usize>().unwrap_or(0);
    let limit = route
        .parameter("limit")
        .parse::<usize>()
        .ok()
        .filter(|limit| *limit > 0)
        .unwrap_or(usize::MAX);
    let next = from.saturating_add(limit);
    let go_on = if next < selected.len() {
        next.to_string()
    } else {
        String::new()
    };
    let page: Vec<Value> = selected.into_iter().skip(from).take(limit).collect();
    let revision = cluster.revision().to_string();
    Reply::ok(
        json!({ "kind": "List", "metadata": { "resourceVersion": revision, "continue": go_on }, "items": page }),
    )
}

fn all(cluster: &Cluster, route: &Route) -> Vec<Value> {
    let within = |object: &Value| {
        route
            .namespace
            .as_ref()
            .is_none_or(|at| object.pointer("/metadata/namespace") == Some(&json!(at)))
    };
    let objects: Vec<Value> = match route.resource.as_str() {
        "pods" => cluster.pod_objects().iter().map(pod).collect(),
        "namespaces" => cluster
            .namespaces()
            .iter()
            .map(|(name, labels)| namespace(name.as_str(), labels))
            .collect(),
        "poddisruptionbudgets" => cluster.budgets().iter().map(budget).collect(),
        plural => {
            let of_kind =
                |controller: &&Controller| format!("{}s", controller.this.kind.to_lowercase()) == plural;
            let all = cluster.controllers();
            let shown = |controller| self::controller(controller, &all);
            all.iter().filter(of_kind).map(shown).collect()
        }
    };
    objects.into_iter().filter(within).collect()
}

/// A pod, as the API shows it.
pub(super) fn pod(object: &PodObject) -> Value {
    let pod = &object.pod;
    let ready = if pod.ready { "True" } else { "False" };
    json!({
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "namespace": pod.namespace,
            "name": pod.name,
            "uid": pod.uid,
            "resourceVersion": object.revision.to_string(),
            "creationTimestamp": time(pod.created),
            "deletionTimestamp": pod.deletion.map(|deletion| time(deletion.at)),
            "deletionGracePeriodSeconds": pod.deletion.map(|deletion| deletion.grace_seconds),
            "labels": pod.labels,
            "annotations": pod.annotations,
            "finalizers": object.finalizers,
            "ownerReferences": owners(pod.controller.as_ref()),
            "managedFields": [{ "manager": "fake", "operation": "Update", "fieldsV1": { "f:metadata": {} } }],
        },
        "spec": {
            "nodeName": pod.node,
            "serviceAccountName": pod.service_account,
            "priorityClassName": pod.priority_class,
            "terminationGracePeriodSeconds": object.grace_seconds,
            "containers": [],
        },
        "status": {
            "phase": format!("{:?}", pod.phase),
            "conditions": [{ "type": "Ready", "status": ready }],
            "containerStatuses": statuses(&pod.containers),
        },
    })
}

/// The statuses of containers: of each name the instance that runs, or else the last one that ended, and the one
/// before it.
fn statuses(containers: &[Container]) -> Vec<Value> {
    let mut names: Vec<&str> = containers
        .iter()
        .map(|container| container.name.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().map(|name| status(name, containers)).collect()
}

fn status(name: &str, containers: &[Container]) -> Value {
    let mut instances: Vec<&Container> = containers
        .iter()
        .filter(|container| container.name == name)
        .collect();
    instances.sort_by_key(|container| std::cmp::Reverse(container.ended.unwrap_or(Timestamp::MAX)));
    let mut instances = instances.into_iter();
    let (now, before) = (instances.next(), instances.next());
    json!({
        "name": name,
        "containerID": now.map(runtime_id),
        "state": now.map(state),
        "lastState": before.map(state),
    })
}

fn state(container: &Container) -> Value {
    match container.ended {
        Some(ended) => {
            json!({ "terminated": { "containerID": runtime_id(container), "finishedAt": time(ended) } })
        }
        None => json!({ "running": {} }),
    }
}

fn runtime_id(container: &Container) -> String {
    format!("containerd://{}", container.id)
}

fn namespace(name: &str, labels: &BTreeMap<String, String>) -> Value {
    json!({ "kind": "Namespace", "apiVersion": "v1", "metadata": { "name": name, "labels": labels } })
}

fn budget(state: &BudgetStatus) -> Value {
    let budget = &state.budget;
    json!({
        "kind": "PodDisruptionBudget",
        "metadata": { "namespace": budget.namespace, "name": budget.name, "generation": 1 },
        "spec": { "minAvailable": budget.min_available, "selector": { "matchLabels": budget.selector } },
        "status": {
            "observedGeneration": 1,
            "disruptionsAllowed": state.disruptions_allowed,
            "currentHealthy": state.healthy,
            "desiredHealthy": budget.min_available,
        },
    })
}

fn controller(controller: &Controller, all: &[Controller]) -> Value {
    let mut status = json!({ "desiredNumberScheduled": controller.replicas });
    if controller.this.kind == "CronJob" {
        let below = |other: &&Controller| other.above.as_ref() == Some(&controller.this);
        let active: Vec<_> = all
            .iter()
            .filter(below)
            .map(|job| json!({ "uid": job.this.uid }))
            .collect();
        status = json!({ "active": active });
    }
    json!({
        "kind": controller.this.kind,
        "metadata": {
            "namespace": controller.namespace,
            "name": controller.this.name,
            "uid": controller.this.uid,
            "labels": controller.selector,
            "ownerReferences": owners(controller.above.as_ref()),
        },
        "spec": {
            "replicas": controller.replicas,
            "parallelism": controller.replicas,
            "selector": { "matchLabels": controller.selector },
        },
        "status": status,
    })
}

fn owners(owner: Option<&Owner>) -> Vec<Value> {
    let reference = |owner: &Owner| json!({ "apiVersion": owner.api_version, "kind": owner.kind, "name": owner.name, "uid": owner.uid, "controller": true });
    owner.map(reference).into_iter().collect()
}

/// The API's times have whole seconds.
fn time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn equalities(selector: &str) -> Option<BTreeMap<&str, &str>> {
    selector
        .split(',')
        .filter(|term| !term.is_empty())
        .map(|term| term.split_once('='))
        .collect()
}

fn has(object: &Value, wanted: &BTreeMap<&str, &str>) -> bool {
    let labels = object.pointer("/metadata/labels");
    let is = |key: &str, value: &str| {
        labels
            .and_then(|labels| labels.get(key))
            .is_some_and(|label| label == value)
    };
    wanted.iter().all(|(key, value)| is(key, value))
}
