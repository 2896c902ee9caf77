//! The conformance suite of `PodApi`, over HTTP.

use std::time::Duration;

use async_trait::async_trait;
use drop_core::memory::{self, Budget, Call, Cluster, Workload};
use drop_core::pod::Pod;
use drop_core::ports::{ApiError, PodApi};
use drop_core::testing::{Fixture, Verdict, cases, conformance};
use drop_kube::testing::{ApiServer, Fault, Verb};
use drop_kube::{Index, KubePods, Settings};
use falco_event::{Namespace, Timestamp};

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
        let mut pods = Fixture::pods(&self.cluster, namespace).await;
        for container in pods.iter_mut().flat_map(|pod| pod.containers.iter_mut()) {
            // The API's times have whole seconds.
            container.ended = container
                .ended
                .map(|ended| Timestamp::from_second(ended.as_second()).unwrap());
        }
        pods
    }

    async fn wait(&self) {
        self.cluster.wait().await;
        // A watch needs time of the real kind to tell.
        tokio::time::sleep(Duration::from_millis(1)).await;
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
        Call::Siblings | Call::Budgets => &[Verb::List],
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

async fn house(watched: bool) -> Http {
    let cluster = Cluster::new("2026-03-01T12:00:00Z".parse().unwrap());
    let server = ApiServer::start(cluster.clone()).await.unwrap();
    let mut settings = Settings::default();
    settings.pause = Duration::from_millis(1);
    let mut pods = KubePods::new(server.client().unwrap(), settings.clone());
    if watched {
        let index = Index::new(server.client().unwrap(), &settings);
        pods = pods.with_index(index.clone());
        tokio::spawn({
            let index = index.clone();
            async move { index.keep().await }
        });
        index.warm().await;
    }
    Http {
        cluster,
        server,
        pods,
    }
}

#[tokio::test]
async fn the_adapter_is_a_pod_api() {
    let report = conformance(&house(false).await).await;
    assert!(report.passed(), "{report}");
    assert_eq!(report.skipped(), ["a_request_that_was_not_sent_did_not_happen"]);
}

/// With an index finding does not fail: it needs no request.
#[tokio::test]
async fn the_adapter_with_an_index_is_a_pod_api() {
    let house = house(true).await;
    for case in cases()
        .into_iter()
        .filter(|case| case.name() != "a_find_that_fails_says_why")
    {
        let verdict = case.run(&house).await;
        let skipped = case.name() == "a_request_that_was_not_sent_did_not_happen";
        assert!(
            verdict == Verdict::Passed || skipped,
            "{}: {verdict:?}",
            case.name()
        );
    }
}
