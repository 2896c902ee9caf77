//! The sender: takes alerts out of the queue and tries each until the sink has it, does not want it, or it is too old.
//!
//! One task decides, so there is nothing to lock; each try is a task of its own. An alert that waits for its next try
//! waits in a heap, not in one of the places for requests: a sink that refuses one alert does not hold up the others.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use crate::envelope::Envelope;
use crate::metrics::{Lost, Metrics};
use crate::observer::Observer;
use crate::printable::Printable;
use crate::queue::Queued;
use crate::retry::{Verdict, pause};
use crate::sink::{Answer, Post};

/// How many requests to the sink are in flight at once, and so how many connections are kept.
/// Enough to hide a Broker's latency (8 requests of 5 ms are 1,600 alerts/s), few enough not to be its load test.
pub(crate) const CONCURRENCY: usize = 8;

/// How often at most the log says that tries fail. An outage with a full queue would write 4,000 lines a second.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// What each try needs; shared by the tries.
pub(crate) struct Way<P> {
    pub(crate) sink: P,
    pub(crate) envelope: Envelope,
    pub(crate) observer: Arc<dyn Observer>,
}

/// An alert on its way, with the number of tries that it has had.
struct Trip {
    queued: Queued,
    tries: u32,
}

/// An alert that waits for its next try; ordered by when that is due.
struct Waiting(Instant, Trip);

pub(crate) struct Sender<P> {
    pub(crate) way: Arc<Way<P>>,
    pub(crate) metrics: Arc<Metrics>,
    /// How old, counted from its acceptance, an alert may be when a further try starts.
    pub(crate) retry_for: Duration,
    fresh: Option<UnboundedReceiver<Queued>>,
    waiting: BinaryHeap<Reverse<Waiting>>,
    flying: JoinSet<(Trip, Answer)>,
    last_was_fresh: bool,
    complained: Option<Instant>,
}

impl<P: Post> Sender<P> {
    pub(crate) fn new(
        way: Way<P>,
        metrics: Arc<Metrics>,
        retry_for: Duration,
        fresh: UnboundedReceiver<Queued>,
    ) -> Self {
        Self {
            way: Arc::new(way),
            metrics,
            retry_for,
            fresh: Some(fresh),
            waiting: BinaryHeap::new(),
            flying: JoinSet::new(),
            last_was_fresh: false,
            complained: None,
        }
    }

    /// Sends until the queue is closed and every alert of it is delivered or given up.
    /// Dropping the future ends the requests in flight.
    pub(crate) async fn run(mut self) {
        while self.fresh.is_some() || !self.waiting.is_empty() || !self.flying.is_empty() {
            if self.flying.len() < CONCURRENCY
                && let Some(trip) = self.ready()
            {
                self.start(trip);
            } else {
                self.wait().await;
            }
        }
    }

    /// The next alert that can be tried now: a new one and one whose pause is over by turns, if there are both.
    fn ready(&mut self) -> Option<Trip> {
        let first_fresh = !self.last_was_fresh;
        let trip = if first_fresh {
            self.new_one().or_else(|| self.due())
        } else {
            self.due().or_else(|| self.new_one())
        };
        self.last_was_fresh = trip.as_ref().is_some_and(|trip| trip.tries == 0);
        trip
    }

    fn new_one(&mut self) -> Option<Trip> {
        let queued = self.fresh.as_mut()?.try_recv().ok()?;
        Some(Trip { queued, tries: 0 })
    }

    fn due(&mut self) -> Option<Trip> {
        let due = self.next_due().is_some_and(|due| due <= Instant::now());
        if due {
            self.waiting.pop().map(|Reverse(Waiting(_, trip))| trip)
        } else {
            None
        }
    }

    fn next_due(&self) -> Option<Instant> {
        self.waiting.peek().map(|Reverse(Waiting(due, _))| *due)
    }

    fn start(&mut self, mut trip: Trip) {
        trip.tries = trip.tries.saturating_add(1);
        let way = Arc::clone(&self.way);
        self.flying.spawn(async move {
            let answer = way.try_once(&trip).await;
            (trip, answer)
        });
    }

    /// Waits until a try has ended or, where there is a free place, another can start.
    async fn wait(&mut self) {
        let place = self.flying.len() < CONCURRENCY;
        let due = self.next_due();
        let next_due = async { sleep_until(due.unwrap_or_else(Instant::now)).await };
        tokio::select! {
            Some(ended) = self.flying.join_next() => match ended {
                Ok((trip, answer)) => self.settle(trip, &answer),
                Err(error) => self.broken(&error),
            },
            fresh = next_fresh(&mut self.fresh), if place && self.fresh.is_some() => match fresh {
                Some(queued) => self.start(Trip { queued, tries: 0 }),
                None => self.fresh = None,
            },
            () = next_due, if place && due.is_some() => {}
        }
    }

    fn settle(&mut self, trip: Trip, answer: &Answer) {
        match answer.verdict() {
            Verdict::Done => self.done(),
            Verdict::Final => self.give_up(&trip, answer, Lost::RefusedBySink),
            Verdict::Again => self.put_off(trip, answer),
        }
    }

    fn done(&mut self) {
        self.metrics.delivered();
        if self.waiting.is_empty() && self.complained.take().is_some() {
            tracing::info!("the sink takes alerts again");
        }
    }

    fn put_off(&mut self, trip: Trip, answer: &Answer) {
        let due = Instant::now() + pause(trip.tries, fastrand::f64(), answer.retry_after());
        if due > trip.queued.since + self.retry_for {
            return self.give_up(&trip, answer, Lost::TooOld);
        }
        self.metrics.retried();
        self.complain(answer);
        self.waiting.push(Reverse(Waiting(due, trip)));
    }

    fn give_up(&self, trip: &Trip, answer: &Answer, reason: Lost) {
        self.metrics.lost(reason, 1);
        let alert = &trip.queued.alert;
        let rule = Printable(alert.rule());
        tracing::error!(id = %alert.id(), %rule, %answer, tries = trip.tries, reason = reason.as_str(), "an alert was not delivered");
    }

    /// A try panicked, which an observer can make it do: its alert is gone with it.
    fn broken(&self, error: &JoinError) {
        self.metrics.lost(Lost::InternalError, 1);
        tracing::error!(%error, "an alert was lost while it was sent");
    }

    fn complain(&mut self, answer: &Answer) {
        let now = Instant::now();
        if self.complained.is_none_or(|last| now >= last + COMPLAIN_EVERY) {
            self.complained = Some(now);
            let waiting = self.waiting.len().saturating_add(1);
            tracing::warn!(%answer, waiting, "the sink does not take alerts; trying again");
        }
    }
}

async fn next_fresh(fresh: &mut Option<UnboundedReceiver<Queued>>) -> Option<Queued> {
    fresh.as_mut()?.recv().await
}

impl<P: Post> Way<P> {
    async fn try_once(&self, trip: &Trip) -> Answer {
        let alert = &trip.queued.alert;
        let event = Bytes::from(self.envelope.body(alert, trip.queued.received));
        self.observer.sending(alert.id(), trip.tries, &event);
        let answer = self.sink.post(event).await;
        self.observer.answered(alert.id(), trip.tries, &answer);
        answer
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

#[cfg(test)]
mod tests;
