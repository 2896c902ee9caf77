//! The handle of a cluster in memory: what a test or a host does to it, and what it can see.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use falco_event::{ContainerId, Namespace, NodeName, PodName, PodUid, Timestamp};

use super::agenda::later;
use super::controller::{Controlled, Key};
use super::eviction::{Budget, BudgetState, key};
use super::faults::{Call, Fault};
use super::history::{Actor, Entry};
use super::pods::PodObject;
use super::workload::{Kind, Workload};
use super::world::{Delays, Made, World};
use crate::pod::{Owner, Phase, Pod};
use crate::ports::{ApiError, Target};

/// A cluster in memory; a clone is the same cluster. See the [module](super) for an example.
#[derive(Debug, Clone)]
pub struct Cluster {
    world: Arc<Mutex<World>>,
}

/// A controller object, as a reader of owners sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Controller {
    /// Its namespace.
    pub namespace: Namespace,
    /// Its kind, name and UID.
    pub this: Owner,
    /// What owns it: the Deployment of a ReplicaSet, the CronJob of a Job.
    pub above: Option<Owner>,
    /// How many pods it wants; of a DaemonSet, the number of nodes.
    pub replicas: u32,
    /// The labels that it selects its pods by.
    pub selector: BTreeMap<String, String>,
}

/// Making it, and its time.
impl Cluster {
    /// A cluster without pods and with one node, `node-1`, at this time.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self::with_seed(now, 0)
    }

    /// As [`new`](Self::new), with other made-up names and ids for another seed.
    #[must_use]
    pub fn with_seed(now: Timestamp, seed: u64) -> Self {
        let mut world = World::new(now, seed);
        world.nodes.extend(NodeName::try_from("node-1"));
        Self {
            world: Arc::new(Mutex::new(world)),
        }
    }

    /// Another cluster in the same state, which then goes its own way.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self {
            world: Arc::new(Mutex::new(self.lock().clone())),
        }
    }

    /// The cluster's time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.lock().now
    }

    /// Lets time pass, with everything that becomes due in it, each thing at its own time.
    pub fn advance(&self, by: Duration) {
        let mut world = self.lock();
        let until = later(world.now, by);
        world.advance_to(until);
    }

    /// Lets time pass until then. Time does not go back: an earlier time changes nothing.
    pub fn advance_to(&self, time: Timestamp) {
        self.lock().advance_to(time);
    }

    /// When the next thing happens by itself, if anything is still to happen.
    #[must_use]
    pub fn next_event(&self) -> Option<Timestamp> {
        self.lock().agenda.next()
    }

    /// How long things take by themselves, from now on.
    pub fn set_delays(&self, delays: Delays) {
        self.lock().delays = delays;
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, World> {
        // A panic of a test that holds the lock leaves a state that is still worth looking at.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to the state, and then all that follows from it at once.
    fn act<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        let mut world = self.lock();
        let done = act(&mut world);
        world.settle();
        done
    }
}

/// Building what is in it.
impl Cluster {
    /// A node. Each DaemonSet puts a pod on it.
    pub fn add_node(&self, node: NodeName) {
        self.act(|world| {
            world.nodes.insert(node);
            let namespaces: Vec<Namespace> = world.namespaces.keys().cloned().collect();
            namespaces.iter().for_each(|namespace| world.wake(namespace));
        });
    }

    /// A namespace with these labels, and `kubernetes.io/metadata.name` as the API server adds it. One that is there
    /// gets these labels instead of its own.
    pub fn add_namespace(&self, namespace: &Namespace, labels: &[(&str, &str)]) {
        self.lock()
            .namespaces
            .insert(namespace.clone(), namespace_labels(namespace, labels));
    }

    /// A workload, whose pods are made at once. Its namespace is made if it is not there. Returns whether it is new: one
    /// of the same kind and name stays as it is.
    pub fn add_workload(&self, workload: Workload) -> bool {
        self.act(|world| world.add_workload(workload))
    }

    /// Changes how many pods a workload wants. Returns whether there is such a workload.
    pub fn scale(&self, kind: Kind, namespace: &Namespace, name: &PodName, replicas: u32) -> bool {
        let key = Key {
            namespace: namespace.clone(),
            kind,
            name: name.clone(),
        };
        self.act(|world| {
            let workload = world.workloads.get_mut(&key);
            let found = workload.map(|workload| workload.replicas = replicas).is_some();
            world.wake(namespace);
            found
        })
    }

    /// A PodDisruptionBudget; one of the same name is replaced.
    pub fn add_budget(&self, budget: Budget) {
        self.lock().budgets.insert(key(&budget), BudgetState::new(budget));
    }
}

