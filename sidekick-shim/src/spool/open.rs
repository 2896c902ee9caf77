//! Opens the files of a spool; what is broken is set aside, and begun anew.

use std::path::{Path, PathBuf};

use super::dead::DeadLetters;
use super::folder::{Folder, journal, set_aside};
use super::reserve::Reserve;
use super::store::{Place, Store, StoreError, Stored};
use super::sync::Syncer;
use crate::config::{Durability, Spool};

/// Where the files are, and how they are used.
#[derive(Debug)]
pub(crate) struct Files {
    folder: Option<Folder>,
    place: Place,
    syncer: Option<Syncer>,
    pub(super) reserve: Reserve,
}

/// A spool whose files are open.
pub(crate) struct Opened {
    pub(crate) files: Files,
    pub(crate) store: Store,
    pub(crate) dead: DeadLetters,
    /// What had to be set aside, and where it is now.
    pub(crate) broken: Vec<PathBuf>,
}

impl Files {
    /// # Errors
    /// Why they cannot be opened, or not be written.
    pub(crate) fn open(spool: &Spool) -> Result<Opened, String> {
        let folder = match spool.durability {
            Durability::Memory => None,
            Durability::Crash | Durability::PowerLoss => Some(Folder::hold(&spool.folder)?),
        };
        let path = folder.as_ref().map(Folder::alerts);
        let mut syncer = None;
        if let (Some(path), Durability::Crash) = (&path, spool.durability) {
            let started = Syncer::start(journal(path), spool.sync);
            syncer = Some(started.map_err(|error| error.to_string())?);
        }
        let files = Self {
            place: Place {
                path,
                durability: spool.durability,
                bytes: spool.bytes as u64,
            },
            reserve: Reserve::new(folder.as_ref().map(Folder::reserve)),
            folder,
            syncer,
        };
        let mut broken = Vec::new();
        let store = files.store(&mut broken).map_err(|error| error.to_string())?;
        let dead = files.dead(&mut broken).map_err(|error| error.to_string())?;
        Ok(Opened {
            files,
            store,
            dead,
            broken,
        })
    }

    /// Opens the alerts.
    pub(crate) fn store(&self, broken: &mut Vec<PathBuf>) -> Stored<Store> {
        or_anew(self.place.path.as_deref(), broken, || {
            let mut store = Store::open(&self.place)?;
            store.look_through()?;
            Ok(store)
        })
    }

    /// Opens the dead letters.
    pub(crate) fn dead(&self, broken: &mut Vec<PathBuf>) -> Stored<DeadLetters> {
        let path = self.folder.as_ref().map(Folder::dead);
        or_anew(path.as_deref(), broken, || DeadLetters::open(path.as_deref()))
    }

    /// Sets the dead letters aside, and begins others.
    pub(crate) fn dead_anew(&self) -> Stored<DeadLetters> {
        if let Some(folder) = &self.folder {
            set_aside(&folder.dead()).map_err(|error| StoreError::Failed(error.to_string()))?;
        }
        self.dead(&mut Vec::new())
    }

    /// Sets the alerts aside.
    pub(crate) fn set_aside(&self) -> Stored<Option<PathBuf>> {
        let aside = self.place.path.as_deref().map(set_aside).transpose();
        aside.map_err(|error| StoreError::Failed(error.to_string()))
    }

    /// Something is written that is not on the disk.
    pub(crate) fn written(&self) {
        if let Some(syncer) = &self.syncer {
            syncer.written();
        }
    }
}

fn or_anew<T>(path: Option<&Path>, broken: &mut Vec<PathBuf>, open: impl Fn() -> Stored<T>) -> Stored<T> {
    match (open(), path) {
        (Err(StoreError::Corrupt(why)), Some(path)) => {
            tracing::error!(file = %path.display(), why, "a file of the spool is broken");
            let aside = set_aside(path).map_err(|error| StoreError::Failed(error.to_string()))?;
            tracing::error!(file = %aside.display(), "it is set aside, and another is begun");
            broken.push(aside);
            open()
        }
        (opened, _) => opened,
    }
}
