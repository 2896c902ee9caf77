//! The cluster in memory as a fixture.

use std::time::Duration;

use async_trait::async_trait;
use falco_event::Namespace;

use super::Fixture;
use crate::memory::{Budget, Call, Cluster, Fault, Workload};
use crate::pod::Pod;
use crate::ports::PodApi;

/// For itself; for a fake API server in front of it, everything but [`api`](Fixture::api) and [`fail`](Fixture::fail).
#[async_trait]
impl Fixture for Cluster {
    fn api(&self) -> &dyn PodApi {
        self
    }

    async fn namespace(&self, labels: &[(&str, &str)]) -> Namespace {
        let taken = self.namespaces();
        let free = (0_u64..).filter_map(|number| Namespace::try_from(format!("conformance-{number}")).ok());
        let namespace = free.into_iter().find(|namespace| !taken.contains_key(namespace));
        #[expect(
            clippy::expect_used,
            reason = "a cluster in memory has fewer namespaces than there are numbers"
        )]
        let namespace = namespace.expect("a number is free");
        self.add_namespace(&namespace, labels);
        namespace
    }

    async fn create(&self, workload: Workload) {
        self.add_workload(workload);
    }

    async fn budget(&self, budget: Budget) {
        self.add_budget(budget);
    }

    async fn pods(&self, namespace: &Namespace) -> Vec<Pod> {
        let mut pods = Self::pods(self);
        pods.retain(|pod| pod.namespace == *namespace);
        pods
    }

    async fn wait(&self) {
        self.advance(Duration::from_millis(50));
    }

    async fn done(&self, namespace: &Namespace) {
        for pod in Fixture::pods(self, namespace).await {
            // It may have gone since.
            let _ = self.delete(namespace, &pod.name, Some(&pod.uid), Some(0));
        }
    }

    async fn restart_container(&self, pod: &Pod, container: &str) -> bool {
        Self::restart_container(self, &pod.uid, container).is_ok()
    }

    async fn fail(&self, call: Call, fault: Fault) -> bool {
        Self::fail(self, call, fault);
        true
    }

    async fn heal(&self) {
        Self::heal(self);
    }
}
