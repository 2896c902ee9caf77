//! The state of a cluster, and the passing of its time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use falco_event::{ContainerId, Namespace, NodeName, PodName, PodUid, Timestamp};

use super::Labels;
use super::agenda::{Agenda, Task, later, shifted};
use super::controller::{Controlled, Key};
use super::eviction::BudgetState;
use super::faults::Faults;
use super::history::{Actor, Entry, Happened};
use super::ids::Ids;
use super::kind::Stop;
use super::pods::{Object, PodObject, Pods, Status};
use super::workload::Template;
use crate::pod::{Owner, Phase, Pod};
use crate::ports::{Change, Target};

/// How long things take by themselves: all zero, so that they happen at once, unless set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delays {
    /// From a pod's creation until its containers run.
    pub start: Duration,
    /// How containers stop when their pod is deleted.
    pub stop: Stop,
    /// Until a status says what happened on the node, and until a deletion is confirmed.
    pub report: Duration,
    /// Until a controller acts on what happened to its pods.
    pub replace: Duration,
}

impl Default for Delays {
    fn default() -> Self {
        let none = Duration::ZERO;
        Self {
            start: none,
            stop: Stop::After(none),
            report: none,
            replace: none,
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) now: Timestamp,
    pub(super) ids: Ids,
    pub(super) delays: Delays,
    pub(super) namespaces: BTreeMap<Namespace, Labels>,
    pub(super) nodes: BTreeSet<NodeName>,
    pub(super) workloads: BTreeMap<Key, Controlled>,
    pub(super) pods: Pods,
    pub(super) budgets: BTreeMap<(Namespace, String), BudgetState>,
    pub(super) agenda: Agenda,
    pub(super) revision: u64,
    pub(super) history: Vec<Entry>,
    pub(super) faults: Faults,
    pub(super) late: BTreeMap<u64, (Target, Change)>,
    pub(super) tickets: u64,
    scheduled: usize,
}

/// A pod to make.
pub(super) struct Made {
    pub(super) namespace: Namespace,
    pub(super) name: PodName,
    pub(super) labels: Labels,
    pub(super) controller: Option<Owner>,
    pub(super) node: Option<NodeName>,
    pub(super) template: Arc<Template>,
    pub(super) container: Option<ContainerId>,
}

impl World {
    pub(super) fn new(now: Timestamp, seed: u64) -> Self {
        Self {
            now,
            ids: Ids::new(seed),
            delays: Delays::default(),
            namespaces: BTreeMap::new(),
            nodes: BTreeSet::new(),
            workloads: BTreeMap::new(),
            pods: Pods::default(),
            budgets: BTreeMap::new(),
            agenda: Agenda::default(),
            revision: 0,
            history: Vec::new(),
            faults: Faults::default(),
            late: BTreeMap::new(),
            tickets: 0,
            scheduled: 0,
        }
    }

    /// Does everything that is due until then, each thing at its own time.
    pub(super) fn advance_to(&mut self, time: Timestamp) {
        let until = time.max(self.now);
        while let Some((at, task)) = self.agenda.pop(until) {
            self.now = self.now.max(at);
            self.run(task);
        }
        self.now = until;
    }

    fn run(&mut self, task: Task) {
        match task {
            Task::Arrive(ticket) => self.arrive(ticket),
            Task::Stop(uid) => self.stop(&uid),
            Task::Start(uid) => self.start(&uid),
            Task::Report(uid) => self.report(&uid),
            Task::Reconcile(key) => self.reconcile(&key),
        }
    }

    /// Does what is due now: after a request, everything that takes no time.
    pub(super) fn settle(&mut self) {
        self.advance_to(self.now);
    }

    pub(super) fn schedule(&mut self, after: Duration, task: Task) {
        self.agenda.add(later(self.now, after), task);
    }

    /// Lets the controllers look that a change to this pod can mean something to.
    pub(super) fn wake(&mut self, uid: &PodUid) {
        let keys = self
            .pods
            .by_uid(uid)
            .map(|object| self.concerned(&object.shown.pod));
        self.reconcile_soon(keys.unwrap_or_default());
    }

