//! The spool between the front and the sinks: an alert is accepted when it is in it.
//!
//! On the disk are the alerts ([`store`]), each once, whatever the number of sinks, and the dead letters ([`dead`]). Alerts
//! are written by [`keeper`], and all else is done in a thread ([`writer`]). What waits for which sink is in memory
//! ([`ledger`], [`waiting`]), nearly all of it as ranges of numbers. An alert leaves the disk when no sink waits for it any
//! more. That is written down some milliseconds later: what was delivered right before a crash is sent again, with the
//! same id.

mod clock;
pub(crate) mod dead;
pub(crate) mod folder;
mod gather;
mod keeper;
mod ledger;
mod open;
mod patience;
mod ranges;
mod store;
mod sync;
mod waiting;
mod writer;

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use falco_event::Alert;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::oneshot;

use crate::config::{self, Sink, WhenFull};
use crate::metrics::{Metrics, Spooled};
use crate::observer::Observer;
use dead::DeadLetter;
use gather::{Gathered, Together};
use keeper::{Durably, Keep, Keeper};
pub(crate) use ledger::{Ledger, Short};
use open::Files;
pub(crate) use open::Opened;
pub(crate) use patience::{DELAY, Patience};
use store::{Want, on_disk};
use sync::Syncer;
pub(crate) use waiting::{Again, Item, Key, Lane, Next};
use writer::{Command, Reply, Writer};

/// How many turns of the runtime an alert waits for its answer at most while the sender is behind: some milliseconds
/// with every connection busy, and less than one with few.
const TURNS: u32 = 8;

/// The spool, for those who put alerts in and those who take them out; cheap to clone.
#[derive(Clone)]
pub(crate) struct Spool {
    writer: To,
    keeper: Arc<Keeper>,
    when_full: WhenFull,
    replies: Arc<Mutex<Option<Replies>>>,
}

/// Replies of the writer that come together.
type Replies = UnboundedReceiver<Vec<Reply>>;

/// How the writer is asked.
#[derive(Clone)]
enum To {
    Thread(Sender<Command>),
    /// Does what it is asked at once: a clock that stands still does not wait for a thread.
    #[cfg(test)]
    Inline(Arc<Mutex<Writer>>),
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spool")
            .field("ledger", &self.keeper.ledger)
            .finish_non_exhaustive()
    }
}

/// Opens the files of a spool and holds them.
///
/// # Errors
/// Why they cannot be used.
pub(crate) fn open(spool: &config::Spool) -> Result<Opened, String> {
    Files::open(spool).map_err(|why| at(spool, why))
}

/// Whether the folder of a spool could be held, as far as can be said without making anything.
///
/// # Errors
/// Why not.
pub(crate) fn probe(spool: &config::Spool) -> Result<(), String> {
    match spool.durability {
        config::Durability::Memory => Ok(()),
        config::Durability::Crash | config::Durability::PowerLoss => {
            folder::probe(&spool.folder).map_err(|why| at(spool, why))
        }
    }
}

fn at(spool: &config::Spool, why: String) -> String {
    match spool.durability {
        config::Durability::Memory => why,
        config::Durability::Crash | config::Durability::PowerLoss => {
            format!("`{}`: {why}", spool.folder.display())
        }
    }
}

impl Spool {
    /// Starts the thread that writes.
    ///
    /// # Errors
    /// What is in the spool cannot be read, or there is no thread.
    pub(crate) fn start(
        opened: Opened,
        spool: &config::Spool,
        sinks: &[Sink],
        metrics: &Arc<Metrics>,
        observer: &Arc<dyn Observer>,
    ) -> Result<Self, String> {
        let (keeper, writer, replies) = prepare(opened, spool, sinks, metrics, observer)?;
        let (commands, out) = channel();
        std::thread::Builder::new()
            .name("spool".to_owned())
            .spawn(move || writer.run(&out))
            .map_err(|error| error.to_string())?;
        Ok(Self {
            writer: To::Thread(commands),
            keeper,
            when_full: spool.when_full,
            replies: Arc::new(Mutex::new(Some(replies))),
        })
    }

    /// A spool without a thread.
    #[cfg(test)]
    pub(crate) fn inline(
        spool: &config::Spool,
        sinks: &[Sink],
        metrics: &Arc<Metrics>,
        observer: &Arc<dyn Observer>,
    ) -> Self {
        let opened = open(spool).unwrap();
        let (keeper, writer, _) = prepare(opened, spool, sinks, metrics, observer).unwrap();
        Self {
            writer: To::Inline(Arc::new(Mutex::new(writer))),
            keeper,
            when_full: spool.when_full,
            replies: Arc::default(),
        }
    }

    /// Whether alerts for which there is no room are rejected.
    pub(crate) fn rejects(&self) -> bool {
        self.when_full == WhenFull::Reject
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.keeper.ledger
    }

    /// Hands the replies of the writer over, as long as there can be any.
    pub(crate) async fn hand_over(self) {
        let replies = self.replies.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The writer ends when nobody can ask it any more.
        drop(self);
        let Some(mut replies) = replies else { return };
        while let Some(replies) = replies.recv().await {
            replies.into_iter().for_each(Reply::give);
        }
    }

    fn ask(&self, command: Command) {
        match &self.writer {
            // Where it is gone, who asks gets no reply.
            To::Thread(commands) => {
                if commands.send(command).is_err() {
                    self.ledger().set_writable(false);
                }
            }
            #[cfg(test)]
            To::Inline(writer) => {
                let mut writer = writer.lock().unwrap();
                let reply = writer.carry_out(vec![command]);
                drop(self.keeper.gathered.take_all());
                self.keeper.release();
                writer.tidy_at_once();
                if let Some(reply) = reply {
                    writer.close();
                    let _ = reply.send(());
                }
            }
        }
    }

