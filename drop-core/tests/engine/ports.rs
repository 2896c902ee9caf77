//! Ports that do not do what they should: what is not certain is not acted on.

use std::sync::Arc;
use std::time::Duration;

use drop_core::facts::{Facts, Wants};
use drop_core::guard::Guard;
use drop_core::memory::Cluster;
use drop_core::outcome::Outcome;
use drop_core::pod::Pod;
use drop_core::ports::{ApiError, ApplyError, By, Change, Found, PodApi, Presence, Target};

use crate::world::{SHELL, World, policies};

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// The facts are those of another pod.
    OtherPod,
    /// None of the wanted facts is read.
    ReadsNothing,
    /// No pod is an error.
    NotFound,
    /// The question is refused. To ask again costs nothing, and a person may mend it meanwhile.
    Invalid,
}

struct Faulty(Cluster, Fault);

#[async_trait::async_trait]
impl PodApi for Faulty {
    async fn find(&self, by: &By) -> Result<Found, ApiError> {
        match self.1 {
            Fault::NotFound => Err(ApiError::NotFound),
            Fault::Invalid => Err(ApiError::Invalid("no such question".to_owned())),
            Fault::OtherPod | Fault::ReadsNothing => self.0.find(by).await,
        }
    }
    async fn facts(&self, mut pod: Pod, wants: Wants) -> Facts {
        if matches!(self.1, Fault::ReadsNothing) {
            return Facts::of(pod);
        }
        pod.uid = "another".parse().unwrap();
        self.0.facts(pod, wants).await
    }
    async fn apply(&self, _: &Target, _: &Change, _: Duration) -> Result<(), ApplyError> {
        panic!("nothing is to be changed")
    }
    async fn presence(&self, target: &Target) -> Result<Presence, ApiError> {
        self.0.presence(target).await
    }
}

#[test]
fn what_a_port_gets_wrong_changes_nothing() {
    let outcome = |fault| {
        let world = World::new();
        let engine = world.engine_over(Arc::new(Faulty(world.cluster.clone(), fault)));
        let alert = world.alert(&world.pod());
        futures_executor::block_on(engine.handle(&policies(SHELL), &alert, None)).outcome
    };
    for fault in [Fault::OtherPod, Fault::Invalid] {
        let failed = outcome(fault);
        let again = matches!(failed, Outcome::Failed { retryable: true, .. });
        assert!(again, "{fault:?}: {failed:?}");
    }
    for (fault, by, again) in [
        (Fault::ReadsNothing, Guard::Facts, true),
        (Fault::NotFound, Guard::Target, false),
    ] {
        let skipped = outcome(fault);
        let is_so = matches!(&skipped, Outcome::Skipped { guard, retryable, .. } if *guard == by && *retryable == again);
        assert!(is_so, "{fault:?}: {skipped:?}");
    }
}
