//! The decision of falco-drop: a pure engine from Falco's alert to a pod's end, over the port [`PodApi`].
//!
//! ```text
//!            Policies ──┐
//!  Alert ──▶ plan ──▶ Plan ──▶ decide ──▶ Decision ──▶ Engine ──▶ Record
//!                       Facts ──┘                        │
//!                                    PodApi, Memory, Journal, Clock
//! ```
//! Three files tell what the product does: [`plan`](mod@plan), [`decide`](mod@decide), [`engine`]. Nothing here reads a clock, a file, the
//! environment or the network: time is an argument, and the world is behind the four [`ports`].
//!
//! What a policy says of an alert can be asked without any of them:
//!
//! ```
//! use drop_core::falco_event::Alert;
//! use drop_core::{Policies, Source, plan};
//!
//! let text = "
//! apiVersion: falco-drop.dev/v1alpha1
//! kind: DropPolicy
//! metadata: { name: shells }
//! spec:
//!   responses: [{ name: shell, when: 'alert.rule = \"Terminal shell in container\"', do: [{ delete: {} }] }]
//! ";
//! let policies = Policies::parse(&[Source { name: "policy.yaml", text }])?;
//! let alert = Alert::from_slice(
//!     br#"{"rule":"Terminal shell in container","priority":"Notice","output":"a shell","time":"2026-03-01T12:00:00Z"}"#,
//! )?;
//! let responses: Vec<_> = plan(&policies, &alert).wanted.iter().map(|wanted| &wanted.response.name).collect();
//! assert_eq!(responses, ["shell"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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
pub use decide::{Decision, decide};
pub use engine::Engine;
pub use facts::Facts;
/// The alert and its names.
pub use falco_event;
pub use outcome::Outcome;
pub use plan::{Plan, plan};
pub use policy::{Policies, Source};
pub use ports::PodApi;
