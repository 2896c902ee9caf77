//! The manifests on a real API server: it takes them as they are, the account can do what it should and no more, and
//! protected namespaces are out of its reach whatever the policy says.
//!
//! Needs `FALCO_DROP_TEST_KUBECONFIG`, a kubeconfig with all rights on a cluster for tests, of Kubernetes 1.30 or later.
//! Each test works in namespaces of its own, gives what is cluster-wide names of its own, and removes all of it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "functions beside the tests fail as tests do"
)]

mod account;
mod stage;

use account::Account;
use serde_json::json;
use stage::Stage;

#[tokio::test]
#[ignore = "needs FALCO_DROP_TEST_KUBECONFIG"]
async fn an_api_server_takes_every_manifest() {
    Stage::with(async |stage| {
        for manifest in stage.manifests(&["base", "kubernetes"]) {
            stage.apply(&manifest, &["Deployment"]).await;
            if manifest["kind"] == "Deployment" {
                stage.admit_pod_of(&manifest).await;
            }
        }
    })
    .await;
}

/// With Knative's custom resource definitions: those of the cluster or, if it has none, those in the folder `knative` of
/// the one that `FALCO_DROP_TEST_CRDS` names, for the time of the test.
#[tokio::test]
#[ignore = "needs FALCO_DROP_TEST_KUBECONFIG"]
async fn an_api_server_with_knative_takes_every_manifest() {
    Stage::with(async |stage| {
        stage.define("knative", "brokers.eventing.knative.dev").await;
        for manifest in stage.manifests(&["base", "knative"]) {
            let kinds = ["Deployment", "Service", "Broker", "Trigger", "SinkBinding"];
            stage.apply(&manifest, &kinds).await;
        }
    })
    .await;
}

/// The same for the Prometheus operator's, in the folder `prometheus`.
#[tokio::test]
#[ignore = "needs FALCO_DROP_TEST_KUBECONFIG"]
async fn an_api_server_with_the_prometheus_operator_takes_every_manifest() {
    Stage::with(async |stage| {
        stage
            .define("prometheus", "prometheusrules.monitoring.coreos.com")
            .await;
        for manifest in stage.manifests(&["monitoring"]) {
            stage.apply(&manifest, &["PodMonitor", "PrometheusRule"]).await;
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs FALCO_DROP_TEST_KUBECONFIG"]
async fn the_account_reads_everywhere_and_acts_where_the_role_is_bound() {
    Stage::with(async |stage| {
        stage
            .apply_kinds(&["Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding"])
            .await;
        let (open, closed) = (stage.namespace(json!({})).await, stage.namespace(json!({})).await);
        stage.bind_role_to_act(&open).await;
        let account = Account::of(stage).await;
        for (verb, resource) in [
            ("get", "pods"),
            ("list", "pods"),
            ("watch", "pods"),
            ("get", "replicasets.apps"),
            ("list", "replicasets.apps"),
            ("get", "jobs.batch"),
        ] {
            assert!(account.may(verb, resource, &closed).await, "{verb} {resource}");
        }
        assert!(account.may("get", "namespaces", "").await);
        let acts = [
            ("delete", "pods"),
            ("patch", "pods"),
            ("create", "pods/eviction"),
            ("create", "events.events.k8s.io"),
        ];
        for (verb, resource) in acts {
            assert!(account.may(verb, resource, &open).await, "{verb} {resource}");
            assert!(!account.may(verb, resource, &closed).await, "{verb} {resource}");
        }
        let never = [
            ("get", "secrets"),
            ("create", "pods"),
            ("create", "pods/exec"),
            ("get", "pods/log"),
            ("deletecollection", "pods"),
            ("delete", "deployments.apps"),
        ];
        for (verb, resource) in never {
            assert!(!account.may(verb, resource, &open).await, "{verb} {resource}");
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs FALCO_DROP_TEST_KUBECONFIG"]
async fn protected_namespaces_are_out_of_the_accounts_reach_whatever_it_may() {
    Stage::with(async |stage| {
        let kinds = [
            "Namespace",
            "ServiceAccount",
            "ClusterRole",
            "ClusterRoleBinding",
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
        ];
        stage.apply_kinds(&kinds).await;
        let open = stage.namespace(json!({"falco-drop.dev/protect": "no"})).await;
        let labelled = stage.namespace(json!({"falco-drop.dev/protect": "true"})).await;
        let own = stage.own.clone();
        for namespace in [&open, &labelled, &own] {
            stage.bind_role_to_act(namespace).await;
            stage.pod(namespace, "offender").await;
        }
        let account = Account::of(stage).await;
        account.until_refused(&labelled, "offender").await;
        for (namespace, why) in [
            (&labelled, "labelled falco-drop.dev/protect=true"),
            (&own, "may not touch pods in this namespace"),
        ] {
            for refused in [
                account.delete(namespace, "offender").await,
                account.label(namespace, "offender").await,
                account.evict(namespace, "offender").await,
            ] {
                let refused = refused.expect_err("it was allowed");
                assert!(refused.contains(why), "{refused}");
            }
        }
        let patches = [
            json!({ "spec": { "containers": [{ "name": "none", "image": "other" }] } }),
            json!({ "metadata": { "finalizers": ["example.com/keep"] } }),
        ];
        for patch in patches {
            let refused = account.patch(&open, "offender", &patch).await;
            let refused = refused.expect_err("it was allowed");
            assert!(refused.contains("labels and annotations"), "{refused}");
        }
        for allowed in [
            account.label(&open, "offender").await,
            account.evict(&open, "offender").await,
            account.delete(&open, "offender").await,
        ] {
            assert_eq!(allowed, Ok(()));
        }
    })
    .await;
}