/// What others do to pods: the kubelet, and people with access to the API server.
impl Cluster {
    /// DELETE, by someone else. Without a UID it takes whichever pod has the name, without a grace period the pod's own.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] and, if the pod has another UID, [`ApiError::Conflict`].
    pub fn delete(
        &self,
        namespace: &Namespace,
        name: &PodName,
        uid: Option<&PodUid>,
        grace_seconds: Option<u32>,
    ) -> Result<(), ApiError> {
        self.act(|world| world.delete(Actor::Person, namespace, name, uid, grace_seconds))
    }

    /// The eviction subresource, by someone else.
    ///
    /// # Errors
    /// As [`delete`](Self::delete), and [`ApiError::Budget`]. A budget is used up even if the UID is then refused.
    pub fn evict(
        &self,
        namespace: &Namespace,
        name: &PodName,
        uid: Option<&PodUid>,
        grace_seconds: Option<u32>,
    ) -> Result<(), ApiError> {
        self.act(|world| world.evict(Actor::Person, namespace, name, uid, grace_seconds))
    }

    /// Changes labels, by someone else; none removes one.
    ///
    /// # Errors
    /// As [`delete`](Self::delete), and [`ApiError::Invalid`] for what cannot be a label.
    pub fn label(
        &self,
        namespace: &Namespace,
        name: &PodName,
        uid: Option<&PodUid>,
        edits: &BTreeMap<String, Option<String>>,
    ) -> Result<(), ApiError> {
        self.act(|world| world.label(Actor::Person, namespace, name, uid, edits))
    }

    /// Changes annotations, by someone else; none removes one.
    ///
    /// # Errors
    /// As [`label`](Self::label).
    pub fn annotate(
        &self,
        namespace: &Namespace,
        name: &PodName,
        uid: Option<&PodUid>,
        edits: &BTreeMap<String, Option<String>>,
    ) -> Result<(), ApiError> {
        self.act(|world| world.annotate(Actor::Person, namespace, name, uid, edits))
    }

    /// A container ends and runs again under a new id, which is returned; the status keeps the instance before it.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if no such container runs.
    pub fn restart_container(&self, uid: &PodUid, container: &str) -> Result<ContainerId, ApiError> {
        self.act(|world| world.restart(uid, container))
    }

    /// The containers of a pod end by themselves, for good: `Succeeded` or `Failed`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if the pod is not there.
    pub fn finish(&self, uid: &PodUid, phase: Phase) -> Result<(), ApiError> {
        self.act(|world| world.finish(uid, phase))
    }

    /// Takes a pod's finalizers away, so that it can go.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if the pod is not there.
    pub fn remove_finalizers(&self, uid: &PodUid) -> Result<(), ApiError> {
        self.act(|world| world.unfinalize(uid))
    }
}

/// Faults between a caller of [`PodApi`](crate::ports::PodApi) and the cluster. What is done to the cluster by its own
/// functions never fails by them.
impl Cluster {
    /// The next such call goes wrong; several are used up in order.
    pub fn fail_next(&self, call: Call, fault: Fault) {
        self.lock().faults.push(call, fault);
    }

    /// Every such call goes wrong until [`heal`](Self::heal).
    pub fn fail(&self, call: Call, fault: Fault) {
        self.lock().faults.last(call, fault);
    }

    /// Nothing goes wrong any more. Changes that are still on their way arrive all the same.
    pub fn heal(&self) {
        self.lock().faults.clear();
    }
}

/// What is in it.
impl Cluster {
    /// All pods, by namespace and name.
    #[must_use]
    pub fn pods(&self) -> Vec<Pod> {
        self.lock()
            .pods
            .iter()
            .map(|object| object.shown.pod.clone())
            .collect()
    }

    /// The pod that has this name now.
    #[must_use]
    pub fn pod(&self, namespace: &Namespace, name: &PodName) -> Option<Pod> {
        self.lock()
            .pods
            .get(namespace, name)
            .map(|object| object.shown.pod.clone())
    }

    /// The pod with this UID, if it is still there.
    #[must_use]
    pub fn pod_by_uid(&self, uid: &PodUid) -> Option<Pod> {
        self.lock()
            .pods
            .by_uid(uid)
            .map(|object| object.shown.pod.clone())
    }

