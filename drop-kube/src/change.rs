//! Changes to one pod, each pinned to its UID in the request itself.

use std::collections::BTreeMap;

use drop_core::ports::{ApiError, ApplyError, Change, Presence, Target};
use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;

use crate::caller::Failed;
use crate::request::{self, Ask};
use crate::{KubePods, convert, wire};

/// Makes the change. No request leaves after `until`.
pub(crate) async fn apply(
    pods: &KubePods,
    target: &Target,
    change: &Change,
    until: Instant,
) -> Result<(), ApplyError> {
    let ask = match change {
        Change::Delete { grace_period_seconds } => delete(pods, target, *grace_period_seconds),
        Change::Evict { grace_period_seconds } => {
            still_there(pods, target, until).await.map_err(not_happened)?;
            evict(pods, target, *grace_period_seconds)
        }
        Change::Label(labels) => patch(pods, target, "labels", labels),
        Change::Annotate(annotations) => patch(pods, target, "annotations", annotations),
        _ => {
            return Err(not_happened(ApiError::Invalid(
                "this change is not known to drop-kube".into(),
            )));
        }
    };
    pods.caller
        .change(&ask, until)
        .await
        .map_err(|Failed { why, maybe_happened }| ApplyError { why, maybe_happened })
}

/// Whether the pod with the target's UID is there.
pub(crate) async fn presence(pods: &KubePods, target: &Target, until: Instant) -> Result<Presence, ApiError> {
    Ok(match metadata(pods, target, until).await? {
        Some(found) if !is_target(&found, target) => Presence::Gone,
        Some(found) if found.metadata.deletion_timestamp.is_some() => Presence::Terminating,
        Some(_) => Presence::Alive,
        None => Presence::Gone,
    })
}

/// An eviction with a wrong UID is refused only after it has used up the budget of the pod that took the name, so
/// the UID is read before; the precondition stays for what happens in between.
async fn still_there(pods: &KubePods, target: &Target, until: Instant) -> Result<(), ApiError> {
    match metadata(pods, target, until).await? {
        Some(found) if is_target(&found, target) => Ok(()),
        Some(_) => Err(ApiError::Conflict("another pod has this name now".into())),
        None => Err(ApiError::NotFound),
    }
}

async fn metadata(
    pods: &KubePods,
    target: &Target,
    until: Instant,
) -> Result<Option<wire::Object>, ApiError> {
    let path = request::pod(&target.namespace, &target.name);
    let found: Option<wire::Object> = pods
        .caller
        .read(&Ask::get_metadata(path, pods.settings.try_within), until)
        .await?;
    match &found {
        Some(object) if convert::uid(&object.metadata).is_none() => Err(ApiError::Unavailable(
            "the API server sent a pod without a valid metadata.uid".into(),
        )),
        _ => Ok(found),
    }
}

fn is_target(found: &wire::Object, target: &Target) -> bool {
    convert::uid(&found.metadata).as_ref() == Some(&target.uid)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeleteOptions<'a> {
    api_version: &'static str,
    kind: &'static str,
    grace_period_seconds: u32,
    propagation_policy: &'static str,
    preconditions: Preconditions<'a>,
}

#[derive(Serialize)]
struct Preconditions<'a> {
    uid: &'a str,
}

fn options(target: &Target, grace_period_seconds: u32) -> DeleteOptions<'_> {
    DeleteOptions {
        api_version: "v1",
        kind: "DeleteOptions",
        grace_period_seconds,
        propagation_policy: "Background",
        preconditions: Preconditions {
            uid: target.uid.as_str(),
        },
    }
}

fn delete(pods: &KubePods, target: &Target, grace_period_seconds: u32) -> Ask {
    let path = request::pod(&target.namespace, &target.name);
    Ask::delete(
        path,
        &options(target, grace_period_seconds),
        pods.settings.try_within,
    )
}

/// `deleteOptions`, spelled as the API has it: kube 5.0.0 spells it `delete_options`, which evicts unpinned.
fn evict(pods: &KubePods, target: &Target, grace_period_seconds: u32) -> Ask {
    let path = format!("{}/eviction", request::pod(&target.namespace, &target.name));
    let eviction = json!({
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": { "namespace": target.namespace.as_str(), "name": target.name.as_str() },
        "deleteOptions": options(target, grace_period_seconds),
    });
    Ask::post(path, &eviction, pods.settings.try_within)
}

/// A merge patch that names the UID changes nothing on a pod that has another: 422, told apart by its cause.
fn patch(pods: &KubePods, target: &Target, what: &str, pairs: &BTreeMap<String, Option<String>>) -> Ask {
    let patch = json!({ "metadata": { "uid": target.uid.as_str(), what: pairs } });
    Ask::merge_patch(
        request::pod(&target.namespace, &target.name),
        &patch,
        pods.settings.try_within,
    )
}

fn not_happened(why: ApiError) -> ApplyError {
    ApplyError {
        why,
        maybe_happened: false,
    }
}
