//! The adapter over real HTTP, against the fake API server in front of a cluster in memory.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "functions beside the tests fail as tests do"
)]

mod access;
mod changes;
mod conformance;
mod events;
mod facts;
mod faults;
mod finding;
mod index;
mod matrix;

use std::time::Duration;

use drop_core::memory::{Cluster, Workload};
use drop_core::pod::Pod;
use drop_core::ports::{ApiError, Found, Target, Way};
use drop_kube::testing::{ApiServer, Received};
use drop_kube::{KubePods, Settings};
use falco_event::{Namespace, Timestamp};

/// Long enough for every try on loopback.
const WITHIN: Duration = Duration::from_secs(10);

/// A cluster with a Deployment `web` of two pods in `shop`, its API server, and the adapter in front of it.
struct House {
    cluster: Cluster,
    server: ApiServer,
    pods: KubePods,
}

type Answer = Result<Found, ApiError>;

fn read(pods: Vec<Pod>) -> Answer {
    let way = Way::Read;
    Ok(Found { pods, way })
}

fn listed(pods: Vec<Pod>) -> Answer {
    let way = Way::List;
    Ok(Found { pods, way })
}

fn indexed(pods: Vec<Pod>) -> Answer {
    let way = Way::Index;
    Ok(Found { pods, way })
}

impl House {
    async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    async fn with(settings: Settings) -> Self {
        Self::at("2026-03-01T12:00:00Z".parse().unwrap(), settings).await
    }

    async fn at(time: Timestamp, mut settings: Settings) -> Self {
        settings.pause = Duration::from_millis(1);
        let cluster = Cluster::new(time);
        cluster.add_namespace(&shop(), &[("tier", "front")]);
        cluster.add_workload(Workload::deployment(shop(), "web".parse().unwrap()).replicas(2));
        let server = ApiServer::start(cluster.clone()).await.unwrap();
        let pods = KubePods::new(server.client().unwrap(), settings);
        Self {
            cluster,
            server,
            pods,
        }
    }

    fn pod(&self) -> Pod {
        self.cluster.pods().remove(0)
    }

    fn target(&self) -> Target {
        Target::of(&self.pod())
    }

    /// The method and path of each request so far.
    fn asked(&self) -> Vec<String> {
        self.server
            .requests()
            .iter()
            .map(|request| format!("{} {}", request.method, request.path))
            .collect()
    }

    fn last(&self) -> Received {
        self.server.requests().pop().unwrap()
    }
}

fn shop() -> Namespace {
    "shop".parse().unwrap()
}
