//! Finds out at the start what is there.

use std::io;
use std::sync::Arc;

use super::disk::Disk;
use super::frame::{self, rising, was_whole};
use super::segment::{Kind, Name, Segment, all};
use super::{LEVELS, Level, PARTS, SEGMENT, Store};

/// How many numbers the last segment has at most, whatever it holds: enough for all that were ever in it, and so few that
/// the bytes of an alert, none of which is zero, are never one of them.
const NUMBERS: u64 = u32::MAX as u64;

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
            ahead: 0,
            unsynced: Default::default(),
            names: false,
            unseen: false,
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
        if let Err(error) = store.sweep(false) {
            tracing::warn!(%error, "what is delivered cannot be removed from the spool");
        }
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
        let last = rising(&bytes, first..=first.saturating_add_unsigned(NUMBERS)).last();
        let mut aside = None;
        match last {
            Some((at, frame)) => {
                segment.numbers = frame.number.abs_diff(first).saturating_add(1);
                let end = at + frame::size(frame.data.len());
                let rest = bytes.get(end..).unwrap_or_default();
                if was_whole(rest, frame.number.saturating_add(1)) {
                    // Who reads it finds that it cannot be read.
                    segment.numbers += 1;
                } else if rest.iter().all(|byte| *byte == 0) {
                    // Written ahead. Where it cannot be given back it is in the way of nothing.
                    if disk.open(&name.alerts())?.truncate(end as u64).is_ok() {
                        segment.bytes = end as u64;
                    }
                } else {
                    let (file, torn) = (name.alerts(), rest.len());
                    tracing::warn!(
                        file,
                        torn,
                        "the end of a file of the spool was not written whole, or its length has changed since: it is passed over"
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
}
