//! What waits for one sink: numbers in ranges, and the newest alerts whole.
//!
//! Of an alert on the disk nothing is kept but its number in a range, so that a million of them take no room. In good
//! times the disk is never read. The ranges may hold more than there is: who reads finds out what exists.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::Duration;

use falco_event::{Alert, Timestamp};
use hashbrown::HashMap;
use tokio::time::Instant;

use super::ranges::Ranges;
use super::store::{Count, LEVELS, Want};

/// How many of the newest alerts are kept whole, and how many bytes of them as Falco sent them. No more than stay in the
/// processor's caches: while a sink takes nothing, each that comes is put where the oldest of these was.
const FRESH_ALERTS: usize = 128;
const FRESH_BYTES: usize = 256 * 1024;

/// With so many fresh ones, or so many bytes of them, the sender is behind. Few: the sooner an alert is sent, the more of
/// it is still in the processor's caches.
const BEHIND: usize = FRESH_ALERTS / 4;
const BEHIND_BYTES: usize = FRESH_BYTES / 4;

/// How many of those that were handed out are kept whole while they wait for their next try, and how many bytes of them.
const RESTING: usize = 256;
const RESTING_BYTES: usize = 2 * 1024 * 1024;

/// How many can rest. Those that are too many are to do again, like those that were never tried.
const RESTING_AT_ALL: usize = 16 * 1024;

/// Which alert: its level and its number in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) level: usize,
    pub(crate) seq: i64,
}

/// An alert in memory.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) alert: Alert,
    /// When it was accepted, by the wall clock: travels with the event.
    pub(crate) received: Timestamp,
    /// How old it was at a moment of the clock that is never set.
    pub(crate) age: (Duration, Instant),
}

impl Item {
    pub(crate) fn age(&self) -> Duration {
        self.age.0.saturating_add(self.age.1.elapsed())
    }
}

/// Which end of what waits is taken first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// The most urgent, of these the newest.
    Newest,
    /// The oldest, whatever their priority.
    Oldest,
}

/// What there is to do for a sink.
#[derive(Debug)]
pub(crate) enum Next {
    Try(Key, Item),
    /// It is on the disk and has to be read first.
    Read(Want),
    Nothing,
}

/// What there is to do for an alert that has rested.
#[derive(Debug)]
pub(crate) enum Again {
    Try(Item),
    /// It is on the disk and has to be read first.
    Read,
    /// It is being read.
    Later,
    /// Nobody waits for it any more, or it is to do like those that were never tried.
    Gone,
}

/// What was handed out and is not settled.
#[derive(Debug)]
enum Out {
    Whole(Item),
    /// On the disk alone.
    Stored,
    /// And asked for.
    Reading,
}

/// What was read of a level.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) want: Want,
    /// In the order in which they are wanted.
    pub(crate) items: Vec<(i64, Item)>,
    /// What was looked at: here nothing else exists.
    pub(crate) within: RangeInclusive<i64>,
}

#[derive(Debug, Default)]
pub(crate) struct Waiting {
    levels: [Level; LEVELS],
    fresh: usize,
    fresh_bytes: usize,
    /// What was handed out; whole unless too much of it waits for its next try.
    out: HashMap<Key, Out>,
    whole: usize,
    whole_bytes: usize,
    reading: [bool; 2],
    /// No alert had to rest since one was settled.
    takes: bool,
}

#[derive(Debug, Default)]
struct Level {
    /// Not settled: waits, is being tried, or waits for its next try.
    pending: Ranges,
    /// Of these, not handed out.
    todo: Ranges,
    /// The newest of what is to do, whole, in their order.
    fresh: VecDeque<(i64, Item)>,
    /// What was read from the disk at either end, in the order in which it will be wanted.
    read: [VecDeque<(i64, Item)>; 2],
}

impl Level {
    fn end(&self, lane: Lane) -> Option<i64> {
        match lane {
            Lane::Newest => self.todo.last(),
            Lane::Oldest => self.todo.first(),
        }
    }

    /// The whole alert at the end of what is to do, if it is in memory.
    fn look(&mut self, lane: Lane) -> Option<&Item> {
        let seq = self.end(lane)?;
        let fresh = match lane {
            Lane::Newest => self.fresh.back(),
            Lane::Oldest => self.fresh.front(),
        };
        // What is fresh is to do, so the end of one is the end of the other or further in.
        if fresh.is_some_and(|(fresh, _)| *fresh == seq) {
            return fresh.map(|(_, item)| item);
        }
        let read = self.read.get_mut(lane as usize)?;
        while read.front().is_some_and(|(read, _)| *read != seq) {
            read.pop_front();
        }
        read.front().map(|(_, item)| item)
    }

    fn forget(&mut self, seqs: RangeInclusive<i64>) {
        self.fresh.retain(|(seq, _)| !seqs.contains(seq));
        self.todo.remove_all(seqs.clone());
        self.pending.remove_all(seqs);
    }
}

impl Waiting {
    /// Whether nothing is left, not even of what was handed out.
    pub(crate) fn is_empty(&self) -> bool {
        self.levels.iter().all(|level| level.pending.is_empty())
    }

