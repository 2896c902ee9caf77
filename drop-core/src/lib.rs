//! The decision.

pub mod condition;
pub mod facts;
pub mod pod;
pub mod policy;
