//! Tests of the cluster in memory against the rules of Kubernetes.

mod controllers;
mod deletion;
mod eviction;
mod faults;
mod invariants;
mod kubelet;
mod reading;

use std::time::Duration;

use falco_event::{Namespace, PodName};
use futures_executor::block_on;

use super::{Cluster, Kind, Workload};
use crate::pod::Pod;
use crate::ports::{ApplyError, Change, Found, PodApi, Presence, Target, Way};

fn cluster() -> Cluster {
    Cluster::new("2026-03-01T12:00:00.25Z".parse().unwrap())
}

fn shop() -> Namespace {
    "shop".parse().unwrap()
}

fn name(text: &str) -> PodName {
    text.parse().unwrap()
}

fn deployment() -> Workload {
    Workload::deployment(shop(), name("web"))
}

/// A cluster with one workload, and its first pod.
fn with(workload: Workload) -> (Cluster, Pod) {
    let cluster = cluster();
    assert!(cluster.add_workload(workload));
    let pod = cluster.pods().remove(0);
    (cluster, pod)
}

fn pods_of_web(cluster: &Cluster) -> Vec<Pod> {
    cluster.pods_of(Kind::Deployment, &shop(), &name("web"))
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn apply(cluster: &Cluster, pod: &Pod, change: &Change) -> Result<(), ApplyError> {
    block_on(cluster.apply(&Target::of(pod), change, secs(1)))
}

fn delete(cluster: &Cluster, pod: &Pod, grace_period_seconds: u32) -> Result<(), ApplyError> {
    apply(cluster, pod, &Change::Delete { grace_period_seconds })
}

fn presence(cluster: &Cluster, pod: &Pod) -> Presence {
    block_on(cluster.presence(&Target::of(pod))).unwrap()
}

fn found(pods: Vec<Pod>) -> Found {
    let way = Way::Index;
    Found { pods, way }
}

fn label(key: &str, value: Option<&str>) -> Change {
    Change::Label([(key.to_owned(), value.map(str::to_owned))].into())
}
