//! What is told when requests fail. Each case heals the fixture before it looks at the cluster.

use super::stage::{LONG, NAME, Stage, delete, edit, equal, failed, refused};
use super::{Ran, Stopped};
use crate::facts::{Known, Wants};
use crate::memory::{Call, Fault};
use crate::ports::{ApiError, By, Change, Presence, Target};

const CANNOT: Stopped = Stopped::CannotMake("make requests fail");

/// One change of each verb.
fn changes() -> [Change; 4] {
    [
        delete(LONG),
        Change::Evict {
            grace_period_seconds: LONG,
        },
        Change::Label(edit("mark", Some(NAME))),
        Change::Annotate(edit("mark", Some(NAME))),
    ]
}

fn answers() -> [ApiError; 5] {
    let why = "made to fail".to_owned();
    [
        ApiError::Forbidden(why.clone()),
        ApiError::Conflict(why.clone()),
        ApiError::Invalid(why.clone()),
        ApiError::TooManyRequests(why.clone()),
        ApiError::Unavailable(why),
    ]
}

pub(super) async fn an_error_is_told_and_changes_nothing(stage: &Stage<'_>) -> Ran {
    let pod = stage.lingering().await?;
    for change in changes() {
        for answer in answers() {
            if !stage
                .fixture
                .fail(Call::of(&change), Fault::Answer(answer.clone()))
                .await
            {
                return Err(CANNOT);
            }
            let told = stage.apply(&pod, &change).await;
            stage.fixture.heal().await;
            // After a 5xx nobody can say whether the request was carried out.
            match told {
                Err(error) if matches!(answer, ApiError::Unavailable(_)) => {
                    equal(
                        "the reason",
                        &matches!(error.why, ApiError::Unavailable(_)),
                        &true,
                    )?;
                }
                told => refused(&format!("{change:?}"), told, &answer)?,
            }
            stage.is_untouched(&pod).await?;
        }
    }
    Ok(())
}

pub(super) async fn a_lost_answer_may_have_happened(stage: &Stage<'_>) -> Ran {
    let pod = stage.lingering().await?;
    if !stage.fixture.fail(Call::Delete, Fault::AnswerLost).await {
        return Err(CANNOT);
    }
    let told = stage.apply(&pod, &delete(LONG)).await;
    stage.fixture.heal().await;
    match told {
        Ok(()) => return failed("a delete succeeded whose answer was lost"),
        Err(error) => {
            equal("`maybe_happened`", &error.maybe_happened, &true)?;
            equal("whether it may be tried again", &error.why.is_retryable(), &true)?;
        }
    }
    equal(
        "its presence",
        &stage.presence(&pod).await?,
        &Presence::Terminating,
    )
}

pub(super) async fn a_request_that_was_not_sent_did_not_happen(stage: &Stage<'_>) -> Ran {
    let pod = stage.lingering().await?;
    if !stage.fixture.fail(Call::Delete, Fault::NeverSent).await {
        return Err(Stopped::CannotMake("keep requests from being sent"));
    }
    let told = stage.apply(&pod, &delete(LONG)).await;
    stage.fixture.heal().await;
    match told {
        Ok(()) => return failed("a delete succeeded that was not sent"),
        Err(error) => {
            equal("`maybe_happened`", &error.maybe_happened, &false)?;
            equal("whether it may be tried again", &error.why.is_retryable(), &true)?;
        }
    }
    stage.is_untouched(&pod).await
}

pub(super) async fn a_find_that_fails_says_why(stage: &Stage<'_>) -> Ran {
    let pod = stage.run_one(stage.bare()?).await?;
    let answer = ApiError::Forbidden("made to fail".to_owned());
    if !stage.fixture.fail(Call::Find, Fault::Answer(answer)).await {
        return Err(CANNOT);
    }
    let told = stage
        .fixture
        .api()
        .find(&By::Name(pod.namespace.clone(), pod.name.clone()))
        .await;
    stage.fixture.heal().await;
    match told {
        Err(ApiError::Forbidden(_)) => Ok(()),
        told => failed(format!("finding tells {told:?}, expected that it is forbidden")),
    }
}

pub(super) async fn a_fact_that_cannot_be_read_is_unknown(stage: &Stage<'_>) -> Ran {
    let pod = stage.run_one(stage.deployment()?).await?;
    let wants = Wants {
        namespace: true,
        owner: true,
        siblings: true,
        budgets: true,
        host: None,
    };
    for call in [Call::Namespace, Call::Owner, Call::Siblings, Call::Budgets] {
        if !stage
            .fixture
            .fail(
                call,
                Fault::Answer(ApiError::Unavailable("made to fail".to_owned())),
            )
            .await
        {
            return Err(CANNOT);
        }
        let facts = stage.fixture.api().facts(pod.clone(), wants.clone()).await;
        stage.fixture.heal().await;
        let unknown = match call {
            Call::Namespace => matches!(facts.namespace, Known::Unknown(_)),
            Call::Owner => matches!(facts.owner, Known::Unknown(_)),
            Call::Siblings => matches!(facts.siblings, Known::Unknown(_)),
            Call::Budgets => matches!(facts.budgets, Known::Unknown(_)),
            Call::Find | Call::Delete | Call::Evict | Call::Patch | Call::Presence => false,
        };
        equal(&format!("whether {call:?} is unknown"), &unknown, &true)?;
    }
    Ok(())
}

pub(super) async fn a_presence_that_cannot_be_told_is_an_error(stage: &Stage<'_>) -> Ran {
    let pod = stage.run_one(stage.bare()?).await?;
    if !stage
        .fixture
        .fail(
            Call::Presence,
            Fault::Answer(ApiError::Unavailable("made to fail".to_owned())),
        )
        .await
    {
        return Err(CANNOT);
    }
    let told = stage.fixture.api().presence(&Target::of(&pod)).await;
    stage.fixture.heal().await;
    match told {
        Err(ApiError::Unavailable(_)) => Ok(()),
        told => failed(format!(
            "presence tells {told:?}, expected that it is unavailable"
        )),
    }
}
