//! What the cases are written with: a namespace of their own, and waiting for what has to come.

use std::collections::BTreeMap;
use std::fmt::Debug;

use falco_event::{Namespace, PodName, PodUid};

use super::fixture::Fixture;
use super::{Ran, Stopped};
use crate::facts::{Facts, Wants};
use crate::memory::Workload;
use crate::pod::{Phase, Pod};
use crate::ports::{ApiError, ApplyError, By, Change, Presence, Target};

/// How often a case waits for one thing.
const PATIENCE: u32 = 1_200;

/// The name that every workload of the suite has.
pub(super) const NAME: &str = "app";

/// A grace period that does not end while a case looks.
pub(super) const LONG: u32 = 300;

/// A case's own namespace on a fixture.
pub(super) struct Stage<'a> {
    pub(super) fixture: &'a dyn Fixture,
    pub(super) namespace: Namespace,
}

pub(super) fn failed<T>(why: impl Into<String>) -> Result<T, Stopped> {
    Err(Stopped::Failed(why.into()))
}

/// Fails with both sides unless they are equal.
pub(super) fn equal<T: PartialEq + Debug>(what: &str, is: &T, expected: &T) -> Ran {
    if is == expected {
        Ok(())
    } else {
        failed(format!("{what} is {is:?}, expected {expected:?}"))
    }
}

/// Fails unless the change failed for a reason of this kind and certainly was not made.
pub(super) fn refused(what: &str, answer: Result<(), ApplyError>, expected: &ApiError) -> Ran {
    let error = match answer {
        Ok(()) => return failed(format!("{what} was done, expected `{expected}`")),
        Err(error) => error,
    };
    if std::mem::discriminant(&error.why) != std::mem::discriminant(expected) {
        return failed(format!("{what} failed with `{error}`, expected `{expected}`"));
    }
    equal(
        &format!("`maybe_happened` of {what}"),
        &error.maybe_happened,
        &false,
    )
}

pub(super) fn conflict() -> ApiError {
    ApiError::Conflict("another UID".to_owned())
}

/// A mark for a name that the suite spells out.
pub(super) fn name(text: &str) -> Result<PodName, Stopped> {
    PodName::try_from(text).or_else(|error| failed(error.to_string()))
}

/// A UID that no pod has.
pub(super) fn nobody() -> Result<PodUid, Stopped> {
    PodUid::try_from("00000000-0000-4000-8000-000000000000").or_else(|error| failed(error.to_string()))
}

pub(super) fn delete(grace_period_seconds: u32) -> Change {
    Change::Delete { grace_period_seconds }
}

pub(super) fn edit(key: &str, value: Option<&str>) -> BTreeMap<String, Option<String>> {
    BTreeMap::from([(key.to_owned(), value.map(str::to_owned))])
}

impl<'a> Stage<'a> {
    pub(super) async fn new(fixture: &'a dyn Fixture) -> Self {
        let namespace = fixture
            .namespace(&[("falco-drop.dev/suite", "conformance")])
            .await;
        Self { fixture, namespace }
    }

    pub(super) fn bare(&self) -> Result<Workload, Stopped> {
        Ok(Workload::pod(self.namespace.clone(), name(NAME)?).label("app", NAME))
    }

    pub(super) fn deployment(&self) -> Result<Workload, Stopped> {
        Ok(Workload::deployment(self.namespace.clone(), name(NAME)?))
    }

    pub(super) fn stateful_set(&self) -> Result<Workload, Stopped> {
        Ok(Workload::stateful_set(self.namespace.clone(), name(NAME)?))
    }

    /// Makes a workload, and waits until its pods run and the implementation under test knows it.
    pub(super) async fn run(&self, workload: Workload) -> Result<Vec<Pod>, Stopped> {
        let wanted = usize::try_from(workload.wanted()).unwrap_or(usize::MAX);
        self.fixture.create(workload).await;
        let pods = self
            .until_pods("all pods run", |pods| running(pods, wanted))
            .await?;
        for pod in &pods {
            self.until_known(pod).await?;
        }
        Ok(pods)
    }

    /// Makes a workload of one pod.
    pub(super) async fn run_one(&self, workload: Workload) -> Result<Pod, Stopped> {
        let pods = self.run(workload).await?;
        pods.into_iter()
            .next()
            .map_or_else(|| failed("the workload has no pod"), Ok)
    }

    /// A bare pod that runs and, once deleted, stays for its whole grace period.
    pub(super) async fn lingering(&self) -> Result<Pod, Stopped> {
        self.run_one(self.bare()?.ignores_sigterm()).await
    }

    /// Such a pod, being deleted with a long grace period.
    pub(super) async fn terminating(&self) -> Result<Pod, Stopped> {
        let pod = self.lingering().await?;
        self.make(&pod, &delete(LONG)).await?;
        self.until(&pod, "is terminating", |pod| pod.deletion.is_some())
            .await
    }

    pub(super) async fn apply(&self, pod: &Pod, change: &Change) -> Result<(), ApplyError> {
        self.fixture
            .api()
            .apply(&Target::of(pod), change, self.fixture.within())
            .await
    }

