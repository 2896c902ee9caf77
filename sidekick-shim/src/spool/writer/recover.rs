//! A store that turns out to be broken: it is set aside, and another takes what is in memory.

use super::Writer;
use crate::metrics::Lost;
use crate::spool::waiting::{Item, Key};

impl Writer {
    /// Sets a broken store aside and begins another, with what is in memory.
    pub(super) fn recover(&mut self, why: &str) {
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

    pub(super) fn begin_anew(&mut self, kept: &[(Key, Item)]) {
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
}
