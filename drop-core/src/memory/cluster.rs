//! The handle of a cluster in memory: what a test or a host does to it, and what it can see.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use falco_event::{Namespace, NodeName, PodName, Timestamp};

use super::agenda::later;
use super::controller::{Controlled, Key};
use super::eviction::{Budget, BudgetState, key};
use super::kind::Kind;
use super::workload::Workload;
use super::world::{Delays, Made, World};

/// A cluster in memory; a clone is the same cluster. See the [module](super) for an example.
#[derive(Debug, Clone)]
pub struct Cluster {
    world: Arc<Mutex<World>>,
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
    pub(super) fn act<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
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
            let keys: Vec<Key> = world.workloads.keys().cloned().collect();
            world.reconcile_soon(keys);
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
            world.reconcile_soon([key]);
            found
        })
    }

    /// A PodDisruptionBudget; one of the same name is replaced.
    pub fn add_budget(&self, budget: Budget) {
        self.lock().budgets.insert(key(&budget), BudgetState::new(budget));
    }
}

impl World {
    fn add_workload(&mut self, workload: Workload) -> bool {
        let labels = namespace_labels(&workload.namespace, &[]);
        self.namespaces
            .entry(workload.namespace.clone())
            .or_insert(labels);
        if workload.kind == Kind::Pod {
            return self.create(bare(workload)).is_some();
        }
        let (namespace, name) = (workload.namespace.clone(), workload.name.clone());
        let key = Key {
            namespace,
            kind: workload.kind,
            name,
        };
        if self.workloads.contains_key(&key) {
            return false;
        }
        let controlled = Controlled::new(&workload, &mut self.ids);
        self.workloads.insert(key.clone(), controlled);
        self.reconcile_soon([key]);
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