    /// Makes a change that has to succeed.
    pub(super) async fn make(&self, pod: &Pod, change: &Change) -> Ran {
        let done = self.apply(pod, change).await;
        done.or_else(|error| failed(format!("{change:?} of `{}` failed: {error}", pod.name)))
    }

    /// What the cluster says of this pod now.
    pub(super) async fn now(&self, pod: &Pod) -> Option<Pod> {
        let pods = self.fixture.pods(&self.namespace).await;
        pods.into_iter().find(|other| other.uid == pod.uid)
    }

    /// Fails unless the pod is as it was.
    pub(super) async fn is_untouched(&self, pod: &Pod) -> Ran {
        let Some(now) = self.now(pod).await else {
            return failed(format!("pod `{}` is gone", pod.name));
        };
        equal("its deletion", &now.deletion, &pod.deletion)?;
        equal("its labels", &now.labels, &pod.labels)?;
        equal("its annotations", &now.annotations, &pod.annotations)
    }

    pub(super) async fn find(&self, by: &By) -> Result<Vec<Pod>, Stopped> {
        let found = self.fixture.api().find(by).await;
        let found = found.or_else(|error| failed(format!("finding by {by:?} failed: {error}")))?;
        Ok(found.pods)
    }

    pub(super) async fn presence(&self, pod: &Pod) -> Result<Presence, Stopped> {
        let presence = self.fixture.api().presence(&Target::of(pod)).await;
        presence.or_else(|error| failed(format!("presence of `{}` failed: {error}", pod.name)))
    }

    /// Waits until what the cluster's pods are has something to give.
    pub(super) async fn until_pods<T>(
        &self,
        what: &str,
        look: impl Fn(&[Pod]) -> Option<T> + Send + Sync,
    ) -> Result<T, Stopped>
    where
        T: Send,
    {
        for _ in 0..PATIENCE {
            if let Some(found) = look(&self.fixture.pods(&self.namespace).await) {
                return Ok(found);
            }
            self.fixture.wait().await;
        }
        failed(format!("waited in vain until {what}"))
    }

    /// Waits until the cluster says this of a pod.
    pub(super) async fn until(
        &self,
        pod: &Pod,
        what: &str,
        is: impl Fn(&Pod) -> bool + Send + Sync,
    ) -> Result<Pod, Stopped> {
        let look = |pods: &[Pod]| {
            pods.iter()
                .find(|other| other.uid == pod.uid && is(other))
                .cloned()
        };
        self.until_pods(&format!("pod `{}` {what}", pod.name), look).await
    }

    pub(super) async fn until_gone(&self, pod: &Pod) -> Ran {
        let look = |pods: &[Pod]| pods.iter().all(|other| other.uid != pod.uid).then_some(());
        self.until_pods(&format!("pod `{}` is gone", pod.name), look)
            .await
    }

    /// Waits until the cluster under test knows that a pod is gone: a watch may be a moment behind.
    pub(super) async fn until_known_gone(&self, pod: &Pod) -> Ran {
        self.until_gone(pod).await?;
        for _ in 0..PATIENCE {
            if self.presence(pod).await? == Presence::Gone {
                return Ok(());
            }
            self.fixture.wait().await;
        }
        failed(format!(
            "waited in vain until it is known that pod `{}` is gone",
            pod.name
        ))
    }

    /// Waits until a mark finds what it has to: a watch may be a moment behind.
    pub(super) async fn until_found(
        &self,
        by: &By,
        what: &str,
        are: impl Fn(&[Pod]) -> bool + Send + Sync,
    ) -> Result<Vec<Pod>, Stopped> {
        for _ in 0..PATIENCE {
            let found = self.find(by).await?;
            if are(&found) {
                return Ok(found);
            }
            self.fixture.wait().await;
        }
        failed(format!("waited in vain until {by:?} finds {what}"))
    }

    /// Waits until the implementation under test has seen a pod run.
    async fn until_known(&self, pod: &Pod) -> Ran {
        let by = By::Uid(pod.uid.clone());
        let known = |found: &[Pod]| found.iter().any(|found| found.phase == Phase::Running);
        self.until_found(&by, "a running pod", known).await.map(|_| ())
    }

    /// Waits until the facts are as they have to be.
    pub(super) async fn until_facts(
        &self,
        pod: &Pod,
        wants: Wants,
        are: impl Fn(&Facts) -> bool + Send + Sync,
    ) -> Result<Facts, Stopped> {
        let mut facts = self.fixture.api().facts(pod.clone(), wants.clone()).await;
        for _ in 0..PATIENCE {
            if are(&facts) {
                return Ok(facts);
            }
            self.fixture.wait().await;
            facts = self.fixture.api().facts(pod.clone(), wants.clone()).await;
        }
        failed(format!("facts stay {facts:?}"))
    }
}

fn running(pods: &[Pod], wanted: usize) -> Option<Vec<Pod>> {
    let running =
        |pod: &&Pod| pod.phase == Phase::Running && !pod.containers.is_empty() && pod.deletion.is_none();
    let pods: Vec<Pod> = pods.iter().filter(running).cloned().collect();
    (pods.len() == wanted).then_some(pods)
}
