//! What the store needs of a disk. Files are in a folder, or in memory; in tests on a disk that fails.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Files by their names.
pub(crate) trait Disk: Debug + Send + Sync {
    /// All names, with the lengths of the files in bytes.
    fn list(&self) -> io::Result<Vec<(String, u64)>>;
    /// Makes a file with nothing in it, also where there is one.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens a file that is there.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Takes the place of a file of that name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Brings the names themselves to the disk: which files there are.
    fn sync_names(&self) -> io::Result<()>;
    /// How many bytes are free; none where that is not known.
    fn free(&self) -> Option<u64>;
}

/// A file.
pub(crate) trait DiskFile: Debug + Send + Sync {
    /// Writes all of it, at its end or in the place of other bytes, or fails: then some of it may be there.
    fn write(&self, bytes: &[u8], at: u64) -> io::Result<()>;
    /// Fills all of `bytes`, or fails.
    fn read(&self, bytes: &mut [u8], at: u64) -> io::Result<()>;
    fn truncate(&self, length: u64) -> io::Result<()>;
    /// Brings its bytes to the disk.
    fn sync(&self) -> io::Result<()>;
    /// Whether it has a name still: what is written to one that someone removed is gone with the process.
    fn has_name(&self) -> bool;
}

/// A folder.
#[derive(Debug)]
pub(crate) struct InFolder(pub(crate) PathBuf);

impl Disk for InFolder {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            // None of the store's has a name that is not UTF-8.
            if let Ok(name) = entry.file_name().into_string() {
                files.push((name, entry.metadata()?.len()));
            }
        }
        Ok(files)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(true);
        Ok(Arc::new(options.open(self.0.join(name))?))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        Ok(Arc::new(options.read(true).write(true).open(self.0.join(name))?))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.0.join(from), self.0.join(to))
    }

    fn sync_names(&self) -> io::Result<()> {
        fs::File::open(&self.0)?.sync_all()
    }

    fn free(&self) -> Option<u64> {
        let at = rustix::fs::statvfs(&self.0).ok()?;
        Some(at.f_bavail.saturating_mul(at.f_frsize)).filter(|_| at.f_blocks > 0)
    }
}

impl DiskFile for fs::File {
    fn write(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.write_all_at(bytes, at)
    }

    fn read(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        self.read_exact_at(bytes, at)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn has_name(&self) -> bool {
        // Where that cannot be told nothing was removed.
        !self.metadata().is_ok_and(|file| file.nlink() == 0)
    }
}

/// Memory.
#[derive(Debug, Default)]
pub(crate) struct InMemory(Mutex<BTreeMap<String, Arc<Bytes>>>);

#[derive(Debug, Default)]
struct Bytes(Mutex<Vec<u8>>);

impl InMemory {
    fn files(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Bytes>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bytes {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes bytes at a place that is within what is there, or at its end.
pub(super) fn put(file: &mut Vec<u8>, bytes: &[u8], at: usize) {
    let end = at.saturating_add(bytes.len()).min(file.len());
    file.splice(at.min(end)..end, bytes.iter().copied());
}

impl Disk for InMemory {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let files = self.files();
        let files = files
            .iter()
            .map(|(name, file)| (name.clone(), file.bytes().len() as u64));
        Ok(files.collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = Arc::<Bytes>::default();
        self.files().insert(name.to_owned(), Arc::clone(&file));
        Ok(file)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.files().get(name).cloned().ok_or(io::ErrorKind::NotFound)?;
        Ok(file)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let removed = self.files().remove(name);
        removed.map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.files();
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        Ok(())
    }

    fn free(&self) -> Option<u64> {
        None
    }
}

impl DiskFile for Bytes {
    fn write(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        put(
            &mut self.bytes(),
            bytes,
            usize::try_from(at).map_err(io::Error::other)?,
        );
        Ok(())
    }

    fn read(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        let all = self.bytes();
        let at = usize::try_from(at).map_err(io::Error::other)?;
        let there = all.get(at..).and_then(|rest| rest.get(..bytes.len()));
        bytes.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        self.bytes().truncate(length);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn has_name(&self) -> bool {
        true
    }
}
