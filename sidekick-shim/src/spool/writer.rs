//! The thread that owns the store: what is asked for meanwhile it does together, so that many alerts cost one commit.

mod keep;
mod recover;
mod tidy;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use falco_event::{Alert, Timestamp};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::clock::Clock;
use super::dead::{DeadLetter, DeadLetters};
use super::ledger::{Ledger, Short};
use super::open::{Files, Opened};
use super::ranges::Ranges;
use super::store::{LEVELS, Row, Store, StoreError, Stored, Want};
use super::waiting::{Found, Item, Key};
use crate::metrics::{Lost, Metrics};
use crate::observer::Observer;

/// How many things are done together at most.
const TOGETHER: usize = 256;

/// How long it waits for more when several asked at a time the last time: alerts that come together cost one commit, and
/// one that comes alone does not wait.
const GATHER: Duration = Duration::from_micros(100);

/// How long what is finished may stay on the disk: after a crash it is sent again.
const TIDY: Duration = Duration::from_millis(50);

/// How often it looks whether dead letters are to be sent again and a disk that could not be written can be, and writes
/// down how far each sink is.
const LOOK: Duration = Duration::from_secs(1);

/// What is asked of the writer.
pub(crate) enum Command {
    Keep(Keep),
    Read {
        sink: usize,
        want: Want,
    },
    /// An alert is needed whole for its next try.
    Again {
        sink: usize,
        key: Key,
    },
    Bury {
        letter: DeadLetter,
        /// Whether it is among the dead letters now.
        reply: oneshot::Sender<bool>,
    },
    /// How old the oldest alert is; nothing if there is none.
    Oldest(oneshot::Sender<Duration>),
    /// Something is finished.
    Tidy,
    /// Writes down what there is to write down, and ends.
    Close(oneshot::Sender<()>),
}

/// Alerts to be kept, all of them or none.
pub(crate) struct Keep {
    pub(crate) alerts: Arc<[Alert]>,
    /// The room that they were promised; none if others make room.
    pub(crate) promised: u64,
    pub(crate) make_room: bool,
    pub(crate) reply: oneshot::Sender<Result<(), Short>>,
}

/// A reply to one who asked to keep alerts.
pub(crate) struct Reply {
    to: oneshot::Sender<Result<(), Short>>,
    result: Result<(), Short>,
}

impl Reply {
    pub(crate) fn give(self) {
        // Who does not wait any more has hung up.
        let _ = self.to.send(self.result);
    }
}

/// The writer; see the module.
pub(crate) struct Writer {
    files: Files,
    /// None while it is broken and no other could be begun.
    store: Option<Store>,
    dead: DeadLetters,
    /// How many dead letters there are.
    buried: u64,
    /// What they were like when they were last looked at.
    seen: Option<i64>,
    ledger: Arc<Ledger>,
    metrics: Arc<Metrics>,
    observer: Arc<dyn Observer>,
    /// Where several replies go together: to wake a runtime from outside costs a call of the system each time.
    replies: UnboundedSender<Vec<Reply>>,
    clock: Clock,
    tidy: Option<Instant>,
    look: Option<Instant>,
    /// Readings of a sink at an end that failed, and that are tried again.
    unread: Vec<(usize, bool)>,
    /// And of a sink's single alerts.
    unread_alerts: Vec<(usize, Key)>,
    /// Several alerts came at a time the last time.
    busy: bool,
}

impl Writer {
    pub(crate) fn new(
        opened: Opened,
        ledger: Arc<Ledger>,
        metrics: Arc<Metrics>,
        observer: Arc<dyn Observer>,
        replies: UnboundedSender<Vec<Reply>>,
    ) -> Stored<Self> {
        let Opened {
            files, store, dead, ..
        } = opened;
        take_stock(&store, &ledger)?;
        let mut writer = Self {
            files,
            store: Some(store),
            buried: dead.count(),
            dead,
            seen: None,
            ledger,
            metrics,
            observer,
            replies,
            clock: Clock::start(),
            tidy: None,
            look: None,
            unread: Vec::new(),
            unread_alerts: Vec::new(),
            busy: false,
        };
        writer.metrics.dead_letters(writer.buried);
        writer.plan(Instant::now());
        Ok(writer)
    }

    /// Does what is asked until nobody can ask any more.
    pub(crate) fn run(mut self, commands: &Receiver<Command>) {
        // Where there is no room for it the spool goes on without.
        self.files.reserve.hold();
        loop {
            let due = self.tidy.into_iter().chain(self.look).min();
            let first = match due {
                None => commands.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => commands.recv_timeout(due.saturating_duration_since(Instant::now())),
            };
            let first = match first {
                Err(RecvTimeoutError::Disconnected) => return self.close(),
                first => first.ok(),
            };
            if self.busy {
                std::thread::sleep(GATHER);
            }
            let together = first.into_iter().chain(commands.try_iter()).take(TOGETHER);
            if let Some(reply) = self.carry_out(together.collect()) {
                self.close();
                let _ = reply.send(());
                return;
            }
        }
    }