    /// Keeps alerts, all of them or none. Where there is no room the answer waits for as long as the connection has
    /// patience, and then what was chosen for that happens.
    pub(crate) async fn keep(&self, alerts: Vec<Alert>, patience: &Patience) -> Result<(), Short> {
        let bytes = alerts.iter().map(|alert| on_disk(alert.as_bytes().len())).sum();
        let alerts = alerts.into();
        let short = loop {
            let mut room = std::pin::pin!(self.ledger().room.notified());
            // From here on no notice is missed.
            room.as_mut().enable();
            let short = match self.ledger().promise(bytes) {
                Ok(()) => match self.write(&alerts, bytes, false).await {
                    Ok(()) => {
                        self.give_way().await;
                        return Ok(());
                    }
                    Err(short) => short,
                },
                Err(short) => short,
            };
            if !patience.wait(room).await {
                break short;
            }
        };
        match (short, self.when_full) {
            (Short::Full, WhenFull::Reject) => Err(short),
            (_, when_full) => self.write(&alerts, 0, when_full == WhenFull::DropOldest).await,
        }
    }

    /// Lets a sender that is behind go on, for a moment at most. Who takes alerts would otherwise always be quicker than
    /// who sends them, and every alert would have to be read again.
    async fn give_way(&self) {
        for _ in 0..TURNS {
            if !self.ledger().is_behind() {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn write(&self, alerts: &Arc<[Alert]>, promised: u64, make_room: bool) -> Result<(), Short> {
        let (reply, written) = oneshot::channel();
        let keep = Keep {
            alerts: Arc::clone(alerts),
            promised,
            make_room,
            reply,
        };
        if self.keeper.gathered.add(keep) {
            // Others who are ready too join in; for all of them it is one write. It is made also if this is dropped.
            let _turn = Turn(self);
            tokio::task::yield_now().await;
        }
        written.await.unwrap_or(Err(Short::Unwritable))
    }

    /// Asks for alerts to be read; the sink is woken when they are.
    pub(crate) fn read(&self, sink: usize, want: Want) {
        self.ask(Command::Read { sink, want });
    }

    /// Asks for an alert that is to be tried again; the sink is woken when it is there.
    pub(crate) fn read_one(&self, sink: usize, key: Key) {
        self.ask(Command::Again { sink, key });
    }

    /// Puts an alert among the dead letters; false if that is not possible.
    pub(crate) async fn bury(&self, letter: DeadLetter) -> bool {
        let (reply, buried) = oneshot::channel();
        self.ask(Command::Bury { letter, reply });
        buried.await.unwrap_or(false)
    }

    /// How it is now.
    pub(crate) async fn spooled(&self) -> Spooled {
        let (reply, oldest) = oneshot::channel();
        self.ask(Command::Oldest(reply));
        let count = self.ledger().count();
        Spooled {
            alerts: count.alerts,
            bytes: count.on_disk(),
            oldest: oldest.await.unwrap_or_default(),
            writable: self.ledger().is_writable(),
        }
    }

    /// A sink is done with an alert; false if it was given up meanwhile.
    pub(crate) fn settle(&self, sink: usize, key: Key) -> bool {
        let settled = self.ledger().settle(sink, key);
        if settled.tell {
            self.ask(Command::Tidy);
        }
        settled.waited
    }

    /// Writes down what there is to write down; from then on nothing is kept.
    pub(crate) async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        self.ask(Command::Close(reply));
        let _ = closed.await;
    }
}

/// A turn of the runtime; what was gathered is kept at its end.
struct Turn<'a>(&'a Spool);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let Self(spool) = self;
        let Some(Together { keeps, awaited }) = spool.keeper.gathered.take() else {
            return;
        };
        if matches!(spool.keeper.durably, Durably::AtOnce) {
            // It may take long.
            spool.ask(Command::Keep(Together { keeps, awaited }));
            if awaited {
                spool.keeper.release();
            }
        } else if spool.keeper.keep_and_reply(keeps) {
            spool.ask(Command::Tidy);
        }
    }
}

fn prepare(
    opened: Opened,
    spool: &config::Spool,
    sinks: &[Sink],
    metrics: &Arc<Metrics>,
    observer: &Arc<dyn Observer>,
) -> Result<(Arc<Keeper>, Writer, Replies), String> {
    let Opened {
        files,
        store,
        dead,
        broken,
    } = opened;
    metrics.broken(broken);
    let ledger = Ledger::new(spool.bytes as u64, sinks);
    let mut progress = store.progress();
    keeper::take_stock(&store, &mut progress, &ledger, metrics).map_err(|error| error.to_string())?;
    let store = Arc::new(Mutex::new(store));
    let durably = match spool.durability {
        config::Durability::Memory => Durably::Never,
        config::Durability::PowerLoss => Durably::AtOnce,
        config::Durability::Crash => {
            let syncer = Syncer::start(Arc::clone(&store), spool.sync);
            Durably::Later(syncer.map_err(|error| error.to_string())?)
        }
    };
    let keeper = Arc::new(Keeper {
        store,
        ledger,
        metrics: Arc::clone(metrics),
        observer: Arc::clone(observer),
        durably,
        gathered: Gathered::default(),
    });
    let (replies, out) = unbounded_channel();
    let writer = Writer::new(Arc::clone(&keeper), files, dead, progress, replies);
    Ok((keeper, writer, out))
}

#[cfg(test)]
mod tests;
