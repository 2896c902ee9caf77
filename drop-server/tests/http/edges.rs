//! Senders that hang up, drip or go silent; the drain at the end.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use drop_core::facts::{Facts, Wants};
use drop_core::memory::Cluster;
use drop_core::pod::Pod;
use drop_core::ports::{ApiError, ApplyError, By, Change, Found, PodApi, Presence, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

use crate::stage::{POLICY, Stage, alert, answer, request, soon};

/// An API that panics.
pub(crate) struct Broken;

#[async_trait]
impl PodApi for Broken {
    async fn find(&self, _: &By) -> Result<Found, ApiError> {
        panic!("for the test")
    }
    async fn facts(&self, pod: Pod, _: Wants) -> Facts {
        Facts::of(pod)
    }
    async fn apply(&self, _: &Target, _: &Change, _: Duration) -> Result<(), ApplyError> {
        Ok(())
    }
    async fn presence(&self, _: &Target) -> Result<Presence, ApiError> {
        Ok(Presence::Gone)
    }
}

/// The cluster, whose changes wait until the test lets them through.
struct Held {
    cluster: Cluster,
    arrived: Arc<Semaphore>,
    let_through: Arc<Semaphore>,
}

#[async_trait]
impl PodApi for Held {
    async fn find(&self, by: &By) -> Result<Found, ApiError> {
        self.cluster.find(by).await
    }
    async fn facts(&self, pod: Pod, wants: Wants) -> Facts {
        self.cluster.facts(pod, wants).await
    }
    async fn apply(&self, target: &Target, change: &Change, within: Duration) -> Result<(), ApplyError> {
        self.arrived.add_permits(1);
        let _held = self.let_through.acquire().await;
        self.cluster.apply(target, change, within).await
    }
    async fn presence(&self, target: &Target) -> Result<Presence, ApiError> {
        self.cluster.presence(target).await
    }
}

/// A stage whose changes are held: it, what tells that one has arrived, and what lets it through.
async fn held() -> (Stage, Arc<Semaphore>, Arc<Semaphore>) {
    let (arrived, let_through) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (a, l) = (Arc::clone(&arrived), Arc::clone(&let_through));
    let stage = Stage::over(move |cluster| {
        Arc::new(Held {
            cluster,
            arrived: a,
            let_through: l,
        })
    })
    .await;
    (stage, arrived, let_through)
}

#[tokio::test]
async fn a_sender_that_hangs_up_during_the_act_changes_nothing() {
    let (stage, arrived, let_through) = held().await;
    let mut stream = stage.connect().await;
    stream
        .write_all(&request(
            "content-type: application/json\r\n",
            alert(&stage.pod()).as_bytes(),
        ))
        .await
        .unwrap();
    soon(arrived.acquire()).await.unwrap().forget();
    drop(stream);
    let_through.add_permits(1);
    soon(stage.host.drain()).await;
    assert_eq!((stage.touched(), stage.outcomes()), (1, vec!["acted"]));
}

#[tokio::test]
async fn the_drain_finishes_what_is_under_way_and_accepts_nothing_new() {
    let (stage, arrived, let_through) = held().await;
    let mut stream = stage.connect().await;
    stream
        .write_all(&request(
            "content-type: application/json\r\n",
            alert(&stage.pod()).as_bytes(),
        ))
        .await
        .unwrap();
    soon(arrived.acquire()).await.unwrap().forget();
    stage.stop.cancel();
    let_through.add_permits(1);
    assert_eq!(soon(answer(&mut stream)).await.status, 202);
    soon(stage.server).await.unwrap();
    assert!(tokio::net::TcpStream::connect(stage.address).await.is_err());
}

#[tokio::test]
async fn half_a_header_does_not_hold_up_the_end() {
    let (stage, arrived, let_through) = held().await;
    let mut half = stage.connect().await;
    half.write_all(b"POST / HT").await.unwrap();
    let mut whole = stage.connect().await;
    let body = alert(&stage.pod());
    let whole_request = request("content-type: application/json\r\n", body.as_bytes());
    whole.write_all(&whole_request).await.unwrap();
    soon(arrived.acquire()).await.unwrap().forget();
    stage.stop.cancel();
    assert_eq!(half.read(&mut [0; 8]).await.unwrap(), 0, "it is closed");
    // Who was answering goes on.
    let_through.add_permits(1);
    assert_eq!(soon(answer(&mut whole)).await.status, 202);
    soon(stage.server).await.unwrap();
}

/// Of each body the first 64 KiB have 8 MiB for themselves, and the rest of all has as much.
#[tokio::test]
async fn large_bodies_that_do_not_end_keep_no_alert_out() {
    let stage = Stage::new().await;
    let (first, mut room, mut held) = (64 * 1024, 8 * 1024 * 1024, Vec::new());
    while room > 0 {
        let rest = room.min(960 * 1024 - 1);
        room -= rest;
        let mut stream = stage.connect().await;
        let head =
            "POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1048576\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        soon(stream.write_all(&vec![b' '; first + rest])).await.unwrap();
        held.push(stream);
    }
    let large = format!("{}{}", " ".repeat(first), alert(&stage.pod()));
    while stage.falco(&large).await.status != 503 {
        tokio::task::yield_now().await;
    }
    assert_eq!(stage.falco(&alert(&stage.pod())).await.status, 202);
}

#[tokio::test]
async fn an_alert_in_flight_finishes_under_the_policy_it_started_with() {
    let (mut stage, arrived, let_through) = held().await;
    let before = stage.store.status().active;
    let mut stream = stage.connect().await;
    let body = alert(&stage.pod());
    stream
        .write_all(&request("content-type: application/json\r\n", body.as_bytes()))
        .await
        .unwrap();
    soon(arrived.acquire()).await.unwrap().forget();
    stage.rewrite(&POLICY.replace("enforce", "observe"));
    let after = stage.store.status().active;
    assert_eq!((before.generation, after.generation), (1, 2));
    let_through.add_permits(1);
    assert_eq!(soon(answer(&mut stream)).await.status, 202);
    let next = stage.cluster.pods().pop().unwrap();
    stage.falco(&alert(&next)).await;
    let records = stage.records.decided();
    assert_eq!(
        (records[0].policies.clone(), records[0].outcome.label()),
        (before.hash, "acted")
    );
    assert_eq!(
        (records[1].policies.clone(), records[1].outcome.label()),
        (after.hash, "observed")
    );
}

#[tokio::test]
async fn a_policy_that_is_refused_is_said_in_the_status_and_in_a_metric() {
    let mut stage = Stage::new().await;
    assert!(
        stage
            .get("/metrics")
            .await
            .contains("falco_drop_policy_refused 0")
    );
    stage.rewrite("spec: [");
    let (status, metrics) = (stage.get("/policies").await, stage.get("/metrics").await);
    assert!(
        status.contains(r#""generation":1"#) && status.contains(r#""refused":true"#),
        "{status}"
    );
    let ready = stage.get("/readyz").await;
    assert!(
        ready.starts_with("ready\nthe policy files as they are now are not in force: the log says why\n"),
        "{ready}"
    );
    for series in [
        "falco_drop_policy_refused 1",
        "falco_drop_policy_generation 1",
        r#"falco_drop_policy_reloads_total{result="refused"} 1"#,
    ] {
        assert!(metrics.contains(series), "{series} is not in {metrics}");
    }
    stage.rewrite(&POLICY.replace("enforce", "observe"));
    let (status, metrics) = (stage.get("/policies").await, stage.get("/metrics").await);
    assert!(
        status.contains(r#""generation":2"#) && status.contains(r#""refused":false"#),
        "{status}"
    );
    assert!(
        metrics.contains("falco_drop_policy_refused 0") && metrics.contains("falco_drop_policy_generation 2")
    );
}

#[tokio::test]
async fn two_deliveries_at_a_time_are_one_act() {
    let (stage, arrived, let_through) = held().await;
    let body = alert(&stage.pod());
    let mut first = stage.connect().await;
    first
        .write_all(&request("content-type: application/json\r\n", body.as_bytes()))
        .await
        .unwrap();
    soon(arrived.acquire()).await.unwrap().forget();
    assert_eq!(
        stage.falco(&body).await.status,
        503,
        "while the first is under way nobody can tell"
    );
    let_through.add_permits(1);
    assert_eq!(soon(answer(&mut first)).await.status, 202);
    assert_eq!(stage.falco(&body).await.status, 202);
    assert_eq!(
        (stage.touched(), stage.outcomes()),
        (1, vec!["skipped", "acted", "duplicate"])
    );
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_and_a_slow_body_are_ended() {
    let stage = Stage::new().await;
    let mut silent = stage.connect().await;
    let mut buffer = Vec::new();
    silent.read_to_end(&mut buffer).await.unwrap();
    assert!(
        buffer.is_empty() || buffer.starts_with(b"HTTP/1.1 408"),
        "{}",
        String::from_utf8_lossy(&buffer)
    );

    let mut slow = stage.connect().await;
    slow.write_all(b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 100\r\n\r\n{")
        .await
        .unwrap();
    assert_eq!(answer(&mut slow).await.status, 408);
    assert_eq!(stage.outcomes().len(), 0);
}
