//! Strategies for property tests: clusters, and what happens to them.
//!
//! They are aimed: names come from a few, so that pods take each other's names, selectors select each other's pods and
//! budgets overlap. The distributions:
//!
//! | strategy | gives |
//! |---|---|
//! | [`workload`] | half Deployments, a quarter StatefulSets, the rest of every other kind; 0 to 3 replicas; one in four ignores SIGTERM, one in eight has a finalizer, one in eight is not scheduled |
//! | [`delays`] | half none at all, else each up to 5 s |
//! | [`cluster`] | 1 to 5 workloads in the namespaces `shop` and `web`, up to 2 budgets, 1 to 3 nodes |
//! | [`sighting`] | alerts about the pods that are there: of given rules or another, by some of their marks, one in four with a lie in it |
//! | [`step`] | a third time passing (up to 40 s), a third changes through `PodApi`, the rest others' doing; one in ten a fault |
//!
//! ```
//! use drop_core::memory::strategy::{cluster, step};
//! use proptest::prelude::*;
//!
//! proptest!(ProptestConfig::with_cases(8), |(cluster in cluster(), steps in prop::collection::vec(step(), 0..20))| {
//!     for step in &steps {
//!         step.run(&cluster);
//!     }
//!     // No namespace is made by what happens to pods.
//!     prop_assert!(cluster.pods().iter().all(|pod| cluster.namespaces().contains_key(&pod.namespace)));
//! });
//! ```

mod sighting;

use std::time::Duration;

use falco_event::{Namespace, NodeName, PodName, Timestamp};
use proptest::prelude::*;
use proptest::sample::{Index, select};

pub use self::sighting::{Sighting, sighting};
use super::{Budget, Call, Cluster, Delays, Fault, Kind, Stop, Workload};
use crate::pod::{Phase, Pod};
use crate::ports::{ApiError, Change, PodApi, Target};

/// Something that happens to a cluster. A pod is chosen among those that are there when it happens.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Step {
    /// Time passes.
    Advance(Duration),
    /// A change through [`PodApi`], aimed at a pod that is there, or at its name with another pod's UID.
    Apply {
        /// Which pod.
        pod: Index,
        /// Whether the UID is another's.
        stale: bool,
        /// The change.
        change: Change,
    },
    /// Someone else deletes a pod by its name.
    Delete(Index, Option<u32>),
    /// A container of a pod restarts.
    Restart(Index),
    /// A pod's containers end by themselves.
    Finish(Index, Phase),
    /// A pod's finalizers are taken away.
    Unfinalize(Index),
    /// A workload of this kind and name is scaled, if there is one.
    Scale(Kind, Namespace, PodName, u32),
    /// The next such call goes wrong.
    Fail(Call, Fault),
}

impl Step {
    /// Makes it happen. Returns the pod that [`PodApi`] was asked to change, if it was.
    pub fn run(&self, cluster: &Cluster) -> Option<Target> {
        match self {
            Self::Advance(by) => cluster.advance(*by),
            Self::Apply { pod, stale, change } => return apply(cluster, *pod, *stale, change),
            Self::Delete(pod, grace) => with(cluster, *pod, |pod| {
                let _ = cluster.delete(&pod.namespace, &pod.name, None, *grace);
            }),
            Self::Restart(pod) => with(cluster, *pod, |pod| {
                let name = pod.containers.first().map(|container| container.name.clone());
                let _ = cluster.restart_container(&pod.uid, &name.unwrap_or_default());
            }),
            Self::Finish(pod, phase) => with(cluster, *pod, |pod| {
                let _ = cluster.finish(&pod.uid, *phase);
            }),
            Self::Unfinalize(pod) => with(cluster, *pod, |pod| {
                let _ = cluster.remove_finalizers(&pod.uid);
            }),
            Self::Scale(kind, namespace, name, replicas) => {
                cluster.scale(*kind, namespace, name, *replicas);
            }
            Self::Fail(call, fault) => cluster.fail_next(*call, fault.clone()),
        }
        None
    }
}

