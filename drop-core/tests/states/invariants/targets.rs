//! Nothing is changed but what a matching, enforced response is about.

use drop_core::memory::{Actor, Happened};
use drop_core::policy::Mode;
use drop_core::ports::Change;

use super::limits::scope_of;
use super::{Checked, act_of};
use crate::log::{Call, Log};
use crate::places::is_protected;
use crate::policies::response;
use crate::run::Run;

/// 1. No pod but the target of a matching, enforced response is ever changed.
pub(super) fn only_the_target_of_a_matching_enforced_response_is_changed(run: &Run, log: &Log) -> Checked {
    for entry in run.cluster.history() {
        let asked = |call: &Call| call.target == entry.pod && makes(&call.change, &entry.what);
        let ours = entry.by == Actor::PodApi && !matches!(entry.what, Happened::Disrupted { .. });
        hold!(
            !ours || log.calls.iter().any(asked),
            "nobody asked for this change: {entry:?}"
        );
    }
    for call in &log.calls {
        let opened = act_of(log, call)?;
        hold!(
            opened.target == call.target,
            "an act at one pod changes another: {call:?}"
        );
        let Some(alert) = run.tasks[call.task].alert.map(|alert| &run.alerts[alert]) else {
            return Err(format!("a change without an alert: {call:?}"));
        };
        hold!(
            alert.may_hit.contains(&call.target.uid),
            "the wrong pod: {call:?} for {alert:?}"
        );
        let response = response(&opened.policy, &opened.response);
        hold!(
            (response.matches)(alert.alert.rule(), &call.target),
            "the response does not match: {opened:?}"
        );
    }
    Ok(())
}

fn makes(change: &Change, what: &Happened) -> bool {
    let ends = matches!(
        what,
        Happened::DeletionRequested { .. } | Happened::DeletionShortened { .. } | Happened::Removed
    );
    (ends && matches!(change, Change::Delete { .. } | Change::Evict { .. }))
        || (*what == Happened::Labelled && matches!(change, Change::Label(_)))
        || (*what == Happened::Annotated && matches!(change, Change::Annotate(_)))
}

/// 3. What is protected is not touched: not by a change, nor by a budget that is spent.
pub(super) fn what_is_protected_is_not_touched(run: &Run, log: &Log) -> Checked {
    for call in &log.calls {
        hold!(!is_protected(&call.target), "protected: {call:?}");
    }
    for target in run.cluster.touched() {
        hold!(!is_protected(&target), "protected: {target:?}");
    }
    Ok(())
}

/// 6. Observe changes nothing: neither by policy, nor by response, nor where a breached limit has disarmed the scope.
pub(super) fn observe_changes_nothing(_: &Run, log: &Log) -> Checked {
    for call in &log.calls {
        let opened = act_of(log, call)?;
        hold!(opened.mode == Mode::Enforce, "a would-be act: {call:?}");
        let mode = response(&opened.policy, &opened.response).mode;
        hold!(mode == Mode::Enforce, "the policy only observes: {call:?}");
        for scope in ["workload", "response", "namespace", "policy", "cluster"] {
            let disarmed = opened.disarmed.contains(&scope_of(opened, scope));
            hold!(!disarmed, "the scope {scope} is disarmed: {opened:?}");
        }
    }
    Ok(())
}
