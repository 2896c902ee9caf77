use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};

use hyper::body::{Frame, SizeHint};
use tokio::time::Instant;

use super::*;
use crate::config::WhenFull;
use crate::fixture::{self, rules};
use crate::observer::Observer;
use crate::spool::{DELAY, Lane, Next};

const ROOMY: usize = 4 * BODY_BYTES;

fn front(bytes: usize, observer: impl Observer) -> Front {
    front_of(&fixture::config(bytes), observer)
}

fn front_of(config: &crate::Config, observer: impl Observer) -> Front {
    let metrics = Arc::new(Metrics::new(&[]));
    Front {
        intake: Arc::default(),
        spool: fixture::spool(config, &metrics, observer),
        metrics,
        bodies: Arc::new(Semaphore::new(BODIES_BYTES)),
        texts: Arc::default(),
    }
}

impl Front {
    /// The answer on a new connection.
    async fn answers<B>(&self, request: Request<B>) -> Answer
    where
        B: Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    {
        self.answer(request, &Patience::default()).await.unwrap()
    }
}

fn post(body: impl Into<Bytes>) -> Request<http_body_util::Full<Bytes>> {
    Request::post("/")
        .body(http_body_util::Full::new(body.into()))
        .unwrap()
}

async fn shown(answer: Answer) -> (u16, String) {
    let (head, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status.as_u16(), String::from_utf8(body.to_vec()).unwrap())
}

fn scraped(front: &Front) -> String {
    let count = front.spool.ledger().count();
    front.metrics.text(crate::metrics::Spooled {
        alerts: count.alerts,
        bytes: count.bytes,
        oldest: Duration::ZERO,
        writable: true,
    })
}

