//! The kubelets: they start and stop containers, and tell the API server of it.

use falco_event::{ContainerId, PodUid, Timestamp};

use super::agenda::{Task, later};
use super::history::{Actor, Happened};
use super::kind::Stop;
use super::pods::{Object, Status};
use super::world::World;
use crate::pod::{Container, Phase};
use crate::ports::ApiError;

pub(super) fn running((name, id): (String, ContainerId)) -> Container {
    Container {
        name,
        id,
        ended: None,
    }
}

impl World {
    /// The containers of a pod run, and it is ready.
    pub(super) fn start(&mut self, uid: &PodUid) {
        let Some(object) = self.pods.by_uid_mut(uid) else {
            return;
        };
        if object.truth.phase != Phase::Pending || object.truth.stopped {
            return;
        }
        for name in object
            .template
            .containers
            .iter()
            .skip(object.truth.containers.len())
        {
            object
                .truth
                .containers
                .push(running((name.clone(), self.ids.container())));
        }
        object.truth.phase = Phase::Running;
        object.truth.ready = true;
        self.schedule(self.delays.report, Task::Report(uid.clone()));
    }

    /// A deletion was asked for or became shorter: says when the containers will have stopped.
    pub(super) fn terminate(&mut self, uid: &PodUid, grace_seconds: u32) {
        let (now, usual) = (self.now, self.delays.stop);
        let Some(object) = self.pods.by_uid_mut(uid) else {
            return;
        };
        let grace = std::time::Duration::from_secs(u64::from(grace_seconds));
        let needed = match object.template.stop.unwrap_or(usual) {
            Stop::After(time) if object.stops_at.is_none() => time.min(grace),
            Stop::After(_) | Stop::IgnoresSigterm => grace,
        };
        let idle = object.template.mirror || object.truth.phase == Phase::Pending;
        let at = if idle { now } else { later(now, needed) };
        let sooner = object.stops_at.is_none_or(|before| at < before);
        if sooner {
            object.stops_at = Some(at);
            self.agenda.add(at, Task::Stop(uid.clone()));
        }
    }

    /// The containers of a pod that is being deleted have stopped. Those of a static pod go on.
    pub(super) fn stop(&mut self, uid: &PodUid) {
        let (now, usual) = (self.now, self.delays.stop);
        let Some(object) = self.pods.by_uid_mut(uid) else {
            return;
        };
        if object.truth.stopped {
            return;
        }
        object.truth.stopped = true;
        if !object.template.mirror && !object.truth.phase.is_finished() {
            let killed = object.template.stop.unwrap_or(usual) == Stop::IgnoresSigterm;
            object
                .truth
                .end(now, if killed { Phase::Failed } else { Phase::Succeeded });
        }
        self.schedule(self.delays.report, Task::Report(uid.clone()));
    }

    /// The status says what the kubelet knows; a deletion whose containers have stopped is confirmed by one of grace 0.
    pub(super) fn report(&mut self, uid: &PodUid) {
        let Some(object) = self.pods.by_uid_mut(uid) else {
            return;
        };
        let target = object.target();
        if object.show_truth() {
            let phase = object.shown.pod.phase;
            self.note(Actor::Kubelet, target.clone(), Happened::Reported(phase));
            self.wake(uid);
        }
        if self.pods.by_uid(uid).is_some_and(|object| object.truth.stopped) {
            // The pod is the one with this UID, so nothing can refuse it.
            let _ = self.delete(
                Actor::Kubelet,
                &target.namespace,
                &target.name,
                Some(uid),
                Some(0),
            );
        }
    }

    /// A container ends and runs again under another id; the status keeps the last instance before it.
    pub(super) fn restart(&mut self, uid: &PodUid, container: &str) -> Result<ContainerId, ApiError> {
        let (now, id) = (self.now, self.ids.container());
        let object = self.pods.by_uid_mut(uid).ok_or(ApiError::NotFound)?;
        let runs = |instance: &Container| instance.name == container && instance.ended.is_none();
        let instances = &mut object.truth.containers;
        if !instances.iter().any(runs) {
            return Err(ApiError::NotFound);
        }
        instances.retain(|instance| instance.name != container || runs(instance));
        for instance in instances.iter_mut().filter(|instance| instance.name == container) {
            instance.ended = Some(now);
        }
        instances.push(running((container.to_owned(), id.clone())));
        let target = object.target();
        self.note(Actor::Kubelet, target, Happened::Restarted(id.clone()));
        self.schedule(self.delays.report, Task::Report(uid.clone()));
        Ok(id)
    }

    /// The readiness probe of a running pod changes its mind.
    pub(super) fn probe(&mut self, uid: &PodUid, ready: bool) -> Result<(), ApiError> {
        let object = self.pods.by_uid_mut(uid).ok_or(ApiError::NotFound)?;
        if object.truth.phase != Phase::Running {
            return Err(ApiError::NotFound);
        }
        object.truth.ready = ready;
        self.schedule(self.delays.report, Task::Report(uid.clone()));
        Ok(())
    }

    /// The containers end by themselves, for good.
    pub(super) fn finish(&mut self, uid: &PodUid, phase: Phase) -> Result<(), ApiError> {
        let now = self.now;
        let object = self.pods.by_uid_mut(uid).ok_or(ApiError::NotFound)?;
        if !object.truth.phase.is_finished() {
            object.truth.end(now, phase);
        }
        self.schedule(self.delays.report, Task::Report(uid.clone()));
        Ok(())
    }
}

impl Status {
    /// The containers have ended; in a pod that never started there were none.
    fn end(&mut self, now: Timestamp, phase: Phase) {
        if self.phase == Phase::Pending {
            self.containers.clear();
        }
        self.phase = phase;
        self.ready = false;
        for container in self
            .containers
            .iter_mut()
            .filter(|container| container.ended.is_none())
        {
            container.ended = Some(now);
        }
    }
}

impl Object {
    /// Brings the shown status up to what is true; whether that changed it.
    fn show_truth(&mut self) -> bool {
        let (pod, truth) = (&mut self.shown.pod, &self.truth);
        let same = pod.phase == truth.phase && pod.containers == truth.containers && pod.ready == truth.ready;
        pod.phase = truth.phase;
        pod.containers.clone_from(&truth.containers);
        pod.ready = truth.ready;
        !same
    }
}
