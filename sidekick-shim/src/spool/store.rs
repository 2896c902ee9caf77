//! Alerts in files.
//!
//! Each priority is a level of its own, and in it an alert's number is the next one. The alerts of a level are in
//! segments, files to which is only ever added, at their end or in the place of zeros that were written ahead; that one is
//! gone is written in a file beside. A segment is removed when all of its alerts are gone, and its numbers become those of
//! the one before it; it is written anew without those that are gone when they take too much room. The last segment of a
//! level stays, be it empty: its name says which number is next, and none is given twice.
//!
//! What was written in part when the process or the machine ended is passed over by its checksum. A start adds to new
//! segments alone.

mod adding;
pub(crate) mod disk;
mod frame;
mod progress;
mod reader;
mod segment;
mod start;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use disk::{Disk, DiskFile};
pub(crate) use progress::Progress;
pub(crate) use reader::{Read, Reader, Want};
use segment::{Name, Segment};

use super::ranges::Ranges;

/// One for each of Falco's priorities; a level is a priority's number, 0 for `Emergency`.
pub(crate) const LEVELS: usize = 8;

/// The largest segment in bytes, unless one alert has more; and a spool has at least so many times that.
const SEGMENT: u64 = 1024 * 1024;
const PARTS: u64 = 64;

/// How many segments' bytes of alerts that are gone may stay, beside as many as the others have.
const DEAD: u64 = 8;

/// How many alerts a level has, and the bytes that they take on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) alerts: u64,
    pub(crate) bytes: u64,
    /// What is written ahead of them.
    pub(crate) zeros: u64,
}

impl Count {
    pub(crate) fn add(&mut self, other: Self) {
        self.alerts = self.alerts.saturating_add(other.alerts);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.zeros = self.zeros.saturating_add(other.zeros);
    }

    /// All that it takes on the disk.
    pub(crate) fn on_disk(self) -> u64 {
        self.bytes.saturating_add(self.zeros)
    }

    /// The bytes of one of them.
    pub(crate) fn mean(self) -> u64 {
        self.bytes.checked_div(self.alerts).unwrap_or_default()
    }

    /// Something of it was so much, and is so much now.
    fn change(&mut self, before: Self, now: Self) {
        self.add(now);
        self.take(before);
    }

    fn take(&mut self, other: Self) {
        self.alerts = self.alerts.saturating_sub(other.alerts);
        self.bytes = self.bytes.saturating_sub(other.bytes);
        self.zeros = self.zeros.saturating_sub(other.zeros);
    }
}

/// What an alert of so many bytes takes on the disk.
pub(crate) fn on_disk(bytes: usize) -> u64 {
    frame::size(bytes) as u64
}

#[derive(Debug)]
pub(crate) struct Store {
    disk: Arc<dyn Disk>,
    levels: [Level; LEVELS],
    segment_bytes: u64,
    /// Up to how many bytes in all there is more of it ahead of what is added; none if it is not synced at once.
    ahead: u64,
    /// Files with bytes that may not be on the disk, beside the last segments.
    unsynced: BTreeMap<Name, Arc<dyn DiskFile>>,
    /// There are files whose names may not be on the disk.
    names: bool,
    /// Alerts were added since it was looked whether their files have names.
    unseen: bool,
    closed: bool,
}

#[derive(Debug, Default)]
struct Level {
    /// By their first numbers.
    segments: BTreeMap<i64, Segment>,
    /// The number that the next alert gets.
    next: i64,
    /// The last segment's file, once something was added.
    last: Option<Arc<dyn DiskFile>>,
    unsynced: bool,
    /// What is behind its alerts is not known: another is begun for what is added.
    torn: bool,
    count: Count,
    /// Alerts that are to be written together, and how many these are.
    together: Vec<u8>,
    alerts: u64,
}

/// What is to be brought to the disk.
#[derive(Debug)]
pub(crate) struct Unsynced {
    files: Vec<Arc<dyn DiskFile>>,
    names: Option<Arc<dyn Disk>>,
}

impl Unsynced {
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Each of them, whatever becomes of another; the first error.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let files = self.files.iter().map(|file| file.sync());
        let names = self.names.iter().map(|disk| disk.sync_names());
        files.chain(names).fold(Ok(()), io::Result::and)
    }
}

