//! The start-up check.

use drop_core::policy::{Policies, Source};
use drop_core::ports::ApiError;
use drop_kube::testing::{Fault, Verb};
use drop_kube::{Uses, rights};

use crate::House;

const POLICY: &str = "
apiVersion: falco-drop.dev/v1alpha1
kind: DropPolicy
metadata: { name: p }
spec:
  mode: enforce
  namespaces: [shop]
  limits: []
  responses: [{ name: r, when: alert.rule = a, do: [{ label: { labels: { a: b } } }, { evict: {} }] }]
";

fn policies() -> Policies {
    Policies::parse(&[Source {
        name: "p.yaml",
        text: POLICY,
    }])
    .unwrap()
}

#[tokio::test]
async fn each_right_is_asked_for_once_and_a_missing_one_is_named_with_its_rule() {
    let house = House::new().await;
    let needed = rights(
        &policies(),
        Uses {
            index: true,
            events: true,
        },
    );
    assert_eq!(house.pods.missing(&needed).await, Ok(vec![]));
    assert_eq!(house.server.requests().len(), needed.len());
    for right in &needed {
        let house = House::new().await;
        house.server.deny(right.verb, right.resource);
        assert_eq!(
            house.pods.missing(&needed).await,
            Ok(vec![right.clone()]),
            "{right}"
        );
    }
    let evict = needed
        .iter()
        .find(|right| right.resource == "pods/eviction")
        .unwrap();
    assert_eq!(evict.to_string(), "create of pods/eviction in namespace shop");
    assert_eq!(
        evict.rule(),
        r#"{apiGroups: [""], resources: [pods/eviction], verbs: [create]}"#
    );
}

#[tokio::test]
async fn an_api_server_that_does_not_say_is_an_error_and_not_a_missing_right() {
    let house = House::new().await;
    house.server.fail(Verb::Create, Fault::status(503));
    let needed = rights(&policies(), Uses::default());
    let error = house.pods.missing(&needed).await.unwrap_err();
    assert!(matches!(error, ApiError::Unavailable(_)), "{error}");
}
