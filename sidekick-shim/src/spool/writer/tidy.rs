//! What is done beside: what is finished goes, and dead letters come.

use std::io;
use std::time::Instant;

use super::{TIDY, Writer};
use crate::metrics::Lost;
use crate::spool::dead::{Broken, DeadLetter};

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
        self.look_after_files();
        self.keeper.try_again();
        self.read_again();
        self.save_progress();
        self.sweep();
        self.send_again();
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
        store.trim();
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
                self.put_back.clear();
                true
            }
            Err(error) => {
                tracing::error!(why, %error, "the dead letters are broken, and others cannot be begun");
                false
            }
        }
    }
}
