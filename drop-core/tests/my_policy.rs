//! The example of the book's page on testing a policy, which shows all of it but these lines.
#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use drop_core::Engine;
use drop_core::memory::strategy::sighting;
use drop_core::memory::{Cluster, Records, Workload};
use drop_core::past::LocalMemory;
use drop_core::policy::{Policies, Source};
use falco_event::Alert;
use futures_executor::block_on;
use proptest::prelude::*;

/// The policy: yours is a file, `include_str!("policy.yaml")`.
const POLICY: &str = r#"
apiVersion: falco-drop.dev/v1alpha1
kind: DropPolicy
metadata:
  name: shells
spec:
  mode: enforce
  responses:
    - name: shell-in-container
      when: alert.rule = "Terminal shell in container"
      do:
        - delete: {}
  protect:
    namespaces: [payments]
"#;

fn policies() -> Policies {
    let source = Source {
        name: "policy.yaml",
        text: POLICY,
    };
    Policies::parse(&[source]).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// A cluster like yours, a minute old.
fn cluster() -> Cluster {
    let cluster = Cluster::new("2026-03-01T12:00:00Z".parse().unwrap());
    for (namespace, name) in [("shop", "web"), ("shop", "api"), ("payments", "ledger")] {
        let workload = Workload::deployment(namespace.parse().unwrap(), name.parse().unwrap());
        cluster.add_workload(workload.replicas(3));
    }
    cluster.advance(Duration::from_secs(60));
    cluster
}

/// The engine of drop-server, over that cluster.
fn engine(cluster: &Cluster) -> Engine {
    let cluster = Arc::new(cluster.clone());
    let memory = Arc::new(LocalMemory::new(cluster.clone()));
    Engine::new(cluster.clone(), memory, Arc::new(Records::default()), cluster)
}

proptest! {
    /// What Falco sees, in which pod, how often, and what it lies about: any of it.
    #[test]
    fn nothing_in_payments_is_touched_whatever_the_alerts(
        seen in prop::collection::vec((sighting(&["Terminal shell in container"]), 0..60_u64), 1..20),
    ) {
        let (cluster, policies) = (cluster(), policies());
        let engine = engine(&cluster);
        for (sighting, seconds) in seen {
            let alert = sighting.alert(&cluster).unwrap();
            block_on(engine.handle(&policies, &alert, None));
            cluster.advance(Duration::from_secs(seconds));
        }
        let touched = cluster.touched();
        prop_assert!(touched.iter().all(|pod| pod.namespace.as_str() != "payments"), "{touched:?}");
    }
}

/// A property that nothing can break says nothing: elsewhere the policy acts.
#[test]
fn a_shell_in_the_shop_is_dropped() {
    let (cluster, policies) = (cluster(), policies());
    let pod = cluster
        .pods()
        .into_iter()
        .find(|pod| pod.namespace.as_str() == "shop")
        .unwrap();
    let alert = format!(
        r#"{{"rule": "Terminal shell in container", "priority": "Notice", "source": "syscall", "time": "{}",
            "output_fields": {{"k8s.ns.name": "shop", "k8s.pod.name": "{}"}}}}"#,
        cluster.now(),
        pod.name,
    );
    let alert = Alert::from_slice(alert.as_bytes()).unwrap();
    let decided = block_on(engine(&cluster).handle(&policies, &alert, None));
    assert_eq!(decided.outcome.label(), "acted");
    assert_eq!(cluster.touched()[0].uid, pod.uid);
}