    fn concerned(&self, pod: &Pod) -> Vec<Key> {
        let near = self
            .workloads
            .iter()
            .filter(|(key, _)| key.namespace == pod.namespace);
        near.filter(|(_, workload)| workload.is_concerned_by(pod))
            .map(|(key, _)| key.clone())
            .collect()
    }

    pub(super) fn reconcile_soon(&mut self, keys: impl IntoIterator<Item = Key>) {
        for key in keys {
            self.schedule(self.delays.replace, Task::Reconcile(key));
        }
    }

    /// Notes a change to a pod, which gets a new revision by it.
    pub(super) fn note(&mut self, by: Actor, pod: Target, what: Happened) {
        self.revision = self.revision.saturating_add(1);
        if let Some(object) = self.pods.by_uid_mut(&pod.uid) {
            object.shown.revision = self.revision;
        }
        self.history.push(Entry {
            at: self.now,
            revision: self.revision,
            by,
            pod,
            what,
        });
    }

    /// Makes a pod, unless one has its name.
    pub(super) fn create(&mut self, made: Made) -> Option<PodUid> {
        if self.pods.is_taken(&made.namespace, &made.name) {
            return None;
        }
        let by = if made.controller.is_some() {
            Actor::Controller
        } else {
            Actor::Person
        };
        let start = made.template.start_after.unwrap_or(self.delays.start);
        let object = self.object(made);
        let (target, taken) = (object.target(), object.shown.pod.node.is_some());
        self.pods.insert(object);
        self.note(by, target.clone(), Happened::Created);
        if taken {
            self.schedule(start, Task::Start(target.uid.clone()));
        }
        self.wake(&target.uid);
        Some(target.uid)
    }

    fn object(&mut self, made: Made) -> Object {
        let node = made.node.or_else(|| self.node_for(&made.template));
        let first = made
            .container
            .into_iter()
            .map(|id| (made.template.containers.first(), id));
        let containers = first
            .filter_map(|(name, id)| Some((name?.clone(), id)))
            .map(super::kubelet::running);
        let template = &made.template;
        let truth = Status {
            phase: Phase::Pending,
            ready: false,
            stopped: false,
            containers: containers.collect(),
        };
        let pod = Pod {
            namespace: made.namespace,
            name: made.name,
            uid: self.ids.pod_uid(),
            created: shifted(self.now, 0),
            deletion: None,
            phase: Phase::Pending,
            ready: false,
            node,
            containers: Vec::new(),
            labels: made.labels,
            annotations: template.annotations.clone(),
            controller: made.controller,
            service_account: template.service_account.clone(),
            priority_class: template.priority_class.clone(),
            mirror: template.mirror,
        };
        let finalizers = template.finalizers.iter().cloned().collect();
        let shown = PodObject {
            pod,
            finalizers,
            revision: 0,
            grace_seconds: template.grace_seconds,
        };
        Object {
            shown,
            template: made.template,
            truth,
            stops_at: None,
        }
    }

    /// The node that was asked for, else one after the other.
    fn node_for(&mut self, template: &Template) -> Option<NodeName> {
        if !template.schedulable {
            return None;
        }
        if let Some(node) = &template.node {
            return Some(node.clone());
        }
        let turn = self.scheduled.checked_rem(self.nodes.len())?;
        self.scheduled = self.scheduled.wrapping_add(1);
        self.nodes.iter().nth(turn).cloned()
    }

    /// Takes a pod out of the cluster.
    pub(super) fn remove(&mut self, by: Actor, uid: &PodUid) {
        if let Some(object) = self.pods.remove(uid) {
            self.note(by, object.target(), Happened::Removed);
            self.forget_disruption(&object.shown.pod);
            let keys = self.concerned(&object.shown.pod);
            self.reconcile_soon(keys);
        }
    }
}