/// What is asked may be refused: that too is something that happens.
fn with(cluster: &Cluster, which: Index, act: impl FnOnce(&Pod)) {
    let pods = cluster.pods();
    if !pods.is_empty() {
        act(which.get(&pods));
    }
}

fn apply(cluster: &Cluster, which: Index, stale: bool, change: &Change) -> Option<Target> {
    let mut asked = None;
    with(cluster, which, |pod| {
        let mut target = Target::of(pod);
        if stale {
            let others = cluster
                .history()
                .into_iter()
                .map(|entry| entry.pod.uid)
                .filter(|uid| *uid != pod.uid);
            target.uid = others.last().unwrap_or_else(|| pod.uid.clone());
        }
        let _ = now(cluster.apply(&target, change, Duration::from_secs(1)));
        asked = Some(target);
    });
    asked
}

/// The cluster in memory never waits, so its futures are ready when they are first asked.
fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(done) => Some(done),
        std::task::Poll::Pending => None,
    }
}

/// A cluster with something in it, at noon on the first of March 2026.
pub fn cluster() -> impl Strategy<Value = Cluster> {
    let workloads = prop::collection::vec(workload(), 1..6);
    let budgets = prop::collection::vec(budget(), 0..3);
    (any::<u64>(), delays(), 1..4_u8, workloads, budgets).prop_map(
        |(seed, delays, nodes, workloads, budgets)| {
            let noon = Timestamp::from_second(1_772_366_400).unwrap_or(Timestamp::UNIX_EPOCH);
            let cluster = Cluster::with_seed(noon, seed);
            cluster.set_delays(delays);
            (1..=nodes)
                .filter_map(|n| NodeName::try_from(format!("node-{n}")).ok())
                .for_each(|n| cluster.add_node(n));
            workloads.into_iter().for_each(|workload| {
                cluster.add_workload(workload);
            });
            budgets.into_iter().for_each(|budget| cluster.add_budget(budget));
            cluster
        },
    )
}

/// How long things take.
pub fn delays() -> impl Strategy<Value = Delays> {
    let some = (up_to(5), stop(), up_to(5), up_to(5));
    let some = some.prop_map(|(start, stop, report, replace)| Delays {
        start,
        stop,
        report,
        replace,
    });
    prop_oneof![Just(Delays::default()), some]
}

/// A workload in `shop` or `web`.
pub fn workload() -> impl Strategy<Value = Workload> {
    let chances = (
        prop::bool::weighted(0.25),
        prop::bool::weighted(0.125),
        prop::bool::weighted(0.125),
    );
    let shape = (
        kind(),
        namespace(),
        name(),
        0..4_u32,
        chances,
        prop::option::of(up_to(5)),
    );
    shape.prop_map(
        |(kind, namespace, name, replicas, (stubborn, finalizer, homeless), start)| {
            let workload = Workload::new(kind, namespace, name)
                .replicas(replicas)
                .label("tier", "any");
            let workload = if stubborn {
                workload.ignores_sigterm()
            } else {
                workload
            };
            let workload = if finalizer {
                workload.finalizer("test/keep")
            } else {
                workload
            };
            let workload = if homeless {
                workload.unschedulable()
            } else {
                workload
            };
            start.into_iter().fold(workload, Workload::start_after)
        },
    )
}

/// Something that happens.
pub fn step() -> impl Strategy<Value = Step> {
    let pod = any::<Index>;
    prop_oneof![
        6 => up_to(40).prop_map(Step::Advance),
        6 => (pod(), prop::bool::weighted(0.2), change())
            .prop_map(|(pod, stale, change)| Step::Apply { pod, stale, change }),
        1 => (pod(), prop::option::of(grace())).prop_map(|(pod, grace)| Step::Delete(pod, grace)),
        1 => pod().prop_map(Step::Restart),
        1 => (pod(), select(vec![Phase::Succeeded, Phase::Failed])).prop_map(|(pod, end)| Step::Finish(pod, end)),
        1 => pod().prop_map(Step::Unfinalize),
        1 => (kind(), namespace(), name(), 0..4_u32).prop_map(|(k, ns, n, wanted)| Step::Scale(k, ns, n, wanted)),
        2 => (select(Call::ALL.to_vec()), fault()).prop_map(|(call, fault)| Step::Fail(call, fault)),
    ]
}

