//! From a record to Kubernetes Events: what was done to a pod, by which response, for which alert.

use std::hash::{DefaultHasher, Hash, Hasher};

use drop_core::outcome::Outcome;
use drop_core::pod::Owner;
use drop_core::policy::Action;
use drop_core::ports::Target;
use drop_core::record::{Answered, Decided, escape};
use serde_json::{Value, json};

use crate::workload;

/// How Kubernetes names who reports: a qualified name.
const CONTROLLER: &str = "falco-drop.dev/drop-server";
/// Bytes of a note, as the API server takes it.
const NOTE: usize = 1_024;
/// Bytes of an alert's text in a note: what was done has to fit beside it.
const OUTPUT: usize = 512;

/// One Event, ready to be posted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    /// The collection.
    pub(crate) path: String,
    /// The object.
    pub(crate) object: Value,
}

/// The Events of a record: of each response that changed something, or may have, one on the pod and one on its
/// owner. The same record gives the same names, so that one that is written twice is one Event.
pub(crate) fn events(decided: &Decided, instance: &str) -> Vec<Event> {
    let Some(target) = &decided.target else {
        return Vec::new();
    };
    let owner = decided
        .facts
        .as_ref()
        .and_then(|facts| match facts.owner.value() {
            Some(top) => top.clone(),
            None => facts.pod.controller.clone().filter(workload::keeps_pods),
        });
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "namespace": target.namespace, "name": target.name, "uid": target.uid,
    });
    let owner = owner.as_ref().map(|owner| of_owner(target, owner));
    let told = decided
        .responses
        .iter()
        .filter_map(|answered| Some((answered, done(answered)?)));
    told.flat_map(|(answered, done)| {
        let about = |regarding: &Value, related: Option<&Value>| {
            event(decided, target, answered, done, instance, regarding, related)
        };
        let on_owner = owner.as_ref().map(|owner| about(owner, Some(&pod)));
        std::iter::once(about(&pod, None))
            .chain(on_owner)
            .collect::<Vec<_>>()
    })
    .collect()
}

/// What was done, as Kubernetes words a reason.
#[derive(Debug, Clone, Copy)]
struct Done {
    reason: &'static str,
    verb: &'static str,
    certain: bool,
    /// The response did, or may have done, all that it is for.
    whole: bool,
}

/// What weighs most of the response's changes that were made, or may have been, whatever became of the rest.
fn done(answered: &Answered) -> Option<Done> {
    let done = answered
        .tried
        .iter()
        .filter(|tried| tried.error.is_none() || tried.maybe_happened);
    let most = done.max_by_key(|tried| tried.action.is_terminal())?;
    let (reason, verb) = match &most.action {
        Action::Delete { .. } => ("Deleted", "deleted"),
        Action::Evict { .. } => ("Evicted", "evicted"),
        Action::Label { .. } => ("Labelled", "labelled"),
        Action::Annotate { .. } => ("Annotated", "annotated"),
        Action::Record => return None,
    };
    Some(Done {
        reason,
        verb,
        certain: most.error.is_none(),
        whole: matches!(answered.result, Outcome::Acted { .. }),
    })
}

fn event(
    decided: &Decided,
    target: &Target,
    answered: &Answered,
    done: Done,
    instance: &str,
    regarding: &Value,
    related: Option<&Value>,
) -> Event {
    // What a later try of the alert does beyond an earlier one is an Event of its own.
    let fingerprint = fingerprint(&(
        &answered.judgement.policy,
        &answered.judgement.response,
        regarding.to_string(),
        (done.reason, done.certain, done.whole),
    ));
    let mut object = json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {
            "namespace": target.namespace,
            "name": format!("falco-drop.{}.{fingerprint:016x}", decided.id),
        },
        "eventTime": decided.times.arrived.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
        "reportingController": CONTROLLER,
        "reportingInstance": instance,
        "type": "Warning",
        "reason": done.reason,
        "action": done.reason,
        "regarding": regarding,
        "note": note(decided, target, answered, done),
    });
    if let (Some(related), Some(members)) = (related, object.as_object_mut()) {
        members.insert("related".to_owned(), related.clone());
    }
    Event {
        path: format!("/apis/events.k8s.io/v1/namespaces/{}/events", target.namespace),
        object,
    }
}

/// The alert's own text comes last and is cut first.
fn note(decided: &Decided, target: &Target, answered: &Answered, done: Done) -> String {
    let judgement = &answered.judgement;
    let may = if done.certain { "" } else { "may have " };
    let rest = if done.whole || !done.certain {
        ""
    } else {
        ", though not all could be done,"
    };
    let what = format!(
        "{may}{} pod {}{rest} by response `{}/{}` for alert {} of rule `{}`",
        done.verb,
        target.name,
        bounded(&judgement.policy, 128),
        bounded(&judgement.response, 128),
        decided.id,
        bounded(&escape(&decided.alert.rule), 256),
    );
    let because = decided
        .alert
        .output
        .as_deref()
        .map(|output| format!(": {}", bounded(&escape(output), OUTPUT)));
    bounded(&format!("{what}{}", because.unwrap_or_default()), NOTE)
}

fn of_owner(target: &Target, owner: &Owner) -> Value {
    json!({
        "apiVersion": owner.api_version, "kind": owner.kind,
        "namespace": target.namespace, "name": owner.name, "uid": owner.uid,
    })
}

/// At most so many bytes, cut between characters, with a mark where it was cut.
fn bounded(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let mut kept = String::new();
    for c in text.chars() {
        if kept
            .len()
            .saturating_add(c.len_utf8())
            .saturating_add('…'.len_utf8())
            > bytes
        {
            break;
        }
        kept.push(c);
    }
    kept.push('…');
    kept
}

fn fingerprint(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
