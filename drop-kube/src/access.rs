//! The start-up check: does the API server let this account do what the policies need?

use std::collections::BTreeSet;

use drop_core::ports::ApiError;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;

use crate::KubePods;
use crate::request::Ask;
use crate::rights::Right;

const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
/// Questions in flight: policies for hundreds of namespaces need thousands of rights, and acts must not wait for them.
const AT_ONCE: usize = 4;

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
    /// Changes each time that the API server refuses something for want of a right, to these pods or to what else was
    /// made with clones of their [`Settings`](crate::Settings): a reason to ask for [`KubePods::missing`] again. A watch
    /// that is refused again and again changes it once.
    #[must_use]
    pub fn refusals(&self) -> watch::Receiver<u64> {
        self.settings.refusals.subscribe()
    }

    /// Which of these rights the account lacks, as the API server says (`SelfSubjectAccessReview`, which every account
    /// may ask). It asks for each once, each within the deadline of a question.
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
        // Made before the first is sent: the compiler cannot see that a stream of borrowing closures is `Send`.
        let asked: Vec<_> = rights.iter().map(|right| self.lacks(right)).collect();
        let missing: Vec<Option<Right>> = stream::iter(asked).buffered(AT_ONCE).try_collect().await?;
        Ok(missing.into_iter().flatten().collect())
    }

    /// The right, where the account lacks it.
    async fn lacks(&self, right: &Right) -> Result<Option<Right>, ApiError> {
        let ask = Ask::review(REVIEWS.to_owned(), &review(right), self.settings.try_within);
        let answer: Option<Review> = self.caller.read(&ask, self.read_until()).await?;
        let allowed = answer.unwrap_or_default().status.allowed;
        Ok((!allowed).then(|| right.clone()))
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
