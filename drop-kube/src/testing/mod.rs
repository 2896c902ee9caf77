//! A fake API server over real HTTP, in front of a cluster in memory: for tests of this crate, and of programs that
//! use it.
//!
//! It speaks as much of the Kubernetes API as `drop-kube` uses, with the API server's own status bodies, and has
//! switches for what goes wrong on the way. What happens to pods is [`drop_core::memory::Cluster`]'s business.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! use drop_core::memory::{Cluster, Workload};
//! use drop_core::ports::{By, PodApi};
//! use drop_kube::testing::{ApiServer, Fault, Verb};
//! use drop_kube::{KubePods, Settings};
//!
//! let cluster = Cluster::new("2026-03-01T12:00:00Z".parse()?);
//! cluster.add_workload(Workload::deployment("shop".parse()?, "web".parse()?));
//! let server = ApiServer::start(cluster.clone()).await?;
//! let pods = KubePods::new(server.client()?, Settings::default());
//!
//! server.fail_next(Verb::Get, Fault::status(503));
//! let pod = cluster.pods().remove(0);
//! let found = pods.find(&By::Name(pod.namespace.clone(), pod.name.clone())).await?;
//! assert_eq!(found.pods, [pod]);
//! assert_eq!(server.requests().len(), 2, "the first was answered with 503");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod answer;
mod changes;
mod fault;
mod objects;
mod reply;
mod route;
mod server;
mod stream;

pub use fault::{Fault, Verb};
pub use server::{ApiServer, Received};

/// A pod as the API sends it, read as the adapter reads it: for a test that asks an API server by itself.
///
/// # Errors
/// It is no pod, or has no whole identity.
pub fn read_pod(sent: serde_json::Value) -> Result<drop_core::pod::Pod, String> {
    let sent = serde_json::from_value(sent).map_err(|error| error.to_string())?;
    crate::convert::pod(sent).map_err(|odd| odd.to_string())
}