/// A change to a pod.
pub fn change() -> impl Strategy<Value = Change> {
    let value = prop::option::of(select(vec!["api".to_owned(), "db".to_owned(), "hit".to_owned()]));
    let key = select(vec!["app".to_owned(), "mark".to_owned()]);
    let edits = (key, value).prop_map(|edit| [edit].into());
    let edits = edits.prop_map(|edits: std::collections::BTreeMap<_, _>| edits);
    prop_oneof![
        4 => grace().prop_map(|grace_period_seconds| Change::Delete { grace_period_seconds }),
        2 => grace().prop_map(|grace_period_seconds| Change::Evict { grace_period_seconds }),
        1 => edits.clone().prop_map(Change::Label),
        1 => edits.prop_map(Change::Annotate),
    ]
}

/// A fault of any kind.
pub fn fault() -> impl Strategy<Value = Fault> {
    let why = || "made to fail".to_owned();
    let answer = select(vec![
        ApiError::NotFound,
        ApiError::Conflict(why()),
        ApiError::Invalid(why()),
        ApiError::Forbidden(why()),
        ApiError::Budget(why()),
        ApiError::TooManyRequests(why()),
        ApiError::Unavailable(why()),
        ApiError::TimedOut(why()),
    ]);
    prop_oneof![
        answer.prop_map(Fault::Answer),
        Just(Fault::NeverSent),
        Just(Fault::RequestLost),
        Just(Fault::AnswerLost),
        up_to(90).prop_map(Fault::Late),
    ]
}

/// A disruption budget over some pods of a namespace.
pub fn budget() -> impl Strategy<Value = Budget> {
    let selector = select(vec![Vec::new(), vec![("app", "api")], vec![("app", "db")]]);
    (namespace(), select(vec!["one", "two"]), selector, 0..3_u32).prop_map(
        |(namespace, name, selector, min)| {
            let selector = selector
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect();
            Budget {
                namespace,
                name: name.to_owned(),
                selector,
                min_available: min,
            }
        },
    )
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        4 => Just(Kind::Deployment),
        2 => Just(Kind::StatefulSet),
        2 => select(vec![
            Kind::Pod,
            Kind::ReplicaSet,
            Kind::DaemonSet,
            Kind::Job,
            Kind::CronJob,
            Kind::StaticPod,
        ]),
    ]
}

fn stop() -> impl Strategy<Value = Stop> {
    prop_oneof![3 => up_to(5).prop_map(Stop::After), 1 => Just(Stop::IgnoresSigterm)]
}

fn grace() -> impl Strategy<Value = u32> {
    prop_oneof![select(vec![0, 1, 30]), 0..100_u32]
}

fn namespace() -> impl Strategy<Value = Namespace> {
    named(&["shop", "web"])
}

fn name() -> impl Strategy<Value = PodName> {
    named(&["api", "db", "api-0", "worker"])
}

fn named<T: for<'a> TryFrom<&'a str> + Clone + std::fmt::Debug + 'static>(
    names: &[&str],
) -> impl Strategy<Value = T> + use<T> {
    select(
        names
            .iter()
            .filter_map(|name| T::try_from(name).ok())
            .collect::<Vec<T>>(),
    )
}

/// Whole milliseconds, so that things also happen at the same time.
fn up_to(seconds: u64) -> impl Strategy<Value = Duration> {
    prop_oneof![
        (0..=seconds).prop_map(Duration::from_secs),
        (0..=seconds.saturating_mul(1_000)).prop_map(Duration::from_millis),
    ]
}
