//! A segment: a file with some of a level's alerts, in the order in which they came.

use std::io;
use std::ops::RangeInclusive;

use super::Count;
use super::disk::Disk;
use super::frame::{Frame, frames};
use crate::spool::ranges::Ranges;

/// The end of the names of files with alerts. The number is that of the format: another program may have written them.
const ALERTS: &str = "alerts1";

/// The end of the names of files that say which alerts of the segment are gone.
const GONE: &str = "gone1";

/// What is being written to take a segment's place.
const NEW: &str = "new1";

/// Which segment: its level, and the number of its first alert, which no other segment of the level ever has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) level: usize,
    pub(super) first: i64,
}

/// What a file of the folder is for the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Alerts(Name),
    Gone(Name),
    New(Name),
    /// Of a format that this program does not know.
    Unknown,
    /// Not the store's.
    Other,
}

impl Name {
    pub(super) fn alerts(self) -> String {
        self.with(ALERTS)
    }

    pub(super) fn gone(self) -> String {
        self.with(GONE)
    }

    pub(super) fn anew(self) -> String {
        self.with(NEW)
    }

    fn with(self, end: &str) -> String {
        format!("{}-{:016x}.{end}", self.level, self.first)
    }

    pub(super) fn kind(file: &str) -> Kind {
        let Some((name, end)) = file.split_once('.') else {
            return Kind::Other;
        };
        let name = name.split_once('-').and_then(|(level, first)| {
            let level = level.parse().ok().filter(|level| *level < super::LEVELS)?;
            let first = i64::from_str_radix(first, 16).ok()?;
            Some(Self { level, first })
        });
        // Only as this program writes it.
        let name = name.filter(|name| name.with(end) == file);
        match (name, end) {
            (Some(name), ALERTS) => Kind::Alerts(name),
            (Some(name), GONE) => Kind::Gone(name),
            (Some(name), NEW) => Kind::New(name),
            (Some(_), end) if end.starts_with("alerts") && !end.contains('.') => Kind::Unknown,
            _ => Kind::Other,
        }
    }
}

/// What is known of a segment without reading it.
#[derive(Clone, Debug, Default)]
pub(super) struct Segment {
    /// How many numbers are its own, from its first on. There may be fewer alerts in it.
    pub(super) numbers: u64,
    /// How many bytes of its file may be alerts.
    pub(super) bytes: u64,
    /// The zeros behind them, in whose place the next ones come.
    pub(super) zeros: u64,
    /// Alerts that nobody waits for any more.
    pub(super) gone: Ranges,
    /// How many these are, and of how many the file has been cleared.
    pub(super) gone_count: u64,
    pub(super) cleared: u64,
    /// The length of the file that says so; none if it does not say all of them.
    pub(super) said: Option<u64>,
}

impl Segment {
    pub(super) fn range(&self, first: i64) -> RangeInclusive<i64> {
        first..=first.saturating_add_unsigned(self.numbers).saturating_sub(1)
    }

    /// How many alerts are waited for.
    pub(super) fn alerts(&self) -> u64 {
        self.numbers.saturating_sub(self.gone_count)
    }

    /// Its alerts, and what both files take.
    pub(super) fn count(&self) -> Count {
        Count {
            alerts: self.alerts(),
            bytes: self.bytes.saturating_add(self.said.unwrap_or_default()),
            zeros: self.zeros,
        }
    }

    /// About how many bytes of the file are of alerts that are gone.
    pub(super) fn dead(&self) -> u64 {
        let there = self.numbers.saturating_sub(self.cleared).max(1);
        let gone = self.gone_count.saturating_sub(self.cleared);
        self.bytes / there * gone
    }

    /// The alerts of this range are gone; those that were not before.
    pub(super) fn clear(&mut self, first: i64, range: RangeInclusive<i64>) -> Ranges {
        let own = self.range(first);
        let range = *range.start().max(own.start())..=*range.end().min(own.end());
        let mut new = Ranges::from_iter([range.clone()]);
        self.gone.overlaps(&range).for_each(|gone| new.remove_all(gone));
        if !new.is_empty() {
            self.gone_count = self.gone_count.saturating_add(new.len());
            self.gone.insert_all(range);
        }
        new
    }

    pub(super) fn live(&self, first: i64) -> Ranges {
        let mut live = Ranges::from_iter([self.range(first)]);
        self.gone.iter().for_each(|gone| live.remove_all(gone));
        live
    }

    /// Writes down which alerts are gone, for the next start: these, unless others are to be said again too.
    pub(super) fn say(&mut self, name: Name, new: &Ranges, disk: &dyn Disk) -> io::Result<()> {
        let mut bytes = Vec::new();
        let all = if self.said.is_some() { new } else { &self.gone };
        for range in all.iter() {
            let (number, value) = range.into_inner();
            Frame {
                number,
                value,
                data: &[],
            }
            .put(&mut bytes);
        }
        let (file, length) = match self.said.take() {
            Some(length) => (disk.open(&name.gone())?, length),
            None => (disk.create(&name.gone())?, 0),
        };
        // Where this fails all is said again the next time.
        file.write(&bytes, length)?;
        self.said = Some(length.saturating_add(bytes.len() as u64));
        Ok(())
    }

    /// Reads which alerts are gone.
    pub(super) fn recall(&mut self, name: Name, length: u64, disk: &dyn Disk) -> io::Result<()> {
        let bytes = all(disk, &name.gone(), length)?;
        for (_, frame) in frames(&bytes) {
            self.clear(name.first, frame.number..=frame.value);
        }
        // What is behind a torn end would not be found.
        self.said = None;
        Ok(())
    }
}

/// The whole of a file.
pub(super) fn all(disk: &dyn Disk, name: &str, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    disk.open(name)?.read(&mut bytes, 0)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_a_file_is() {
        let name = Name { level: 4, first: 300 };
        assert_eq!(name.alerts(), "4-000000000000012c.alerts1");
        for (file, kind) in [
            (name.alerts(), Kind::Alerts(name)),
            (name.gone(), Kind::Gone(name)),
            (name.anew(), Kind::New(name)),
            ("4-000000000000012c.alerts2".to_owned(), Kind::Unknown),
            ("4-000000000000012c.alerts1.broken-1".to_owned(), Kind::Other),
            ("9-000000000000012c.alerts1".to_owned(), Kind::Other),
            ("lock".to_owned(), Kind::Other),
            ("dead.db-wal".to_owned(), Kind::Other),
        ] {
            assert_eq!(Name::kind(&file), kind, "{file}");
        }
    }
}
