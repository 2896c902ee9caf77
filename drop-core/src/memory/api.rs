//! The port, over a cluster in memory.

use std::time::Duration;

use async_trait::async_trait;
use falco_event::NodeName;

use super::Cluster;
use super::agenda::Task;
use super::controller::Controlled;
use super::faults::{Call, Fault};
use super::history::Actor;
use super::pods::Object;
use super::world::World;
use crate::facts::{Facts, Known, Siblings, Wants};
use crate::pod::{Owner, Pod};
use crate::ports::{ApiError, ApplyError, By, Change, Found, PodApi, Presence, Target, Way};

#[async_trait]
impl PodApi for Cluster {
    async fn find(&self, by: &By) -> Result<Found, ApiError> {
        let mut world = self.lock();
        let pods = match world.faults.take(Call::Find).map(|fault| fault.of_read()) {
            None => world.find(by),
            Some(ApiError::NotFound) => Vec::new(),
            Some(error) => return Err(error),
        };
        let way = Way::Index;
        Ok(Found { pods, way })
    }

    async fn facts(&self, pod: Pod, wants: Wants) -> Facts {
        let mut world = self.lock();
        let namespace = world.fact(wants.namespace, Call::Namespace, |world| {
            world.namespaces.get(&pod.namespace).cloned().unwrap_or_default()
        });
        let owner = world.fact(wants.owner, Call::Owner, |world| world.top_owner(&pod));
        let siblings = world.fact(wants.siblings, Call::Siblings, |world| world.siblings(&pod));
        let budgets = world.fact(wants.budgets, Call::Budgets, |world| world.budgets_about(&pod));
        let host_is_node = match wants.host {
            Some(host) => Known::Is(world.has_node(&host)),
            None => Known::NotAsked,
        };
        Facts {
            pod,
            namespace,
            owner,
            siblings,
            budgets,
            host_is_node,
        }
    }

    async fn apply(&self, target: &Target, change: &Change, within: Duration) -> Result<(), ApplyError> {
        let mut world = self.lock();
        if within.is_zero() {
            return Err(Fault::NeverSent.of_change());
        }
        let Some(fault) = world.faults.take(Call::of(change)) else {
            let made = world.apply(target, change);
            return made.map_err(|why| ApplyError {
                why,
                maybe_happened: false,
            });
        };
        match fault {
            Fault::AnswerLost => {
                // Whatever the API server answered, nobody heard it.
                let _ = world.apply(target, change);
            }
            Fault::Late(after) => world.send_late(target, change, after),
            Fault::Answer(_) | Fault::NeverSent | Fault::RequestLost => {}
        }
        Err(fault.of_change())
    }

    async fn presence(&self, target: &Target) -> Result<Presence, ApiError> {
        let mut world = self.lock();
        match world.faults.take(Call::Presence).map(|fault| fault.of_read()) {
            None => Ok(world.presence(target)),
            Some(ApiError::NotFound) => Ok(Presence::Gone),
            Some(error) => Err(error),
        }
    }
}

impl World {
    fn find(&self, by: &By) -> Vec<Pod> {
        let shown = |object: &Object| object.shown.pod.clone();
        match by {
            By::Uid(uid) => self.pods.by_uid(uid).map(shown).into_iter().collect(),
            By::Name(namespace, name) => self.pods.get(namespace, name).map(shown).into_iter().collect(),
            By::Container { id, .. } => {
                let has = |object: &&Object| object.shown.pod.containers.iter().any(|c| c.id.matches(id));
                self.pods.iter().filter(has).map(shown).collect()
            }
        }
    }

    fn fact<T>(&mut self, wanted: bool, call: Call, read: impl FnOnce(&Self) -> T) -> Known<T> {
        if !wanted {
            return Known::NotAsked;
        }
        match self.faults.take(call) {
            None => Known::Is(read(self)),
            Some(fault) => Known::Unknown(fault.of_read().to_string()),
        }
    }

    /// The workload whose controller is in the pod's owner reference; none where there is no such controller, whatever
    /// the pod says of itself.
    fn workload_of(&self, pod: &Pod) -> Option<&Controlled> {
        let owner = pod.controller.as_ref()?;
        let owns = |workload: &&Controlled| workload.owners.first() == Some(owner);
        self.workloads
            .iter()
            .filter(|(key, _)| key.namespace == pod.namespace)
            .map(|(_, w)| w)
            .find(owns)
    }

    /// The top of the chain.
    fn top_owner(&self, pod: &Pod) -> Option<Owner> {
        self.workload_of(pod)?.owners.last().cloned()
    }

    fn siblings(&self, pod: &Pod) -> Option<Siblings> {
        let workload = self.workload_of(pod)?;
        let owned = self
            .pods
            .of_namespace(&pod.namespace)
            .filter(|object| object.is_owned_by(workload.owner_uid()));
        let ready = owned
            .filter(|object| object.is_available())
            .map(|object| object.shown.pod.uid.clone())
            .collect();
        let desired = workload.desired(self.nodes.len());
        Some(Siblings { desired, ready })
    }

    /// A node is known that was added, or on which a pod stands.
    fn has_node(&self, name: &NodeName) -> bool {
        let stands = |object: &Object| object.shown.pod.node.as_ref() == Some(name);
        self.nodes.contains(name) || self.pods.iter().any(stands)
    }

    fn presence(&self, target: &Target) -> Presence {
        match self.pods.get(&target.namespace, &target.name) {
            Some(object) if object.shown.pod.uid == target.uid => {
                if object.shown.pod.deletion.is_some() {
                    Presence::Terminating
                } else {
                    Presence::Alive
                }
            }
            Some(_) | None => Presence::Gone,
        }
    }

    /// Makes a change, with everything that follows from it at once.
    fn apply(&mut self, target: &Target, change: &Change) -> Result<(), ApiError> {
        let done = self.change(target, change);
        self.settle();
        done
    }

    fn change(&mut self, target: &Target, change: &Change) -> Result<(), ApiError> {
        let (by, namespace, name, uid) = (Actor::PodApi, &target.namespace, &target.name, Some(&target.uid));
        match change {
            Change::Delete { grace_period_seconds } => {
                self.delete(by, namespace, name, uid, Some(*grace_period_seconds))
            }
            Change::Evict { grace_period_seconds } => {
                self.evict(by, namespace, name, uid, Some(*grace_period_seconds))
            }
            Change::Label(edits) => self.label(by, namespace, name, uid, edits),
            Change::Annotate(edits) => self.annotate(by, namespace, name, uid, edits),
        }
    }

    fn send_late(&mut self, target: &Target, change: &Change, after: Duration) {
        self.tickets = self.tickets.wrapping_add(1);
        self.late.insert(self.tickets, (target.clone(), change.clone()));
        self.schedule(after, Task::Arrive(self.tickets));
    }

    /// A late change is made now; its caller is not there any more to hear how it went.
    pub(super) fn arrive(&mut self, ticket: u64) {
        if let Some((target, change)) = self.late.remove(&ticket) {
            let _ = self.change(&target, &change);
        }
    }
}
