//! An alert as a CloudEvent, and the HTTP binding of CloudEvents as Knative speaks it.
//!
//! - [`receive`] takes an HTTP request apart: binary and structured mode.
//! - [`Sender`] writes events in structured mode, the only one that every receiver reads alike: senders in the field
//!   do not percent-encode header values, the specification wants it, and a Trigger compares what it got.
//! - `Keys` (feature `signed`) signs the data of events and verifies them.
//! - `cloudevents::Event` of cloudevents-sdk converts from and to [`Alert`](crate::Alert).

mod attributes;
mod event;
mod header;
mod overrides;
mod receive;
mod refusal;
mod send;
#[cfg(feature = "signed")]
mod signature;
mod structured;

pub use overrides::{Overrides, OverridesError, parse_overrides};
pub use receive::{Received, receive};
pub use refusal::Refusal;
pub use send::Sender;
#[cfg(feature = "signed")]
pub use signature::{Forged, KEY_ID, Keys, KeysError, SIGNATURE, Signature};

/// The type of an event that is an alert; falcosidekick's.
pub const TYPE: &str = "falco.rule.output.v1";

/// The source of an event that is an alert, unless a [`Sender`] is told another; falcosidekick's since 2.30.
/// Before, it was `falco.org`, `syscall` and others, so receivers go by the type.
pub const SOURCE: &str = "https://falco.org";

/// The media type of an event in structured mode, as [`Sender`] writes it.
pub const CONTENT_TYPE: &str = "application/cloudevents+json";

/// The extension with the time at which the event was made of the alert, CloudEvents' `recordedtime`.
pub const RECORDED_TIME: &str = "recordedtime";
