//! The program beside a bare hyper server that answers 200 and does nothing, in the same run:
//! `cargo bench -p sidekick-shim --bench shim`, with `-- rates` or `-- million` for one half of it.
//!
//! Both are processes of their own; the clients and the sink are in this one, on the same cores. A round measures each
//! once, and of all rounds the median counts.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench stops where it fails, and prints what it finds"
)]

use std::convert::Infallible;
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

type Failed = Box<dyn Error + Send + Sync>;

const ROUNDS: usize = 5;
const CONNECTIONS: usize = 16;
const ALERTS: usize = 48_000;
const SEQUENTIAL: usize = 3_000;
const SYNCS: usize = 300;
const MILLION: usize = 1_000_000;

/// Set in the process that is the bare server.
const BARE: &str = "SHIM_BENCH_BARE";

fn main() -> Result<(), Failed> {
    let runtime = tokio::runtime::Runtime::new()?;
    if std::env::var_os(BARE).is_some() {
        return runtime.block_on(be_bare());
    }
    let only = std::env::args().find(|arg| matches!(&**arg, "rates" | "million"));
    let wanted = |half: &str| only.as_ref().is_none_or(|only| only == half);
    runtime.block_on(async {
        if wanted("rates") {
            rates().await?;
        }
        if wanted("million") {
            million().await?;
        }
        Ok(())
    })
}

// The programs.

/// Answers 200 to everything.
async fn be_bare() -> Result<(), Failed> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answer = service_fn(|request: Request<Incoming>| async {
            let _ = request.into_body().collect().await;
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    }
}

/// A server in a process of its own.
struct Server {
    child: Child,
    address: SocketAddr,
    _spool: Option<TempDir>,
}

impl Server {
    fn bare() -> Result<Self, Failed> {
        let mut child = Command::new(std::env::current_exe()?)
            .env(BARE, "1")
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        Ok(Self {
            child,
            address: line.trim().parse()?,
            _spool: None,
        })
    }

    async fn shim(sink: SocketAddr, durability: &str) -> Result<Self, Failed> {
        let spool = tempfile::tempdir()?;
        let (address, child, _) = start_shim(sink, durability, &spool).await?;
        Ok(Self {
            child,
            address,
            _spool: Some(spool),
        })
    }

    /// The time that its threads have run.
    fn cpu(&self) -> Result<Duration, Failed> {
        let mut nanos = 0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
            nanos += text.split(' ').next().ok_or("no time")?.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanos))
    }

    fn rss(&self) -> Result<f64, Failed> {
        rss(&self.child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// In MiB.
fn rss(child: &Child) -> Result<f64, Failed> {
    let text = std::fs::read_to_string(format!("/proc/{}/status", child.id()))?;
    let line = text
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .ok_or("no VmRSS")?;
    let kib = line
        .split_whitespace()
        .nth(1)
        .ok_or("no number")?
        .parse::<f64>()?;
    Ok(kib / 1024.0)
}

/// How long it took from a start of the program until it accepted a connection, and until it answered an alert, in ms.
struct Took {
    accepted: f64,
    answered: f64,
}

/// Starts the program, and has it take an alert.
async fn start_shim(
    sink: SocketAddr,
    durability: &str,
    spool: &TempDir,
) -> Result<(SocketAddr, Child, Took), Failed> {
    let free = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_sidekick-shim"));
    command
        .env_clear()
        .env("K_SINK", format!("http://{sink}/"))
        .env("LISTENADDRESS", "127.0.0.1")
        .env("LISTENPORT", free.port().to_string())
        .env("SHIM_SPOOL", spool.path())
        .env("SHIM_SPOOL_BYTES", (4_u64 << 30).to_string())
        .env("SHIM_DURABILITY", durability)
        .env("RUST_LOG", "error")
        .stderr(Stdio::inherit());
    let began = Instant::now();
    let child = command.spawn()?;
    let took = || began.elapsed().as_secs_f64() * 1e3;
    // The runtime's own clock ticks once a millisecond.
    let stream = loop {
        match std::net::TcpStream::connect(free) {
            Ok(stream) => break stream,
            Err(_) => std::thread::sleep(Duration::from_micros(100)),
        }
    };
    let accepted = took();
    stream.set_nonblocking(true)?;
    let mut sender = client(TcpStream::from_std(stream)?).await?;
    post(&mut sender, alert(0)).await?;
    let answered = took();
    Ok((free, child, Took { accepted, answered }))
}

/// An HTTP sink that counts what it gets; one that hangs answers nothing.
struct Sink {
    address: SocketAddr,
    got: Arc<AtomicUsize>,
    news: Arc<Notify>,
}

impl Sink {
    async fn start(hangs: bool) -> Result<Self, Failed> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let sink = Self {
            address: listener.local_addr()?,
            got: Arc::default(),
            news: Arc::default(),
        };
        let (got, news) = (Arc::clone(&sink.got), Arc::clone(&sink.news));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let (got, news) = (Arc::clone(&got), Arc::clone(&news));
                let answer = service_fn(move |request: Request<Incoming>| {
                    let (got, news) = (Arc::clone(&got), Arc::clone(&news));
                    async move {
                        let _ = request.into_body().collect().await;
                        if hangs {
                            std::future::pending::<()>().await;
                        }
                        got.fetch_add(1, Ordering::Relaxed);
                        news.notify_one();
                        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
                    }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
            }
        });
        Ok(sink)
    }

    async fn has(&self, alerts: usize) {
        while self.got.load(Ordering::Relaxed) < alerts {
            self.news.notified().await;
        }
    }
}

