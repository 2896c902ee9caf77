//! What a delete does.

use std::time::Duration;

use super::Ran;
use super::stage::{LONG, Stage, conflict, delete, equal, failed, name, nobody, refused};
use crate::pod::Pod;
use crate::ports::{ApiError, Presence, Target};

pub(super) async fn a_delete_makes_a_pod_terminate_and_go(stage: &Stage<'_>) -> Ran {
    let pod = stage.lingering().await?;
    stage.make(&pod, &delete(2)).await?;
    let Some(now) = stage.now(&pod).await else {
        return failed("the pod is gone before its grace has passed");
    };
    equal(
        "its grace in seconds",
        &now.deletion.map(|deletion| deletion.grace_seconds),
        &Some(2),
    )?;
    equal(
        "its presence",
        &stage.presence(&pod).await?,
        &Presence::Terminating,
    )?;
    stage.until_known_gone(&pod).await
}

pub(super) async fn a_delete_of_another_uid_is_a_conflict(stage: &Stage<'_>) -> Ran {
    let pod = stage.run_one(stage.bare()?).await?;
    let other = Pod {
        uid: nobody()?,
        ..pod.clone()
    };
    for grace in [0, 1, LONG] {
        refused(
            "a delete of another UID",
            stage.apply(&other, &delete(grace)).await,
            &conflict(),
        )?;
    }
    stage.is_untouched(&pod).await
}

pub(super) async fn a_delete_of_no_pod_is_not_found(stage: &Stage<'_>) -> Ran {
    let pod = stage.run_one(stage.bare()?).await?;
    let nobody = Pod {
        name: name("nobody")?,
        ..pod.clone()
    };
    refused(
        "a delete of no pod",
        stage.apply(&nobody, &delete(1)).await,
        &ApiError::NotFound,
    )?;
    stage.is_untouched(&pod).await?;
    stage.make(&pod, &delete(1)).await?;
    stage.until_gone(&pod).await?;
    refused(
        "a delete of a pod that is gone",
        stage.apply(&pod, &delete(1)).await,
        &ApiError::NotFound,
    )
}

pub(super) async fn a_terminating_pod_can_be_deleted_again(stage: &Stage<'_>) -> Ran {
    let pod = stage.terminating().await?;
    stage.make(&pod, &delete(LONG)).await?;
    stage.is_untouched(&pod).await
}

pub(super) async fn a_longer_grace_changes_nothing(stage: &Stage<'_>) -> Ran {
    let pod = stage.terminating().await?;
    stage.make(&pod, &delete(LONG + 60)).await?;
    stage.is_untouched(&pod).await
}

pub(super) async fn a_shorter_grace_shortens(stage: &Stage<'_>) -> Ran {
    let pod = stage.terminating().await?;
    stage.make(&pod, &delete(LONG - 60)).await?;
    let Some(now) = stage.now(&pod).await else {
        return failed("the pod is gone");
    };
    equal(
        "its grace in seconds",
        &now.deletion.map(|deletion| deletion.grace_seconds),
        &Some(LONG - 60),
    )?;
    let (before, after) = (
        pod.deletion.map(|deletion| deletion.at),
        now.deletion.map(|deletion| deletion.at),
    );
    equal("whether it ends sooner", &(after < before), &true)?;
    stage.make(&pod, &delete(1)).await?;
    stage.until_gone(&pod).await
}

pub(super) async fn grace_zero_removes_at_once(stage: &Stage<'_>) -> Ran {
    let pod = stage.lingering().await?;
    stage.make(&pod, &delete(0)).await?;
    equal("its presence", &stage.presence(&pod).await?, &Presence::Gone)?;
    equal("whether it is there", &stage.now(&pod).await.is_some(), &false)
}

/// Deletes a pod, waits for the next one of its workload, and deletes the old one once more.
async fn replaced(stage: &Stage<'_>, old: &Pod, late: &ApiError) -> Ran {
    stage.make(old, &delete(1)).await?;
    stage.until_known_gone(old).await?;
    let next = |pods: &[Pod]| {
        pods.iter()
            .find(|pod| pod.uid != old.uid && !pod.containers.is_empty())
            .cloned()
    };
    let new = stage.until_pods("the pod is replaced", next).await?;
    refused("a late delete", stage.apply(old, &delete(0)).await, late)?;
    stage.is_untouched(&new).await?;
    equal(
        "the old pod's presence",
        &stage.presence(old).await?,
        &Presence::Gone,
    )?;
    equal(
        "the new pod's presence",
        &stage.presence(&new).await?,
        &Presence::Alive,
    )
}

pub(super) async fn a_late_delete_does_not_hit_the_replacement(stage: &Stage<'_>) -> Ran {
    let pod = stage.run_one(stage.deployment()?).await?;
    replaced(stage, &pod, &ApiError::NotFound).await
}

pub(super) async fn a_late_delete_does_not_hit_the_next_of_the_name(stage: &Stage<'_>) -> Ran {
    let pod = stage.run_one(stage.stateful_set()?).await?;
    replaced(stage, &pod, &conflict()).await
}

pub(super) async fn no_time_left_sends_nothing(stage: &Stage<'_>) -> Ran {
    let pod = stage.run_one(stage.bare()?).await?;
    let done = stage
        .fixture
        .api()
        .apply(&Target::of(&pod), &delete(1), Duration::ZERO)
        .await;
    refused("a delete without time", done, &ApiError::TimedOut(String::new()))?;
    stage.is_untouched(&pod).await
}
