//! Names and offenders.

use proptest::prelude::*;

use crate::names::{ContainerId, Namespace, NodeName, PodName, PodUid};
use crate::offender::Offender;

/// What the patterns below generate are names, so nothing is filtered out in fact.
fn named<T: for<'t> TryFrom<&'t str> + std::fmt::Debug>(pattern: &'static str) -> impl Strategy<Value = T> {
    pattern.prop_filter_map("a name", |text| T::try_from(text.as_str()).ok())
}

/// Namespaces: half of them one of four usual ones, half any DNS label of 1 to 63.
pub fn namespace() -> impl Strategy<Value = Namespace> {
    prop_oneof![
        named("default|shop|web|kube-system"),
        named("[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
    ]
}

/// Pod names: half of them as a Deployment makes them, half any DNS name of 1 to 4 parts.
pub fn pod_name() -> impl Strategy<Value = PodName> {
    prop_oneof![
        named("(checkout|mysql-db|api)-[0-9a-f]{10}-[a-z0-9]{5}"),
        named("[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?){0,3}"),
    ]
}

/// Node names.
pub fn node_name() -> impl Strategy<Value = NodeName> {
    named("(worker|ip|node)-[0-9]{1,3}(\\.eu-west-1\\.compute\\.internal)?")
}

/// Pod UIDs: two of three a UUID, one of three the hash of a static pod.
pub fn pod_uid() -> impl Strategy<Value = PodUid> {
    prop_oneof![
        2 => named("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"),
        1 => named("[0-9a-f]{32}"),
    ]
}

/// Container ids: four of five with the 12 digits that Falco gives, one of five with 64.
pub fn container_id() -> impl Strategy<Value = ContainerId> {
    prop_oneof![4 => named("[0-9a-f]{12}"), 1 => named("[0-9a-f]{64}")]
}

/// Offenders: one of six a process of the host, one of six a container whose pod is not known yet, the others a
/// container in a pod, with its UID in one of two. Nothing is refused, and no container has a name.
pub fn offender() -> impl Strategy<Value = Offender> {
    let pod = (
        container_id(),
        prop::option::of(pod_uid()),
        namespace(),
        pod_name(),
    );
    let kinds = prop_oneof![
        1 => Just(Offender { host: true, ..Offender::default() }),
        1 => container_id().prop_map(|id| Offender { container: Some(id), ..Offender::default() }),
        4 => pod.prop_map(|(container, pod_uid, namespace, pod)| Offender {
            container: Some(container),
            pod_uid,
            namespace: Some(namespace),
            pod: Some(pod),
            ..Offender::default()
        }),
    ];
    (kinds, prop::option::of(node_name())).prop_map(|(offender, node)| Offender { node, ..offender })
}
