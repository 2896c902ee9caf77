//! Alerts in SQLite: the one place that speaks SQL about them.
//!
//! Each priority has a table of its own, and in it an alert's key is the next number. So an alert is always added at the
//! right edge of a tree, its place in line is its key, and no index is needed: newest, oldest, most and least urgent are
//! the ends of eight trees. What is done with goes in ranges.

mod connect;

use std::ops::RangeInclusive;
use std::path::PathBuf;

use rusqlite::{CachedStatement, Connection, ErrorCode, OptionalExtension, params};

use crate::config::Durability;
pub(crate) use connect::JOURNAL;
use connect::{connect, set_up};

/// One table for each of Falco's priorities; a level is a priority's number, 0 for `Emergency`.
pub(crate) const LEVELS: usize = 8;

/// What a page of the file has, in bytes: a larger one costs more for each alert that is written alone.
const PAGE: u64 = 4096;

/// How much of a page is there for alerts.
const PAGE_ROOM: u64 = PAGE - 12;

/// What an alert needs in its page beside its bytes: its key, when it was received, and lengths.
const ROW: u64 = 24;

/// After how many alerts the counts are written down. After a crash as many are counted anew.
const COUNT_EVERY: u64 = 1024;

/// How many pages stay free in the file: they are taken again without a growing file.
const SPARE_PAGES: u64 = 1024;

/// How many pages are given back to the file system at a time; each has to be moved.
const GIVE_BACK: u64 = 256;
const VACUUM: &str = "PRAGMA incremental_vacuum(256)";

/// How many alerts are read at a time, and about how many bytes of them.
const READ_ALERTS: usize = 32;
const READ_BYTES: usize = 128 * 1024;

/// Why the store could not do something, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The file is none of SQLite's any more: to be set aside.
    #[error("the file is corrupt: {0}")]
    Corrupt(String),
    /// The bound of the file is reached, or the disk is full.
    #[error("there is no room: {0}")]
    Full(String),
    /// Anything else: the disk, rights.
    #[error("{0}")]
    Failed(String),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let text = error.to_string();
        match error.sqlite_error_code() {
            // A table that is not there, a value of the wrong kind: what this program wrote has other ones.
            None | Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown) => {
                Self::Corrupt(text)
            }
            Some(ErrorCode::DiskFull) => Self::Full(text),
            Some(_) => Self::Failed(text),
        }
    }
}

pub(crate) type Stored<T> = Result<T, StoreError>;

/// How many alerts a level has, and the bytes that they take on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) alerts: u64,
    pub(crate) bytes: u64,
}

impl Count {
    pub(crate) fn add(&mut self, other: Self) {
        self.alerts = self.alerts.saturating_add(other.alerts);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }

    /// The bytes of one of them.
    pub(crate) fn mean(self) -> u64 {
        self.bytes.checked_div(self.alerts).unwrap_or_default()
    }

    fn take(&mut self, other: Self) {
        self.alerts = self.alerts.saturating_sub(other.alerts);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}

/// What an alert of so many bytes takes on the disk: its share of its page, and pages of its own for what does not fit.
/// As SQLite lays it out: <https://www.sqlite.org/fileformat2.html#cell_payload_overflow_pages>.
pub(crate) fn on_disk(bytes: usize) -> u64 {
    const LARGEST: u64 = PAGE - 35;
    const LEAST: u64 = (PAGE - 12) * 32 / 255 - 23;
    const OVERFLOW: u64 = PAGE - 4;
    let row = (bytes as u64).saturating_add(ROW);
    let inside = match row {
        0..=LARGEST => row,
        _ => match LEAST + (row - LEAST) % OVERFLOW {
            most @ 0..=LARGEST => most,
            _ => LEAST,
        },
    };
    let share = PAGE.div_ceil((PAGE_ROOM / inside).max(1));
    (row - inside)
        .div_ceil(OVERFLOW)
        .saturating_mul(PAGE)
        .saturating_add(share)
}

/// An alert as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) seq: i64,
    /// Microseconds since 1970.
    pub(crate) received: i64,
    pub(crate) data: Vec<u8>,
}

/// Which alerts of a level to read: from this one on, towards the newest or the oldest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Want {
    pub(crate) level: usize,
    pub(crate) from: i64,
    pub(crate) backwards: bool,
}