// The clients.

async fn client(stream: TcpStream) -> Result<SendRequest<Full<Bytes>>, Failed> {
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn post(sender: &mut SendRequest<Full<Bytes>>, body: Bytes) -> Result<(), Failed> {
    let request = Request::post("/")
        .header("host", "x")
        .header("content-type", "application/json");
    sender.ready().await?;
    let answer = sender.send_request(request.body(Full::new(body))?).await?;
    assert_eq!(answer.status(), StatusCode::OK);
    answer.into_body().collect().await?;
    Ok(())
}

/// An alert of Falco's usual size, its members in Falco's order, each with an id of its own.
fn alert(number: usize) -> Bytes {
    let text = format!(
        r#"{{"hostname":"node-1","output":"17:15:03.434319636: Warning Sensitive file opened for reading by non-trusted program (file=/etc/shadow gparent=sshd process=cat proc_exepath=/usr/bin/cat parent=bash command=cat /etc/shadow terminal=34817 container_id=f29b261f8831 container_name=k8s_mysql k8s_ns=default k8s_pod=mysql-db-7d59548d75-wh44s)","output_fields":{{"container.id":"f29b261f8831","container.name":"k8s_mysql","evt.time":17436069{number:011},"evt.type":"openat","fd.name":"/etc/shadow","k8s.ns.name":"default","k8s.pod.name":"mysql-db-7d59548d75-wh44s","proc.aname[2]":"sshd","proc.cmdline":"cat /etc/shadow","proc.exepath":"/usr/bin/cat","proc.name":"cat","proc.pname":"bash","proc.tty":34817,"user.loginuid":0,"user.name":"root","user.uid":0}},"priority":"Warning","rule":"Read sensitive file untrusted","source":"syscall","tags":["T1555","container","filesystem","host","maturity_stable","mitre_credential_access"],"time":"2025-04-02T15:15:03.{number:09}Z"}}"#
    );
    Bytes::from(text)
}

/// Posts so many alerts over 16 kept connections, each after the answer to the one before.
async fn load(address: SocketAddr, alerts: usize) -> Result<(), Failed> {
    let next = Arc::new(AtomicUsize::new(1));
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut sender = client(TcpStream::connect(address).await?).await?;
        let next = Arc::clone(&next);
        clients.push(tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number > alerts {
                    return;
                }
                post(&mut sender, alert(number)).await.expect("an answer");
            }
        }));
    }
    for client in clients {
        client.await?;
    }
    Ok(())
}

