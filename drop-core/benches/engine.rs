//! The engine's own time, from a parsed alert to the call that deletes the pod, over a `PodApi` that answers at once:
//! with one response and an empty past, and with a thousand responses, ten thousand alerts handled and nine thousand
//! acts that its limits count.
#![expect(clippy::unwrap_used, reason = "a benchmark may stop")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use criterion::{Criterion, criterion_group, criterion_main};
use drop_core::facts::{Facts, Known, Wants};
use drop_core::past::LocalMemory;
use drop_core::pod::{Owner, Phase, Pod};
use drop_core::policy::{Policies, Source};
use drop_core::ports::{
    ApiError, ApplyError, By, Change, Clock, Found, Journal, Mono, PodApi, Presence, Target, Way,
};
use drop_core::record::Record;
use drop_core::{Engine, Outcome};
use falco_event::{Alert, PodUid, Timestamp};
use futures_executor::block_on;

const NOW: &str = "2026-01-02T03:04:05Z";

/// The acts that a limit counts: its window, and how many are in it.
const WINDOW: Duration = Duration::from_secs(3_600);
const ACTS: u32 = 9_000;
const ALERTS: u32 = 10_000;

/// Every pod is there and like this one; it notes when it was asked to delete one.
struct AtOnce {
    pod: Pod,
    asked: Mutex<Option<Instant>>,
}

impl AtOnce {
    fn new() -> Self {
        let pod = Pod {
            namespace: "shop".parse().unwrap(),
            uid: "uid".parse().unwrap(),
            name: "web".parse().unwrap(),
            created: "2026-01-01T00:00:00Z".parse().unwrap(),
            deletion: None,
            phase: Phase::Running,
            ready: true,
            node: Some("node-1".parse().unwrap()),
            containers: Vec::new(),
            labels: [("app".to_owned(), "web".to_owned())].into(),
            annotations: [].into(),
            controller: Some(owner("ReplicaSet", "web-6d4cf56db6")),
            service_account: Some("default".to_owned()),
            priority_class: None,
            mirror: false,
        };
        let asked = Mutex::default();
        Self { pod, asked }
    }
}

#[async_trait]
impl PodApi for AtOnce {
    async fn find(&self, by: &By) -> Result<Found, ApiError> {
        let By::Name(namespace, name) = by else {
            return Err(ApiError::NotFound);
        };
        let pod = Pod {
            namespace: namespace.clone(),
            uid: PodUid::try_from(name.as_str()).unwrap(),
            name: name.clone(),
            ..self.pod.clone()
        };
        let way = Way::Index;
        Ok(Found { pods: vec![pod], way })
    }

    async fn facts(&self, pod: Pod, _: Wants) -> Facts {
        Facts {
            owner: Known::Is(Some(owner("Deployment", "web"))),
            ..Facts::of(pod)
        }
    }

    async fn apply(&self, _: &Target, _: &Change, _: Duration) -> Result<(), ApplyError> {
        *self.asked.lock().unwrap() = Some(Instant::now());
        Ok(())
    }

    async fn presence(&self, _: &Target) -> Result<Presence, ApiError> {
        Ok(Presence::Gone)
    }
}

fn owner(kind: &str, name: &str) -> Owner {
    Owner {
        api_version: "apps/v1".to_owned(),
        kind: kind.to_owned(),
        name: name.to_owned(),
        uid: "o-1".to_owned(),
    }
}

/// Time is what the bench says.
struct Given {
    wall: Timestamp,
    mono: AtomicU64,
}

impl Clock for Given {
    fn wall(&self) -> Timestamp {
        self.wall
    }

    fn mono(&self) -> Mono {
        Mono(self.mono.load(Ordering::Relaxed))
    }
}

struct Nowhere;

#[async_trait]
impl Journal for Nowhere {
    async fn write(&self, _: &Record) {}
}

struct Bench {
    api: Arc<AtOnce>,
    clock: Arc<Given>,
    engine: Engine,
    policies: Policies,
    alerts: u32,
}

