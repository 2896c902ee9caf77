//! The way of an alert over loopback HTTP, beside the bare thing in the same run: `cargo bench -p drop-server`.
//!
//! - *alert to DELETE*: from the first byte of Falco's POST until the DELETE has arrived at an API server on loopback
//!   that is backed by the cluster in memory, one alert after the other. Beside it: the same client sends the DELETE
//!   itself.
//! - *no match*: alerts that no response wants, over 16 kept connections. Beside it: a hyper server that reads the body
//!   and answers 202.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    reason = "a bench stops where it fails, and prints what it finds"
)]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use drop_core::Engine;
use drop_core::memory::{Cluster, Workload};
use drop_core::past::LocalMemory;
use drop_core::policy::{Policies, Source};
use drop_core::ports::{Change, Journal, PodApi, Target};
use drop_core::record::Record;
use drop_kube::testing::ApiServer;
use drop_kube::{KubePods, Settings};
use drop_server::{Host, Metrics, Store, SystemClock, serve};
use falco_event::{Namespace, PodName, Timestamp};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

const ALERTS: usize = 1_000;
const CONNECTIONS: usize = 16;
const PER_CONNECTION: usize = 4_000;

const POLICY: &str = r#"
apiVersion: falco-drop.dev/v1alpha1
kind: DropPolicy
metadata: { name: p }
spec:
  mode: enforce
  limits: []
  responses:
    - { name: shell, when: alert.rule = "Terminal shell in container", do: [delete: {}] }
"#;

struct Nowhere;

#[async_trait]
impl Journal for Nowhere {
    async fn write(&self, _: &Record) {}
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (way, bare) = alert_to_delete().await?;
    report("alert to DELETE", way);
    report("bare DELETE", bare);
    let (alerts, requests) = no_match().await?;
    println!(
        "no match: {alerts:.0} alerts/s, {:.2} of bare hyper's {requests:.0} requests/s",
        alerts / requests
    );
    Ok(())
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let (median, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    println!(
        "{what}: median {} µs, p99 {} µs of {}",
        median.as_micros(),
        p99.as_micros(),
        times.len()
    );
}

/// For each alert the time to its DELETE, and in turn with it the time of a DELETE that is sent at once.
async fn alert_to_delete() -> Result<(Vec<Duration>, Vec<Duration>), Box<dyn std::error::Error>> {
    let cluster = Cluster::new(Timestamp::now());
    let namespace = Namespace::try_from("default")?;
    cluster.add_namespace(&namespace, &[]);
    cluster.add_workload(Workload::deployment(namespace, PodName::try_from("db")?));
    let api = ApiServer::start(cluster.clone()).await?;
    let pods = KubePods::new(api.client()?, Settings::default());
    let address = server(Arc::new(pods.clone())).await?;
    let mut sender = connect(address).await?;
    let (mut way, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..ALERTS {
        cluster.advance_to(Timestamp::now());
        let pod = cluster.pods().remove(0);
        let began = Instant::now();
        let status = sender.send_request(post(alert(&pod))).await?.status();
        assert_eq!(status, StatusCode::ACCEPTED);
        way.push(last_delete(&api) - began);

        cluster.advance(Duration::from_secs(2));
        let pod = cluster.pods().remove(0);
        let began = Instant::now();
        let delete = Change::Delete {
            grace_period_seconds: 1,
        };
        pods.apply(&Target::of(&pod), &delete, Duration::from_secs(1))
            .await?;
        bare.push(last_delete(&api) - began);
        cluster.advance(Duration::from_secs(2));
    }
    Ok((way, bare))
}

fn last_delete(api: &ApiServer) -> Instant {
    api.requests()
        .iter()
        .rev()
        .find(|request| request.method == "DELETE")
        .expect("a DELETE")
        .at
}

/// Alerts a second without a match, and requests a second of a bare server.
async fn no_match() -> Result<(f64, f64), Box<dyn std::error::Error>> {
    let other = alert_of("Another rule");
    let server = server(Arc::new(Cluster::new(Timestamp::now()))).await?;
    let alerts = rate(server, &other).await?;
    let requests = rate(bare().await?, &other).await?;
    Ok((alerts, requests))
}

async fn rate(address: SocketAddr, body: &str) -> Result<f64, Box<dyn std::error::Error>> {
    let began = Instant::now();
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let body = body.to_owned();
        let mut sender = connect(address).await?;
        clients.push(tokio::spawn(async move {
            for _ in 0..PER_CONNECTION {
                let answer = sender.send_request(post(body.clone())).await.expect("an answer");
                assert_eq!(answer.status(), StatusCode::ACCEPTED);
                answer.into_body().collect().await.expect("its body");
            }
        }));
    }
    for client in clients {
        client.await?;
    }
    Ok((CONNECTIONS * PER_CONNECTION) as f64 / began.elapsed().as_secs_f64())
}

async fn server(api: Arc<dyn PodApi>) -> Result<SocketAddr, Box<dyn std::error::Error>> {
    let clock = Arc::new(SystemClock::default());
    let engine = Engine::new(
        api,
        Arc::new(LocalMemory::new(clock.clone())),
        Arc::new(Nowhere),
        clock,
    );
    let metrics = Arc::new(Metrics::default());
    let policies = Policies::parse(&[Source {
        name: "p",
        text: POLICY,
    }])
    .map_err(|wrong| wrong.to_string())?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let host = Arc::new(Host::new(
        engine,
        Arc::new(Store::new(policies, Arc::clone(&metrics))),
        metrics,
    ));
    tokio::spawn(serve(listener, host, std::future::pending()));
    Ok(address)
}

async fn bare() -> Result<SocketAddr, Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = service_fn(|request: Request<hyper::body::Incoming>| async {
                let _ = request.into_body().collect().await;
                let mut response = Response::new(Full::<Bytes>::default());
                *response.status_mut() = StatusCode::ACCEPTED;
                Ok::<_, Infallible>(response)
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer),
            );
        }
    });
    Ok(address)
}

async fn connect(
    address: SocketAddr,
) -> Result<hyper::client::conn::http1::SendRequest<Full<Bytes>>, Box<dyn std::error::Error>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

fn post(body: String) -> Request<Full<Bytes>> {
    let request = Request::post("/")
        .header("host", "x")
        .header("content-type", "application/json");
    request.body(Full::new(Bytes::from(body))).expect("a request")
}

fn alert(pod: &drop_core::pod::Pod) -> String {
    let container = pod.containers[0].id.to_string();
    let fields = format!(
        r#"{{"container.id":"{}","k8s.ns.name":"{}","k8s.pod.name":"{}","proc.name":"bash"}}"#,
        &container[..12],
        pod.namespace,
        pod.name,
    );
    alert_of("Terminal shell in container").replace("{}", &fields)
}

fn alert_of(rule: &str) -> String {
    let time = Timestamp::now();
    let output =
        "A shell was spawned in a container with an attached terminal (user=root shell=bash parent=runc)";
    format!(
        r#"{{"rule":"{rule}","priority":"Notice","source":"syscall","time":"{time}","output":"{output}","output_fields":{{}}}}"#
    )
}