impl Store {
    fn level(&self, number: usize) -> io::Result<&Level> {
        self.levels.get(number).ok_or_else(no_level)
    }

    fn level_mut(&mut self, number: usize) -> io::Result<&mut Level> {
        self.levels.get_mut(number).ok_or_else(no_level)
    }

    pub(crate) fn counts(&self) -> [Count; LEVELS] {
        self.levels.each_ref().map(|level| level.count)
    }

    /// How many bytes all of them take.
    pub(crate) fn bytes(&self) -> u64 {
        self.levels.iter().map(|level| level.count.on_disk()).sum()
    }

    /// What is there of a level.
    pub(crate) fn live(&self, level: usize) -> Ranges {
        let mut live = Ranges::default();
        for (first, segment) in self.levels.get(level).iter().flat_map(|level| &level.segments) {
            segment.live(*first).iter().for_each(|seqs| live.insert_all(seqs));
        }
        live
    }

    /// The alerts of these ranges are gone.
    ///
    /// # Errors
    /// That cannot be written down: after a crash they come again.
    pub(crate) fn remove(&mut self, number: usize, gone: &Ranges) -> io::Result<()> {
        let disk = Arc::clone(&self.disk);
        let level = self.level_mut(number)?;
        let mut news = BTreeMap::<i64, Ranges>::new();
        for range in gone.iter() {
            let before = level.segments.range(..=*range.start()).next_back();
            let first = before.map_or(i64::MIN, |(first, _)| *first);
            for (&first, segment) in level.segments.range_mut(first..=*range.end()) {
                let new = segment.clear(first, range.clone());
                level.count.alerts = level.count.alerts.saturating_sub(new.len());
                let all = news.entry(first).or_default();
                new.iter().for_each(|new| all.insert_all(new));
            }
        }
        let mut result = Ok(());
        for (first, new) in news {
            let said = level.say(Name { level: number, first }, &new, &*disk);
            result = result.and(said);
        }
        result
    }

    /// Removes segments whose alerts are all gone; of the last of a level an empty one stays, which costs two more
    /// changes in the folder.
    ///
    /// # Errors
    /// The first of those that came up; what could be done is done.
    pub(crate) fn sweep(&mut self, last_too: bool) -> io::Result<()> {
        let mut result = Ok(());
        for number in 0..LEVELS {
            let segments = &self.level(number)?.segments;
            let is_over = |(first, segment): (&i64, &Segment)| (segment.alerts() == 0).then_some(*first);
            let mut over: Vec<i64> = segments.iter().filter_map(is_over).collect();
            let last = segments
                .last_key_value()
                .map(|(first, segment)| (*first, segment.bytes));
            if let Some((first, bytes)) = last
                && over.last() == Some(&first)
                && (bytes == 0 || !last_too || self.replace(number).is_err())
            {
                over.pop();
            }
            for first in over {
                let name = Name { level: number, first };
                // Where there is no room to write that down, it comes from the file that goes.
                result = result.and(self.hand_on(name));
                result = result.and(self.drop_segment(name).map(drop));
            }
        }
        result
    }

    /// The numbers of a segment that goes become those of the one before it, and are gone there: a start would take them
    /// for alerts that are to be in it.
    fn hand_on(&mut self, name: Name) -> io::Result<()> {
        let disk = Arc::clone(&self.disk);
        let level = self.level_mut(name.level)?;
        let Some(last) = level
            .segments
            .get(&name.first)
            .map(|segment| *segment.range(name.first).end())
        else {
            return Ok(());
        };
        let Some((&first, before)) = level.segments.range_mut(..name.first).next_back() else {
            return Ok(());
        };
        // Once: if the file cannot be removed this comes again.
        before.numbers = before.numbers.max(last.abs_diff(first).saturating_add(1));
        let new = before.clear(first, name.first..=last);
        before.cleared = before.cleared.saturating_add(new.len());
        level.say(Name { first, ..name }, &new, &*disk)
    }

    /// Begins a segment that says which number is next when the others are removed.
    fn replace(&mut self, number: usize) -> io::Result<()> {
        self.begin(number)?;
        self.disk.sync_names()
    }

    /// Whether the last segment of a level can be removed.
    pub(crate) fn has_idle(&self) -> bool {
        let mut last = self
            .levels
            .iter()
            .filter_map(|level| level.segments.values().next_back());
        last.any(|segment| segment.bytes > 0 && segment.alerts() == 0)
    }

