//! Both ends of the shim on loopback: a sink that keeps what it gets, and Falco's way to post.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use sidekick_shim::{Answer, Config, Ended, Observer, Shim, serve};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// An alert like the seed's: a shell in a database's pod.
pub(crate) const ALERT: &str = r#"{"output":"23:48:20.851908334: Notice A shell was spawned in a container with an attached terminal (user=root k8s.ns=default k8s.pod=mysql-db-7d59548d75-wh44s)","priority":"Notice","rule":"Terminal shell in container","time":"2026-01-11T23:48:20.851908334Z", "output_fields": {"container.id":"f29b261f8831","evt.time":1768175300851908334,"k8s.ns.name":"default","k8s.pod.name":"mysql-db-7d59548d75-wh44s","proc.tty":34816,"user.loginuid":-1}}"#;

/// An alert of this rule.
pub(crate) fn alert(rule: &str) -> String {
    serde_json::json!({"rule": rule, "priority": "Notice", "time": "2026-01-11T23:48:20Z"}).to_string()
}

/// What a sink does with a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Does {
    Answer(u16),
    /// Answers with a `Retry-After`.
    Later(u16, &'static str),
    Hang,
    /// Closes the connection without an answer.
    Close,
}

/// A request that a sink got.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Got {
    pub(crate) fn event(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn rule(&self) -> String {
        self.event()["data"]["rule"].as_str().unwrap().to_owned()
    }
}

/// An HTTP sink on loopback; `does` is told how many requests came before.
pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    pub(crate) got: UnboundedReceiver<Got>,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Sink {
    pub(crate) async fn start(does: impl Fn(usize) -> Does + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), does)
    }

    pub(crate) fn on(listener: TcpListener, does: impl Fn(usize) -> Does + Send + Sync + 'static) -> Self {
        let address = listener.local_addr().unwrap();
        let (seen, got) = unbounded_channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let mind = Arc::new(Mind {
            does: Box::new(does),
            before: AtomicUsize::new(0),
            seen,
        });
        let count = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve_one(stream, Arc::clone(&mind)));
            }
        });
        Self {
            address,
            got,
            connections,
            task,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/ns/default", self.address)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(crate) async fn next(&mut self) -> Got {
        self.got.recv().await.unwrap()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) struct Mind {
    does: Box<dyn Fn(usize) -> Does + Send + Sync>,
    before: AtomicUsize,
    seen: UnboundedSender<Got>,
}

impl Mind {
    pub(crate) fn new(seen: UnboundedSender<Got>) -> Self {
        Self {
            does: Box::new(|_| Does::Answer(202)),
            before: AtomicUsize::new(0),
            seen,
        }
    }
}

/// Serves one connection of a sink.
pub(crate) async fn serve_one(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, mind: Arc<Mind>) {
    let service = service_fn(|request: Request<Incoming>| {
        let mind = Arc::clone(&mind);
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let _ = mind.seen.send(Got {
                target: head.uri.to_string(),
                headers: head.headers,
                body,
            });
            let answer = Response::builder();
            let answer = match (mind.does)(mind.before.fetch_add(1, Ordering::SeqCst)) {
                Does::Answer(status) => answer.status(status),
                Does::Later(status, after) => answer.status(status).header("retry-after", after),
                Does::Hang => std::future::pending().await,
                Does::Close => return Err("closes without an answer"),
            };
            Ok(answer.body(Full::<Bytes>::default()).unwrap())
        }
    });
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// Sends on what the observer saw of each try.
pub(crate) struct Tries(UnboundedSender<(u32, Answer)>);

impl Tries {
    pub(crate) fn new() -> (Self, UnboundedReceiver<(u32, Answer)>) {
        let (out, seen) = unbounded_channel();
        (Self(out), seen)
    }
}

impl Observer for Tries {
    fn answered(&self, _: falco_event::AlertId, number: u32, answer: &Answer) {
        let _ = self.0.send((number, answer.clone()));
    }
}

/// A shim that runs in this process.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    /// The port without TLS, if the configuration asks for it.
    pub(crate) plain: SocketAddr,
    pub(crate) drain: CancellationToken,
    pub(crate) abort: CancellationToken,
    pub(crate) end: JoinHandle<Ended>,
}

impl Running {
    pub(crate) async fn start(
        sink: &str,
        variables: &'static [(&str, &str)],
        observer: impl Observer,
    ) -> Self {
        let lookup = |name: &str| {
            let set = variables.iter().find(|(variable, _)| *variable == name);
            set.map(|(_, value)| (*value).to_owned())
                .or_else(|| (name == "K_SINK").then(|| sink.to_owned()))
        };
        let shim = Shim::new(Config::from_lookup(lookup).unwrap(), observer).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let plain_address = plain.local_addr().unwrap();
        let has_plain = shim.config().tls.as_ref().is_some_and(|tls| tls.plain.is_some());
        let shim = if has_plain { shim.with_plain(plain) } else { shim };
        let [drain, abort] = [CancellationToken::new(), CancellationToken::new()];
        let end = tokio::spawn(serve(
            listener,
            shim,
            drain.clone().cancelled_owned(),
            abort.clone().cancelled_owned(),
        ));
        Self {
            address,
            plain: plain_address,
            drain,
            abort,
            end,
        }
    }

    pub(crate) async fn drained(self) -> Ended {
        self.drain.cancel();
        self.end.await.unwrap()
    }

    pub(crate) async fn metrics(&self) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }
}

/// One kept connection, as Falco has.
pub(crate) struct Falco(TcpStream);

impl Falco {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    /// Posts as Falco's libcurl does, byte for byte, and returns the whole answer.
    pub(crate) async fn post(&mut self, body: &str) -> String {
        self.send(body).await;
        self.answer().await
    }

    async fn send(&mut self, body: &str) {
        self.send_header(body, "").await;
        self.send_body(body).await;
    }

    /// Sends the header and waits until the shim asks for the body: then it is at work on this request.
    pub(crate) async fn begin(&mut self, body: &str) {
        self.send_header(body, "Expect: 100-continue\r\n").await;
        let mut go_on = [0; 25];
        self.0.read_exact(&mut go_on).await.unwrap();
        assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    }

    async fn send_header(&mut self, body: &str, more: &str) {
        let falcos = "POST / HTTP/1.1\r\nHost: falcosidekick:2801\r\nUser-Agent: falcosecurity/falco\r\n\
                      Accept: */*\r\nContent-Type: application/json\r\n";
        let header = format!("{falcos}{more}Content-Length: {}\r\n\r\n", body.len());
        self.0.write_all(header.as_bytes()).await.unwrap();
    }

    pub(crate) async fn send_body(&mut self, body: &str) {
        self.0.write_all(body.as_bytes()).await.unwrap();
    }

    pub(crate) async fn answer(&mut self) -> String {
        let mut text = String::new();
        let mut buffer = [0; 4096];
        loop {
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "))
                    .unwrap();
                if body.len() == length.parse::<usize>().unwrap() {
                    return text;
                }
            }
            let count = self.0.read(&mut buffer).await.unwrap();
            assert_ne!(count, 0, "closed after `{text}`");
            text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        }
    }
}

/// The status of an answer.
pub(crate) fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap()
}
