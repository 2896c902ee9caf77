//! The controllers of a pod, from the one in its owner references to the top.

use drop_core::pod::{Owner, Pod};
use drop_core::ports::ApiError;
use falco_event::{Namespace, PodName};
use tokio::time::Instant;

use crate::request::Ask;
use crate::{KubePods, convert, wire};

/// A pod's controllers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owned {
    /// The one in the pod's owner references.
    pub(crate) direct: Owner,
    /// The one above which there is none.
    pub(crate) top: Owner,
}

/// The controllers of the pod; none where nothing owns it.
///
/// An owner reference is what the pod says of itself: where the API server has no such object with that UID, nothing
/// owns the pod. Kinds that are not Kubernetes' own are believed, because their path is not known.
pub(crate) async fn owned(pods: &KubePods, pod: &Pod, until: Instant) -> Result<Option<Owned>, ApiError> {
    let Some(direct) = pod.controller.clone() else {
        return Ok(None);
    };
    let Some(resource) = resource(&direct.kind) else {
        return Ok(Some(Owned {
            top: direct.clone(),
            direct,
        }));
    };
    let Some(path) = path(resource, &pod.namespace, &direct.name) else {
        return Ok(None);
    };
    let ask = Ask::get_metadata(path, pods.settings.try_within);
    let found: Option<wire::Object> = pods.caller.read(&ask, until).await?;
    let Some(found) = found.filter(|object| object.metadata.uid.as_deref() == Some(direct.uid.as_str()))
    else {
        return Ok(None);
    };
    let top = convert::controller(&found.metadata).unwrap_or_else(|| direct.clone());
    Ok(Some(Owned { direct, top }))
}

/// The collection of a kind of controller that Kubernetes has.
pub(crate) fn resource(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "Deployment" => "apps/v1/deployments",
        "ReplicaSet" => "apps/v1/replicasets",
        "StatefulSet" => "apps/v1/statefulsets",
        "DaemonSet" => "apps/v1/daemonsets",
        "Job" => "batch/v1/jobs",
        "CronJob" => "batch/v1/cronjobs",
        "ReplicationController" => "v1/replicationcontrollers",
        _ => return None,
    })
}

/// The path of a collection in a namespace.
pub(crate) fn collection(resource: &str, namespace: &Namespace) -> Option<String> {
    let (version, plural) = resource.rsplit_once('/')?;
    let root = if version == "v1" { "api" } else { "apis" };
    Some(format!("/{root}/{version}/namespaces/{namespace}/{plural}"))
}

/// The path of an object. The API server takes any text as the name in an owner reference; what is no object's name
/// names no object, and must not reach a path.
pub(crate) fn path(resource: &str, namespace: &Namespace, name: &str) -> Option<String> {
    let name = PodName::try_from(name).ok()?;
    Some(format!("{}/{name}", collection(resource, namespace)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_api() {
        let shop = Namespace::try_from("shop").unwrap();
        let at = |kind, name| resource(kind).and_then(|resource| path(resource, &shop, name));
        assert_eq!(
            at("ReplicaSet", "web-1").as_deref(),
            Some("/apis/apps/v1/namespaces/shop/replicasets/web-1")
        );
        assert_eq!(
            at("CronJob", "tidy").as_deref(),
            Some("/apis/batch/v1/namespaces/shop/cronjobs/tidy")
        );
        assert_eq!(
            at("ReplicationController", "old").as_deref(),
            Some("/api/v1/namespaces/shop/replicationcontrollers/old")
        );
        assert_eq!(at("Rollout", "web"), None);
    }

    #[test]
    fn an_owner_whose_name_is_no_name_has_no_path() {
        let shop = Namespace::try_from("shop").unwrap();
        for name in [
            "",
            "..",
            "../../../../v1/nodes/n1",
            "web?x=1",
            "web#",
            "we b",
            "web/scale",
            "WEB",
            "a\nb",
        ] {
            assert_eq!(path("apps/v1/replicasets", &shop, name), None, "{name:?}");
        }
    }
}
