//! An engine that stalls, and what others do meanwhile.

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use drop_core::facts::{Facts, Wants};
use drop_core::guard::Guard;
use drop_core::memory::{Call, Cluster, Fault};
use drop_core::past::{LocalMemory, Past};
use drop_core::pod::Pod;
use drop_core::policy::Policies;
use drop_core::ports::{
    ApiError, ApplyError, By, Change, Found, Lost, Memory, Mono, PodApi, Presence, Target,
};
use drop_core::record::Decided;
use drop_core::{Engine, Outcome};
use falco_event::Alert;

use crate::world::{SHELL, World, policies};

/// Where an engine can stall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// The pod was found.
    Found,
    /// The memory has taken so many steps.
    Step(u32),
    /// A change was made, and its answer is on its way.
    Applied,
}

type Meanwhile = Box<dyn FnOnce() + Send>;

/// Ports on which something happens meanwhile, once at each point.
struct Stalling {
    cluster: Cluster,
    memory: LocalMemory,
    steps: Mutex<u32>,
    meanwhile: Mutex<Vec<(At, Meanwhile)>>,
}

impl Stalling {
    fn reach(&self, at: At) {
        let mut waiting = self.meanwhile.lock().unwrap();
        let due = waiting.iter().position(|(point, _)| *point == at);
        let due = due.map(|index| waiting.remove(index));
        drop(waiting);
        if let Some((_, happen)) = due {
            happen();
        }
    }
}

#[async_trait]
impl PodApi for Stalling {
    async fn find(&self, by: &By) -> Result<Found, ApiError> {
        let found = self.cluster.find(by).await;
        self.reach(At::Found);
        found
    }

    async fn facts(&self, pod: Pod, wants: Wants) -> Facts {
        self.cluster.facts(pod, wants).await
    }

    async fn apply(&self, target: &Target, change: &Change, within: Duration) -> Result<(), ApplyError> {
        let answer = self.cluster.apply(target, change, within).await;
        self.reach(At::Applied);
        answer
    }

    async fn presence(&self, target: &Target) -> Result<Presence, ApiError> {
        self.cluster.presence(target).await
    }
}

#[async_trait]
impl Memory for Stalling {
    async fn update(&self, f: &mut (dyn for<'p> FnMut(&'p mut Past, Mono) + Send)) -> Result<(), Lost> {
        self.memory.update(f).await?;
        let step = {
            let mut steps = self.steps.lock().unwrap();
            *steps += 1;
            *steps
        };
        self.reach(At::Step(step));
        Ok(())
    }

    fn scope(&self) -> &'static str {
        "this test"
    }
}

/// Nothing here waits, so one question is enough; it may be asked while another future is being asked.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("it waits"),
    }
}

/// A world whose engine stalls.
pub(crate) struct Stalled {
    pub(crate) world: World,
    ports: Arc<Stalling>,
    pub(crate) engine: Engine,
}

impl Stalled {
    pub(crate) fn new() -> Self {
        let world = World::new();
        let ports = Arc::new(Stalling {
            cluster: world.cluster.clone(),
            memory: LocalMemory::new(Arc::new(world.cluster.clone())),
            steps: Mutex::default(),
            meanwhile: Mutex::default(),
        });
        let (records, clock) = (Arc::new(world.records.clone()), Arc::new(world.cluster.clone()));
        let engine = Engine::new(ports.clone(), ports.clone(), records, clock);
        Self { world, ports, engine }
    }

    /// At that point time passes, and then another delivery of the alert comes to its end, if there is one.
    fn meanwhile(&self, at: At, seconds: u64, delivery: Option<(&Arc<Policies>, &Alert)>) -> Answer {
        let (cluster, engine) = (self.world.cluster.clone(), self.engine.clone());
        let delivery = delivery.map(|(policies, alert)| (policies.clone(), alert.clone()));
        let answer = Answer::default();
        let told = answer.clone();
        let happen = move || {
            cluster.advance(Duration::from_secs(seconds));
            if let Some((policies, alert)) = delivery {
                *told.lock().unwrap() = Some(now(engine.handle(&policies, &alert, None)));
            }
        };
        self.at(at, happen);
        answer
    }

