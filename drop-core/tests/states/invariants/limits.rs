//! Never more than a limit allows.

use drop_core::past::ScopeKey;
use drop_core::policy::Mode;

use super::Checked;
use crate::log::{Heard, Log, Opened};
use crate::places::workload;
use crate::policies::{kept, limits};

/// 2. Never more pods than a limit allows, in any of its windows.
pub(super) fn never_more_acts_than_a_limit_allows(log: &Log) -> Checked {
    let real: Vec<&Opened> = log
        .opened
        .iter()
        .filter(|opened| opened.mode == Mode::Enforce)
        .collect();
    for (at, opened) in real.iter().enumerate() {
        for (scope, max, per) in limits(&opened.policy, &opened.response) {
            let key = scope_of(opened, scope);
            let counts = |before: &&&Opened| {
                scope_of(before, scope) == key
                    && before.target.uid != opened.target.uid
                    && counts(log, before, opened, per)
            };
            let mut others: Vec<_> = real[..at]
                .iter()
                .filter(counts)
                .map(|before| &before.target.uid)
                .collect();
            others.sort();
            others.dedup();
            hold!(
                others.len() < max,
                "{key} allows {max} pods in {per} s, and had {others:?} before {opened:?}"
            );
        }
    }
    Ok(())
}

/// Whether an act was made, or may have been, within the window that ends with the opening of another.
pub(super) fn counts(log: &Log, before: &Opened, opened: &Opened, per: u64) -> bool {
    let per = per.min(kept(&before.policy, &before.response));
    log.calls_of(before.act)
        .filter(|call| call.seq < opened.seq && call.heard != Heard::NotMade)
        .any(|call| opened.at.since(call.latest(opened.seq)).as_nanos() <= u128::from(per) * 1_000_000_000)
}

pub(super) fn scope_of(opened: &Opened, scope: &str) -> ScopeKey {
    match scope {
        "workload" => workload(&opened.target),
        "response" => ScopeKey::Response(format!("{}/{}", opened.policy, opened.response)),
        "namespace" => ScopeKey::Namespace(opened.target.namespace.clone()),
        "policy" => ScopeKey::Policy(opened.policy.clone()),
        _ => ScopeKey::Cluster,
    }
}
