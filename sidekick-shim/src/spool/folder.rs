//! The spool's folder: one process holds it, and what is broken is set aside in it.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use falco_event::Timestamp;

/// What journals of SQLite are called, after the name of their file.
const JOURNALS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// A folder that this process holds, as long as this lives.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes the folder unless it is there, and holds it.
    ///
    /// # Errors
    /// Why that is not possible.
    pub(crate) fn hold(path: &Path) -> Result<Self, String> {
        // Alerts tell what goes on in a cluster: they are nobody else's business.
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|error| format!("cannot make it: {error}"))?;
        let lock = File::create(path.join("lock")).map_err(|error| format!("cannot write in it: {error}"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err("another sidekick-shim holds it".to_owned()),
            Err(TryLockError::Error(error)) => Err(format!("cannot hold it: {error}")),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the dead letters are.
    pub(crate) fn dead(&self) -> PathBuf {
        dead(&self.path)
    }
}

/// Where the dead letters of a folder are, whoever holds it.
pub(crate) fn dead(folder: &Path) -> PathBuf {
    folder.join("dead.db")
}

/// Gives a file that is broken a name with the time in it, and its journals too; the new name.
pub(crate) fn set_aside(file: &Path) -> io::Result<PathBuf> {
    let now = Timestamp::now().as_millisecond();
    let aside = with(file, &format!(".broken-{now}"));
    fs::rename(file, &aside)?;
    for journal in JOURNALS {
        match fs::rename(with(file, journal), with(&aside, journal)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(aside)
}

fn with(file: &Path, end: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(end);
    name.into()
}
