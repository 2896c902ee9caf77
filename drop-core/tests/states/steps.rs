//! What may happen in a case, and how often.

use std::time::Duration;

use drop_core::memory::{Call, Delays, Fault, Stop};
use drop_core::past::Bounds;
use drop_core::pod::Phase;
use drop_core::ports::ApiError;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::policies::POLICIES;
use crate::ports::Loss;
use crate::raise::{Forged, Host, Marks};

/// What does not change during a case.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) delays: Delays,
    pub(crate) policies: usize,
    /// What the memory holds at most.
    pub(crate) bounds: Bounds,
    /// How far the wall clock of each engine is ahead of the cluster's.
    pub(crate) clocks_ms: [i64; 2],
    /// The memory runs each step twice, as compare and swap may.
    pub(crate) twice: bool,
}

/// Something that happens.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Time passes.
    Advance(Duration),
    /// Falco sees something in a pod, and its alert is delivered at once or later.
    Raise(Raise),
    /// An alert that was raised before is delivered, again or for the first time.
    Deliver(Delivery),
    /// A future is polled so many times.
    Poll(Index, u8),
    /// All futures are polled in turn, until none is left.
    Finish,
    /// A future is dropped where it stands.
    Drop(Index),
    /// An engine is asked to confirm.
    Confirm(bool, Option<u8>),
    /// Someone else deletes a pod.
    Kill(Index, Option<u32>),
    /// The pod that an alert is about is deleted by force; after a while the alert is delivered.
    Replace(Index, Duration),
    /// A container restarts: its status may show it later.
    Restart(Index),
    /// A pod ends by itself.
    End(Index, Phase),
    /// A readiness probe changes its mind.
    Ready(Index, bool),
    /// A workload is scaled.
    Scale(Index, u32),
    /// The next such call goes wrong.
    Fail(Call, Fault),
    /// Every such call goes wrong, until healed.
    FailAll(Call, Fault),
    /// Nothing goes wrong any more.
    Heal,
    /// The memory does not answer, the next time.
    Lose(Loss),
    /// Other policies are in force.
    Policies(usize),
    /// A person arms what a limit has disarmed.
    Rearm(Index),
}

#[derive(Debug, Clone)]
pub(crate) struct Raise {
    pub(crate) pod: Index,
    pub(crate) other: Index,
    pub(crate) rule: &'static str,
    pub(crate) marks: Marks,
    pub(crate) forged: Option<Forged>,
    pub(crate) skew_ms: i64,
    pub(crate) received_skew_ms: i64,
    pub(crate) post_dated_ms: Option<i64>,
    pub(crate) deliver: Option<(bool, Option<u8>)>,
}

#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) alert: Index,
    /// Which engine.
    pub(crate) engine: bool,
    /// With the time of its receipt.
    pub(crate) received: bool,
    /// How often it is polled now; to its end if not said.
    pub(crate) polls: Option<u8>,
}

pub(crate) fn setting() -> impl Strategy<Value = Setting> {
    let policies = 0..POLICIES.len();
    let clock = || prop_oneof![2 => Just(0), 1 => -1_000..=1_000_i64];
    (delays(), policies, bounds(), [clock(), clock()], any::<bool>()).prop_map(
        |(delays, policies, bounds, clocks_ms, twice)| Setting {
            delays,
            policies,
            bounds,
            clocks_ms,
            twice,
        },
    )
}

/// Now and then a memory that is soon full.
fn bounds() -> impl Strategy<Value = Bounds> {
    prop::option::weighted(0.2, (1..6_usize, 1..4_usize)).prop_map(|small| {
        let mut bounds = Bounds::default();
        if let Some((acts, alerts)) = small {
            (bounds.acts, bounds.alerts) = (acts, alerts);
        }
        bounds
    })
}

fn delays() -> impl Strategy<Value = Delays> {
    let stop = prop_oneof![3 => up_to(5).prop_map(Stop::After), 1 => Just(Stop::IgnoresSigterm)];
    let slow = (up_to(5), stop, up_to(20), up_to(5));
    let slow = slow.prop_map(|(start, stop, report, replace)| Delays {
        start,
        stop,
        report,
        replace,
    });
    prop_oneof![Just(Delays::default()), slow]
}

/// Aimed: half the steps are alerts and their deliveries, a sixth is time, and each kind of trouble is rare.
pub(crate) fn step() -> impl Strategy<Value = Step> {
    let pod = any::<Index>;
    prop_oneof![
        8 => passing().prop_map(Step::Advance),
        12 => raise().prop_map(Step::Raise),
        12 => delivery().prop_map(Step::Deliver),
        6 => (pod(), 1..12_u8).prop_map(|(task, polls)| Step::Poll(task, polls)),
        2 => Just(Step::Finish),
        2 => pod().prop_map(Step::Drop),
        4 => (any::<bool>(), polls()).prop_map(|(engine, polls)| Step::Confirm(engine, polls)),
        2 => (pod(), prop::option::of(select(vec![0, 1, 3, 30]))).prop_map(|(pod, grace)| Step::Kill(pod, grace)),
        2 => (pod(), up_to(40)).prop_map(|(alert, wait)| Step::Replace(alert, wait)),
        2 => pod().prop_map(Step::Restart),
        1 => (pod(), select(vec![Phase::Succeeded, Phase::Failed])).prop_map(|(pod, end)| Step::End(pod, end)),
        1 => (pod(), any::<bool>()).prop_map(|(pod, ready)| Step::Ready(pod, ready)),
        1 => (pod(), 0..4_u32).prop_map(|(workload, replicas)| Step::Scale(workload, replicas)),
        5 => call().prop_map(|(call, fault)| Step::Fail(call, fault)),
        1 => call().prop_map(|(call, fault)| Step::FailAll(call, fault)),
        1 => Just(Step::Heal),
        2 => select(vec![Loss::Before, Loss::After]).prop_map(Step::Lose),
        2 => (0..POLICIES.len()).prop_map(Step::Policies),
        1 => pod().prop_map(Step::Rearm),
    ]
}

