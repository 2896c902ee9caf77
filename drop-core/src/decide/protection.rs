//! Whether somebody has protected the pod.

use falco_event::Namespace;

use crate::facts::{Facts, Known};
use crate::guard::{Guard, Verdict};
use crate::policy::Protect;

/// Protection rests only on what a pod cannot say of itself: its namespace, the labels of that, its owner at the top.
pub(super) fn protected(protect: &Protect, facts: &Facts) -> Verdict {
    let namespace = &facts.pod.namespace;
    if protect.namespaces.contains(namespace) {
        return Verdict::stop(Guard::Protected, format!("namespace `{namespace}` is protected"));
    }
    if !protect.namespace_selectors.is_empty() {
        match &facts.namespace {
            Known::Is(labels)
                if protect
                    .namespace_selectors
                    .iter()
                    .any(|selector| selector.matches(labels)) =>
            {
                return Verdict::stop(
                    Guard::Protected,
                    format!("namespace `{namespace}` is protected by its labels"),
                );
            }
            Known::Is(_) => {}
            Known::Unknown(why) => {
                return Verdict::wait(
                    Guard::Protected,
                    format!("the labels of the namespace could not be read: {why}"),
                );
            }
            Known::NotAsked => {
                return Verdict::wait(Guard::Protected, "the labels of the namespace were not read");
            }
        }
    }
    protected_workload(protect, facts)
}

pub(super) fn protected_namespace(protect: &Protect, namespace: &Namespace) -> Verdict {
    if protect.namespaces.contains(namespace) {
        return Verdict::stop(Guard::Protected, format!("namespace `{namespace}` is protected"));
    }
    Verdict::pass(Guard::Protected)
}

fn protected_workload(protect: &Protect, facts: &Facts) -> Verdict {
    if protect.workloads.is_empty() {
        return Verdict::pass(Guard::Protected);
    }
    let namespace = &facts.pod.namespace;
    let is = |kind: &str, name: &str| {
        protect
            .workloads
            .iter()
            .any(|w| w.namespace == *namespace && w.kind == kind && w.name.as_str() == name)
    };
    // What the pod says of its own controller counts only once the cluster has confirmed that controller.
    match &facts.owner {
        Known::Is(Some(top)) => {
            let owners = [Some(top), facts.pod.controller.as_ref()];
            match owners
                .into_iter()
                .flatten()
                .find(|owner| is(&owner.kind, &owner.name))
            {
                Some(owner) => Verdict::stop(
                    Guard::Protected,
                    format!("{} `{}` is protected", owner.kind, owner.name),
                ),
                None => Verdict::pass(Guard::Protected),
            }
        }
        Known::Is(None) => Verdict::pass(Guard::Protected),
        Known::Unknown(why) => Verdict::wait(Guard::Protected, format!("the owner could not be read: {why}")),
        Known::NotAsked => Verdict::wait(Guard::Protected, "the owner was not read"),
    }
}
