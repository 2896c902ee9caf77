//! A cluster in memory whose time is this machine's.

use std::time::Duration;

use anyhow::Result;
use drop_core::memory::{Cluster, Workload};
use falco_event::{ContainerId, Namespace, PodName, Timestamp};

/// How often the cluster's controllers and kubelets get to run.
const TICK: Duration = Duration::from_millis(20);

/// The namespace of the workload.
pub(crate) const NAMESPACE: &str = "default";
/// The workload: a Deployment of one pod.
pub(crate) const WORKLOAD: &str = "mysql-db";
/// Its first pod.
pub(crate) const POD: &str = "mysql-db-7d59548d75-wh44s";
/// The container of its first pod; Falco prints the first 12 digits.
const CONTAINER: &str = "f29b261f8831c0a4d5e2b7f6903c18d7a45e90bb21f63d7c88e0a19c4d5b6e7f";

/// Starts a cluster with one workload, whose time goes on as long as the runtime lives.
pub(crate) fn start() -> Result<Cluster> {
    let namespace = Namespace::try_from(NAMESPACE)?;
    let workload = Workload::deployment(namespace.clone(), PodName::try_from(WORKLOAD)?)
        .label("app", WORKLOAD)
        .containers(&["mysql"])
        .first_pod(PodName::try_from(POD)?)
        .first_container(ContainerId::try_from(CONTAINER)?);
    let cluster = Cluster::new(Timestamp::now());
    cluster.add_namespace(&namespace, &[]);
    cluster.add_workload(workload);
    let ticking = cluster.clone();
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(TICK);
        loop {
            tick.tick().await;
            ticking.advance_to(Timestamp::now());
        }
    });
    Ok(cluster)
}
