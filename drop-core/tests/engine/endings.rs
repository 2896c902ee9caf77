//! The second record at its boundaries, the times of the first, and what an alert's tries add up to.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use drop_core::Outcome;
use drop_core::facts::{Facts, Wants};
use drop_core::memory::{Call, Cluster, Fault, Workload};
use drop_core::outcome::Ending;
use drop_core::pod::Pod;
use drop_core::ports::{ApiError, ApplyError, By, Change, Found, PodApi, Presence, Target};
use futures_executor::block_on;

use crate::world::{SHELL, World, name, namespace, policies};

const SECOND: Duration = Duration::from_secs(1);
/// From the opening of an act with a grace of 1 s until it is given up.
const GIVEN_UP: Duration = Duration::from_secs(1 + 120);

/// A pod that a finalizer keeps: once deleted it stays terminating.
fn stuck() -> (World, Pod) {
    let world = World::new();
    let workload = Workload::pod(namespace("default"), name("stuck")).finalizer("example.com/keep");
    world.cluster.add_workload(workload);
    world.cluster.advance(60 * SECOND);
    let pod = world.cluster.pod(&namespace("default"), &name("stuck")).unwrap();
    (world, pod)
}

fn endings(world: &World) -> Vec<Ending> {
    world
        .records
        .closed()
        .into_iter()
        .map(|closed| closed.ending)
        .collect()
}

fn unconfirmed(why: &str) -> Ending {
    Ending::Unconfirmed { why: why.to_owned() }
}

#[test]
fn a_pod_that_does_not_go_is_given_up_two_minutes_after_its_grace() {
    let (world, pod) = stuck();
    world.handle(&policies(SHELL), &world.alert(&pod));
    assert_eq!(world.confirm_after(GIVEN_UP), 1);
    assert_eq!(endings(&world), []);
    assert_eq!(world.confirm_after(Duration::from_nanos(1)), 0);
    assert_eq!(endings(&world), [unconfirmed("the pod is still terminating")]);
}

#[test]
fn a_pod_that_cannot_be_read_is_asked_for_as_long() {
    let (world, pod) = stuck();
    world.handle(&policies(SHELL), &world.alert(&pod));
    let unreadable = Fault::Answer(ApiError::Unavailable("because".to_owned()));
    world.cluster.fail(Call::Presence, unreadable);
    assert_eq!(world.confirm_after(GIVEN_UP), 1);
    assert_eq!(world.confirm_after(Duration::from_nanos(1)), 0);
    let why = "the pod could not be read: unavailable: because";
    assert_eq!(endings(&world), [unconfirmed(why)]);
}

/// One answer at a time would take as long as all of them together, all of them at once would keep others waiting.
#[test]
fn some_pods_at_a_time_are_asked_for() {
    let world = World::of(20);
    let policies = policies(&SHELL.replace("mode: enforce", "mode: enforce\n  limits: []"));
    for pod in world.pods() {
        let decided = world.handle(&policies, &world.alert(&pod));
        assert_eq!(decided.outcome, Outcome::Acted { certain: true });
    }
    world.cluster.advance(10 * SECOND);
    let counted = Arc::new(Counted::over(world.cluster.clone()));
    let engine = world.engine_over(counted.clone());
    assert_eq!(block_on(engine.confirm()), Ok(0));
    assert_eq!(endings(&world), vec![Ending::Confirmed { ours: true }; 20]);
    assert_eq!(counted.most.load(Ordering::Relaxed), 8);
}

#[test]
fn a_delete_that_was_taken_and_left_the_pod_alive_is_said_to_be_unconfirmed() {
    let world = World::new();
    let engine = world.engine_over(Arc::new(Liar(world.cluster.clone())));
    let decided = block_on(engine.handle(&policies(SHELL), &world.alert(&world.pod()), None));
    assert_eq!(decided.outcome, Outcome::Acted { certain: true });
    assert_eq!(world.confirm_after(GIVEN_UP), 1);
    assert_eq!(world.confirm_after(Duration::from_nanos(1)), 0);
    assert_eq!(endings(&world), [unconfirmed("the pod is alive")]);
}

#[test]
fn the_record_has_the_time_of_every_step() {
    let world = World::new();
    let engine = world.engine_over(Arc::new(Slow(world.cluster.clone())));
    let decided = block_on(engine.handle(&policies(SHELL), &world.alert(&world.pod()), None));
    let seconds = |nanos: u64| nanos / 1_000_000_000;
    let times = decided.times;
    let steps = [times.found, times.decided, times.acting, times.acted].map(|at| at.map(seconds));
    assert_eq!(steps, [Some(1), Some(2), Some(2), Some(3)]);
    assert_eq!((seconds(times.planned), seconds(times.ended)), (0, 3));
}

