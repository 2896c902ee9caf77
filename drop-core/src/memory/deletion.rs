//! What a DELETE of a pod does: the rules of the API server (`rest.BeforeDelete`, `podStrategy.CheckGracefulDelete`).

use falco_event::{Namespace, PodName, PodUid, Timestamp};

use super::agenda::shifted;
use super::history::{Actor, Happened};
use super::pods::Object;
use super::world::World;
use crate::pod::Deletion;
use crate::ports::ApiError;

/// What a request makes of a pod's deletion.
enum Step {
    /// It is already being deleted, and not sooner by this request.
    Nothing,
    /// It is to be deleted.
    Requested(Deletion),
    /// Its grace period becomes shorter.
    Shortened(Deletion),
}

impl World {
    /// A DELETE; without a grace period the pod's own.
    pub(super) fn delete(
        &mut self,
        by: Actor,
        namespace: &Namespace,
        name: &PodName,
        uid: Option<&PodUid>,
        grace_seconds: Option<u32>,
    ) -> Result<(), ApiError> {
        let now = self.now;
        let object = self.pods.get_mut(namespace, name).ok_or(ApiError::NotFound)?;
        object.check_uid(uid)?;
        let (target, step) = (object.target(), object.deletion_step(now, grace_seconds));
        let (deletion, what) = match step {
            Step::Nothing => return Ok(()),
            Step::Requested(d) => (
                d,
                Happened::DeletionRequested {
                    grace_seconds: d.grace_seconds,
                },
            ),
            Step::Shortened(d) => (
                d,
                Happened::DeletionShortened {
                    grace_seconds: d.grace_seconds,
                },
            ),
        };
        object.shown.pod.deletion = Some(deletion);
        let stays = deletion.grace_seconds > 0 || !object.shown.finalizers.is_empty();
        self.note(by, target.clone(), what);
        if stays {
            self.terminate(&target.uid, deletion.grace_seconds);
            self.wake(&target.uid);
        } else {
            self.remove(by, &target.uid);
        }
        Ok(())
    }

    /// Takes the finalizers away; what waited only for them goes.
    pub(super) fn unfinalize(&mut self, uid: &PodUid) -> Result<(), ApiError> {
        let object = self.pods.by_uid_mut(uid).ok_or(ApiError::NotFound)?;
        let had = !std::mem::take(&mut object.shown.finalizers).is_empty();
        let due = object
            .shown
            .pod
            .deletion
            .is_some_and(|deletion| deletion.grace_seconds == 0);
        let target = object.target();
        if had {
            self.note(Actor::Person, target, Happened::Unfinalized);
        }
        if due {
            self.remove(Actor::Person, uid);
        }
        Ok(())
    }
}

impl Object {
    fn deletion_step(&self, now: Timestamp, asked: Option<u32>) -> Step {
        match self.shown.pod.deletion {
            None => {
                let grace_seconds = self.grace(asked);
                Step::Requested(Deletion {
                    at: shifted(now, i64::from(grace_seconds)),
                    grace_seconds,
                })
            }
            Some(before) => match asked {
                Some(grace_seconds) if grace_seconds < before.grace_seconds => {
                    let sooner = i64::from(grace_seconds) - i64::from(before.grace_seconds);
                    Step::Shortened(Deletion {
                        at: shifted(before.at, sooner),
                        grace_seconds,
                    })
                }
                Some(_) | None => Step::Nothing,
            },
        }
    }

    /// A pod that no node has taken, or that has finished, needs no grace.
    fn grace(&self, asked: Option<u32>) -> u32 {
        let pod = &self.shown.pod;
        let idle = pod.node.is_none() || pod.phase.is_finished();
        if idle {
            0
        } else {
            asked.unwrap_or(self.shown.grace_seconds)
        }
    }
}
