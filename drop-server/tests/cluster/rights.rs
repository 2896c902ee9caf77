//! The rights exactly as `drop-server rbac` prints them: enough for all that the policy can do, and each that is taken
//! away is named.

use std::io::Write as _;
use std::process::Command;
use std::time::Duration;

use drop_core::policy::{Policies, Source};
use drop_kube::{Right, Uses, rights};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::kubernetes::{Account, LABEL, Lab};
use crate::programs::Program;
use crate::{alert, get, post, server};

/// A policy that reads every fact and makes every change.
fn policy(namespace: &str) -> String {
    format!(
        r#"
apiVersion: falco-drop.dev/v1alpha1
kind: DropPolicy
metadata: {{ name: all }}
spec:
  mode: enforce
  namespaces: [{namespace}]
  protect: {{ namespaceSelector: {{ matchLabels: {{ falco-drop.dev/protect: "true" }} }} }}
  responses:
    - name: drop
      when: alert.rule = "Terminal shell in container" and pod.owner.kind = Deployment
      minAvailable: 0
      do: [{{ label: {{ labels: {{ security: hit }} }} }}, {{ delete: {{}} }}]
    - {{ name: evict, when: alert.rule = "Another", do: [{{ evict: {{}} }}] }}
"#
    )
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs FALCO_DROP_TEST_KUBECONFIG"]
async fn printed_rights_are_enough_and_each_that_is_taken_away_is_named_at_readyz() {
    let lab = Lab::start().await;
    let text = policy(&lab.namespace);
    let file = written(&text);
    let path = file.path().to_str().unwrap();
    let account = lab.account(&[]).await;
    lab.apply(&printed(path, &lab.namespace)).await;
    let needed = needed(&text);
    lab.until_allowed(&needed, None).await;
    drops_a_pod(&lab, &account, path).await;

    for right in &needed {
        lab.allow(&needed, right).await;
        lab.until_allowed(&needed, Some(right)).await;
        let program = server(&account, path);
        let rule = right.rule();
        told(
            &program,
            &format!("ready\nthe account lacks a right: {right}; add the rule {rule}\n"),
        );
    }
}

/// Without namespaces in the policy what is printed is a `ClusterRole`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs FALCO_DROP_TEST_KUBECONFIG"]
async fn printed_rights_of_a_policy_that_acts_anywhere_are_enough() {
    let lab = Lab::start().await;
    let text = policy(&lab.namespace).replace(&format!("  namespaces: [{}]\n", lab.namespace), "");
    let file = written(&text);
    let path = file.path().to_str().unwrap();
    let account = lab.account(&[]).await;
    let printed = printed(path, &lab.namespace);
    assert!(!printed.contains("kind: Role\n"), "{printed}");
    lab.apply(&printed).await;
    let needed = needed(&text);
    assert!(needed.iter().all(|right| right.namespace.is_none()), "{needed:?}");
    lab.until_allowed(&needed, None).await;
    drops_a_pod(&lab, &account, path).await;
}

fn written(text: &str) -> NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

/// The manifests for the account `drop-server` of this namespace.
fn printed(policy: &str, namespace: &str) -> String {
    let printed = Command::new(env!("CARGO_BIN_EXE_drop-server"))
        .args(["rbac", "--policy", policy, "--namespace", namespace])
        .output()
        .unwrap();
    String::from_utf8(printed.stdout).unwrap()
}

/// The program is ready with what the account has, finds a pod by its container, ends it, and says so in an Event.
async fn drops_a_pod(lab: &Lab, account: &Account, policy: &str) {
    let pod = lab.deploy("web").await;
    let mut program = server(account, policy);
    told(&program, "ready\n");
    let alert = of_a_container(&alert(&pod));
    while post(&program.address, &alert) == 503 {
        program.record();
    }
    let record = program.record();
    assert_eq!(record["outcome"]["is"], json!("acted"), "{record}");
    assert_eq!(record["way"], json!("index"), "{record}");
    assert!(lab.event(&pod).await.contains("deleted pod"));
    assert_eq!(program.end(), Some(0));
}

/// The alert without its pod's name: a container is found by the watch alone.
fn of_a_container(alert: &str) -> String {
    let mut alert: Value = serde_json::from_str(alert).unwrap();
    let fields = alert["output_fields"].as_object_mut().unwrap();
    fields.retain(|key, _| key == "container.id");
    alert.to_string()
}

fn needed(text: &str) -> Vec<Right> {
    let policies = Policies::parse(&[Source { name: "p.yaml", text }]).unwrap();
    let uses = Uses {
        index: true,
        events: true,
    };
    rights(&policies, uses).into_iter().collect()
}

/// Asks until `/readyz` says this; whether the pods are at hand follows a while later.
fn told(program: &Program, text: &str) {
    let mut last = String::new();
    let is_told = |line: &&str| !line.starts_with("the pods are not all at hand");
    for _ in 0..400 {
        last = get(&program.address, "/readyz");
        last = last.split_inclusive('\n').filter(is_told).collect();
        if last.starts_with("HTTP/1.1 200") && last.contains(&format!("\r\n\r\n{text}limits ")) {
            return;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    panic!("expected {text:?}, and is told {last:?}");
}

impl Lab {
    /// Makes the roles and bindings of these manifests; those of the whole cluster under a name of the test's own.
    async fn apply(&self, manifests: &str) {
        for document in manifests.split("---\n") {
            let mut document: Value = serde_saphyr::from_str(document).unwrap();
            let kind = document["kind"].as_str().unwrap().to_owned();
            let place = if kind.starts_with("Cluster") {
                self.own(&mut document);
                String::new()
            } else {
                format!("namespaces/{}/", self.namespace)
            };
            let plural = format!("{}s", kind.to_lowercase());
            let path = format!("/apis/rbac.authorization.k8s.io/v1/{place}{plural}");
            self.send("POST", &path, &document).await;
        }
    }

    /// What the test makes for the whole cluster must not meet another test's, and is removed with the namespace.
    fn own(&self, document: &mut Value) {
        let name = json!(self.namespace);
        document["metadata"]["labels"] = json!({ LABEL: self.namespace });
        document["metadata"]["name"].clone_from(&name);
        if let Some(role) = document.get_mut("roleRef") {
            role["name"] = name;
        }
    }

    /// Leaves the account all of these rights but one.
    async fn allow(&self, rights: &[Right], but: &Right) {
        let rest = rights.iter().filter(|right| *right != but);
        let rules: Vec<Value> = rest
            .map(|right| json!({ "apiGroups": [right.group], "resources": [right.resource], "verbs": [right.verb] }))
            .collect();
        let role = format!(
            "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles/drop-server",
            self.namespace
        );
        self.send("PATCH", &role, &json!({ "rules": rules })).await;
    }

    /// Waits until the API server's authorizer has learnt that the account has all of these rights but one.
    async fn until_allowed(&self, rights: &[Right], but: Option<&Right>) {
        for right in rights {
            while self.is_allowed(right).await == (Some(right) == but) {
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
        }
    }

    async fn is_allowed(&self, right: &Right) -> bool {
        let (resource, subresource) = right.resource.split_once('/').unwrap_or((right.resource, ""));
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": {
                "user": format!("system:serviceaccount:{}:drop-server", self.namespace),
                "resourceAttributes": {
                    "namespace": right.namespace, "group": right.group, "resource": resource,
                    "subresource": subresource, "verb": right.verb,
                },
            },
        });
        let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        self.send("POST", path, &review).await["status"]["allowed"] == json!(true)
    }
}
