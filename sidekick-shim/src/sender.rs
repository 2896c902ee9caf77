//! The sender of one sink: takes alerts out of the spool and tries each until the sink has it, does not want it, or it is
//! too old.
//!
//! Each of its places tries one alert at a time. An alert that waits for its next try does not wait in a place: a sink
//! that refuses one alert does not hold up the others. One that takes nothing at all is left alone for a while, all places
//! together.

mod answers;
mod backoff;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::config::Sink;
use crate::envelope::Envelope;
use crate::metrics::{Metrics, SinkMetrics};
use crate::observer::{Observer, guarded};
use crate::sink::{Answer, Post};
use crate::spool::{Again, Item, Key, Lane, Next, Spool};
use backoff::{Backoff, Leave};

/// How many requests to a sink are in flight at once, and so how many connections are kept: half of them take the newest
/// alerts, the other half the oldest. Enough to hide a Broker's latency (16 requests of 5 ms are 3,200 alerts/s), few
/// enough not to be its load test.
pub(crate) const CONCURRENCY: u32 = 16;

/// How many alerts that have rested are read at a time where they are not in memory, and how long that may take until
/// they are looked for again.
const READ_AT_A_TIME: usize = 4;
const READ_WITHIN: Duration = Duration::from_millis(20);

/// How often at most the log says that tries fail. An outage with a full spool would write thousands of lines a second.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// What each try needs.
pub(crate) struct Way<P> {
    pub(crate) http: P,
    pub(crate) envelope: Envelope,
    pub(crate) observer: Arc<dyn Observer>,
    /// Which sink it is, and its place among the sinks.
    pub(crate) sink: Sink,
    pub(crate) number: usize,
    /// How old, counted from its acceptance, an alert may be when a further try starts.
    pub(crate) retry_for: Duration,
    /// The largest request in bytes.
    pub(crate) event_bytes: usize,
}

/// An alert on its way, with the number of tries that it has had.
struct Trip {
    key: Key,
    item: Item,
    tries: u32,
}

/// An alert that waits for its next try; ordered by when that is due.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Resting {
    due: Instant,
    key: Key,
    tries: u32,
}

/// The sender of one sink; its places share it.
pub(crate) struct Sender<P> {
    way: Way<P>,
    spool: Spool,
    metrics: Arc<Metrics>,
    own: SinkMetrics,
    /// No further alert comes.
    closed: CancellationToken,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    resting: BinaryHeap<Reverse<Resting>>,
    backoff: Backoff,
    complained: Option<Instant>,
    /// Until then nothing is given up for its age: the sink was paused.
    patient: Option<Instant>,
    last_rested: bool,
    /// Something of the spool is not urgent enough any more.
    passed_over: bool,
}

/// What a place does next.
enum Do {
    Try(Trip),
    Wait(Option<Instant>),
    End,
}

impl<P: Post> Sender<P> {
    pub(crate) fn new(way: Way<P>, spool: Spool, metrics: Arc<Metrics>, closed: CancellationToken) -> Self {
        Self {
            own: metrics.sink(&way.sink.name),
            way,
            spool,
            metrics,
            closed,
            state: Mutex::default(),
        }
    }

    /// Sends until no further alert comes and every one is delivered or given up. Dropping the future ends the requests
    /// in flight; their alerts are in the spool.
    pub(crate) async fn run(self) {
        let sender = Arc::new(self);
        let mut places = JoinSet::new();
        for place in 0..CONCURRENCY {
            let lane = if place % 2 == 0 {
                Lane::Newest
            } else {
                Lane::Oldest
            };
            let sender = Arc::clone(&sender);
            places.spawn(async move { sender.place(lane).await });
        }
        places.join_all().await;
    }

    async fn place(&self, lane: Lane) {
        loop {
            match self.what_next(lane) {
                Do::Try(trip) => {
                    self.spool.ledger().pass_on(self.way.number);
                    self.go(trip).await;
                }
                Do::Wait(until) => self.wait(until).await,
                // Each wakes the next, whoever waits already or is about to.
                Do::End => return self.spool.ledger().wake_one(self.way.number),
            }
        }
    }

