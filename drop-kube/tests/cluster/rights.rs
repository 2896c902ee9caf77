//! Rights exactly as printed: enough for what a policy can do, and each that is missing is named.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use drop_core::facts::{Known, Wants};
use drop_core::memory::Workload;
use drop_core::pod::Pod;
use drop_core::policy::{Policies, Source};
use drop_core::ports::{ApiError, By, Change, PodApi, Target};
use drop_core::testing::Fixture;
use drop_kube::{Account, Index, KubePods, Right, Settings, Uses, rbac, rights};
use falco_event::Namespace;
use kube::{Client, Config};
use serde_json::{Value, json};

use crate::fixture::{Real, kubeconfig};

const USES: Uses = Uses {
    index: true,
    events: true,
};

fn policies(namespace: &Namespace) -> Policies {
    let text = format!(
        "apiVersion: falco-drop.dev/v1alpha1\nkind: DropPolicy\nmetadata: {{ name: p }}\nspec:\n  mode: enforce\n  \
         namespaces: [{namespace}]\n  responses:\n    - name: r\n      when: 'ns.label[tier] = front'\n      \
         minAvailable: 1\n      do: [{{ label: {{ labels: {{ a: b }} }} }}, {{ delete: {{}} }}]\n    - name: e\n      \
         when: alert.rule = a\n      do: [{{ evict: {{}} }}]\n"
    );
    Policies::parse(&[Source {
        name: "p.yaml",
        text: &text,
    }])
    .unwrap()
}

/// Posts each manifest to where its kind belongs.
async fn apply(real: &Real, manifests: &str) {
    let documents: Vec<Value> = serde_saphyr::from_multiple(manifests).unwrap();
    for object in documents {
        let plural = format!("{}s", object["kind"].as_str().unwrap().to_lowercase());
        let namespace = object["metadata"]["namespace"].as_str().unwrap();
        let path = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/{plural}");
        real.send("POST", &path, Some(&object)).await.unwrap();
    }
}