/// Where and how alerts are stored.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The file; none is memory.
    pub(crate) path: Option<PathBuf>,
    pub(crate) durability: Durability,
    /// The bound of the file in bytes.
    pub(crate) bytes: u64,
}

pub(crate) struct Store {
    connection: Connection,
    counts: [Count; LEVELS],
    /// The key that the next alert of a level gets.
    next: [i64; LEVELS],
    /// Alerts since the counts were written down.
    uncounted: u64,
}

impl Store {
    /// Opens the store, or makes it. Of one that was not closed nothing is looked through but its journal.
    pub(crate) fn open(place: &Place) -> Stored<Self> {
        Self::over(connect(place)?, place)
    }

    fn over(connection: Connection, place: &Place) -> Stored<Self> {
        set_up(&connection, place)?;
        let mut store = Self {
            connection,
            counts: Default::default(),
            next: [1; LEVELS],
            uncounted: 0,
        };
        for level in 0..LEVELS {
            store.count(level)?;
        }
        Ok(store)
    }

    pub(crate) fn counts(&self) -> [Count; LEVELS] {
        self.counts
    }

    /// How many bytes all of them take.
    pub(crate) fn bytes(&self) -> u64 {
        self.counts.iter().map(|count| count.bytes).sum()
    }

    /// All of `work` or nothing of it.
    pub(crate) fn write<T>(&mut self, work: impl FnOnce(&mut Self) -> Stored<T>) -> Stored<T> {
        let before = (self.counts, self.next, self.uncounted);
        self.statement("BEGIN IMMEDIATE")?.execute([])?;
        let done = work(self).and_then(|done| {
            self.statement("COMMIT")?.execute([])?;
            Ok(done)
        });
        if done.is_err() {
            (self.counts, self.next, self.uncounted) = before;
            // It has been rolled back already if the error was a grave one.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        done
    }

    /// Adds an alert; its key.
    pub(crate) fn insert(&mut self, level: usize, received: i64, data: &[u8]) -> Stored<i64> {
        let seq = self.next.get(level).copied().unwrap_or_default();
        self.insert_at(level, seq, received, data)?;
        self.uncounted = self.uncounted.saturating_add(1);
        if self.uncounted >= COUNT_EVERY {
            self.save_counts()?;
        }
        Ok(seq)
    }

    /// Adds an alert under the key that it had in another store.
    pub(crate) fn insert_at(&mut self, level: usize, seq: i64, received: i64, data: &[u8]) -> Stored<()> {
        self.statement(of(level, INSERT))?
            .execute(params![seq, received, data])?;
        if let (Some(count), Some(next)) = (self.counts.get_mut(level), self.next.get_mut(level)) {
            count.add(Count {
                alerts: 1,
                bytes: on_disk(data.len()),
            });
            *next = seq.saturating_add(1).max(*next);
        }
        Ok(())
    }

    /// Removes what there is of these; what that was.
    pub(crate) fn remove(&mut self, level: usize, seqs: RangeInclusive<i64>) -> Stored<Count> {
        let (first, last) = seqs.into_inner();
        let gone = self.sum(of(level, LENGTHS), first, last)?;
        if gone.alerts > 0 {
            self.statement(of(level, DELETE))?.execute([first, last])?;
            if let Some(count) = self.counts.get_mut(level) {
                count.take(gone);
            }
        }
        Ok(gone)
    }

    /// Removes the oldest of a level until they took so many bytes, or there are none; up to which it went.
    pub(crate) fn remove_oldest(&mut self, level: usize, bytes: u64) -> Stored<Option<(i64, Count)>> {
        let last = {
            let mut statement = self.statement(of(level, OLDEST))?;
            let mut rows = statement.query([])?;
            let (mut last, mut sum) = (None, 0);
            while sum < bytes
                && let Some(row) = rows.next()?
            {
                last = Some(row.get(0)?);
                sum += on_disk(row.get(1)?);
            }
            last
        };
        let Some(last) = last else { return Ok(None) };
        Ok(Some((last, self.remove(level, i64::MIN..=last)?)))
    }

    /// The key of a level's oldest alert, and when it was received.
    pub(crate) fn oldest(&self, level: usize) -> Stored<Option<(i64, i64)>> {
        let mut statement = self.statement(of(level, FIRST))?;
        let first = statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?)));
        Ok(first.optional()?)
    }

    /// The key of a level's newest alert.
    pub(crate) fn newest(&self, level: usize) -> Stored<Option<i64>> {
        let mut statement = self.statement(of(level, LAST))?;
        Ok(statement.query_row([], |row| row.get(0)).optional()?)
    }

    /// Some alerts, in the order in which they are wanted, and what was looked at: in it nothing else exists.
    pub(crate) fn read(&self, want: Want) -> Stored<(Vec<Row>, RangeInclusive<i64>)> {
        let sql = if want.backwards { BACKWARDS } else { FORWARDS };
        let mut statement = self.statement(of(want.level, sql))?;
        let mut rows = statement.query(params![want.from, READ_ALERTS])?;
        let (mut read, mut bytes) = (Vec::<Row>::new(), 0);
        while bytes < READ_BYTES
            && let Some(row) = rows.next()?
        {
            let data: Vec<u8> = row.get(2)?;
            bytes += data.len();
            read.push(Row {
                seq: row.get(0)?,
                received: row.get(1)?,
                data,
            });
        }
        let all = bytes < READ_BYTES && read.len() < READ_ALERTS;
        let last = read.last().map(|row| row.seq).filter(|_| !all);
        let within = match want.backwards {
            true => last.unwrap_or(i64::MIN)..=want.from,
            false => want.from..=last.unwrap_or(i64::MAX),
        };
        Ok((read, within))
    }

    /// The alert with this key.
    pub(crate) fn get(&self, level: usize, seq: i64) -> Stored<Option<Row>> {
        let mut statement = self.statement(of(level, GET))?;
        let row = statement.query_row([seq], |row| {
            Ok(Row {
                seq,
                received: row.get(0)?,
                data: row.get(1)?,
            })
        });
        Ok(row.optional()?)
    }

    /// Reads and writes what every start needs, to see whether it can be.
    pub(crate) fn look_through(&mut self) -> Stored<()> {
        self.progress()?;
        for level in 0..LEVELS {
            self.oldest(level)?;
        }
        match self.write(Self::save_counts) {
            // What is there can be sent all the same, and then there is room.
            Err(StoreError::Full(_)) => Ok(()),
            written => written,
        }
    }

    /// Writes down how much there is, so that the next start has not to count.
    pub(crate) fn save_counts(&mut self) -> Stored<()> {
        let mut statement = self.statement("REPLACE INTO counts VALUES (?1, ?2, ?3, ?4)")?;
        for (level, (count, next)) in self.counts.iter().zip(&self.next).enumerate() {
            statement.execute(params![level, count.alerts, count.bytes, next])?;
        }
        drop(statement);
        self.uncounted = 0;
        Ok(())
    }

    /// What each sink is done with although the alert is still there for another: name, level, first and last key.
    pub(crate) fn progress(&self) -> Stored<Vec<(String, usize, RangeInclusive<i64>)>> {
        let mut statement = self.statement("SELECT sink, level, first, last FROM progress")?;
        let rows = statement.query_map([], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?..=row.get(3)?))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub(crate) fn save_progress<'a>(
        &mut self,
        progress: impl Iterator<Item = (&'a str, usize, RangeInclusive<i64>)>,
    ) -> Stored<()> {
        self.statement("DELETE FROM progress")?.execute([])?;
        let mut statement = self.statement("INSERT INTO progress VALUES (?1, ?2, ?3, ?4)")?;
        for (sink, level, done) in progress {
            statement.execute(params![sink, level, done.start(), done.end()])?;
        }
        Ok(())
    }

    /// Gives free pages back to the file system, some at a time; whether there are more.
    pub(crate) fn give_back(&mut self) -> Stored<bool> {
        let free: u64 = self
            .statement("PRAGMA freelist_count")?
            .query_row([], |row| row.get(0))?;
        if free > SPARE_PAGES {
            let mut vacuum = self.statement(VACUUM)?;
            let mut pages = vacuum.query([])?;
            // A step for each page.
            while pages.next()?.is_some() {}
        }
        Ok(free > SPARE_PAGES + GIVE_BACK)
    }

    /// Whether the file's own bound leaves room for so many bytes.
    pub(crate) fn can_grow(&self, bytes: u64) -> bool {
        let number = |pragma| {
            self.statement(pragma)?
                .query_row([], |row| row.get::<_, u64>(0))
                .map_err(StoreError::from)
        };
        let free = || -> Stored<u64> {
            let unused = number("PRAGMA max_page_count")?.saturating_sub(number("PRAGMA page_count")?);
            Ok(unused + number("PRAGMA freelist_count")?)
        };
        free().is_ok_and(|pages| pages.saturating_mul(PAGE) >= bytes)
    }

    /// Brings what is in the journal into the file, as far as there is room, and gives the journal's room back.
    pub(crate) fn empty_journal(&self) -> Stored<()> {
        Ok(self
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?)
    }

    fn statement(&self, sql: &str) -> Stored<CachedStatement<'_>> {
        Ok(self.connection.prepare_cached(sql)?)
    }

    fn sum(&self, sql: &str, first: i64, last: i64) -> Stored<Count> {
        let mut statement = self.statement(sql)?;
        let mut rows = statement.query([first, last])?;
        let mut sum = Count::default();
        while let Some(row) = rows.next()? {
            sum.add(Count {
                alerts: 1,
                bytes: on_disk(row.get(0)?),
            });
        }
        Ok(sum)
    }

    /// Finds out how much there is of a level: what was written down, and what came after that.
    fn count(&mut self, level: usize) -> Stored<()> {
        let (mut count, next) = self
            .statement("SELECT alerts, bytes, next FROM counts WHERE level = ?1")?
            .query_row([level], |row| {
                let count = Count {
                    alerts: row.get(0)?,
                    bytes: row.get(1)?,
                };
                Ok((count, row.get::<_, i64>(2)?))
            })?;
        count.add(self.sum(of(level, LENGTHS), next, i64::MAX)?);
        let last = self.newest(level)?.unwrap_or_default();
        if let (Some(to), Some(after)) = (self.counts.get_mut(level), self.next.get_mut(level)) {
            *to = count;
            *after = next.max(last.saturating_add(1));
        }
        Ok(())
    }
}

