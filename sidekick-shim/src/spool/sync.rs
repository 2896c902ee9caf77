//! Brings what is written to the disk in the background: what a power cut costs is bounded, and no answer waits for it.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

/// A thread that syncs a journal some time after it was told that something is written.
#[derive(Debug)]
pub(crate) struct Syncer(SyncSender<()>);

impl Syncer {
    /// # Errors
    /// There is no thread for it.
    pub(crate) fn start(journal: PathBuf, every: Duration) -> io::Result<Self> {
        let (told, written) = sync_channel(1);
        let sync = move || {
            while written.recv().is_ok() {
                std::thread::sleep(every);
                // What is written from here on is told again.
                let _ = written.try_recv();
                let synced = File::open(&journal).and_then(|journal| journal.sync_data());
                if let Err(error) = synced
                    && error.kind() != io::ErrorKind::NotFound
                {
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
