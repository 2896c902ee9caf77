//! Alerts: what they say, and which pod they are truly about.

use std::collections::BTreeSet;

use drop_core::pod::Pod;
use falco_event::{Alert, ContainerId, NodeName, PodUid, Timestamp};
use serde_json::{Map, Value, json};

use crate::ports::jiff_ms;

/// What an alert says of its offender.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Marks {
    pub(crate) name: bool,
    pub(crate) uid: bool,
    /// Digits of the container's id.
    pub(crate) container: Option<usize>,
    pub(crate) host: Option<Host>,
}

/// The host that an alert says it was raised on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Host {
    /// The pod's node.
    Own,
    /// Another node.
    Other,
    /// Falco was told another name than its node's.
    Strange,
}

/// A lie.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Forged {
    /// The UID is another pod's.
    Uid,
    /// The container is another pod's.
    Container,
    /// The name is another pod's.
    Name,
}

/// An alert that was raised, and the truth about it.
#[derive(Debug, Clone)]
pub(crate) struct Raised {
    pub(crate) alert: Alert,
    /// When the shim received it.
    pub(crate) received: Timestamp,
    /// It claims a later time than it has, so it must be delivered with the time of its receipt.
    pub(crate) post_dated: bool,
    /// The only pods that anyone can hold it to be about.
    pub(crate) may_hit: BTreeSet<PodUid>,
}

/// The pods that an alert takes its marks from.
pub(crate) struct Sources<'a> {
    pub(crate) truth: &'a Pod,
    /// For what is forged.
    pub(crate) other: &'a Pod,
    /// The id of a container of each, which its status may not show yet.
    pub(crate) containers: [Option<ContainerId>; 2],
    pub(crate) nodes: &'a [NodeName],
}

/// When an alert says that it happened, against when it did.
pub(crate) struct Times {
    pub(crate) now: Timestamp,
    pub(crate) skew_ms: i64,
    pub(crate) received_skew_ms: i64,
    pub(crate) post_dated_ms: Option<i64>,
}

pub(crate) fn raise(
    rule: &str,
    marks: Marks,
    forged: Option<Forged>,
    pods: &Sources<'_>,
    times: &Times,
) -> Raised {
    let from = |lie: bool| if lie { pods.other } else { pods.truth };
    let named = marks.name.then(|| from(matches!(forged, Some(Forged::Name))));
    let uid = marks.uid.then(|| from(matches!(forged, Some(Forged::Uid))));
    let owner = from(matches!(forged, Some(Forged::Container)));
    let id = &pods.containers[usize::from(matches!(forged, Some(Forged::Container)))];
    let container = marks
        .container
        .zip(id.as_ref())
        .map(|(digits, id): (usize, &ContainerId)| (owner, id.to_string().chars().take(digits).collect()));
    let fits = |pod: &&Pod| named.is_none_or(|named| named.uid == pod.uid);
    let host = marks.host.and_then(|host| named_host(host, pods));
    // A UID says more than a container that nobody knows; a name says the least.
    let most = uid
        .or(container.as_ref().map(|(owner, _)| *owner))
        .or(named)
        .filter(fits)
        .filter(|pod| may_run_there(pod, host.as_ref(), pods.nodes));
    let said = times.now + jiff_ms(times.skew_ms + times.post_dated_ms.unwrap_or(0));
    Raised {
        alert: alert(rule, said, host.as_ref(), &fields(named, uid, container.as_ref())),
        received: times.now + jiff_ms(times.received_skew_ms),
        post_dated: times.post_dated_ms.is_some(),
        may_hit: most.map(|pod| pod.uid.clone()).into_iter().collect(),
    }
}

fn named_host(host: Host, pods: &Sources<'_>) -> Option<NodeName> {
    let own = pods.truth.node.as_ref();
    match host {
        Host::Own => own.cloned(),
        Host::Other => pods.nodes.iter().find(|node| Some(*node) != own).cloned(),
        Host::Strange => "falco-x2x9k".parse().ok(),
    }
}

/// A pod is on one node, and what another node's Falco sees is none of its.
fn may_run_there(pod: &Pod, host: Option<&NodeName>, nodes: &[NodeName]) -> bool {
    let elsewhere = |host: &NodeName| nodes.contains(host) && pod.node.as_ref() != Some(host);
    !host.is_some_and(elsewhere)
}

fn fields(named: Option<&Pod>, uid: Option<&Pod>, container: Option<&(&Pod, String)>) -> Map<String, Value> {
    let mut fields = Map::new();
    if let Some(pod) = named {
        fields.insert("k8s.ns.name".to_owned(), json!(pod.namespace));
        fields.insert("k8s.pod.name".to_owned(), json!(pod.name));
    }
    if let Some(pod) = uid {
        fields.insert("k8s.pod.uid".to_owned(), json!(pod.uid));
    }
    if let Some((_, id)) = container {
        fields.insert("container.id".to_owned(), json!(id));
    }
    fields
}

fn alert(rule: &str, time: Timestamp, host: Option<&NodeName>, fields: &Map<String, Value>) -> Alert {
    let mut alert = json!({
        "rule": rule, "priority": "Notice", "source": "syscall", "time": time.to_string(),
        "output": "x", "output_fields": fields,
    });
    if let Some(host) = host {
        alert["hostname"] = json!(host);
    }
    Alert::from_slice(alert.to_string().as_bytes()).unwrap()
}
