//! Finding the pod that an alert is about.

use falco_event::Offender;

use crate::guard::{Guard, Verdict};
use crate::moment::{Moment, STATUS_LAG};
use crate::pod::Pod;
use crate::ports::{ApiError, By, Found, PodApi, Way};

/// What the search for the offender came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sought {
    /// The one pod that bears the alert's best mark; whether the other clues fit is still to be seen.
    Found(Box<Pod>),
    /// No pod bears the alert's best mark, and whether that may change.
    Gone(Verdict),
    /// The alert does not tell which pod it is about.
    Unclear(Verdict),
    /// The cluster did not say.
    Failed(ApiError),
}

/// The mark to look a pod up by. A name first: the API server answers it with one small read, and the other clues
/// are held against what it finds.
#[must_use]
pub fn mark(offender: &Offender) -> Option<By> {
    if offender.host {
        return None;
    }
    let name = offender
        .namespace
        .clone()
        .zip(offender.pod.clone())
        .map(|(namespace, pod)| By::Name(namespace, pod));
    name.or_else(|| offender.pod_uid.clone().map(By::Uid))
        .or_else(|| {
            let id = offender.container.clone()?;
            let on = offender.node.clone();
            Some(By::Container { id, on })
        })
}

/// Looks for the offender in the cluster, and says which way. One question at most.
pub async fn seek(api: &dyn PodApi, offender: &Offender, moment: &Moment) -> (Sought, Option<Way>) {
    let Some(mark) = mark(offender) else {
        let unnamed = Verdict::stop(Guard::Target, unnamed(offender));
        return (Sought::Unclear(unnamed), None);
    };
    match api.find(&mark).await {
        Err(error) => (Sought::Failed(error), None),
        Ok(Found { pods, way }) => (the_one(pods, &mark, moment), Some(way)),
    }
}

fn the_one(mut pods: Vec<Pod>, mark: &By, moment: &Moment) -> Sought {
    match (pods.pop(), pods.is_empty()) {
        (Some(pod), true) => Sought::Found(Box::new(pod)),
        (Some(_), false) => {
            Sought::Unclear(Verdict::stop(Guard::Target, "several pods have such a container"))
        }
        (None, _) => Sought::Gone(absent(mark, moment)),
    }
}

fn unnamed(offender: &Offender) -> String {
    if offender.host {
        return "the alert is about a node, not a pod".to_owned();
    }
    match offender.refused.first() {
        Some(refused) => format!("the alert names no pod: `{}`: {}", refused.field, refused.why),
        None => "the alert names no pod and no container".to_owned(),
    }
}

/// A pod exists before its containers, but a container exists before the status that names it.
fn absent(mark: &By, moment: &Moment) -> Verdict {
    match mark {
        By::Name(..) | By::Uid(_) => Verdict::stop(Guard::Target, "the pod is gone"),
        By::Container { .. } if moment.age() < STATUS_LAG => {
            Verdict::wait(Guard::Target, "no pod's status shows the alert's container yet")
        }
        By::Container { .. } => Verdict::stop(Guard::Target, "no pod has the alert's container"),
    }
}
