//! The disruption budgets that are about a pod.

use drop_core::facts::Budget;
use drop_core::pod::Pod;
use drop_core::ports::ApiError;
use tokio::time::Instant;

use crate::pages::Pages;
use crate::request::{self, Ask};
use crate::{KubePods, selector, wire};

/// One list of the namespace: the API server cannot select budgets by the pods that they select.
pub(crate) async fn budgets(pods: &KubePods, pod: &Pod, until: Instant) -> Result<Vec<Budget>, ApiError> {
    let list = Pages {
        caller: &pods.caller,
        path: request::budgets(&pod.namespace),
        select: &[],
        limit: pods.settings.page,
        ask: Ask::get,
        try_within: pods.settings.try_within,
        until,
    };
    let all: Vec<wire::Budget> = list.all().await?;
    let mut about = Vec::new();
    for budget in all {
        if is_about(&budget, pod)? {
            about.push(told(budget)?);
        }
    }
    about.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(about)
}

/// A budget without a selector selects nothing; an empty selector selects every pod of the namespace.
fn is_about(budget: &wire::Budget, pod: &Pod) -> Result<bool, ApiError> {
    let Some(selector) = &budget.spec.selector else {
        return Ok(false);
    };
    selector::selects(selector, &pod.labels).ok_or_else(|| odd(budget, "has a selector that is not known"))
}

/// The rules by which the API server judges an eviction.
fn told(budget: wire::Budget) -> Result<Budget, ApiError> {
    let status = &budget.status;
    if status.observed_generation < budget.metadata.generation {
        return Err(odd(&budget, "was changed, and its status is not there yet"));
    }
    let is_kept = status.desired_healthy > 0 && status.current_healthy >= status.desired_healthy;
    let spares_ready_only =
        is_kept || budget.spec.unhealthy_pod_eviction_policy.as_deref() == Some("AlwaysAllow");
    Ok(Budget {
        disruptions_allowed: u32::try_from(status.disruptions_allowed.max(0)).unwrap_or(u32::MAX),
        spares_ready_only,
        name: budget.metadata.name.unwrap_or_default(),
    })
}

fn odd(budget: &wire::Budget, what: &str) -> ApiError {
    let name = crate::status::clean(budget.metadata.name.as_deref().unwrap_or_default());
    ApiError::Unavailable(format!("disruption budget `{name}` {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(spec: &str, status: &str) -> Result<Budget, ApiError> {
        let json = format!(
            r#"{{"metadata": {{"name": "web", "generation": 2}}, "spec": {spec}, "status": {status}}}"#
        );
        told(serde_json::from_str(&json).unwrap())
    }

    #[test]
    fn a_pod_that_is_not_ready_is_spared_by_the_budget_s_policy_and_its_health() {
        for (spec, status, allowed, spares_ready_only) in [
            (
                "{}",
                r#"{"disruptionsAllowed": 1, "currentHealthy": 3, "desiredHealthy": 2}"#,
                1,
                true,
            ),
            (
                "{}",
                r#"{"disruptionsAllowed": 0, "currentHealthy": 2, "desiredHealthy": 2}"#,
                0,
                true,
            ),
            (
                "{}",
                r#"{"disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 2}"#,
                0,
                false,
            ),
            (
                "{}",
                r#"{"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0}"#,
                0,
                false,
            ),
            (
                "{}",
                r#"{"disruptionsAllowed": -1, "currentHealthy": 1, "desiredHealthy": 2}"#,
                0,
                false,
            ),
            (
                r#"{"unhealthyPodEvictionPolicy": "AlwaysAllow"}"#,
                r#"{"currentHealthy": 1, "desiredHealthy": 2}"#,
                0,
                true,
            ),
            (
                r#"{"unhealthyPodEvictionPolicy": "IfHealthyBudget"}"#,
                "{}",
                0,
                false,
            ),
        ] {
            let status = status
                .replacen('{', r#"{"observedGeneration": 2,"#, 1)
                .replace(",}", "}");
            let told = judged(spec, &status).unwrap();
            assert_eq!(
                (told.disruptions_allowed, told.spares_ready_only),
                (allowed, spares_ready_only),
                "{spec} {status}"
            );
        }
    }

    #[test]
    fn a_status_from_before_a_change_cannot_tell() {
        let why = "disruption budget `web` was changed, and its status is not there yet";
        assert_eq!(
            judged("{}", r#"{"observedGeneration": 1, "disruptionsAllowed": 1}"#),
            Err(ApiError::Unavailable(why.into()))
        );
    }
}
