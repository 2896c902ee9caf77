//! Keeps alerts: written first, then told to the senders and answered.
//!
//! What is taken in one turn of the runtime is written together. With durability `crash` whoever was first does it: that
//! costs one call of the system, into memory of the kernel. With `power-loss` the spool's thread does, and waits a moment
//! for those whom it answered last, to wait for the disk once for all of them. The senders are told when these are there,
//! so that what they do falls into that wait.

mod room;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use falco_event::{Alert, Timestamp};
use tokio::sync::oneshot;

use super::gather::Gathered;
use super::ledger::{Ledger, Short};
use super::store::{LEVELS, Progress, Store, on_disk};
use super::sync::Syncer;
use super::waiting::{Item, Key};
use crate::metrics::{Lost, Metrics};
use crate::observer::{Observer, guarded};

/// How many bytes less than it has the spool gets on a disk that is full: other files need some too. Where it has not so
/// much more it may have this, if the disk does.
const SPARE: u64 = 256 * 1024;

/// Alerts to be kept, all of them or none.
pub(crate) struct Keep {
    pub(crate) alerts: Arc<[Alert]>,
    /// The room that they were promised; none if others make room.
    pub(crate) promised: u64,
    pub(crate) make_room: bool,
    pub(crate) reply: oneshot::Sender<Result<(), Short>>,
}

/// The store, and who is told of what comes and goes.
pub(crate) struct Keeper {
    pub(super) store: Arc<Mutex<Store>>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) durably: Durably,
    /// What is to be kept together next.
    pub(super) gathered: Gathered,
}

/// When what is written is brought to the disk.
pub(crate) enum Durably {
    /// Before anyone is told.
    AtOnce,
    Later(Syncer),
    Never,
}

impl Keeper {
    pub(super) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps alerts and tells who waits. Whether the thread of the spool should be told.
    pub(super) fn keep_and_reply(&self, keeps: Vec<Keep>) -> bool {
        let (results, tell) = self.keep(&keeps);
        for (keep, result) in keeps.into_iter().zip(results) {
            // Who does not wait any more has hung up.
            let _ = keep.reply.send(result);
        }
        tell
    }

    /// Keeps what came together; what became of each.
    ///
    /// And whether the thread of the spool should be told: something is to be tidied up, to be tried again or looked after.
    pub(super) fn keep(&self, keeps: &[Keep]) -> (Vec<Result<(), Short>>, bool) {
        let received = Timestamp::now();
        // To the end: where several can keep alerts, the senders are told in the order of the numbers.
        let mut store = self.store();
        let (had_finished, was_unseen) = (self.ledger.has_finished(), store.is_unseen());
        let written = self.write_all(&mut store, keeps, received);
        self.write_ahead(&mut store);
        let synced = match &self.durably {
            Durably::AtOnce => self.sync(&mut store),
            Durably::Later(syncer) => {
                syncer.written();
                true
            }
            Durably::Never => {
                drop(store.take_unsynced());
                true
            }
        };
        let (mut results, mut kept) = (Vec::with_capacity(keeps.len()), Vec::with_capacity(keeps.len()));
        for (keep, written) in keeps.iter().zip(written) {
            results.push(match written {
                Ok(keys) if synced => {
                    kept.extend(keys.into_iter().zip(&*keep.alerts));
                    Ok(())
                }
                Ok(keys) => {
                    self.take_back(&keys);
                    Err(Short::Unwritable)
                }
                Err(short) => Err(short),
            });
        }
        self.ledger.set_counts(store.counts());
        if !kept.is_empty() {
            self.tell(&kept, received);
            self.can_be_written();
        }
        // Not again and again: the thread goes on while there is something.
        let finished = !had_finished && self.ledger.has_finished();
        let unseen = !was_unseen && store.is_unseen();
        let tell = finished || unseen || results.iter().any(Result::is_err);
        (results, tell)
    }

    /// Writes zeros behind what was added, where there is room for them too.
    fn write_ahead(&self, store: &mut Store) {
        let zeros = store.zeros();
        if zeros > 0 && self.ledger.promise(zeros).is_ok() {
            store.lengthen();
            self.ledger.keep_promise(zeros, store.counts());
        }
    }

