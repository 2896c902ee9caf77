//! The server of falco-drop: Falco's alerts over HTTP in, pods dropped, records out.
//!
//! [`serve()`] answers requests on a listener until it is told to stop; [`Host`] runs the engine of `drop-core` for each
//! alert, as a task of its own; [`command`] is the command line. The server knows nothing about pods: what is done about
//! an alert is decided in `drop-core`, and done through `drop-kube`.

#![forbid(unsafe_code)]

mod answer;
mod body;
mod clock;
mod cluster;
pub mod command;
#[cfg(feature = "demo")]
mod demo;
mod edge;
mod files;
mod host;
mod journal;
mod keys;
mod logs;
mod memory;
mod metrics;
mod offline;
mod policies;
mod readiness;
mod rights;
mod run;
mod signals;

pub use clock::SystemClock;
pub use edge::serve;
pub use host::Host;
pub use journal::JsonLines;
pub use keys::KeyFile;
pub use metrics::Metrics;
pub use policies::{About, Follower, Status, Store};
pub use readiness::Readiness;
