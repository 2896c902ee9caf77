//! One case: two engines on one memory and one cluster, and futures that are polled and dropped by hand.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use drop_core::Engine;
use drop_core::memory::{Cluster, Kind};
use drop_core::past::ScopeKey;
use drop_core::pod::Pod;
use drop_core::policy::Policies;
use drop_core::ports::Lost;
use drop_core::record::Decided;
use falco_event::{ContainerId, PodUid};
use proptest::sample::Index;

use crate::log::{Shared, TaskId};
use crate::places::{self, WORKLOADS, name, namespace};
use crate::policies::POLICIES;
use crate::ports::{Api, Diary, Shaky, Skewed};
use crate::raise::{Raised, Sources, Times, raise};
use crate::steps::{Delivery, Raise, Setting, Step};

/// What a future came to.
pub(crate) enum Done {
    Decided(Box<Decided>),
    Confirmed(Result<usize, Lost>),
    Rearmed,
}

type Job = Pin<Box<dyn Future<Output = Done>>>;

/// A future, and what became of it.
pub(crate) struct Task {
    job: Option<Job>,
    /// Which alert it delivers, if it does.
    pub(crate) alert: Option<usize>,
    /// The place in the order of everything where it began.
    pub(crate) began: u64,
    pub(crate) done: Option<Done>,
    /// The policies in force when it began.
    pub(crate) policies: Arc<Policies>,
}

/// A case under way.
pub(crate) struct Run {
    pub(crate) cluster: Cluster,
    pub(crate) log: Shared,
    pub(crate) alerts: Vec<Raised>,
    pub(crate) tasks: Vec<Task>,
    /// How many acts were still open when all had come to rest.
    pub(crate) owed: Option<usize>,
    memory: Arc<Shaky>,
    engines: [Engine; 2],
    policies: Arc<Policies>,
    disarmed: Vec<ScopeKey>,
    started: BTreeMap<PodUid, ContainerId>,
}

impl Run {
    pub(crate) fn new(setting: &Setting) -> Self {
        let (cluster, log) = (places::cluster(), Shared::default());
        cluster.set_delays(setting.delays);
        let memory = Arc::new(Shaky::new(&cluster, &log, setting.twice));
        let engine = |ahead_ms| {
            Engine::new(
                Arc::new(Api {
                    cluster: cluster.clone(),
                    log: log.clone(),
                }),
                memory.clone(),
                Arc::new(Diary {
                    cluster: cluster.clone(),
                    log: log.clone(),
                }),
                Arc::new(Skewed {
                    cluster: cluster.clone(),
                    ahead_ms,
                }),
            )
        };
        let engines = setting.clocks_ms.map(engine);
        Self {
            cluster,
            log,
            alerts: Vec::new(),
            tasks: Vec::new(),
            owed: None,
            memory,
            engines,
            policies: POLICIES[setting.policies].clone(),
            disarmed: Vec::new(),
            started: BTreeMap::new(),
        }
    }

    pub(crate) fn take(&mut self, step: &Step) {
        match step {
            Step::Advance(by) => self.cluster.advance(*by),
            Step::Raise(raise) => self.raise(raise),
            Step::Deliver(delivery) => self.redeliver(delivery),
            Step::Poll(task, polls) => self.with_task(*task, |run, task| run.poll(task, Some(*polls))),
            Step::Finish => self.finish(),
            Step::Drop(task) => self.with_task(*task, Self::drop_task),
            Step::Replace(alert, wait) => self.replace(*alert, *wait),
            Step::Confirm(engine, polls) => {
                let task = self.confirm(*engine);
                self.poll(task, *polls);
            }
            Step::Fail(call, fault) => self.cluster.fail_next(*call, fault.clone()),
            Step::FailAll(call, fault) => self.cluster.fail(*call, fault.clone()),
            Step::Heal => self.cluster.heal(),
            Step::Lose(loss) => self.memory.lose(*loss),
            Step::Policies(set) => self.policies = POLICIES[*set].clone(),
            Step::Rearm(which) => self.rearm(*which),
            Step::Scale(which, replicas) => self.scale(*which, *replicas),
            Step::Kill(pod, grace) => self.with_pod(*pod, |run, pod| {
                drop(run.cluster.delete(&pod.namespace, &pod.name, None, *grace));
            }),
            Step::Restart(pod) => self.with_pod(*pod, Self::restart),
            Step::End(pod, phase) => {
                self.with_pod(*pod, |run, pod| drop(run.cluster.finish(&pod.uid, *phase)));
            }
            Step::Ready(pod, ready) => {
                self.with_pod(*pod, |run, pod| drop(run.cluster.set_ready(&pod.uid, *ready)));
            }
        }
    }

    /// What others do to a pod may be refused: that too is something that happens.
    fn with_pod(&mut self, which: Index, act: impl FnOnce(&mut Self, &Pod)) {
        let pods = self.cluster.pods();
        if !pods.is_empty() {
            act(self, which.get(&pods));
        }
    }

    fn restart(&mut self, pod: &Pod) {
        let container = pod.containers.first().map(|container| container.name.clone());
        let id = self
            .cluster
            .restart_container(&pod.uid, &container.unwrap_or_default());
        self.started.extend(id.ok().map(|id| (pod.uid.clone(), id)));
    }

    fn scale(&self, which: Index, replicas: u32) {
        let (space, kind, what, _) = which.get(&WORKLOADS);
        let kind = match *kind {
            "StatefulSet" => Kind::StatefulSet,
            "DaemonSet" => Kind::DaemonSet,
            _ => Kind::Deployment,
        };
        self.cluster.scale(kind, &namespace(space), &name(what), replicas);
    }

    fn raise(&mut self, step: &Raise) {
        let pods = self.cluster.pods();
        if pods.is_empty() {
            return;
        }
        let (truth, other) = (step.pod.get(&pods), step.other.get(&pods));
        let sources = Sources {
            truth,
            other,
            containers: [self.container(truth), self.container(other)],
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
    fn container(&self, pod: &Pod) -> Option<ContainerId> {
        let shown = pod.containers.last().map(|container| container.id.clone());
        self.started.get(&pod.uid).cloned().or(shown)
    }

    fn redeliver(&mut self, delivery: &Delivery) {
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

    pub(crate) fn confirm(&mut self, engine: bool) -> TaskId {
        let engine = self.engines[usize::from(engine)].clone();
        self.start(None, async move { Done::Confirmed(engine.confirm().await) })
    }

    fn rearm(&mut self, which: Index) {
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

    fn start(&mut self, alert: Option<usize>, job: impl Future<Output = Done> + 'static) -> TaskId {
        let began = self.log.lock().next();
        self.tasks.push(Task {
            job: Some(Box::pin(job)),
            alert,
            began,
            done: None,
            policies: self.policies.clone(),
        });
        self.tasks.len() - 1
    }

    fn with_task(&mut self, which: Index, act: impl FnOnce(&mut Self, TaskId)) {
        let running: Vec<TaskId> = self.running();
        if !running.is_empty() {
            let task = *which.get(&running);
            act(self, task);
        }
    }

    fn running(&self) -> Vec<TaskId> {
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

    /// The pod that an alert is about goes, another may take its name, and the alert comes again.
    fn replace(&mut self, which: Index, wait: Duration) {
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

    /// Polls all in turn.
    fn finish(&mut self) {
        let mut running = self.running();
        while !running.is_empty() {
            for task in running {
                self.poll(task, Some(1));
            }
            running = self.running();
        }
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
}
