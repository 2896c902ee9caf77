//! One case: two engines on one memory and one cluster, and futures that are polled and dropped by hand.

mod alerts;
mod others;
mod tasks;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use drop_core::Engine;
use drop_core::memory::Cluster;
use drop_core::past::{Bounds, ScopeKey};
use drop_core::policy::Policies;
use drop_core::ports::{Lost, Mono};
use drop_core::record::Decided;
use falco_event::{ContainerId, PodUid};

use crate::log::Shared;
use crate::places;
use crate::policies::POLICIES;
use crate::ports::{Api, Diary, Shaky, Skewed};
use crate::raise::Raised;
use crate::steps::{Setting, Step};

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
    pub(crate) began_at: Mono,
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
    pub(crate) bounds: Bounds,
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
        let memory = Arc::new(Shaky::new(&cluster, &log, setting.bounds, setting.twice));
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
            bounds: setting.bounds,
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
}
