//! Warns of what is legal in a policy and rarely meant.

use std::ops::Range;
use std::sync::Arc;

use super::diagnostics::{Diagnostic, Diagnostics, File, Mistake, Severity};
use super::document::{Places, ResponsePlaces};
use super::model::{Action, Limit, Mode, Policy, Response, Scope};
use super::names::placed;
use super::{ALWAYS_PROTECTED, Policies};
use crate::condition::Implication;

/// How many comparisons of parts the search for responses behind a broader one may make, over all policies.
const COMPARISONS: usize = 1_000_000;

impl Policies {
    /// What is legal in these policies and dangerous, or without effect.
    ///
    /// A destructive response that matches every alert; `not` or `!=` over a field that may be missing; a response that
    /// an earlier, broader one always ends first; a field that no rule prints; a limit that can never bind or is not
    /// there; a grace of 0; an edit whose failure keeps the pod from its end; a protection that covers everything. No warning is no promise. A policy with mistakes is not
    /// warned of: [`Policies::parse`] has the mistakes.
    #[must_use]
    pub fn warnings(&self) -> Diagnostics {
        let mut all = Vec::new();
        for (policy, (file, places)) in self.policies.iter().zip(&self.places) {
            let mut wrong = Vec::new();
            of_policy(self, policy, places, &mut wrong);
            for (response, places_of) in policy.responses.iter().zip(&places.responses) {
                of_response(policy, response, places_of, &mut wrong);
                let dangers = response.when.dangers(&places.names);
                wrong.extend(
                    dangers
                        .into_iter()
                        .map(|danger| placed(&file.text, &places_of.when, danger)),
                );
            }
            all.extend(wrong.into_iter().map(|mistake| warning(file, mistake)));
        }
        all.extend(self.ended_first());
        Diagnostics::new(all)
    }

    /// Responses that never come to act, because an earlier one ends every alert that they match.
    fn ended_first(&self) -> Vec<Diagnostic> {
        let mut steps = Implication { left: COMPARISONS };
        let mut wrong = Vec::new();
        let mut ending: Vec<(&Policy, &Response)> = Vec::new();
        for (policy, (file, places)) in self.policies.iter().zip(&self.places) {
            for (response, place) in policy.responses.iter().zip(&places.responses) {
                let first = ending
                    .iter()
                    .find(|(of, first)| ends_before(of, first, policy, response, &mut steps));
                if let Some((of, first)) = first {
                    let message = format!(
                        "this response never acts: `{}/{}` before it matches every alert that it matches, and ends the pod",
                        of.name, first.name
                    );
                    let mistake = Mistake::new(place.name.clone(), message);
                    wrong.push(warning(file, mistake.expected("the narrower response first")));
                } else if response.mode == Mode::Enforce
                    && response.actions.iter().any(|step| step.action.is_terminal())
                {
                    ending.push((policy, response));
                }
            }
        }
        wrong
    }
}

/// An earlier response with fewer guards than the later one, whose condition holds wherever the later one's does. One that
/// a limit of its own or a budget can stop leaves some to the later one.
fn ends_before(
    of: &Policy,
    first: &Response,
    policy: &Policy,
    later: &Response,
    steps: &mut Implication,
) -> bool {
    let wide = match (&of.namespaces, &policy.namespaces) {
        (None, _) => true,
        (Some(first), Some(later)) => later.is_subset(first),
        (Some(_), None) => false,
    };
    let unguarded = first.min_available.is_none() || first.min_available == later.min_available;
    // What limits the policy of both holds both back, unless it counts each response for itself.
    let own = |limit: &Limit| of.name != policy.name || limit.scope == Scope::Response;
    let unlimited = first.limits.is_empty() && !of.limits.iter().any(own);
    let budgets = first.heeds_budgets() && !later.heeds_budgets();
    wide && unguarded
        && unlimited
        && !budgets
        && of.max_alert_age >= policy.max_alert_age
        && later.when.implies_within(&first.when, steps)
}

fn warning(file: &Arc<File>, mistake: Mistake) -> Diagnostic {
    Diagnostic::new(Severity::Warning, file, mistake)
}

fn of_policy(all: &Policies, policy: &Policy, places: &Places, wrong: &mut Vec<Mistake>) {
    if let Some(place) = &places.no_limits {
        let mistake = Mistake::new(place.clone(), "no limit holds this policy back");
        wrong
            .push(mistake.expected(
                "limits, or no `limits` at all, which is 5 pods of a workload in 10m and 30 in 1m",
            ));
    }
    for (selector, place) in policy.protect.namespace_selectors.iter().zip(&places.selectors) {
        if selector.match_labels.is_empty() {
            wrong.push(Mistake::new(
                place.clone(),
                "an empty selector protects every namespace, so no policy ever acts",
            ));
        }
    }
    for (namespace, place) in policy
        .namespaces
        .iter()
        .flatten()
        .zip(sorted_places(policy, places))
    {
        if all.protect.namespaces.contains(namespace) {
            let why = if ALWAYS_PROTECTED.contains(&namespace.as_str()) {
                "always"
            } else {
                "by a policy"
            };
            wrong.push(Mistake::new(
                place,
                format!("`{namespace}` is protected {why}: this policy never acts there"),
            ));
        }
    }
    let own: Vec<_> = policy.limits.iter().zip(&places.limits).collect();
    never_bind(&own, &own, wrong);
}

