//! Alerts in files.
//!
//! Each priority is a level of its own, and in it an alert's number is the next one. The alerts of a level are in
//! segments, files to which is only ever added; that one is gone is written in a file beside. A segment is removed when
//! all of its alerts are gone, and written anew without those that are when they take too much room. The last segment of a
//! level stays, be it empty: its name says which number is next, and none is given twice.
//!
//! What was written in part when the process or the machine ended is passed over by its checksum. A start adds to new
//! segments alone.

pub(crate) mod disk;
mod frame;
mod reader;
mod segment;

use std::collections::BTreeMap;
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;

use disk::{Disk, DiskFile};
use frame::{Frame, frames};
pub(crate) use reader::{Read, Reader, Row, Want};
use segment::{Kind, Name, Segment, all};

use super::ranges::Ranges;

/// One for each of Falco's priorities; a level is a priority's number, 0 for `Emergency`.
pub(crate) const LEVELS: usize = 8;

/// The largest segment in bytes, unless one alert has more; and a spool has at least so many times that.
const SEGMENT: u64 = 1024 * 1024;
const PARTS: u64 = 64;

/// How many bytes of alerts that are gone may stay in segments, beside as many as others have.
const DEAD: u64 = 8;

/// What each sink is done with is in this file, where there are several.
const PROGRESS: &str = "progress1";

/// And in this one while it is written.
const NEW_PROGRESS: &str = "progress1.new";

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

/// What an alert of so many bytes takes on the disk.
pub(crate) fn on_disk(bytes: usize) -> u64 {
    frame::size(bytes) as u64
}

#[derive(Debug)]
pub(crate) struct Store {
    disk: Arc<dyn Disk>,
    levels: [Level; LEVELS],
    segment_bytes: u64,
    /// Files with bytes that may not be on the disk, beside the last segments.
    unsynced: Vec<Arc<dyn DiskFile>>,
    /// There are files whose names may not be on the disk.
    names: bool,
    buffer: Vec<u8>,
    /// What was written down last of how far each sink is.
    progress: Vec<u8>,
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
    count: Count,
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

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.files.iter().try_for_each(|file| file.sync())?;
        self.names.as_ref().map_or(Ok(()), |disk| disk.sync_names())
    }
}

impl Store {
    /// Opens a store of so many bytes; the names of the files that had to be set aside.
    ///
    /// # Errors
    /// Files cannot be read, or another program wrote them.
    pub(crate) fn open(disk: Arc<dyn Disk>, bytes: u64) -> io::Result<(Self, Vec<String>)> {
        let mut store = Self {
            disk,
            levels: Default::default(),
            segment_bytes: (bytes / PARTS).min(SEGMENT),
            unsynced: Vec::new(),
            names: false,
            buffer: Vec::new(),
            progress: Vec::new(),
            closed: false,
        };
        let gone = store.find()?;
        let mut broken = Vec::new();
        for number in 0..LEVELS {
            broken.extend(store.measure(number)?);
        }
        for (name, length) in gone {
            store.recall(name, length)?;
        }
        store.levels.iter_mut().for_each(Level::recount);
        store.sweep(false)?;
        Ok((store, broken))
    }

    /// Finds the segments, and the files that say what of them is gone.
    fn find(&mut self) -> io::Result<Vec<(Name, u64)>> {
        let mut gone = Vec::new();
        for (file, bytes) in self.disk.list()? {
            match Name::kind(&file) {
                Kind::Alerts(name) => {
                    let segment = Segment {
                        bytes,
                        ..Segment::default()
                    };
                    self.level_mut(name.level)?.segments.insert(name.first, segment);
                }
                Kind::Gone(name) => gone.push((name, bytes)),
                // It would have taken the place of one that is there.
                Kind::New(_) => self.disk.remove(&file)?,
                Kind::Unknown => {
                    return Err(io::Error::other(format!(
                        "`{file}` is of another program's format"
                    )));
                }
                Kind::Other => {}
            }
        }
        Ok(gone)
    }

