//! What disruption budgets mean to a response.

use crate::facts::{Facts, Known};
use crate::guard::{Guard, Verdict};
use crate::pod::Phase;
use crate::policy::{Response, soonest};

/// A disruption budget stops an eviction, as the API server would. Of a deletion it is only noted, or an attacker could
/// hide behind it. What could not be read stops neither: the API server heeds it all the same.
pub(super) fn budget(response: &Response, facts: &Facts) -> Verdict {
    match (&facts.budgets, refusal(facts)) {
        (Known::Unknown(why), _) if response.heeds_budgets() => Verdict::note(
            Guard::Budget,
            format!("the disruption budgets could not be read: {why}"),
        ),
        (_, Some(why)) if response.heeds_budgets() => Verdict::stop(Guard::Budget, why),
        (_, Some(why)) if soonest(&response.actions).is_some() => {
            Verdict::note(Guard::Budget, format!("{why}, which a deletion does not heed"))
        }
        (_, _) => Verdict::pass(Guard::Budget),
    }
}

/// Why the API server would refuse to evict the pod now. A pod that has not started or is on its way out is nothing
/// that a budget counts.
fn refusal(facts: &Facts) -> Option<String> {
    let pod = &facts.pod;
    if pod.phase == Phase::Pending || pod.phase.is_finished() || pod.deletion.is_some() {
        return None;
    }
    match facts.budgets.value()?.as_slice() {
        [] => None,
        [budget] if budget.disruptions_allowed > 0 || (budget.spares_ready_only && !pod.ready) => None,
        [budget] => Some(format!("disruption budget `{}` has nothing left", budget.name)),
        several => Some(format!(
            "{} disruption budgets are about the pod, and the API server evicts no such pod",
            several.len()
        )),
    }
}
