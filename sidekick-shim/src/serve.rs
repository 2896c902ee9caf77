//! The shim as a whole: the front and the sender with the queue between them, from start to drained.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;

use falco_event::cloudevents;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Mistake, Mistakes, Name};
use crate::doors::Doors;
use crate::follow::Followers;
use crate::front::{BODIES_BYTES, Front, Intake};
use crate::metrics::{Lost, Metrics};
use crate::observer::Observer;
use crate::queue::{Room, queue};
use crate::sender::{Sender, Way};
use crate::sink::HttpSink;

/// A shim that is ready to be served.
pub struct Shim {
    config: Config,
    sinks: Vec<HttpSink>,
    observer: Arc<dyn Observer>,
    followers: Followers,
    doors: Doors,
}

impl Shim {
    /// A shim with this configuration, whose hops `observer` sees; `()` sees none.
    ///
    /// # Errors
    /// A file that the configuration names cannot be used, or there is no certificate authority to trust an `https`
    /// sink by: every such mistake.
    pub fn new(config: Config, observer: impl Observer) -> Result<Self, Mistakes> {
        let mut followers = Followers::default();
        let mut mistakes = Vec::new();
        let mut sinks = Vec::new();
        for sink in &config.sinks {
            match HttpSink::new(sink, &config, &mut followers) {
                Ok(http) => sinks.push(http),
                Err(why) => {
                    let what = format!("is a sink that cannot be used: {why}");
                    mistakes.push(Mistake::new(&Name::variable(&sink.name), what));
                }
            }
        }
        let doors = Doors::new(&config, &mut followers, &mut mistakes);
        Mistakes::or(
            mistakes,
            Self {
                config,
                sinks,
                observer: Arc::new(observer),
                followers,
                doors,
            },
        )
    }

    /// Where the shim wants to listen and what else it was told; the front and, with [`FrontTls::plain`], the port
    /// without TLS.
    ///
    /// [`FrontTls::plain`]: crate::FrontTls::plain
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Serves probes and metrics on this listener too, without TLS and credentials.
    #[must_use]
    pub fn with_plain(mut self, listener: TcpListener) -> Self {
        self.doors.plain = Some(listener);
        self
    }
}

impl fmt::Debug for Shim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shim")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// How a shim ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Alerts that were accepted and neither delivered nor given up. Those of them whose request was in flight may have arrived.
    pub unsent: usize,
}

/// Serves `listener` until `drain` is ready: then it closes the listener, answers the requests in flight, sends what is
/// queued and returns. It returns earlier at the drain deadline of its configuration, or when `abort` is ready.
///
/// Sockets and signals come from outside: [`signals`](crate::signals) makes both futures of SIGTERM and SIGINT, and a
/// program that never aborts passes [`std::future::pending`]. An alert answered 200 is in memory only, so what is not
/// sent at the end is lost: it is counted, logged, and in [`Ended::unsent`]. Dropping the future ends everything at once,
/// without that count.
///
/// See the [crate](crate#in-another-program) for an example.
pub async fn serve(
    listener: TcpListener,
    shim: Shim,
    drain: impl Future<Output = ()>,
    abort: impl Future<Output = ()>,
) -> Ended {
    let Shim {
        config,
        mut sinks,
        observer,
        followers,
        doors,
    } = shim;
    let sink = sinks.remove(0);
    announce(&listener, &config, doors.plain.as_ref());
    let metrics = Arc::new(Metrics::new());
    let (queue, fresh) = queue(config.queue);
    let room = queue.room();
    let way = Way {
        sink,
        envelope: cloudevents::Sender::default().with_overrides(config.overrides),
        observer: Arc::clone(&observer),
    };
    let sender = Sender::new(way, Arc::clone(&metrics), config.retry_for, fresh);
    let front = Front {
        intake: Arc::new(Intake {
            edits: config.edits,
            sinks: config.sinks,
        }),
        queue,
        metrics: Arc::clone(&metrics),
        observer,
        bodies: Arc::new(Semaphore::new(BODIES_BYTES)),
    };
    let draining = CancellationToken::new();
    let drain = async {
        drain.await;
        tracing::info!(queued = room.alerts(), "draining");
        draining.cancel();
    };
    // The front owns the queue's end: when it is done the queue is closed, and the sender ends once it is empty.
    // Pinned here, so that it is still whole when one of the others ends it, and what it holds can be counted.
    let mut all = pin!(async {
        tokio::join!(
            drain,
            doors.serve(listener, front, draining.clone()),
            sender.run()
        )
    });
    let deadline = async {
        draining.cancelled().await;
        tokio::time::sleep(config.drain_deadline).await;
    };
    tokio::select! {
        _ = &mut all => {}
        () = deadline => tracing::error!("the drain deadline is over"),
        () = abort => tracing::error!("aborted"),
        () = followers.run() => {}
    }
    end(&room, &metrics)
}

fn announce(listener: &TcpListener, config: &Config, plain: Option<&TcpListener>) {
    for note in &config.notes {
        tracing::warn!("{note}");
    }
    let address = |listener: &TcpListener| {
        listener
            .local_addr()
            .map(|address| address.to_string())
            .unwrap_or_default()
    };
    if let Some(plain) = plain {
        tracing::info!(plain = address(plain), "listening for probes");
    }
    let address = address(listener);
    for sink in &config.sinks {
        tracing::info!(name = sink.name, url = %sink.url, "a sink");
    }
    tracing::info!(%address, "listening");
}

fn end(room: &Room, metrics: &Metrics) -> Ended {
    let unsent = room.alerts();
    if unsent > 0 {
        metrics.lost(Lost::Shutdown, unsent as u64);
        tracing::error!(
            unsent,
            bytes = room.bytes(),
            "ended with alerts unsent: they are lost"
        );
    } else {
        tracing::info!("ended with no alert left");
    }
    Ended { unsent }
}
