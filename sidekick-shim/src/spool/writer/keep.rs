//! Keeping alerts: written first, then answered, then told to the senders.

use std::sync::Arc;
use std::time::Duration;

use falco_event::Timestamp;

use super::{Keep, Reply, Writer, level, remove};
use crate::metrics::Lost;
use crate::observer::guarded;
use crate::spool::ledger::{Ledger, Short};
use crate::spool::store::{LEVELS, Store, StoreError, Stored, on_disk};
use crate::spool::waiting::{Item, Key};

/// How many bytes less than it has the spool gets on a disk that is full: pages are never full to the last byte.
const SPARE: u64 = 256 * 1024;

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
    pub(super) fn keep(&mut self, mut keeps: Vec<Keep>) {
        let received = Timestamp::now();
        let promised = keeps.iter().map(|keep| keep.promised).sum();
        let mut done = self.write(&keeps, received);
        if let Err(StoreError::Corrupt(why)) = &done {
            self.recover(why);
            done = self.write(&keeps, received);
        }
        let is_full = matches!(done, Err(StoreError::Full(_)));
        if is_full {
            // The disk is full before the spool is. Who has waited makes room, the others wait.
            self.make_do();
            let (forced, others): (Vec<_>, Vec<_>) = keeps.into_iter().partition(|keep| keep.make_room);
            refuse(others, Short::Full);
            keeps = forced;
        }
        self.ledger.keep_promise(promised);
        if keeps.is_empty() {
            return;
        }
        if is_full {
            done = self.write(&keeps, received);
        }
        match done {
            Ok(done) => self.kept(keeps, done, received),
            Err(error) => {
                refuse(keeps, Short::Unwritable);
                self.failed(&error);
            }
        }
    }

    /// Writes all of them in one transaction.
    fn write(&mut self, keeps: &[Keep], received: Timestamp) -> Stored<Done> {
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
                    let room = !keep.make_room || room_for(keep, store, &ledger, &mut done)?;
                    let keys = room.then(|| insert(keep, store, received)).transpose()?;
                    done.keys.push(keys);
                }
                if make_room {
                    // A start counts what came after this, not what went.
                    store.save_counts()?;
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
                guarded(|| keep.alerts.iter().for_each(|alert| self.observer.accepted(alert)));
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

    /// The disk is full: gives what was kept for this, and does not grow until there is room again.
    pub(super) fn make_do(&mut self) {
        self.files.reserve.give();
        if let Err(error) = self.store().and_then(|store| store.empty_journal()) {
            tracing::warn!(%error, "the journal of the spool cannot be emptied");
        }
        if !self.ledger.is_limited() {
            tracing::error!("the disk is full: the spool does not grow until there is room again");
        }
        self.ledger.limit(Some(SPARE));
    }

    /// Lets it grow again where there is room.
    pub(super) fn grow_again(&mut self) {
        let can_grow = self.store().is_ok_and(|store| store.can_grow(SPARE));
        if can_grow && self.files.reserve.hold() {
            self.ledger.limit(None);
            tracing::info!("the disk has room again for the spool");
        }
    }

    /// After something was written.
    pub(super) fn wrote(&mut self) {
        self.files.written();
        if let Some(store) = &self.store {
            self.ledger.set_counts(store.counts());
        }
        if self.ledger.set_writable(true) {
            tracing::info!("the spool can be written again");
        }
    }

    /// After something could not be written.
    pub(super) fn failed(&mut self, error: &StoreError) {
        if self.ledger.set_writable(false) {
            tracing::error!(%error, "the spool cannot be written: alerts are not taken");
        }
        if let StoreError::Corrupt(why) = error {
            self.recover(why);
        }
    }
}

fn refuse(keeps: Vec<Keep>, short: Short) {
    for keep in keeps {
        let _ = keep.reply.send(Err(short));
    }
}

fn insert(keep: &Keep, store: &mut Store, received: Timestamp) -> Stored<Vec<Key>> {
    let keys = keep.alerts.iter().map(|alert| {
        let level = level(alert);
        let seq = store.insert(level, received.as_microsecond(), alert.as_bytes())?;
        Ok(Key { level, seq })
    });
    keys.collect()
}

/// Frees what these alerts need, of those that are no more urgent, the least urgent and of them the oldest first; false
/// if that is not enough, and then nothing is freed.
fn room_for(keep: &Keep, store: &mut Store, ledger: &Ledger, done: &mut Done) -> Stored<bool> {
    let bytes = keep
        .alerts
        .iter()
        .map(|alert| on_disk(alert.as_bytes().len()))
        .sum();
    let most_urgent = keep.alerts.iter().map(level).min().unwrap_or_default();
    let mut missing = ledger.missing(bytes, store.bytes());
    let there: u64 = store
        .counts()
        .iter()
        .skip(most_urgent)
        .map(|count| count.bytes)
        .sum();
    if missing > there {
        return Ok(false);
    }
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
