//! `PodApi` over kube-rs: the adapter between `drop-core` and a Kubernetes API server.
//!
//! [`KubePods`] is the adapter, [`connect()`] makes the client it wants. It decides nothing about pods: it finds
//! them, reads facts, makes one change to exactly one pod, and says truthfully what is known about the end of it.
//!
//! ```text
//!  find ──▶ the index; or by name one GET, by container id or UID one shared list (the API server cannot
//!                                   select by these), of one node where that is known
//!  facts ─▶ GETs of metadata        namespace, controllers up to the top; lists of the owner's pods and of disruption
//!                                   budgets where they are wanted
//!  apply ─▶ DELETE, POST eviction, PATCH      pinned to the UID in the request's own body
//!                 │
//!                 └─ at most 32 in flight, a deadline each, at most 3 tries ─▶ `ApiError`, and whether it may have happened
//! ```
//!
//! Beside the port: [`Index`] keeps the pods of a [`Reach`] in memory by watches and wakes who waits for one to go; [`Events`] tells
//! people in the cluster what was done; [`rights`] says what a policy needs of the API server, [`rbac`] prints it and
//! [`KubePods::missing`] asks for it. With the feature `testing`, `testing::ApiServer` is a fake API server.
//!
//! A program that uses this crate names one `v1_3x` feature of `k8s-openapi` itself, as any program on kube-rs does
//! (`k8s-openapi = { version = "0.29", features = ["v1_33"] }`): the oldest server it has to work with. To check this
//! crate alone, without its tests, set `K8S_OPENAPI_ENABLED_VERSION=1.33`.

#![forbid(unsafe_code)]

mod access;
mod budgets;
mod caller;
mod change;
mod connect;
mod convert;
mod event;
mod events;
mod facts;
mod index;
mod items;
mod lines;
mod listing;
mod packed;
mod pages;
mod pods;
mod rbac;
mod reach;
mod refusals;
mod request;
mod rights;
mod scope;
mod selector;
mod siblings;
mod status;
mod store;
#[cfg(feature = "testing")]
pub mod testing;
mod touched;
mod watch;
mod wire;
mod workload;

pub use connect::{Connect, ConnectError, connect, connect_for_watches};
pub use events::Events;
pub use index::{Hold, Index};
/// What the adapter speaks to the API server with.
pub use kube::Client;
pub use pods::{KubePods, Settings};
pub use rbac::{Account, rbac};
pub use reach::Reach;
pub use rights::{Right, Uses, rights};
