//! The sender against a sink with a mind of its own, on a clock that is moved by waiting for it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use falco_event::cloudevents;
use http::StatusCode;
use tokio::time::sleep;

use super::*;
use crate::config::Format;
use crate::fixture::{self, alert};
use crate::spool::Patience;

/// A request that the sink got.
#[derive(Clone, Debug)]
struct Got {
    at: Duration,
    rule: String,
    event: Bytes,
}

/// What the sink answers, by the rule and how often it saw it before.
type Mind = dyn Fn(&str, usize) -> Answer + Send + Sync;

/// A sink that takes `time` for each request.
struct FakeSink {
    answer: Box<Mind>,
    time: Duration,
    start: Instant,
    got: Arc<Mutex<Vec<Got>>>,
    in_flight: AtomicUsize,
    most: Arc<AtomicUsize>,
}

impl Post for FakeSink {
    async fn post(&self, event: Bytes) -> Answer {
        let rule = serde_json::from_slice::<serde_json::Value>(&event).unwrap()["data"]["rule"]
            .as_str()
            .unwrap()
            .to_owned();
        let before = self
            .got
            .lock()
            .unwrap()
            .iter()
            .filter(|got| got.rule == rule)
            .count();
        self.got.lock().unwrap().push(Got {
            at: self.start.elapsed(),
            rule: rule.clone(),
            event,
        });
        self.most.fetch_max(
            self.in_flight.fetch_add(1, Ordering::SeqCst) + 1,
            Ordering::SeqCst,
        );
        sleep(self.time).await;
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        (self.answer)(&rule, before)
    }
}

fn status(status: u16) -> Answer {
    Answer::Status {
        status: StatusCode::from_u16(status).unwrap(),
        retry_after: None,
        body: Bytes::new(),
    }
}

struct Run {
    spool: Spool,
    sender: Sender<FakeSink>,
    closed: CancellationToken,
    metrics: Arc<Metrics>,
    got: Arc<Mutex<Vec<Got>>>,
    most: Arc<AtomicUsize>,
}

const RETRY_FOR: Duration = Duration::from_secs(60);

fn run(
    answer: impl Fn(&str, usize) -> Answer + Send + Sync + 'static,
    time: Duration,
    observer: impl Observer,
) -> Run {
    run_with(&fixture::config(1 << 20), answer, time, observer)
}

fn run_with(
    config: &crate::config::Config,
    answer: impl Fn(&str, usize) -> Answer + Send + Sync + 'static,
    time: Duration,
    observer: impl Observer,
) -> Run {
    let (got, most, metrics) = (Arc::default(), Arc::default(), Arc::new(Metrics::new(&[])));
    let observer: Arc<dyn Observer> = Arc::new(observer);
    let spool = Spool::inline(&config.spool, &config.sinks, &metrics, &observer);
    let way = Way {
        http: FakeSink {
            answer: Box::new(answer),
            time,
            start: Instant::now(),
            got: Arc::clone(&got),
            in_flight: AtomicUsize::new(0),
            most: Arc::clone(&most),
        },
        envelope: Envelope {
            format: Format::CloudEvents,
            events: cloudevents::Sender::default(),
            keys: None,
        },
        observer,
        sink: config.sinks[0].clone(),
        number: 0,
        retry_for: RETRY_FOR,
        event_bytes: 10_000,
    };
    let closed = CancellationToken::new();
    let sender = Sender::new(way, spool.clone(), Arc::clone(&metrics), closed.clone());
    Run {
        spool,
        sender,
        closed,
        metrics,
        got,
        most,
    }
}

impl Run {
    async fn push(&self, rule: &str) {
        self.push_all(&[rule.to_owned()]).await;
    }

    async fn push_all(&self, rules: &[String]) {
        let alerts = rules.iter().map(|rule| alert(rule)).collect();
        self.spool.keep(alerts, &Patience::default()).await.unwrap();
    }

