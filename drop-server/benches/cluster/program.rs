//! drop-server as a process.

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use falco_event::Timestamp;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::net::TcpStream;

pub(crate) struct Program {
    child: Child,
    pub(crate) address: String,
    pub(crate) started: Instant,
    records: Arc<Mutex<Vec<Value>>>,
    _policy: NamedTempFile,
}

impl Program {
    /// Starts it and waits until it listens.
    pub(crate) fn start(kubeconfig: &Path, policy: &str, more: &[&str]) -> Self {
        let mut file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
        file.write_all(policy.as_bytes()).unwrap();
        let started = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_drop-server"))
            .args(["serve", "--listen", "127.0.0.1:0", "--policy"])
            .arg(file.path())
            .args(more)
            .env("KUBECONFIG", kubeconfig)
            .env("RUST_LOG", "warn,drop_server=info")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let address = log.find_map(|line| {
            let line: Value = serde_json::from_str(&line).ok()?;
            line["message"]
                .as_str()?
                .starts_with("listening")
                .then(|| line["address"].as_str().map(str::to_owned))?
        });
        std::thread::spawn(move || log.for_each(drop));
        let records = Arc::new(Mutex::new(Vec::new()));
        let (into, out) = (Arc::clone(&records), BufReader::new(child.stdout.take().unwrap()));
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                into.lock().unwrap().extend(serde_json::from_str::<Value>(&line));
            }
        });
        Self {
            child,
            address: address.unwrap(),
            started,
            records,
            _policy: file,
        }
    }

    /// Waits until it knows every pod. Returns how long after its start that was.
    ///
    /// An alert that names nothing but a container, and is older than a status can be late, is told an end only then.
    pub(crate) async fn until_warm(&self) -> Duration {
        let time = Timestamp::from_second(Timestamp::now().as_second() - 60).unwrap();
        let unknown = alert(&"f".repeat(64), &time.to_string());
        let mut sender = self.connect().await;
        while post(&mut sender, &unknown).await != 202 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.started.elapsed()
    }

    /// Lets it open as many connections to its API server, as one that has been running has: each of these alerts names
    /// a pod that is not there, which is one read.
    pub(crate) async fn open(&self, namespace: &str, connections: usize) {
        let senders = (0..connections).map(|_| self.connect());
        let senders = futures_util::future::join_all(senders).await;
        let reads = senders.into_iter().enumerate().map(|(n, mut sender)| async move {
            let time = Timestamp::now();
            let alert = alert(&format!("{n:064x}"), &time.to_string());
            let mut alert: Value = serde_json::from_str(&alert).unwrap();
            alert["output_fields"]["k8s.ns.name"] = json!(namespace);
            alert["output_fields"]["k8s.pod.name"] = json!(format!("none-{n}"));
            post(&mut sender, &alert.to_string()).await
        });
        futures_util::future::join_all(reads).await;
    }

    pub(crate) async fn connect(&self) -> SendRequest<Full<Bytes>> {
        let stream = TcpStream::connect(&self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        sender
    }

    /// Its records of this kind so far.
    pub(crate) fn records(&self, kind: &str) -> Vec<Value> {
        let records = self.records.lock().unwrap();
        records
            .iter()
            .filter(|record| record["record"] == kind)
            .cloned()
            .collect()
    }

    /// The time of processors that it has used, in milliseconds.
    pub(crate) fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        // In hundredths of a second, as Linux has them everywhere.
        fields[11..13]
            .iter()
            .map(|ticks| ticks.parse::<f64>().unwrap() * 10.0)
            .sum()
    }

    /// What Linux says of its memory, in KiB: `VmRSS` now, `VmHWM` at most.
    pub(crate) fn memory(&self, of: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(of)?.strip_prefix(':'));
        line.unwrap().trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Falco's alert that names nothing but a container.
pub(crate) fn alert(container: &str, time: &str) -> String {
    json!({
        "rule": "Terminal shell in container", "priority": "Notice", "source": "syscall", "time": time,
        "output": "a shell was spawned", "output_fields": { "container.id": container },
    })
    .to_string()
}

/// Posts an alert. Gives the status.
pub(crate) async fn post(sender: &mut SendRequest<Full<Bytes>>, alert: &str) -> u16 {
    let request = hyper::Request::post("/")
        .header("host", "x")
        .header("content-type", "application/json");
    let request = request.body(Full::new(Bytes::from(alert.to_owned()))).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    let status = answer.status().as_u16();
    answer.into_body().collect().await.unwrap();
    status
}