    /// Whether there is something to do.
    pub(crate) fn has_more(&self) -> bool {
        self.levels.iter().any(|level| !level.todo.is_empty())
    }

    /// Whether a sink that takes alerts gets them later than they come. If that goes on those that come will not stay
    /// in memory until their turn.
    pub(crate) fn is_behind(&self) -> bool {
        self.takes && (self.fresh > BEHIND || self.fresh_bytes > BEHIND_BYTES)
    }

    pub(crate) fn pends(&self, key: Key) -> bool {
        let level = self.levels.get(key.level);
        level.is_some_and(|level| level.pending.contains(key.seq))
    }

    pub(crate) fn pending(&self, level: usize) -> Option<&Ranges> {
        self.levels.get(level).map(|level| &level.pending)
    }

    /// About how many bytes on the disk wait, by the mean of each level. The ranges may hold more than there is.
    pub(crate) fn bytes(&self, counts: &[Count; LEVELS]) -> u64 {
        let levels = self.levels.iter().zip(counts);
        let bytes =
            levels.map(|(level, count)| level.pending.len().min(count.alerts).saturating_mul(count.mean()));
        bytes.sum()
    }

    /// Adds what is on the disk.
    pub(crate) fn add_stored(&mut self, level: usize, seqs: RangeInclusive<i64>) {
        if let Some(level) = self.levels.get_mut(level) {
            level.pending.insert_all(seqs.clone());
            level.todo.insert_all(seqs);
        }
    }

    /// Adds an alert, which is the newest of its level.
    pub(crate) fn add(&mut self, key: Key, item: Item) {
        let Some(level) = self.levels.get_mut(key.level) else {
            return;
        };
        level.pending.insert(key.seq);
        level.todo.insert(key.seq);
        self.fresh += 1;
        self.fresh_bytes += item.alert.as_bytes().len();
        level.fresh.push_back((key.seq, item));
        // What is too much is on the disk: the oldest of the least urgent.
        while self.fresh > FRESH_ALERTS || self.fresh_bytes > FRESH_BYTES {
            let least = self.levels.iter_mut().rev();
            let Some((_, item)) = least.filter_map(|level| level.fresh.pop_front()).next() else {
                break;
            };
            self.less_fresh(&item);
        }
    }

    fn less_fresh(&mut self, item: &Item) {
        self.fresh = self.fresh.saturating_sub(1);
        self.fresh_bytes = self.fresh_bytes.saturating_sub(item.alert.as_bytes().len());
    }

    /// Hands out an alert, or says what has to be read.
    pub(crate) fn next(&mut self, lane: Lane) -> Next {
        let level = match lane {
            Lane::Newest => self.levels.iter().position(|level| !level.todo.is_empty()),
            Lane::Oldest => match self.oldest() {
                Ok(level) => level,
                Err(level) => return self.read(level, lane),
            },
        };
        match level {
            None => Next::Nothing,
            Some(level) => self.take(level, lane).unwrap_or_else(|| self.read(level, lane)),
        }
    }

    /// The level with the oldest alert, or one of which it has to be read how old its oldest is.
    fn oldest(&mut self) -> Result<Option<usize>, usize> {
        let mut oldest = None;
        for (number, level) in self.levels.iter_mut().enumerate() {
            if level.todo.is_empty() {
                continue;
            }
            let received = level.look(Lane::Oldest).ok_or(number)?.received;
            if oldest.is_none_or(|(other, _)| received < other) {
                oldest = Some((received, number));
            }
        }
        Ok(oldest.map(|(_, level)| level))
    }

    fn take(&mut self, number: usize, lane: Lane) -> Option<Next> {
        let level = self.levels.get_mut(number)?;
        let item = level.look(lane)?.clone();
        let seq = level.end(lane)?;
        level.todo.remove(seq);
        let fresh = match lane {
            Lane::Newest => level.fresh.pop_back_if(|(fresh, _)| *fresh == seq),
            Lane::Oldest => level.fresh.pop_front_if(|(fresh, _)| *fresh == seq),
        };
        if let Some((_, item)) = fresh {
            self.less_fresh(&item);
        }
        let key = Key { level: number, seq };
        self.put_out(key, Out::Whole(item.clone()));
        Some(Next::Try(key, item))
    }

    fn put_out(&mut self, key: Key, out: Out) {
        if let Out::Whole(item) = &out {
            self.whole += 1;
            self.whole_bytes += item.alert.as_bytes().len();
        }
        let before = self.out.insert(key, out);
        self.less_whole(before.as_ref());
    }

    fn take_out(&mut self, key: Key) {
        let out = self.out.remove(&key);
        self.less_whole(out.as_ref());
    }

    fn less_whole(&mut self, out: Option<&Out>) {
        if let Some(Out::Whole(item)) = out {
            self.whole = self.whole.saturating_sub(1);
            self.whole_bytes = self.whole_bytes.saturating_sub(item.alert.as_bytes().len());
        }
    }

