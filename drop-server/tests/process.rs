//! The program as a person starts it.

#![cfg(test)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

const SHELL: &str = r#"
apiVersion: falco-drop.dev/v1alpha1
kind: DropPolicy
metadata: { name: p }
spec:
  mode: enforce
  responses:
    - { name: shell, when: alert.rule = "Terminal shell in container", do: [delete: {}] }
"#;

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drop-server"));
    command
        .args(arguments)
        .env_remove("KUBECONFIG")
        .env_remove("DROP_POLICY")
        .env_remove("PORT")
        .env_remove("RUST_LOG");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A policy file that lives as long as the test.
fn policy(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[test]
fn the_demo_shows_every_hop_and_says_by_its_code_that_the_pod_was_dropped() {
    let output = program(&["demo", "--once"]).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{shown}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for hop in [
        "type: falco.rule.output.v1",
        "source: https://falco.org",
        "rule: Terminal shell in container",
        "priority: Notice",
        "response demo/shell-in-container (enforce): acted",
        "[Terminal shell in container] deleted mysql-db-7d59548d75-wh44s from default because ",
        "Confirmed: mysql-db-7d59548d75-wh44s is gone",
        "The workload's controller has made mysql-db-7d59548d75-",
    ] {
        assert!(shown.contains(hop), "`{hop}` is not in:\n{shown}");
    }
}

#[test]
fn the_demo_under_a_policy_that_does_not_drop_says_so_by_its_code() {
    for text in [
        SHELL.replace("enforce", "observe"),
        SHELL.replace("Terminal", "Another"),
    ] {
        let file = policy(&text);
        let output = program(&["demo", "--once", "--policy", file.path().to_str().unwrap()])
            .output()
            .unwrap();
        assert_eq!(
            output.status.code(),
            Some(1),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
}

#[test]
fn the_demo_prints_a_command_that_works_as_it_stands() {
    let mut demo = Running::start(&["demo"]);
    for _ in 0..2 {
        let command = demo.line(|line| line.starts_with("curl "));
        let sent = Command::new("sh").args(["-c", &command]).output().unwrap();
        assert!(
            sent.status.success(),
            "{command}: {}",
            String::from_utf8_lossy(&sent.stderr)
        );
        demo.line(|line| line.contains("] deleted mysql-db-7d59548d75-"));
        demo.line(|line| line.contains("Confirmed: mysql-db-7d59548d75-"));
    }
}

#[test]
fn a_wrong_configuration_ends_with_64_and_its_reason() {
    let wrong = policy(&SHELL.replace("responses", "respones"));
    let path = wrong.path().to_str().unwrap();
    let good = policy(SHELL);
    let cases: Vec<(Vec<&str>, i32, &str)> = vec![
        (
            vec!["serve", "--cluster", "memory", "--policy", path],
            64,
            "responses",
        ),
        (
            vec!["serve", "--cluster", "memory", "--policy", "/does/not/exist.yaml"],
            64,
            "/does/not/exist.yaml",
        ),
        (
            vec!["serve", "--cluster", "memory", "--policy", "/"],
            64,
            "no `*.yaml` file",
        ),
        (
            vec![
                "serve",
                "--cluster",
                "memory",
                "--namespace",
                "A/b",
                "--policy",
                good.path().to_str().unwrap(),
            ],
            64,
            "A/b",
        ),
        (
            vec![
                "serve",
                "--context",
                "nowhere",
                "--policy",
                good.path().to_str().unwrap(),
            ],
            64,
            "nowhere",
        ),
        (
            vec!["serve", "--listen", "127.0.0.1", "--policy", path],
            64,
            "`127.0.0.1:8080`",
        ),
        (vec!["serve"], 64, "--policy"),
        (vec!["nonsense"], 64, "nonsense"),
    ];
    for (arguments, code, reason) in cases {
        let output = program(&arguments).env("HOME", "/nonexistent").output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(reason), "{arguments:?}: {said}");
    }
}

#[test]
fn a_log_level_that_is_none_ends_it_with_64() {
    let file = policy(SHELL);
    let path = file.path().to_str().unwrap();
    for levels in ["debg", "drop_server=loud"] {
        let output = program(&["check", path])
            .env("RUST_LOG", levels)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{levels}: {said}");
        assert!(said.contains(&format!("RUST_LOG is `{levels}`")), "{said}");
    }
}

#[test]
fn it_serves_records_what_it_does_and_ends_well_on_a_signal() {
    let file = policy(SHELL);
    let path = file.path().to_str().unwrap();
    let (mut server, address) = Running::serve(path);
    let body = format!(
        r#"{{"rule":"Terminal shell in container","priority":"Notice","time":"{}","output":"x","output_fields":{{"container.id":"f29b261f8831"}}}}"#,
        jiff::Timestamp::now()
    );
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    let record: serde_json::Value = serde_json::from_str(&server.line(|_| true)).unwrap();
    assert_eq!(record["outcome"]["is"], "acted");
    assert_eq!(record["target"]["name"], "mysql-db-7d59548d75-wh44s");
    server.signal("TERM");
    let closed: serde_json::Value = serde_json::from_str(&server.line(|_| true)).unwrap();
    assert_eq!(
        (&closed["record"], &closed["id"]),
        (&"closed".into(), &record["id"]),
        "what became of the pod is told before the end"
    );
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
}

#[test]
fn the_first_signal_drains_and_the_second_ends_at_once() {
    let file = policy(SHELL);
    for (signals, code) in [(vec!["INT"], 0), (vec!["INT", "TERM"], 1)] {
        let (mut server, address) = Running::serve(file.path().to_str().unwrap());
        let mut hanging = TcpStream::connect(&address).unwrap();
        if signals.len() > 1 {
            // A request whose body never comes keeps the drain open.
            write!(
                hanging,
                "POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n"
            )
            .unwrap();
            let mut go_on = [0; 12];
            hanging.read_exact(&mut go_on).unwrap();
            assert_eq!(&go_on, b"HTTP/1.1 100");
        }
        for (number, signal) in signals.iter().enumerate() {
            server.signal(signal);
            if number + 1 < signals.len() {
                server.logged(|line| line.contains("draining"));
            }
        }
        assert_eq!(server.child.wait().unwrap().code(), Some(code), "{signals:?}");
    }
}

#[test]
fn what_is_refused_stands_in_the_log_on_one_line_with_every_key_once() {
    let file = policy(SHELL);
    let (mut server, address) = Running::serve(file.path().to_str().unwrap());
    for request in [
        "PUT /a%0ab HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 8\r\n\r\n{\u{1b}[31m\n}",
    ] {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
        let line = server.logged(|line| line.contains("a request was refused"));
        assert!(!line.contains('\u{1b}'), "{line}");
        let keys: Vec<_> = line
            .split("\":")
            .filter_map(|part| part.rsplit('"').next())
            .collect();
        let distinct: std::collections::BTreeSet<_> = keys.iter().collect();
        assert_eq!(keys.len(), distinct.len(), "{line}");
    }
}

#[test]
fn a_log_that_nobody_reads_holds_up_nothing() {
    let file = policy(SHELL);
    let (mut server, address) = Running::serve(file.path().to_str().unwrap());
    let ask = |line: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(stream, "{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    // A line each, more than a pipe holds.
    for _ in 0..700 {
        assert!(ask("PUT /").starts_with("HTTP/1.1 405"));
    }
    assert!(ask("GET /healthz").starts_with("HTTP/1.1 200"));
    server.signal("TERM");
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
}

#[test]
fn records_that_nobody_takes_do_not_keep_it_alive() {
    let file = policy(SHELL);
    let (mut server, address) = Running::serve(file.path().to_str().unwrap());
    let alert = |number: u32| {
        format!(
            r#"{{"rule":"Terminal shell in container","priority":"Notice","time":"{}","output":"{}","output_fields":{{"proc.pid":{number}}}}}"#,
            jiff::Timestamp::now(),
            "x".repeat(10_000),
        )
    };
    for number in 0..10 {
        let body = alert(number);
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(
            stream,
            "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
    }
    server.signal("TERM");
    server.logged(|line| line.contains("draining"));
    assert_eq!(
        server.child.wait().unwrap().code(),
        Some(1),
        "its standard output is full"
    );
}

#[test]
fn a_record_that_cannot_be_written_is_counted() {
    let file = policy(SHELL);
    let mut command = program(&[
        "serve",
        "--cluster",
        "memory",
        "--listen",
        "127.0.0.1:0",
        "--policy",
        file.path().to_str().unwrap(),
    ]);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut child = command.stdout(full).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let started: serde_json::Value =
        serde_json::from_str(&find(&mut log, |line| line.contains("listening"))).unwrap();
    let address = started["address"].as_str().unwrap();
    let body = format!(
        r#"{{"rule":"a","priority":"Notice","time":"{}"}}"#,
        jiff::Timestamp::now()
    );
    let get = |request: String| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let posted = get(format!(
        "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ));
    assert!(posted.starts_with("HTTP/1.1 202"), "{posted}");
    find(&mut log, |line| line.contains("a record could not be written"));
    let metrics = get("GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_owned());
    assert!(metrics.contains("falco_drop_records_lost_total 1"), "{metrics}");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A program that runs until the test ends it.
struct Running {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
    log: BufReader<std::process::ChildStderr>,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut child = program(arguments).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let log = BufReader::new(child.stderr.take().unwrap());
        Self { child, out, log }
    }

    /// The server on the cluster in memory, and its address.
    fn serve(policy: &str) -> (Self, String) {
        let arguments = [
            "serve",
            "--cluster",
            "memory",
            "--listen",
            "127.0.0.1:0",
            "--policy",
            policy,
        ];
        let mut server = Self::start(&arguments);
        let started: serde_json::Value =
            serde_json::from_str(&server.logged(|line| line.contains("listening"))).unwrap();
        let address = started["address"].as_str().unwrap().to_owned();
        (server, address)
    }

    fn line(&mut self, is_it: impl Fn(&str) -> bool) -> String {
        find(&mut self.out, is_it)
    }

    fn logged(&mut self, is_it: impl Fn(&str) -> bool) -> String {
        find(&mut self.log, is_it)
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }
}

fn find(lines: &mut impl BufRead, is_it: impl Fn(&str) -> bool) -> String {
    lines
        .lines()
        .map_while(Result::ok)
        .find(|line| is_it(line))
        .expect("the program ended before it said so")
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
