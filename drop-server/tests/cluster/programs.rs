//! Both programs, as processes.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

/// A program that runs until the test ends it.
pub(crate) struct Program {
    child: Child,
    records: BufReader<ChildStdout>,
    pub(crate) address: String,
}

impl Program {
    pub(crate) fn server(arguments: &[&str], kubeconfig: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_drop-server"));
        command.args(arguments).env("KUBECONFIG", kubeconfig);
        Self::start(command)
    }

    pub(crate) fn shim(sink: &str) -> Self {
        let mut command = Command::new(shim());
        command
            .env("K_SINK", format!("http://{sink}/"))
            // A spool of an earlier run would be sent first.
            .env("SHIM_DURABILITY", "memory")
            .env("LISTENADDRESS", "127.0.0.1")
            .env("LISTENPORT", "0");
        Self::start(command)
    }

    /// Starts it and waits until it says where it listens.
    fn start(mut command: Command) -> Self {
        for name in [
            "DROP_POLICY",
            "PORT",
            "POD_NAMESPACE",
            "RUST_LOG",
            "CLOUDEVENTS_ADDRESS",
            "K_CE_OVERRIDES",
        ] {
            command.env_remove(name);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let records = BufReader::new(child.stdout.take().unwrap());
        let mut log = BufReader::new(child.stderr.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let address = log
            .find_map(|line| address(&line))
            .expect("the program ended before it listened");
        // What it says from then on is for whoever reads the test's output.
        std::thread::spawn(move || log.for_each(|line| println!("{line}")));
        Self {
            child,
            records,
            address,
        }
    }

    /// The next record.
    pub(crate) fn record(&mut self) -> Value {
        let mut line = String::new();
        self.records.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Asks it to end, and gives its code.
    pub(crate) fn end(&mut self) -> Option<i32> {
        Command::new("kill")
            .arg(self.child.id().to_string())
            .status()
            .unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn address(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    let listening = line["message"].as_str()?.starts_with("listening");
    listening
        .then(|| line["address"].as_str().map(str::to_owned))
        .flatten()
}

/// Cargo builds it beside this program, with `--workspace`.
fn shim() -> PathBuf {
    let beside = Path::new(env!("CARGO_BIN_EXE_drop-server")).with_file_name("sidekick-shim");
    assert!(
        beside.exists(),
        "{} is not built: cargo build -p sidekick-shim",
        beside.display()
    );
    beside
}

/// The demo's policy for one namespace, in a file that lives as long as the test.
pub(crate) fn policy(namespace: &str) -> tempfile::NamedTempFile {
    let text = format!(
        r#"
apiVersion: falco-drop.dev/v1alpha1
kind: DropPolicy
metadata: {{ name: shells }}
spec:
  mode: enforce
  namespaces: [{namespace}]
  responses:
    - {{ name: shell, when: alert.rule = "Terminal shell in container", do: [delete: {{ gracePeriodSeconds: 1 }}] }}
"#
    );
    let mut file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}
