//! Generators of alerts for proptest 1, of two kinds: *wild* ones, which are mostly no alerts and must do no harm, and
//! *aimed* ones, which are alerts in all their spellings, so that the deep paths are reached.

mod aimed;
#[doc(hidden)]
pub mod checks;
mod names;
mod wild;

pub use aimed::{alert, alert_of, alert_text, alert_text_of, fields_of};
pub use names::{container_id, namespace, node_name, offender, pod_name, pod_uid};
pub use wild::{body, json};
