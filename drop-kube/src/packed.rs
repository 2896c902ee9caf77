//! A pod in few bytes: its values as two JSON arrays, what is its own and what it has in common with others.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use drop_core::pod::{Container, Deletion, Owner, Phase, Pod};
use falco_event::{ContainerId, Namespace, NodeName, PodName, PodUid, Timestamp};
use serde::Deserialize;

/// A pod as the index keeps it.
///
/// Taken apart, a pod is some thirty small allocations. Of the pods of a cluster hardly one is ever asked for, so they
/// are kept together: a pod of two containers is 0.3 KiB of its own, and is read in microseconds.
#[derive(Debug)]
pub(crate) struct Packed {
    own: Box<[u8]>,
    common: Common,
}

/// What the pods of one controller have in common, kept once.
type Common = Arc<[u8]>;

/// Every [`Common`] that a pod has.
#[derive(Debug, Default)]
pub(crate) struct Commons(HashSet<Common>);

impl Commons {
    fn of(&mut self, json: &[u8]) -> Common {
        if let Some(known) = self.0.get(json) {
            return Arc::clone(known);
        }
        let new = Common::from(json);
        self.0.insert(Arc::clone(&new));
        new
    }

    /// The pod is about to be dropped, and with the last of its kind goes what they had in common.
    pub(crate) fn forget(&mut self, pod: &Packed) {
        // It and the one in the set.
        if Arc::strong_count(&pod.common) <= 2 {
            self.0.remove(&pod.common);
        }
    }
}

/// What is a pod's own, in order as it is written: times in whole seconds, as the API has them.
#[derive(Deserialize)]
struct Own(
    PodName,
    PodUid,
    i64,
    Option<(i64, u32)>,
    Phase,
    bool,
    Option<NodeName>,
    Vec<(String, ContainerId, Option<i64>)>,
);

/// What others have too.
#[derive(Deserialize)]
struct Shared(
    Namespace,
    BTreeMap<String, String>,
    BTreeMap<String, String>,
    Option<(String, String, String, String)>,
    Option<String>,
    Option<String>,
    bool,
);

impl Packed {
    /// None where a pod cannot be said in JSON, which none is.
    pub(crate) fn new(pod: &Pod, commons: &mut Commons) -> Option<Self> {
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
        let own = (
            &pod.name, &pod.uid, pod.created.as_second(), deletion, pod.phase, pod.ready, &pod.node, containers,
        );
        #[rustfmt::skip]
        let common = (
            &pod.namespace, &pod.labels, &pod.annotations, controller, &pod.service_account, &pod.priority_class, pod.mirror,
        );
        Some(Self {
            own: serde_json::to_vec(&own).ok()?.into_boxed_slice(),
            common: commons.of(&serde_json::to_vec(&common).ok()?),
        })
    }

    /// Its size in bytes, of which others may share some.
    pub(crate) fn len(&self) -> usize {
        self.own.len().saturating_add(self.common.len())
    }

    /// The pod; none where the bytes are not what [`Packed::new`] wrote.
    pub(crate) fn pod(&self) -> Option<Pod> {
        let Own(name, uid, created, deletion, phase, ready, node, containers) =
            serde_json::from_slice(&self.own).ok()?;
        let Shared(namespace, labels, annotations, controller, service_account, priority_class, mirror) =
            serde_json::from_slice(&self.common).ok()?;
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
    use drop_core::memory::{Cluster, Workload};

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
        let mut commons = Commons::default();
        let packed = Packed::new(&pod, &mut commons).unwrap();
        assert!(
            packed.len() < serde_json::to_vec(&pod).unwrap().len() * 3 / 4,
            "{}",
            packed.len()
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
        assert_eq!(Packed::new(&bare, &mut commons).unwrap().pod(), Some(bare));
    }

    #[test]
    fn what_pods_have_in_common_is_kept_once_and_as_long_as_one_of_them_is() {
        let cluster = Cluster::new("2026-03-01T12:00:00Z".parse().unwrap());
        let web = Workload::deployment("shop".parse().unwrap(), "web".parse().unwrap());
        cluster.add_workload(web.replicas(2));
        let mut commons = Commons::default();
        let mut pack = |pod: &Pod| Packed::new(pod, &mut commons).unwrap();
        let (one, two) = (pack(&cluster.pods()[0]), pack(&cluster.pods()[1]));
        assert!(Arc::ptr_eq(&one.common, &two.common));
        commons.forget(&one);
        drop(one);
        assert_eq!((commons.0.len(), two.pod()), (1, Some(cluster.pods()[1].clone())));
        commons.forget(&two);
        assert!(commons.0.is_empty());
    }
}