/// A statement for each level, written out once: it is found again by its text.
type Each = [&'static str; LEVELS];

fn of(level: usize, each: &Each) -> &'static str {
    each.get(level).copied().unwrap_or_default()
}

macro_rules! each {
    ($before:literal, $after:literal) => {
        &[
            concat!($before, "alerts0", $after),
            concat!($before, "alerts1", $after),
            concat!($before, "alerts2", $after),
            concat!($before, "alerts3", $after),
            concat!($before, "alerts4", $after),
            concat!($before, "alerts5", $after),
            concat!($before, "alerts6", $after),
            concat!($before, "alerts7", $after),
        ]
    };
}

const CREATE: &Each = each!(
    "CREATE TABLE ",
    " (seq INTEGER PRIMARY KEY, received INTEGER NOT NULL, data BLOB NOT NULL)"
);
const INSERT: &Each = each!("INSERT INTO ", " VALUES (?1, ?2, ?3)");
const DELETE: &Each = each!("DELETE FROM ", " WHERE seq BETWEEN ?1 AND ?2");
const LENGTHS: &Each = each!("SELECT length(data) FROM ", " WHERE seq BETWEEN ?1 AND ?2");
const OLDEST: &Each = each!("SELECT seq, length(data) FROM ", " ORDER BY seq");
const GET: &Each = each!("SELECT received, data FROM ", " WHERE seq = ?1");
const FIRST: &Each = each!("SELECT seq, received FROM ", " ORDER BY seq LIMIT 1");
const LAST: &Each = each!("SELECT seq FROM ", " ORDER BY seq DESC LIMIT 1");
const FORWARDS: &Each = each!(
    "SELECT seq, received, data FROM ",
    " WHERE seq >= ?1 ORDER BY seq LIMIT ?2"
);
const BACKWARDS: &Each = each!(
    "SELECT seq, received, data FROM ",
    " WHERE seq <= ?1 ORDER BY seq DESC LIMIT ?2"
);

#[cfg(test)]
mod disk;
#[cfg(test)]
mod power;
#[cfg(test)]
mod tests;