#[test]
fn nothing_is_done_after_the_pod_was_ended() {
    let world = World::new();
    let spec = SHELL.replace(
        "[delete: {}]",
        "[evict: { continueOnError: true }, label: { labels: { a: b } }]",
    );
    let decided = world.handle(&policies(&spec), &world.alert(&world.pod()));
    assert_eq!(decided.outcome, Outcome::Acted { certain: true });
    assert_eq!(decided.responses[0].tried.len(), 1);
}

#[test]
fn a_failure_ends_the_response_where_it_does_not_go_on() {
    let world = World::new();
    let spec = SHELL.replace("[delete: {}]", "[label: { labels: { a: b } }, delete: {}]");
    let refused = Fault::Answer(ApiError::Invalid("because".to_owned()));
    world.cluster.fail_next(Call::Patch, refused);
    let decided = world.handle(&policies(&spec), &world.alert(&world.pod()));
    assert_eq!(decided.outcome.label(), "failed");
    assert_eq!((decided.responses[0].tried.len(), world.touched()), (1, 0));
}

#[test]
fn two_policies_may_have_a_response_of_the_same_name() {
    let world = World::new();
    let label = SHELL.replace("[delete: {}]", "[label: { labels: { a: b } }]");
    let document = |name: &str, spec: &str| {
        format!(
            "apiVersion: falco-drop.dev/v1alpha1\nkind: DropPolicy\nmetadata: {{ name: {name} }}\nspec:\n{spec}"
        )
    };
    let limited = format!("  limits: [{{ scope: response, max: 1, per: 1m }}]{label}");
    let texts = [document("first", &label), document("second", &limited)];
    let sources = texts
        .each_ref()
        .map(|text| drop_core::policy::Source { name: "p.yaml", text });
    let both = drop_core::policy::Policies::parse(&sources).unwrap_or_else(|wrong| panic!("{wrong}"));
    let decided = world.handle(&both, &world.alert(&world.pod()));
    let limits = |response: usize| {
        let verdicts = &decided.responses[response].judgement.verdicts;
        let limit = drop_core::guard::Guard::Limit;
        verdicts.iter().filter(|verdict| verdict.guard == limit).count()
    };
    assert_eq!(
        (limits(0), limits(1)),
        (2, 1),
        "each has the limits of its own document"
    );
}

#[test]
fn what_a_read_refuted_is_not_claimed_and_what_was_labelled_is() {
    for (actions, calls, outcome) in [
        // The delete never arrived, and the pod lives: nothing was done.
        ("[delete: {}]", vec![Call::Delete], "skipped"),
        // Of the label nobody knows, though the pod lives.
        ("[label: { labels: { a: b } }]", vec![Call::Patch], "acted"),
    ] {
        let world = World::new();
        let (policies, alert) = (
            policies(&SHELL.replace("[delete: {}]", actions)),
            world.alert(&world.pod()),
        );
        for call in calls {
            world.cluster.fail_next(call, Fault::RequestLost);
        }
        assert!(world.handle(&policies, &alert).outcome.is_retryable());
        world.confirm_after(SECOND);
        world.cluster.advance(301 * SECOND);
        assert_eq!(
            world.handle(&policies, &alert).outcome.label(),
            outcome,
            "{actions}"
        );
    }
}

#[test]
fn what_a_first_try_has_done_is_said_when_the_alert_has_become_too_old() {
    let label = "    - name: label\n      when: alert.rule exists\n      do: [label: { labels: { a: b } }]\n";
    let first = SHELL.replace("    - name: shell", &format!("{label}    - name: shell"));
    let together = SHELL.replace("[delete: {}]", "[label: { labels: { a: b } }, delete: {}]");
    let part = "some of it was done, and the rest could not be".to_owned();
    for (spec, fault, outcome) in [
        // The label of a response of its own was set, and the delete was not made.
        (first, Fault::NeverSent, Outcome::Acted { certain: true }),
        // The label was set, and the pod lives.
        (
            together,
            Fault::RequestLost,
            Outcome::Failed {
                why: part,
                retryable: false,
            },
        ),
    ] {
        let world = World::new();
        let (policies, alert) = (policies(&spec), world.alert(&world.pod()));
        world.cluster.fail_next(Call::Delete, fault);
        assert!(world.handle(&policies, &alert).outcome.is_retryable());
        world.cluster.advance(301 * SECOND);
        assert_eq!(world.handle(&policies, &alert).outcome, outcome);
    }
}