    /// At that point this happens.
    pub(crate) fn at(&self, at: At, happen: impl FnOnce() + Send + 'static) {
        self.ports.meanwhile.lock().unwrap().push((at, Box::new(happen)));
    }

    /// How many steps the memory has taken.
    pub(crate) fn steps(&self) -> u32 {
        *self.ports.steps.lock().unwrap()
    }
}

/// What the other delivery came to.
type Answer = Arc<Mutex<Option<Decided>>>;

fn guard(decided: &Decided) -> Option<(Guard, bool)> {
    let Outcome::Skipped { guard, retryable, .. } = &decided.outcome else {
        return None;
    };
    Some((*guard, *retryable))
}

#[test]
fn a_delivery_that_another_took_over_opens_no_act() {
    let stalled = Stalled::new();
    let (policies, alert) = (
        Arc::new(policies(SHELL)),
        stalled.world.alert(&stalled.world.pod()),
    );
    let other = stalled.meanwhile(At::Found, 301, Some((&policies, &alert)));
    let late = now(stalled.engine.handle(&policies, &alert, None));
    let told = other.lock().unwrap().take().unwrap();
    assert_eq!(guard(&told), Some((Guard::AlertAge, false)), "{told:?}");
    assert_eq!(guard(&late), Some((Guard::ActInFlight, true)), "{late:?}");
    assert_eq!(stalled.world.touched(), 0);
}

#[test]
fn an_alert_whose_act_is_in_flight_is_not_taken_over() {
    let stalled = Stalled::new();
    let (policies, alert) = (
        Arc::new(policies(SHELL)),
        stalled.world.alert(&stalled.world.pod()),
    );
    stalled.meanwhile(At::Found, 55, None);
    let other = stalled.meanwhile(At::Applied, 6, Some((&policies, &alert)));
    let first = now(stalled.engine.handle(&policies, &alert, None));
    let told = other.lock().unwrap().take().unwrap();
    assert_eq!(guard(&told), Some((Guard::ActInFlight, true)), "{told:?}");
    assert_eq!(first.outcome, Outcome::Acted { certain: true });
}

#[test]
fn no_change_leaves_long_after_the_act_was_opened() {
    let stalled = Stalled::new();
    let (policies, alert) = (
        Arc::new(policies(SHELL)),
        stalled.world.alert(&stalled.world.pod()),
    );
    // The second step opens the act.
    stalled.meanwhile(At::Step(2), 10, None);
    let decided = now(stalled.engine.handle(&policies, &alert, None));
    assert!(decided.outcome.is_retryable(), "{decided:?}");
    assert_eq!(decided.responses[0].tried.len(), 1);
    assert_eq!(stalled.world.touched(), 0);
}

/// It came in time, and takes so long that its alert is too old by now: what was done for it is not forgotten.
#[test]
fn an_act_is_remembered_as_long_as_a_delivery_that_came_in_time_may_take() {
    let stalled = Stalled::new();
    let spec = SHELL.replace("mode: enforce", "mode: enforce\n  limits: []");
    let (policies, pods) = (policies(&spec), stalled.world.pods());
    let alert = stalled.world.alert(&pods[0]);
    stalled.world.cluster.fail_next(Call::Delete, Fault::AnswerLost);
    assert!(
        now(stalled.engine.handle(&policies, &alert, None))
            .outcome
            .is_retryable()
    );
    stalled.world.cluster.advance(Duration::from_secs(1));
    assert_eq!(now(stalled.engine.confirm()), Ok(0));
    stalled.world.cluster.advance(Duration::from_secs(290));
    let (engine, world) = (stalled.engine.clone(), stalled.world.cluster.clone());
    let other = stalled.world.alert(&stalled.world.pod());
    let same = policies.clone();
    stalled.at(At::Found, move || {
        world.advance(Duration::from_secs(50));
        // Another act, which forgets the acts that nobody needs any more.
        let _ = now(engine.handle(&same, &other, None));
    });
    let decided = now(stalled.engine.handle(&policies, &alert, None));
    assert_eq!(decided.outcome, Outcome::Acted { certain: false }, "{decided:?}");
}
