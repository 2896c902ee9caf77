//! What changes of labels and annotations do.

use super::Ran;
use super::stage::{NAME, Stage, conflict, edit, equal, failed, name, nobody, refused};
use crate::pod::Pod;
use crate::ports::{ApiError, Change};

const KEY: &str = "falco-drop.dev/mark";

fn label(key: &str, value: Option<&str>) -> Change {
    Change::Label(edit(key, value))
}

fn annotate(key: &str, value: Option<&str>) -> Change {
    Change::Annotate(edit(key, value))
}

pub(super) async fn labels_are_set_and_removed(stage: &Stage<'_>) -> Ran {
    let pod = stage.run_one(stage.bare()?).await?;
    let mut expected = pod.labels.clone();
    expected.insert(KEY.to_owned(), "hit".to_owned());
    stage.make(&pod, &label(KEY, Some("hit"))).await?;
    stage
        .until(&pod, "has the label and its own", |now| now.labels == expected)
        .await?;
    stage.make(&pod, &label(KEY, Some("hit"))).await?;
    stage.make(&pod, &label(KEY, None)).await?;
    stage
        .until(&pod, "has only its own labels", |now| now.labels == pod.labels)
        .await?;
    stage.make(&pod, &label(KEY, None)).await
}

pub(super) async fn annotations_are_set_and_removed(stage: &Stage<'_>) -> Ran {
    let pod = stage
        .run_one(stage.bare()?.annotation("example.org/note", "mine"))
        .await?;
    let value = "any text: \"quotes\", ünïcödé\nand a line";
    let mut expected = pod.annotations.clone();
    expected.insert(KEY.to_owned(), value.to_owned());
    stage.make(&pod, &annotate(KEY, Some(value))).await?;
    stage
        .until(&pod, "has the annotation and its own", |now| {
            now.annotations == expected
        })
        .await?;
    stage.make(&pod, &annotate(KEY, None)).await?;
    stage
        .until(&pod, "has only its own annotations", |now| {
            now.annotations == pod.annotations
        })
        .await
        .map(|_| ())
}

pub(super) async fn a_label_for_another_uid_is_a_conflict(stage: &Stage<'_>) -> Ran {
    let pod = stage.run_one(stage.bare()?).await?;
    let other = Pod {
        uid: nobody()?,
        ..pod.clone()
    };
    for change in [
        label(KEY, Some("hit")),
        label("app", None),
        annotate(KEY, Some("hit")),
    ] {
        refused(
            "a change to another UID",
            stage.apply(&other, &change).await,
            &conflict(),
        )?;
    }
    stage.is_untouched(&pod).await
}

pub(super) async fn a_label_for_no_pod_is_not_found(stage: &Stage<'_>) -> Ran {
    let pod = stage.run_one(stage.bare()?).await?;
    let nobody = Pod {
        name: name("nobody")?,
        ..pod.clone()
    };
    for change in [label(KEY, Some("hit")), annotate(KEY, Some("hit"))] {
        refused(
            "a change to no pod",
            stage.apply(&nobody, &change).await,
            &ApiError::NotFound,
        )?;
    }
    stage.is_untouched(&pod).await
}

pub(super) async fn what_can_be_no_label_is_invalid(stage: &Stage<'_>) -> Ran {
    let pod = stage.run_one(stage.bare()?).await?;
    let long = "x".repeat(64);
    for change in [
        label(KEY, Some("two words")),
        label("two words", Some("hit")),
        label(KEY, Some(&long)),
    ] {
        refused(
            "what can be no label",
            stage.apply(&pod, &change).await,
            &ApiError::Invalid(String::new()),
        )?;
    }
    stage.is_untouched(&pod).await
}

pub(super) async fn a_terminating_pod_can_be_labelled(stage: &Stage<'_>) -> Ran {
    let pod = stage.terminating().await?;
    stage.make(&pod, &label(KEY, Some("hit"))).await?;
    let now = stage
        .until(&pod, "has the label", |now| now.labels.contains_key(KEY))
        .await?;
    equal("its deletion", &now.deletion, &pod.deletion)
}

pub(super) async fn a_relabelled_pod_is_released_and_replaced(stage: &Stage<'_>) -> Ran {
    let pod = stage.run_one(stage.deployment()?).await?;
    stage.make(&pod, &label("app", Some("quarantine"))).await?;
    let free = stage
        .until(&pod, "is released", |now| now.controller.is_none())
        .await?;
    equal("its deletion", &free.deletion, &None)?;
    let next = |pods: &[Pod]| pods.iter().find(|other| other.uid != pod.uid).cloned();
    let new = stage.until_pods("the pod is replaced", next).await?;
    if new.labels.get("app").map(String::as_str) != Some(NAME) {
        return failed(format!("the new pod has labels {:?}", new.labels));
    }
    Ok(())
}
