//! The conformance suite of `PodApi`, on a real API server.

use std::sync::Arc;

use drop_core::testing::{Report, cases};
use drop_kube::Settings;
use futures_util::future::join_all;

use crate::fixture::Real;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs FALCO_DROP_TEST_KUBECONFIG"]
async fn the_adapter_is_a_pod_api_on_a_real_cluster() {
    passes(Real::connect("conformance").await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs FALCO_DROP_TEST_KUBECONFIG"]
async fn the_adapter_with_an_index_is_a_pod_api_on_a_real_cluster() {
    passes(Real::watched("watched", Settings::default()).await).await;
}

async fn passes(real: Real) {
    let real = Arc::new(real);
    let running = Arc::clone(&real);
    // On a task of its own, so that its namespaces are removed whatever becomes of it.
    let report = tokio::spawn(async move {
        let run = cases()
            .into_iter()
            .filter(|case| !case.makes_faults())
            .map(|case| {
                let real = Arc::clone(&running);
                async move { (case.name(), case.run(&*real).await) }
            });
        Report {
            verdicts: join_all(run).await,
        }
    });
    let report = report.await;
    real.remove_all().await;
    let report = report.unwrap();
    assert!(report.passed(), "{report}");
    assert_eq!(report.skipped(), Vec::<&str>::new());
}
