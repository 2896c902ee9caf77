//! The rights of the account: asked for whenever the answer may have changed, and each that is missing told to people.

use std::collections::BTreeSet;
use std::time::Duration;

use drop_core::ports::ApiError;
use drop_kube::{KubePods, Right};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::readiness::Readiness;

/// How long after a look at the earliest the next one is, unless other rights are needed: a person who gives a right
/// wants to see that it came, and refusals come in storms.
pub(crate) const AGAIN: Duration = Duration::from_secs(10);

/// Asks for the rights at the start and when others are needed; for those that are missing again and again, as long as
/// they are or the API server does not say; and for all when it has refused something, which can be for another right
/// than those that are known to be missing. Returns when none can be needed any more.
pub(crate) async fn look(
    pods: KubePods,
    mut needed: watch::Receiver<BTreeSet<Right>>,
    readiness: Readiness,
    again: Duration,
) {
    let (mut refusals, mut told) = (pods.refusals(), Told::default());
    // Before there are policies nothing can be said.
    if needed.wait_for(|needed| !needed.is_empty()).await.is_err() {
        return;
    }
    let mut ask = needed.borrow_and_update().clone();
    loop {
        refusals.borrow_and_update();
        let mut missing = told.tell(pods.missing(&ask).await, &readiness);
        let all_there = missing.as_ref().is_some_and(BTreeSet::is_empty);
        let due = async {
            sleep(again).await;
            if all_there {
                // The sender is in `pods`, so there is always another refusal to wait for.
                let _ = refusals.changed().await;
            }
        };
        tokio::select! {
            changed = needed.changed() => match changed {
                Ok(()) => missing = None,
                Err(_) => return,
            },
            () = due => {}
        }
        ask = match missing {
            Some(missing) if !missing.is_empty() && !is_refused(&refusals) => missing,
            _ => needed.borrow_and_update().clone(),
        };
    }
}

/// Whether something was refused since the last look. The sender is in `pods`, so the channel is open.
fn is_refused(refusals: &watch::Receiver<u64>) -> bool {
    refusals.has_changed().unwrap_or_default()
}

/// What people were told last: each change is a line of the log, once.
#[derive(Debug, Default)]
struct Told {
    missing: BTreeSet<Right>,
    /// The API server has said.
    known: Option<bool>,
}

impl Told {
    /// Tells what is new. Returns what is missing; none where that is not known.
    fn tell(
        &mut self,
        answer: Result<Vec<Right>, ApiError>,
        readiness: &Readiness,
    ) -> Option<BTreeSet<Right>> {
        let missing: BTreeSet<Right> = match answer {
            Ok(missing) => missing.into_iter().collect(),
            Err(error) => {
                if self.known.replace(false) != Some(false) {
                    tracing::warn!(%error, "the rights of the account cannot be asked for");
                }
                readiness.set(vec![
                    "the API server does not say which rights the account has".to_owned(),
                ]);
                return None;
            }
        };
        for right in missing.difference(&self.missing) {
            tracing::error!(missing = %right, rule = right.rule(), "the account lacks a right");
        }
        for right in self.missing.difference(&missing) {
            tracing::info!(%right, "the account has a right that it lacked, or it is not needed any more");
        }
        if missing.is_empty() && (self.known != Some(true) || !self.missing.is_empty()) {
            tracing::info!("the account has every right that the policies need");
        }
        readiness.set(missing.iter().map(line).collect());
        (self.known, self.missing) = (Some(true), missing.clone());
        Some(missing)
    }
}

fn line(right: &Right) -> String {
    format!(
        "the account lacks a right: {right}; add the rule {}",
        right.rule()
    )
}

#[cfg(test)]
mod tests {
    use drop_core::memory::Cluster;
    use drop_core::ports::{Change, PodApi, Target};
    use drop_kube::testing::{ApiServer, Fault, Verb};
    use drop_kube::{Index, Settings};

    use super::*;

    const SOON: Duration = Duration::from_millis(1);

    fn right(resource: &'static str, verb: &'static str) -> Right {
        Right {
            namespace: Some("shop".parse().unwrap()),
            group: "",
            resource,
            verb,
        }
    }

    /// An account at a fake API server, and the loop that looks at its rights.
    struct Looking {
        server: ApiServer,
        settings: Settings,
        pods: KubePods,
        needed: watch::Sender<BTreeSet<Right>>,
        readiness: Readiness,
    }

    impl Looking {
        async fn at(server: ApiServer, again: Duration, needed: &[Right]) -> Self {
            let settings = Settings::default();
            let pods = KubePods::new(server.client().unwrap(), settings.clone());
            let needed = watch::Sender::new(needed.iter().cloned().collect());
            let readiness = Readiness::default();
            tokio::spawn(look(pods.clone(), needed.subscribe(), readiness.clone(), again));
            Self {
                server,
                settings,
                pods,
                needed,
                readiness,
            }
        }

