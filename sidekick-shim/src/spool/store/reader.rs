//! Reads alerts, while others are added: what it needs of the store it asks for, and then reads without holding it.

mod anew;

use std::collections::VecDeque;
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;

use super::disk::{Disk, DiskFile};
use super::frame::{Frame, HEAD, first, numbers, rising};
use super::segment::Name;
use super::{Store, on_disk};
use crate::spool::ranges::Ranges;

/// How many alerts are read at a time, and about how many bytes of them.
const READ_ALERTS: usize = 32;
pub(super) const READ_BYTES: u64 = 128 * 1024;

/// Of how many segments it is known what is where: two are read, from either end, and some alerts alone.
const KNOWN: usize = 4;

/// An alert as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) seq: i64,
    /// Microseconds since 1970.
    pub(crate) received: i64,
    pub(crate) data: Bytes,
}

/// Which alerts of a level to read: from this one on, towards the newest or the oldest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Want {
    pub(crate) level: usize,
    pub(crate) from: i64,
    pub(crate) backwards: bool,
}

/// What came of reading.
#[derive(Debug, Default)]
pub(crate) struct Read {
    /// In the order in which they are wanted.
    pub(crate) rows: Vec<Row>,
    /// Alerts that should be there, and cannot be read: their bytes are not what was written.
    pub(crate) broken: Ranges,
}

/// A segment, and which of its alerts are wanted.
#[derive(Debug)]
pub(crate) struct Part {
    name: Name,
    bytes: u64,
    /// The numbers that its alerts have.
    numbers: RangeInclusive<i64>,
    live: Ranges,
    /// How many of its alerts are gone and still in the file.
    gone: u64,
}

/// What is where in a segment.
#[derive(Debug)]
struct Index {
    name: Name,
    places: Vec<Place>,
    /// Up to here.
    end: u64,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    seq: i64,
    at: u32,
    size: u32,
}

#[derive(Debug)]
pub(crate) struct Reader {
    disk: Arc<dyn Disk>,
    /// The one that was read last comes first. Their files are not held open: one that is removed gives its room back.
    known: VecDeque<Index>,
}

impl Store {
    pub(crate) fn reader(&self) -> Reader {
        Reader {
            disk: Arc::clone(&self.disk),
            known: VecDeque::new(),
        }
    }

    /// The nearest segment with something of what is wanted, and that; or, if there is none, up to which number there are
    /// none: more may come at any moment.
    pub(crate) fn part(&self, want: Want) -> Result<Part, i64> {
        let level = self.levels.get(want.level).ok_or(i64::MAX)?;
        self.nearest(want).ok_or(level.next.saturating_sub(1))
    }

    fn nearest(&self, want: Want) -> Option<Part> {
        let level = self.levels.get(want.level)?;
        let wanted = if want.backwards {
            i64::MIN..=want.from
        } else {
            want.from..=i64::MAX
        };
        let part = |(first, segment): (&i64, &super::Segment)| {
            let live = Ranges::from_iter(segment.live(*first).overlaps(&wanted));
            let name = Name {
                level: want.level,
                first: *first,
            };
            (!live.is_empty()).then_some(Part {
                name,
                bytes: segment.bytes,
                numbers: segment.range(*first),
                live,
                gone: segment.gone_count - segment.cleared,
            })
        };
        if want.backwards {
            level.segments.range(..=want.from).rev().find_map(part)
        } else {
            let first = level
                .segments
                .range(..=want.from)
                .next_back()
                .map_or(i64::MIN, |(first, _)| *first);
            level.segments.range(first..).find_map(part)
        }
    }
}

impl Part {
    /// What there is to say of it where its file cannot be read.
    fn missing(self, want: Want) -> (Read, RangeInclusive<i64>) {
        let within = match want.backwards {
            true => self.live.first().unwrap_or(want.from)..=want.from,
            false => want.from..=self.live.last().unwrap_or(want.from),
        };
        let read = Read {
            rows: Vec::new(),
            broken: self.live,
        };
        (read, within)
    }
}

impl Reader {
    /// Some alerts, and what was looked at: in it nothing else exists. `part` asks the store.
    pub(crate) fn read(
        &mut self,
        want: Want,
        part: impl FnOnce() -> Result<Part, i64>,
    ) -> io::Result<(Read, RangeInclusive<i64>)> {
        let part = match part() {
            Ok(part) => part,
            Err(_) if want.backwards => return Ok((Read::default(), i64::MIN..=want.from)),
            Err(last) => return Ok((Read::default(), want.from..=last.max(want.from))),
        };
        let (file, index) = match self.index(&part) {
            Err(error) if is_missing(&error) => return Ok(part.missing(want)),
            index => index?,
        };
        let (some, more) = index.some(want, &part.live);
        let last = some.last().filter(|_| more).map(|place| place.seq);
        let end = |end: Option<i64>| last.or(end).unwrap_or(want.from);
        let within = match want.backwards {
            true => end(part.live.first())..=want.from,
            false => want.from..=end(part.live.last()),
        };
        let mut read = Read {
            broken: Ranges::from_iter(part.live.overlaps(&within)),
            rows: Vec::new(),
        };
        match rows(&*file, &some) {
            // It was cut off since it was looked at.
            Err(error) if is_missing(&error) => self.known.retain(|index| index.name != part.name),
            rows => {
                read.rows = rows?;
                for row in &read.rows {
                    read.broken.remove(row.seq);
                }
            }
        }
        Ok((read, within))
    }

