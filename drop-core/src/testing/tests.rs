//! The suite passes on the cluster in memory, and fails on implementations that are wrong.

use std::time::Duration;

use async_trait::async_trait;
use falco_event::Namespace;
use futures_executor::block_on;

use super::*;
use crate::facts::{Facts, Known, Wants};
use crate::memory::{Budget, Call, Cluster, Delays, Fault, Stop, Workload};
use crate::pod::Pod;
use crate::ports::{ApiError, ApplyError, By, Change, Found, PodApi, Presence, Target};

fn cluster() -> Cluster {
    Cluster::new("2026-03-01T12:00:00.25Z".parse().unwrap())
}

#[test]
fn the_cluster_in_memory_conforms() {
    let report = block_on(conformance(&cluster()));
    assert!(report.passed(), "{report}");
    assert_eq!(report.skipped(), [""; 0]);
    assert_eq!(report.verdicts.len(), cases().len());
}

#[test]
fn a_slow_cluster_in_memory_conforms() {
    let cluster = cluster();
    cluster.set_delays(Delays {
        start: Duration::from_millis(300),
        stop: Stop::After(Duration::from_millis(80)),
        report: Duration::from_millis(120),
        replace: Duration::from_millis(200),
    });
    let report = block_on(conformance(&cluster));
    assert!(report.passed(), "{report}");
}

#[test]
fn case_names_are_unique() {
    let names: std::collections::BTreeSet<_> = cases().iter().map(Case::name).collect();
    assert_eq!(names.len(), cases().len());
}

#[test]
fn a_report_has_a_line_for_each_case() {
    let report = Report {
        verdicts: vec![
            ("one", Verdict::Passed),
            ("two", Verdict::Skipped("fly")),
            ("three", Verdict::Failed("no".to_owned())),
        ],
    };
    assert_eq!(
        report.to_string(),
        "one: passed\ntwo: skipped, the fixture cannot fly\nthree: FAILED: no\n"
    );
    assert_eq!(
        (report.passed(), report.failed(), report.skipped()),
        (false, vec!["three"], vec!["two"])
    );
}

/// A mistake that an implementation could make.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Mistake {
    /// Changes whatever pod has the name.
    IgnoresTheUid,
    /// Hides pods that are being deleted.
    HidesTerminating,
    /// Finds containers by their whole id only.
    WantsAllDigits,
    /// Says that a pod is gone when the cluster cannot say.
    GuessesGone,
    /// Reads what cannot be read as nothing.
    GuessesFacts,
    /// Takes the direct controller for the owner.
    StopsAtTheController,
    /// Deletes where it has to evict.
    DeletesForEvict,
    /// Sends requests that have no time left.
    IgnoresTheDeadline,
    /// Claims that what was not answered did not happen.
    ClaimsNotHappened,
    /// Deletes always with the same grace.
    ForcesGrace,
}

struct Wrong(Cluster, Mistake);

#[async_trait]
impl PodApi for Wrong {
    async fn find(&self, by: &By) -> Result<Found, ApiError> {
        let mut found = self.0.find(by).await?;
        if self.1 == Mistake::HidesTerminating {
            found.pods.retain(|pod| pod.deletion.is_none());
        }
        let short = matches!(by, By::Container { id, .. } if id.as_str().len() == 12);
        if self.1 == Mistake::WantsAllDigits && short {
            found.pods.clear();
        }
        Ok(found)
    }

    async fn facts(&self, pod: Pod, wants: Wants) -> Facts {
        let mut facts = self.0.facts(pod, wants.clone()).await;
        if self.1 == Mistake::GuessesFacts && matches!(facts.owner, Known::Unknown(_)) {
            facts.owner = Known::Is(None);
        }
        if self.1 == Mistake::StopsAtTheController && wants.owner {
            facts.owner = Known::Is(facts.pod.controller.clone());
        }
        facts
    }

