//! What becomes of an alert by what the sink answered: done, put off, given up, or a dead letter.

use std::cmp::Reverse;

use falco_event::Timestamp;
use tokio::time::Instant;

use super::{Resting, Sender, Trip};
use crate::metrics::Lost;
use crate::printable::Printable;
use crate::retry::{Verdict, pause};
use crate::sink::{Answer, Post};
use crate::spool::dead::DeadLetter;

impl<P: Post> Sender<P> {
    pub(super) async fn settle(&self, trip: Trip, answer: &Answer) {
        match answer.verdict() {
            Verdict::Done => self.done(&trip),
            Verdict::Dead => {
                self.took(answer);
                self.bury(trip, answer.in_full()).await;
            }
            Verdict::Again => self.put_off(&trip, answer, false),
            Verdict::Pause => self.put_off(&trip, answer, true),
        }
    }

    fn done(&self, trip: &Trip) {
        self.took(&"it takes alerts");
        if self.spool.settle(self.way.number, trip.key) {
            self.own.delivered();
        }
    }

    /// The sink is there, and no reason to leave it alone.
    fn took(&self, answer: &dyn std::fmt::Display) {
        let mut state = self.state();
        let was = state.backoff.success();
        if was.closed {
            self.spool.ledger().wake_all(self.way.number);
        }
        let complained = state.complained.is_some() && state.resting.is_empty();
        if complained {
            state.complained = None;
        }
        drop(state);
        if was.paused {
            self.own.paused(false);
        }
        if complained || was.paused {
            tracing::info!(sink = self.way.sink.name, %answer, "the sink takes alerts again");
        }
    }

    fn put_off(&self, trip: &Trip, answer: &Answer, pauses: bool) {
        let now = Instant::now();
        let mut state = self.state();
        let jitter = fastrand::f64();
        let alarm = state.backoff.failure(now, pauses, jitter, answer.retry_after());
        let due = now + pause(trip.tries, jitter, answer.retry_after());
        let is_paused = pauses || state.backoff.paused;
        if is_paused {
            state.patient = Some(now + self.way.retry_for);
        }
        // Nothing is given up for a wrong configuration, however long that takes to be mended, and what waited for it
        // has as long as any other then.
        let too_old = state.patient.is_none_or(|until| now >= until)
            && trip.item.age().saturating_add(due - now) > self.way.retry_for;
        if !too_old {
            self.own.retried();
            state.resting.push(Reverse(Resting {
                due,
                key: trip.key,
                tries: trip.tries,
            }));
        }
        let complain = state.complain(now);
        drop(state);
        if pauses {
            self.own.paused(true);
        }
        let sink = &self.way.sink.name;
        if alarm {
            tracing::error!(sink, %answer, "the sink is paused: its configuration or the sink's is wrong; nothing is thrown away");
        } else if complain && !pauses {
            let waiting = self.spool.ledger().count().alerts;
            tracing::warn!(sink, %answer, waiting, "the sink did not take an alert; trying again");
        }
        if too_old {
            return self.give_up(trip, answer);
        }
        self.spool.ledger().rest(self.way.number, trip.key);
        // Who waits may have to wait for something else now.
        self.spool.ledger().wake_one(self.way.number);
    }

    fn give_up(&self, trip: &Trip, answer: &Answer) {
        let waited = self.spool.settle(self.way.number, trip.key);
        // The sink did not take it.
        self.spool.ledger().rest(self.way.number, trip.key);
        if !waited {
            return;
        }
        self.metrics.lost(Lost::TooOld, 1);
        self.own.failed();
        let alert = &trip.item.alert;
        let rule = Printable(alert.rule());
        tracing::error!(sink = self.way.sink.name, id = %alert.id(), %rule, %answer, tries = trip.tries, "an alert was not delivered: it is too old");
    }

    /// What is wrong with the alert itself is not tried again, unless someone asks for it.
    pub(super) async fn bury(&self, trip: Trip, answer: String) {
        let alert = &trip.item.alert;
        let letter = DeadLetter {
            sink: self.way.sink.name.clone(),
            received: trip.item.received.as_microsecond(),
            refused: Timestamp::now().as_microsecond(),
            answer,
            id: alert.id().to_string(),
            data: alert.as_bytes().to_vec(),
        };
        let answer = letter.answer.clone();
        if !self.spool.bury(letter).await {
            let due = Instant::now() + pause(u32::MAX, fastrand::f64(), None);
            self.state().resting.push(Reverse(Resting {
                due,
                key: trip.key,
                tries: trip.tries,
            }));
            return self.spool.ledger().rest(self.way.number, trip.key);
        }
        self.spool.settle(self.way.number, trip.key);
        self.own.failed();
        let rule = Printable(alert.rule());
        tracing::error!(sink = self.way.sink.name, id = %alert.id(), %rule, answer, tries = trip.tries, "an alert was not delivered: it is a dead letter");
    }
}
