//! Dead letters: alerts that a sink refused for what they are. In a file of their own, since another process may ask for
//! them, and have them sent again, while a shim runs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, Transaction, params};

/// How many bytes of dead letters are kept; the oldest go first.
const BYTES: u64 = 32 * 1024 * 1024;

/// How long another process may hold the file: the thread that takes alerts waits for it.
const BUSY: Duration = Duration::from_millis(100);

/// How many are read at a time.
const AT_A_TIME: usize = 64;

/// Why the letters cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    /// The file is none of SQLite's any more: to be set aside.
    #[error("the file is corrupt: {0}")]
    Corrupt(String),
    /// Anything else: the disk, rights.
    #[error("{0}")]
    Failed(String),
}

impl From<rusqlite::Error> for Broken {
    fn from(error: rusqlite::Error) -> Self {
        let text = error.to_string();
        match error.sqlite_error_code() {
            // A table that is not there, a value of the wrong kind: what this program wrote has other ones.
            None | Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown) => {
                Self::Corrupt(text)
            }
            Some(_) => Self::Failed(text),
        }
    }
}

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

/// The letters. Another process marks them; only the one that holds the folder adds and removes them, and knows how much
/// there is.
pub(crate) struct DeadLetters {
    path: Option<PathBuf>,
    /// Made with the first letter: that takes a dozen syncs, and nobody waits for them at a start.
    letters: Option<Letters>,
}

/// The file, and what is in it.
struct Letters {
    file: Connection,
    count: u64,
    bytes: u64,
}

