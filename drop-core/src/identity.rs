//! Whether the pod that was found is the one that the alert is about.

use std::collections::BTreeSet;
use std::fmt;

use falco_event::{ContainerId, NodeName, Offender, Timestamp};
use serde::{Deserialize, Serialize};

use crate::facts::Facts;
use crate::guard::{Guard, Verdict};
use crate::moment::{CREATION_RESOLUTION, Moment, SKEW, STATUS_LAG, between};
use crate::pod::Pod;

/// Something an alert says about its offender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Clue {
    /// The container's id.
    Container,
    /// The pod's UID.
    Uid,
    /// The pod's namespace.
    Namespace,
    /// The pod's name.
    Name,
    /// The node that the alert was raised on.
    Node,
}

/// As a person would name it.
impl fmt::Display for Clue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Container => "container",
            Self::Uid => "UID",
            Self::Namespace => "namespace",
            Self::Name => "name",
            Self::Node => "node",
        })
    }
}

/// What a clue says of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Fit {
    /// It is this pod.
    Agrees,
    /// It is not this pod. That is final.
    Contradicts,
    /// Neither can be said.
    CannotTell,
}

/// Every clue of an alert, held against one pod.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Identity(Vec<(Clue, Fit)>);

impl Identity {
    /// Compares what an alert says of its offender with the pod found.
    #[must_use]
    pub fn compare(offender: &Offender, facts: &Facts, moment: &Moment) -> Self {
        let pod = &facts.pod;
        let equal = |same: bool| if same { Fit::Agrees } else { Fit::Contradicts };
        let clues = [
            offender
                .container
                .as_ref()
                .map(|id| (Clue::Container, container_fit(id, pod, moment.happened))),
            offender
                .pod_uid
                .as_ref()
                .map(|uid| (Clue::Uid, equal(*uid == pod.uid))),
            offender
                .namespace
                .as_ref()
                .map(|namespace| (Clue::Namespace, equal(*namespace == pod.namespace))),
            offender
                .pod
                .as_ref()
                .map(|name| (Clue::Name, equal(*name == pod.name))),
            offender
                .node
                .as_ref()
                .map(|host| (Clue::Node, node_fit(host, facts))),
        ];
        Self(clues.into_iter().flatten().collect())
    }

    /// What one clue says; none where the alert does not have it.
    #[must_use]
    pub fn fit(&self, clue: Clue) -> Option<Fit> {
        self.0.iter().find(|(this, _)| *this == clue).map(|(_, fit)| *fit)
    }

    fn agrees(&self, clue: Clue) -> bool {
        self.fit(clue) == Some(Fit::Agrees)
    }

    /// The instance itself is known, by container or UID, and not only a name that another pod may have taken.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.agrees(Clue::Container) || self.agrees(Clue::Uid)
    }

    /// The verdicts on identity and on the pod's age.
    #[must_use]
    pub fn verdicts(&self, pod: &Pod, moment: &Moment) -> [Verdict; 2] {
        [self.identity(moment), self.pod_age(pod, moment)]
    }

    fn identity(&self, moment: &Moment) -> Verdict {
        if let Some((clue, _)) = self.0.iter().find(|(_, fit)| *fit == Fit::Contradicts) {
            return Verdict::stop(Guard::Identity, format!("the alert's {clue} is not this pod's"));
        }
        let unknown_container = self.fit(Clue::Container) == Some(Fit::CannotTell) && !self.agrees(Clue::Uid);
        if unknown_container && moment.age() < STATUS_LAG {
            return Verdict::wait(
                Guard::Identity,
                "the pod's status does not show the alert's container yet",
            );
        }
        if unknown_container {
            return Verdict::stop(Guard::Identity, "the alert's container is none of this pod's");
        }
        Verdict::pass(Guard::Identity)
    }

    /// By name alone the pod must have been there before the alert, or a replacement would pay for its predecessor.
    fn pod_age(&self, pod: &Pod, moment: &Moment) -> Verdict {
        let margin = CREATION_RESOLUTION + SKEW;
        if self.is_pinned() || between(pod.created, moment.happened) >= margin {
            return Verdict::pass(Guard::PodAge);
        }
        let why = format!(
            "known by name alone, and created at {}, less than 3 s before the alert",
            pod.created
        );
        Verdict::stop(Guard::PodAge, why)
    }
}

/// The host may be a Falco pod's name or a full domain name: it contradicts only where it is another node's.
fn node_fit(host: &NodeName, facts: &Facts) -> Fit {
    match &facts.pod.node {
        Some(node) if node == host => Fit::Agrees,
        Some(_) if facts.host_is_node.value() == Some(&true) => Fit::Contradicts,
        Some(_) | None => Fit::CannotTell,
    }
}

/// An instance that ended before the alert cannot have raised it; two matches of a short id cannot tell.
fn container_fit(id: &ContainerId, pod: &Pod, happened: Timestamp) -> Fit {
    let ended_before = |ended: Timestamp| between(ended, happened) > SKEW;
    let matching: BTreeSet<&ContainerId> = pod
        .containers
        .iter()
        .filter(|container| container.id.matches(id) && !container.ended.is_some_and(ended_before))
        .map(|container| &container.id)
        .collect();
    if matching.len() == 1 {
        Fit::Agrees
    } else {
        Fit::CannotTell
    }
}
