//! The decision.

pub mod condition;