/// The median time of one answer on one connection, in µs.
async fn p50(address: SocketAddr) -> Result<f64, Failed> {
    let mut sender = client(TcpStream::connect(address).await?).await?;
    let mut times = Vec::new();
    for number in 0..SEQUENTIAL {
        let body = alert(number);
        let began = Instant::now();
        post(&mut sender, body).await?;
        times.push(began.elapsed().as_secs_f64() * 1e6);
    }
    Ok(median(times))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

// What is measured.

#[derive(Default)]
struct Figures {
    rate: Vec<f64>,
    cpu: Vec<f64>,
    p50: Vec<f64>,
}

impl Figures {
    /// The rate until `done`, and the CPU time of an alert; and then the time of one answer.
    async fn measure(&mut self, server: &Server, done: impl AsyncFn()) -> Result<(), Failed> {
        let (cpu, began) = (server.cpu()?, Instant::now());
        load(server.address, ALERTS).await?;
        done().await;
        let (alerts, took) = (ALERTS as f64, began.elapsed().as_secs_f64());
        self.rate.push(alerts / took);
        self.cpu.push((server.cpu()? - cpu).as_secs_f64() * 1e6 / alerts);
        self.p50.push(p50(server.address).await?);
        Ok(())
    }

    fn say(&self, what: &str, bare: &Self) {
        let figure = |values: &[f64], bare: &[f64]| {
            let (value, bare) = (median(values.to_vec()), median(bare.to_vec()));
            (value, value / bare)
        };
        let (rate, of_rate) = figure(&self.rate, &bare.rate);
        let (cpu, of_cpu) = figure(&self.cpu, &bare.cpu);
        let (p50, of_p50) = figure(&self.p50, &bare.p50);
        println!(
            "{what:24} {rate:7.0}/s {of_rate:4.2}   CPU {cpu:5.1} µs {of_cpu:4.2}   p50 {p50:5.0} µs {of_p50:4.2}"
        );
    }
}

async fn rates() -> Result<(), Failed> {
    let [mut bare, mut crash, mut power_loss, mut hanging] = [(); 4].map(|()| Figures::default());
    let mut idle = Vec::new();
    let (mut accepted, mut answered) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.measure(&Server::bare()?, async || {}).await?;
        for (durability, figures) in [("crash", &mut crash), ("power-loss", &mut power_loss)] {
            let sink = Sink::start(false).await?;
            let server = Server::shim(sink.address, durability).await?;
            figures
                .measure(&server, async || sink.has(ALERTS + 1).await)
                .await?;
        }
        let sink = Sink::start(true).await?;
        let server = Server::shim(sink.address, "crash").await?;
        idle.push(server.rss()?);
        hanging.measure(&server, async || {}).await?;
        // It still has much to bring to the disk.
        drop(server);
        let spool = tempfile::tempdir()?;
        let (_, mut child, took) = start_shim(sink.address, "crash", &spool).await?;
        accepted.push(took.accepted);
        answered.push(took.answered);
        child.kill()?;
        child.wait()?;
    }
    println!(
        "16 connections, beside bare hyper; an alert has {} bytes",
        alert(0).len()
    );
    bare.say("bare", &bare);
    crash.say("delivered, crash", &bare);
    power_loss.say("delivered, power-loss", &bare);
    hanging.say("accepted, sink hangs", &bare);
    println!(
        "a sync takes {:.0} µs; idle: {:.1} MiB; from exec {:.1} ms to the first connection, {:.1} ms to the first 200",
        sync()?,
        median(idle),
        median(accepted),
        median(answered)
    );
    Ok(())
}

/// The median time of bringing an alert that is appended to a file to the disk, in µs: with `power-loss`, what an answer
/// waits for whatever the program does. 200 µs on one disk, next to nothing in memory (`TMPDIR=/dev/shm`).
fn sync() -> Result<f64, Failed> {
    let mut file = tempfile::tempfile()?;
    let mut times = Vec::new();
    for number in 0..SYNCS {
        file.write_all(&alert(number))?;
        let began = Instant::now();
        file.sync_data()?;
        times.push(began.elapsed().as_secs_f64() * 1e6);
    }
    Ok(median(times))
}

/// A million alerts in the spool of a sink that hangs, and a start after a kill.
async fn million() -> Result<(), Failed> {
    let sink = Sink::start(true).await?;
    let spool = tempfile::tempdir()?;
    let (address, mut child, _) = start_shim(sink.address, "crash", &spool).await?;
    load(address, MILLION).await?;
    let before = rss(&child)?;
    child.kill()?;
    child.wait()?;
    let (_, mut child, took) = start_shim(sink.address, "crash", &spool).await?;
    println!(
        "a million alerts in the spool: {before:.1} MiB; after a kill {:.1} ms to the first connection, {:.1} ms to the first 200, {:.1} MiB",
        took.accepted,
        took.answered,
        rss(&child)?
    );
    child.kill()?;
    child.wait()?;
    Ok(())
}
