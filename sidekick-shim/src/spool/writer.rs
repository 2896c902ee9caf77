//! The thread that owns the store: what is asked for meanwhile it does together, so that many alerts cost one commit.

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
use super::store::{LEVELS, Row, Store, StoreError, Stored, Want, on_disk};
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

/// How many bytes are freed at a time when the disk is full before the spool is.
const EVICT: u64 = 256 * 1024;

/// What is asked of the writer.
pub(crate) enum Command {
    Keep(Keep),
    Read {
        sink: usize,
        want: Want,
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
    /// Several alerts came at a time the last time.
    busy: bool,
}

/// What a transaction did.
#[derive(Default)]
struct Done {
    /// For each of those who asked the keys of their alerts; none if there is no room for them.
    keys: Vec<Option<Vec<Key>>>,
    evicted: Vec<Evicted>,
}

/// The alerts of a level up to this one had to make room.
struct Evicted {
    level: usize,
    last: i64,
    alerts: u64,
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
            buried: dead.count()?,
            dead,
            seen: None,
            ledger,
            metrics,
            observer,
            replies,
            clock: Clock::start(),
            tidy: None,
            look: None,
            busy: false,
        };
        writer.metrics.dead_letters(writer.buried);
        writer.plan(Instant::now());
        Ok(writer)
    }

    /// Does what is asked until nobody can ask any more.
    pub(crate) fn run(mut self, commands: &Receiver<Command>) {
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
        let look = self.buried > 0 || !self.ledger.is_writable() || self.ledger.has_several();
        if self.look.is_none() && look {
            self.look = Some(now + LOOK);
        }
    }

    fn store(&mut self) -> Stored<&mut Store> {
        let none = || StoreError::Failed("there is none".to_owned());
        self.store.as_mut().ok_or_else(none)
    }

    fn keep(&mut self, mut keeps: Vec<Keep>) {
        let received = Timestamp::now();
        let promised = keeps.iter().map(|keep| keep.promised).sum();
        let mut done = self.write(&keeps, received, 0);
        if let Err(StoreError::Corrupt(why)) = &done {
            self.recover(why);
            done = self.write(&keeps, received, 0);
        }
        if let Err(error @ StoreError::Full(_)) = &done {
            // The disk is full before the spool is. Who has waited makes room, the others wait.
            let (forced, others): (Vec<_>, Vec<_>) = keeps.into_iter().partition(|keep| keep.make_room);
            self.failed(error);
            refuse(others, Short::Unwritable);
            keeps = forced;
            done = self.write(&keeps, received, EVICT);
        }
        self.ledger.keep_promise(promised);
        match done {
            Ok(done) => self.kept(keeps, done, received),
            Err(error) => {
                refuse(keeps, Short::Unwritable);
                self.failed(&error);
            }
        }
    }

    /// Writes all of them in one transaction. Who makes room frees at least so many bytes.
    fn write(&mut self, keeps: &[Keep], received: Timestamp, evict: u64) -> Stored<Done> {
        if keeps.is_empty() {
            return Ok(Done::default());
        }
        let ledger = Arc::clone(&self.ledger);
        let make_room = keeps.iter().any(|keep| keep.make_room);
        // What is finished goes before anything is lost.
        let finished = if make_room {
            ledger.take_finished()
        } else {
            Default::default()
        };
        let written = self.store().and_then(|store| {
            store.write(|store| {
                remove(store, &finished)?;
                let mut done = Done::default();
                for keep in keeps {
                    let room = !keep.make_room || room_for(keep, evict, store, &ledger, &mut done)?;
                    let keys = room.then(|| insert(keep, store, received)).transpose()?;
                    done.keys.push(keys);
                }
                Ok(done)
            })
        });
        if written.is_err() {
            ledger.put_finished(&finished);
        }
        written
    }

    fn kept(&mut self, keeps: Vec<Keep>, done: Done, received: Timestamp) {
        self.wrote();
        let (mut alerts, mut replies) = (Vec::new(), Vec::new());
        for (keep, keys) in keeps.into_iter().zip(done.keys) {
            if let Some(keys) = &keys {
                alerts.extend(keys.iter().copied().zip(keep.alerts.iter().cloned()));
            }
            // Before the senders see it: the hops of an alert are seen in their order.
            if keys.is_some() {
                self.metrics.accepted(keep.alerts.len() as u64);
                see(&*self.observer, &keep.alerts);
            }
            replies.push(Reply {
                to: keep.reply,
                result: keys.map(drop).ok_or(Short::Full),
            });
        }
        self.reply(replies);
        let age = (Duration::ZERO, tokio::time::Instant::now());
        let items = alerts.into_iter().map(|(key, alert)| {
            let item = Item { alert, received, age };
            (key, item)
        });
        self.ledger.committed(items, None);
        for evicted in done.evicted {
            self.ledger.evicted(evicted.level, evicted.last);
            self.metrics.lost(Lost::SpoolFull, evicted.alerts);
        }
        for (sink, alerts) in self.ledger.hold_to_shares() {
            self.metrics.lost(Lost::OverShare, alerts);
            let name = self.ledger.sinks().nth(sink).unwrap_or_default();
            tracing::warn!(
                sink = name,
                alerts,
                "a sink is over its share of the spool: it lost alerts"
            );
        }
    }

    fn reply(&self, mut replies: Vec<Reply>) {
        if replies.len() > 1 {
            match self.replies.send(replies) {
                Ok(()) => return,
                Err(unsent) => replies = unsent.0,
            }
        }
        replies.into_iter().for_each(Reply::give);
    }

    /// After something was written.
    fn wrote(&mut self) {
        self.files.written();
        if let Some(store) = &self.store {
            self.ledger.set_counts(store.counts());
        }
        if self.ledger.set_writable(true) {
            tracing::info!("the spool can be written again");
        }
    }

    /// After something could not be written.
    fn failed(&mut self, error: &StoreError) {
        if self.ledger.set_writable(false) {
            tracing::error!(%error, "the spool cannot be written: alerts are not taken");
        }
        if let StoreError::Corrupt(why) = error {
            self.recover(why);
        }
    }

    fn read(&mut self, sink: usize, want: Want) {
        let rows = self.store().and_then(|store| store.read(want));
        let (rows, within) = match rows {
            Ok(read) => read,
            Err(error) => {
                tracing::error!(%error, "the spool cannot be read");
                self.ledger.found(sink, want.backwards, None);
                if let StoreError::Corrupt(why) = &error {
                    self.recover(why);
                }
                return;
            }
        };
        let items = rows.into_iter().filter_map(|row| {
            let seq = row.seq;
            match self.item(&row) {
                Ok(item) => Some((seq, item)),
                Err(error) => {
                    // Only what could be read was written: someone else has written here.
                    tracing::error!(%error, "an alert in the spool cannot be read: it is lost");
                    self.metrics.lost(Lost::Broken, 1);
                    None
                }
            }
        });
        let items = items.collect();
        self.ledger
            .found(sink, want.backwards, Some(Found { want, items, within }));
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

    fn tidy_up(&mut self) {
        self.tidy = None;
        let finished = self.ledger.take_finished();
        let several = self.ledger.has_several().then(|| self.ledger.progress());
        let more = self.store.as_mut().map(|store| {
            store.write(|store| {
                remove(store, &finished)?;
                if let Some(progress) = &several {
                    let ranges = progress
                        .iter()
                        .flat_map(|(sink, level, seqs)| seqs.iter().map(|seqs| (*sink, *level, seqs)));
                    store.save_progress(ranges)?;
                }
                store.save_counts()?;
                store.give_back()
            })
        });
        match more {
            Some(Ok(more)) => {
                self.wrote();
                if more {
                    self.tidy = Some(Instant::now() + TIDY);
                }
            }
            Some(Err(error)) => {
                self.ledger.put_finished(&finished);
                self.failed(&error);
                self.tidy = Some(Instant::now() + LOOK);
            }
            None => {}
        }
    }

    #[cfg(test)]
    pub(super) fn tidy_at_once(&mut self) {
        if self.ledger.has_finished() {
            self.tidy_up();
        }
    }

    fn look_around(&mut self) {
        self.look = None;
        if !self.ledger.is_writable() {
            self.try_to_write();
        }
        if self.ledger.has_several() {
            self.tidy_up();
        }
        if self.buried > 0
            && let Err(error) = self.send_again()
        {
            tracing::error!(%error, "dead letters cannot be sent again");
        }
    }

    fn try_to_write(&mut self) {
        if self.store.is_none() {
            self.begin_anew(&[]);
        }
        let tried = self.store().and_then(|store| store.write(Store::save_counts));
        match tried {
            Ok(()) => self.wrote(),
            Err(error) => self.failed(&error),
        }
    }

    fn bury(&mut self, letter: &DeadLetter) -> bool {
        let buried = self
            .dead
            .add(letter)
            .and_then(|gone| Ok((gone, self.dead.count()?)));
        match buried {
            Ok((gone, count)) => {
                self.buried = count;
                self.metrics.dead_letters(count);
                self.metrics.lost(Lost::DeadLettersFull, gone);
                true
            }
            Err(error) => {
                tracing::error!(%error, "a dead letter cannot be kept: its alert is tried again");
                false
            }
        }
    }

    /// Puts dead letters that someone wants to be sent again among the alerts.
    fn send_again(&mut self) -> Stored<()> {
        let version = self.dead.version()?;
        if self.seen == Some(version) {
            return Ok(());
        }
        let again = self.dead.again()?;
        for (number, letter) in &again {
            let row = Row {
                seq: 0,
                received: letter.received,
                data: letter.data.clone(),
            };
            let Ok(item) = self.item(&row) else {
                self.dead.remove(*number)?;
                continue;
            };
            let bytes = on_disk(letter.data.len());
            if self.ledger.promise(bytes).is_err() {
                return Ok(());
            }
            let level = level(&item.alert);
            let seq = self
                .store()
                .and_then(|store| store.write(|store| store.insert(level, letter.received, &letter.data)));
            self.ledger.keep_promise(bytes);
            let key = Key { level, seq: seq? };
            self.dead.remove(*number)?;
            self.wrote();
            let sink = self.ledger.sinks().position(|name| name == letter.sink);
            self.ledger
                .committed([(key, item)].into_iter(), Some(sink.unwrap_or_default()));
        }
        if again.is_empty() {
            self.seen = Some(version);
        } else {
            tracing::info!(alerts = again.len(), "dead letters are sent again");
            self.buried = self.dead.count()?;
            self.metrics.dead_letters(self.buried);
        }
        Ok(())
    }

    /// Sets a broken store aside and begins another, with what is in memory.
    fn recover(&mut self, why: &str) {
        let (kept, lost) = self.ledger.keep_whole();
        self.metrics.lost(Lost::Broken, lost);
        // Closed before it gets another name: its end removes its journal by name.
        self.store = None;
        match self.files.set_aside() {
            Ok(aside) => {
                let file = aside.map(|aside| aside.display().to_string());
                self.metrics.broken(1);
                tracing::error!(
                    why,
                    file,
                    lost,
                    "the spool is broken: it is set aside, and another is begun"
                );
            }
            Err(error) => tracing::error!(why, %error, lost, "the spool is broken, and cannot be set aside"),
        }
        self.begin_anew(&kept);
    }

    fn begin_anew(&mut self, kept: &[(Key, Item)]) {
        let begun = self.files.store(&mut Vec::new()).and_then(|mut store| {
            store.write(|store| {
                for (key, item) in kept {
                    let received = item.received.as_microsecond();
                    store.insert_at(key.level, key.seq, received, item.alert.as_bytes())?;
                }
                store.save_counts()
            })?;
            Ok(store)
        });
        match begun {
            Ok(store) => {
                self.store = Some(store);
                self.wrote();
            }
            Err(error) => {
                self.ledger.set_writable(false);
                tracing::error!(%error, "another spool cannot be begun");
            }
        }
    }

    fn close(&mut self) {
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
    }
    ledger.set_counts(store.counts());
    Ok(())
}