    /// Tells the senders; where the disk is waited for, when the spool's thread lets it.
    fn tell(&self, kept: &[(Key, &Alert)], received: Timestamp) {
        // Before the senders see it: the hops of an alert are seen in their order.
        self.metrics.accepted(kept.len() as u64);
        guarded(|| kept.iter().for_each(|(_, alert)| self.observer.accepted(alert)));
        let age = (Duration::ZERO, tokio::time::Instant::now());
        let items = kept.iter().map(|(key, alert)| {
            let alert = Alert::clone(alert);
            (*key, Item { alert, received, age })
        });
        match self.durably {
            Durably::AtOnce => self.ledger.hold(items),
            Durably::Later(_) | Durably::Never => {
                self.ledger.committed(items, None);
                self.hold_to_shares();
            }
        }
    }

    /// Tells the senders of what is held; whether there was something.
    pub(super) fn release(&self) -> bool {
        let released = self.ledger.release();
        if released {
            self.hold_to_shares();
        }
        released
    }

    /// The keys of alerts that are written now: all together, and alone what could not be written with the others.
    fn write_all(
        &self,
        store: &mut Store,
        keeps: &[Keep],
        received: Timestamp,
    ) -> Vec<Result<Vec<Key>, Short>> {
        let mut together = Vec::new();
        if keeps.len() > 1 && !keeps.iter().any(|keep| keep.make_room) {
            let alerts = keeps.iter().flat_map(|keep| &*keep.alerts);
            (together, _) = self.add(store, alerts, received);
        }
        let mut together = together.into_iter();
        let one = |keep: &Keep| {
            let keys: Vec<_> = together.by_ref().take(keep.alerts.len()).flatten().collect();
            let written = if keys.len() == keep.alerts.len() {
                Ok(keys)
            } else {
                self.take_back(&keys);
                self.try_write(store, keep, received)
            };
            self.ledger.keep_promise(keep.promised, store.counts());
            written
        };
        keeps.iter().map(one).collect()
    }

