//! A proxy in front of the API server that notes when it has each piece of a watch in hand, and tells so beside.

use std::convert::Infallible;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use falco_event::PodUid;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::lab;

/// The pieces of a watch, and when each was passed on.
type Passed = Arc<Mutex<Vec<(Instant, Bytes)>>>;

type Unreadable = Box<dyn std::error::Error + Send + Sync>;

pub(crate) struct Proxy {
    address: SocketAddr,
    passed: Passed,
}

impl Proxy {
    /// On a thread of its own, so that nothing else here keeps it waiting. With each piece it sends its number there.
    pub(crate) fn start(kubeconfig: &Path, beside: SocketAddr) -> Self {
        let passed = Passed::default();
        let (tell, told) = std::sync::mpsc::channel();
        let (kubeconfig, into) = (kubeconfig.to_owned(), Arc::clone(&passed));
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(beside).unwrap();
        let beside = Arc::new(socket);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                let client = lab::client(&kubeconfig).await;
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    stream.set_nodelay(true).unwrap();
                    let (client, into, beside) = (client.clone(), Arc::clone(&into), Arc::clone(&beside));
                    let pass = service_fn(move |request| {
                        pass(client.clone(), Arc::clone(&into), Arc::clone(&beside), request)
                    });
                    let connection = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), pass);
                    tokio::spawn(connection);
                }
            });
        });
        let address = told.recv().unwrap();
        Self { address, passed }
    }

    /// A kubeconfig that leads here.
    pub(crate) fn kubeconfig(&self) -> NamedTempFile {
        let file = NamedTempFile::new().unwrap();
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "p",
            "clusters": [{ "name": "p", "cluster": { "server": format!("http://{}", self.address) } }],
            "users": [{ "name": "p", "user": {} }],
            "contexts": [{ "name": "p", "context": { "cluster": "p", "user": "p" } }],
        });
        serde_json::to_writer(&file, &config).unwrap();
        file
    }

    /// The pods whose end was passed on, the piece that the last byte of that was in, and when. They are read only now,
    /// so that reading them keeps nothing waiting.
    pub(crate) fn ends(&self) -> Vec<(PodUid, usize, Instant)> {
        let (mut line, mut ends) = (Vec::new(), Vec::new());
        for (number, (at, piece)) in self.passed.lock().unwrap().iter().enumerate() {
            for byte in piece {
                if *byte != b'\n' {
                    line.push(*byte);
                    continue;
                }
                if line.starts_with(b"{\"type\":\"DELETED\"") {
                    let event: Value = serde_json::from_slice(&line).unwrap();
                    let uid = event["object"]["metadata"]["uid"].as_str().unwrap();
                    ends.push((uid.parse().unwrap(), number, *at));
                }
                line.clear();
            }
        }
        ends
    }
}

async fn pass(
    client: Client,
    passed: Passed,
    beside: Arc<UdpSocket>,
    request: http::Request<Incoming>,
) -> Result<http::Response<impl hyper::body::Body<Data = Bytes, Error = impl Into<Unreadable>>>, Infallible> {
    let is_watch = request
        .uri()
        .query()
        .is_some_and(|query| query.contains("watch=true"));
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    let mut on = http::Request::new(Body::from(body));
    (*on.method_mut(), *on.uri_mut()) = (head.method, head.uri);
    let (head, body) = client.send(on).await.unwrap().into_parts();
    let mut answer = http::Response::new(body.map_frame(move |frame| {
        if let Some(data) = frame.data_ref().filter(|_| is_watch) {
            let mut passed = passed.lock().unwrap();
            beside.send(&passed.len().to_le_bytes()).unwrap();
            passed.push((Instant::now(), data.clone()));
        }
        frame
    }));
    *answer.status_mut() = head.status;
    Ok(answer)
}