fn level(alert: &Alert) -> usize {
    usize::from(alert.priority().severity())
}

fn refuse(keeps: Vec<Keep>, short: Short) {
    for keep in keeps {
        let _ = keep.reply.send(Err(short));
    }
}

fn remove(store: &mut Store, finished: &[Ranges; LEVELS]) -> Stored<()> {
    for (level, seqs) in finished.iter().enumerate() {
        for seqs in seqs.iter() {
            store.remove(level, seqs)?;
        }
    }
    Ok(())
}

fn insert(keep: &Keep, store: &mut Store, received: Timestamp) -> Stored<Vec<Key>> {
    let keys = keep.alerts.iter().map(|alert| {
        let level = level(alert);
        let seq = store.insert(level, received.as_microsecond(), alert.as_bytes())?;
        Ok(Key { level, seq })
    });
    keys.collect()
}

/// Frees what these alerts need, of those that are no more urgent, the least urgent and of them the oldest first;
/// whether that is enough.
fn room_for(keep: &Keep, evict: u64, store: &mut Store, ledger: &Ledger, done: &mut Done) -> Stored<bool> {
    let bytes = keep
        .alerts
        .iter()
        .map(|alert| on_disk(alert.as_bytes().len()))
        .sum();
    let most_urgent = keep.alerts.iter().map(level).min().unwrap_or_default();
    let mut missing = ledger.missing(bytes, store.bytes()).max(evict);
    for level in (most_urgent..LEVELS).rev() {
        while missing > 0
            && let Some((last, gone)) = store.remove_oldest(level, missing)?
        {
            missing = missing.saturating_sub(gone.bytes);
            done.evicted.push(Evicted {
                level,
                last,
                alerts: gone.alerts,
            });
        }
    }
    Ok(ledger.missing(bytes, store.bytes()) == 0)
}

/// An observer that panics does not end the thread.
fn see(observer: &dyn Observer, alerts: &[Alert]) {
    let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        for alert in alerts {
            observer.accepted(alert);
        }
    }));
    if seen.is_err() {
        tracing::error!("an observer panicked");
    }
}
