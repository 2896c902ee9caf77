//! JSON, read in place: where each value stands in the text, and nothing copied.
//!
//! A reader of its own, because an alert must be kept as it was written: `serde_json` refuses a lone surrogate, says
//! nothing of spans, and its exact numbers are a feature of the whole dependency graph.

mod escape;
mod scan;

pub(crate) use escape::unescape;
pub(crate) use scan::{Scanner, Str, Syntax};

/// How deep an alert may nest. `serde_json` reads 127 levels into a value, and an event has one more than its alert, so
/// that whatever is read here can be sent on and read there.
pub(crate) const ALERT_LEVELS: u32 = 120;
