//! The cluster of every case: what may be hit, and what is protected in one of four ways.

use std::sync::LazyLock;
use std::time::Duration;

use drop_core::memory::{Budget, Cluster, Workload};
use drop_core::past::ScopeKey;
use drop_core::ports::Target;
use falco_event::{Namespace, PodName};

/// Workloads by namespace, kind and name, with their replicas.
pub(crate) const WORKLOADS: [(&str, &str, &str, u32); 9] = [
    ("shop", "Deployment", "web", 3),
    ("shop", "StatefulSet", "db", 2),
    ("shop", "Deployment", "core", 1),
    ("shop", "StatefulSet", "ledger", 1),
    ("red", "Deployment", "app", 2),
    ("red", "DaemonSet", "agent", 1),
    ("vault", "Deployment", "keys", 1),
    ("safe", "StatefulSet", "box", 1),
    ("kube-system", "Deployment", "dns", 1),
];

pub(crate) fn namespace(name: &str) -> Namespace {
    Namespace::try_from(name).unwrap()
}

pub(crate) fn name(name: &str) -> PodName {
    PodName::try_from(name).unwrap()
}

/// A minute old, at noon.
pub(crate) fn cluster() -> Cluster {
    static CLUSTER: LazyLock<Cluster> = LazyLock::new(built);
    CLUSTER.fork()
}

fn built() -> Cluster {
    let cluster = Cluster::new("2026-03-01T12:00:00.25Z".parse().unwrap());
    cluster.add_node("node-2".parse().unwrap());
    cluster.add_namespace(&namespace("red"), &[("team", "red")]);
    cluster.add_namespace(&namespace("safe"), &[("guarded", "yes")]);
    for (space, kind, what, replicas) in WORKLOADS {
        let (space, what) = (namespace(space), name(what));
        let workload = match kind {
            "StatefulSet" => Workload::stateful_set(space, what),
            "DaemonSet" => Workload::daemon_set(space, what),
            _ => Workload::deployment(space, what),
        };
        cluster.add_workload(workload.replicas(replicas));
    }
    cluster.add_workload(Workload::pod(namespace("shop"), name("lone")).ignores_sigterm());
    cluster.add_workload(Workload::pod(namespace("red"), name("kept")).finalizer("test/keep"));
    cluster.add_workload(Workload::static_pod(namespace("red"), name("etcd")));
    cluster.add_budget(Budget {
        namespace: namespace("shop"),
        name: "web".to_owned(),
        selector: [("app".to_owned(), "web".to_owned())].into(),
        min_available: 2,
    });
    cluster.advance(Duration::from_secs(60));
    cluster.clear_history();
    cluster
}

/// The workload at the top, told by the pod's name.
fn owner(target: &Target) -> Option<(&'static str, &'static str)> {
    let owns = |what: &str| {
        target
            .name
            .as_str()
            .strip_prefix(what)
            .is_some_and(|rest| rest.starts_with('-'))
    };
    WORKLOADS
        .iter()
        .find(|(space, _, what, _)| *space == target.namespace.as_str() && owns(what))
        .map(|(_, kind, what, _)| (*kind, *what))
}

/// What a limit of scope `workload` counts together.
pub(crate) fn workload(target: &Target) -> ScopeKey {
    let (kind, name) = owner(target).unwrap_or(("Pod", target.name.as_str()));
    ScopeKey::Workload {
        namespace: target.namespace.clone(),
        kind: kind.to_owned(),
        name: name.to_owned(),
    }
}

pub(crate) fn kind(target: &Target) -> &'static str {
    owner(target).map_or("Pod", |(kind, _)| kind)
}

/// By namespace, by its label, by its workload, or because it is Kubernetes' own.
pub(crate) fn is_protected(target: &Target) -> bool {
    matches!(target.namespace.as_str(), "vault" | "safe" | "kube-system")
        || matches!(owner(target), Some((_, "core" | "ledger")))
        || target.name.as_str().starts_with("etcd-")
}
