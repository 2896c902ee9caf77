//! What is done beside: what is finished goes, and dead letters come and go.

use std::io;
use std::time::{Duration, Instant};

use super::{TIDY, Writer};
use crate::metrics::Lost;
use crate::spool::dead::{Broken, DeadLetter};
use crate::spool::keeper::level;
use crate::spool::store::on_disk;
use crate::spool::waiting::Key;

/// What became of a dead letter that is to be sent again.
enum PutBack {
    Done,
    /// Its sink would not get it.
    Unwanted,
    NoRoom,
}

impl Writer {
    pub(super) fn tidy_up(&mut self) {
        self.release();
        self.tidy = None;
        self.keeper.tidy(&mut self.keeper.store());
        if let Err(error) = self.rewrite() {
            tracing::warn!(%error, "a file of the spool cannot be written without what is delivered");
        }
        if self.keeper.ledger.has_finished() {
            self.tidy = Some(Instant::now() + TIDY);
        }
    }

    /// Writes the file anew that holds most of what is gone, if that takes too much room.
    fn rewrite(&mut self) -> io::Result<()> {
        let part = {
            let store = self.keeper.store();
            let is_short = self
                .keeper
                .ledger
                .missing(2 * store.segment_bytes(), store.bytes())
                > 0;
            store.wasteful(is_short)
        };
        let Some(part) = part else { return Ok(()) };
        let bytes = self.reader.rewrite(&part)?;
        let mut store = self.keeper.store();
        let done = store.put_in_place(&part, bytes);
        self.keeper.ledger.set_counts(store.counts());
        done
    }

    #[cfg(test)]
    pub(in crate::spool) fn tidy_at_once(&mut self) {
        if self.keeper.ledger.has_finished() {
            self.tidy_up();
            self.sweep();
        }
    }

    pub(in crate::spool) fn look_around(&mut self) {
        self.release();
        self.look = None;
        self.keeper.try_again();
        self.read_again();
        self.save_progress();
        self.sweep();
        if self.buried > 0
            && let Err(error) = self.send_again()
        {
            tracing::error!(%error, "dead letters cannot be sent again");
        }
    }

    /// Removes the last segments too, of which nothing is waited for.
    fn sweep(&self) {
        let mut store = self.keeper.store();
        if let Err(error) = store.sweep(true) {
            tracing::warn!(%error, "what is delivered cannot be removed from the spool");
        }
        self.keeper.ledger.set_counts(store.counts());
    }

    fn save_progress(&mut self) {
        if !self.keeper.ledger.has_several() {
            return;
        }
        let progress = self.keeper.ledger.progress();
        let ranges = progress
            .iter()
            .flat_map(|(sink, level, seqs)| seqs.iter().map(|seqs| (*sink, *level, seqs)));
        if let Err(error) = self.progress.save(ranges) {
            tracing::warn!(%error, "how far each sink is cannot be written down: after a crash alerts are sent again");
        }
    }

    pub(crate) fn close(&mut self) {
        self.save_progress();
        let mut store = self.keeper.store();
        while self.keeper.ledger.has_finished() {
            self.keeper.tidy(&mut store);
        }
        let swept = store.sweep(true);
        if let Err(error) = swept.and(store.take_unsynced().sync()) {
            tracing::warn!(%error, "the spool cannot be brought to the disk");
        }
        store.close();
    }

    pub(super) fn bury(&mut self, letter: &DeadLetter) -> bool {
        self.release();
        let mut buried = self.dead.add(letter);
        if let Err(Broken::Corrupt(why)) = &buried
            && self.dead_anew(why)
        {
            buried = self.dead.add(letter);
        }
        match buried {
            Ok(gone) => {
                self.buried = self.dead.count();
                self.keeper.metrics.dead_letters(self.buried);
                self.keeper.metrics.lost(Lost::DeadLettersFull, gone);
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
        self.keeper.metrics.broken(1);
        match self.files.dead_anew() {
            Ok(dead) => {
                tracing::error!(
                    why,
                    "the dead letters are broken: they are set aside, and others are begun"
                );
                self.dead = dead;
                self.seen = None;
                true
            }
            Err(error) => {
                tracing::error!(why, %error, "the dead letters are broken, and others cannot be begun");
                false
            }
        }
    }

    /// Puts dead letters that someone wants to be sent again among the alerts.
    fn send_again(&mut self) -> Result<(), Broken> {
        let version = self.dead.version()?;
        if self.seen == Some(version) {
            return Ok(());
        }
        let again = self.dead.again()?;
        let mut alerts = 0;
        for (number, letter) in &again {
            match self.put_back(letter)? {
                PutBack::Done => {
                    self.dead.remove(*number, letter)?;
                    alerts += 1;
                }
                PutBack::Unwanted => self.dead.keep(*number)?,
                PutBack::NoRoom => break,
            }
        }
        if again.is_empty() {
            self.seen = Some(version);
        }
        if alerts > 0 {
            tracing::info!(alerts, "dead letters are sent again");
            self.buried = self.dead.count();
            self.keeper.metrics.dead_letters(self.buried);
        }
        Ok(())
    }

    /// Puts a dead letter among the alerts again.
    fn put_back(&self, letter: &DeadLetter) -> Result<PutBack, Broken> {
        let Ok(mut item) = self.item(letter.received, &letter.data) else {
            // It is none any more.
            return Ok(PutBack::Done);
        };
        let ledger = &self.keeper.ledger;
        let sink = ledger.sinks().position(|name| name == letter.sink);
        let sink = sink.unwrap_or_default();
        if !ledger.wants(sink, &item.alert) {
            let (id, name) = (&letter.id, ledger.sinks().nth(sink));
            tracing::error!(
                id,
                sink = name,
                "a dead letter is not urgent enough for its sink any more: it stays one"
            );
            return Ok(PutBack::Unwanted);
        }
        // Whoever asks for it wants it to be tried for as long as any other.
        item.age = (Duration::ZERO, tokio::time::Instant::now());
        let bytes = on_disk(letter.data.len());
        if ledger.promise(bytes).is_err() {
            return Ok(PutBack::NoRoom);
        }
        let level = level(&item.alert);
        let mut store = self.keeper.store();
        let added = store.add(level, letter.received, &letter.data);
        ledger.keep_promise(bytes, store.counts());
        let failed = |error: io::Error| Broken::Failed(error.to_string());
        let seq = added.map_err(failed)?;
        // It leaves the dead letters for good: it has to be on the disk.
        if let Err(error) = store.take_unsynced().sync() {
            store.distrust();
            ledger.nobody_waits(Key { level, seq });
            return Err(failed(error));
        }
        ledger.committed([(Key { level, seq }, item)].into_iter(), Some(sink));
        Ok(PutBack::Done)
    }
}