    /// One reading at a time for each end.
    fn read(&mut self, number: usize, lane: Lane) -> Next {
        let from = self.levels.get(number).and_then(|level| level.end(lane));
        match (from, self.reading.get_mut(lane as usize)) {
            (Some(from), Some(reading)) if !*reading => {
                *reading = true;
                let backwards = lane == Lane::Newest;
                Next::Read(Want {
                    level: number,
                    from,
                    backwards,
                })
            }
            _ => Next::Nothing,
        }
    }

    /// What came of a reading; none if it failed.
    pub(crate) fn found(&mut self, backwards: bool, found: Option<Found>) {
        let lane = if backwards { Lane::Newest } else { Lane::Oldest };
        if let Some(reading) = self.reading.get_mut(lane as usize) {
            *reading = false;
        }
        let Some(found) = found else { return };
        let Some(level) = self.levels.get_mut(found.want.level) else {
            return;
        };
        let mut absent = Ranges::from_iter([found.within]);
        for (seq, _) in &found.items {
            absent.remove(*seq);
        }
        for seqs in absent.iter() {
            level.todo.remove_all(seqs.clone());
            level.pending.remove_all(seqs);
        }
        if let Some(read) = level.read.get_mut(lane as usize) {
            let items = found.items.into_iter();
            *read = items.filter(|(seq, _)| level.todo.contains(*seq)).collect();
        }
    }

    /// An alert that was handed out is done with; false if nobody waited for it any more.
    pub(crate) fn settle(&mut self, key: Key) -> bool {
        self.takes = true;
        self.take_out(key);
        let level = self.levels.get_mut(key.level);
        level.is_some_and(|level| level.pending.remove(key.seq))
    }

    /// An alert that was handed out waits for its next try.
    pub(crate) fn rest(&mut self, key: Key) {
        self.takes = false;
        let too_many = self.whole > RESTING || self.whole_bytes > RESTING_BYTES;
        if too_many && self.out.contains_key(&key) {
            self.put_out(key, Out::Stored);
        }
    }

    /// An alert that has rested, and is to be tried again.
    pub(crate) fn again(&mut self, key: Key) -> Again {
        match self.out.get(&key) {
            None => Again::Gone,
            Some(Out::Whole(item)) => Again::Try(item.clone()),
            Some(Out::Reading) => Again::Later,
            Some(Out::Stored) if self.out.len() <= RESTING_AT_ALL => {
                self.put_out(key, Out::Reading);
                Again::Read
            }
            Some(Out::Stored) => {
                self.take_out(key);
                let level = self.levels.get_mut(key.level);
                if let Some(level) = level.filter(|level| level.pending.contains(key.seq)) {
                    level.todo.insert(key.seq);
                }
                Again::Gone
            }
        }
    }

    /// An alert that rested was read; none if it is not there.
    pub(crate) fn returned(&mut self, key: Key, item: Option<Item>) {
        match item {
            Some(item) if self.out.contains_key(&key) => self.put_out(key, Out::Whole(item)),
            Some(_) => {}
            None => drop(self.settle(key)),
        }
    }

    /// An alert that rested could not be read: it can be asked for once more.
    pub(crate) fn unread(&mut self, key: Key) {
        if matches!(self.out.get(&key), Some(Out::Reading)) {
            self.put_out(key, Out::Stored);
        }
    }

    /// Gives up the alerts of a level up to this one.
    pub(crate) fn forget(&mut self, number: usize, last: i64) {
        if let Some(level) = self.levels.get_mut(number) {
            level.forget(i64::MIN..=last);
        }
        self.out.retain(|key, _| key.level != number || key.seq > last);
        self.recount();
    }

    /// Gives up the oldest of the least urgent until about so many bytes are given up; which these are.
    pub(crate) fn give_up(&mut self, bytes: u64, counts: &[Count; LEVELS]) -> Vec<(usize, Ranges)> {
        let (mut left, mut gone) = (bytes, Vec::new());
        for (number, count) in counts.iter().enumerate().rev() {
            let first = |waiting: &Self| waiting.levels.get(number)?.pending.iter().next();
            while left > 0
                && let Some(range) = first(self)
            {
                let alerts = i64::try_from(left.div_ceil(count.mean().max(1))).unwrap_or(i64::MAX);
                let (first, end) = range.into_inner();
                let last = first.saturating_add(alerts.saturating_sub(1)).min(end);
                let given = (last - first).unsigned_abs() + 1;
                left = left.saturating_sub(given.saturating_mul(count.mean().max(1)));
                self.forget(number, last);
                gone.push((number, Ranges::from_iter([first..=last])));
            }
        }
        gone
    }

    fn recount(&mut self) {
        let fresh = || self.levels.iter().flat_map(|level| &level.fresh);
        self.fresh_bytes = fresh().map(|(_, item)| item.alert.as_bytes().len()).sum();
        self.fresh = fresh().count();
        let whole = || {
            self.out.values().filter_map(|out| match out {
                Out::Whole(item) => Some(item.alert.as_bytes().len()),
                Out::Stored | Out::Reading => None,
            })
        };
        self.whole_bytes = whole().sum();
        self.whole = whole().count();
    }
}

#[cfg(test)]
mod tests;
