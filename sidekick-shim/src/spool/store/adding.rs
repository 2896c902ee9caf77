//! Adds alerts: what comes together is one write to each file, and after an error it is known what of it is there.

use std::io;
use std::sync::Arc;

use super::frame::Frame;
use super::segment::Name;
use super::{Level, Store, no_level, on_disk};

/// The most zeros that a file has behind its alerts.
const AHEAD: u64 = 256 * 1024;

/// How much memory is kept for what is written together, in bytes.
const TOGETHER: usize = 64 * 1024;

impl Store {
    /// Adds an alert; its number. After an error it is not there.
    pub(crate) fn add(&mut self, number: usize, received: i64, data: &[u8]) -> io::Result<i64> {
        let (added, result) = self.add_all(received, std::iter::once((number, data)));
        let added = added.into_iter().flatten().next();
        result.and(added.map(|(_, seq)| seq).ok_or_else(no_level))
    }

    /// Adds alerts of a level each, with one write to each file; the level and the number of each that is there. After an
    /// error that are not all, and what comes after the error is not mentioned.
    pub(crate) fn add_all<'a>(
        &mut self,
        received: i64,
        alerts: impl Iterator<Item = (usize, &'a [u8])>,
    ) -> (Vec<Option<(usize, i64)>>, io::Result<()>) {
        let mut added = Vec::new();
        let put = || {
            for (number, data) in alerts {
                added.push(Some((number, self.put(number, received, data)?)));
            }
            self.levels.iter_mut().try_for_each(Level::write)
        };
        let result = put();
        self.unseen = true;
        if result.is_err() {
            self.levels.iter_mut().for_each(Level::forget);
            let is_there = |(number, seq): &(usize, i64)| {
                self.levels.get(*number).is_some_and(|level| *seq < level.next)
            };
            added.iter_mut().for_each(|added| *added = added.filter(is_there));
        }
        (added, result)
    }

    /// From now on files are to be made longer ahead of what is added, as long as the store has at most so many bytes: what
    /// takes the place of zeros is synced in two thirds of the time, since the file system has nothing to write down of it.
    pub(crate) fn write_ahead(&mut self, most: u64) {
        self.ahead = most;
    }

    /// How many zeros are to be written behind what was just added.
    pub(crate) fn zeros(&self) -> u64 {
        if self.bytes() > self.ahead {
            return 0;
        }
        let zeros = self
            .levels
            .iter()
            .map(|level| level.zeros(self.segment_bytes))
            .sum();
        if zeros > 0 && self.has_room() { zeros } else { 0 }
    }

    /// Writes them.
    pub(crate) fn lengthen(&mut self) {
        for level in &mut self.levels {
            level.lengthen(self.segment_bytes);
        }
    }

    /// Gives the room of all zeros back.
    pub(crate) fn trim(&mut self) {
        self.levels.iter_mut().for_each(Level::trim);
    }

    /// Lets an alert be written with others.
    fn put(&mut self, number: usize, received: i64, data: &[u8]) -> io::Result<i64> {
        if self.closed {
            return Err(io::Error::other("the spool is closed"));
        }
        let size = on_disk(data.len());
        let segment_bytes = self.segment_bytes;
        let level = self.level_mut(number)?;
        let last = level
            .segments
            .values()
            .next_back()
            .filter(|_| level.last.is_some() && !level.torn);
        let bytes = last.map(|segment| segment.bytes + level.together.len() as u64);
        if bytes.is_none_or(|bytes| bytes > 0 && bytes + size > segment_bytes) {
            level.write()?;
            self.begin(number)?;
        }
        let level = self.level_mut(number)?;
        let seq = level.next.saturating_add_unsigned(level.alerts);
        Frame {
            number: seq,
            value: received,
            data,
        }
        .put(&mut level.together);
        level.alerts += 1;
        Ok(seq)
    }

    /// Begins another segment, unless the last one is empty.
    pub(super) fn begin(&mut self, number: usize) -> io::Result<()> {
        let disk = Arc::clone(&self.disk);
        let level = self.level_mut(number)?;
        let before = level.segments.last_key_value();
        let before = before.map(|(first, _)| Name {
            level: number,
            first: *first,
        });
        let first = level.next.max(1);
        let name = Name { level: number, first };
        // What could not be written may be there in part.
        let file = disk.create(&name.alerts())?;
        let full = level.last.replace(file);
        level.torn = false;
        let unsynced = std::mem::take(&mut level.unsynced);
        level.next = first;
        level.segments.entry(first).or_default();
        self.unsynced.extend(before.zip(full).filter(|_| unsynced));
        self.names = true;
        Ok(())
    }
}

impl Level {
    /// Writes what is to be written together.
    fn write(&mut self) -> io::Result<()> {
        if self.together.is_empty() {
            return Ok(());
        }
        let (Some(file), Some(segment)) = (&self.last, self.segments.values_mut().next_back()) else {
            return Err(io::Error::other("there is no segment"));
        };
        let before = segment.count();
        let written = file.write(&self.together, segment.bytes);
        if written.is_ok() {
            let bytes = self.together.len() as u64;
            segment.bytes += bytes;
            segment.zeros = segment.zeros.saturating_sub(bytes);
            segment.numbers += self.alerts;
            self.next = self.next.saturating_add_unsigned(self.alerts);
            self.unsynced = true;
        } else if file.truncate(segment.bytes).is_ok() {
            segment.zeros = 0;
        } else {
            self.torn = true;
        }
        self.count.change(before, segment.count());
        if written.is_ok() {
            self.forget();
        }
        written
    }

    /// How many zeros are to be written behind its last alerts, if it was just added to: three times what there is, so that
    /// little that is added takes little.
    fn zeros(&self, segment_bytes: u64) -> u64 {
        let last = self.segments.values().next_back();
        let last = last.filter(|last| self.unsynced && !self.torn && last.zeros == 0);
        last.map_or(0, |last| {
            let left = segment_bytes.saturating_sub(last.bytes);
            (3 * last.bytes).min(left).min(AHEAD)
        })
    }

    /// Writes these zeros. Those that cannot be written are not needed.
    fn lengthen(&mut self, segment_bytes: u64) {
        let zeros = self.zeros(segment_bytes);
        if zeros == 0 {
            return;
        }
        let bytes = vec![0; usize::try_from(zeros).unwrap_or_default()];
        let (Some(file), Some(segment)) = (&self.last, self.segments.values_mut().next_back()) else {
            return;
        };
        match file.write(&bytes, segment.bytes) {
            Ok(()) => {
                segment.zeros = zeros;
                self.count.zeros += zeros;
            }
            Err(_) => self.torn |= file.truncate(segment.bytes).is_err(),
        }
    }

    fn trim(&mut self) {
        let (Some(file), Some(segment)) = (&self.last, self.segments.values_mut().next_back()) else {
            return;
        };
        if segment.zeros > 0 && file.truncate(segment.bytes).is_ok() {
            self.count.zeros = self.count.zeros.saturating_sub(segment.zeros);
            segment.zeros = 0;
        }
    }

    /// Nothing is to be written any more.
    fn forget(&mut self) {
        self.together.clear();
        self.together.shrink_to(TOGETHER);
        self.alerts = 0;
    }
}
