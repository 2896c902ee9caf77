//! How a shim ends: drained, at its deadline, or aborted.

use crate::support::{ALERT, Does, Falco, Running, Sink, Tries, alert, status};
use sidekick_shim::Ended;
use tokio::net::TcpStream;

/// A shim with 20 alerts, whose sink refused the first ten tries.
async fn with_twenty_waiting() -> (Running, Sink) {
    let sink = Sink::start(|before| {
        if before < 10 {
            Does::Answer(503)
        } else {
            Does::Answer(202)
        }
    })
    .await;
    let (tries, mut seen) = Tries::new();
    let shim = Running::start(&sink.url(), &[("SHIM_DRAIN_DEADLINE", "10s")], tries).await;
    let mut falco = Falco::connect(shim.address).await;
    for number in 0..20 {
        assert_eq!(status(&falco.post(&alert(&number.to_string())).await), "200");
    }
    seen.recv().await.unwrap();
    (shim, sink)
}

#[tokio::test]
async fn a_drain_sends_all_that_is_accepted() {
    let (shim, mut sink) = with_twenty_waiting().await;
    assert_eq!(shim.drained().await, Ended::default());
    let all = std::iter::from_fn(|| sink.got.try_recv().ok());
    let mut rules: Vec<_> = all.map(|got| got.rule()).collect();
    assert_eq!(rules.len(), 30);
    rules.sort();
    rules.dedup();
    assert_eq!(rules.len(), 20);
}

#[tokio::test]
async fn a_drain_answers_the_request_in_flight_and_takes_no_new_connection() {
    let mut sink = Sink::start(|_| Does::Answer(202)).await;
    let shim = Running::start(&sink.url(), &[], ()).await;
    let mut falco = Falco::connect(shim.address).await;
    falco.post(&alert("before")).await;
    falco.begin(ALERT).await;
    shim.drain.cancel();
    while TcpStream::connect(shim.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    falco.send_body(ALERT).await;
    assert_eq!(status(&falco.answer().await), "200");
    assert_eq!(shim.end.await.unwrap(), Ended::default());
    let mut rules = [sink.next().await.rule(), sink.next().await.rule()];
    rules.sort();
    assert_eq!(rules, ["Terminal shell in container", "before"]);
}

#[tokio::test]
async fn a_drain_ends_at_its_deadline_and_says_what_is_left() {
    let sink = Sink::start(|_| Does::Hang).await;
    let shim = Running::start(&sink.url(), &[("SHIM_DRAIN_DEADLINE", "50ms")], ()).await;
    let mut falco = Falco::connect(shim.address).await;
    for number in 0..12 {
        falco.post(&alert(&number.to_string())).await;
    }
    assert_eq!(
        shim.drained().await,
        Ended {
            unsent: 12,
            lost: 12,
            failed: false
        }
    );
}

#[tokio::test]
async fn an_abort_ends_a_drain_at_once() {
    let mut sink = Sink::start(|_| Does::Hang).await;
    let shim = Running::start(&sink.url(), &[("SHIM_DRAIN_DEADLINE", "24h")], ()).await;
    Falco::connect(shim.address).await.post(ALERT).await;
    sink.next().await;
    shim.drain.cancel();
    shim.abort.cancel();
    assert_eq!(
        shim.end.await.unwrap(),
        Ended {
            unsent: 1,
            lost: 1,
            failed: false
        }
    );
}

#[tokio::test]
async fn what_waits_for_its_next_try_is_counted_too() {
    let sink = Sink::start(|_| Does::Later(503, "30")).await;
    let (tries, mut seen) = Tries::new();
    let shim = Running::start(&sink.url(), &[], tries).await;
    let mut falco = Falco::connect(shim.address).await;
    for number in 0..12 {
        falco.post(&alert(&number.to_string())).await;
    }
    for _ in 0..12 {
        seen.recv().await.unwrap();
    }
    shim.abort.cancel();
    assert_eq!(
        shim.end.await.unwrap(),
        Ended {
            unsent: 12,
            lost: 12,
            failed: false
        }
    );
}