#[track_caller]
fn counts(front: &Front, accepted: u64, rejected: u64) {
    let text = scraped(front);
    for (status, count) in [("accepted", accepted), ("rejected", rejected)] {
        let line = format!(
            r#"falcosecurity_falcosidekick_inputs_total{{source="requests",status="{status}"}} {count}"#
        );
        assert!(text.contains(&format!("{line}\n")), "`{line}` is not in\n{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_alert_is_queued_verbatim_and_answered_with_nothing() {
    for path in ["/", "/any/path?q", "/ping"] {
        let front = front(ROOMY, ());
        let text =
            "{ \"rule\" : \"r\",\"priority\":\"INFO\", \"time\":\"2026-06-02T10:00:00+00:00\",\"new\":1e400}";
        let mut request = post(text);
        *request.uri_mut() = path.parse().unwrap();
        assert_eq!(
            shown(front.answers(request).await).await,
            (200, String::new()),
            "{path}"
        );
        let Next::Try(_, item) = front.spool.ledger().next(0, Lane::Newest) else {
            panic!()
        };
        assert_eq!(item.alert.as_bytes(), text.as_bytes());
        counts(&front, 1, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn several_alerts_in_a_body_are_several() {
    let [a, b, c] = ["a", "b", "c"].map(fixture::text);
    for body in [
        format!("{a}{b}{c}"),
        format!("{a}\n{b}\r\n{c}\n"),
        format!("[{a},{b},{c}]"),
    ] {
        let front = front(ROOMY, ());
        assert_eq!(shown(front.answers(post(body)).await).await.0, 200);
        assert_eq!(rules(&front.spool), ["a", "b", "c"]);
        counts(&front, 3, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_alert_among_good_ones_costs_itself_only() {
    let front = front(ROOMY, ());
    let body = format!("{}\n{{\"rule\":7}}\n{}", fixture::text("a"), fixture::text("c"));
    let (status, text) = shown(front.answers(post(body)).await).await;
    assert_eq!(status, 400);
    assert!(text.starts_with("2 of 3 alerts accepted\nalert 2: "), "{text}");
    assert_eq!(rules(&front.spool), ["a", "c"]);
    counts(&front, 2, 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_alert_is_refused() {
    let no_alerts = [
        "",
        "  ",
        "hello",
        "{",
        "null",
        "7",
        "\"rule\"",
        "{}",
        r#"{"rule":""}"#,
        "[]",
        "[[]]",
        "\u{0}",
    ];
    for body in no_alerts {
        let front = front(ROOMY, ());
        let (status, text) = shown(front.answers(post(body)).await).await;
        assert_eq!(status, 400, "{body}");
        assert!(
            text.starts_with("0 of 1 alerts accepted\nalert 1: "),
            "{body}: {text}"
        );
        assert_eq!(rules(&front.spool), [""; 0]);
        counts(&front, 0, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn of_many_mistakes_the_first_are_named() {
    let front = front(ROOMY, ());
    let (status, text) = shown(front.answers(post("{}\n".repeat(100))).await).await;
    assert_eq!(status, 400);
    assert_eq!(text.lines().count(), 1 + MISTAKES + 1, "{text}");
    assert!(text.ends_with("100 alerts refused in all\n"), "{text}");
    counts(&front, 0, 100);
}

#[tokio::test(start_paused = true)]
async fn other_methods_are_told_what_is_allowed() {
    let cases = [
        ("GET", "/", "POST"),
        ("PUT", "/x", "POST"),
        ("DELETE", "/ping", "GET, HEAD, POST"),
        ("BREW", "/", "POST"),
    ];
    for (method, path, allowed) in cases {
        let front = front(ROOMY, ());
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(http_body_util::Empty::<Bytes>::new())
            .unwrap();
        let answer = front.answers(request).await;
        assert_eq!(answer.status(), 405, "{method} {path}");
        assert_eq!(answer.headers()[ALLOW], allowed);
        counts(&front, 0, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_not_ready_while_the_spool_cannot_be_written() {
    let front = front(ROOMY, ());
    for (writable, status) in [(false, 503), (true, 200)] {
        front.spool.ledger().set_writable(writable);
        let request = Request::get("/readyz");
        let request = request.body(http_body_util::Empty::<Bytes>::new()).unwrap();
        assert_eq!(shown(front.answers(request).await).await.0, status);
    }
}

#[tokio::test(start_paused = true)]
async fn probes_and_scrapers_are_answered() {
    let cases = [
        ("/ping", "pong\n"),
        ("/healthz", r#"{"status": "ok"}"#),
        ("/readyz", r#"{"status": "ok"}"#),
    ];
    let front = front(ROOMY, ());
    for (path, body) in cases {
        let request = Request::get(path)
            .body(http_body_util::Empty::<Bytes>::new())
            .unwrap();
        assert_eq!(shown(front.answers(request).await).await, (200, body.to_owned()));
    }
    front.answers(post(fixture::text("a"))).await;
    let request = Request::get("/metrics")
        .body(http_body_util::Empty::<Bytes>::new())
        .unwrap();
    let (status, text) = shown(front.answers(request).await).await;
    assert_eq!(status, 200);
    // A family's series have no order.
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    insta::assert_snapshot!(lines.join("\n"));
    counts(&front, 1, 0);
}

/// A body of this size with one alert.
fn padded(size: usize) -> String {
    let text = fixture::text("a");
    format!("{text}{}", " ".repeat(size - text.len()))
}

#[tokio::test(start_paused = true)]
async fn a_body_may_be_as_large_as_the_limit_and_no_larger() {
    let front = front(ROOMY, ());
    assert_eq!(front.answers(post(padded(BODY_BYTES))).await.status(), 200);
    let answer = front.answers(post(padded(BODY_BYTES + 1))).await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()[CONNECTION]),
        (413, &HeaderValue::from_static("close"))
    );
    counts(&front, 1, 1);
}

/// A body that comes in pieces and then ends in a given way.
struct Pieces {
    left: usize,
    end: Poll<Option<Result<Frame<Bytes>, std::io::Error>>>,
    announced: Option<u64>,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if self.left > 0 {
            self.left -= 1;
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b' '; 1024])))));
        }
        std::mem::replace(&mut self.end, Poll::Pending)
    }

    fn size_hint(&self) -> SizeHint {
        self.announced
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_grows_hangs_or_breaks_is_ended() {
    let broken = || Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into())));
    let cases = [
        ("grows", 5000, Poll::Pending, None, 413, 0),
        ("announces too much", 0, Poll::Pending, Some(1 << 30), 413, 0),
        ("hangs", 1, Poll::Pending, Some(2048), 408, 5),
        ("breaks", 1, broken(), None, 400, 0),
    ];
    for (name, left, end, announced, status, seconds) in cases {
        let front = front(ROOMY, ());
        let start = Instant::now();
        let request = Request::post("/").body(Pieces { left, end, announced }).unwrap();
        assert_eq!(front.answers(request).await.status(), status, "{name}");
        assert_eq!(start.elapsed().as_secs(), seconds, "{name}");
        counts(&front, 0, 1);
    }
}

/// A spool with room for two alerts of these tests.
const TWO: usize = 200;

#[tokio::test(start_paused = true)]
async fn a_full_spool_delays_the_answer_and_then_the_oldest_make_room() {
    let front = front(TWO, ());
    let patience = Patience::default();
    for (rule, delay) in [("a", 0), ("b", 0), ("c", 1), ("d", 0)] {
        let start = Instant::now();
        let answer = front.answer(post(fixture::text(rule)), &patience).await;
        assert_eq!(shown(answer.unwrap()).await, (200, String::new()), "{rule}");
        assert_eq!(start.elapsed().as_secs(), delay, "{rule}");
    }
    counts(&front, 4, 0);
    let text = scraped(&front);
    assert!(
        text.contains("sidekick_shim_dropped_total{reason=\"spool_full\"} 2\n"),
        "{text}"
    );
    assert_eq!(rules(&front.spool), ["c", "d"]);
}

#[tokio::test(start_paused = true)]
async fn the_more_urgent_do_not_make_room_and_the_least_urgent_do_first() {
    let front = front(TWO, ());
    let alert = |rule: &str, priority: &str| fixture::text(rule).replace("Notice", priority);
    front.answers(post(alert("debug", "Debug"))).await;
    front.answers(post(alert("notice", "Notice"))).await;
    front.answers(post(alert("error", "Error"))).await;
    let answer = front.answers(post(alert("late", "Debug"))).await;
    assert_eq!(answer.headers()[RETRY_AFTER], "1");
    let expected = "0 of 1 alerts accepted\n1 alerts not accepted: the spool is full\n";
    assert_eq!(shown(answer).await, (503, expected.to_owned()));
    counts(&front, 3, 1);
    let text = scraped(&front);
    assert!(
        text.contains("sidekick_shim_dropped_total{reason=\"not_taken\"} 1\n"),
        "{text}"
    );
    assert_eq!(rules(&front.spool), ["notice", "error"]);
}

#[tokio::test(start_paused = true)]
async fn one_who_is_told_to_reject_hangs_up() {
    let mut config = fixture::config(TWO);
    config.spool.when_full = WhenFull::Reject;
    let front = front_of(&config, ());
    let patience = Patience::default();
    for rule in ["a", "b"] {
        assert!(
            front
                .clone()
                .answer(post(fixture::text(rule)), &patience)
                .await
                .is_ok()
        );
    }
    let start = Instant::now();
    for _ in 0..2 {
        let answer = front.answer(post(fixture::text("c")), &patience).await;
        assert_eq!(answer.unwrap_err(), HangUp);
    }
    assert_eq!(start.elapsed(), DELAY);
    counts(&front, 2, 2);
    assert_eq!(rules(&front.spool), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn room_that_comes_in_time_ends_the_delay() {
    let front = front(88, ());
    front.answers(post(fixture::text("a"))).await;
    let start = Instant::now();
    let leaves = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(rules(&front.spool), ["a"]);
    };
    let (answer, ()) = tokio::join!(front.answers(post(fixture::text("b"))), leaves);
    assert_eq!(
        (answer.status().as_u16(), start.elapsed().as_millis()),
        (200, 300)
    );
}

#[tokio::test(start_paused = true)]
async fn the_observer_sees_what_is_accepted_and_nothing_else() {
    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<Vec<String>>>);
    impl Observer for Seen {
        fn accepted(&self, alert: &Alert) {
            self.0.lock().unwrap().push(alert.rule().to_owned());
        }
    }
    let seen = Seen::default();
    let mut config = fixture::config(88);
    config.spool.when_full = WhenFull::Reject;
    let front = front_of(&config, seen.clone());
    for rule in ["a", "b"] {
        let _ = front
            .clone()
            .answer(post(fixture::text(rule)), &Patience::default())
            .await;
    }
    assert_eq!(*seen.0.lock().unwrap(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn large_bodies_on_their_way_have_a_bound_together() {
    let front = front(ROOMY, ());
    let all = u32::try_from(BODIES_BYTES).unwrap();
    let others = Arc::clone(&front.bodies).acquire_many_owned(all).await.unwrap();
    let start = Instant::now();
    assert_eq!(front.answers(post(padded(SMALL_BYTES))).await.status(), 200);
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(front.answers(post(padded(SMALL_BYTES + 1))).await.status(), 503);
    assert_eq!(start.elapsed(), ROOM_DEADLINE);
    drop(others);
    assert_eq!(front.answers(post(padded(BODY_BYTES))).await.status(), 200);
    assert_eq!(front.bodies.available_permits(), BODIES_BYTES);
}

/// A body of this size that comes in pieces, with others in between.
struct Slowly(usize);

impl Body for Slowly {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        const PIECE: usize = 128 * 1024;
        if self.0 == 0 {
            return Poll::Ready(None);
        }
        // Every other time it is not here yet.
        if !self.0.is_multiple_of(2) {
            self.0 -= 1;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.0 = (self.0 - PIECE.min(self.0)) | 1;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b' '; PIECE])))))
    }
}

#[tokio::test(start_paused = true)]
async fn large_bodies_that_come_at_once_do_not_hold_up_one_another() {
    let front = front(ROOMY, ());
    let start = Instant::now();
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let front = front.clone();
        let request = Request::post("/").body(Slowly(BODY_BYTES - 1024 * 1024)).unwrap();
        all.spawn(async move { front.answers(request).await.status().as_u16() });
    }
    // Blanks alone are no alert.
    assert_eq!(all.join_all().await, [400; 20]);
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_large_body_does_not_hold_its_room_while_the_spool_is_full() {
    let mut config = fixture::config(TWO);
    config.spool.when_full = WhenFull::Reject;
    let front = front_of(&config, ());
    for rule in ["a", "b"] {
        front.answers(post(fixture::text(rule))).await;
    }
    let start = Instant::now();
    let answer = front
        .clone()
        .answer(post(padded(SMALL_BYTES + 1)), &Patience::default())
        .await;
    assert_eq!((answer.unwrap_err(), start.elapsed()), (HangUp, Duration::ZERO));
}
