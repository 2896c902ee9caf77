//! What the front, the writer and the senders share: how much there is, and what waits for each sink.

mod room;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use falco_event::Alert;
use tokio::sync::Notify;

use super::ranges::Ranges;
use super::store::{Count, LEVELS};
use super::waiting::{Again, Found, Item, Key, Lane, Next, Waiting};
use crate::config::Sink;
pub(crate) use room::Short;

/// How many alerts are removed at a time.
const AT_A_TIME: u64 = 16 * 1024;

#[derive(Debug)]
pub(crate) struct Ledger {
    /// The bytes that alerts may take on the disk.
    bound: u64,
    state: Mutex<State>,
    sinks: Vec<Line>,
    /// Told when there is room again, or the disk can be written again.
    pub(crate) room: Notify,
}

#[derive(Debug)]
struct Line {
    sink: Sink,
    work: Notify,
}

#[derive(Debug)]
struct State {
    counts: [Count; LEVELS],
    /// What alerts may take while the disk has no more, where that is less than the bound.
    limit: Option<u64>,
    /// Bytes of alerts that were promised room and are not written yet.
    promised: u64,
    writable: bool,
    waiting: Vec<Waiting>,
    /// What is on the disk, and will be told to the sinks.
    held: Vec<(Key, Item)>,
    /// What no sink waits for any more and is still on the disk.
    finished: [Ranges; LEVELS],
}

