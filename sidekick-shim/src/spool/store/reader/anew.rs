//! Writes a segment anew without the alerts that are gone, where these take too much room.

use std::io;
use std::sync::Arc;

use super::{Part, Reader, Row, one};
use crate::spool::store::frame::Frame;
use crate::spool::store::segment::Name;
use crate::spool::store::{DEAD, Store};

impl Store {
    /// The segment with the most bytes of alerts that are gone, if they take too much room: more than the others, and some
    /// more; or any where room is short. Not the last ones, to which is added.
    pub(crate) fn wasteful(&self, is_short: bool) -> Option<Part> {
        let mut dead = 0;
        let mut worst = None;
        for (number, level) in self.levels.iter().enumerate() {
            for (&first, segment) in level.segments.iter().rev().skip(1) {
                dead += segment.dead();
                if worst.is_none_or(|(most, _)| segment.dead() > most) {
                    worst = Some((segment.dead(), Name { level: number, first }));
                }
            }
        }
        let (most, name) = worst?;
        let live = self.bytes().saturating_sub(dead);
        let too_much = dead > live + DEAD * self.segment_bytes || is_short && most > self.segment_bytes / 4;
        let segment = self.levels.get(name.level)?.segments.get(&name.first)?;
        too_much.then(|| Part {
            name,
            bytes: segment.bytes,
            numbers: segment.range(name.first),
            live: segment.live(name.first),
            gone: segment.gone_count - segment.cleared,
        })
    }

    /// Puts what [`Reader::rewrite`] wrote in the segment's place, if it is still there.
    pub(crate) fn put_in_place(&mut self, part: &Part, bytes: u64) -> io::Result<()> {
        let level = self.levels.get_mut(part.name.level);
        let Some((level, segment)) =
            level.and_then(|level| Some((&mut level.count, level.segments.get_mut(&part.name.first)?)))
        else {
            return self.disk.remove(&part.name.anew());
        };
        self.disk.rename(&part.name.anew(), &part.name.alerts())?;
        let before = segment.count();
        (segment.bytes, segment.zeros) = (bytes, 0);
        level.change(before, segment.count());
        segment.cleared += part.gone;
        Ok(())
    }
}

impl Reader {
    /// Writes the alerts of a segment that are not gone into a new file; its length.
    pub(crate) fn rewrite(&mut self, part: &Part) -> io::Result<u64> {
        let disk = Arc::clone(&self.disk);
        let (from, index) = self.index(part)?;
        let mut bytes = Vec::new();
        for place in index.places.iter().filter(|place| part.live.contains(place.seq)) {
            if let Some(Row { seq, received, data }) = one(&*from, *place)? {
                Frame {
                    number: seq,
                    value: received,
                    data: &data,
                }
                .put(&mut bytes);
            }
        }
        self.known.retain(|index| index.name != part.name);
        let file = disk.create(&part.name.anew())?;
        file.write(&bytes, 0)?;
        // What it takes the place of was on the disk.
        file.sync()?;
        Ok(bytes.len() as u64)
    }
}
