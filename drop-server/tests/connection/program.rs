//! The program as a process, in front of a fake API server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use drop_core::memory::{Cluster, Workload};
use drop_core::pod::Pod;
use drop_kube::testing::ApiServer;
use serde_json::json;
use tempfile::NamedTempFile;

/// A cluster with a Deployment `web` of one pod in `shop`, and its API server.
pub(crate) async fn api_server() -> (Cluster, ApiServer) {
    let cluster = Cluster::new(jiff::Timestamp::now());
    let shop = "shop".parse().unwrap();
    cluster.add_namespace(&shop, &[]);
    cluster.add_workload(Workload::deployment(shop, "web".parse().unwrap()));
    let server = ApiServer::start(cluster.clone()).await.unwrap();
    (cluster, server)
}

/// A file that lives as long as the test.
pub(crate) fn file(text: &str) -> NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

/// A policy that takes these actions in `shop`.
pub(crate) fn policy(actions: &str) -> String {
    policy_in("namespaces: [shop]", actions)
}

/// A policy that takes these actions in these places.
pub(crate) fn policy_in(namespaces: &str, actions: &str) -> String {
    format!(
        "apiVersion: falco-drop.dev/v1alpha1\nkind: DropPolicy\nmetadata: {{ name: p }}\nspec:\n  mode: enforce\n  \
         {namespaces}\n  limits: []\n  responses:\n    - name: r\n      \
         when: alert.rule = \"Terminal shell in container\"\n      do: [{actions}]\n"
    )
}

/// An alert that names nothing but the container.
pub(crate) fn alert(pod: &Pod) -> String {
    json!({
        "rule": "Terminal shell in container", "priority": "Notice", "time": jiff::Timestamp::now().to_string(),
        "output": "x", "output_fields": { "container.id": pod.containers[0].id },
    })
    .to_string()
}

/// `drop-server serve` that runs until the test ends.
pub(crate) struct Program {
    child: Child,
    log: BufReader<ChildStderr>,
    /// What it said before it listened.
    early: Vec<String>,
    pub(crate) address: String,
}

impl Program {
    /// Under this policy file, with these arguments and this environment more.
    pub(crate) fn start(policy: &NamedTempFile, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_drop-server"))
            .args(["serve", "--listen", "127.0.0.1:0", "--policy"])
            .arg(policy.path())
            .args(arguments)
            .env_clear()
            .env("HOME", "/nonexistent")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut program = Self {
            child,
            log,
            early: Vec::new(),
            address: String::new(),
        };
        let started: serde_json::Value = serde_json::from_str(&program.logged("listening")).unwrap();
        program.address = started["address"].as_str().unwrap().to_owned();
        program
    }

    /// The next line of its log that has this in it. What it said before it listened can come in any order.
    pub(crate) fn logged(&mut self, what: &str) -> String {
        if let Some(early) = self.early.iter().position(|line| line.contains(what)) {
            return self.early.remove(early);
        }
        let mut before = Vec::new();
        for line in self.log.by_ref().lines().map_while(Result::ok) {
            if line.contains(what) {
                if self.address.is_empty() {
                    self.early = before;
                }
                return line;
            }
            before.push(line);
        }
        panic!("the program ended before it said `{what}`: {before:#?}")
    }

    /// What it answers to a GET, status line, headers and body.
    pub(crate) fn get(&self, path: &str) -> String {
        self.send(&format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        ))
    }

    /// Sends it this alert again as long as it answers that it cannot tell yet. Gives the last status.
    pub(crate) fn deliver(&self, alert: &str) -> String {
        let length = alert.len();
        let request = format!(
            "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{alert}"
        );
        loop {
            let answer = self.send(&request);
            let status = answer.split(' ').nth(1).unwrap();
            if status != "503" {
                return status.to_owned();
            }
            // Each is a line of its log, which nobody reads meanwhile: a pipe holds some hundred.
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn send(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
