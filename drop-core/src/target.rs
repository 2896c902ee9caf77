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
    name.or_else(|| pinning(offender).into_iter().next())
}

/// The marks that no later pod can take over: its UID, and one of its containers.
fn pinning(offender: &Offender) -> Vec<By> {
    let container = offender.container.clone().map(|id| By::Container {
        id,
        on: offender.node.clone(),
    });
    let uid = offender.pod_uid.clone().map(By::Uid);
    uid.into_iter().chain(container).collect()
}

/// Looks for the offender in the cluster, and says which way. One question at most.
pub async fn seek(api: &dyn PodApi, offender: &Offender, moment: &Moment) -> (Sought, Option<Way>) {
    let Some(mark) = mark(offender) else {
        let unnamed = Verdict::stop(Guard::Target, unnamed(offender));
        return (Sought::Unclear(unnamed), None);
    };
    match api.find_with(&mark, &pinning(offender)).await {
        // An empty list by another name.
        Err(ApiError::NotFound) => (the_one(Vec::new(), &mark, Way::Read, moment), None),
        Err(error) => (Sought::Failed(error), None),
        Ok(Found { pods, way }) => (the_one(pods, &mark, way, moment), Some(way)),
    }
}

fn the_one(mut pods: Vec<Pod>, mark: &By, way: Way, moment: &Moment) -> Sought {
    match (pods.pop(), pods.is_empty()) {
        (Some(pod), true) => Sought::Found(Box::new(pod)),
        (Some(_), false) => {
            Sought::Unclear(Verdict::stop(Guard::Target, "several pods have such a container"))
        }
        (None, _) => Sought::Gone(absent(mark, way, moment)),
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

/// A pod exists before its containers, but a container exists before the status that names it; and pods that are kept
/// at hand are as old as their watch, which can be dead for a while.
fn absent(mark: &By, way: Way, moment: &Moment) -> Verdict {
    let is_early = moment.age() < STATUS_LAG;
    match mark {
        By::Uid(_) if is_early && way == Way::Index => {
            Verdict::wait(Guard::Target, "the pod is not known yet, or not any more")
        }
        By::Name(..) | By::Uid(_) => Verdict::stop(Guard::Target, "the pod is gone"),
        By::Container { .. } if is_early => {
            Verdict::wait(Guard::Target, "no pod's status shows the alert's container yet")
        }
        By::Container { .. } => Verdict::stop(Guard::Target, "no pod has the alert's container"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use falco_event::Timestamp;

    use super::*;
    use crate::guard::Says;

    /// What is said of a mark that nothing bears, so long after the alert.
    fn said(mark: &By, way: Way, age: Duration) -> Says {
        let at: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let now = at.checked_add(age).unwrap();
        let (alert, happened) = (at, at);
        absent(mark, way, &Moment { alert, happened, now }).says
    }

    #[test]
    fn what_a_watch_may_not_have_shown_yet_is_waited_for_and_what_was_read_is_final() {
        let uid = By::Uid("u-1".parse().unwrap());
        let container = By::container("a".repeat(64).parse().unwrap());
        let name = By::Name("shop".parse().unwrap(), "web-0".parse().unwrap());
        let early = STATUS_LAG - Duration::from_secs(1);
        for (mark, way, waits) in [
            (&uid, Way::Index, true),
            (&uid, Way::List, false),
            (&container, Way::Index, true),
            (&container, Way::List, true),
            (&name, Way::Read, false),
        ] {
            let is_wait = matches!(said(mark, way, early), Says::Wait(_));
            assert_eq!(is_wait, waits, "{mark:?} {way:?}");
            assert!(
                matches!(said(mark, way, STATUS_LAG), Says::Stop(_)),
                "{mark:?} {way:?}"
            );
        }
    }
}