    fn try_write(&self, store: &mut Store, keep: &Keep, received: Timestamp) -> Result<Vec<Key>, Short> {
        if keep.make_room {
            self.make_room(store, &keep.alerts)?;
        }
        match self.add_whole(store, &keep.alerts, received) {
            Ok(keys) => Ok(keys),
            Err(error) if is_full(&error) => {
                // The disk is full before the spool is. Who has waited makes room, the others wait.
                self.limit(store);
                if keep.make_room {
                    self.take_places(store, keep, received)
                } else {
                    Err(Short::Full)
                }
            }
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Adds all of them or none.
    fn add_whole(&self, store: &mut Store, alerts: &[Alert], received: Timestamp) -> io::Result<Vec<Key>> {
        let (added, result) = self.add(store, alerts.iter(), received);
        let keys: Vec<_> = added.into_iter().flatten().collect();
        if result.is_err() {
            self.take_back(&keys);
        }
        result.map(|()| keys)
    }

    /// Adds alerts; the keys of those that are there.
    fn add<'a>(
        &self,
        store: &mut Store,
        alerts: impl Iterator<Item = &'a Alert>,
        received: Timestamp,
    ) -> (Vec<Option<Key>>, io::Result<()>) {
        let alerts = alerts.map(|alert| (level(alert), alert.as_bytes()));
        let (added, result) = store.add_all(received.as_microsecond(), alerts);
        let key = |added: Option<_>| added.map(|(level, seq)| Key { level, seq });
        (added.into_iter().map(key).collect(), result)
    }

    /// Alerts that were added and are not to be sent: whoever brought them is told that they were not taken.
    fn take_back(&self, keys: &[Key]) {
        for key in keys {
            self.ledger.nobody_waits(*key);
        }
    }

    /// Removes what is finished.
    pub(super) fn tidy(&self, store: &mut Store) {
        let finished = self.ledger.take_finished();
        let mut removed = Ok(());
        for (level, seqs) in finished.iter().enumerate().filter(|(_, seqs)| !seqs.is_empty()) {
            removed = removed.and(store.remove(level, seqs));
        }
        let is_short = self.ledger.missing(2 * store.segment_bytes(), store.bytes()) > 0;
        if let Err(error) = removed.and(store.sweep(is_short)) {
            tracing::warn!(%error, "what is delivered cannot be removed from the spool: after a crash it is sent again");
        }
        self.ledger.set_counts(store.counts());
    }

    fn sync(&self, store: &mut Store) -> bool {
        match store.take_unsynced().sync() {
            Ok(()) => true,
            Err(error) => {
                // What the kernel could not write it may have given up: what is on the disk is not known.
                store.distrust();
                self.failed(&error);
                false
            }
        }
    }

    fn hold_to_shares(&self) {
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

    /// The disk is full: the spool does not grow until there is room again.
    fn limit(&self, store: &Store) {
        self.ledger.set_counts(store.counts());
        if !self.ledger.is_limited() {
            tracing::error!("the disk is full: the spool does not grow until there is room again");
        }
        self.ledger.limit(Some(SPARE));
        self.hold_to_shares();
    }

    fn can_be_written(&self) {
        if self.ledger.set_writable(true) {
            tracing::info!("the spool can be written again");
        }
    }

    /// Sees whether the disk can be written again, and has room.
    pub(super) fn try_again(&self) {
        let store = self.store();
        if !self.ledger.is_writable() {
            match store.try_to_write() {
                Ok(()) => self.can_be_written(),
                Err(error) => drop(self.failed(&error)),
            }
        }
        if self.ledger.is_limited() && store.has_room() {
            self.ledger.limit(None);
            tracing::info!("the disk has room again for the spool");
        }
    }

    fn failed(&self, error: &io::Error) -> Short {
        if self.ledger.set_writable(false) {
            tracing::error!(%error, "the spool cannot be written: alerts are not taken");
        }
        Short::Unwritable
    }
}

pub(super) fn level(alert: &Alert) -> usize {
    usize::from(alert.priority().severity())
}

fn most_urgent(alerts: &[Alert]) -> usize {
    alerts.iter().map(level).min().unwrap_or_default()
}

/// What alerts take on the disk.
fn bytes(alerts: &[Alert]) -> u64 {
    alerts.iter().map(|alert| on_disk(alert.as_bytes().len())).sum()
}

fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// Tells the ledger what is there at the start.
pub(super) fn take_stock(
    store: &Store,
    file: &mut Progress,
    ledger: &Ledger,
    metrics: &Metrics,
) -> io::Result<()> {
    let mut progress = file.read()?;
    for (_, level, done) in &mut progress {
        // Numbers of alerts that are gone may be given again, if the power went: what is known of them ends here.
        let there = store.live(*level);
        *done = done
            .iter()
            .flat_map(|seqs| there.overlaps(&seqs).collect::<Vec<_>>())
            .collect();
    }
    if !progress.is_empty() {
        let ranges = progress
            .iter()
            .flat_map(|(sink, level, done)| done.iter().map(|seqs| (sink.as_str(), *level, seqs)));
        if let Err(error) = file.save(ranges) {
            tracing::warn!(%error, "how far each sink is cannot be written down: it is forgotten");
            file.forget();
        }
    }
    for level in 0..LEVELS {
        let there = store.live(level);
        for (sink, name) in ledger.sinks().enumerate() {
            let mut seqs = there.clone();
            let done = progress.iter().filter(|(of, at, _)| of == name && *at == level);
            done.flat_map(|(_, _, done)| done.iter())
                .for_each(|done| seqs.remove_all(done));
            ledger.stored(sink, level, &seqs);
        }
        let lost = ledger.left_over(level, there);
        if lost > 0 {
            metrics.lost(Lost::NoSink, lost);
            tracing::error!(
                severity = level,
                lost,
                "no sink that is configured waits for some alerts of the spool: they are removed"
            );
        }
    }
    ledger.set_counts(store.counts());
    Ok(())
}
