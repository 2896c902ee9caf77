//! What a test can see of a cluster.

use std::collections::{BTreeMap, BTreeSet};

use falco_event::{Namespace, NodeName, PodName, PodUid};

use super::cluster::Cluster;
use super::controller::{Controlled, Key};
use super::eviction::{Budget, BudgetState};
use super::history::{Actor, Entry};
use super::kind::Kind;
use super::pods::PodObject;
use crate::pod::{Owner, Pod};
use crate::ports::Target;

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

/// A disruption budget with its status.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BudgetStatus {
    /// The budget.
    pub budget: Budget,
    /// `status.currentHealthy`: how many of its pods are ready.
    pub healthy: u32,
    /// `status.disruptionsAllowed`: how many pods it lets go now.
    pub disruptions_allowed: u32,
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

    /// The disruption budgets.
    #[must_use]
    pub fn budgets(&self) -> Vec<BudgetStatus> {
        let world = self.lock();
        let status = |state: &BudgetState| BudgetStatus {
            budget: state.budget.clone(),
            healthy: world.healthy(state),
            disruptions_allowed: world.disruptions_allowed(state),
        };
        world.budgets.values().map(status).collect()
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
        let mut seen = BTreeSet::new();
        let by_api = world.history.iter().filter(|entry| entry.by == Actor::PodApi);
        by_api
            .filter(|entry| seen.insert(&entry.pod.uid))
            .map(|entry| entry.pod.clone())
            .collect()
    }
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
