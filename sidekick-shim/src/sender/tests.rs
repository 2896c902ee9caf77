//! The sender against a sink with a mind of its own, on a clock that is moved by waiting for it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::StatusCode;
use tokio::time::sleep;

use super::*;
use crate::config::Bounds;
use crate::fixture::alert;
use crate::queue::{Queue, queue};

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
    queue: Queue,
    sender: Sender<FakeSink>,
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
    let (queue, fresh) = queue(Bounds {
        alerts: 1000,
        bytes: 1 << 20,
    });
    let (got, most, metrics) = (Arc::default(), Arc::default(), Arc::new(Metrics::new()));
    let sink = FakeSink {
        answer: Box::new(answer),
        time,
        start: Instant::now(),
        got: Arc::clone(&got),
        in_flight: AtomicUsize::new(0),
        most: Arc::clone(&most),
    };
    let way = Way {
        sink,
        envelope: Envelope {
            format: crate::config::Format::CloudEvents,
            events: falco_event::cloudevents::Sender::default(),
            keys: None,
        },
        observer: Arc::new(observer),
    };
    let sender = Sender::new(way, Arc::clone(&metrics), RETRY_FOR, fresh);
    Run {
        queue,
        sender,
        metrics,
        got,
        most,
    }
}

impl Run {
    async fn push(&self, rule: &str) {
        let alert = alert(rule);
        self.queue
            .room_for(&alert, Instant::now())
            .await
            .unwrap()
            .fill(alert);
    }

    /// Closes the queue, waits for the sender to end, and returns what the sink got and the counters.
    async fn end(self) -> (Vec<Got>, String) {
        let room = self.queue.room();
        drop(self.queue);
        self.sender.run().await;
        assert_eq!((room.alerts(), room.bytes()), (0, 0), "all room is given back");
        let got = self.got.lock().unwrap().clone();
        (got, self.metrics.text(&room))
    }
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
            "sidekick_shim_retries_total 2",
            r#"falcosecurity_falcosidekick_outputs_total{destination="cloudevents",status="ok"} 1"#,
            r#"falcosecurity_falcosidekick_outputs_total{destination="cloudevents",status="error"} 0"#,
        ],
    );
}

#[tokio::test(start_paused = true)]
async fn a_final_answer_ends_it_at_once() {
    for code in [301, 400, 401, 403, 410, 413, 415, 422] {
        let run = run(move |_, _| status(code), Duration::ZERO, ());
        run.push("a").await;
        let (got, counters) = run.end().await;
        assert_eq!(got.len(), 1, "{code}");
        counts(
            &counters,
            &[
                r#"sidekick_shim_dropped_total{reason="refused_by_sink"} 1"#,
                r#"falcosecurity_falcosidekick_outputs_total{destination="cloudevents",status="error"} 1"#,
            ],
        );
    }
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
    counts(&counters, &[r#"sidekick_shim_dropped_total{reason="too_old"} 1"#]);
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
        &[r#"sidekick_shim_dropped_total{reason="too_old"} 16"#],
    );
}

#[tokio::test(start_paused = true)]
async fn new_alerts_and_those_that_are_tried_again_take_turns() {
    // Each request takes a second, so all but the first eight wait; the bad ones come back long before the good ones end.
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
    for n in 0..8 {
        run.push(&format!("bad {n}")).await;
    }
    for n in 0..32 {
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
        good_before >= 12,
        "nor do new ones wait for those: {:?}",
        rules(&got)
    );
}

#[tokio::test(start_paused = true)]
async fn at_most_eight_requests_are_in_flight() {
    let run = run(|_, _| status(200), Duration::from_secs(1), ());
    for n in 0..20 {
        run.push(&n.to_string()).await;
    }
    let (start, most) = (Instant::now(), Arc::clone(&run.most));
    let (got, _) = run.end().await;
    assert_eq!((got.len(), most.load(Ordering::SeqCst)), (20, 8));
    assert_eq!(start.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_observer_that_panics_costs_its_alert_and_no_other() {
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
        &[
            r#"sidekick_shim_dropped_total{reason="internal_error"} 1"#,
            r#"falcosecurity_falcosidekick_outputs_total{destination="cloudevents",status="ok"} 1"#,
        ],
    );
}