    /// Waits for the sender to send all there is, and returns what the sink got and the counters.
    async fn end(self) -> (Vec<Got>, String) {
        self.closed.cancel();
        self.sender.run().await;
        let spooled = self.spool.spooled().await;
        assert_eq!((spooled.alerts, spooled.bytes), (0, 0), "all room is given back");
        let got = self.got.lock().unwrap().clone();
        (got, self.metrics.text(spooled))
    }
}

fn rules_of<'a>(got: &[&'a Got]) -> Vec<&'a str> {
    got.iter().map(|got| got.rule.as_str()).collect()
}

fn rules(got: &[Got]) -> Vec<&str> {
    got.iter().map(|got| got.rule.as_str()).collect()
}

#[track_caller]
fn counts(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(
            text.lines().any(|have| have == *line),
            "`{line}` is not in\n{text}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn tries_with_the_same_event_until_the_sink_has_it() {
    let run = run(
        |_, before| if before < 2 { status(503) } else { status(202) },
        Duration::ZERO,
        (),
    );
    run.push("a").await;
    let (got, counters) = run.end().await;
    assert_eq!(rules(&got), ["a", "a", "a"]);
    assert!(got.iter().all(|other| other.event == got[0].event));
    let pause = got[1].at;
    assert!((50..=100).contains(&pause.as_millis()), "{pause:?}");
    let pause = got[2].at - got[1].at;
    assert!((100..=200).contains(&pause.as_millis()), "{pause:?}");
    counts(
        &counters,
        &[
            r#"sidekick_shim_retries_total{sink="cloudevents"} 2"#,
            r#"falcosecurity_falcosidekick_outputs_total{destination="cloudevents",status="ok"} 1"#,
            r#"falcosecurity_falcosidekick_outputs_total{destination="cloudevents",status="error"} 0"#,
        ],
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_the_alert_makes_it_a_dead_letter() {
    for code in [400, 413, 415, 422, 431] {
        let run = run(move |_, _| status(code), Duration::ZERO, ());
        run.push("a").await;
        let (got, counters) = run.end().await;
        assert_eq!(got.len(), 1, "{code}");
        counts(
            &counters,
            &[
                "sidekick_shim_spool_dead_letters 1",
                r#"falcosecurity_falcosidekick_outputs_total{destination="cloudevents",status="error"} 1"#,
            ],
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_too_large_is_not_sent_and_a_dead_letter() {
    let run = run(|_, _| status(200), Duration::ZERO, ());
    run.push(&"x".repeat(10_000)).await;
    run.push("a").await;
    let (got, counters) = run.end().await;
    assert_eq!(rules(&got), ["a"]);
    counts(&counters, &["sidekick_shim_spool_dead_letters 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_configuration_pauses_the_sink_and_loses_nothing() {
    for code in [301, 308, 401, 403, 405, 407, 410] {
        let start = Instant::now();
        // Longer than an alert may be tried, and then it takes a while to come up.
        let (mended, up) = (2 * RETRY_FOR, 2 * RETRY_FOR + Duration::from_secs(9));
        let run = run(
            move |_, _| match start.elapsed() {
                so_far if so_far < mended => status(code),
                so_far if so_far < up => status(503),
                _ => status(200),
            },
            Duration::ZERO,
            (),
        );
        for n in 0..50 {
            run.push(&n.to_string()).await;
        }
        let (got, counters) = run.end().await;
        let (before, after): (Vec<_>, Vec<_>) = got.iter().partition(|got| got.at < up);
        // All places at once, and then one probe at a time.
        assert!(before.len() < 150, "{code}: {}", before.len());
        let mut after = rules_of(&after);
        after.sort_unstable();
        after.dedup();
        assert_eq!(after.len(), 50, "{code}");
        counts(
            &counters,
            &[
                "sidekick_shim_spool_dead_letters 0",
                r#"sidekick_shim_sinks_paused{sink="cloudevents"} 0"#,
                r#"falcosecurity_falcosidekick_outputs_total{destination="cloudevents",status="ok"} 50"#,
            ],
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_takes_nothing_is_left_alone_and_found_again_soon() {
    let start = Instant::now();
    let outage = Duration::from_mins(10);
    let run = {
        let mind = move |_: &str, _| {
            if start.elapsed() < outage {
                status(503)
            } else {
                status(200)
            }
        };
        let mut run = run(mind, Duration::ZERO, ());
        run.sender.way.retry_for = Duration::from_hours(1);
        run
    };
    let all: Vec<_> = (0..2000).map(|n| n.to_string()).collect();
    for some in all.chunks(100) {
        run.push_all(some).await;
    }
    let (got, _) = run.end().await;
    let before = got.iter().filter(|got| got.at < outage).count();
    assert!((300..700).contains(&before), "{before}");
    let gaps = got.windows(2).map(|two| two[1].at - two[0].at).max().unwrap();
    assert!(gaps <= Duration::from_secs(5), "{gaps:?}");
    let last = got.last().unwrap().at;
    assert!(last <= outage + Duration::from_secs(6), "{last:?}");
    assert_eq!(got.iter().filter(|got| got.at >= outage).count(), 2000);
}

#[tokio::test(start_paused = true)]
async fn half_of_the_places_take_the_newest_and_half_the_oldest() {
    // Each request takes a second; more wait than are kept in memory.
    let run = run(|_, _| status(200), Duration::from_secs(1), ());
    let all: Vec<_> = (0..2000).map(|n| n.to_string()).collect();
    for some in all.chunks(100) {
        run.push_all(some).await;
    }
    let got = Arc::clone(&run.got);
    let sending = tokio::spawn(run.sender.run());
    sleep(Duration::from_millis(100)).await;
    let mut first: Vec<usize> = got
        .lock()
        .unwrap()
        .iter()
        .map(|got| got.rule.parse().unwrap())
        .collect();
    first.sort_unstable();
    let half = CONCURRENCY as usize / 2;
    let ends: Vec<usize> = (0..half).chain(all.len() - half..all.len()).collect();
    assert_eq!(first, ends);
    sleep(Duration::from_secs(10)).await;
    let got = got.lock().unwrap();
    let old = got
        .iter()
        .filter(|got| got.rule.parse::<usize>().unwrap() < 1000)
        .count();
    assert_eq!((old, got.len()), (11 * half, 22 * half));
    sending.abort();
}

#[tokio::test(start_paused = true)]
async fn gives_up_when_the_alert_is_too_old_and_not_before() {
    let run = run(
        |_, _| Answer::Nothing {
            cause: "connection refused".to_owned(),
        },
        Duration::ZERO,
        (),
    );
    run.push("a").await;
    let (got, counters) = run.end().await;
    let last = got.last().unwrap().at;
    assert!(
        last <= RETRY_FOR && last >= RETRY_FOR - Duration::from_secs(5),
        "{last:?}"
    );
    let longest = got.windows(2).map(|two| two[1].at - two[0].at).max().unwrap();
    assert!(longest <= Duration::from_millis(5001), "{longest:?}");
    counts(&counters, &[r#"sidekick_shim_dropped_total{reason="too_old"} 1"#]);
}

#[tokio::test(start_paused = true)]
async fn an_old_alert_is_tried_once_all_the_same() {
    let run = run(|_, _| status(503), Duration::ZERO, ());
    run.push("a").await;
    sleep(RETRY_FOR * 2).await;
    let (got, counters) = run.end().await;
    assert_eq!(rules(&got), ["a"]);
    counts(
        &counters,
        &[
            r#"sidekick_shim_dropped_total{reason="too_old"} 1"#,
            // No other try follows.
            r#"sidekick_shim_retries_total{sink="cloudevents"} 0"#,
        ],
    );
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_obeyed() {
    let asks = |_: &str, before| match before {
        0 => Answer::Status {
            status: StatusCode::TOO_MANY_REQUESTS,
            retry_after: Some(Duration::from_secs(7)),
            body: Bytes::new(),
        },
        _ => status(200),
    };
    let run = run(asks, Duration::ZERO, ());
    run.push("a").await;
    let (got, _) = run.end().await;
    assert_eq!(got[1].at.as_secs(), 7);
}

#[tokio::test(start_paused = true)]
async fn an_alert_that_is_refused_again_and_again_holds_up_no_other() {
    let run = run(
        |rule, _| {
            if rule.starts_with("bad") {
                status(503)
            } else {
                status(200)
            }
        },
        Duration::ZERO,
        (),
    );
    for n in 0..CONCURRENCY * 2 {
        run.push(&format!("bad {n}")).await;
    }
    for n in 0..100 {
        run.push(&format!("good {n}")).await;
    }
    let (got, counters) = run.end().await;
    let good: Vec<_> = got.iter().filter(|got| got.rule.starts_with("good")).collect();
    assert_eq!(good.len(), 100);
    assert!(
        good.iter().all(|got| got.at < Duration::from_millis(10)),
        "{good:?}"
    );
    counts(
        &counters,
        &[&format!(
            r#"sidekick_shim_dropped_total{{reason="too_old"}} {}"#,
            CONCURRENCY * 2
        )],
    );
}

#[tokio::test(start_paused = true)]
async fn new_alerts_and_those_that_are_tried_again_take_turns() {
    // Each request takes a second, so all but the first wait; the bad ones come back long before the good ones end.
    let run = run(
        |rule, before| {
            if rule.starts_with("bad") && before < 1 {
                status(503)
            } else {
                status(200)
            }
        },
        Duration::from_secs(1),
        (),
    );
    for n in 0..CONCURRENCY {
        run.push(&format!("bad {n}")).await;
    }
    for n in 0..CONCURRENCY * 4 {
        run.push(&format!("good {n}")).await;
    }
    let (got, _) = run.end().await;
    let last_bad = got.iter().rposition(|got| got.rule.starts_with("bad")).unwrap();
    let last_good = got.iter().rposition(|got| got.rule.starts_with("good")).unwrap();
    assert!(
        last_bad < last_good,
        "those tried again do not wait for all new ones"
    );
    let good_before: usize = got[..last_bad]
        .iter()
        .filter(|got| got.rule.starts_with("good"))
        .count();
    assert!(
        good_before >= CONCURRENCY as usize * 3 / 2,
        "nor do new ones wait for those: {:?}",
        rules(&got)
    );
}

#[tokio::test(start_paused = true)]
async fn so_many_requests_are_in_flight_at_most() {
    let run = run(|_, _| status(200), Duration::from_secs(1), ());
    let all = 2 * CONCURRENCY as usize + 4;
    for n in 0..all {
        run.push(&n.to_string()).await;
    }
    let (start, most) = (Instant::now(), Arc::clone(&run.most));
    let (got, _) = run.end().await;
    assert_eq!(
        (got.len(), most.load(Ordering::SeqCst)),
        (all, CONCURRENCY as usize)
    );
    assert_eq!(start.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_observer_that_panics_costs_no_alert() {
    struct Panics;
    impl Observer for Panics {
        fn answered(&self, id: falco_event::AlertId, _: u32, _: &Answer) {
            assert_ne!(id, alert("bad").id(), "a panic that this test wants");
        }
    }
    let run = run(|_, _| status(200), Duration::ZERO, Panics);
    run.push("bad").await;
    run.push("good").await;
    let (got, counters) = run.end().await;
    assert_eq!(got.len(), 2);
    counts(
        &counters,
        &[r#"falcosecurity_falcosidekick_outputs_total{destination="cloudevents",status="ok"} 2"#],
    );
}

#[tokio::test(start_paused = true)]
async fn what_of_the_spool_is_not_urgent_enough_any_more_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = fixture::config(16 << 20);
    config.spool.durability = crate::config::Durability::Crash;
    config.spool.folder = folder.path().to_owned();
    let before = fixture::spool(&config, &Arc::new(Metrics::new(&[])), ());
    let alerts = vec![alert("a"), alert("b")];
    before.keep(alerts, &Patience::default()).await.unwrap();
    before.close().await;
    drop(before);
    config.sinks[0].minimum_priority = Some(falco_event::Priority::Error);
    let run = run_with(&config, |_, _| status(200), Duration::ZERO, ());
    let (got, text) = run.end().await;
    assert!(got.is_empty(), "{got:?}");
    counts(&text, &["sidekick_shim_filtered_total 2"]);
}