    async fn apply(&self, target: &Target, change: &Change, within: Duration) -> Result<(), ApplyError> {
        let (mut target, mut change, mut within) = (target.clone(), change.clone(), within);
        let there = self.0.pod(&target.namespace, &target.name);
        if self.1 == Mistake::IgnoresTheUid {
            target.uid = there.map_or(target.uid, |pod| pod.uid);
        }
        if self.1 == Mistake::IgnoresTheDeadline {
            within = Duration::from_secs(1);
        }
        change = match change {
            Change::Evict { grace_period_seconds } if self.1 == Mistake::DeletesForEvict => {
                Change::Delete { grace_period_seconds }
            }
            Change::Delete { .. } if self.1 == Mistake::ForcesGrace => Change::Delete {
                grace_period_seconds: 30,
            },
            change @ (Change::Delete { .. }
            | Change::Evict { .. }
            | Change::Label(_)
            | Change::Annotate(_)) => change,
        };
        let done = self.0.apply(&target, &change, within).await;
        done.map_err(|error| ApplyError {
            maybe_happened: error.maybe_happened && self.1 != Mistake::ClaimsNotHappened,
            ..error
        })
    }

    async fn presence(&self, target: &Target) -> Result<Presence, ApiError> {
        let presence = self.0.presence(target).await;
        if self.1 == Mistake::GuessesGone {
            Ok(presence.unwrap_or(Presence::Gone))
        } else {
            presence
        }
    }
}

#[async_trait]
impl Fixture for Wrong {
    fn api(&self) -> &dyn PodApi {
        self
    }

    async fn namespace(&self, labels: &[(&str, &str)]) -> Namespace {
        self.0.namespace(labels).await
    }

    async fn create(&self, workload: Workload) {
        self.0.create(workload).await;
    }

    async fn budget(&self, budget: Budget) {
        self.0.budget(budget).await;
    }

    async fn pods(&self, namespace: &Namespace) -> Vec<Pod> {
        Fixture::pods(&self.0, namespace).await
    }

    async fn wait(&self) {
        self.0.wait().await;
    }

    async fn fail(&self, call: Call, fault: Fault) -> bool {
        Fixture::fail(&self.0, call, fault).await
    }

    async fn heal(&self) {
        Fixture::heal(&self.0).await;
    }
}

#[test]
fn mistakes_are_found() {
    for (mistake, found_by) in [
        (Mistake::IgnoresTheUid, "a_delete_of_another_uid_is_a_conflict"),
        (
            Mistake::IgnoresTheUid,
            "a_late_delete_does_not_hit_the_next_of_the_name",
        ),
        (Mistake::IgnoresTheUid, "an_eviction_of_another_uid_is_a_conflict"),
        (Mistake::IgnoresTheUid, "a_label_for_another_uid_is_a_conflict"),
        (Mistake::HidesTerminating, "a_terminating_pod_is_found"),
        (
            Mistake::WantsAllDigits,
            "a_pod_is_found_by_twelve_digits_of_its_container",
        ),
        (Mistake::GuessesGone, "a_presence_that_cannot_be_told_is_an_error"),
        (Mistake::GuessesFacts, "a_fact_that_cannot_be_read_is_unknown"),
        (
            Mistake::StopsAtTheController,
            "the_owner_of_a_replica_set_is_its_deployment",
        ),
        (Mistake::DeletesForEvict, "a_budget_with_nothing_left_refuses"),
        (Mistake::IgnoresTheDeadline, "no_time_left_sends_nothing"),
        (Mistake::ClaimsNotHappened, "a_lost_answer_may_have_happened"),
        (Mistake::ForcesGrace, "a_shorter_grace_shortens"),
        (Mistake::ForcesGrace, "grace_zero_removes_at_once"),
    ] {
        let report = block_on(conformance(&Wrong(cluster(), mistake)));
        assert!(
            report.failed().contains(&found_by),
            "{found_by} did not fail:\n{report}"
        );
        assert_eq!(report.skipped(), ["a_pod_is_found_by_a_previous_container"]);
    }
}
