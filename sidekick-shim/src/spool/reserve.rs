//! Room on the disk that is kept for the moment when there is no other.
//!
//! On a disk that is full to the last byte SQLite can remove nothing: what is removed goes into the journal first, and what
//! is in the journal may need room in the file. So a file holds that much room, and goes when the disk is full. Until it
//! can be made again the spool does not grow: what comes in takes the place of what goes.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::store::JOURNAL;

/// What a journal can have, twice: once for what has to go into the file, once for what is removed then.
const BYTES: u64 = 2 * JOURNAL;

/// How much has to be free before it is made again.
const ENOUGH: u64 = BYTES + JOURNAL;

/// A reserve; one without a file is always held.
#[derive(Debug)]
pub(crate) struct Reserve {
    path: Option<PathBuf>,
    held: bool,
}

impl Reserve {
    /// Held if its file is there already.
    pub(crate) fn new(path: Option<PathBuf>) -> Self {
        let held = path.as_deref().is_none_or(is_whole);
        Self { path, held }
    }

    /// Gives its room away, if that is what is missing.
    pub(crate) fn give(&mut self) {
        let Some(path) = self.path.as_deref().filter(|_| self.held) else {
            return;
        };
        if free(path).is_some_and(|free| free >= ENOUGH) {
            return;
        }
        self.held = false;
        if let Err(error) = fs::remove_file(path) {
            tracing::error!(%error, "the reserve of the spool cannot be removed");
        }
    }

    /// Whether it is held, or can be.
    pub(crate) fn hold(&mut self) -> bool {
        if let Some(path) = self.path.as_deref().filter(|_| !self.held) {
            self.held = free(path).is_none_or(|free| free >= ENOUGH) && make(path).is_ok();
        }
        self.held
    }
}

fn is_whole(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.len() == BYTES)
}

/// What is free where the file would be; none where the file system does not say.
fn free(path: &Path) -> Option<u64> {
    let at = rustix::fs::statvfs(path.parent()?).ok()?;
    Some(at.f_bavail.saturating_mul(at.f_frsize)).filter(|_| at.f_blocks > 0)
}

/// Zeros that are written, since a hole in a file is no room. What could not be written whole is removed.
fn make(path: &Path) -> io::Result<()> {
    static PART: [u8; 64 * 1024] = [0; 64 * 1024];
    let written = File::create(path)
        .and_then(|mut file| (0..BYTES / PART.len() as u64).try_for_each(|_| file.write_all(&PART)));
    if written.is_err() {
        fs::remove_file(path)?;
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_room_that_can_be_given_once_and_had_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reserve");
        let mut reserve = Reserve::new(Some(path.clone()));
        assert!(!reserve.held);
        assert!(reserve.hold());
        assert!(
            Reserve::new(Some(path.clone())).held,
            "it stays for the next start"
        );
        assert_eq!(fs::metadata(&path).unwrap().len(), BYTES);
        reserve.give();
        // The disk of whoever tests may have room: then there is nothing to be given.
        assert_eq!(path.exists(), reserve.held);
        assert_eq!(reserve.held, free(&path).unwrap() >= ENOUGH);
        fs::remove_file(&path).ok();
        reserve.held = false;
        assert_eq!(reserve.hold(), path.exists());
    }

    #[test]
    fn where_it_cannot_be_made_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("no-folder").join("reserve");
        assert!(!Reserve::new(Some(path.clone())).hold());
        assert!(!path.exists());
    }

    #[test]
    fn in_memory_there_is_none_to_give() {
        let mut reserve = Reserve::new(None);
        reserve.give();
        assert!(reserve.hold());
    }
}