    /// Does these together, and what is due; who asked for the end, if someone did.
    pub(crate) fn carry_out(&mut self, commands: Vec<Command>) -> Option<oneshot::Sender<()>> {
        let (mut keeps, mut others) = (Vec::new(), Vec::new());
        for command in commands {
            match command {
                Command::Keep(keep) => keeps.push(keep),
                other @ (Command::Read { .. }
                | Command::Again { .. }
                | Command::Bury { .. }
                | Command::Oldest(_)
                | Command::Tidy
                | Command::Close(_)) => others.push(other),
            }
        }
        self.busy = keeps.len() > 1;
        if !keeps.is_empty() {
            self.keep(keeps);
        }
        let mut end = None;
        for other in others {
            match other {
                Command::Read { sink, want } => self.read(sink, want),
                Command::Again { sink, key } => self.again(sink, key),
                Command::Bury { letter, reply } => {
                    let _ = reply.send(self.bury(&letter));
                }
                Command::Oldest(reply) => {
                    let _ = reply.send(self.oldest().unwrap_or_default());
                }
                Command::Close(reply) => end = Some(reply),
                Command::Keep(_) | Command::Tidy => {}
            }
        }
        let now = Instant::now();
        if self.tidy.is_some_and(|due| due <= now) {
            self.tidy_up();
        }
        if self.look.is_some_and(|due| due <= now) {
            self.look_around();
        }
        self.plan(now);
        end
    }

    /// When to tidy up and look around next. Where there is nothing to be seen the thread sleeps.
    fn plan(&mut self, now: Instant) {
        if self.tidy.is_none() && self.ledger.has_finished() {
            self.tidy = Some(now + TIDY);
        }
        let look = self.buried > 0
            || !self.ledger.is_writable()
            || self.ledger.is_limited()
            || !self.unread.is_empty()
            || !self.unread_alerts.is_empty()
            || self.ledger.has_several();
        if self.look.is_none() && look {
            self.look = Some(now + LOOK);
        }
    }

    fn store(&mut self) -> Stored<&mut Store> {
        let none = || StoreError::Failed("there is none".to_owned());
        self.store.as_mut().ok_or_else(none)
    }

    fn read(&mut self, sink: usize, want: Want) {
        let rows = self.store().and_then(|store| store.read(want));
        let (rows, within) = match rows {
            Ok(read) => read,
            Err(error) => {
                tracing::error!(%error, "the spool cannot be read");
                self.unread.push((sink, want.backwards));
                if let StoreError::Corrupt(why) = &error {
                    self.recover(why);
                    self.read_again();
                }
                return;
            }
        };
        let level = want.level;
        let items = rows
            .iter()
            .filter_map(|row| Some((row.seq, self.readable(level, row)?)));
        let items = items.collect();
        self.ledger
            .found(sink, want.backwards, Some(Found { want, items, within }));
    }

    /// Lets what failed be tried again.
    fn read_again(&mut self) {
        for (sink, backwards) in std::mem::take(&mut self.unread) {
            self.ledger.found(sink, backwards, None);
        }
        for (sink, key) in std::mem::take(&mut self.unread_alerts) {
            self.ledger.unread(sink, key);
        }
    }

    fn again(&mut self, sink: usize, key: Key) {
        let row = self.store().and_then(|store| store.get(key.level, key.seq));
        match row {
            Ok(row) => {
                let item = row.and_then(|row| self.readable(key.level, &row));
                self.ledger.returned(sink, key, item);
            }
            Err(error) => {
                tracing::error!(%error, "the spool cannot be read");
                self.unread_alerts.push((sink, key));
                if let StoreError::Corrupt(why) = &error {
                    self.recover(why);
                }
            }
        }
    }

    /// An alert of the store. One that is none is lost: only what could be read was written, so someone else has written
    /// here.
    fn readable(&self, level: usize, row: &Row) -> Option<Item> {
        let read = self.item(row);
        if let Err(error) = &read {
            tracing::error!(%error, "an alert in the spool cannot be read: it is lost");
            self.metrics.lost(Lost::Broken, 1);
            self.ledger.unreadable(Key { level, seq: row.seq });
        }
        read.ok()
    }

    fn item(&self, row: &Row) -> Result<Item, falco_event::ReadError> {
        let received = Timestamp::from_microsecond(row.received).unwrap_or(Timestamp::UNIX_EPOCH);
        Ok(Item {
            alert: Alert::from_slice(&row.data)?,
            received,
            age: (self.clock.age(received), tokio::time::Instant::now()),
        })
    }

    fn oldest(&mut self) -> Stored<Duration> {
        let clock = self.clock;
        let store = self.store()?;
        let mut oldest = Duration::ZERO;
        for level in 0..LEVELS {
            if let Some((_, received)) = store.oldest(level)? {
                let received = Timestamp::from_microsecond(received).unwrap_or_default();
                oldest = oldest.max(clock.age(received));
            }
        }
        Ok(oldest)
    }

    pub(crate) fn close(&mut self) {
        self.tidy_up();
        self.store = None;
    }
}

/// Tells the ledger what is there at the start.
fn take_stock(store: &Store, ledger: &Ledger) -> Stored<()> {
    let progress = store.progress()?;
    for level in 0..LEVELS {
        let ends = store.oldest(level)?.zip(store.newest(level)?);
        let Some(((first, _), last)) = ends else { continue };
        for (sink, name) in ledger.sinks().enumerate() {
            let mut seqs = Ranges::from_iter([first..=last]);
            for (_, _, done) in progress.iter().filter(|(of, at, _)| of == name && *at == level) {
                seqs.remove_all(done.clone());
            }
            ledger.stored(sink, level, &seqs);
        }
        if ledger.left_over(level, Ranges::from_iter([first..=last])) {
            tracing::warn!(
                level,
                "no sink that is configured waits for some alerts of the spool: they are removed"
            );
        }
    }
    ledger.set_counts(store.counts());
    Ok(())
}

fn level(alert: &Alert) -> usize {
    usize::from(alert.priority().severity())
}

fn remove(store: &mut Store, finished: &[Ranges; LEVELS]) -> Stored<()> {
    for (level, seqs) in finished.iter().enumerate() {
        for seqs in seqs.iter() {
            store.remove(level, seqs)?;
        }
    }
    Ok(())
}
