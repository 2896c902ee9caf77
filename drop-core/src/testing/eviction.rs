//! What an eviction does.

use super::Ran;
use super::stage::{NAME, Stage, conflict, equal, name, nobody, refused};
use crate::memory::Budget;
use crate::pod::Pod;
use crate::ports::{ApiError, Change, Presence};

fn evict(grace_period_seconds: u32) -> Change {
    Change::Evict { grace_period_seconds }
}

pub(super) async fn an_evicted_pod_terminates_and_goes(stage: &Stage<'_>) -> Ran {
    let pod = stage.lingering().await?;
    stage.make(&pod, &evict(2)).await?;
    let grace = stage
        .now(&pod)
        .await
        .and_then(|now| now.deletion)
        .map(|deletion| deletion.grace_seconds);
    equal("its grace in seconds", &grace, &Some(2))?;
    equal(
        "its presence",
        &stage.presence(&pod).await?,
        &Presence::Terminating,
    )?;
    stage.until_gone(&pod).await
}

pub(super) async fn a_budget_with_nothing_left_refuses(stage: &Stage<'_>) -> Ran {
    let pods = stage.run(stage.deployment()?.replicas(2)).await?;
    let selector = [("app".to_owned(), NAME.to_owned())].into();
    let budget = Budget {
        namespace: stage.namespace.clone(),
        name: NAME.to_owned(),
        selector,
        min_available: 2,
    };
    stage.fixture.budget(budget).await;
    for pod in &pods {
        refused(
            "an eviction",
            stage.apply(pod, &evict(1)).await,
            &ApiError::Budget(String::new()),
        )?;
        stage.is_untouched(pod).await?;
        equal("its presence", &stage.presence(pod).await?, &Presence::Alive)?;
    }
    Ok(())
}

pub(super) async fn an_eviction_of_another_uid_is_a_conflict(stage: &Stage<'_>) -> Ran {
    let pod = stage.run_one(stage.bare()?).await?;
    let other = Pod {
        uid: nobody()?,
        ..pod.clone()
    };
    refused(
        "an eviction of another UID",
        stage.apply(&other, &evict(1)).await,
        &conflict(),
    )?;
    stage.is_untouched(&pod).await
}

pub(super) async fn an_eviction_of_no_pod_is_not_found(stage: &Stage<'_>) -> Ran {
    let pod = stage.run_one(stage.bare()?).await?;
    let nobody = Pod {
        name: name("nobody")?,
        ..pod.clone()
    };
    refused(
        "an eviction of no pod",
        stage.apply(&nobody, &evict(1)).await,
        &ApiError::NotFound,
    )?;
    stage.is_untouched(&pod).await
}
