//! The shim as a whole: the front and the senders with the spool between them, from start to drained.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Durability, Mistake, Mistakes, Name, Sink};
use crate::destination::Destination;
use crate::doors::Doors;
use crate::follow::Followers;
use crate::front::{BODIES_BYTES, Front, Intake};
use crate::input::Input;
use crate::metrics::{Lost, Metrics};
use crate::observer::Observer;
use crate::sender::{Sender, Way};
use crate::spool::{self, Spool};

/// What the files that a configuration names are read for.
struct Files {
    destinations: Vec<Destination>,
    followers: Followers,
    doors: Doors,
}

impl Files {
    /// Reads all of them; mistakes are noted.
    fn read(config: &Config, mistakes: &mut Vec<Mistake>) -> Self {
        let mut followers = Followers::default();
        Self {
            destinations: Destination::all(config, &mut followers, mistakes),
            doors: Doors::new(config, &mut followers, mistakes),
            followers,
        }
    }
}

/// What is wrong with the files that a configuration names.
pub(crate) fn mistakes_of_files(config: &Config) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    drop(Files::read(config, &mut mistakes));
    mistakes
}

/// What is wrong with the folder of its spool.
pub(crate) fn mistake_of_spool(config: &Config) -> Option<Mistake> {
    spool::probe(&config.spool).err().map(|why| spool_mistake(&why))
}

fn spool_mistake(why: &str) -> Mistake {
    Mistake::new(&Name::variable("SHIM_SPOOL"), format!("cannot be used: {why}"))
}

/// A shim that is ready to be served.
pub struct Shim {
    config: Config,
    destinations: Vec<Destination>,
    spool: Spool,
    metrics: Arc<Metrics>,
    observer: Arc<dyn Observer>,
    followers: Followers,
    doors: Doors,
}

impl Shim {
    /// A shim with this configuration, whose hops `observer` sees; `()` sees none. It holds the spool from here on.
    ///
    /// # Errors
    /// A file that the configuration names cannot be used, there is no certificate authority to trust an `https` sink by,
    /// or the spool cannot be held, read or written: every such mistake.
    pub fn new(config: Config, observer: impl Observer) -> Result<Self, Mistakes> {
        let mut mistakes = Vec::new();
        let Files {
            destinations,
            followers,
            doors,
        } = Files::read(&config, &mut mistakes);
        // Opened last, and only by one that will run; another says beside the rest whether it could.
        if !mistakes.is_empty() {
            mistakes.extend(mistake_of_spool(&config));
        }
        Mistakes::or(mistakes, ())?;
        let (metrics, observer): (_, Arc<dyn Observer>) =
            (Arc::new(Metrics::new(&config.labels)), Arc::new(observer));
        let spool = spool::open(&config.spool)
            .and_then(|opened| Spool::start(opened, &config.spool, &config.sinks, &metrics, &observer));
        let spool = spool.map_err(|why| Mistakes::from(spool_mistake(&why)))?;
        Ok(Self {
            config,
            destinations,
            spool,
            metrics,
            observer,
            followers,
            doors,
        })
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

    /// Takes alerts from here too, one a line. The end of the input begins the drain.
    ///
    /// # Errors
    /// There is no thread to read it with.
    pub fn with_input(mut self, input: impl Read + Send + 'static) -> io::Result<Self> {
        self.doors.input = Some(Input::start(input)?);
        Ok(self)
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Alerts that were accepted and neither delivered nor given up. Those of them whose request was in flight may have
    /// arrived.
    pub unsent: u64,
    /// Those of them that nothing keeps: all, if the spool is in memory.
    pub lost: u64,
    /// A part of the shim failed, which is a defect of it: it ended to be started again.
    pub failed: bool,
}

/// Serves `listener` until `drain` is ready: then it goes on for a while, closes the listener, answers the requests in
/// flight, sends what is in the spool and returns. It returns earlier at the drain deadline of its configuration, or when
/// `abort` is ready.
///
/// Sockets and signals come from outside: [`signals`](crate::signals) makes both futures of SIGTERM and SIGINT, and a
/// program that never aborts passes [`std::future::pending`]. A shim of which a part has failed does not stay up without
/// it: it drains if it can, and says so in [`Ended::failed`]. What is not sent at the end is counted, logged, and in
/// [`Ended::unsent`]; it waits on the disk for the next start, unless the spool is in memory. Dropping the future ends
/// everything at once, without that count.
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
        destinations,
        spool,
        metrics,
        observer,
        followers,
        doors,
    } = shim;
    announce(&listener, &config, doors.plain.as_ref());
    let closed = CancellationToken::new();
    let way = |(number, (destination, sink)): (usize, (Destination, &Sink))| Way {
        http: destination.http,
        envelope: destination.envelope,
        observer: Arc::clone(&observer),
        sink: sink.clone(),
        number,
        retry_for: config.retry_for,
        event_bytes: config.event_bytes,
    };
    let ways = destinations.into_iter().zip(&config.sinks).enumerate().map(way);
    let mut sending: JoinSet<()> = ways
        .map(|way| Sender::new(way, spool.clone(), Arc::clone(&metrics), closed.clone()).run())
        .collect();
    // Goes on as long as the spool's writer, or to the end of this function.
    let mut beside = JoinSet::new();
    beside.spawn(spool.clone().hand_over());
    let front = front(&config, &spool, &metrics);
    let draining = CancellationToken::new();
    let drain = async {
        tokio::select! {
            () = drain => draining.cancel(),
            () = draining.cancelled() => {}
        }
        tracing::info!(alerts = spool.ledger().count().alerts, "draining");
    };
    let doors = async {
        tokio::join!(drain, doors.serve(listener, front, draining.clone()));
        closed.cancel();
    };
    let failed = AtomicBool::new(false);
    let all = async { tokio::join!(doors, senders(&mut sending, &draining, &failed)) };
    let deadline = async {
        draining.cancelled().await;
        tokio::time::sleep(config.drain_deadline).await;
    };
    tokio::select! {
        _ = all => {}
        () = spool_fails(&mut beside, &spool) => failed.store(true, Ordering::Relaxed),
        () = deadline => tracing::error!("the drain deadline is over"),
        () = abort => tracing::error!("aborted"),
        () = followers.run() => {}
    }
    sending.shutdown().await;
    Ended {
        failed: failed.into_inner(),
        ..end(&spool, &metrics, config.spool.durability).await
    }
}

