//! The shim as a whole: the front and the sender with the queue between them, from start to drained.

use std::convert::Infallible;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use falco_event::cloudevents;
use hyper::service::service_fn;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::accept::{CONNECTIONS, accept};
use crate::config::{Config, Mistake, Mistakes, Name};
use crate::follow::Followers;
use crate::front::{BODIES_BYTES, BODY_DEADLINE, FULL_DELAY, Front, Intake};
use crate::metrics::{Lost, Metrics};
use crate::observer::Observer;
use crate::queue::{Room, queue};
use crate::sender::{Sender, Way};
use crate::sink::HttpSink;

/// How long requests that were there before the drain get: as long as the slowest that is answered needs.
const FRONT_GRACE: Duration = BODY_DEADLINE.saturating_add(FULL_DELAY);

/// A shim that is ready to be served.
pub struct Shim {
    config: Config,
    sinks: Vec<HttpSink>,
    observer: Arc<dyn Observer>,
    followers: Followers,
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
                Err(why) => mistakes.push(Mistake::new(
                    &Name::variable(&sink.name),
                    format!("is a sink that cannot be used: {why}"),
                )),
            }
        }
        let sinks = Mistakes::or(mistakes, sinks)?;
        Ok(Self {
            config,
            sinks,
            observer: Arc::new(observer),
            followers,
        })
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
    } = shim;
    let sink = sinks.remove(0);
    announce(&listener, &config);
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
    let mut all = pin!(async { tokio::join!(serve_front(listener, front, drain), sender.run()) });
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

async fn serve_front(listener: TcpListener, front: Front, drain: impl Future<Output = ()>) {
    let service = service_fn(move |request| {
        let front = front.clone();
        async move { Ok::<_, Infallible>(front.answer(request).await) }
    });
    accept(listener, CONNECTIONS, service, drain, FRONT_GRACE).await;
}

fn announce(listener: &TcpListener, config: &Config) {
    for note in &config.notes {
        tracing::warn!("{note}");
    }
    let address = listener
        .local_addr()
        .map(|address| address.to_string())
        .unwrap_or_default();
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
