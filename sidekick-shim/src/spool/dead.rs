//! Dead letters: alerts that a sink refused for what they are. In a file of their own, since another process may ask for
//! them, and have them sent again, while a shim runs.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};

use super::store::{StoreError, Stored};

/// How many bytes of dead letters are kept; the oldest go first.
const BYTES: u64 = 32 * 1024 * 1024;

/// How long another process may hold the file.
const BUSY: Duration = Duration::from_secs(1);

/// How many are read at a time.
const AT_A_TIME: usize = 64;

/// An alert that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeadLetter {
    /// The sink that refused it.
    pub(crate) sink: String,
    /// Microseconds since 1970 at which it was accepted.
    pub(crate) received: i64,
    /// Microseconds since 1970 at which it was refused.
    pub(crate) refused: i64,
    /// What the sink answered, on one line.
    pub(crate) answer: String,
    /// The alert's id.
    pub(crate) id: String,
    /// The alert, as it was kept.
    pub(crate) data: Vec<u8>,
}

pub(crate) struct DeadLetters(Connection);

impl DeadLetters {
    /// Opens the file, or makes it; none is memory.
    pub(crate) fn open(path: Option<&Path>) -> Stored<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path.unwrap_or(Path::new(":memory:")), flags)?;
        connection.busy_timeout(BUSY)?;
        connection.execute_batch(
            "PRAGMA auto_vacuum = FULL; PRAGMA cache_size = -256; PRAGMA synchronous = FULL;
             CREATE TABLE IF NOT EXISTS dead (
                 number INTEGER PRIMARY KEY AUTOINCREMENT, again INTEGER NOT NULL DEFAULT 0,
                 sink TEXT NOT NULL, received INTEGER NOT NULL, refused INTEGER NOT NULL, answer TEXT NOT NULL,
                 id TEXT NOT NULL, data BLOB NOT NULL, UNIQUE (sink, id)
             );",
        )?;
        Ok(Self(connection))
    }

    pub(crate) fn count(&self) -> Stored<u64> {
        Ok(self
            .0
            .query_row("SELECT count(*) FROM dead", [], |row| row.get(0))?)
    }

    /// Adds one; how many had to go for it. One that is there already is replaced: it was refused again.
    pub(crate) fn add(&mut self, letter: &DeadLetter) -> Stored<u64> {
        let DeadLetter {
            sink,
            received,
            refused,
            answer,
            id,
            data,
        } = letter;
        let work = self.0.transaction()?;
        work.execute(
            "REPLACE INTO dead (sink, received, refused, answer, id, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![sink, received, refused, answer, id, data],
        )?;
        let mut gone = 0;
        loop {
            let bytes: u64 = work.query_row("SELECT sum(length(data)) FROM dead", [], |row| row.get(0))?;
            if bytes <= BYTES {
                break;
            }
            gone += work.execute(
                "DELETE FROM dead WHERE number = (SELECT min(number) FROM dead)",
                [],
            )? as u64;
        }
        work.commit()?;
        Ok(gone)
    }

    /// Marks all of them to be sent again; how many there are.
    pub(crate) fn requeue(&self) -> Stored<u64> {
        Ok(self.0.execute("UPDATE dead SET again = 1", [])? as u64)
    }

    /// Some of those that are to be sent again, with their numbers.
    pub(crate) fn again(&self) -> Stored<Vec<(i64, DeadLetter)>> {
        let mut statement = self
            .0
            .prepare_cached("SELECT number, sink, received, refused, answer, id, data FROM dead WHERE again = 1 ORDER BY number LIMIT ?1")?;
        let rows = statement.query_map([AT_A_TIME], |row| Ok((row.get(0)?, letter(row)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub(crate) fn remove(&self, number: i64) -> Stored<()> {
        self.0.execute("DELETE FROM dead WHERE number = ?1", [number])?;
        Ok(())
    }

    /// Some of those after this number, the oldest first, with their numbers. The file is not held when it returns:
    /// whoever shows them may wait for a person.
    pub(crate) fn after(&self, number: i64) -> Stored<Vec<(i64, DeadLetter)>> {
        let mut statement = self
            .0
            .prepare_cached("SELECT number, sink, received, refused, answer, id, data FROM dead WHERE number > ?1 ORDER BY number LIMIT ?2")?;
        let rows = statement.query_map(params![number, AT_A_TIME], |row| Ok((row.get(0)?, letter(row)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// A number that changes when another process changed something.
    pub(crate) fn version(&self) -> Stored<i64> {
        let version = self.0.query_row("PRAGMA data_version", [], |row| row.get(0));
        version
            .optional()?
            .ok_or_else(|| StoreError::Failed("it has no version".to_owned()))
    }
}

fn letter(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    Ok(DeadLetter {
        sink: row.get(1)?,
        received: row.get(2)?,
        refused: row.get(3)?,
        answer: row.get(4)?,
        id: row.get(5)?,
        data: row.get(6)?,
    })
}
