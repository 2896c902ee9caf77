//! Facts about a pod that other objects hold: its namespace's labels, its owner, its siblings, its budgets.

use std::collections::BTreeMap;

use drop_core::facts::{Facts, Known, Wants};
use drop_core::pod::Pod;
use drop_core::ports::ApiError;
use falco_event::Namespace;
use tokio::time::Instant;

use crate::request::{self, Ask};
use crate::{KubePods, budgets, siblings, wire, workload};

/// Reads what is wanted, and nothing else, all before the deadline of a question.
pub(crate) async fn facts(pods: &KubePods, pod: Pod, wants: Wants) -> Facts {
    let until = pods.read_until();
    let (namespace, (owner, siblings), budgets) = tokio::join!(
        async {
            if !wants.namespace {
                return Known::NotAsked;
            }
            known(namespace_labels(pods, &pod.namespace, until).await)
        },
        of_owner(pods, &pod, &wants, until),
        async {
            if !wants.budgets {
                return Known::NotAsked;
            }
            known(budgets::budgets(pods, &pod, until).await)
        },
    );
    Facts {
        namespace,
        owner,
        siblings,
        budgets,
        host_is_node: host(pods, &wants),
        ..Facts::of(pod)
    }
}

/// Told by the index alone: it is worth no request.
fn host(pods: &KubePods, wants: &Wants) -> Known<bool> {
    match (&wants.host, &pods.index) {
        (None, _) => Known::NotAsked,
        (Some(host), Some(index)) => index.has_node(host),
        (Some(_), None) => Known::Unknown("no index of pods is kept".to_owned()),
    }
}

async fn of_owner(
    pods: &KubePods,
    pod: &Pod,
    wants: &Wants,
    until: Instant,
) -> (
    Known<Option<drop_core::pod::Owner>>,
    Known<Option<drop_core::facts::Siblings>>,
) {
    if !wants.owner && !wants.siblings {
        return (Known::NotAsked, Known::NotAsked);
    }
    let owned = workload::owned(pods, pod, until).await;
    let siblings = match &owned {
        _ if !wants.siblings => Known::NotAsked,
        Ok(Some(owned)) => known(
            siblings::siblings(pods, &pod.namespace, owned, until)
                .await
                .map(Some),
        ),
        Ok(None) => Known::Is(None),
        Err(why) => Known::Unknown(why.to_string()),
    };
    let owner = if wants.owner {
        known(owned.map(|owned| owned.map(|owned| owned.top)))
    } else {
        Known::NotAsked
    };
    (owner, siblings)
}

/// The labels of a namespace; one that is not there any more has none.
async fn namespace_labels(
    pods: &KubePods,
    namespace: &Namespace,
    until: Instant,
) -> Result<BTreeMap<String, String>, ApiError> {
    let ask = Ask::get_metadata(request::namespace(namespace), pods.settings.try_within);
    let found: Option<wire::Object> = pods.caller.read(&ask, until).await?;
    Ok(found
        .and_then(|object| object.metadata.labels)
        .unwrap_or_default())
}

fn known<T>(read: Result<T, ApiError>) -> Known<T> {
    match read {
        Ok(value) => Known::Is(value),
        Err(why) => Known::Unknown(why.to_string()),
    }
}