        /// The right to delete is taken, and a delete refused.
        async fn is_refused_a_delete(&self) {
            self.server.deny("delete", "pods");
            self.server.fail(Verb::Delete, Fault::status(403));
            let delete = Change::Delete {
                grace_period_seconds: 1,
            };
            let target = Target::new(
                "shop".parse().unwrap(),
                "web-0".parse().unwrap(),
                "u".parse().unwrap(),
            );
            let refused = self.pods.apply(&target, &delete, Duration::from_secs(5)).await;
            assert!(matches!(refused.unwrap_err().why, ApiError::Forbidden(_)));
        }

        async fn until_told(&self, text: &str) {
            for _ in 0..5_000 {
                if self.readiness.text() == text {
                    return;
                }
                sleep(SOON).await;
            }
            panic!("{text:?} is not told, but {:?}", self.readiness.text());
        }
    }

    async fn server() -> ApiServer {
        let cluster = Cluster::new("2026-03-01T12:00:00Z".parse().unwrap());
        ApiServer::start(cluster).await.unwrap()
    }

    const DELETE: &str = "ready\nthe account lacks a right: delete of pods in namespace shop; \
                          add the rule {apiGroups: [\"\"], resources: [pods], verbs: [delete]}\n";
    const EVICT: &str = "ready\nthe account lacks a right: create of pods/eviction in namespace shop; \
                         add the rule {apiGroups: [\"\"], resources: [pods/eviction], verbs: [create]}\n";

    #[tokio::test]
    async fn a_missing_right_is_told_until_it_is_given_and_only_it_is_asked_for_again() {
        let server = server().await;
        server.deny("delete", "pods");
        let needed = [right("pods", "get"), right("pods", "delete")];
        let looking = Looking::at(server, SOON, &needed).await;
        looking.until_told(DELETE).await;
        looking.server.allow();
        looking.until_told("ready\n").await;
        let about_get = looking.server.requests().into_iter().filter(|request| {
            let body = String::from_utf8_lossy(&request.body);
            body.contains("\"verb\":\"get\"")
        });
        assert_eq!(about_get.count(), 1);
    }

    #[tokio::test]
    async fn other_rights_are_asked_for_at_once() {
        let server = server().await;
        server.deny("create", "pods/eviction");
        let never = Duration::from_secs(3_600);
        let looking = Looking::at(server, never, &[right("pods", "delete")]).await;
        looking.until_told("ready\n").await;
        let evict = BTreeSet::from([right("pods/eviction", "create")]);
        looking.needed.send_replace(evict);
        looking.until_told(EVICT).await;
    }

    #[tokio::test]
    async fn a_refused_request_is_a_reason_to_ask() {
        let looking = Looking::at(server().await, SOON, &[right("pods", "delete")]).await;
        looking.until_told("ready\n").await;
        looking.is_refused_a_delete().await;
        looking.until_told(DELETE).await;
    }

    #[tokio::test]
    async fn a_right_that_is_lost_while_another_is_missing_is_told() {
        let server = server().await;
        server.deny("create", "pods/eviction");
        let needed = [right("pods/eviction", "create"), right("pods", "delete")];
        let looking = Looking::at(server, SOON, &needed).await;
        looking.until_told(EVICT).await;
        looking.is_refused_a_delete().await;
        let both = format!("{DELETE}{}", EVICT.trim_start_matches("ready\n"));
        looking.until_told(&both).await;
    }

    #[tokio::test]
    async fn a_refused_watch_is_a_reason_to_ask() {
        let looking = Looking::at(server().await, SOON, &[right("pods", "watch")]).await;
        looking.until_told("ready\n").await;
        looking.server.deny("watch", "pods");
        looking.server.fail(Verb::Watch, Fault::status(403));
        let index = Index::new(looking.server.client().unwrap(), &looking.settings);
        let keeping = tokio::spawn(async move { index.keep().await });
        let watch = "ready\nthe account lacks a right: watch of pods in namespace shop; \
                     add the rule {apiGroups: [\"\"], resources: [pods], verbs: [watch]}\n";
        looking.until_told(watch).await;
        keeping.abort();
    }

    #[tokio::test]
    async fn an_api_server_that_does_not_say_is_told_and_asked_again() {
        let server = server().await;
        server.fail(Verb::Create, Fault::status(401));
        let looking = Looking::at(server, SOON, &[right("pods", "delete")]).await;
        let unknown = "ready\nthe API server does not say which rights the account has\n";
        looking.until_told(unknown).await;
        looking.server.heal();
        looking.until_told("ready\n").await;
    }
}
