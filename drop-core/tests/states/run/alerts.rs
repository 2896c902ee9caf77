//! Alerts raised, delivered, and sent again until they are answered.

use std::time::Duration;

use drop_core::pod::Pod;
use falco_event::ContainerId;
use proptest::sample::Index;

use super::{Done, Run};
use crate::log::TaskId;
use crate::raise::{Sources, Times, raise};
use crate::steps::{Delivery, Raise};

impl Run {
    pub(super) fn raise(&mut self, step: &Raise) {
        let pods = self.cluster.pods();
        if pods.is_empty() {
            return;
        }
        let (truth, other) = (step.pod.get(&pods), step.other.get(&pods));
        let sources = Sources {
            truth,
            other,
            containers: [self.container(truth), self.container(other)],
            nodes: &self.cluster.nodes(),
        };
        let times = Times {
            now: self.cluster.now(),
            skew_ms: step.skew_ms,
            received_skew_ms: step.received_skew_ms,
            post_dated_ms: step.post_dated_ms,
        };
        self.alerts
            .push(raise(step.rule, step.marks, step.forged, &sources, &times));
        if let Some((engine, polls)) = step.deliver {
            let task = self.deliver(self.alerts.len() - 1, engine, false);
            self.poll(task, polls);
        }
    }

    /// The instance that runs now, whatever the status says.
    pub(super) fn container(&self, pod: &Pod) -> Option<ContainerId> {
        let shown = pod.containers.last().map(|container| container.id.clone());
        self.started.get(&pod.uid).cloned().or(shown)
    }

    pub(super) fn redeliver(&mut self, delivery: &Delivery) {
        if !self.alerts.is_empty() {
            // The later alerts are the likelier ones: those of long ago are duplicates by now.
            let among = self.alerts.len().min(4);
            let alert = self.alerts.len() - 1 - delivery.alert.index(among);
            let task = self.deliver(alert, delivery.engine, delivery.received);
            self.poll(task, delivery.polls);
        }
    }

    /// Starts a delivery.
    pub(crate) fn deliver(&mut self, alert: usize, engine: bool, received: bool) -> TaskId {
        let raised = &self.alerts[alert];
        let received = (received || raised.post_dated).then_some(raised.received);
        let (engine, policies) = (self.engines[usize::from(engine)].clone(), self.policies.clone());
        let raised = raised.alert.clone();
        self.start(Some(alert), async move {
            Done::Decided(Box::new(engine.handle(&policies, &raised, received).await))
        })
    }

    /// The pod that an alert is about goes, another may take its name, and the alert comes again.
    pub(super) fn replace(&mut self, which: Index, wait: Duration) {
        let among = self.alerts.len().min(4);
        if among == 0 {
            return;
        }
        let alert = self.alerts.len() - 1 - which.index(among);
        for uid in self.alerts[alert].may_hit.clone() {
            if let Some(pod) = self.cluster.pod_by_uid(&uid) {
                drop(self.cluster.delete(&pod.namespace, &pod.name, None, Some(0)));
            }
        }
        self.cluster.advance(wait);
        let task = self.deliver(alert, false, false);
        self.poll(task, None);
    }

    /// Whether the sender of an alert has no answer yet that ends it.
    pub(crate) fn waits(&self, alert: usize) -> bool {
        let mut answers = self
            .tasks
            .iter()
            .filter(|task| task.alert == Some(alert))
            .peekable();
        answers.peek().is_some()
            && !answers.any(
                |task| matches!(&task.done, Some(Done::Decided(decided)) if !decided.outcome.is_retryable()),
            )
    }

    /// Everything works again, senders send what may be sent again until it is answered, and every pod is looked at.
    pub(crate) fn come_to_rest(&mut self) {
        self.cluster.heal();
        self.memory.heal();
        self.finish();
        for _ in 0..16 {
            let waiting: Vec<usize> = (0..self.alerts.len())
                .filter(|alert| self.waits(*alert))
                .collect();
            if waiting.is_empty() {
                break;
            }
            for alert in waiting {
                let task = self.deliver(alert, alert % 2 == 0, false);
                self.poll(task, None);
            }
            self.cluster.advance(Duration::from_secs(61));
        }
        for _ in 0..3 {
            self.cluster.advance(Duration::from_secs(200));
            let task = self.confirm(false);
            self.poll(task, None);
            if let Some(Done::Confirmed(Ok(owed))) = &self.tasks[task].done {
                self.owed = Some(*owed);
            }
        }
    }
}
