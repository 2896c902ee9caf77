//! Brings what is written to the disk in the background: what a power cut costs is bounded, and no answer waits for it.

use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::store::Store;

/// A thread that syncs a store some time after it was told that something is written.
#[derive(Debug)]
pub(crate) struct Syncer(SyncSender<()>);

impl Syncer {
    /// # Errors
    /// There is no thread for it.
    pub(crate) fn start(store: Arc<Mutex<Store>>, every: Duration) -> io::Result<Self> {
        let (told, written) = sync_channel(1);
        let sync = move || {
            while written.recv().is_ok() {
                std::thread::sleep(every);
                // What is written from here on is told again.
                let _ = written.try_recv();
                let unsynced = store
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .take_unsynced();
                if let Err(error) = unsynced.sync() {
                    tracing::error!(%error, "cannot bring the spool to the disk");
                }
            }
        };
        std::thread::Builder::new().name("sync".to_owned()).spawn(sync)?;
        Ok(Self(told))
    }

    pub(crate) fn written(&self) {
        // One that is told already is told.
        let _ = self.0.try_send(());
    }
}