/// The places of `namespaces` in the order of their names, in which the set has them.
fn sorted_places(policy: &Policy, places: &Places) -> Vec<Range<usize>> {
    let count = policy
        .namespaces
        .as_ref()
        .map_or(0, std::collections::BTreeSet::len);
    let whole = places
        .namespaces
        .iter()
        .cloned()
        .reduce(|a, b| a.start.min(b.start)..a.end.max(b.end));
    whole.into_iter().cycle().take(count).collect()
}

fn of_response(policy: &Policy, response: &Response, places: &ResponsePlaces, wrong: &mut Vec<Mistake>) {
    let ends = response.actions.iter().any(|step| step.action.is_terminal());
    match response.when.always() {
        Some(true) if ends => {
            let mistake = Mistake::new(
                places.when.span.clone(),
                "this response ends the pod of every alert",
            );
            wrong.push(
                mistake.expected("a condition on `alert.rule`, `alert.priority` or the alert's fields"),
            );
        }
        Some(false) => wrong.push(Mistake::new(
            places.when.span.clone(),
            "this condition never holds",
        )),
        Some(true) | None => {}
    }
    for (step, place) in response.actions.iter().zip(&places.actions) {
        if let Action::Delete {
            grace_period_seconds: 0,
        }
        | Action::Evict {
            grace_period_seconds: 0,
        } = step.action
        {
            let message =
                "a grace of 0 removes the object without the kubelet's word that the containers ended";
            wrong.push(Mistake::new(place.clone(), message).expected("`gracePeriodSeconds: 1`, the default"));
        }
    }
    edits_before_the_end(response, places, wrong);
    limits_of_response(policy, response, places, wrong);
}

/// Whoever creates a pod can fill its annotations, so that the API server takes no more of them.
fn edits_before_the_end(response: &Response, places: &ResponsePlaces, wrong: &mut Vec<Mistake>) {
    let end = response
        .actions
        .iter()
        .rposition(|step| step.action.is_terminal());
    for (step, place) in response
        .actions
        .iter()
        .zip(&places.actions)
        .take(end.unwrap_or(0))
    {
        let edits = matches!(step.action, Action::Label { .. } | Action::Annotate { .. });
        if edits && !step.continue_on_error {
            let message = "a pod can be made to refuse this, and is not ended then";
            wrong.push(Mistake::new(place.clone(), message).expected("`continueOnError: true`"));
        }
    }
}

fn limits_of_response(
    policy: &Policy,
    response: &Response,
    places: &ResponsePlaces,
    wrong: &mut Vec<Mistake>,
) {
    let own: Vec<_> = response.limits.iter().zip(&places.limits).collect();
    if response.actions.iter().all(|step| step.action == Action::Record) {
        let message = "this limit can never bind: the response only records";
        wrong.extend(
            own.iter()
                .map(|(_, place)| Mistake::new((*place).clone(), message)),
        );
        return;
    }
    let elsewhere = 0..0;
    let of_policy = policy.limits.iter().map(|limit| (limit, &elsewhere));
    let all: Vec<_> = own.iter().copied().chain(of_policy).collect();
    never_bind(&own, &all, wrong);
}

/// Limits beside which a stricter one counts at least what they count.
fn never_bind(own: &[(&Limit, &Range<usize>)], all: &[(&Limit, &Range<usize>)], wrong: &mut Vec<Mistake>) {
    for (i, (limit, place)) in own.iter().enumerate() {
        let stricter = |(j, (other, _)): &(usize, &(&Limit, &Range<usize>))| {
            *j != i && is_stricter(other, limit) && (!is_stricter(limit, other) || *j < i)
        };
        if let Some((_, (other, _))) = all.iter().enumerate().find(stricter) {
            let message = format!(
                "this limit can never bind: that of {} per {} is reached first",
                other.max,
                super::quantities::written(other.per)
            );
            wrong.push(Mistake::new((*place).clone(), message));
        }
    }
}

/// Whether the first counts all that the second counts, for at least as long, and allows no more.
fn is_stricter(first: &Limit, second: &Limit) -> bool {
    covers(first.scope, second.scope) && first.max <= second.max && first.per >= second.per
}

fn covers(wide: Scope, narrow: Scope) -> bool {
    match (wide, narrow) {
        (Scope::Cluster, _) | (Scope::Policy, Scope::Response) | (Scope::Namespace, Scope::Workload) => true,
        (wide, narrow) => wide == narrow,
    }
}