impl Bench {
    fn new(responses: u32) -> Self {
        let (wall, mono) = (NOW.parse().unwrap(), AtomicU64::default());
        let (api, clock) = (Arc::new(AtOnce::new()), Arc::new(Given { wall, mono }));
        let memory = Arc::new(LocalMemory::new(clock.clone()));
        let engine = Engine::new(api.clone(), memory, Arc::new(Nowhere), clock.clone());
        Self {
            api,
            clock,
            engine,
            policies: policies(responses),
            alerts: 0,
        }
    }

    /// An alert about another pod, delivered; what passed until the pod was to be deleted.
    fn deliver(&mut self) -> Duration {
        self.alerts += 1;
        let alert = alert(self.alerts);
        let began = Instant::now();
        let decided = block_on(self.engine.handle(&self.policies, &alert, None));
        assert_eq!(decided.outcome, Outcome::Acted { certain: true });
        self.api.asked.lock().unwrap().unwrap() - began
    }

    /// Time passes, so that as many acts are forgotten as are made, and every pod is seen to be gone.
    fn pass(&self) {
        let step = WINDOW / ACTS;
        self.clock
            .mono
            .fetch_add(u64::try_from(step.as_nanos()).unwrap(), Ordering::Relaxed);
        block_on(self.engine.confirm()).unwrap();
    }
}

/// One response for the alert's rule among so many, and limits of every scope with room for all.
fn policies(responses: u32) -> Policies {
    let limit = |scope| format!("    - {{ scope: {scope}, max: 100000, per: 1h }}\n");
    let limits: String = ["workload", "response", "namespace", "policy", "cluster"]
        .map(limit)
        .concat();
    let response = |n| {
        format!(
            "    - name: r{n}\n      when: alert.rule = \"Rule {n}\" and proc.name in (sh, bash)\n      do: [{{ delete: {{}} }}]\n"
        )
    };
    let responses: String = (0..responses).map(response).collect();
    let text = format!(
        "apiVersion: falco-drop.dev/v1alpha1\nkind: DropPolicy\nmetadata: {{ name: p }}\nspec:\n  mode: enforce\n  \
         limits:\n{limits}  responses:\n{responses}"
    );
    let source = Source {
        name: "p",
        text: &text,
    };
    Policies::parse(&[source]).unwrap()
}

fn alert(number: u32) -> Alert {
    let text = format!(
        r#"{{"hostname":"node-1","output":"a shell was spawned","priority":"Notice","rule":"Rule 0","source":"syscall",
        "tags":["T1059","container","shell"],"time":"{NOW}","output_fields":{{"container.id":"3ad7b26ded6d",
        "k8s.pod.uid":"web-{number}","k8s.ns.name":"shop","k8s.pod.name":"web-{number}",
        "proc.cmdline":"bash -c id","proc.name":"bash","user.name":"root"}}}}"#
    );
    Alert::from_slice(text.as_bytes()).unwrap()
}

/// So many deliveries, each taken to be as long as the median: what else the machine does is not the engine's time.
fn sample(times: u64, mut deliver: impl FnMut() -> Duration) -> Duration {
    let mut all: Vec<Duration> = (0..times).map(|_| deliver()).collect();
    all.sort_unstable();
    let median = all.get(all.len() / 2).copied().unwrap_or_default();
    median * u32::try_from(times).unwrap()
}

fn engine(c: &mut Criterion) {
    let mut group = c.benchmark_group("alert to delete");
    group.bench_function("1 response, an empty past", |b| {
        b.iter_custom(|times| sample(times, || Bench::new(1).deliver()));
    });
    let mut full = Bench::new(1_000);
    for _ in 0..ALERTS {
        full.deliver();
        full.pass();
    }
    group.bench_function("1,000 responses, 10,000 alerts and 9,000 acts", |b| {
        b.iter_custom(|times| {
            sample(times, || {
                full.pass();
                full.deliver()
            })
        });
    });
    group.finish();
}

criterion_group!(benches, engine);
criterion_main!(benches);
