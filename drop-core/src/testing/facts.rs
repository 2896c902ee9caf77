//! What is told about a pod beyond the pod itself.

use std::collections::BTreeSet;

use super::stage::{LONG, NAME, Stage, delete, equal, failed};
use super::{Ran, Stopped};
use crate::facts::{Facts, Known, Wants};
use crate::pod::Pod;

const NOTHING: Wants = Wants {
    namespace: false,
    owner: false,
    siblings: false,
};
const NAMESPACE: Wants = Wants {
    namespace: true,
    ..NOTHING
};
const OWNER: Wants = Wants {
    owner: true,
    ..NOTHING
};
const SIBLINGS: Wants = Wants {
    siblings: true,
    ..NOTHING
};

pub(super) async fn what_is_not_asked_is_not_answered(stage: &Stage<'_>) -> Ran {
    let pod = stage.run_one(stage.deployment()?).await?;
    let facts = stage.fixture.api().facts(pod.clone(), NOTHING).await;
    equal("all facts", &facts, &Facts::of(pod.clone()))?;
    let facts = stage.fixture.api().facts(pod, NAMESPACE).await;
    equal("the owner", &facts.owner, &Known::NotAsked)?;
    equal("the siblings", &facts.siblings, &Known::NotAsked)
}

pub(super) async fn a_namespace_has_its_labels(stage: &Stage<'_>) -> Ran {
    let pod = stage.run_one(stage.bare()?).await?;
    let told = |facts: &Facts| facts.namespace.value().is_some();
    let facts = stage.until_facts(&pod, NAMESPACE, told).await?;
    let labels = facts.namespace.value().cloned().unwrap_or_default();
    equal(
        "its own label",
        &labels.get("falco-drop.dev/suite").map(String::as_str),
        &Some("conformance"),
    )?;
    let named = labels.get("kubernetes.io/metadata.name").map(String::as_str);
    equal("the label with its name", &named, &Some(stage.namespace.as_str()))
}

/// The kind of the pod's controller, and kind and name of the owner at the top.
async fn owners(stage: &Stage<'_>, pod: &Pod) -> Result<(String, String, String), Stopped> {
    let told = |facts: &Facts| facts.owner.value().is_some();
    let facts = stage.until_facts(pod, OWNER, told).await?;
    let controller = pod.controller.as_ref().map(|controller| controller.kind.clone());
    match (controller, facts.owner) {
        (Some(controller), Known::Is(Some(top))) => Ok((controller, top.kind, top.name)),
        (controller, owner) => failed(format!(
            "controller is {controller:?} and owner {owner:?}, expected both"
        )),
    }
}

pub(super) async fn the_owner_of_a_replica_set_is_its_deployment(stage: &Stage<'_>) -> Ran {
    let pod = stage.run_one(stage.deployment()?).await?;
    let expected = ("ReplicaSet".to_owned(), "Deployment".to_owned(), NAME.to_owned());
    equal("controller and owner", &owners(stage, &pod).await?, &expected)
}

pub(super) async fn a_stateful_set_is_its_own_top(stage: &Stage<'_>) -> Ran {
    let pod = stage.run_one(stage.stateful_set()?).await?;
    let expected = (
        "StatefulSet".to_owned(),
        "StatefulSet".to_owned(),
        NAME.to_owned(),
    );
    equal("controller and owner", &owners(stage, &pod).await?, &expected)
}

pub(super) async fn nothing_owns_a_bare_pod(stage: &Stage<'_>) -> Ran {
    let pod = stage.run_one(stage.bare()?).await?;
    let facts = stage.fixture.api().facts(pod, OWNER.union(SIBLINGS)).await;
    equal("the owner", &facts.owner, &Known::Is(None))?;
    equal("the siblings", &facts.siblings, &Known::Is(None))
}

pub(super) async fn siblings_are_the_ready_pods_of_the_owner(stage: &Stage<'_>) -> Ran {
    let other = stage.bare()?.label("app", "unrelated");
    let pods = stage.run(stage.deployment()?.replicas(3)).await?;
    stage.fixture.create(other).await;
    let uids: BTreeSet<_> = pods.iter().map(|pod| pod.uid.clone()).collect();
    for pod in &pods {
        stage
            .until_facts(pod, SIBLINGS, |facts| has(facts, 3, &uids))
            .await?;
    }
    Ok(())
}

pub(super) async fn a_terminating_pod_is_no_ready_sibling(stage: &Stage<'_>) -> Ran {
    let pods = stage
        .run(stage.stateful_set()?.replicas(2).ignores_sigterm())
        .await?;
    let [stays, goes] = pods.as_slice() else {
        return failed("a StatefulSet of two has no two pods");
    };
    stage.make(goes, &delete(LONG)).await?;
    let left = BTreeSet::from([stays.uid.clone()]);
    stage
        .until_facts(stays, SIBLINGS, |facts| has(facts, 2, &left))
        .await?;
    stage
        .until_facts(goes, SIBLINGS, |facts| has(facts, 2, &left))
        .await
        .map(|_| ())
}

fn has(facts: &Facts, desired: u32, ready: &BTreeSet<falco_event::PodUid>) -> bool {
    let siblings = facts.siblings.value().and_then(Option::as_ref);
    siblings.is_some_and(|siblings| siblings.desired == desired && siblings.ready == *ready)
}
