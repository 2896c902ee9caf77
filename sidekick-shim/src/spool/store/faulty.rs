//! A disk in memory that can lose its power or its room.
//!
//! What is not synced when the power goes is on the disk in part: each sector that was written is there or not, whatever
//! came before or after it, and so is each change of names since they were synced.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::{Disk, DiskFile, put};

const SECTOR: usize = 512;

#[derive(Clone, Debug, Default)]
pub(crate) struct Faulty(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// By their numbers: a file has several names in time.
    files: Vec<File>,
    names: BTreeMap<String, usize>,
    synced_names: BTreeMap<String, usize>,
    renames: Vec<Rename>,
    /// How often something was changed or synced.
    steps: usize,
    /// From which of these on nothing happens any more.
    cut: Option<usize>,
    /// How many bytes its files may have.
    room: Option<usize>,
    /// From how many bytes on something that is added fails, once.
    refused: Option<usize>,
}

/// A name that stands for a file from now on, or for none.
#[derive(Clone, Debug)]
struct Rename {
    name: String,
    file: Option<usize>,
}

#[derive(Clone, Debug, Default)]
struct File {
    now: Vec<u8>,
    synced: Vec<u8>,
}

#[derive(Debug)]
struct Opened {
    disk: Faulty,
    file: usize,
}

impl Faulty {
    /// One whose power goes before this step.
    pub(super) fn until(cut: usize) -> Self {
        let disk = Self::default();
        disk.state().cut = Some(cut);
        disk
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn steps(&self) -> usize {
        self.state().steps
    }

    pub(super) fn is_cut(&self) -> bool {
        let state = self.state();
        state.cut.is_some_and(|cut| state.steps >= cut)
    }

    pub(crate) fn refuse_once(&self, bytes: usize) {
        self.state().refused = Some(bytes);
    }

    pub(crate) fn leave_room(&self, bytes: Option<usize>) {
        self.state().room = bytes;
    }

    /// What is on it after the power went; `survives` says it of each sector and each change of names.
    pub(super) fn after_cut(&self, mut survives: impl FnMut() -> bool) -> Self {
        let before = self.state();
        let mut names = before.synced_names.clone();
        for Rename { name, file } in &before.renames {
            if survives() {
                match file {
                    Some(file) => names.insert(name.clone(), *file),
                    None => names.remove(name),
                };
            }
        }
        let files: Vec<_> = before
            .files
            .iter()
            .map(|file| file.after_cut(&mut survives))
            .collect();
        let synced_names = names.clone();
        Self(Arc::new(Mutex::new(State {
            files,
            names,
            synced_names,
            ..State::default()
        })))
    }
}

impl File {
    fn after_cut(&self, survives: &mut impl FnMut() -> bool) -> Self {
        // The length is that of any moment since.
        let length = if survives() {
            self.now.len()
        } else {
            self.synced.len().min(self.now.len())
        };
        // Of a sector that did not survive there is what was synced of it.
        let mut left = self.synced.clone();
        left.resize(length, 0);
        for at in (0..length).step_by(SECTOR) {
            let sector = at..length.min(at + SECTOR);
            if left[sector.clone()] != self.now[sector.clone()] && survives() {
                left[sector.clone()].copy_from_slice(&self.now[sector]);
            }
        }
        Self {
            now: left.clone(),
            synced: left,
        }
    }
}

impl State {
    /// Whether a step can be done.
    fn step(&mut self) -> io::Result<()> {
        if self.cut.is_some_and(|cut| self.steps >= cut) {
            return Err(io::Error::other("the power is gone"));
        }
        self.steps += 1;
        Ok(())
    }

    fn name(&mut self, name: &str, file: Option<usize>) {
        match file {
            Some(file) => self.names.insert(name.to_owned(), file),
            None => self.names.remove(name),
        };
        self.renames.push(Rename {
            name: name.to_owned(),
            file,
        });
    }

    fn used(&self) -> usize {
        self.names.values().map(|file| self.files[*file].now.len()).sum()
    }
}

impl Disk for Faulty {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let state = self.state();
        let files = state
            .names
            .iter()
            .map(|(name, file)| (name.clone(), state.files[*file].now.len() as u64));
        Ok(files.collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        if let Ok(file) = self.open(name) {
            file.truncate(0)?;
            return Ok(file);
        }
        let mut state = self.state();
        state.step()?;
        state.files.push(File::default());
        let file = state.files.len() - 1;
        state.name(name, Some(file));
        Ok(Arc::new(Opened {
            disk: self.clone(),
            file,
        }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = *self.state().names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(Opened {
            disk: self.clone(),
            file,
        }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        if !state.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.step()?;
        state.name(name, None);
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        let file = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        state.step()?;
        // Both at once or neither, as POSIX has it: the name that is lost is none that anyone needs.
        state.name(to, Some(file));
        state.names.remove(from);
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        state.synced_names = state.names.clone();
        state.renames.clear();
        Ok(())
    }

    fn free(&self) -> Option<u64> {
        let state = self.state();
        Some(state.room?.saturating_sub(state.used()) as u64)
    }
}

impl DiskFile for Opened {
    fn write(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.step()?;
        if state.refused.take_if(|refused| bytes.len() >= *refused).is_some() {
            return Err(io::Error::other("refused"));
        }
        let at = usize::try_from(at).unwrap();
        let there = state.files[self.file].now.len().checked_sub(at).unwrap();
        let room = state
            .room
            .map_or(usize::MAX, |room| room.saturating_sub(state.used()) + there);
        let fits = bytes.len().min(room);
        put(&mut state.files[self.file].now, &bytes[..fits], at);
        if fits < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn read(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        let state = self.disk.state();
        let at = usize::try_from(at).unwrap();
        let there = state.files[self.file].now.get(at..at + bytes.len());
        bytes.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.step()?;
        let length = usize::try_from(length).unwrap();
        state.files[self.file].now.truncate(length);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.step()?;
        let file = &mut state.files[self.file];
        file.synced = file.now.clone();
        Ok(())
    }

    fn has_name(&self) -> bool {
        self.disk.state().names.values().any(|file| *file == self.file)
    }
}
