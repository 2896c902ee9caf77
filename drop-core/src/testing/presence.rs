//! Whether a pod is there.

use super::Ran;
use super::stage::{LONG, Stage, delete, equal, name, nobody};
use crate::pod::Pod;
use crate::ports::Presence;

pub(super) async fn a_pod_is_alive_then_terminating_then_gone(stage: &Stage<'_>) -> Ran {
    let pod = stage.lingering().await?;
    equal("its presence", &stage.presence(&pod).await?, &Presence::Alive)?;
    stage.make(&pod, &delete(LONG)).await?;
    equal(
        "its presence",
        &stage.presence(&pod).await?,
        &Presence::Terminating,
    )?;
    stage.make(&pod, &delete(1)).await?;
    stage.until_known_gone(&pod).await
}

pub(super) async fn a_pod_that_never_was_is_gone(stage: &Stage<'_>) -> Ran {
    let pod = stage.run_one(stage.bare()?).await?;
    let nobody = Pod {
        name: name("nobody")?,
        ..pod
    };
    equal("its presence", &stage.presence(&nobody).await?, &Presence::Gone)
}

pub(super) async fn a_pod_whose_name_is_taken_is_gone(stage: &Stage<'_>) -> Ran {
    let pod = stage.run_one(stage.bare()?).await?;
    let before = Pod {
        uid: nobody()?,
        ..pod.clone()
    };
    equal("its presence", &stage.presence(&before).await?, &Presence::Gone)?;
    equal(
        "the other's presence",
        &stage.presence(&pod).await?,
        &Presence::Alive,
    )
}
