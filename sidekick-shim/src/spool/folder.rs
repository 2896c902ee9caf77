//! The spool's folder: one process holds it, and what is broken is set aside in it.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use falco_event::Timestamp;
use rustix::fs::Access;

use super::store::disk::DiskFile as _;

/// Held as long as the folder is.
const LOCK: &str = "lock";

/// What journals of SQLite are called, after the name of their file.
const JOURNALS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// A folder that this process holds, as long as this lives.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    lock: File,
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
        Ok(Self {
            path: path.to_owned(),
            lock: lock(path)?,
        })
    }

    /// Holds it again if someone removed the lock: another process could hold it too. Whether that was so.
    ///
    /// # Errors
    /// Why that is not possible.
    pub(crate) fn hold_again(&mut self) -> Result<bool, String> {
        if self.lock.has_name() {
            return Ok(false);
        }
        self.lock = lock(&self.path)?;
        Ok(true)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the dead letters are.
    pub(crate) fn dead(&self) -> PathBuf {
        dead(&self.path)
    }
}

fn lock(folder: &Path) -> Result<File, String> {
    let lock = File::create(folder.join(LOCK)).map_err(|error| format!("cannot write in it: {error}"))?;
    lock_it(&lock)?;
    Ok(lock)
}

fn lock_it(lock: &File) -> Result<(), String> {
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => "another sidekick-shim holds it".to_owned(),
        TryLockError::Error(error) => format!("cannot hold it: {error}"),
    })
}

/// Whether a folder could be held. Nothing is made: where it is not there, what it would be made in says.
pub(crate) fn probe(path: &Path) -> Result<(), String> {
    if let Ok(lock) = File::open(path.join(LOCK)) {
        lock_it(&lock)?;
    }
    let (there, is_folder) = path
        .ancestors()
        .find_map(|path| Some((path, fs::metadata(path).ok()?.is_dir())))
        .unwrap_or((Path::new("."), true));
    let can_access = || rustix::fs::access(there, Access::WRITE_OK | Access::EXEC_OK);
    match (is_folder, there == path) {
        (false, true) => Err("it is no folder".to_owned()),
        (false, false) => Err(format!("cannot make it: `{}` is no folder", there.display())),
        (true, true) => can_access().map_err(|error| format!("cannot write in it: {error}")),
        (true, false) => can_access().map_err(|error| format!("cannot make it: {error}")),
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
