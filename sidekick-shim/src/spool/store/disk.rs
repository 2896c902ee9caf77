//! A disk in memory that can lose its power or its room, as a file system of SQLite's.
//!
//! What SQLite has not synced when the power goes is on the disk in part: each sector that was written is there or not,
//! whatever came before or after it, and so is the name of a file that was never synced.

use std::collections::BTreeMap;
use std::mem::take;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rsqlite_vfs::{
    AccessMode, DeviceCharacteristics, LockLevel, OpenOptions, OpenRequest, OpenedFile, OsCallback,
    SQLiteIoMethods, SQLiteVfs, SyncOptions, VfsError, VfsErrorCode, VfsFile, VfsResult, VfsStore,
};
use rusqlite::Connection;

use super::connect::flags;
use super::{Place, Store, Stored};
use crate::config::Durability;

const SECTOR: usize = 512;

/// Under which name SQLite knows the disks.
const NAME: &str = "disks";

/// The file of the store, on each disk.
const FILE: &str = "alerts.db";

/// All disks: a file's path begins with the number of its disk.
static DISKS: LazyLock<Mutex<BTreeMap<String, Disk>>> = LazyLock::new(|| {
    #[expect(unsafe_code, reason = "a file system is registered with SQLite by a pointer")]
    // SAFETY: the methods are those of the library, for these types; the registration is never taken back.
    let registered = unsafe { rsqlite_vfs::register_vfs::<Methods, Disks>(NAME, (), false) };
    let _ = registered.unwrap().into_raw();
    Mutex::default()
});
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// A disk.
#[derive(Clone, Default)]
pub(super) struct Disk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    files: BTreeMap<String, File>,
    /// How often it was written, synced or cut off.
    steps: usize,
    /// Before which of these the power goes; and how the files were then.
    cut: Option<usize>,
    at_cut: Option<BTreeMap<String, File>>,
    /// How many bytes its files may have.
    room: Option<usize>,
}

#[derive(Clone, Default)]
struct File {
    now: Vec<u8>,
    /// What is safe, once the file has a name that is.
    synced: Option<Vec<u8>>,
    /// What came after that.
    since: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Sector { at: usize, bytes: Vec<u8> },
    Length(usize),
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Sector { at, bytes } => {
                let end = at + bytes.len();
                to.resize(to.len().max(end), 0);
                to[*at..end].copy_from_slice(bytes);
            }
            Self::Length(length) => to.resize(*length, 0),
        }
    }
}

impl File {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.now);
        self.since.push(change);
    }

    fn sync(&mut self) {
        self.synced = Some(self.now.clone());
        self.since.clear();
    }

    /// What there is of it after the power went; nothing if not even its name is there.
    fn after_cut(&self, is_lost: &mut impl FnMut() -> bool) -> Option<Self> {
        if self.synced.is_none() && is_lost() {
            return None;
        }
        let mut now = self.synced.clone().unwrap_or_default();
        for change in &self.since {
            if !is_lost() {
                change.apply(&mut now);
            }
        }
        let synced = Some(now.clone());
        Some(Self {
            now,
            synced,
            since: Vec::new(),
        })
    }
}

impl Disk {
    /// A disk whose power goes before this step of it; none keeps it.
    pub(super) fn new(cut: Option<usize>) -> Self {
        let disk = Self::default();
        disk.state().cut = cut;
        disk
    }