    /// The pods that a workload keeps, terminating ones too, by name.
    #[must_use]
    pub fn pods_of(&self, kind: Kind, namespace: &Namespace, name: &PodName) -> Vec<Pod> {
        let key = Key {
            namespace: namespace.clone(),
            kind,
            name: name.clone(),
        };
        let world = self.lock();
        let Some(owner) = world
            .workloads
            .get(&key)
            .and_then(|workload| workload.owners.first())
        else {
            return Vec::new();
        };
        let owned = world
            .pods
            .of_namespace(namespace)
            .filter(|object| object.is_owned_by(&owner.uid));
        owned.map(|object| object.shown.pod.clone()).collect()
    }

    /// All pods with what the engine does not read of them.
    #[must_use]
    pub fn pod_objects(&self) -> Vec<PodObject> {
        self.lock()
            .pods
            .iter()
            .map(|object| object.shown.clone())
            .collect()
    }

    /// Every controller object: for a Deployment its ReplicaSet too.
    #[must_use]
    pub fn controllers(&self) -> Vec<Controller> {
        let world = self.lock();
        let nodes = world.nodes.len();
        world
            .workloads
            .iter()
            .flat_map(|(key, workload)| controllers(key, workload, nodes))
            .collect()
    }

    /// The namespaces with their labels.
    #[must_use]
    pub fn namespaces(&self) -> BTreeMap<Namespace, BTreeMap<String, String>> {
        self.lock().namespaces.clone()
    }

    /// The nodes.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeName> {
        self.lock().nodes.iter().cloned().collect()
    }

    /// The disruption budgets, each with how many pods it lets go now.
    #[must_use]
    pub fn budgets(&self) -> Vec<(Budget, u32)> {
        let world = self.lock();
        world
            .budgets
            .values()
            .map(|state| (state.budget.clone(), world.disruptions_allowed(state)))
            .collect()
    }

    /// The revision of the last change, 0 if there was none.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.lock().revision
    }

    /// Every change to a pod, in order.
    #[must_use]
    pub fn history(&self) -> Vec<Entry> {
        self.lock().history.clone()
    }

    /// The changes after this revision, in order.
    #[must_use]
    pub fn history_since(&self, revision: u64) -> Vec<Entry> {
        let world = self.lock();
        let first = world.history.partition_point(|entry| entry.revision <= revision);
        world.history.iter().skip(first).cloned().collect()
    }

    /// Forgets the changes so far, so that a cluster that lives long does not grow. Revisions go on.
    pub fn clear_history(&self) {
        self.lock().history.clear();
    }

    /// The pods that a caller of [`PodApi`](crate::ports::PodApi) changed, or that it spent a disruption budget on:
    /// each once, in the order of the first change.
    #[must_use]
    pub fn touched(&self) -> Vec<Target> {
        let world = self.lock();
        let mut seen = std::collections::BTreeSet::new();
        let by_api = world.history.iter().filter(|entry| entry.by == Actor::PodApi);
        by_api
            .filter(|entry| seen.insert(&entry.pod.uid))
            .map(|entry| entry.pod.clone())
            .collect()
    }
}

impl World {
    fn add_workload(&mut self, workload: Workload) -> bool {
        let namespace = workload.namespace.clone();
        let labels = namespace_labels(&namespace, &[]);
        self.namespaces.entry(namespace.clone()).or_insert(labels);
        if workload.kind == Kind::Pod {
            return self.create(bare(workload)).is_some();
        }
        let key = Key {
            namespace: namespace.clone(),
            kind: workload.kind,
            name: workload.name.clone(),
        };
        if self.workloads.contains_key(&key) {
            return false;
        }
        let controlled = Controlled::new(&workload, &mut self.ids);
        self.workloads.insert(key, controlled);
        self.wake(&namespace);
        true
    }
}

fn bare(workload: Workload) -> Made {
    Made {
        namespace: workload.namespace,
        name: workload.first_pod.unwrap_or(workload.name),
        labels: workload.labels,
        controller: None,
        node: None,
        template: Arc::new(workload.template),
        container: workload.first_container,
    }
}

fn namespace_labels(namespace: &Namespace, labels: &[(&str, &str)]) -> BTreeMap<String, String> {
    let named = [("kubernetes.io/metadata.name", namespace.as_str())];
    labels
        .iter()
        .copied()
        .chain(named)
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn controllers(key: &Key, workload: &Controlled, nodes: usize) -> Vec<Controller> {
    let above = workload.owners.iter().skip(1).cloned().map(Some).chain([None]);
    let pairs = workload.owners.iter().cloned().zip(above);
    let controller = |(this, above)| Controller {
        namespace: key.namespace.clone(),
        this,
        above,
        replicas: workload.desired(nodes),
        selector: workload.selector.clone(),
    };
    pairs.map(controller).collect()
}
