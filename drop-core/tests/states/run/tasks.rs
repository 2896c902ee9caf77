//! The futures of a case, polled and dropped by hand.

use std::task::{Context, Poll, Waker};

use drop_core::ports::Clock;
use proptest::sample::Index;

use super::{Done, Run, Task};
use crate::log::TaskId;

impl Run {
    pub(crate) fn confirm(&mut self, engine: bool) -> TaskId {
        let engine = self.engines[usize::from(engine)].clone();
        self.start(None, async move { Done::Confirmed(engine.confirm().await) })
    }

    pub(super) fn rearm(&mut self, which: Index) {
        let known = self.log.lock();
        self.disarmed
            .extend(known.opened.iter().flat_map(|opened| opened.disarmed.clone()));
        drop(known);
        let Some(scope) = self
            .disarmed
            .get(which.index(self.disarmed.len().max(1)))
            .cloned()
        else {
            return;
        };
        let engine = self.engines[0].clone();
        let task = self.start(None, async move {
            drop(engine.rearm(&scope).await);
            Done::Rearmed
        });
        self.poll(task, None);
    }

    pub(super) fn start(
        &mut self,
        alert: Option<usize>,
        job: impl Future<Output = Done> + 'static,
    ) -> TaskId {
        let began = self.log.lock().next();
        self.tasks.push(Task {
            job: Some(Box::pin(job)),
            alert,
            began,
            began_at: self.cluster.mono(),
            done: None,
            policies: self.policies.clone(),
        });
        self.tasks.len() - 1
    }

    pub(super) fn with_task(&mut self, which: Index, act: impl FnOnce(&mut Self, TaskId)) {
        let running: Vec<TaskId> = self.running();
        if !running.is_empty() {
            let task = *which.get(&running);
            act(self, task);
        }
    }

    pub(super) fn running(&self) -> Vec<TaskId> {
        let runs = |task: &TaskId| self.tasks[*task].job.is_some();
        (0..self.tasks.len()).filter(runs).collect()
    }

    /// Polls a future so many times, or to its end.
    pub(crate) fn poll(&mut self, task: TaskId, polls: Option<u8>) {
        let mut left = polls.map_or(10_000, u32::from);
        let mut context = Context::from_waker(Waker::noop());
        self.log.lock().current = task;
        while let Some(job) = &mut self.tasks[task].job
            && left > 0
        {
            left -= 1;
            if let Poll::Ready(done) = job.as_mut().poll(&mut context) {
                self.tasks[task].job = None;
                self.tasks[task].done = Some(done);
            }
        }
        assert!(
            polls.is_some() || self.tasks[task].job.is_none(),
            "a future does not end"
        );
    }

    /// The engine that runs it is no more.
    pub(crate) fn drop_task(&mut self, task: TaskId) {
        self.tasks[task].job = None;
    }

    /// Polls all in turn.
    pub(super) fn finish(&mut self) {
        let mut running = self.running();
        while !running.is_empty() {
            for task in running {
                self.poll(task, Some(1));
            }
            running = self.running();
        }
    }
}