    /// Opens the store on it, or makes it.
    pub(super) fn open(&self, durability: Durability, bytes: u64) -> Stored<Store> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = format!("{number}/{FILE}");
        disks().insert(number.to_string(), self.clone());
        let place = Place {
            path: None,
            durability,
            bytes,
        };
        Store::over(Connection::open_with_flags_and_vfs(path, flags(), NAME)?, &place)
    }

    /// Brings the journal to the disk, as the thread does that syncs now and then.
    pub(super) fn sync_journal(&self) {
        if let Some(journal) = self.state().files.get_mut(&format!("{FILE}-wal")) {
            journal.sync();
        }
    }

    /// Whether its power has gone.
    pub(super) fn is_cut(&self) -> bool {
        self.state().at_cut.is_some()
    }

    /// How often it was written, synced or cut off.
    pub(super) fn steps(&self) -> usize {
        self.state().steps
    }

    /// From now on its files may have so many bytes more.
    pub(super) fn leave_room(&self, more: Option<usize>) {
        let mut state = self.state();
        let taken: usize = state.files.values().map(|file| file.now.len()).sum();
        state.room = more.map(|more| taken + more);
    }

    /// The disk as it is once the power is back.
    pub(super) fn after_cut(&self, mut is_lost: impl FnMut() -> bool) -> Self {
        let state = self.state();
        let files = state.at_cut.as_ref().unwrap_or(&state.files).iter();
        let files = files.filter_map(|(name, file)| Some((name.clone(), file.after_cut(&mut is_lost)?)));
        let files = files.collect();
        Self(Arc::new(Mutex::new(State {
            files,
            ..State::default()
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One of its files, for a step.
    fn step<T>(&self, name: &str, step: impl FnOnce(&mut File) -> T) -> T {
        let mut state = self.state();
        if state.cut == Some(state.steps) {
            state.at_cut = Some(state.files.clone());
        }
        state.steps += 1;
        step(state.files.entry(name.to_owned()).or_default())
    }

    fn has_room(&self, name: &str, length: usize) -> bool {
        let state = self.state();
        let others = state.files.iter().filter(|(other, _)| *other != name);
        let others: usize = others.map(|(_, file)| file.now.len()).sum();
        let now = state.files.get(name).map_or(0, |file| file.now.len());
        length <= now || state.room.is_none_or(|room| others + length <= room)
    }
}

fn disks() -> MutexGuard<'static, BTreeMap<String, Disk>> {
    DISKS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn offset(at: u64) -> usize {
    usize::try_from(at).unwrap()
}

fn find(path: &str) -> VfsResult<(Disk, String)> {
    let found = path.split_once('/').and_then(|(number, name)| {
        let disk = disks().get(number)?.clone();
        Some((disk, name.to_owned()))
    });
    found.ok_or_else(|| VfsError::new(VfsErrorCode::CantOpen, "no such disk".into()))
}

/// A file that SQLite has open.
struct Open {
    disk: Disk,
    name: String,
}

impl Open {
    fn look<T>(&self, look: impl FnOnce(&[u8]) -> T) -> T {
        let state = self.disk.state();
        look(state.files.get(&self.name).map_or(&[], |file| &file.now))
    }
}

impl VfsFile for Open {
    fn device_characteristics(&self) -> DeviceCharacteristics {
        // What SQLite takes for given on Unix.
        DeviceCharacteristics::POWERSAFE_OVERWRITE
    }

    fn read(&mut self, into: &mut [u8], at: u64) -> VfsResult<usize> {
        Ok(self.look(|bytes| {
            let bytes = bytes.get(offset(at)..).unwrap_or_default();
            let length = bytes.len().min(into.len());
            into[..length].copy_from_slice(&bytes[..length]);
            length
        }))
    }

    fn write(&mut self, bytes: &[u8], at: u64) -> VfsResult<()> {
        let at = offset(at);
        if !self.disk.has_room(&self.name, at + bytes.len()) {
            return Err(VfsError::new(VfsErrorCode::Full, "no room".into()));
        }
        self.disk.step(&self.name, |file| {
            let (mut at, mut bytes) = (at, bytes);
            while !bytes.is_empty() {
                let (sector, rest) = bytes.split_at(bytes.len().min(SECTOR - at % SECTOR));
                file.change(Change::Sector {
                    at,
                    bytes: sector.to_vec(),
                });
                (at, bytes) = (at + sector.len(), rest);
            }
        });
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> VfsResult<()> {
        let length = offset(length);
        self.disk
            .step(&self.name, |file| file.change(Change::Length(length)));
        Ok(())
    }

    fn sync(&mut self, _: SyncOptions) -> VfsResult<()> {
        self.disk.step(&self.name, File::sync);
        Ok(())
    }

    fn size(&self) -> VfsResult<u64> {
        Ok(self.look(<[u8]>::len) as u64)
    }

    // Nobody else has it open.
    fn lock(&mut self, _: LockLevel) -> VfsResult<()> {
        Ok(())
    }

    fn unlock(&mut self, _: LockLevel) -> VfsResult<()> {
        Ok(())
    }

    fn check_reserved_lock(&self) -> VfsResult<bool> {
        Ok(false)
    }
}

struct Namespace;

impl VfsStore for Namespace {
    type File = Open;
    type AppData = ();

    fn open_file((): &(), request: OpenRequest<'_>) -> VfsResult<OpenedFile<Open>> {
        let path = request.filename.map(|name| name.path()).unwrap_or_default();
        let (disk, name) = find(path)?;
        disk.state().files.entry(name.clone()).or_default();
        Ok(OpenedFile {
            file: Open { disk, name },
            access: request.options.access(),
        })
    }

    fn close_file((): &(), _: Option<&str>, _: Open, _: OpenOptions) -> VfsResult<()> {
        Ok(())
    }

    fn access((): &(), path: &str, _: AccessMode) -> VfsResult<bool> {
        let (disk, name) = find(path)?;
        let is_there = disk.state().files.contains_key(&name);
        Ok(is_there)
    }

    fn full_pathname((): &(), path: &str) -> VfsResult<String> {
        Ok(path.to_owned())
    }

    fn delete_file((): &(), path: &str, _: bool) -> VfsResult<()> {
        let (disk, name) = find(path)?;
        disk.step(&name, take);
        disk.state().files.remove(&name);
        Ok(())
    }
}

struct Methods;

impl SQLiteIoMethods for Methods {
    type Store = Namespace;
}

struct Disks;

impl SQLiteVfs<Methods> for Disks {
    type Os = Self;

    fn os((): &()) -> &Self {
        &Self
    }
}

impl OsCallback for Disks {
    fn sleep(&self, _: Duration) {}

    fn random(&self, _: &mut [u8]) -> usize {
        0
    }

    fn epoch_timestamp_in_ms(&self) -> VfsResult<i64> {
        Ok(0)
    }
}
