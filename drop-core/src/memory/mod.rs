//! A cluster in memory, with Kubernetes' semantics: what the API server, the controllers and the kubelets do to pods.
//!
//! It is for tests and for trying a policy without a cluster. It is pure: no clock, no thread, no I/O. Time is data:
//! it stands still until [`Cluster::advance`]. What takes no time, which by default is everything, happens within the
//! call that causes it; [`Delays`] and [`Workload`] make starting, stopping, reporting and replacing take time.
//!
//! # Example
//! A Deployment replaces a pod that is deleted, and a late delete of the old pod cannot hit the new one:
//! ```
//! use std::time::Duration;
//!
//! use drop_core::memory::{Actor, Cluster, Workload};
//! use drop_core::ports::{ApiError, Change, PodApi, Target};
//!
//! # futures_executor::block_on(async {
//! let cluster = Cluster::new("2026-03-01T12:00:00Z".parse()?);
//! let shop: falco_event::Namespace = "shop".parse()?;
//! cluster.add_workload(Workload::deployment(shop.clone(), "web".parse()?).first_pod("web-6d4cf56db6-x2x9k".parse()?));
//!
//! let old = cluster.pods().remove(0);
//! assert_eq!(old.name.as_str(), "web-6d4cf56db6-x2x9k");
//! let delete = Change::Delete { grace_period_seconds: 1 };
//! let within = Duration::from_secs(1);
//! cluster.apply(&Target::of(&old), &delete, within).await?;
//!
//! let new = cluster.pods().remove(0);
//! assert!(new.name.as_str().starts_with("web-6d4cf56db6-"));
//! assert_ne!(new.uid, old.uid);
//!
//! let refused = cluster.apply(&Target::of(&old), &delete, within).await.unwrap_err();
//! assert_eq!(refused.why, ApiError::NotFound);
//! assert!(cluster.history().iter().all(|entry| entry.pod.uid == old.uid || entry.by != Actor::PodApi));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod agenda;
mod api;
mod cluster;
mod controller;
mod deletion;
mod eviction;
mod faults;
mod history;
mod host;
mod ids;
mod keeping;
mod kind;
mod kubelet;
mod others;
mod patch;
mod pods;
#[cfg(any(test, feature = "proptest1"))]
pub mod strategy;
#[cfg(test)]
mod tests;
mod view;
mod workload;
mod world;

pub use cluster::Cluster;
pub use eviction::Budget;
pub use faults::{Call, Fault};
pub use history::{Actor, Entry, Happened};
pub use host::Records;
pub use kind::{Kind, Stop};
pub use pods::PodObject;
pub use view::{BudgetStatus, Controller};
pub use workload::Workload;
pub use world::Delays;

/// `metadata.labels`, or annotations.
type Labels = std::collections::BTreeMap<String, String>;

/// Whether a selector of labels selects these. An empty one selects everything.
fn selects(selector: &Labels, labels: &Labels) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}