impl Ledger {
    pub(crate) fn new(bound: u64, sinks: &[Sink]) -> Arc<Self> {
        let lines = sinks.iter().map(|sink| Line {
            sink: sink.clone(),
            work: Notify::new(),
        });
        Arc::new(Self {
            bound,
            state: Mutex::new(State {
                counts: Default::default(),
                limit: None,
                promised: 0,
                writable: true,
                waiting: sinks.iter().map(|_| Waiting::default()).collect(),
                held: Vec::new(),
                finished: Default::default(),
            }),
            sinks: lines.collect(),
            room: Notify::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the sender of the first sink is behind.
    pub(crate) fn is_behind(&self) -> bool {
        self.state().waiting.first().is_some_and(Waiting::is_behind)
    }

    // The writer's part.

    /// What is on the disk at the start, less what a sink is done with.
    pub(crate) fn stored(&self, sink: usize, level: usize, seqs: &Ranges) {
        if let Some(waiting) = self.state().waiting.get_mut(sink) {
            for seqs in seqs.iter() {
                waiting.add_stored(level, seqs);
            }
        }
    }

    /// What is on the disk at the start, and of that no sink waits for: one that is not configured any more did. How many
    /// these are.
    pub(crate) fn left_over(&self, level: usize, seqs: Ranges) -> u64 {
        let mut state = self.state();
        state.finish_all(level, seqs);
        state.finished.get(level).map_or(0, Ranges::len)
    }

    /// Alerts that are on the disk now; to every sink that wants them, or to one.
    pub(crate) fn committed(&self, alerts: impl Iterator<Item = (Key, Item)>, only: Option<usize>) {
        let mut state = self.state();
        // In the order of the numbers.
        self.tell_held(&mut state);
        alerts.for_each(|(key, item)| self.tell(&mut state, key, &item, only));
        drop(state);
        self.wake();
    }

    /// Alerts that are on the disk now, and that the sinks are told of by [`Self::release`].
    pub(crate) fn hold(&self, alerts: impl Iterator<Item = (Key, Item)>) {
        self.state().held.extend(alerts);
    }

    /// Tells every sink of what was held; whether there was something.
    pub(crate) fn release(&self) -> bool {
        let released = self.tell_held(&mut self.state());
        if released {
            self.wake();
        }
        released
    }

    fn tell_held(&self, state: &mut State) -> bool {
        let held = std::mem::take(&mut state.held);
        let any = !held.is_empty();
        held.into_iter()
            .for_each(|(key, item)| self.tell(state, key, &item, None));
        any
    }

    fn tell(&self, state: &mut State, key: Key, item: &Item, only: Option<usize>) {
        let mut wanted = false;
        for (number, (line, waiting)) in self.sinks.iter().zip(&mut state.waiting).enumerate() {
            let wants = only.map_or_else(|| line.sink.wants(&item.alert), |only| only == number);
            if wants {
                waiting.add(key, item.clone());
                wanted = true;
            }
        }
        if !wanted {
            state.finish(key);
        }
    }

    pub(crate) fn has_several(&self) -> bool {
        self.sinks.len() > 1
    }

    pub(crate) fn has_finished(&self) -> bool {
        self.state().is_finished()
    }

    /// Some of what is finished: to remove much at once would hold up who wants to keep something.
    pub(crate) fn take_finished(&self) -> [Ranges; LEVELS] {
        let mut state = self.state();
        let mut left = AT_A_TIME;
        std::array::from_fn(|level| {
            let taken = state.finished.get_mut(level).map(|seqs| seqs.take(left));
            let taken = taken.unwrap_or_default();
            left = left.saturating_sub(taken.len());
            taken
        })
    }

    /// The alerts of a level up to this one had to make room; how many of them someone waited for.
    pub(crate) fn evicted(&self, level: usize, last: i64) -> u64 {
        let mut state = self.state();
        // Who held them is told of them, to lose them as all others do.
        let told = self.tell_held(&mut state);
        let mut waited = Ranges::default();
        for waiting in &mut state.waiting {
            let pending = waiting.pending(level).into_iter();
            let gone = pending.flat_map(|pending| pending.overlaps(&(i64::MIN..=last)));
            gone.for_each(|seqs| waited.insert_all(seqs));
            waiting.forget(level, last);
        }
        drop(state);
        if told {
            self.wake();
        }
        waited.len()
    }

    /// Lets every sink but the first give up what is over its share; how many alerts each.
    pub(crate) fn hold_to_shares(&self) -> Vec<(usize, u64)> {
        let mut state = self.state();
        let state = &mut *state;
        let mut given_up = Vec::new();
        for number in 1..self.sinks.len() {
            let Some(share) = self.share(state, number) else {
                continue;
            };
            let Some(waiting) = state.waiting.get_mut(number) else {
                continue;
            };
            let bytes = waiting.bytes(&state.counts);
            if bytes <= share {
                continue;
            }
            let gone = waiting.give_up(bytes - share, &state.counts);
            given_up.push((number, gone.iter().map(|(_, seqs)| seqs.len()).sum()));
            for (level, seqs) in gone {
                state.finish_all(level, seqs);
            }
        }
        given_up
    }

    /// Of what there is room for: a full disk may have less than the bound.
    fn share(&self, state: &State, sink: usize) -> Option<u64> {
        let line = self.sinks.get(sink)?;
        Some(state.bound(self.bound) / 100 * u64::from(line.sink.share))
    }

    /// An alert that was read for its next try; none if it is not there.
    pub(crate) fn returned(&self, sink: usize, key: Key, item: Option<Item>) {
        if let Some(waiting) = self.state().waiting.get_mut(sink) {
            waiting.returned(key, item);
        }
        self.wake_one(sink);
    }

    /// An alert could not be read for its next try.
    pub(crate) fn unread(&self, sink: usize, key: Key) {
        if let Some(waiting) = self.state().waiting.get_mut(sink) {
            waiting.unread(key);
        }
    }

    /// An alert that is not there after all, though the store has it. Whether someone waited for it.
    pub(crate) fn nobody_waits(&self, key: Key) -> bool {
        let mut state = self.state();
        let mut waited = false;
        for waiting in &mut state.waiting {
            waited |= waiting.settle(key);
        }
        state.finish(key);
        waited
    }

    pub(crate) fn found(&self, sink: usize, backwards: bool, found: Option<Found>) {
        if let Some(waiting) = self.state().waiting.get_mut(sink) {
            waiting.found(backwards, found);
        }
        self.wake_one(sink);
    }

    /// What each sink is done with although it is on the disk for another.
    pub(crate) fn progress(&self) -> Vec<(&str, usize, Ranges)> {
        let state = self.state();
        let mut progress = Vec::new();
        for level in 0..LEVELS {
            let mut any = Ranges::default();
            for pending in state.waiting.iter().filter_map(|waiting| waiting.pending(level)) {
                pending.iter().for_each(|seqs| any.insert_all(seqs));
            }
            for (line, waiting) in self.sinks.iter().zip(&state.waiting) {
                let mut done = any.clone();
                let pending = waiting.pending(level).into_iter().flat_map(Ranges::iter);
                pending.for_each(|seqs| done.remove_all(seqs));
                if !done.is_empty() {
                    progress.push((line.sink.name.as_str(), level, done));
                }
            }
        }
        progress
    }

    // The senders' part.

    pub(crate) fn next(&self, sink: usize, lane: Lane) -> Next {
        let mut state = self.state();
        let waiting = state.waiting.get_mut(sink);
        waiting.map_or(Next::Nothing, |waiting| waiting.next(lane))
    }

    /// An alert is done with. Whether anyone waited for it, and whether the writer should know.
    pub(crate) fn settle(&self, sink: usize, key: Key) -> Settled {
        let mut state = self.state();
        let waited = state
            .waiting
            .get_mut(sink)
            .is_some_and(|waiting| waiting.settle(key));
        let first = !state.is_finished();
        let finished = waited && state.finish(key);
        Settled {
            waited,
            tell: first && finished,
        }
    }

    pub(crate) fn rest(&self, sink: usize, key: Key) {
        if let Some(waiting) = self.state().waiting.get_mut(sink) {
            waiting.rest(key);
        }
    }

    pub(crate) fn again(&self, sink: usize, key: Key) -> Again {
        let mut state = self.state();
        let waiting = state.waiting.get_mut(sink);
        waiting.map_or(Again::Gone, |waiting| waiting.again(key))
    }

    /// Whether nothing waits for a sink, and nothing is on its way to it.
    pub(crate) fn is_empty(&self, sink: usize) -> bool {
        let state = self.state();
        state.held.is_empty() && state.waiting.get(sink).is_none_or(Waiting::is_empty)
    }

    /// Waits until there may be something to do for a sink.
    pub(crate) async fn work(&self, sink: usize) {
        match self.sinks.get(sink) {
            Some(line) => line.work.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Wakes another if there is more to do.
    pub(crate) fn pass_on(&self, sink: usize) {
        let more = self.state().waiting.get(sink).is_some_and(Waiting::has_more);
        if more {
            self.wake_one(sink);
        }
    }

    pub(crate) fn wake_one(&self, sink: usize) {
        if let Some(line) = self.sinks.get(sink) {
            line.work.notify_one();
        }
    }

    pub(crate) fn wake_all(&self, sink: usize) {
        if let Some(line) = self.sinks.get(sink) {
            line.work.notify_waiters();
        }
    }

    fn wake(&self) {
        for line in &self.sinks {
            line.work.notify_one();
        }
    }

    /// Whether an alert is urgent enough for a sink.
    pub(crate) fn wants(&self, sink: usize, alert: &Alert) -> bool {
        self.sinks.get(sink).is_some_and(|line| line.sink.wants(alert))
    }

    /// Whether it is for any.
    pub(crate) fn is_wanted(&self, alert: &Alert) -> bool {
        self.sinks.iter().any(|line| line.sink.wants(alert))
    }

    pub(crate) fn sinks(&self) -> impl Iterator<Item = &str> {
        self.sinks.iter().map(|line| line.sink.name.as_str())
    }
}

/// What came of settling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) waited: bool,
    /// It is the first that is finished in a while.
    pub(crate) tell: bool,
}

impl State {
    /// Whether something is.
    fn is_finished(&self) -> bool {
        self.finished.iter().any(|seqs| !seqs.is_empty())
    }

    /// Whether no sink waits for it.
    fn finish(&mut self, key: Key) -> bool {
        let free = !self.waiting.iter().any(|waiting| waiting.pends(key));
        if free && let Some(finished) = self.finished.get_mut(key.level) {
            finished.insert(key.seq);
        }
        free
    }

    fn finish_all(&mut self, level: usize, mut seqs: Ranges) {
        for pending in self.waiting.iter().filter_map(|waiting| waiting.pending(level)) {
            pending.iter().for_each(|pending| seqs.remove_all(pending));
        }
        if let Some(finished) = self.finished.get_mut(level) {
            seqs.iter().for_each(|seqs| finished.insert_all(seqs));
        }
    }
}