/// Waits for the senders, each of which ends when the front has ended and nothing waits for its sink. One that ends
/// otherwise begins the drain: its sink would get nothing any more, and nobody would see it.
async fn senders(sending: &mut JoinSet<()>, draining: &CancellationToken, failed: &AtomicBool) {
    while let Some(end) = sending.join_next().await {
        if let Err(error) = end {
            tracing::error!(%error, "a sender has failed: this ends, to be started again");
            failed.store(true, Ordering::Relaxed);
            draining.cancel();
        }
    }
}

/// Ready when the thread that writes the spool is gone: nothing can be kept or read any more.
async fn spool_fails(replies: &mut JoinSet<()>, spool: &Spool) {
    let _ = replies.join_next().await;
    spool.ledger().set_writable(false);
    tracing::error!("the spool has failed: this ends, to be started again");
}

fn front(config: &Config, spool: &Spool, metrics: &Arc<Metrics>) -> Front {
    Front {
        intake: Arc::new(Intake {
            edits: config.edits.clone(),
            sinks: config.sinks.clone(),
        }),
        spool: spool.clone(),
        metrics: Arc::clone(metrics),
        bodies: Arc::new(Semaphore::new(BODIES_BYTES)),
        texts: Arc::default(),
    }
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

async fn end(spool: &Spool, metrics: &Metrics, durability: Durability) -> Ended {
    spool.close().await;
    let left = spool.ledger().count();
    let unsent = left.alerts;
    match durability {
        _ if unsent == 0 => {
            tracing::info!("ended with no alert left");
            Ended::default()
        }
        Durability::Memory => {
            metrics.lost(Lost::Shutdown, unsent);
            tracing::error!(
                unsent,
                bytes = left.bytes,
                "ended with alerts unsent: they are lost"
            );
            Ended {
                unsent,
                lost: unsent,
                ..Ended::default()
            }
        }
        Durability::Crash | Durability::PowerLoss => {
            tracing::warn!(
                unsent,
                bytes = left.bytes,
                "ended with alerts unsent: they wait in the spool"
            );
            Ended {
                unsent,
                ..Ended::default()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::process::ExitCode;

    use super::*;
    use crate::fixture;

    const ROOMY: usize = 1024 * 1024;

    #[tokio::test]
    async fn a_sender_that_fails_begins_the_drain() {
        let (draining, failed) = (CancellationToken::new(), AtomicBool::new(false));
        let mut sending = JoinSet::new();
        let other = draining.clone();
        sending.spawn(async move { other.cancelled().await });
        sending.spawn(async { panic!("a defect") });
        senders(&mut sending, &draining, &failed).await;
        assert!(failed.into_inner());
    }

    #[tokio::test]
    async fn a_shim_whose_spool_fails_ends_and_says_so() {
        let shim = Shim::new(fixture::config(ROOMY), ()).unwrap();
        let spool = shim.spool.clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        // The writer ends, as it does when it panics.
        spool.close().await;
        let ended = serve(listener, shim, pending(), pending()).await;
        assert!(!spool.ledger().is_writable());
        assert_eq!((ended.failed, ended.exit_code()), (true, ExitCode::FAILURE));
    }
}
