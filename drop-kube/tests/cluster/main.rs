//! The adapter on a real API server.
//!
//! Each test reads the kubeconfig that `FALCO_DROP_TEST_KUBECONFIG` names, which must have all rights, and works in
//! namespaces of its own that it removes. `KUBECONFIG` is never read: it names an operator's cluster.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "functions beside the tests fail as tests do"
)]

mod conformance;
mod engine;
mod fixture;
mod manifest;
mod owners;
mod pods;
mod proxy;
mod rights;
mod scene;
mod storm;
