//! Requests that change a pod.

use std::collections::BTreeMap;
use std::time::Duration;

use drop_core::memory::Cluster;
use drop_core::ports::{ApiError, ApplyError, Change, PodApi, Target};
use falco_event::{Namespace, PodName, PodUid};
use serde_json::{Value, json};

use super::Verb;
use super::objects;
use super::reply::Reply;

/// Long enough for a cluster that answers at once.
const WITHIN: Duration = Duration::from_secs(60);

/// What became of a change.
pub(super) enum Changed {
    Answered(Reply),
    /// The cluster in memory was told to lose its answer.
    Unanswered,
}

/// A pod by its path.
pub(super) struct Named<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) namespace: &'a Namespace,
    pub(super) name: &'a PodName,
}

impl Named<'_> {
    pub(super) async fn change(&self, verb: Verb, body: &Value) -> Changed {
        match verb {
            Verb::Delete => self.delete(body).await,
            Verb::Evict => {
                self.evict(body.get("deleteOptions").unwrap_or(&Value::Null))
                    .await
            }
            Verb::Patch => self.patch(body).await,
            Verb::Get | Verb::List | Verb::Watch | Verb::Create => Changed::Answered(Reply::no_path()),
        }
    }

    async fn delete(&self, options: &Value) -> Changed {
        let grace = grace(options);
        match uid(options.get("preconditions")) {
            None => self.answer(self.cluster.delete(self.namespace, self.name, None, grace)),
            Some(uid) => {
                let grace_period_seconds = grace.unwrap_or_else(|| self.own_grace());
                self.apply(uid, Change::Delete { grace_period_seconds }).await
            }
        }
    }

    async fn evict(&self, options: &Value) -> Changed {
        let grace = grace(options);
        let changed = match uid(options.get("preconditions")) {
            None => self.answer(self.cluster.evict(self.namespace, self.name, None, grace)),
            Some(uid) => {
                let grace_period_seconds = grace.unwrap_or_else(|| self.own_grace());
                self.apply(uid, Change::Evict { grace_period_seconds }).await
            }
        };
        match changed {
            Changed::Answered(Reply { status: 200, .. }) => Changed::Answered(Reply::created(
                json!({ "kind": "Status", "status": "Success", "code": 201 }),
            )),
            refused @ (Changed::Answered(_) | Changed::Unanswered) => refused,
        }
    }

    async fn patch(&self, patch: &Value) -> Changed {
        let uid = uid(patch.get("metadata"));
        let edits = |what: &str| edits(patch.pointer(&format!("/metadata/{what}")));
        for (change, edits) in [
            (Change::Label as fn(_) -> _, edits("labels")),
            (Change::Annotate, edits("annotations")),
        ] {
            let Some(edits) = edits else { continue };
            let uid = uid
                .clone()
                .or_else(|| self.cluster.pod(self.namespace, self.name).map(|pod| pod.uid));
            let Some(uid) = uid else {
                return self.answer(Err(ApiError::NotFound));
            };
            match self.apply(uid, change(edits)).await {
                Changed::Answered(Reply { status: 200, .. }) => {}
                Changed::Answered(Reply { status: 409, .. }) => {
                    return Changed::Answered(Reply::immutable_uid(self.name.as_str()));
                }
                refused @ (Changed::Answered(_) | Changed::Unanswered) => return refused,
            }
        }
        self.answer(Ok(()))
    }

    async fn apply(&self, uid: PodUid, change: Change) -> Changed {
        let target = Target::new(self.namespace.clone(), self.name.clone(), uid);
        match self.cluster.apply(&target, &change, WITHIN).await {
            Ok(()) => self.answer(Ok(())),
            Err(ApplyError {
                maybe_happened: true, ..
            }) => Changed::Unanswered,
            Err(ApplyError { why, .. }) => self.answer(Err(why)),
        }
    }

    fn answer(&self, done: Result<(), ApiError>) -> Changed {
        Changed::Answered(match done {
            Ok(()) => Reply::ok(self.shown()),
            Err(why) => Reply::refused(&why, self.name.as_str()),
        })
    }

    /// The pod as it is now, or what is said of one that is gone at once.
    fn shown(&self) -> Value {
        let is_it = |object: &&drop_core::memory::PodObject| {
            object.pod.namespace == *self.namespace && object.pod.name == *self.name
        };
        let gone = || json!({ "kind": "Status", "status": "Success" });
        self.cluster
            .pod_objects()
            .iter()
            .find(is_it)
            .map_or_else(gone, objects::pod)
    }

    fn own_grace(&self) -> u32 {
        let objects = self.cluster.pod_objects();
        let own = objects
            .iter()
            .find(|o| o.pod.namespace == *self.namespace && o.pod.name == *self.name);
        own.map_or(30, |object| object.grace_seconds)
    }
}

fn grace(options: &Value) -> Option<u32> {
    options
        .get("gracePeriodSeconds")
        .and_then(Value::as_u64)
        .and_then(|seconds| u32::try_from(seconds).ok())
}

/// A UID that is no UID is none that a pod has.
fn uid(holder: Option<&Value>) -> Option<PodUid> {
    let text = holder?.get("uid")?.as_str()?;
    PodUid::try_from(text)
        .or_else(|_| PodUid::try_from("no-such-uid"))
        .ok()
}

fn edits(pairs: Option<&Value>) -> Option<BTreeMap<String, Option<String>>> {
    let pairs = pairs?.as_object()?;
    Some(
        pairs
            .iter()
            .map(|(key, value)| (key.clone(), value.as_str().map(ToOwned::to_owned)))
            .collect(),
    )
}
