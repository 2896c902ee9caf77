//! Opens the files of a spool; what is broken is set aside, and begun anew.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::dead::{Broken, DeadLetters};
use super::folder::{Folder, set_aside};
use super::store::Store;
use super::store::disk::{Disk, InFolder, InMemory};
use crate::config::{Durability, Spool};

/// Where the files are.
#[derive(Debug)]
pub(crate) struct Files {
    folder: Option<Folder>,
}

/// A spool whose files are open.
pub(crate) struct Opened {
    pub(crate) files: Files,
    pub(crate) store: Store,
    pub(crate) dead: DeadLetters,
    /// How many files had to be set aside.
    pub(crate) broken: u64,
}

impl Files {
    /// # Errors
    /// Why the folder, if there is to be one, cannot be held.
    pub(crate) fn hold(spool: &Spool) -> Result<Option<Folder>, String> {
        Ok(match spool.durability {
            Durability::Memory => None,
            Durability::Crash | Durability::PowerLoss => Some(Folder::hold(&spool.folder)?),
        })
    }

    /// # Errors
    /// Why they cannot be opened, or not be written.
    pub(crate) fn open(spool: &Spool) -> Result<Opened, String> {
        let folder = Self::hold(spool)?;
        let disk: Arc<dyn Disk> = match &folder {
            Some(folder) => Arc::new(InFolder(folder.path().to_owned())),
            None => Arc::new(InMemory::default()),
        };
        let (mut store, aside) = Store::open(disk, spool.bytes as u64).map_err(|error| error.to_string())?;
        if spool.durability == Durability::PowerLoss {
            store.write_ahead(spool.bytes as u64 / 2);
        }
        for file in &aside {
            tracing::error!(file, "a file of the spool is broken: it is set aside");
        }
        let files = Self { folder };
        let mut broken = aside.len() as u64;
        let dead = files.dead(&mut broken).map_err(|error| error.to_string())?;
        Ok(Opened {
            files,
            store,
            dead,
            broken,
        })
    }

    /// Holds the folder again if someone removed its lock; whether that was so.
    ///
    /// # Errors
    /// Why it cannot be held.
    pub(crate) fn hold_again(&mut self) -> Result<bool, String> {
        self.folder.as_mut().map_or(Ok(false), Folder::hold_again)
    }

    /// Opens the dead letters.
    fn dead(&self, broken: &mut u64) -> Result<DeadLetters, Broken> {
        let path = self.folder.as_ref().map(Folder::dead);
        let open = || DeadLetters::open(path.as_deref());
        match (open(), &path) {
            (Err(Broken::Corrupt(why)), Some(path)) => {
                tracing::error!(file = %path.display(), why, "a file of the spool is broken");
                let aside = aside(path)?;
                tracing::error!(file = %aside.display(), "it is set aside, and another is begun");
                *broken += 1;
                open()
            }
            // A full disk, say. Alerts are not kept waiting for it.
            (Err(Broken::Failed(why)), path) => {
                tracing::error!(
                    why,
                    "the dead letters cannot be opened: that is tried again with the next"
                );
                Ok(DeadLetters::later(path.as_deref()))
            }
            (opened, _) => opened,
        }
    }

    /// Sets the dead letters aside, and begins others.
    pub(crate) fn dead_anew(&self) -> Result<DeadLetters, Broken> {
        if let Some(folder) = &self.folder {
            aside(&folder.dead())?;
        }
        self.dead(&mut 0)
    }
}

fn aside(path: &Path) -> Result<PathBuf, Broken> {
    set_aside(path).map_err(|error| Broken::Failed(error.to_string()))
}
