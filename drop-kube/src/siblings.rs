//! The pods that share an owner: how many it wants, and which are ready.

use std::collections::BTreeSet;
use std::time::Duration;

use drop_core::facts::Siblings;
use drop_core::pod::Owner;
use drop_core::ports::ApiError;
use falco_event::{Namespace, PodUid};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::pages::Pages;
use crate::request::{self, Ask};
use crate::workload::{self, Owned};
use crate::{KubePods, convert, selector, wire};

/// How available the owner is. It is counted at the Deployment where there is one, since during a roll-out its pods
/// belong to more than one ReplicaSet; otherwise at the pod's own controller.
pub(crate) async fn siblings(
    pods: &KubePods,
    namespace: &Namespace,
    owned: &Owned,
    until: Instant,
) -> Result<Siblings, ApiError> {
    let counted = if owned.top.kind == "Deployment" {
        &owned.top
    } else {
        &owned.direct
    };
    let workload = read(pods, namespace, counted, until).await?;
    let desired = desired(&counted.kind, &workload);
    let selector = workload.spec.selector.as_ref().and_then(selector::query);
    let selector =
        selector.ok_or_else(|| unreadable(counted, "its selector is none that can be asked for"))?;
    let parents = parents(pods, namespace, counted, &selector, until).await?;
    let indexed = pods
        .index
        .as_ref()
        .and_then(|index| index.ready_of(namespace, &parents));
    let ready = match indexed {
        Some(ready) => ready,
        None => listed(pods, namespace, &selector, &parents, until).await?,
    };
    Ok(Siblings { desired, ready })
}

async fn listed(
    pods: &KubePods,
    namespace: &Namespace,
    selector: &str,
    parents: &BTreeSet<String>,
    until: Instant,
) -> Result<BTreeSet<PodUid>, ApiError> {
    let all: Vec<wire::Pod> = list(pods, request::pods(Some(namespace)), selector, Ask::get, until).await?;
    let ready = all
        .iter()
        .filter(|pod| convert::is_ready(pod) && belongs(&pod.metadata, parents));
    Ok(ready.filter_map(|pod| convert::uid(&pod.metadata)).collect())
}

async fn read(
    pods: &KubePods,
    namespace: &Namespace,
    owner: &Owner,
    until: Instant,
) -> Result<wire::Workload, ApiError> {
    let path = workload::path(owner, namespace).ok_or_else(|| {
        unreadable(
            owner,
            "only Kubernetes' own controllers say how many pods they want",
        )
    })?;
    let found: Option<wire::Workload> = pods
        .caller
        .read(&Ask::get(path, pods.settings.try_within), until)
        .await?;
    found
        .filter(|workload| workload.metadata.uid.as_deref() == Some(owner.uid.as_str()))
        .ok_or_else(|| unreadable(owner, "it went away while it was read"))
}

/// What `spec.replicas` says where it is absent is the API server's default, 1.
fn desired(kind: &str, workload: &wire::Workload) -> u32 {
    let number = match kind {
        "DaemonSet" => workload.status.desired_number_scheduled.unwrap_or(0),
        "Job" => workload.spec.parallelism.unwrap_or(1),
        _ => workload.spec.replicas.unwrap_or(1),
    };
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}

/// The UIDs of the controllers whose pods count: of a Deployment, each ReplicaSet of its own.
async fn parents(
    pods: &KubePods,
    namespace: &Namespace,
    counted: &Owner,
    selector: &str,
    until: Instant,
) -> Result<BTreeSet<String>, ApiError> {
    if counted.kind != "Deployment" {
        return Ok(BTreeSet::from([counted.uid.clone()]));
    }
    let path = workload::collection("apps/v1/replicasets", namespace).unwrap_or_default();
    let sets: Vec<wire::Object> = list(pods, path, selector, Ask::list_metadata, until).await?;
    let of_it =
        |set: &wire::Object| convert::controller(&set.metadata).is_some_and(|owner| owner.uid == counted.uid);
    Ok(sets
        .into_iter()
        .filter(of_it)
        .filter_map(|set| set.metadata.uid)
        .collect())
}

fn belongs(metadata: &wire::Meta, parents: &BTreeSet<String>) -> bool {
    convert::controller(metadata).is_some_and(|owner| parents.contains(&owner.uid))
}

async fn list<T: DeserializeOwned + Send>(
    pods: &KubePods,
    path: String,
    selector: &str,
    ask: fn(String, Duration) -> Ask,
    until: Instant,
) -> Result<Vec<T>, ApiError> {
    let (limit, try_within) = (pods.settings.page, pods.settings.try_within);
    Pages {
        caller: &pods.caller,
        path,
        select: &[("labelSelector", selector)],
        limit,
        ask,
        try_within,
        until,
    }
    .all()
    .await
}

fn unreadable(owner: &Owner, why: &str) -> ApiError {
    let (kind, name) = (
        crate::status::clean(&owner.kind),
        crate::status::clean(&owner.name),
    );
    ApiError::Unavailable(format!("the {kind} `{name}` cannot be counted: {why}"))
}
