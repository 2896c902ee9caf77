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
/// An owner reference is what an object says of itself, and who may create it can write any. It is believed where it names
/// one of Kubernetes' own controllers that keep such objects, and the API server has that controller with that UID:
/// another kind cannot be asked for, and a pod could escape by naming one whatever is counted or protected by its owner.
pub(crate) async fn owned(pods: &KubePods, pod: &Pod, until: Instant) -> Result<Option<Owned>, ApiError> {
    let Some(direct) = pod.controller.clone().filter(keeps_pods) else {
        return Ok(None);
    };
    let Some(path) = path(&direct, &pod.namespace) else {
        return Ok(None);
    };
    let ask = Ask::get_metadata(path, pods.settings.try_within);
    let found: Option<wire::Object> = pods.caller.read(&ask, until).await?;
    let Some(found) = found.filter(|object| object.metadata.uid.as_deref() == Some(direct.uid.as_str()))
    else {
        return Ok(None);
    };
    let above = convert::controller(&found.metadata);
    let top = match above {
        Some(above) if keeps(pods, &above, &direct, &pod.namespace, until).await? => above,
        Some(_) | None => direct.clone(),
    };
    Ok(Some(Owned { direct, top }))
}

/// Whether a controller really keeps the one below it. A Deployment lets go of a ReplicaSet that is not its own. A CronJob
/// lets a Job be that names it, and says which it has started.
async fn keeps(
    pods: &KubePods,
    above: &Owner,
    below: &Owner,
    namespace: &Namespace,
    until: Instant,
) -> Result<bool, ApiError> {
    let get = match (below.kind.as_str(), above.kind.as_str()) {
        ("ReplicaSet", "Deployment") => Ask::get_metadata,
        ("Job", "CronJob") => Ask::get,
        _ => return Ok(false),
    };
    let Some(path) = path(above, namespace) else {
        return Ok(false);
    };
    let ask = get(path, pods.settings.try_within);
    let found: Option<wire::Above> = pods.caller.read(&ask, until).await?;
    let is_it = |found: &wire::Above| found.metadata.uid.as_deref() == Some(above.uid.as_str());
    let started = |found: &wire::Above| {
        let active = found.status.active.as_deref().unwrap_or_default();
        active
            .iter()
            .any(|job| job.uid.as_deref() == Some(below.uid.as_str()))
    };
    Ok(found.is_some_and(|found| is_it(&found) && (above.kind != "CronJob" || started(&found))))
}

/// Kubernetes' own controllers: group, kind, and collection.
const OWN: [(&str, &str, &str); 7] = [
    ("apps", "Deployment", "apps/v1/deployments"),
    ("apps", "ReplicaSet", "apps/v1/replicasets"),
    ("apps", "StatefulSet", "apps/v1/statefulsets"),
    ("apps", "DaemonSet", "apps/v1/daemonsets"),
    ("batch", "Job", "batch/v1/jobs"),
    ("batch", "CronJob", "batch/v1/cronjobs"),
    ("", "ReplicationController", "v1/replicationcontrollers"),
];

/// The collection of one of Kubernetes' own controllers.
fn resource(owner: &Owner) -> Option<&'static str> {
    let own = OWN
        .into_iter()
        .find(|(group, kind, _)| *group == owner.group() && *kind == owner.kind);
    own.map(|(.., collection)| collection)
}

/// Whether it is one of Kubernetes' own controllers that keep pods. A Deployment and a CronJob do not themselves: a pod
/// that names one is not theirs.
pub(crate) fn keeps_pods(owner: &Owner) -> bool {
    resource(owner).is_some() && !matches!(owner.kind.as_str(), "Deployment" | "CronJob")
}

/// The path of a collection in a namespace.
pub(crate) fn collection(resource: &str, namespace: &Namespace) -> Option<String> {
    let (version, plural) = resource.rsplit_once('/')?;
    let root = if version == "v1" { "api" } else { "apis" };
    Some(format!("/{root}/{version}/namespaces/{namespace}/{plural}"))
}

/// The path of one of Kubernetes' own controllers. The API server takes any text as the name in an owner reference; what
/// is no object's name names no object, and must not reach a path.
pub(crate) fn path(owner: &Owner, namespace: &Namespace) -> Option<String> {
    let name = PodName::try_from(owner.name.as_str()).ok()?;
    Some(format!("{}/{name}", collection(resource(owner)?, namespace)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(api_version: &str, kind: &str, name: &str) -> Owner {
        Owner {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            name: name.to_owned(),
            uid: "u".to_owned(),
        }
    }

    fn at(owner: &Owner) -> Option<String> {
        path(owner, &Namespace::try_from("shop").unwrap())
    }

    #[test]
    fn paths_are_those_of_the_api() {
        let own = |api_version, kind| at(&owner(api_version, kind, "a")).unwrap_or_default();
        assert_eq!(
            own("apps/v1", "ReplicaSet"),
            "/apis/apps/v1/namespaces/shop/replicasets/a"
        );
        // As an older object may still say.
        assert_eq!(
            own("batch/v1beta1", "CronJob"),
            "/apis/batch/v1/namespaces/shop/cronjobs/a"
        );
        assert_eq!(
            own("v1", "ReplicationController"),
            "/api/v1/namespaces/shop/replicationcontrollers/a"
        );
    }

    #[test]
    fn a_kind_of_another_group_is_none_of_kubernetes_own() {
        for (api_version, kind) in [
            ("argoproj.io/v1alpha1", "Rollout"),
            ("example.org/v1", "Deployment"),
            ("v1", "ReplicaSet"),
            ("apps/v1", "Job"),
            ("", "StatefulSet"),
            ("v1", "Node"),
        ] {
            let other = owner(api_version, kind, "a");
            assert!(at(&other).is_none() && !keeps_pods(&other), "{other:?}");
        }
        assert!(!keeps_pods(&owner("apps/v1", "Deployment", "a")));
        assert!(keeps_pods(&owner("apps/v1", "DaemonSet", "a")));
    }

    #[test]
    fn an_owner_whose_name_is_no_name_has_no_path() {
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
            assert_eq!(at(&owner("apps/v1", "ReplicaSet", name)), None, "{name:?}");
        }
    }
}