#[test]
fn an_engine_that_died_holds_its_pod_for_twenty_seconds() {
    let world = World::new();
    let pod = world.pod();
    let engine = world.engine_over(Arc::new(Hangs(world.cluster.clone())));
    let (policies, alert) = (policies(SHELL), world.alert(&pod));
    {
        let mut delivery = pin!(engine.handle(&policies, &alert, None));
        let polled = delivery.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending(), "it hangs in the delete, and is dropped");
    }
    let wait = 20 * SECOND - Duration::from_millis(1);
    for (by, outcome) in [(wait, "skipped"), (Duration::from_millis(1), "acted")] {
        world.cluster.advance(by);
        assert_eq!(
            world.handle(&policies, &world.alert(&pod)).outcome.label(),
            outcome
        );
    }
}

#[test]
fn no_pod_shows_a_container_after_fifteen_seconds_and_so_none_has_it() {
    let world = World::new();
    let policies = policies(SHELL);
    let unknown = world.alert_with(|fields| fields["container.id"] = "0123456789ab".into());
    for (by, retryable) in [
        (Duration::from_millis(14_999), true),
        (Duration::from_millis(1), false),
    ] {
        world.cluster.advance(by);
        assert_eq!(
            world.handle(&policies, &unknown).outcome.is_retryable(),
            retryable
        );
    }
}

/// Takes deletes and never answers.
struct Hangs(Cluster);

/// Takes deletes and does nothing.
struct Liar(Cluster);

/// Takes a second for each question and each change.
struct Slow(Cluster);

impl Slow {
    fn cluster(&self) -> &Cluster {
        self.0.advance(SECOND);
        &self.0
    }
}

/// Answers at the second look, and counts how many wait for it: now, and at most.
struct Counted {
    cluster: Cluster,
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Counted {
    fn over(cluster: Cluster) -> Self {
        let (now, most) = Default::default();
        Self { cluster, now, most }
    }
}

#[async_trait]
impl PodApi for Counted {
    async fn find(&self, by: &By) -> Result<Found, ApiError> {
        self.cluster.find(by).await
    }
    async fn facts(&self, pod: Pod, wants: Wants) -> Facts {
        self.cluster.facts(pod, wants).await
    }
    async fn apply(&self, target: &Target, change: &Change, within: Duration) -> Result<(), ApplyError> {
        self.cluster.apply(target, change, within).await
    }
    async fn presence(&self, target: &Target) -> Result<Presence, ApiError> {
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
        let mut looked = false;
        poll_fn(|context| {
            context.waker().wake_by_ref();
            match std::mem::replace(&mut looked, true) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
        self.now.fetch_sub(1, Ordering::Relaxed);
        self.cluster.presence(target).await
    }
}

#[async_trait]
impl PodApi for Hangs {
    async fn find(&self, by: &By) -> Result<Found, ApiError> {
        self.0.find(by).await
    }
    async fn facts(&self, pod: Pod, wants: Wants) -> Facts {
        self.0.facts(pod, wants).await
    }
    async fn apply(&self, _: &Target, _: &Change, _: Duration) -> Result<(), ApplyError> {
        std::future::pending().await
    }
    async fn presence(&self, target: &Target) -> Result<Presence, ApiError> {
        self.0.presence(target).await
    }
}

#[async_trait]
impl PodApi for Liar {
    async fn find(&self, by: &By) -> Result<Found, ApiError> {
        self.0.find(by).await
    }
    async fn facts(&self, pod: Pod, wants: Wants) -> Facts {
        self.0.facts(pod, wants).await
    }
    async fn apply(&self, _: &Target, _: &Change, _: Duration) -> Result<(), ApplyError> {
        Ok(())
    }
    async fn presence(&self, target: &Target) -> Result<Presence, ApiError> {
        self.0.presence(target).await
    }
}

#[async_trait]
impl PodApi for Slow {
    async fn find(&self, by: &By) -> Result<Found, ApiError> {
        self.cluster().find(by).await
    }
    async fn facts(&self, pod: Pod, wants: Wants) -> Facts {
        self.cluster().facts(pod, wants).await
    }
    async fn apply(&self, target: &Target, change: &Change, within: Duration) -> Result<(), ApplyError> {
        self.cluster().apply(target, change, within).await
    }
    async fn presence(&self, target: &Target) -> Result<Presence, ApiError> {
        self.cluster().presence(target).await
    }
}
