//! The conformance suite of `PodApi`, over HTTP.

use async_trait::async_trait;
use drop_core::memory::{self, Budget, Call, Cluster, Workload};
use drop_core::pod::Pod;
use drop_core::ports::{ApiError, PodApi};
use drop_core::testing::{Fixture, conformance};
use drop_kube::testing::{ApiServer, Fault, Verb};
use drop_kube::{KubePods, Settings};
use falco_event::Namespace;

struct Http {
    cluster: Cluster,
    server: ApiServer,
    pods: KubePods,
}

#[async_trait]
impl Fixture for Http {
    fn api(&self) -> &dyn PodApi {
        &self.pods
    }

    async fn namespace(&self, labels: &[(&str, &str)]) -> Namespace {
        self.cluster.namespace(labels).await
    }

    async fn create(&self, workload: Workload) {
        self.cluster.create(workload).await;
    }

    async fn budget(&self, budget: Budget) {
        self.cluster.budget(budget).await;
    }

    async fn pods(&self, namespace: &Namespace) -> Vec<Pod> {
        Fixture::pods(&self.cluster, namespace).await
    }

    async fn wait(&self) {
        self.cluster.wait().await;
    }

    async fn done(&self, namespace: &Namespace) {
        self.cluster.done(namespace).await;
    }

    async fn restart_container(&self, pod: &Pod, container: &str) -> bool {
        Fixture::restart_container(&self.cluster, pod, container).await
    }

    async fn fail(&self, call: Call, fault: memory::Fault) -> bool {
        let Some(fault) = on_the_wire(&fault) else {
            return false;
        };
        for verb in verbs(call) {
            self.server.fail(*verb, fault.clone());
        }
        true
    }

    async fn heal(&self) {
        self.server.heal();
    }
}

fn verbs(call: Call) -> &'static [Verb] {
    match call {
        Call::Find => &[Verb::Get, Verb::List],
        Call::Namespace | Call::Owner | Call::Presence => &[Verb::Get],
        Call::Siblings => &[Verb::List],
        Call::Delete => &[Verb::Delete],
        Call::Evict => &[Verb::Evict],
        Call::Patch => &[Verb::Patch],
    }
}

/// A server cannot keep a request from being sent, nor take it up after its client has gone.
fn on_the_wire(fault: &memory::Fault) -> Option<Fault> {
    match fault {
        memory::Fault::Answer(error) => status(error).map(Fault::status),
        memory::Fault::RequestLost => Some(Fault::Close),
        memory::Fault::AnswerLost => Some(Fault::CloseAfter),
        memory::Fault::NeverSent | memory::Fault::Late(_) | _ => None,
    }
}

fn status(error: &ApiError) -> Option<u16> {
    Some(match error {
        ApiError::Conflict(_) => 409,
        ApiError::Invalid(_) => 422,
        ApiError::Forbidden(_) => 403,
        ApiError::TooManyRequests(_) => 429,
        ApiError::Unavailable(_) => 503,
        ApiError::NotFound | ApiError::Budget(_) | ApiError::TimedOut(_) | _ => return None,
    })
}

#[tokio::test]
async fn the_adapter_is_a_pod_api() {
    let cluster = Cluster::new("2026-03-01T12:00:00Z".parse().unwrap());
    let server = ApiServer::start(cluster.clone()).await.unwrap();
    let mut settings = Settings::default();
    settings.pause = std::time::Duration::from_millis(1);
    let pods = KubePods::new(server.client().unwrap(), settings);
    let report = conformance(&Http {
        cluster,
        server,
        pods,
    })
    .await;
    assert!(report.passed(), "{report}");
    assert_eq!(report.skipped(), ["a_request_that_was_not_sent_did_not_happen"]);
}
