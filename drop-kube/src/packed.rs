//! A pod in few bytes: its values as a JSON array, in one allocation.

use std::collections::BTreeMap;

use drop_core::pod::{Container, Deletion, Owner, Phase, Pod};
use falco_event::{ContainerId, Namespace, NodeName, PodName, PodUid, Timestamp};
use serde::Deserialize;

/// A pod as the index keeps it.
///
/// Taken apart, a pod is some thirty small allocations. Of the pods of a cluster hardly one is ever asked for, so they
/// are kept together: a pod of two containers and six labels and annotations is 0.6 KiB, and is read in microseconds.
#[derive(Debug)]
pub(crate) struct Packed(Box<[u8]>);

/// The members of a pod in order, as they are written: times in whole seconds, as the API has them.
#[derive(Deserialize)]
struct Members(
    Namespace,
    PodName,
    PodUid,
    i64,
    Option<(i64, u32)>,
    Phase,
    bool,
    Option<NodeName>,
    Vec<(String, ContainerId, Option<i64>)>,
    BTreeMap<String, String>,
    BTreeMap<String, String>,
    Option<(String, String, String, String)>,
    Option<String>,
    Option<String>,
    bool,
);

impl Packed {
    /// None where a pod cannot be said in JSON, which none is.
    pub(crate) fn new(pod: &Pod) -> Option<Self> {
        let deletion = pod.deletion.map(|it| (it.at.as_second(), it.grace_seconds));
        let ended = |it: &Container| it.ended.map(Timestamp::as_second);
        let containers: Vec<_> = pod
            .containers
            .iter()
            .map(|it| (&it.name, &it.id, ended(it)))
            .collect();
        let controller = pod.controller.as_ref();
        let controller = controller.map(|it| (&it.api_version, &it.kind, &it.name, &it.uid));
        #[rustfmt::skip]
        let members = (
            &pod.namespace, &pod.name, &pod.uid, pod.created.as_second(), deletion, pod.phase, pod.ready, &pod.node, containers,
            &pod.labels, &pod.annotations, controller, &pod.service_account, &pod.priority_class, pod.mirror,
        );
        serde_json::to_vec(&members)
            .ok()
            .map(|json| Self(json.into_boxed_slice()))
    }

    /// Its size in bytes.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The pod; none where the bytes are not what [`Packed::new`] wrote.
    pub(crate) fn pod(&self) -> Option<Pod> {
        #[rustfmt::skip]
        let Members(
            namespace, name, uid, created, deletion, phase, ready, node, containers, labels, annotations,
            controller, service_account, priority_class, mirror,
        ) = serde_json::from_slice(&self.0).ok()?;
        Some(Pod {
            namespace,
            name,
            uid,
            created: time(created)?,
            deletion: match deletion {
                Some((at, grace_seconds)) => Some(Deletion {
                    at: time(at)?,
                    grace_seconds,
                }),
                None => None,
            },
            phase,
            ready,
            node,
            containers: containers.into_iter().map(container).collect::<Option<_>>()?,
            labels,
            annotations,
            controller: controller.map(|(api_version, kind, name, uid)| Owner {
                api_version,
                kind,
                name,
                uid,
            }),
            service_account,
            priority_class,
            mirror,
        })
    }
}

fn container((name, id, ended): (String, ContainerId, Option<i64>)) -> Option<Container> {
    let ended = match ended {
        Some(ended) => Some(time(ended)?),
        None => None,
    };
    Some(Container { name, id, ended })
}

fn time(second: i64) -> Option<Timestamp> {
    Timestamp::from_second(second).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_the_same_after_it_was_packed() {
        let pod = Pod {
            namespace: "shop".parse().unwrap(),
            name: "web-0".parse().unwrap(),
            uid: "u-1".parse().unwrap(),
            created: "2026-03-01T12:00:00Z".parse().unwrap(),
            deletion: Some(Deletion {
                at: "2026-03-01T12:00:30Z".parse().unwrap(),
                grace_seconds: 30,
            }),
            phase: Phase::Running,
            ready: true,
            node: Some("node-1".parse().unwrap()),
            containers: vec![
                Container {
                    name: "a".into(),
                    id: "a".repeat(64).parse().unwrap(),
                    ended: None,
                },
                Container {
                    name: "a".into(),
                    id: "b".repeat(64).parse().unwrap(),
                    ended: Some(Timestamp::UNIX_EPOCH),
                },
            ],
            labels: [("app".to_owned(), "web".to_owned())].into(),
            annotations: [("note".to_owned(), "two \"words\"\n".to_owned())].into(),
            controller: Some(Owner {
                api_version: "example.org/v1".into(),
                kind: "Set".into(),
                name: "web".into(),
                uid: "o-1".into(),
            }),
            service_account: Some("web".into()),
            priority_class: None,
            mirror: true,
        };
        let packed = Packed::new(&pod).unwrap();
        assert!(
            packed.0.len() < serde_json::to_vec(&pod).unwrap().len() * 3 / 4,
            "{}",
            packed.0.len()
        );
        assert_eq!(packed.pod().as_ref(), Some(&pod));
        let bare = Pod {
            deletion: None,
            node: None,
            containers: vec![],
            controller: None,
            service_account: None,
            ..pod
        };
        assert_eq!(Packed::new(&bare).unwrap().pod(), Some(bare));
    }
}