    /// Finds out which numbers are whose. All but the last segment end where the next one begins; the last is read. One
    /// in which there is nothing but what cannot be read is set aside.
    fn measure(&mut self, number: usize) -> io::Result<Option<String>> {
        let disk = Arc::clone(&self.disk);
        let level = self.level_mut(number)?;
        let firsts: Vec<i64> = level.segments.keys().copied().collect();
        let nexts = firsts.iter().skip(1);
        for (segment, (first, next)) in level.segments.values_mut().zip(firsts.iter().zip(nexts)) {
            segment.numbers = next.abs_diff(*first);
        }
        level.next = firsts.last().copied().unwrap_or(1).max(1);
        let Some((&first, segment)) = level.segments.iter_mut().next_back() else {
            return Ok(None);
        };
        let name = Name { level: number, first };
        let bytes = all(&*disk, &name.alerts(), segment.bytes)?;
        let last = frames(&bytes).last();
        let mut aside = None;
        match last {
            Some((at, frame)) => {
                segment.numbers = frame.number.abs_diff(first).saturating_add(1);
                let torn = bytes.len() - at - frame::size(frame.data.len());
                if torn > 0 {
                    let file = name.alerts();
                    tracing::warn!(
                        file,
                        torn,
                        "the end of a file of the spool was not written whole: it is passed over"
                    );
                }
            }
            None if bytes.is_empty() => {}
            None => {
                let now = falco_event::Timestamp::now().as_millisecond();
                let broken = format!("{}.broken-{now}", name.alerts());
                // An empty one keeps the place in line.
                disk.rename(&name.alerts(), &broken)?;
                disk.create(&name.alerts())?;
                segment.bytes = 0;
                aside = Some(broken);
            }
        }
        level.next = first.saturating_add_unsigned(segment.numbers);
        Ok(aside)
    }

    fn recall(&mut self, name: Name, length: u64) -> io::Result<()> {
        let disk = Arc::clone(&self.disk);
        match self.level_mut(name.level)?.segments.get_mut(&name.first) {
            Some(segment) if segment.numbers > 0 => segment.recall(name, length, &*disk),
            // Of others, that had this name or these numbers.
            _ => disk.remove(&name.gone()),
        }
    }

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
        self.levels.iter().map(|level| level.count.bytes).sum()
    }

    /// What is there of a level.
    pub(crate) fn live(&self, level: usize) -> Ranges {
        let mut live = Ranges::default();
        for (first, segment) in self.levels.get(level).iter().flat_map(|level| &level.segments) {
            segment.live(*first).iter().for_each(|seqs| live.insert_all(seqs));
        }
        live
    }

    /// Adds an alert; its number. After an error it is not there.
    pub(crate) fn add(&mut self, number: usize, received: i64, data: &[u8]) -> io::Result<i64> {
        if self.closed {
            return Err(io::Error::other("the spool is closed"));
        }
        let size = on_disk(data.len());
        let full = |segment: &Segment| segment.bytes > 0 && segment.bytes + size > self.segment_bytes;
        let level = self.level(number)?;
        if level.last.is_none() || level.segments.values().next_back().is_none_or(full) {
            self.begin(number)?;
        }
        self.buffer.clear();
        let level = self.levels.get_mut(number).ok_or_else(no_level)?;
        let seq = level.next;
        Frame {
            number: seq,
            value: received,
            data,
        }
        .put(&mut self.buffer);
        level.append(&self.buffer)?;
        Ok(seq)
    }

    /// Begins another segment, unless the last one is empty.
    fn begin(&mut self, number: usize) -> io::Result<()> {
        let disk = Arc::clone(&self.disk);
        let level = self.level_mut(number)?;
        let first = level.next.max(1);
        let name = Name { level: number, first };
        // What could not be written may be there in part.
        let file = disk.create(&name.alerts())?;
        let before = level.last.replace(file);
        let unsynced = std::mem::take(&mut level.unsynced);
        level.next = first;
        level.segments.entry(first).or_default();
        self.unsynced.extend(before.filter(|_| unsynced));
        self.names = true;
        Ok(())
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
    pub(crate) fn sweep(&mut self, last_too: bool) -> io::Result<()> {
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
                self.hand_on(name)?;
                self.drop_segment(name)?;
            }
        }
        Ok(())
    }

    /// The numbers of a segment that goes become those of the one before it, and are gone there: a start would take them
    /// for alerts that are to be in it.
    fn hand_on(&mut self, name: Name) -> io::Result<()> {
        let disk = Arc::clone(&self.disk);
        let level = self.level_mut(name.level)?;
        let numbers = level
            .segments
            .get(&name.first)
            .map_or(0, |segment| segment.numbers);
        let Some((&first, before)) = level.segments.range_mut(..name.first).next_back() else {
            return Ok(());
        };
        before.numbers += numbers;
        before.cleared += numbers;
        let last = *before.range(first).end();
        let new = before.clear(first, name.first..=last);
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
        let level = self.level_mut(name.level)?;
        let Some(segment) = level.segments.remove(&name.first) else {
            return Ok(Count::default());
        };
        let count = Count {
            alerts: segment.alerts(),
            bytes: segment.on_disk(),
        };
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
        let mut files = std::mem::take(&mut self.unsynced);
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
        for level in &mut self.levels {
            level.last = None;
        }
    }

    /// Nothing is added any more.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    /// Whether a file can be written.
    pub(crate) fn try_to_write(&self) -> io::Result<()> {
        const TRIAL: &str = "trial";
        self.disk.create(TRIAL)?.append(&[0; 4096])?;
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

    /// What each sink is done with although the alert is still there for another: the sink's name, a level, and numbers.
    pub(crate) fn progress(&mut self) -> io::Result<Vec<(String, usize, Ranges)>> {
        let files = self.disk.list()?;
        let Some((_, length)) = files.into_iter().find(|(name, _)| name == PROGRESS) else {
            return Ok(Vec::new());
        };
        self.progress = all(&*self.disk, PROGRESS, length)?;
        let mut progress = BTreeMap::<_, Ranges>::new();
        for (_, frame) in frames(&self.progress) {
            if let Some((level, sink)) = frame.data.split_first() {
                let sink = String::from_utf8_lossy(sink).into_owned();
                let done = progress.entry((sink, usize::from(*level))).or_default();
                done.insert_all(frame.number..=frame.value);
            }
        }
        let progress = progress
            .into_iter()
            .map(|((sink, level), done)| (sink, level, done));
        Ok(progress.collect())
    }

    /// Forgets how far each sink is.
    pub(crate) fn forget_progress(&mut self) {
        self.progress = Vec::new();
        if let Err(error) = self.disk.remove(PROGRESS) {
            tracing::warn!(%error, "how far each sink is cannot be removed");
        }
    }

    pub(crate) fn save_progress<'a>(
        &mut self,
        progress: impl Iterator<Item = (&'a str, usize, RangeInclusive<i64>)>,
    ) -> io::Result<()> {
        let mut bytes = Vec::new();
        for (sink, level, range) in progress {
            let (number, value) = range.into_inner();
            let level = u8::try_from(level).unwrap_or(u8::MAX);
            let data = &[&[level], sink.as_bytes()].concat();
            Frame { number, value, data }.put(&mut bytes);
        }
        if bytes == self.progress {
            return Ok(());
        }
        let file = self.disk.create(NEW_PROGRESS)?;
        file.append(&bytes)?;
        file.sync()?;
        self.disk.rename(NEW_PROGRESS, PROGRESS)?;
        self.progress = bytes;
        Ok(())
    }
}

