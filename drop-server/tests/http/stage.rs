//! A server on loopback, its cluster, and a client that speaks bytes.

use std::future::Future;
use std::io::Write;
use std::sync::Arc;

use drop_core::Engine;
use drop_core::memory::{Cluster, Records, Workload};
use drop_core::past::LocalMemory;
use drop_core::pod::Pod;
use drop_core::ports::PodApi;
use drop_server::{Follower, Host, KeyFile, Metrics, Store, SystemClock, serve};
use falco_event::{Namespace, PodName, Timestamp};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const POLICY: &str = r#"
apiVersion: falco-drop.dev/v1alpha1
kind: DropPolicy
metadata: { name: p }
spec:
  mode: enforce
  limits: []
  responses:
    - name: shell
      when: alert.rule = "Terminal shell in container"
      do: [delete: {}]
"#;

pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    pub(crate) records: Records,
    pub(crate) address: std::net::SocketAddr,
    pub(crate) stop: CancellationToken,
    pub(crate) server: JoinHandle<()>,
    pub(crate) host: Arc<Host>,
    /// The policies, and the file that they follow.
    pub(crate) store: Arc<Store>,
    pub(crate) follower: Follower,
    pub(crate) file: tempfile::NamedTempFile,
}

/// The status line's number, the headers as text, the body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::over(|cluster| Arc::new(cluster)).await
    }

    /// A server whose engine sees the cluster through `api`.
    pub(crate) async fn over(api: impl FnOnce(Cluster) -> Arc<dyn PodApi>) -> Self {
        Self::with(api, |host| host).await
    }

    /// A server that accepts only events signed with one of these keys.
    pub(crate) async fn signed(keys: Arc<KeyFile>) -> Self {
        Self::with(|cluster| Arc::new(cluster), |host| host.with_keys(Some(keys))).await
    }

    async fn with(api: impl FnOnce(Cluster) -> Arc<dyn PodApi>, host: impl FnOnce(Host) -> Host) -> Self {
        let cluster = Cluster::new(Timestamp::now());
        let namespace = Namespace::try_from("default").unwrap();
        cluster.add_namespace(&namespace, &[]);
        cluster.add_workload(Workload::deployment(namespace, PodName::try_from("db").unwrap()).replicas(3));
        let records = Records::default();
        let clock = Arc::new(SystemClock::default());
        let memory = Arc::new(LocalMemory::new(clock.clone()));
        let engine = Engine::new(api(cluster.clone()), memory, Arc::new(records.clone()), clock);
        let mut file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
        file.write_all(POLICY.as_bytes()).unwrap();
        let (follower, policies) = Follower::start(vec![file.path().to_owned()], None).unwrap();
        let metrics = Arc::new(Metrics::default());
        let store = Arc::new(Store::new(policies, Arc::clone(&metrics)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop, host) = (
            listener.local_addr().unwrap(),
            CancellationToken::new(),
            Arc::new(host(Host::new(engine, Arc::clone(&store), metrics))),
        );
        let server = tokio::spawn(serve(listener, Arc::clone(&host), stop.clone().cancelled_owned()));
        Self {
            cluster,
            records,
            store,
            follower,
            file,
            address,
            stop,
            server,
            host,
        }
    }

    /// Writes the policy file anew and lets the server look at it until it has judged it.
    pub(crate) fn rewrite(&mut self, text: &str) {
        std::fs::write(self.file.path(), text).unwrap();
        self.follower.look(&self.store);
        self.follower.look(&self.store);
    }

    /// The body of what stands at a path.
    pub(crate) async fn get(&self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        self.send(request.as_bytes()).await.body
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends these bytes on a connection of its own and reads the answer until the server closes it.
    pub(crate) async fn send(&self, request: &[u8]) -> Answer {
        let mut stream = self.connect().await;
        stream.write_all(request).await.unwrap();
        answer(&mut stream).await
    }

    pub(crate) async fn post(&self, headers: &str, body: &[u8]) -> Answer {
        self.send(&request(headers, body)).await
    }

    /// Falco's own POST.
    pub(crate) async fn falco(&self, body: &str) -> Answer {
        self.post("content-type: application/json\r\n", body.as_bytes())
            .await
    }

    pub(crate) fn pod(&self) -> Pod {
        self.cluster.pods().remove(0)
    }

    pub(crate) fn touched(&self) -> usize {
        self.cluster.touched().len()
    }

    /// The outcomes so far, by label.
    pub(crate) fn outcomes(&self) -> Vec<&'static str> {
        self.records
            .decided()
            .iter()
            .map(|decided| decided.outcome.label())
            .collect()
    }
}

pub(crate) fn request(headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

pub(crate) async fn answer(stream: &mut TcpStream) -> Answer {
    let mut text = Vec::new();
    stream.read_to_end(&mut text).await.unwrap();
    let text = String::from_utf8(text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0);
    Answer {
        status,
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    }
}

/// Falco's alert about a pod, as of now.
pub(crate) fn alert(pod: &Pod) -> String {
    fields(&json!({
        "container.id": pod.containers[0].id.to_string().get(..12), "k8s.ns.name": pod.namespace, "k8s.pod.name": pod.name,
    }))
}

pub(crate) fn fields(fields: &serde_json::Value) -> String {
    json!({
        "rule": "Terminal shell in container", "priority": "Notice", "source": "syscall", "output": "a shell",
        "time": Timestamp::now().to_string(), "output_fields": fields,
    })
    .to_string()
}

/// A future that is polled until it ends or the test's time is up.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(std::time::Duration::from_secs(20), future)
        .await
        .expect("it takes too long")
}
