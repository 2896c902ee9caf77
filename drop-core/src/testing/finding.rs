//! How pods are found.

use falco_event::{ContainerId, Namespace, NodeName};

use super::stage::{LONG, NAME, Stage, delete, equal, failed, name, nobody};
use super::{Ran, Stopped};
use crate::pod::{Phase, Pod};
use crate::ports::By;

/// The one pod found, which has to be this one.
async fn finds(stage: &Stage<'_>, by: &By, pod: &Pod) -> Result<Pod, Stopped> {
    match stage.find(by).await?.as_slice() {
        [found] if found.uid == pod.uid => Ok(found.clone()),
        found => failed(format!("{by:?} finds {found:?}, expected `{}`", pod.name)),
    }
}

fn container(pod: &Pod) -> Result<ContainerId, Stopped> {
    match pod.containers.first() {
        Some(container) => Ok(container.id.clone()),
        None => failed("a running pod has no container"),
    }
}

fn short(id: &ContainerId) -> Result<ContainerId, Stopped> {
    ContainerId::try_from(id.short()).or_else(|error| failed(error.to_string()))
}

pub(super) async fn a_pod_is_found_by_its_name(stage: &Stage<'_>) -> Ran {
    let pod = stage.run_one(stage.deployment()?).await?;
    finds(stage, &By::Name(pod.namespace.clone(), pod.name.clone()), &pod)
        .await
        .map(|_| ())
}

pub(super) async fn a_pod_is_found_by_its_uid(stage: &Stage<'_>) -> Ran {
    let pods = stage.run(stage.deployment()?.replicas(2)).await?;
    for pod in &pods {
        finds(stage, &By::Uid(pod.uid.clone()), pod).await?;
    }
    Ok(())
}

pub(super) async fn a_pod_is_found_by_its_container(stage: &Stage<'_>) -> Ran {
    let pods = stage.run(stage.deployment()?.replicas(2)).await?;
    for pod in &pods {
        finds(stage, &By::container(container(pod)?), pod).await?;
    }
    Ok(())
}

pub(super) async fn a_pod_is_found_by_twelve_digits_of_its_container(stage: &Stage<'_>) -> Ran {
    let pod = stage.run_one(stage.bare()?).await?;
    finds(stage, &By::container(short(&container(&pod)?)?), &pod)
        .await
        .map(|_| ())
}

pub(super) async fn a_pod_is_found_by_a_previous_container(stage: &Stage<'_>) -> Ran {
    let pod = stage.run_one(stage.bare()?).await?;
    let before = container(&pod)?;
    if !stage.fixture.restart_container(&pod, NAME).await {
        return Err(Stopped::CannotMake("restart a container"));
    }
    let restarted = |pod: &Pod| {
        pod.containers
            .iter()
            .any(|container| container.ended.is_none() && container.id != before)
    };
    let pod = stage.until(&pod, "runs a new container", restarted).await?;
    let both = |found: &[Pod]| found.iter().any(|found| found.containers == pod.containers);
    stage
        .until_found(&By::Uid(pod.uid.clone()), "both instances", both)
        .await?;
    for id in pod.containers.iter().map(|container| container.id.clone()) {
        finds(stage, &By::container(id), &pod).await?;
    }
    let found = finds(stage, &By::container(short(&before)?), &pod).await?;
    let ended = found
        .containers
        .iter()
        .find(|container| container.id == before)
        .map(|c| c.ended.is_some());
    equal("whether the previous instance has its end", &ended, &Some(true))
}

pub(super) async fn a_node_that_is_not_its_own_does_not_hide_a_pod(stage: &Stage<'_>) -> Ran {
    let pod = stage.run_one(stage.bare()?).await?;
    let other = NodeName::try_from("no-node-has-this-name").or_else(|error| failed(error.to_string()))?;
    for on in [pod.node.clone(), Some(other)] {
        let id = container(&pod)?;
        finds(stage, &By::Container { id, on }, &pod).await?;
    }
    Ok(())
}

pub(super) async fn a_pod_is_found_with_what_is_read_of_it(stage: &Stage<'_>) -> Ran {
    let workload = stage
        .deployment()?
        .label("tier", "front")
        .annotation("example.org/note", "two words");
    let pod = stage.run_one(workload).await?;
    let found = finds(stage, &By::Uid(pod.uid.clone()), &pod).await?;
    equal(
        "its name",
        &(&found.namespace, &found.name),
        &(&pod.namespace, &pod.name),
    )?;
    equal(
        "label `tier`",
        &found.labels.get("tier").map(String::as_str),
        &Some("front"),
    )?;
    let note = found.annotations.get("example.org/note").map(String::as_str);
    equal("annotation `example.org/note`", &note, &Some("two words"))?;
    equal("its phase", &found.phase, &Phase::Running)?;
    equal("whether it is ready", &found.ready, &pod.ready)?;
    equal("its node", &found.node, &pod.node)?;
    equal("whether it has a node", &found.node.is_some(), &true)?;
    equal("its creation", &found.created, &pod.created)?;
    equal(
        "the fraction of its creation",
        &found.created.subsec_nanosecond(),
        &0,
    )?;
    equal("its deletion", &found.deletion, &None)?;
    equal("its containers", &found.containers, &pod.containers)?;
    equal(
        "its service account",
        &found.service_account.as_deref(),
        &Some("default"),
    )?;
    equal("whether it is a mirror", &found.mirror, &false)
}

pub(super) async fn nothing_is_found_by_an_unknown_mark(stage: &Stage<'_>) -> Ran {
    let pod = stage.run_one(stage.bare()?).await?;
    let id = ContainerId::try_from("000000000000").or_else(|error| failed(error.to_string()))?;
    let elsewhere = Namespace::try_from("conformance-nowhere").or_else(|error| failed(error.to_string()))?;
    for by in [
        By::container(id),
        By::Uid(nobody()?),
        By::Name(pod.namespace.clone(), name("nobody")?),
        By::Name(elsewhere, pod.name.clone()),
    ] {
        equal(
            &format!("what {by:?} finds"),
            &stage.find(&by).await?,
            &Vec::new(),
        )?;
    }
    Ok(())
}

pub(super) async fn a_terminating_pod_is_found(stage: &Stage<'_>) -> Ran {
    let pod = stage.terminating().await?;
    let id = container(&pod)?;
    for by in [
        By::container(id),
        By::Uid(pod.uid.clone()),
        By::Name(pod.namespace.clone(), pod.name.clone()),
    ] {
        let terminating = |found: &[Pod]| found.iter().any(|found| found.deletion.is_some());
        stage.until_found(&by, "a terminating pod", terminating).await?;
        let found = finds(stage, &by, &pod).await?;
        equal(
            "its grace in seconds",
            &found.deletion.map(|deletion| deletion.grace_seconds),
            &Some(LONG),
        )?;
        equal("its deletion", &found.deletion, &pod.deletion)?;
    }
    Ok(())
}

pub(super) async fn a_pod_that_is_gone_is_not_found(stage: &Stage<'_>) -> Ran {
    let pod = stage.run_one(stage.bare()?).await?;
    stage.make(&pod, &delete(1)).await?;
    stage.until_gone(&pod).await?;
    for by in [
        By::container(container(&pod)?),
        By::Uid(pod.uid.clone()),
        By::Name(pod.namespace.clone(), pod.name.clone()),
    ] {
        stage.until_found(&by, "nothing", <[Pod]>::is_empty).await?;
    }
    Ok(())
}
