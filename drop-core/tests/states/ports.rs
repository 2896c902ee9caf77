//! Ports that yield before and after each call, so that a test can interleave and drop what runs on them.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use drop_core::facts::{Facts, Wants};
use drop_core::memory::{Actor, Cluster, Happened};
use drop_core::past::{ActId, Bounds, LocalMemory, Past};
use drop_core::pod::Pod;
use drop_core::ports::{
    ApiError, ApplyError, By, Change, Clock, Found, Journal, Lost, Memory, Mono, PodApi, Presence, Target,
};
use drop_core::record::Record;
use falco_event::{AlertId, Timestamp};

use crate::log::{Call, Heard, Opened, Read, Shared, Written};

/// Gives way once.
async fn give_way() {
    let mut gave = false;
    std::future::poll_fn(|_| match std::mem::replace(&mut gave, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

/// The cluster's API: what it says may be old by the time it is heard.
pub(crate) struct Api {
    pub(crate) cluster: Cluster,
    pub(crate) log: Shared,
}

#[async_trait]
impl PodApi for Api {
    async fn find(&self, by: &By) -> Result<Found, ApiError> {
        give_way().await;
        let found = self.cluster.find(by).await;
        give_way().await;
        found
    }

    async fn facts(&self, pod: Pod, wants: Wants) -> Facts {
        give_way().await;
        let facts = self.cluster.facts(pod, wants).await;
        self.told(&facts);
        give_way().await;
        facts
    }

    async fn apply(&self, target: &Target, change: &Change, within: Duration) -> Result<(), ApplyError> {
        let (asked, call) = self.asked(target, change);
        let left = |now: Mono| within.saturating_sub(now.since(asked));
        give_way().await;
        let mut answer = match left(self.cluster.mono()) {
            Duration::ZERO => Err(timed_out(false)),
            left => self.send(call, target, change, left).await,
        };
        give_way().await;
        // Too late to be heard: the deadline of the call has passed on the way back.
        let sent = answer.as_ref().err().is_none_or(|error| error.maybe_happened);
        if left(self.cluster.mono()).is_zero() && sent {
            answer = Err(timed_out(true));
        }
        self.answered(call, &answer);
        answer
    }

    async fn presence(&self, target: &Target) -> Result<Presence, ApiError> {
        give_way().await;
        let presence = self.cluster.presence(target).await;
        give_way().await;
        presence
    }
}

fn timed_out(maybe_happened: bool) -> ApplyError {
    let why = ApiError::TimedOut("the call took too long".to_owned());
    ApplyError { why, maybe_happened }
}

impl Api {
    fn told(&self, facts: &Facts) {
        let mut log = self.log.lock();
        let read = Read {
            seq: log.next(),
            task: log.current,
            facts: facts.clone(),
        };
        log.reads.push(read);
    }

    fn asked(&self, target: &Target, change: &Change) -> (Mono, usize) {
        let (mut log, at) = (self.log.lock(), self.cluster.mono());
        let call = Call {
            seq: log.next(),
            task: log.current,
            act: log.last_act(),
            target: target.clone(),
            change: change.clone(),
            heard: Heard::Nothing,
            asked: at,
            at,
            answered: None,
            changed: None,
            terminating: false,
        };
        log.calls.push(call);
        (at, log.calls.len() - 1)
    }

    async fn send(
        &self,
        call: usize,
        target: &Target,
        change: &Change,
        within: Duration,
    ) -> Result<(), ApplyError> {
        let before = self.cluster.pod_by_uid(&target.uid);
        let revision = self.cluster.revision();
        let answer = self.cluster.apply(target, change, within).await;
        let ours = self.cluster.history_since(revision).into_iter().any(|entry| {
            entry.by == Actor::PodApi
                && entry.pod == *target
                && !matches!(entry.what, Happened::Disrupted { .. })
        });
        let mut log = self.log.lock();
        let seq = log.next();
        log.sent.push((revision, self.cluster.revision()));
        log.calls[call].terminating = before.is_some_and(|pod| pod.deletion.is_some());
        log.calls[call].changed = ours.then_some(seq);
        answer
    }

    fn answered(&self, call: usize, answer: &Result<(), ApplyError>) {
        let mut log = self.log.lock();
        let seq = log.next();
        log.calls[call].answered = Some(seq);
        log.calls[call].at = self.cluster.mono();
        log.calls[call].heard = match answer {
            Ok(()) => Heard::Made,
            Err(error) if error.maybe_happened => Heard::Unknown,
            Err(_) => Heard::NotMade,
        };
    }
}

/// When a memory does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Before the step: nothing of it is kept.
    Before,
    /// After it: all of it is kept.
    After,
}

/// One process's memory, which several engines share here, and which can be lost sight of.
pub(crate) struct Shaky {
    inner: LocalMemory,
    log: Shared,
    seen: Mutex<Option<ActId>>,
    losses: Mutex<VecDeque<Loss>>,
    /// Each step runs first on a past that is thrown away, as compare and swap does.
    pub(crate) twice: bool,
}

impl Shaky {
    pub(crate) fn new(cluster: &Cluster, log: &Shared, bounds: Bounds, twice: bool) -> Self {
        Self {
            inner: LocalMemory::with_bounds(std::sync::Arc::new(cluster.clone()), bounds),
            log: log.clone(),
            seen: Mutex::default(),
            losses: Mutex::default(),
            twice,
        }
    }

    pub(crate) fn lose(&self, loss: Loss) {
        self.losses().push_back(loss);
    }

    pub(crate) fn heal(&self) {
        self.losses().clear();
    }

    fn losses(&self) -> std::sync::MutexGuard<'_, VecDeque<Loss>> {
        self.losses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the act down that this step has opened, if it did.
    fn note(&self, past: &Past, disarmed: &[drop_core::past::ScopeKey], now: Mono) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut log = self.log.lock();
        log.most_acts = log.most_acts.max(past.len());
        let new: Vec<_> = past.obligations().filter(|act| Some(act.id) > *seen).collect();
        for act in new {
            *seen = Some(act.id);
            let opened = Opened {
                seq: log.next(),
                task: log.current,
                act: act.id,
                alert: act.alert,
                policy: act.policy.clone(),
                response: act.response.clone(),
                target: act.target.clone(),
                mode: act.mode,
                ends: act.ends,
                at: now,
                disarmed: disarmed.to_vec(),
            };
            log.opened.push(opened);
        }
    }
}

#[async_trait]
impl Memory for Shaky {
    async fn update(&self, f: &mut (dyn for<'p> FnMut(&'p mut Past, Mono) + Send)) -> Result<(), Lost> {
        give_way().await;
        let loss = self.losses().pop_front();
        if loss != Some(Loss::Before) {
            let mut step = |past: &mut Past, now: Mono| {
                if self.twice {
                    f(&mut past.clone(), now);
                }
                let disarmed: Vec<_> = past.disarmed().map(|(key, _)| key.clone()).collect();
                f(past, now);
                self.note(past, &disarmed, now);
            };
            self.inner.update(&mut step).await?;
        }
        give_way().await;
        match loss {
            None => Ok(()),
            Some(loss) => {
                let mut log = self.log.lock();
                let task = log.current;
                log.lost.push(task);
                Err(Lost(format!("{loss:?} the step")))
            }
        }
    }

    fn scope(&self) -> &'static str {
        "this case"
    }

    fn may_remember(&self, alert: AlertId) -> bool {
        self.inner.may_remember(alert)
    }
}

/// A journal that may be slow.
pub(crate) struct Diary {
    pub(crate) cluster: Cluster,
    pub(crate) log: Shared,
}

#[async_trait]
impl Journal for Diary {
    async fn write(&self, record: &Record) {
        give_way().await;
        {
            let mut log = self.log.lock();
            let there = match record {
                Record::Decided(_) => true,
                Record::Closed(closed) => self.cluster.pod_by_uid(&closed.target.uid).is_some(),
            };
            let written = Written {
                seq: log.next(),
                task: log.current,
                record: record.clone(),
                at: self.cluster.mono(),
                there,
            };
            log.written.push(written);
        }
        give_way().await;
    }
}

/// An engine's clock: its wall time is a little off, its own time is not.
pub(crate) struct Skewed {
    pub(crate) cluster: Cluster,
    pub(crate) ahead_ms: i64,
}

impl Clock for Skewed {
    fn wall(&self) -> Timestamp {
        self.cluster.now() + jiff_ms(self.ahead_ms)
    }

    fn mono(&self) -> Mono {
        self.cluster.mono()
    }
}

/// Milliseconds either way.
pub(crate) fn jiff_ms(ms: i64) -> jiff::SignedDuration {
    jiff::SignedDuration::from_millis(ms)
}
