//! Eviction: a deletion that a PodDisruptionBudget can refuse.

use std::collections::BTreeMap;
use std::time::Duration;

use falco_event::{Namespace, PodName, PodUid, Timestamp};

use super::agenda::later;
use super::history::{Actor, Happened};
use super::pods::Object;
use super::selects;
use super::world::World;
use crate::facts;
use crate::pod::{Phase, Pod};
use crate::ports::ApiError;

/// How long a budget counts a pod as disrupted that was to be evicted and is still there (the disruption controller's
/// `DeletionTimeout`).
const DISRUPTED_FOR: Duration = Duration::from_secs(120);

/// A PodDisruptionBudget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// Its namespace.
    pub namespace: Namespace,
    /// Its name.
    pub name: String,
    /// The labels of the pods that it is about; empty selects all of the namespace.
    pub selector: BTreeMap<String, String>,
    /// `spec.minAvailable`: how many of them must stay ready.
    pub min_available: u32,
}

/// A budget and what was counted against it.
#[derive(Debug, Clone)]
pub(super) struct BudgetState {
    pub(super) budget: Budget,
    /// By name, as `status.disruptedPods` is: that is why an eviction with a wrong UID uses the budget up.
    disrupted: BTreeMap<PodName, Timestamp>,
}

impl BudgetState {
    pub(super) fn new(budget: Budget) -> Self {
        Self {
            budget,
            disrupted: BTreeMap::new(),
        }
    }

    fn is_about(&self, pod: &Pod) -> bool {
        pod.namespace == self.budget.namespace && selects(&self.budget.selector, &pod.labels)
    }

    fn is_disrupted(&self, pod: &Pod, now: Timestamp) -> bool {
        self.disrupted
            .get(&pod.name)
            .is_some_and(|since| now < later(*since, DISRUPTED_FOR))
    }
}

impl World {
    /// How many pods a budget lets go now.
    pub(super) fn disruptions_allowed(&self, state: &BudgetState) -> u32 {
        self.healthy(state).saturating_sub(state.budget.min_available)
    }

    /// How many of its pods are ready and not about to go.
    pub(super) fn healthy(&self, state: &BudgetState) -> u32 {
        let pods = self.pods.of_namespace(&state.budget.namespace);
        let healthy = pods
            .filter(|object| object.is_available() && state.is_about(&object.shown.pod))
            .filter(|object| !state.is_disrupted(&object.shown.pod, self.now))
            .count();
        u32::try_from(healthy).unwrap_or(u32::MAX)
    }

    /// The eviction subresource. The budget is asked before the UID is looked at, as the API server does it.
    pub(super) fn evict(
        &mut self,
        by: Actor,
        namespace: &Namespace,
        name: &PodName,
        uid: Option<&PodUid>,
        grace_seconds: Option<u32>,
    ) -> Result<(), ApiError> {
        let object = self.pods.get(namespace, name).ok_or(ApiError::NotFound)?;
        if !object.ignores_budgets() {
            let target = object.target();
            if let Some(budget) = self.spend_budget(namespace, name)? {
                self.note(by, target, Happened::Disrupted { budget });
            }
        }
        self.delete(by, namespace, name, uid, grace_seconds)
    }

    /// Counts the pod against its budget; which one that is.
    fn spend_budget(&mut self, namespace: &Namespace, name: &PodName) -> Result<Option<String>, ApiError> {
        let Some(object) = self.pods.get(namespace, name) else {
            return Ok(None);
        };
        let pod = &object.shown.pod;
        let mut about = self.budgets.iter().filter(|(_, state)| state.is_about(pod));
        let Some((key, state)) = about.next() else {
            return Ok(None);
        };
        if about.next().is_some() {
            return Err(ApiError::Budget(
                "more than one disruption budget is about this pod".to_owned(),
            ));
        }
        // A pod that is not ready takes nothing from a budget that is kept.
        if !object.shown.pod.ready && self.is_kept(state) {
            return Ok(None);
        }
        if self.disruptions_allowed(state) == 0 {
            return Err(ApiError::Budget(format!(
                "disruption budget `{}` has nothing left",
                state.budget.name
            )));
        }
        let (key, now) = (key.clone(), self.now);
        if let Some(state) = self.budgets.get_mut(&key) {
            state.disrupted.insert(name.clone(), now);
        }
        Ok(Some(key.1))
    }

    /// The budgets about a pod, as their status has them.
    pub(super) fn budgets_about(&self, pod: &Pod) -> Vec<facts::Budget> {
        let about = self.budgets.values().filter(|state| state.is_about(pod));
        about
            .map(|state| facts::Budget {
                name: state.budget.name.clone(),
                disruptions_allowed: self.disruptions_allowed(state),
                spares_ready_only: self.is_kept(state),
            })
            .collect()
    }

    fn is_kept(&self, state: &BudgetState) -> bool {
        let wanted = state.budget.min_available;
        wanted > 0 && self.healthy(state) >= wanted
    }

    /// A pod is gone: its name may be another's now.
    pub(super) fn forget_disruption(&mut self, pod: &Pod) {
        for state in self
            .budgets
            .values_mut()
            .filter(|state| state.budget.namespace == pod.namespace)
        {
            state.disrupted.remove(&pod.name);
        }
    }
}

impl Object {
    /// A pod that does not run, or is being deleted already, can be evicted whatever the budget.
    fn ignores_budgets(&self) -> bool {
        let pod = &self.shown.pod;
        pod.phase == Phase::Pending || !self.is_active()
    }
}

/// For a budget's name and its room.
pub(super) fn key(budget: &Budget) -> (Namespace, String) {
    (budget.namespace.clone(), budget.name.clone())
}