    async fn wait(&self, until: Option<Instant>) {
        let timer = async { sleep_until(until.unwrap_or_else(Instant::now)).await };
        tokio::select! {
            () = self.spool.ledger().work(self.way.number) => {}
            () = timer, if until.is_some() => {}
            () = self.closed.cancelled(), if !self.closed.is_cancelled() => {}
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn what_next(&self, lane: Lane) -> Do {
        if self.closed.is_cancelled() && self.spool.ledger().is_empty(self.way.number) {
            return Do::End;
        }
        let now = Instant::now();
        let mut state = self.state();
        let leave = state.backoff.leave(now);
        if let Leave::Not(until) = leave {
            return Do::Wait(until);
        }
        if let Some(trip) = self.next_trip(&mut state, lane, now) {
            if leave == Leave::Probe {
                state.backoff.probing();
            }
            return Do::Try(trip);
        }
        Do::Wait(state.resting.peek().map(|Reverse(resting)| resting.due))
    }

    /// The next alert that can be tried now. What has rested goes with the oldest by turns, and with the newest if there
    /// are none.
    fn next_trip(&self, state: &mut State, lane: Lane, now: Instant) -> Option<Trip> {
        let rested_first = lane == Lane::Oldest && !state.last_rested;
        let trip = if rested_first {
            self.rested(state, now).or_else(|| self.untried(state, lane))
        } else {
            self.untried(state, lane).or_else(|| self.rested(state, now))
        };
        if lane == Lane::Oldest {
            state.last_rested = trip.as_ref().is_some_and(|trip| trip.tries > 0);
        }
        trip
    }

    fn rested(&self, state: &mut State, now: Instant) -> Option<Trip> {
        let mut reading = Vec::new();
        let mut trip = None;
        while trip.is_none()
            && reading.len() < READ_AT_A_TIME
            && state
                .resting
                .peek()
                .is_some_and(|Reverse(resting)| resting.due <= now)
            && let Some(Reverse(resting)) = state.resting.pop()
        {
            let Resting { key, tries, .. } = resting;
            match self.spool.ledger().again(self.way.number, key) {
                Again::Try(item) => trip = Some(Trip { key, item, tries }),
                Again::Read => {
                    self.spool.read_one(self.way.number, key);
                    reading.push(resting);
                }
                Again::Later => reading.push(resting),
                Again::Gone => {}
            }
        }
        // They are as they were, but for what is read meanwhile.
        let due = now + READ_WITHIN;
        let reading = reading
            .into_iter()
            .map(|resting| Reverse(Resting { due, ..resting }));
        state.resting.extend(reading);
        trip
    }

    fn untried(&self, state: &mut State, lane: Lane) -> Option<Trip> {
        loop {
            match self.spool.ledger().next(self.way.number, lane) {
                // A start does not know of the alerts on the disk which sink wants them.
                Next::Try(key, item) if !self.way.sink.wants(&item.alert) => {
                    if self.spool.settle(self.way.number, key) {
                        self.passed_over(state, &item);
                    }
                }
                Next::Try(key, item) => {
                    return Some(Trip { key, item, tries: 0 });
                }
                Next::Read(want) => {
                    self.spool.read(self.way.number, want);
                    return None;
                }
                Next::Nothing => return None,
            }
        }
    }

    /// Counts an alert of an earlier start that no sink wants any more; the first sink does, for all.
    fn passed_over(&self, state: &mut State, item: &Item) {
        if self.way.number > 0 || self.spool.ledger().is_wanted(&item.alert) {
            return;
        }
        self.metrics.filtered();
        if !std::mem::replace(&mut state.passed_over, true) {
            tracing::warn!(
                "alerts of the spool are not urgent enough for any sink any more: they are not sent, and counted as filtered"
            );
        }
    }

    async fn go(&self, mut trip: Trip) {
        trip.tries = trip.tries.saturating_add(1);
        let body = Bytes::from(self.way.envelope.body(&trip.item.alert, trip.item.received));
        if body.len() > self.way.event_bytes {
            let (bytes, most) = (body.len(), self.way.event_bytes);
            self.state().backoff.unprobed();
            return self
                .bury(
                    trip,
                    format!("not sent: {bytes} bytes, and at most {most} may be sent"),
                )
                .await;
        }
        let begun = Instant::now();
        self.own.begin();
        let answer = self.way.try_once(&trip, body).await;
        self.own.end(begun.elapsed());
        self.settle(trip, &answer).await;
    }
}

impl State {
    fn complain(&mut self, now: Instant) -> bool {
        let due = self.complained.is_none_or(|last| now >= last + COMPLAIN_EVERY);
        if due {
            self.complained = Some(now);
        }
        due
    }
}

impl<P: Post> Way<P> {
    async fn try_once(&self, trip: &Trip, body: Bytes) -> Answer {
        let id = trip.item.alert.id();
        guarded(|| self.observer.sending(id, trip.tries, &body));
        let answer = self.http.post(body).await;
        guarded(|| self.observer.answered(id, trip.tries, &answer));
        answer
    }
}

#[cfg(test)]
mod tests;
