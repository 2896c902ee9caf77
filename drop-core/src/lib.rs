//! The decision of falco-drop: a pure engine from Falco's alert to a pod's end, over the port [`PodApi`](ports::PodApi).
//!
//! ```text
//!            Policies ──┐
//!  Alert ──▶ plan ──▶ Plan ──▶ decide ──▶ Decision ──▶ Engine ──▶ Record
//!                       Facts ──┘                        │
//!                                    PodApi, Memory, Journal, Clock
//! ```
//! Three files tell what the product does: [`plan`], [`decide`], [`engine`]. Nothing here reads a clock, a file, the
//! environment or the network: time is an argument, and the world is behind the four [`ports`].

#![forbid(unsafe_code)]

pub mod condition;
pub mod decide;
pub mod engine;
pub mod facts;
pub mod guard;
pub mod identity;
pub mod memory;
pub mod moment;
pub mod outcome;
pub mod past;
pub mod plan;
pub mod pod;
pub mod policy;
pub mod ports;
pub mod record;
pub mod target;
#[cfg(feature = "testing")]
pub mod testing;

/// Implementations of the ports are written with it.
pub use async_trait::async_trait;
pub use engine::Engine;
/// The alert and its names.
pub use falco_event;
pub use outcome::Outcome;
