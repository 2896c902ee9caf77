//! What the suite runs on.

use std::time::Duration;

use async_trait::async_trait;
use falco_event::Namespace;

use crate::memory::{Budget, Call, Fault, Workload};
use crate::pod::Pod;
use crate::ports::PodApi;

/// A cluster with the implementation under test, and the means to make something of it.
///
/// A fixture that cannot do what it is asked may panic: that is a broken test, not a failed case.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// The implementation under test.
    fn api(&self) -> &dyn PodApi;

    /// Makes a namespace that nothing else uses, with these labels, and returns when pods can be made in it.
    async fn namespace(&self, labels: &[(&str, &str)]) -> Namespace;

    /// Asks for a workload; its pods may come later. The suite makes bare pods, `Deployment`s and `StatefulSet`s, with
    /// their replicas, labels, annotations and [`ignores_sigterm`](Workload::ignores_sigterm). An implementation that
    /// keeps only some annotations keeps `example.org/note`.
    async fn create(&self, workload: Workload);

    /// Makes a PodDisruptionBudget, and returns when the cluster counts by it.
    async fn budget(&self, budget: Budget);

    /// The pods of a namespace as the cluster has them: not through the implementation under test.
    async fn pods(&self, namespace: &Namespace) -> Vec<Pod>;

    /// Lets some 50 ms pass in the cluster. The suite waits so 1,200 times before it gives up.
    async fn wait(&self);

    /// A case is done with its namespace. Pods that terminate slowly may be left in it; they can be removed by force.
    async fn done(&self, _namespace: &Namespace) {}

    /// How long a change may take.
    fn within(&self) -> Duration {
        Duration::from_secs(10)
    }

    /// Ends a container so that it runs again under another id. Returns false where it cannot.
    async fn restart_container(&self, _pod: &Pod, _container: &str) -> bool {
        false
    }

    /// Makes every such request fail in this way until [`heal`](Self::heal). Returns false where it cannot.
    async fn fail(&self, _call: Call, _fault: Fault) -> bool {
        false
    }

    /// Lets requests through again.
    async fn heal(&self) {}
}
