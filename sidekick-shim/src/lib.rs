//! Falco's HTTP output in, CloudEvents out: the surface of falcosidekick's CloudEvents path without its losses.
//!
//! Falco ignores the status of an answer and blocks until it has it. So the shim answers 200 as soon as an alert is in
//! its queue, and delivers it afterwards: the alert's bytes verbatim as the data of a CloudEvent in structured mode
//! ([`falco_event::cloudevents`]), posted to exactly the sink's URL, with the same id on every try.
//!
//! # What goes in
//! `POST` on any path, one alert or several in a body (concatenated, on lines, or an array).
//!
//! | answer | when |
//! |---|---|
//! | 200, empty | every alert of the body is queued |
//! | 400 | some alert of it cannot be read (the body says which; the others are queued), or it broke off |
//! | 405 | another method; `GET` works on `/ping`, `/healthz`, `/readyz` and `/metrics` |
//! | 408 | the body did not arrive within 5 s |
//! | 413 | the body is larger than 1 MiB |
//! | 503 | the queue stayed full for 1 s: what did not fit is lost, unless the sender tries again |
//!
//! Whatever is refused is logged and counted too, since Falco does not look at the answer. The time that an answer waits
//! for room in the queue is the one thing that slows Falco down.
//!
//! # What goes out
//! At most 8 requests at a time, each with a deadline. A 2xx ends it. No answer, 404, 408, 409, 425, 429 and 5xx are tried
//! again after 100 ms, doubling to 5 s, with jitter, and not before the `Retry-After` of the answer (obeyed up to 30 s),
//! until the alert is older than `SHIM_RETRY_FOR`. An alert that waits for its next try holds up no other. Every other
//! status is final: logged with the alert's id and rule, and counted.
//!
//! **The queue is in memory.** An alert that is accepted and not yet delivered is lost when the process is killed;
//! SIGTERM drains it first, and what is left then is counted and logged.
//!
//! # Configuration
//! By environment variables, all of them in [`Config::from_lookup`]. A mistake ends the program with code 64 before a port
//! is open, and names every other mistake with it.
//!
//! # In another program
//! The same shim runs inside another program, on a listener and with a signal to end that are the program's own, and an
//! [`Observer`] sees each hop:
//!
//! ```
//! use sidekick_shim::{Config, Shim, serve};
//! use tokio::net::TcpListener;
//! use tokio_util::sync::CancellationToken;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let sink = TcpListener::bind("127.0.0.1:0").await?; // an event sink would listen here
//! let config = Config::to_sink(&format!("http://{}/", sink.local_addr()?))?;
//!
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let front = listener.local_addr()?; // where Falco's http_output points to
//! let stop = CancellationToken::new();
//! let shim = serve(listener, Shim::new(config, ())?, stop.clone().cancelled_owned(), std::future::pending());
//! let shim = tokio::spawn(shim);
//!
//! stop.cancel();
//! assert_eq!(shim.await?.unsent, 0);
//! # let _ = front;
//! # Ok(())
//! # }
//! ```

mod accept;
pub mod command;
mod config;
mod credentials;
mod doors;
mod edits;
#[cfg(test)]
mod fixture;
mod follow;
mod front;
mod gate;
mod metrics;
mod observer;
mod printable;
mod queue;
mod retry;
mod sender;
mod serve;
mod signals;
mod sink;
mod template;
mod tls;

pub use config::{Bounds, Config, File, Format, FrontTls, Identity, Mistake, Mistakes, Plain, Sink, Token};
pub use observer::Observer;
pub use serve::{Ended, Shim, serve};
pub use signals::signals;
pub use sink::Answer;
