//! How the file is opened and made.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::{CREATE, LEVELS, PAGE, Place, StoreError, Stored};
use crate::config::Durability;

/// The longest journal that is kept, in bytes; SQLite brings it into the file after 1,000 pages.
pub(crate) const JOURNAL: u64 = 4 * 1024 * 1024;

/// How many pages the file has without alerts, and some.
pub(super) const SMALL: u64 = 64;

/// Which form the tables have.
const VERSION: i64 = 1;

/// One thread owns the connection.
pub(super) fn flags() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

pub(super) fn connect(place: &Place) -> Stored<Connection> {
    let file = place.path.as_deref().unwrap_or(Path::new(":memory:"));
    Ok(Connection::open_with_flags(file, flags())?)
}

/// Makes the file the store that it is to be, if it is not that yet.
pub(super) fn set_up(connection: &Connection, place: &Place) -> Stored<()> {
    let Place {
        path,
        durability,
        bytes,
    } = place;
    connection.busy_timeout(Duration::ZERO)?;
    connection.set_prepared_statement_cache_capacity(16 * LEVELS);
    // Beside the alerts there are inner pages of the trees, and one for each table.
    let pages = bytes / PAGE;
    let pages = pages + pages / 128 + SMALL;
    let synchronous = match durability {
        Durability::PowerLoss => "FULL",
        Durability::Crash | Durability::Memory => "NORMAL",
    };
    // The lock is for good, and before anything is read, so that there is no memory to share with other processes.
    connection.execute_batch(&format!(
        "PRAGMA locking_mode = EXCLUSIVE; PRAGMA page_size = {PAGE}; PRAGMA auto_vacuum = INCREMENTAL;
         PRAGMA cache_size = -1024; PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous};
         PRAGMA journal_size_limit = {JOURNAL}; PRAGMA max_page_count = {pages}; PRAGMA temp_store = MEMORY;"
    ))?;
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    match version {
        VERSION => Ok(()),
        0 => create(connection, path.as_deref()),
        _ => {
            let what = format!("it is of version {version}, and this program knows version {VERSION}");
            Err(StoreError::Failed(what))
        }
    }
}

/// Makes the tables, and sees that what later writes rest on is on the disk.
fn create(connection: &Connection, path: Option<&Path>) -> Stored<()> {
    let tables = CREATE.join(";\n");
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE;
         {tables};
         CREATE TABLE counts (level INTEGER PRIMARY KEY, alerts INTEGER NOT NULL, bytes INTEGER NOT NULL, next INTEGER NOT NULL);
         INSERT INTO counts VALUES (0,0,0,1), (1,0,0,1), (2,0,0,1), (3,0,0,1), (4,0,0,1), (5,0,0,1), (6,0,0,1), (7,0,0,1);
         CREATE TABLE progress (sink TEXT NOT NULL, level INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL);
         PRAGMA user_version = {VERSION};
         COMMIT;"
    ))?;
    // From the journal into the file, which is on the disk then; and so is its name.
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    let folder = path.and_then(Path::parent).map(File::open).transpose();
    folder
        .and_then(|folder| folder.map_or(Ok(()), |folder| folder.sync_all()))
        .map_err(|error| StoreError::Failed(error.to_string()))
}
