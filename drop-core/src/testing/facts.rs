//! What is told about a pod beyond the pod itself.

use std::collections::BTreeSet;

use falco_event::NodeName;

use super::stage::{LONG, NAME, Stage, delete, equal, failed, name};
use super::{Ran, Stopped};
use crate::facts::{self, Facts, Known, Wants};
use crate::memory::{Budget, Workload};
use crate::pod::{Owner, Pod};

/// Nothing but this.
fn only(want: impl FnOnce(&mut Wants)) -> Wants {
    let mut wants = Wants::default();
    want(&mut wants);
    wants
}

fn namespace() -> Wants {
    only(|wants| wants.namespace = true)
}

fn owner() -> Wants {
    only(|wants| wants.owner = true)
}

fn siblings() -> Wants {
    only(|wants| wants.siblings = true)
}

pub(super) async fn what_is_not_asked_is_not_answered(stage: &Stage<'_>) -> Ran {
    let pod = stage.run_one(stage.deployment()?).await?;
    let facts = stage.fixture.api().facts(pod.clone(), Wants::default()).await;
    equal("all facts", &facts, &Facts::of(pod.clone()))?;
    let facts = stage.fixture.api().facts(pod, namespace()).await;
    equal("the owner", &facts.owner, &Known::NotAsked)?;
    equal("the siblings", &facts.siblings, &Known::NotAsked)?;
    equal("the budgets", &facts.budgets, &Known::NotAsked)?;
    equal(
        "whether the host is a node",
        &facts.host_is_node,
        &Known::NotAsked,
    )
}

pub(super) async fn a_namespace_has_its_labels(stage: &Stage<'_>) -> Ran {
    let pod = stage.run_one(stage.bare()?).await?;
    let told = |facts: &Facts| facts.namespace.value().is_some();
    let facts = stage.until_facts(&pod, namespace(), told).await?;
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
    let facts = stage.until_facts(pod, owner(), told).await?;
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
    let facts = stage.fixture.api().facts(pod, owner().union(siblings())).await;
    equal("the owner", &facts.owner, &Known::Is(None))?;
    equal("the siblings", &facts.siblings, &Known::Is(None))
}

/// An owner reference is what a pod says of itself: each of these forges one, from what is really there.
pub(super) async fn an_owner_that_only_the_pod_speaks_of_owns_nothing(stage: &Stage<'_>) -> Ran {
    let pod = stage.run_one(stage.deployment()?).await?;
    let facts = stage
        .until_facts(&pod, owner(), |facts| facts.owner.value().is_some())
        .await?;
    let (Some(set), Known::Is(Some(deployment))) = (pod.controller.clone(), facts.owner) else {
        return failed("a pod of a Deployment has no controller or no owner");
    };
    let absent = || "00000000-0000-4000-8000-000000000000".to_owned();
    let forged = [
        Owner {
            uid: absent(),
            ..set.clone()
        },
        Owner {
            name: "no-such".to_owned(),
            ..set.clone()
        },
        Owner {
            kind: "StatefulSet".to_owned(),
            ..set.clone()
        },
        // The same names in a group of somebody's own.
        Owner {
            api_version: "example.org/v1".to_owned(),
            ..set.clone()
        },
        Owner {
            api_version: "example.org/v1".to_owned(),
            kind: "Widget".to_owned(),
            ..set
        },
        // It is there, and keeps no pods itself.
        deployment,
    ];
    for claimed in forged {
        let claims = Pod {
            controller: Some(claimed.clone()),
            ..pod.clone()
        };
        let facts = stage.fixture.api().facts(claims, owner().union(siblings())).await;
        let told = (facts.owner, facts.siblings);
        equal(
            &format!("owner and siblings of a pod that says {claimed:?} owns it"),
            &told,
            &(Known::Is(None), Known::Is(None)),
        )?;
    }
    Ok(())
}

pub(super) async fn siblings_are_the_ready_pods_of_the_owner(stage: &Stage<'_>) -> Ran {
    let other = stage.bare()?.label("app", "unrelated");
    let pods = stage.run(stage.deployment()?.replicas(3)).await?;
    stage.fixture.create(other).await;
    let uids: BTreeSet<_> = pods.iter().map(|pod| pod.uid.clone()).collect();
    for pod in &pods {
        stage
            .until_facts(pod, siblings(), |facts| has(facts, 3, &uids))
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
        .until_facts(stays, siblings(), |facts| has(facts, 2, &left))
        .await?;
    stage
        .until_facts(goes, siblings(), |facts| has(facts, 2, &left))
        .await
        .map(|_| ())
}

fn has(facts: &Facts, desired: u32, ready: &BTreeSet<falco_event::PodUid>) -> bool {
    let siblings = facts.siblings.value().and_then(Option::as_ref);
    siblings.is_some_and(|siblings| siblings.desired == desired && siblings.ready == *ready)
}

/// A budget about the pods with this label `app`, or about all.
fn budget(stage: &Stage<'_>, called: &str, app: Option<&str>, min_available: u32) -> Budget {
    let labels = app.map(|app| ("app".to_owned(), app.to_owned()));
    Budget {
        namespace: stage.namespace.clone(),
        name: called.to_owned(),
        selector: labels.into_iter().collect(),
        min_available,
    }
}

async fn tells_budgets(stage: &Stage<'_>, pod: &Pod, expected: &[facts::Budget]) -> Ran {
    let are = |facts: &Facts| facts.budgets.value().is_some_and(|budgets| budgets == expected);
    let wants = only(|wants| wants.budgets = true);
    stage.until_facts(pod, wants, are).await.map(|_| ())
}

fn told(name: &str, disruptions_allowed: u32) -> facts::Budget {
    facts::Budget {
        name: name.to_owned(),
        disruptions_allowed,
        spares_ready_only: true,
    }
}

pub(super) async fn the_budgets_about_a_pod_are_told(stage: &Stage<'_>) -> Ran {
    let other = Workload::pod(stage.namespace.clone(), name("other")?).label("app", "other");
    let pods = stage.run(stage.deployment()?.replicas(2)).await?;
    for pod in &pods {
        tells_budgets(stage, pod, &[]).await?;
    }
    stage.fixture.create(other).await;
    stage
        .fixture
        .budget(budget(stage, "other", Some("other"), 1))
        .await;
    stage.fixture.budget(budget(stage, "web", Some(NAME), 1)).await;
    for pod in &pods {
        tells_budgets(stage, pod, &[told("web", 1)]).await?;
    }
    stage.fixture.budget(budget(stage, "all", None, 3)).await;
    for pod in &pods {
        tells_budgets(stage, pod, &[told("all", 0), told("web", 1)]).await?;
    }
    Ok(())
}

/// An implementation that cannot tell says so; it never says what is not so.
pub(super) async fn a_node_is_known_by_its_pods(stage: &Stage<'_>) -> Ran {
    let pod = stage.run_one(stage.bare()?).await?;
    let ask = async |host: &str| {
        let host = NodeName::try_from(host).or_else(|error| failed(error.to_string()))?;
        let wants = only(|wants| wants.host = Some(host));
        Ok(stage.fixture.api().facts(pod.clone(), wants).await.host_is_node)
    };
    let Some(node) = &pod.node else {
        return failed("a running pod has no node");
    };
    let told = ask(node.as_str()).await?;
    equal("whether its node is none", &(told == Known::Is(false)), &false)?;
    let told = ask("no-node-has-this-name").await?;
    equal(
        "whether another name is a node's",
        &(told == Known::Is(true)),
        &false,
    )?;
    equal("whether it was asked", &(told == Known::NotAsked), &false)
}
