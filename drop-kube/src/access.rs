//! The start-up check: does the API server let this account do what the policies need?

use std::collections::BTreeSet;

use drop_core::ports::ApiError;
use futures_util::future::try_join_all;
use serde::Deserialize;
use serde_json::json;

use crate::KubePods;
use crate::request::Ask;
use crate::rights::Right;

const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

/// The answer to a `SelfSubjectAccessReview`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Review {
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    allowed: bool,
}

impl KubePods {
    /// Which of these rights the account lacks, as the API server says (`SelfSubjectAccessReview`, which every account
    /// may ask). It asks for each once, at one time, within the deadline of a question.
    ///
    /// ```no_run
    /// # async fn example(policies: drop_core::policy::Policies, pods: drop_kube::KubePods) -> Result<(), Box<dyn std::error::Error>> {
    /// for right in pods.missing(&drop_kube::rights(&policies, drop_kube::Uses::default())).await? {
    ///     eprintln!("missing: {right}; add the rule {}", right.rule());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What kept the API server from saying.
    pub async fn missing(&self, rights: &BTreeSet<Right>) -> Result<Vec<Right>, ApiError> {
        let until = self.read_until();
        let asked = rights.iter().map(|right| async move {
            let ask = Ask::review(REVIEWS.to_owned(), &review(right), self.settings.try_within);
            let answer: Option<Review> = self.caller.read(&ask, until).await?;
            Ok::<_, ApiError>((right, answer.unwrap_or_default().status.allowed))
        });
        let answers = try_join_all(asked).await?;
        Ok(answers
            .into_iter()
            .filter(|(_, allowed)| !allowed)
            .map(|(right, _)| right.clone())
            .collect())
    }
}

fn review(right: &Right) -> serde_json::Value {
    let (resource, subresource) = right.resource.split_once('/').unwrap_or((right.resource, ""));
    json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": { "resourceAttributes": {
            "namespace": right.namespace.as_ref().map_or("", |namespace| namespace.as_str()),
            "group": right.group, "resource": resource, "subresource": subresource, "verb": right.verb,
        } },
    })
}