    /// One alert, if it is still there.
    pub(crate) fn get(
        &mut self,
        level: usize,
        seq: i64,
        part: impl FnOnce(Want) -> Result<Part, i64>,
    ) -> io::Result<Read> {
        let want = Want {
            level,
            from: seq,
            backwards: false,
        };
        let mut read = Read::default();
        let Some(part) = part(want).ok().filter(|part| part.live.contains(seq)) else {
            return Ok(read);
        };
        let row = match self.index(&part) {
            Err(error) if is_missing(&error) => None,
            index => {
                let (file, index) = index?;
                let place = index.places.iter().find(|place| place.seq == seq);
                match place.map(|place| one(&*file, *place)).transpose() {
                    Err(error) if is_missing(&error) => None,
                    row => row?.flatten(),
                }
            }
        };
        match row {
            Some(row) => read.rows.push(row),
            None => read.broken.insert(seq),
        }
        Ok(read)
    }

    /// When the oldest alert of a level was received.
    pub(crate) fn oldest(
        &mut self,
        level: usize,
        part: impl FnOnce(Want) -> Result<Part, i64>,
    ) -> io::Result<Option<i64>> {
        let Ok(part) = part(Want {
            level,
            from: i64::MIN,
            backwards: false,
        }) else {
            return Ok(None);
        };
        // Nearly always it is the first in its file.
        let mut head = [0; HEAD];
        self.disk.open(&part.name.alerts())?.read(&mut head, 0)?;
        if let Some((number, value)) = numbers(&head)
            && part.live.first() == Some(number)
        {
            return Ok(Some(value));
        }
        let (file, index) = self.index(&part)?;
        let place = index.places.iter().find(|place| part.live.contains(place.seq));
        let row = place.map(|place| one(&*file, *place)).transpose()?.flatten();
        Ok(row.map(|row| row.received))
    }

    /// A segment's file, and what is where in it. To the last one may have been added since it was looked at.
    fn index(&mut self, part: &Part) -> io::Result<(Arc<dyn DiskFile>, &Index)> {
        let file = self.disk.open(&part.name.alerts())?;
        let known = self.known.iter().position(|index| index.name == part.name);
        let mut index = known
            .and_then(|at| self.known.remove(at))
            .unwrap_or_else(|| Index::new(part.name));
        index.go_on(&*file, part)?;
        self.known.truncate(KNOWN - 1);
        self.known.push_front(index);
        let index = self.known.front().ok_or(io::ErrorKind::NotFound)?;
        Ok((file, index))
    }
}

/// The file is not there, or not all of it.
fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof
    )
}

impl Index {
    fn new(name: Name) -> Self {
        Self {
            name,
            places: Vec::new(),
            end: 0,
        }
    }

    /// The places of some alerts that are wanted and there, in the order in which they are wanted, and whether there are
    /// more.
    fn some(&self, want: Want, live: &Ranges) -> (Vec<Place>, bool) {
        let from = self
            .places
            .partition_point(|place| place.seq < want.from || want.backwards && place.seq == want.from);
        let (before, after) = self.places.split_at(from);
        let (mut before, mut after) = (before.iter().rev(), after.iter());
        let places: &mut dyn Iterator<Item = &Place> = if want.backwards { &mut before } else { &mut after };
        let (mut some, mut bytes) = (Vec::with_capacity(READ_ALERTS), 0);
        for place in places.filter(|place| live.contains(place.seq)) {
            if some.len() == READ_ALERTS || bytes >= READ_BYTES {
                return (some, true);
            }
            bytes += u64::from(place.size);
            some.push(*place);
        }
        (some, false)
    }

    fn go_on(&mut self, file: &dyn DiskFile, part: &Part) -> io::Result<()> {
        let more = part.bytes.saturating_sub(self.end);
        if more == 0 {
            return Ok(());
        }
        let mut bytes = vec![0; usize::try_from(more).map_err(io::Error::other)?];
        file.read(&mut bytes, self.end)?;
        let last = self.places.last().map(|place| place.seq.saturating_add(1));
        let from = last.unwrap_or(*part.numbers.start());
        for (at, frame) in rising(&bytes, from..=*part.numbers.end()) {
            let at = u32::try_from(self.end + at as u64).map_err(io::Error::other)?;
            let size = u32::try_from(on_disk(frame.data.len())).map_err(io::Error::other)?;
            self.places.push(Place {
                seq: frame.number,
                at,
                size,
            });
        }
        self.end = part.bytes;
        Ok(())
    }
}

/// The alerts at these places, in their order; without those that cannot be read. What lies together is read together.
fn rows(file: &dyn DiskFile, places: &[Place]) -> io::Result<Vec<Row>> {
    let begin = places.iter().map(|place| place.at).min().unwrap_or_default();
    let end = places
        .iter()
        .map(|place| place.at.saturating_add(place.size))
        .max();
    let length = end.unwrap_or_default().saturating_sub(begin);
    let size: u64 = places.iter().map(|place| u64::from(place.size)).sum();
    if u64::from(length) > 2 * size {
        let rows = places.iter().map(|place| one(file, *place));
        return rows.filter_map(Result::transpose).collect();
    }
    let bytes = part(file, begin, length)?;
    let rows = places.iter().filter_map(|place| {
        let at = (place.at - begin) as usize;
        row(&bytes.slice(at..at + place.size as usize))
    });
    Ok(rows.collect())
}

fn part(file: &dyn DiskFile, begin: u32, length: u32) -> io::Result<Bytes> {
    let mut bytes = vec![0; length as usize];
    file.read(&mut bytes, u64::from(begin))?;
    Ok(bytes.into())
}

fn one(file: &dyn DiskFile, place: Place) -> io::Result<Option<Row>> {
    Ok(row(&part(file, place.at, place.size)?))
}

/// The alert that these bytes are.
fn row(bytes: &Bytes) -> Option<Row> {
    let Frame { number, value, data } = first(bytes)?;
    Some(Row {
        seq: number,
        received: value,
        data: bytes.slice_ref(data),
    })
}