/// The edges of the windows, of a claim, of an act, of the status lag: and nothing at all.
fn passing() -> impl Strategy<Value = Duration> {
    let edges = [
        1, 2, 3, 9, 10, 11, 15, 19, 20, 30, 40, 50, 60, 61, 120, 130, 299, 300, 310,
    ];
    prop_oneof![
        3 => up_to(5),
        2 => select(edges.to_vec()).prop_map(Duration::from_secs),
        1 => (0..400_000_u64).prop_map(Duration::from_millis),
    ]
}

fn raise() -> impl Strategy<Value = Raise> {
    let forged = select(vec![Forged::Uid, Forged::Container, Forged::Name]);
    let times = (
        prop_oneof![Just(0), skew()],
        prop_oneof![Just(0), skew()],
        prop::option::weighted(0.2, 0..60_000_i64),
    );
    let deliver = prop::option::weighted(0.8, (any::<bool>(), polls()));
    let rule = prop_oneof![3 => Just("A"), 1 => Just("B")];
    let lie = prop::option::weighted(0.1, forged);
    (any::<Index>(), any::<Index>(), rule, marks(), lie, times, deliver).prop_map(
        |(pod, other, rule, marks, forged, (skew_ms, received_skew_ms, post_dated_ms), deliver)| Raise {
            pod,
            other,
            rule,
            marks,
            forged,
            skew_ms,
            received_skew_ms,
            post_dated_ms,
            deliver,
        },
    )
}

fn marks() -> impl Strategy<Value = Marks> {
    let digits = || select(vec![12_usize, 64]);
    let mark = |name, uid, container| Marks {
        name,
        uid,
        container,
        host: None,
    };
    let which = prop_oneof![
        3 => Just(mark(true, false, None)),
        3 => digits().prop_map(move |digits| mark(true, false, Some(digits))),
        2 => digits().prop_map(move |digits| mark(false, false, Some(digits))),
        1 => Just(mark(false, true, None)),
        1 => Just(mark(true, true, None)),
        1 => digits().prop_map(move |digits| mark(true, true, Some(digits))),
        1 => digits().prop_map(move |digits| mark(false, true, Some(digits))),
    ];
    let host = prop_oneof![4 => Just(Host::Own), 1 => Just(Host::Other), 1 => Just(Host::Strange)];
    (which, prop::option::of(host)).prop_map(|(marks, host)| Marks { host, ..marks })
}

fn delivery() -> impl Strategy<Value = Delivery> {
    (any::<Index>(), any::<bool>(), any::<bool>(), polls()).prop_map(|(alert, engine, received, polls)| {
        Delivery {
            alert,
            engine,
            received,
            polls,
        }
    })
}

/// Half of all futures run to their end at once; a delivery that changes a pod gives way some twenty times.
fn polls() -> impl Strategy<Value = Option<u8>> {
    prop::option::of(0..24_u8)
}

fn call() -> impl Strategy<Value = (Call, Fault)> {
    let why = || "made to fail".to_owned();
    let answers = select(vec![
        ApiError::Conflict(why()),
        ApiError::Invalid(why()),
        ApiError::Forbidden(why()),
        ApiError::Budget(why()),
        ApiError::TooManyRequests(why()),
        ApiError::Unavailable(why()),
        ApiError::TimedOut(why()),
    ]);
    let fault = prop_oneof![
        3 => answers.prop_map(Fault::Answer),
        1 => Just(Fault::NeverSent),
        2 => Just(Fault::RequestLost),
        3 => Just(Fault::AnswerLost),
        2 => passing().prop_map(Fault::Late),
    ];
    // A 404 to a question that is a lie would be believed, as it must be: only changes are answered so.
    let missing = select(vec![Call::Delete, Call::Evict, Call::Patch])
        .prop_map(|call| (call, Fault::Answer(ApiError::NotFound)));
    let calls = select(vec![
        Call::Delete,
        Call::Delete,
        Call::Delete,
        Call::Evict,
        Call::Patch,
        Call::Patch,
        Call::Find,
        Call::Namespace,
        Call::Owner,
        Call::Siblings,
        Call::Budgets,
        Call::Presence,
    ]);
    prop_oneof![8 => (calls, fault), 1 => missing]
}

/// Up to what two clocks of a cluster may be apart.
fn skew() -> impl Strategy<Value = i64> {
    prop_oneof![Just(2_000), Just(-2_000), -2_000..=2_000_i64]
}

/// Whole seconds, so that things also happen at the same time.
fn up_to(seconds: u64) -> impl Strategy<Value = Duration> {
    prop_oneof![
        (0..=seconds).prop_map(Duration::from_secs),
        (0..=seconds * 1_000).prop_map(Duration::from_millis),
    ]
}
