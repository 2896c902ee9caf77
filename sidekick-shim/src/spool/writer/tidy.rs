//! What is done beside: what is finished goes, and dead letters come and go.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{LOOK, TIDY, Writer, level, remove};
use crate::metrics::Lost;
use crate::spool::dead::DeadLetter;
use crate::spool::store::{Row, Store, StoreError, Stored, on_disk};
use crate::spool::waiting::Key;

impl Writer {
    pub(super) fn tidy_up(&mut self) {
        self.tidy = None;
        if self.store.is_none() {
            return;
        }
        let mut more = self.tidy_once();
        if matches!(more, Err(StoreError::Full(_))) {
            self.make_do();
            more = self.tidy_once();
        }
        match more {
            Ok(more) => {
                self.wrote();
                if more {
                    self.tidy = Some(Instant::now() + TIDY);
                }
            }
            Err(error) => {
                self.failed(&error);
                self.tidy = Some(Instant::now() + LOOK);
            }
        }
    }

    /// Removes what is finished; whether there is more to do.
    fn tidy_once(&mut self) -> Stored<bool> {
        let ledger = Arc::clone(&self.ledger);
        let finished = ledger.take_finished();
        let several = ledger.has_several().then(|| ledger.progress());
        let more = self.store().and_then(|store| {
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
        if more.is_err() {
            ledger.put_finished(&finished);
        }
        more
    }

    #[cfg(test)]
    pub(in crate::spool) fn tidy_at_once(&mut self) {
        if self.ledger.has_finished() {
            self.tidy_up();
        }
    }

    pub(super) fn look_around(&mut self) {
        self.look = None;
        if !self.ledger.is_writable() {
            self.try_to_write();
        }
        if self.ledger.is_limited() {
            self.grow_again();
        }
        self.read_again();
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
            let (kept, lost) = self.ledger.keep_whole();
            self.metrics.lost(Lost::Broken, lost);
            self.begin_anew(&kept);
        }
        let tried = self.store().and_then(|store| store.write(Store::save_counts));
        match tried {
            Ok(()) => self.wrote(),
            Err(error) => self.failed(&error),
        }
    }

    pub(super) fn bury(&mut self, letter: &DeadLetter) -> bool {
        let mut buried = self.dead.add(letter);
        if let Err(StoreError::Corrupt(why)) = &buried
            && self.dead_anew(why)
        {
            buried = self.dead.add(letter);
        }
        match buried {
            Ok(gone) => {
                self.buried = self.dead.count();
                self.metrics.dead_letters(self.buried);
                self.metrics.lost(Lost::DeadLettersFull, gone);
                true
            }
            Err(error) => {
                tracing::error!(%error, "a dead letter cannot be kept: its alert is tried again");
                false
            }
        }
    }

    /// Sets the dead letters aside and begins others; whether that is possible.
    fn dead_anew(&mut self, why: &str) -> bool {
        self.metrics.broken(1);
        match self.files.dead_anew() {
            Ok(dead) => {
                tracing::error!(
                    why,
                    "the dead letters are broken: they are set aside, and others are begun"
                );
                self.dead = dead;
                true
            }
            Err(error) => {
                tracing::error!(why, %error, "the dead letters are broken, and others cannot be begun");
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
            let Ok(mut item) = self.item(&row) else {
                self.dead.remove(*number, letter)?;
                continue;
            };
            // Whoever asks for it wants it to be tried for as long as any other.
            item.age = (Duration::ZERO, tokio::time::Instant::now());
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
            self.dead.remove(*number, letter)?;
            self.wrote();
            let sink = self.ledger.sinks().position(|name| name == letter.sink);
            self.ledger
                .committed([(key, item)].into_iter(), Some(sink.unwrap_or_default()));
        }
        if again.is_empty() {
            self.seen = Some(version);
        } else {
            tracing::info!(alerts = again.len(), "dead letters are sent again");
            self.buried = self.dead.count();
            self.metrics.dead_letters(self.buried);
        }
        Ok(())
    }
}