/// A client as the account, by a token of its own.
async fn client_as(real: &Real, account: &Account, silent: bool) -> Client {
    let accounts = format!("/api/v1/namespaces/{}/serviceaccounts", account.namespace);
    let token = format!("{accounts}/{}/token", account.name);
    let request = json!({ "spec": { "expirationSeconds": 600 } });
    let answer = real.send("POST", &token, Some(&request)).await.unwrap();
    let token = answer["status"]["token"].as_str().unwrap().to_owned();
    let path = kubeconfig().kubeconfig.unwrap();
    let read = kube::config::Kubeconfig::read_from(path).unwrap();
    let mut config = Config::from_custom_kubeconfig(read, &Default::default())
        .await
        .unwrap();
    config.auth_info = Default::default();
    config.auth_info.token = Some(token.into());
    config.default_retry = false;
    config.read_timeout = (!silent).then_some(Duration::from_secs(20));
    Client::try_from(config).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs FALCO_DROP_TEST_KUBECONFIG"]
async fn printed_rights_are_enough_and_a_missing_one_is_named() {
    let real = Arc::new(Real::connect("rights").await);
    let running = Arc::clone(&real);
    let end = tokio::spawn(async move { with_printed_rights(&running).await }).await;
    real.remove_all().await;
    end.unwrap();
}

async fn with_printed_rights(real: &Real) {
    let namespace = real.namespace(&[("tier", "front")]).await;
    let account = Account {
        namespace: namespace.clone(),
        name: "drop-server".into(),
    };
    let accounts = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
    real.send(
        "POST",
        &accounts,
        Some(&json!({ "metadata": { "name": account.name } })),
    )
    .await
    .unwrap();
    let needed = rights(&policies(&namespace), USES);
    apply(real, &rbac(&needed, &account)).await;
    let mut settings = Settings::default();
    settings.reach.namespaces = Some([namespace.clone()].into());
    let pods = KubePods::new(client_as(real, &account, false).await, settings.clone());
    until_missing(&pods, &needed, &[]).await;

    real.create(Workload::deployment(namespace.clone(), "web".parse().unwrap()).replicas(2))
        .await;
    works(real, &pods, &settings, &namespace, &account).await;
    each_is_needed(real, &pods, &needed, &account).await;
}

/// Everything that the policy can do, as the account.
async fn works(real: &Real, pods: &KubePods, settings: &Settings, namespace: &Namespace, account: &Account) {
    let index = Index::new(client_as(real, account, true).await, settings);
    let kept = index.clone();
    let keeping = tokio::spawn(async move { kept.keep().await });
    index.warm().await;
    keeping.abort();
    while Fixture::pods(real, namespace)
        .await
        .iter()
        .filter(|pod| !pod.containers.is_empty())
        .count()
        < 2
    {
        real.wait().await;
    }
    let all = Fixture::pods(real, namespace).await;
    let found = pods
        .find(&By::container(all[0].containers[0].id.clone()))
        .await
        .unwrap()
        .pods;
    let facts = pods
        .facts(
            found[0].clone(),
            Wants {
                namespace: true,
                owner: true,
                siblings: true,
                budgets: true,
                host: None,
            },
        )
        .await;
    assert!(
        matches!(facts.namespace, Known::Is(labels) if labels.get("tier").map(String::as_str) == Some("front"))
    );
    assert_eq!(
        facts
            .owner
            .value()
            .cloned()
            .flatten()
            .map(|owner| owner.kind)
            .as_deref(),
        Some("Deployment")
    );
    assert_eq!(
        facts
            .siblings
            .value()
            .cloned()
            .flatten()
            .map(|siblings| siblings.desired),
        Some(2)
    );
    assert_eq!(facts.budgets, Known::Is(Vec::new()));
    changes(pods, &all).await;
}

async fn changes(pods: &KubePods, all: &[Pod]) {
    let label = Change::Label(BTreeMap::from([("a".to_owned(), Some("b".to_owned()))]));
    let within = Duration::from_secs(10);
    pods.apply(&Target::of(&all[0]), &label, within).await.unwrap();
    pods.apply(
        &Target::of(&all[0]),
        &Change::Delete {
            grace_period_seconds: 1,
        },
        within,
    )
    .await
    .unwrap();
    pods.apply(
        &Target::of(&all[1]),
        &Change::Evict {
            grace_period_seconds: 1,
        },
        within,
    )
    .await
    .unwrap();
    let elsewhere = pods
        .find(&By::Name("kube-system".parse().unwrap(), "x".parse().unwrap()))
        .await;
    assert!(matches!(elsewhere, Err(ApiError::Forbidden(_))), "{elsewhere:?}");
}

/// Takes each right away in its turn: exactly that one is missed.
async fn each_is_needed(
    real: &Real,
    pods: &KubePods,
    needed: &std::collections::BTreeSet<Right>,
    account: &Account,
) {
    let role = format!(
        "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles/{}",
        account.namespace, account.name
    );
    for right in needed {
        let rest = needed.iter().filter(|other| *other != right);
        let rules: Vec<Value> = rest
            .map(|right| json!({ "apiGroups": [right.group], "resources": [right.resource], "verbs": [right.verb] }))
            .collect();
        real.send("PATCH", &role, Some(&json!({ "rules": rules })))
            .await
            .unwrap();
        until_missing(pods, needed, std::slice::from_ref(right)).await;
    }
}

/// The API server's authorizer learns of a changed role a moment later.
async fn until_missing(pods: &KubePods, needed: &std::collections::BTreeSet<Right>, missing: &[Right]) {
    let mut last = Vec::new();
    for _ in 0..200 {
        last = pods.missing(needed).await.unwrap();
        if last == missing {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("missing are {last:?}, expected {missing:?}");
}