    fn drop_segment(&mut self, name: Name) -> io::Result<Count> {
        let disk = Arc::clone(&self.disk);
        for file in [name.alerts(), name.gone()] {
            match disk.remove(&file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        // Most go before they are brought to the disk, and need not be any more.
        self.unsynced.remove(&name);
        let level = self.level_mut(name.level)?;
        let Some(segment) = level.segments.remove(&name.first) else {
            return Ok(Count::default());
        };
        let count = segment.count();
        level.count.take(count);
        if level.segments.is_empty() {
            level.last = None;
        }
        Ok(count)
    }

    /// Removes a level's oldest segment, whoever waits for its alerts; the last number of it, and what it held.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(crate) fn evict(&mut self, number: usize) -> io::Result<Option<(i64, Count)>> {
        let segments = &self.level(number)?.segments;
        let oldest = segments
            .first_key_value()
            .filter(|(_, segment)| segment.numbers > 0);
        let Some((&first, segment)) = oldest else {
            return Ok(None);
        };
        let (last, is_only) = (*segment.range(first).end(), segments.len() == 1);
        let is_kept = !is_only || self.replace(number).is_ok();
        let count = self.drop_segment(Name { level: number, first })?;
        // On a full disk there is room for it only now; and where there is none, the number is known until the end.
        if !is_kept && let Err(error) = self.replace(number) {
            tracing::debug!(%error, "which number is next cannot be written down");
        }
        Ok(Some((last, count)))
    }

    /// What may not be on the disk; from now on it is not told again.
    pub(crate) fn take_unsynced(&mut self) -> Unsynced {
        let mut files: Vec<_> = std::mem::take(&mut self.unsynced).into_values().collect();
        for level in &mut self.levels {
            if std::mem::take(&mut level.unsynced) {
                files.extend(level.last.clone());
            }
        }
        let names = std::mem::take(&mut self.names).then(|| Arc::clone(&self.disk));
        Unsynced { files, names }
    }

    /// Adds to other files from now on: whether what was added to these is on the disk is not known.
    pub(crate) fn distrust(&mut self) {
        self.levels.iter_mut().for_each(|level| level.torn = true);
    }

    /// Whether alerts were added since [`Self::look`].
    pub(crate) const fn is_unseen(&self) -> bool {
        self.unseen
    }

    /// Whether the files to which alerts are added are all there. If someone removed one, others are begun.
    pub(crate) fn look(&mut self) -> bool {
        self.unseen = false;
        let trusted = self.levels.iter().filter(|level| !level.torn);
        let mut last = trusted.filter_map(|level| level.last.as_ref());
        let there = last.all(|file| file.has_name());
        if !there {
            self.distrust();
        }
        there
    }

    /// Nothing is added any more.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    /// Whether a file can be written.
    pub(crate) fn try_to_write(&self) -> io::Result<()> {
        const TRIAL: &str = "trial";
        self.disk.create(TRIAL)?.write(&[0; 4096], 0)?;
        self.disk.remove(TRIAL)
    }

    /// Whether there is room on the disk for some segments.
    pub(crate) fn has_room(&self) -> bool {
        self.disk.free().is_none_or(|free| free >= 4 * self.segment_bytes)
    }

    /// The length of a segment.
    pub(crate) const fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }
}

fn no_level() -> io::Error {
    io::Error::other("there is no such level")
}

impl Level {
    /// Writes down that these alerts of a segment are gone, unless it goes as a whole.
    fn say(&mut self, name: Name, new: &Ranges, disk: &dyn Disk) -> io::Result<()> {
        let Some(segment) = self.segments.get_mut(&name.first) else {
            return Ok(());
        };
        let before = segment.count();
        let said = match segment.alerts() {
            0 => {
                segment.said = None;
                Ok(())
            }
            _ if new.is_empty() => Ok(()),
            _ => segment.say(name, new, disk),
        };
        self.count.change(before, segment.count());
        said
    }

    fn recount(&mut self) {
        self.count = Count::default();
        for segment in self.segments.values() {
            self.count.add(segment.count());
        }
    }
}

#[cfg(test)]
pub(super) mod faulty;
#[cfg(test)]
mod power;
#[cfg(test)]
mod tests;
