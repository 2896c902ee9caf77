//! What is done beside: what is finished goes, and dead letters come and go.

use std::sync::Arc;
use std::time::Instant;

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
        if matches!(more, Err(StoreError::Full(_))) && self.make_do() {
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
        if self.files.reserve.hold_again() {
            tracing::info!("the disk of the spool has room again");
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

    pub(super) fn bury(&mut self, letter: &DeadLetter) -> bool {
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
}