impl DeadLetters {
    /// Opens the file if there is one; no path is memory.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, Broken> {
        let mut letters = Self::later(path);
        // One without a byte could not be made: the disk was full.
        if path.is_some_and(|path| path.metadata().is_ok_and(|file| file.len() > 0)) {
            letters.letters = Some(Letters::open(path)?);
        }
        Ok(letters)
    }

    /// Those of a file that is opened with the next letter.
    pub(crate) fn later(path: Option<&Path>) -> Self {
        Self {
            path: path.map(Path::to_owned),
            letters: None,
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.letters.as_ref().map_or(0, |letters| letters.count)
    }

    /// Adds one; how many had to go for it. One that is there already is replaced: it was refused again.
    pub(crate) fn add(&mut self, letter: &DeadLetter) -> Result<u64, Broken> {
        let DeadLetter {
            sink,
            received,
            refused,
            answer,
            id,
            data,
        } = letter;
        let letters = match &mut self.letters {
            Some(letters) => letters,
            none => none.insert(Letters::open(self.path.as_deref())?),
        };
        let work = letters.file.transaction()?;
        let before: Option<u64> = work
            .query_row(
                "SELECT length(data) FROM dead WHERE sink = ?1 AND id = ?2",
                [sink, id],
                |row| row.get(0),
            )
            .optional()?;
        work.execute(
            "REPLACE INTO dead (sink, received, refused, answer, id, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![sink, received, refused, answer, id, data],
        )?;
        let bytes = letters.bytes - before.unwrap_or_default() + data.len() as u64;
        let (gone, freed) = drop_oldest(&work, bytes.saturating_sub(BYTES))?;
        work.commit()?;
        letters.bytes = bytes - freed;
        letters.count = letters.count + u64::from(before.is_none()) - gone;
        Ok(gone)
    }

    /// Marks all of them to be sent again; how many there are.
    pub(crate) fn requeue(&self) -> Result<u64, Broken> {
        let Some(Letters { file, .. }) = &self.letters else {
            return Ok(0);
        };
        Ok(file.execute("UPDATE dead SET again = 1", [])? as u64)
    }

    /// Some of those that are to be sent again, with their numbers.
    pub(crate) fn again(&self) -> Result<Vec<(i64, DeadLetter)>, Broken> {
        let Some(Letters { file, .. }) = &self.letters else {
            return Ok(Vec::new());
        };
        let mut statement = file
            .prepare_cached("SELECT number, sink, received, refused, answer, id, data FROM dead WHERE again = 1 ORDER BY number LIMIT ?1")?;
        let rows = statement.query_map([AT_A_TIME], |row| Ok((row.get(0)?, letter(row)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Those of these numbers are gone, and the others are not to be sent again after all: all of it or nothing, with one
    /// wait for the disk.
    pub(crate) fn settle(&mut self, gone: &[(i64, DeadLetter)], kept: &[i64]) -> Result<(), Broken> {
        let Some(Letters { file, count, bytes }) = &mut self.letters else {
            return Ok(());
        };
        let work = file.transaction()?;
        let (mut removed, mut freed) = (0, 0);
        for (number, letter) in gone {
            let one = work.execute("DELETE FROM dead WHERE number = ?1", [number])? as u64;
            removed += one;
            freed += one * letter.data.len() as u64;
        }
        for number in kept {
            work.execute("UPDATE dead SET again = 0 WHERE number = ?1", [number])?;
        }
        work.commit()?;
        *count -= removed;
        *bytes -= freed;
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn remove(&mut self, number: i64, letter: &DeadLetter) -> Result<(), Broken> {
        self.settle(&[(number, letter.clone())], &[])
    }

    /// Some of those after this number, the oldest first, with their numbers. The file is not held when it returns:
    /// whoever shows them may wait for a person.
    pub(crate) fn after(&self, number: i64) -> Result<Vec<(i64, DeadLetter)>, Broken> {
        let Some(Letters { file, .. }) = &self.letters else {
            return Ok(Vec::new());
        };
        let mut statement = file
            .prepare_cached("SELECT number, sink, received, refused, answer, id, data FROM dead WHERE number > ?1 ORDER BY number LIMIT ?2")?;
        let rows = statement.query_map(params![number, AT_A_TIME], |row| Ok((row.get(0)?, letter(row)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// A number that changes when another process changed something.
    pub(crate) fn version(&self) -> Result<i64, Broken> {
        let Some(Letters { file, .. }) = &self.letters else {
            return Ok(0);
        };
        let version = file.query_row("PRAGMA data_version", [], |row| row.get(0));
        version
            .optional()?
            .ok_or_else(|| Broken::Failed("it has no version".to_owned()))
    }
}

impl Letters {
    /// Opens the file, or makes it. One that is made already is not written.
    fn open(path: Option<&Path>) -> Result<Self, Broken> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let file = Connection::open_with_flags(path.unwrap_or(Path::new(":memory:")), flags)?;
        file.busy_timeout(BUSY)?;
        file.execute_batch(
            "PRAGMA cache_size = -256; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 1048576;",
        )?;
        if !file.table_exists(None, "dead")? {
            file.execute_batch(
                "PRAGMA auto_vacuum = FULL; PRAGMA journal_mode = WAL;
                 CREATE TABLE IF NOT EXISTS dead (
                     number INTEGER PRIMARY KEY AUTOINCREMENT, again INTEGER NOT NULL DEFAULT 0,
                     sink TEXT NOT NULL, received INTEGER NOT NULL, refused INTEGER NOT NULL, answer TEXT NOT NULL,
                     id TEXT NOT NULL, data BLOB NOT NULL, UNIQUE (sink, id)
                 );",
            )?;
        }
        let (count, bytes) = file.query_row(
            "SELECT count(*), coalesce(sum(length(data)), 0) FROM dead",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        Ok(Self { file, count, bytes })
    }
}

/// Removes the oldest until so many bytes are freed; how many that were, and their bytes.
fn drop_oldest(work: &Transaction<'_>, bytes: u64) -> rusqlite::Result<(u64, u64)> {
    let (mut last, mut freed) = (0_i64, 0);
    let mut oldest = work.prepare_cached("SELECT number, length(data) FROM dead ORDER BY number")?;
    let mut rows = oldest.query([])?;
    while freed < bytes
        && let Some(row) = rows.next()?
    {
        last = row.get(0)?;
        freed += row.get::<_, u64>(1)?;
    }
    let gone = match freed {
        0 => 0,
        _ => work.execute("DELETE FROM dead WHERE number <= ?1", [last])? as u64,
    };
    Ok((gone, freed))
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
