//! From what the API server sends to what the engine reads. Total: what is missing or odd is left out, and a pod
//! whose identity is not whole is none.

use drop_core::pod::{Container, Deletion, Owner, Phase, Pod};
use falco_event::{ContainerId, NodeName, PodUid, Timestamp};

use crate::wire;

/// Marks the kubelet's picture of a static pod.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// A pod without a whole identity, and what of it is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the API server sent a pod without a valid {0}")]
pub(crate) struct NoIdentity(&'static str);

/// The pod as the engine reads it.
pub(crate) fn pod(sent: wire::Pod) -> Result<Pod, NoIdentity> {
    let wire::Pod {
        metadata,
        spec,
        status,
    } = sent;
    let (spec, status) = (spec.unwrap_or_default(), status.unwrap_or_default());
    let created =
        time(metadata.creation_timestamp.as_deref()).ok_or(NoIdentity("metadata.creationTimestamp"))?;
    Ok(Pod {
        namespace: name(metadata.namespace.as_deref()).ok_or(NoIdentity("metadata.namespace"))?,
        name: name(metadata.name.as_deref()).ok_or(NoIdentity("metadata.name"))?,
        uid: uid(&metadata).ok_or(NoIdentity("metadata.uid"))?,
        created,
        deletion: deletion(&metadata),
        phase: phase(status.phase.as_deref()),
        ready: ready(&status),
        node: name::<NodeName>(spec.node_name.as_deref()),
        containers: containers(&status, created),
        controller: controller(&metadata),
        mirror: metadata
            .annotations
            .as_ref()
            .is_some_and(|annotations| annotations.contains_key(MIRROR)),
        labels: metadata.labels.unwrap_or_default(),
        annotations: metadata.annotations.unwrap_or_default(),
        service_account: spec.service_account_name.filter(|name| !name.is_empty()),
        priority_class: spec.priority_class_name.filter(|name| !name.is_empty()),
    })
}

/// The UID of an object.
pub(crate) fn uid(metadata: &wire::Meta) -> Option<PodUid> {
    name(metadata.uid.as_deref())
}

/// The owner that manages the object; there is at most one.
pub(crate) fn controller(metadata: &wire::Meta) -> Option<Owner> {
    let owners = metadata.owner_references.as_deref().unwrap_or_default();
    let owner = owners.iter().find(|owner| owner.controller == Some(true))?;
    Some(Owner {
        api_version: owner.api_version.clone()?,
        kind: owner.kind.clone()?,
        name: owner.name.clone()?,
        uid: owner.uid.clone()?,
    })
}

/// Whether the pod serves: its condition `Ready` holds, and it is not on its way out.
pub(crate) fn is_ready(pod: &wire::Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none() && pod.status.as_ref().is_some_and(ready)
}

fn ready(status: &wire::PodStatus) -> bool {
    let conditions = status.conditions.as_deref().unwrap_or_default();
    conditions.iter().any(|condition| {
        condition.type_.as_deref() == Some("Ready") && condition.status.as_deref() == Some("True")
    })
}

fn name<'a, T: TryFrom<&'a str>>(text: Option<&'a str>) -> Option<T> {
    text.and_then(|text| T::try_from(text).ok())
}

fn time(text: Option<&str>) -> Option<Timestamp> {
    text.and_then(|text| text.parse().ok())
}

/// A deletion whose time cannot be read is under way all the same, from the epoch on: its grace is over.
fn deletion(metadata: &wire::Meta) -> Option<Deletion> {
    let at = metadata.deletion_timestamp.as_deref()?;
    let grace = metadata.deletion_grace_period_seconds.unwrap_or(0).max(0);
    Some(Deletion {
        at: time(Some(at)).unwrap_or_default(),
        grace_seconds: u32::try_from(grace).unwrap_or(u32::MAX),
    })
}

fn phase(text: Option<&str>) -> Phase {
    match text {
        Some("Pending") => Phase::Pending,
        Some("Running") => Phase::Running,
        Some("Succeeded") => Phase::Succeeded,
        Some("Failed") => Phase::Failed,
        _ => Phase::Unknown,
    }
}

fn containers(status: &wire::PodStatus, created: Timestamp) -> Vec<Container> {
    let mut found = Vec::new();
    let lists = [
        &status.init_container_statuses,
        &status.container_statuses,
        &status.ephemeral_container_statuses,
    ];
    for status in lists.into_iter().flatten().flatten() {
        instances(status, created, &mut found);
    }
    found
}

/// The instance before the last restart, then the one that the status is about. Between two instances the status
/// still names the old one: one id is one entry, ended if anything says so.
fn instances(status: &wire::ContainerStatus, created: Timestamp, found: &mut Vec<Container>) {
    let ended =
        |state: &Option<wire::ContainerState>| state.as_ref().and_then(|state| state.terminated.clone());
    let id_of = |end: &Option<wire::Terminated>| end.as_ref().and_then(|end| id(end.container_id.as_deref()));
    let (now, before) = (ended(&status.state), ended(&status.last_state));
    let current = id(status.container_id.as_deref()).or_else(|| id_of(&now));
    let previous = id_of(&before);
    let container = |id: ContainerId, end: Option<&wire::Terminated>| Container {
        name: status.name.clone().unwrap_or_default(),
        id,
        ended: end.map(|end| end_of(end, created)),
    };
    if let Some(id) = previous.clone().filter(|_| previous != current) {
        found.push(container(id, before.as_ref()));
    }
    if let Some(id) = current {
        let same = before.as_ref().filter(|_| previous.as_ref() == Some(&id));
        found.push(container(id, now.as_ref().or(same)));
    }
}

/// A container that ended at an unknown time ended no earlier than it started.
fn end_of(end: &wire::Terminated, created: Timestamp) -> Timestamp {
    time(end.finished_at.as_deref())
        .or_else(|| time(end.started_at.as_deref()))
        .unwrap_or(created)
}

fn id(text: Option<&str>) -> Option<ContainerId> {
    text.and_then(|text| ContainerId::from_status(text).ok())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const OLD: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const NEW: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn whole() -> Value {
        json!({
            "metadata": {
                "namespace": "shop", "name": "web-0", "uid": "u-1", "creationTimestamp": "2026-03-01T12:00:00Z",
                "labels": { "app": "web" },
                "ownerReferences": [
                    { "apiVersion": "x/v1", "kind": "Set", "name": "not-it", "uid": "o-0" },
                    { "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": "o-1", "controller": true },
                ],
            },
            "spec": { "nodeName": "node-1", "serviceAccountName": "web", "priorityClassName": "high" },
            "status": { "phase": "Running" },
        })
    }

    fn converted(json: Value) -> Result<Pod, NoIdentity> {
        pod(serde_json::from_value(json).unwrap())
    }

    fn with(pointer: &str, value: Value) -> Value {
        let mut json = whole();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        json.pointer_mut(parent)
            .unwrap()
            .as_object_mut()
            .unwrap()
            .insert(key.to_owned(), value);
        json
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "a literal at each call reads better"
    )]
    fn instances_of(status: Value) -> Vec<(String, Option<String>)> {
        let pod = converted(with("/status/containerStatuses", json!([status]))).unwrap();
        let ended = |container: &Container| container.ended.map(|ended| ended.to_string());
        pod.containers
            .iter()
            .map(|c| (c.id.to_string().chars().take(1).collect(), ended(c)))
            .collect()
    }

    #[test]
    fn a_whole_pod_is_read() {
        let pod = converted(whole()).unwrap();
        assert_eq!(
            (pod.namespace.as_str(), pod.name.as_str(), pod.uid.as_str()),
            ("shop", "web-0", "u-1")
        );
        assert_eq!(pod.created, "2026-03-01T12:00:00Z".parse().unwrap());
        assert_eq!(
            (pod.phase, pod.deletion, pod.mirror),
            (Phase::Running, None, false)
        );
        assert_eq!(pod.node.unwrap().as_str(), "node-1");
        assert_eq!(
            pod.controller.unwrap(),
            Owner {
                api_version: "apps/v1".into(),
                kind: "StatefulSet".into(),
                name: "web".into(),
                uid: "o-1".into()
            }
        );
        assert_eq!(
            (pod.service_account.as_deref(), pod.priority_class.as_deref()),
            (Some("web"), Some("high"))
        );
        assert_eq!(pod.labels.get("app").map(String::as_str), Some("web"));
    }

    #[test]
    fn a_pod_without_a_whole_identity_is_none() {
        for (member, odd) in [
            ("namespace", "Shop"),
            ("name", "../x"),
            ("uid", ""),
            ("creationTimestamp", "soon"),
        ] {
            let path = format!("/metadata/{member}");
            let told = format!("the API server sent a pod without a valid metadata.{member}");
            assert_eq!(converted(with(&path, json!(odd))).unwrap_err().to_string(), told);
            assert_eq!(converted(with(&path, Value::Null)).unwrap_err().to_string(), told);
        }
    }

    #[test]
    fn what_is_missing_null_or_odd_elsewhere_is_left_out() {
        for (path, odd) in [
            ("/metadata/labels", Value::Null),
            ("/metadata/ownerReferences", json!([{ "controller": true }, {}])),
            ("/spec", Value::Null),
            ("/status", Value::Null),
            ("/spec/nodeName", json!("not a node")),
            ("/spec/priorityClassName", json!("")),
            ("/status/phase", json!("Dancing")),
            (
                "/status/containerStatuses",
                json!([{}, { "state": null }, { "state": { "terminated": {} } }]),
            ),
            ("/status/initContainerStatuses", Value::Null),
        ] {
            let pod = converted(with(path, odd.clone())).unwrap();
            assert_eq!(
                (pod.uid.as_str(), pod.containers.len()),
                ("u-1", 0),
                "{path} {odd}"
            );
        }
        assert_eq!(
            converted(with("/status/phase", json!("Dancing"))).unwrap().phase,
            Phase::Unknown
        );
    }

    #[test]
    fn a_deletion_is_one_even_where_its_numbers_are_odd() {
        for (at, grace, expected) in [
            (
                json!("2026-03-01T12:00:30Z"),
                json!(30),
                ("2026-03-01T12:00:30Z", 30),
            ),
            (
                json!("2026-03-01T12:00:30Z"),
                json!(-1),
                ("2026-03-01T12:00:30Z", 0),
            ),
            (
                json!("2026-03-01T12:00:30Z"),
                json!(1_i64 << 40),
                ("2026-03-01T12:00:30Z", u32::MAX),
            ),
            (json!("never"), Value::Null, ("1970-01-01T00:00:00Z", 0)),
        ] {
            let mut json = with("/metadata/deletionTimestamp", at);
            json["metadata"]["deletionGracePeriodSeconds"] = grace;
            let deletion = converted(json).unwrap().deletion.unwrap();
            assert_eq!(
                (deletion.at.to_string().as_str(), deletion.grace_seconds),
                expected
            );
        }
    }

    #[test]
    fn each_instance_is_read_once_and_ended_if_anything_says_so() {
        let end = |id: &str| json!({ "terminated": { "containerID": format!("containerd://{id}"), "finishedAt": "2026-03-01T12:05:00Z" } });
        let ended = Some("2026-03-01T12:05:00Z".to_owned());
        let runs = json!({ "containerID": format!("cri-o://{NEW}"), "state": { "running": {} }, "lastState": end(OLD) });
        assert_eq!(
            instances_of(runs),
            [("a".to_owned(), ended.clone()), ("b".to_owned(), None)]
        );
        let between = json!({ "containerID": format!("docker://{OLD}"), "state": { "waiting": {} }, "lastState": end(OLD) });
        assert_eq!(instances_of(between), [("a".to_owned(), ended.clone())]);
        let done =
            json!({ "containerID": format!("containerd://{OLD}"), "state": end(OLD), "lastState": {} });
        assert_eq!(instances_of(done), [("a".to_owned(), ended.clone())]);
        let unnamed = json!({ "containerID": "", "state": end(NEW) });
        assert_eq!(instances_of(unnamed), [("b".to_owned(), ended)]);
        let not_started = json!({ "containerID": "", "state": { "waiting": {} }, "lastState": {} });
        assert_eq!(instances_of(not_started), []);
    }

    /// An unknown end is no later than any that could be: an alert after the start is then about another instance.
    #[test]
    fn an_end_without_a_time_is_the_start_or_the_pod_s() {
        let id = format!("containerd://{OLD}");
        let started =
            json!({ "containerID": id, "state": { "terminated": { "startedAt": "2026-03-01T12:01:00Z" } } });
        assert_eq!(
            instances_of(started),
            [("a".to_owned(), Some("2026-03-01T12:01:00Z".to_owned()))]
        );
        let neither = json!({ "containerID": id, "state": { "terminated": { "finishedAt": "?" } } });
        assert_eq!(
            instances_of(neither),
            [("a".to_owned(), Some("2026-03-01T12:00:00Z".to_owned()))]
        );
    }

    #[test]
    fn init_and_ephemeral_containers_count() {
        let mut json = with(
            "/status/initContainerStatuses",
            json!([{ "name": "i", "containerID": format!("x://{OLD}") }]),
        );
        json["status"]["ephemeralContainerStatuses"] =
            json!([{ "name": "e", "containerID": format!("x://{NEW}") }]);
        let pod = converted(json).unwrap();
        let names: Vec<&str> = pod
            .containers
            .iter()
            .map(|container| container.name.as_str())
            .collect();
        assert_eq!(names, ["i", "e"]);
    }

    #[test]
    fn ready_is_the_condition_of_a_pod_that_stays() {
        let ready = |json: Value| is_ready(&serde_json::from_value(json).unwrap());
        let conditions = |status: &str| {
            with(
                "/status/conditions",
                json!([{ "type": "Ready", "status": status }, {}]),
            )
        };
        assert!(ready(conditions("True")));
        assert!(!ready(conditions("False")));
        assert!(!ready(whole()));
        let mut leaving = conditions("True");
        leaving["metadata"]["deletionTimestamp"] = json!("2026-03-01T12:00:30Z");
        assert!(!ready(leaving));
    }
}
