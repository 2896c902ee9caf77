//! A token that is taken back, and another one in its file: what kubelets do with a service account's.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::kubernetes::Lab;
use crate::programs::policy;
use crate::{ROLES, alert, post, server};

/// Longer than a token that was read is kept.
const SOON: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs FALCO_DROP_TEST_KUBECONFIG"]
async fn a_token_that_was_rotated_is_taken_up() {
    let lab = Lab::start().await;
    let (_, pod) = (lab.account(&ROLES).await, lab.deploy("web").await);
    let (file, first) = (tempfile::NamedTempFile::new().unwrap(), lab.token("first").await);
    std::fs::write(file.path(), &first).unwrap();
    let account = lab.with_user(&json!({ "tokenFile": file.path() }));
    let policy = policy(&lab.namespace);
    let program = server(&account, policy.path().to_str().unwrap());

    lab.take_back("first", &first).await;
    assert_eq!(post(&program.address, &alert(&pod)), 503);
    std::fs::write(file.path(), lab.token("second").await).unwrap();
    let began = Instant::now();
    while post(&program.address, &alert(&pod)) != 202 {
        assert!(began.elapsed() < SOON, "the new token is not taken up");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    lab.assert_gone(&pod).await;
}

impl Lab {
    fn secrets(&self) -> String {
        format!("/api/v1/namespaces/{}/secrets", self.namespace)
    }

    /// A token of the account that is good as long as a secret of this name is there.
    async fn token(&self, name: &str) -> String {
        let secret = json!({ "metadata": { "name": name } });
        let secret = self.send("POST", &self.secrets(), &secret).await;
        let bound =
            json!({ "apiVersion": "v1", "kind": "Secret", "name": name, "uid": secret["metadata"]["uid"] });
        let path = format!(
            "/api/v1/namespaces/{}/serviceaccounts/drop-server/token",
            self.namespace
        );
        let request = json!({ "spec": { "boundObjectRef": bound } });
        let answer = self.send("POST", &path, &request).await;
        answer["status"]["token"].as_str().unwrap().to_owned()
    }

    /// Removes the secret, and waits until the API server does not believe its token any more.
    async fn take_back(&self, name: &str, token: &str) {
        self.send("DELETE", &format!("{}/{name}", self.secrets()), &json!({}))
            .await;
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": { "token": token },
        });
        let path = "/apis/authentication.k8s.io/v1/tokenreviews";
        while self.send("POST", path, &review).await["status"]["authenticated"] == json!(true) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