fn no_level() -> io::Error {
    io::Error::other("there is no such level")
}

impl Level {
    fn append(&mut self, frame: &[u8]) -> io::Result<()> {
        let (Some(file), Some(segment)) = (&self.last, self.segments.values_mut().next_back()) else {
            return Err(io::Error::other("there is no segment"));
        };
        if let Err(error) = file.append(frame) {
            if file.truncate(segment.bytes).is_err() {
                self.last = None;
            }
            return Err(error);
        }
        let bytes = frame.len() as u64;
        segment.bytes += bytes;
        segment.numbers += 1;
        self.next += 1;
        self.unsynced = true;
        self.count.add(Count { alerts: 1, bytes });
        Ok(())
    }

    /// Writes down that these alerts of a segment are gone, unless it goes as a whole.
    fn say(&mut self, name: Name, new: &Ranges, disk: &dyn Disk) -> io::Result<()> {
        let Some(segment) = self.segments.get_mut(&name.first) else {
            return Ok(());
        };
        let before = segment.on_disk();
        let said = match segment.alerts() {
            0 => {
                segment.said = None;
                Ok(())
            }
            _ if new.is_empty() => Ok(()),
            _ => segment.say(name, new, disk),
        };
        self.count.bytes = (self.count.bytes + segment.on_disk()).saturating_sub(before);
        said
    }

    fn recount(&mut self) {
        self.count = Count::default();
        for segment in self.segments.values() {
            self.count.add(Count {
                alerts: segment.alerts(),
                bytes: segment.on_disk(),
            });
        }
    }
}

#[cfg(test)]
mod faulty;
#[cfg(test)]
mod power;
#[cfg(test)]
mod tests;
