//! The conformance suite of [`PodApi`](crate::ports::PodApi): what every implementation of the port does, so that the engine can rely on it.
//!
//! The suite needs no runtime and never sleeps: what it runs on is a [`Fixture`], which makes pods, lets time pass and,
//! where it can, makes requests fail. The [cluster in memory](crate::memory) is a fixture for itself.
//!
//! ```
//! use drop_core::memory::Cluster;
//! use drop_core::testing::conformance;
//!
//! let cluster = Cluster::new("2026-03-01T12:00:00Z".parse()?);
//! let report = futures_executor::block_on(conformance(&cluster));
//! assert!(report.passed(), "{report}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//! A runner that names each case takes them from [`cases`].

mod deletion;
mod eviction;
mod facts;
mod faults;
mod finding;
mod fixture;
mod memory;
mod metadata;
mod presence;
mod stage;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::pin::Pin;

pub use fixture::Fixture;

use stage::Stage;

/// Why a case did not run to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stopped {
    /// Something is not as it has to be.
    Failed(String),
    /// The fixture cannot make what the case needs.
    CannotMake(&'static str),
}

type Ran = Result<(), Stopped>;
type Running<'a> = Pin<Box<dyn Future<Output = Ran> + Send + 'a>>;

/// One case of the suite. It uses a namespace of its own, so cases may run side by side, unless one of them makes
/// requests fail ([`Case::makes_faults`]).
#[derive(Debug, Clone, Copy)]
pub struct Case {
    name: &'static str,
    makes_faults: bool,
    start: for<'a> fn(&'a Stage<'a>) -> Running<'a>,
}

impl Case {
    /// What it says about the port.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether it makes requests fail, and so must run alone.
    #[must_use]
    pub fn makes_faults(&self) -> bool {
        self.makes_faults
    }

    /// Runs it.
    pub async fn run(&self, fixture: &dyn Fixture) -> Verdict {
        let stage = Stage::new(fixture).await;
        let ran = (self.start)(&stage).await;
        fixture.done(&stage.namespace).await;
        match ran {
            Ok(()) => Verdict::Passed,
            Err(Stopped::CannotMake(what)) => Verdict::Skipped(what),
            Err(Stopped::Failed(why)) => Verdict::Failed(why),
        }
    }
}

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// As it has to be.
    Passed,
    /// The fixture cannot make what it needs: this.
    Skipped(&'static str),
    /// Not as it has to be: why.
    Failed(String),
}

/// How each case ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a failed case is only in the report"]
pub struct Report {
    /// The cases by name, in the order in which they ran.
    pub verdicts: Vec<(&'static str, Verdict)>,
}

impl Report {
    /// Whether no case failed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failed().is_empty()
    }

    /// The cases that failed.
    #[must_use]
    pub fn failed(&self) -> Vec<&'static str> {
        let failed = self
            .verdicts
            .iter()
            .filter(|(_, verdict)| matches!(verdict, Verdict::Failed(_)));
        failed.map(|(name, _)| *name).collect()
    }

    /// The cases that the fixture could not run.
    #[must_use]
    pub fn skipped(&self) -> Vec<&'static str> {
        let skipped = self
            .verdicts
            .iter()
            .filter(|(_, verdict)| matches!(verdict, Verdict::Skipped(_)));
        skipped.map(|(name, _)| *name).collect()
    }
}

/// A line for each case.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, verdict) in &self.verdicts {
            match verdict {
                Verdict::Passed => writeln!(f, "{name}: passed")?,
                Verdict::Skipped(what) => writeln!(f, "{name}: skipped, the fixture cannot {what}")?,
                Verdict::Failed(why) => writeln!(f, "{name}: FAILED: {why}")?,
            }
        }
        Ok(())
    }
}

/// Runs the whole suite, one case after the other.
pub async fn conformance(fixture: &dyn Fixture) -> Report {
    let mut verdicts = Vec::new();
    for case in cases() {
        verdicts.push((case.name, case.run(fixture).await));
    }
    Report { verdicts }
}

macro_rules! cases {
    ($makes_faults:literal: $($module:ident::$name:ident),* $(,)?) => {
        [$(Case {
            name: stringify!($name),
            makes_faults: $makes_faults,
            start: |stage| Box::pin($module::$name(stage)),
        }),*]
    };
}

/// Every case.
#[must_use]
pub fn cases() -> Vec<Case> {
    let plain = cases! { false:
        finding::a_pod_is_found_by_its_name,
        finding::a_pod_is_found_by_its_uid,
        finding::a_pod_is_found_by_its_container,
        finding::a_pod_is_found_by_twelve_digits_of_its_container,
        finding::a_pod_is_found_by_a_previous_container,
        finding::a_node_that_is_not_its_own_does_not_hide_a_pod,
        finding::a_pod_is_found_with_what_is_read_of_it,
        finding::nothing_is_found_by_an_unknown_mark,
        finding::a_terminating_pod_is_found,
        finding::a_pod_that_is_gone_is_not_found,
        facts::what_is_not_asked_is_not_answered,
        facts::a_namespace_has_its_labels,
        facts::the_owner_of_a_replica_set_is_its_deployment,
        facts::a_stateful_set_is_its_own_top,
        facts::nothing_owns_a_bare_pod,
        facts::an_owner_that_only_the_pod_speaks_of_owns_nothing,
        facts::siblings_are_the_ready_pods_of_the_owner,
        facts::a_terminating_pod_is_no_ready_sibling,
        facts::the_budgets_about_a_pod_are_told,
        facts::a_node_is_known_by_its_pods,
        deletion::a_delete_makes_a_pod_terminate_and_go,
        deletion::a_delete_of_another_uid_is_a_conflict,
        deletion::a_delete_of_no_pod_is_not_found,
        deletion::a_terminating_pod_can_be_deleted_again,
        deletion::a_longer_grace_changes_nothing,
        deletion::a_shorter_grace_shortens,
        deletion::grace_zero_removes_at_once,
        deletion::a_late_delete_does_not_hit_the_replacement,
        deletion::a_late_delete_does_not_hit_the_next_of_the_name,
        deletion::no_time_left_sends_nothing,
        eviction::an_evicted_pod_terminates_and_goes,
        eviction::a_budget_with_nothing_left_refuses,
        eviction::an_eviction_of_another_uid_is_a_conflict,
        eviction::an_eviction_of_no_pod_is_not_found,
        metadata::labels_are_set_and_removed,
        metadata::annotations_are_set_and_removed,
        metadata::a_label_for_another_uid_is_a_conflict,
        metadata::a_label_for_no_pod_is_not_found,
        metadata::what_can_be_no_label_is_invalid,
        metadata::a_terminating_pod_can_be_labelled,
        metadata::a_relabelled_pod_is_released_and_replaced,
        presence::a_pod_is_alive_then_terminating_then_gone,
        presence::a_pod_that_never_was_is_gone,
        presence::a_pod_whose_name_is_taken_is_gone,
    };
    let faulty = cases! { true:
        faults::an_error_is_told_and_changes_nothing,
        faults::a_lost_answer_may_have_happened,
        faults::a_request_that_was_not_sent_did_not_happen,
        faults::a_find_that_fails_says_why,
        faults::a_fact_that_cannot_be_read_is_unknown,
        faults::a_presence_that_cannot_be_told_is_an_error,
    };
    plain.into_iter().chain(faulty).collect()
}
