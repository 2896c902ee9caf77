//! What the unit tests send.

use falco_event::Alert;

/// An alert of this rule, as short as one can be.
pub(crate) fn alert(rule: &str) -> Alert {
    Alert::from_slice(text(rule).as_bytes()).unwrap()
}

pub(crate) fn text(rule: &str) -> String {
    serde_json::json!({ "rule": rule, "priority": "Notice", "time": "2026-06-02T10:00:00Z" }).to_string()
}
