//! Falco's HTTP output in, CloudEvents out: the surface of falcosidekick's CloudEvents path without its losses.
//!
//! Falco ignores the status of an answer and blocks until it has it. So the shim answers 200 as soon as an alert is in
//! its spool on the disk, and delivers it afterwards: the alert's bytes, verbatim unless the configuration changes them, as the data
//! of a CloudEvent in structured mode ([`falco_event::cloudevents`]), posted to exactly the sink's URL, with the same id
//! on every try.
//!
//! # What goes in
//! `POST` on any path, one alert or several in a body (concatenated, on lines, or an array).
//!
//! | answer | when |
//! |---|---|
//! | 200, empty | every alert of the body is in the spool, or not urgent enough for any sink |
//! | 400 | some alert of it cannot be read (the body says which; the others are in the spool), or it broke off |
//! | 401 | credentials are asked for, and the request shows none or wrong ones |
//! | 405 | another method; `GET` works on `/ping`, `/healthz`, `/readyz` and `/metrics` |
//! | 408 | the body did not arrive within 5 s |
//! | 413 | the body is larger than 4 MiB |
//! | 431, or 400 | what is no HTTP, or has a header of over 16 KiB or 100 lines; it is not counted |
//! | 503 with `Retry-After: 1` | the spool is full of alerts that are more urgent, and `SHIM_FULL` is `drop-oldest` |
//! | none, and the connection is closed | the spool cannot be written, or is full and `SHIM_FULL` is `reject`: over a kept connection Falco sends the alert once more |
//!
//! Whatever else is refused is logged and counted too, since Falco does not look at the answer. The time that an answer waits
//! for room in the spool is what slows Falco down: at most 1 s in any 10 s for each address that alerts come from. Then
//! the oldest of the least urgent alerts make room, and are counted. While alerts come quicker than a sink takes them, an
//! answer also lets the requests to the sink go first, for some milliseconds at most.
//!
//! # What goes out
//! At most 16 requests to a sink at a time, each with a deadline: half of them with the newest alerts, the most urgent
//! first, the other half with the oldest. A 2xx ends it. No answer, 404, 408, 409, 425, 429 and 5xx are tried again after
//! 100 ms, doubling to 5 s, with jitter, and not before the `Retry-After` of the answer (obeyed up to 30 s), until the
//! alert is older than `SHIM_RETRY_FOR`. An alert that waits for its next try holds up no other. 400, 413, 415, 422 and
//! 431 are the event's own fault: it becomes a dead letter, which `sidekick-shim requeue` sends again. Every other status
//! is a wrong configuration, there or here: the sink is paused and asked now and then, and nothing is given up for its age
//! meanwhile.
//!
//! # The spool
//! A folder of the shim alone, bounded in bytes. What an accepted alert survives is `SHIM_DURABILITY`: `crash`, the end of
//! the process, however it comes, and but for the last 100 ms (`SHIM_SYNC`) that of the machine's power; `power-loss`, both
//! without loss; `memory`, nothing. An alert can arrive twice, with the same id: a sink that had it when the process died
//! is asked again.
//!
//! # Configuration
//! By environment variables and a file, as falcosidekick's, all of it in [`Config::read`]. A mistake ends the program with
//! code 64 before a port is open, and names every other mistake with it.
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

#![forbid(unsafe_code)]

mod accept;
pub mod command;
mod config;
mod credentials;
mod destination;
mod doors;
mod edits;
mod envelope;
mod events;
#[cfg(test)]
mod fixture;
mod follow;
mod front;
mod gate;
mod input;
mod metrics;
mod observer;
mod printable;
mod retry;
mod sender;
mod serve;
mod signals;
mod sink;
mod spool;
mod template;
mod tls;

pub use config::{
    Config, Durability, File, Format, FrontTls, Identity, Mistake, Mistakes, Plain, Sink, Spool, Token,
    WhenFull,
};
pub use observer::Observer;
pub use serve::{Ended, Shim, serve};
pub use signals::signals;
pub use sink::Answer;
