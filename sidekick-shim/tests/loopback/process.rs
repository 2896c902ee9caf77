//! The program itself: environment in, log lines and an exit code out.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStderr, Command};

use crate::support::{ALERT, BASICS, Does, Falco, Sink, alert, status};

/// A running program, with its log as it comes.
pub(crate) struct Program {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    /// What it said until it listened.
    first: Vec<Value>,
    pub(crate) address: SocketAddr,
}

/// Starts the program with lines for its input, and waits until it listens.
async fn with_input(sink: &str, arguments: &[&str]) -> (Program, tokio::process::ChildStdin) {
    let own = [
        ("K_SINK", sink),
        ("LISTENADDRESS", "127.0.0.1"),
        ("LISTENPORT", "0"),
    ];
    let mut child = command(&own)
        .args(arguments)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let input = child.stdin.take().unwrap();
    (Program::listening(child).await, input)
}

fn command(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sidekick-shim"));
    let variables: HashMap<_, _> = variables.iter().copied().collect();
    command
        .env_clear()
        .envs(BASICS)
        .envs(variables)
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

impl Program {
    /// Starts the program and waits until it listens.
    pub(crate) async fn start(sink: &str, more: &[(&str, &str)]) -> Self {
        Self::start_with(sink, more, &[]).await
    }

    pub(crate) async fn start_with(sink: &str, more: &[(&str, &str)], arguments: &[&str]) -> Self {
        let own = [
            ("K_SINK", sink),
            ("LISTENADDRESS", "127.0.0.1"),
            ("LISTENPORT", "0"),
        ];
        let mut command = command(&[&own, more].concat());
        Self::listening(command.args(arguments).spawn().unwrap()).await
    }

    async fn listening(mut child: Child) -> Self {
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut first = vec![next(&mut log, "listening").await];
        while first.last().unwrap()["message"] != "listening" {
            first.push(next(&mut log, "listening").await);
        }
        let address = first.last().unwrap()["address"].as_str();
        Self {
            address: address.unwrap().parse().unwrap(),
            child,
            log,
            first,
        }
    }

    /// What it said with this message until it listened.
    pub(crate) fn said(&self, message: &str) -> &Value {
        self.first.iter().find(|line| line["message"] == message).unwrap()
    }

    /// The next line of its log with this message.
    pub(crate) async fn says(&mut self, message: &str) -> Value {
        loop {
            let line = next(&mut self.log, message).await;
            if line["message"] == message {
                return line;
            }
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id().unwrap());
        assert!(
            std::process::Command::new("sh")
                .args(["-c", &kill])
                .status()
                .unwrap()
                .success()
        );
    }

    pub(crate) async fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().await.unwrap().code()
    }
}

/// The next line of the log, which has to be JSON.
async fn next(log: &mut Lines<BufReader<ChildStderr>>, message: &str) -> Value {
    let text = log
        .next_line()
        .await
        .unwrap()
        .unwrap_or_else(|| panic!("no line with `{message}`"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("`{text}`: {error}"))
}

/// Runs the program to its end.
pub(crate) async fn output(variables: &[(&str, &str)], arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = command(variables)
        .args(arguments)
        .stdout(Stdio::piped())
        .output()
        .await
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn falcos_alert_reaches_the_sink_verbatim() {
    let mut sink = Sink::start(|_| Does::Answer(202)).await;
    let mut program = Program::start(&sink.url(), &[]).await;
    let answer = Falco::connect(program.address).await.post(ALERT).await;
    assert_eq!(status(&answer), "200");
    let got = sink.next().await;
    assert_eq!(got.headers["content-type"], "application/cloudevents+json");
    let text = std::str::from_utf8(&got.body).unwrap();
    assert!(text.ends_with(&format!("\"data\":{ALERT}}}")), "{text}");
    program.signal("TERM");
    assert_eq!(program.exit_code().await, Some(0));
    program.says("ended with no alert left").await;
}

#[tokio::test]
async fn a_first_signal_drains() {
    let mut sink = Sink::start(|before| {
        if before == 0 {
            Does::Answer(503)
        } else {
            Does::Answer(202)
        }
    })
    .await;
    let mut program = Program::start(&sink.url(), &[]).await;
    Falco::connect(program.address).await.post(ALERT).await;
    sink.next().await;
    program.signal("INT");
    assert_eq!(sink.next().await.rule(), "Terminal shell in container");
    assert_eq!(program.exit_code().await, Some(0));
}

#[tokio::test]
async fn requests_after_a_first_signal_are_answered_and_told_to_go_elsewhere() {
    let mut sink = Sink::start(|_| Does::Answer(202)).await;
    let mut shim = Program::start(&sink.url(), &[("SHIM_LINGER", "60s")]).await;
    let mut falco = Falco::connect(shim.address).await;
    assert!(!falco.post(ALERT).await.contains("connection: close"));
    shim.signal("TERM");
    shim.says("draining").await;
    let answer = falco.post(&alert("late")).await;
    assert_eq!(status(&answer), "200");
    assert!(answer.contains("connection: close"), "{answer}");
    sink.next().await;
    assert_eq!(sink.next().await.rule(), "late");
}

#[tokio::test]
async fn a_dead_letter_is_sent_again_when_someone_asks_for_it() {
    let mut sink = Sink::start(|before| match before {
        0 => Does::Answer(400),
        _ => Does::Answer(202),
    })
    .await;
    let spool = tempfile::tempdir().unwrap();
    let folder = spool.path().to_str().unwrap();
    let stored = [("SHIM_DURABILITY", "crash"), ("SHIM_SPOOL", folder)];
    let mut shim = Program::start(&sink.url(), &stored).await;
    Falco::connect(shim.address).await.post(ALERT).await;
    let refused = sink.next().await;
    shim.says("an alert was not delivered: it is a dead letter").await;
    let ask = async |command| output(&[], &[command, "--spool", folder]).await;
    let (code, shown, _) = ask("dead-letters").await;
    assert_eq!(code, Some(0));
    assert!(shown.contains("400"), "{shown}");
    assert_eq!(ask("requeue").await.0, Some(0));
    shim.says("dead letters are sent again").await;
    assert_eq!(sink.next().await.event()["id"], refused.event()["id"]);
    assert_eq!(ask("dead-letters").await.1, "");
}

#[tokio::test]
async fn a_second_signal_aborts_and_the_log_says_what_is_lost() {
    let mut sink = Sink::start(|_| Does::Hang).await;
    let mut program = Program::start(&sink.url(), &[("SHIM_DRAIN_DEADLINE", "1h")]).await;
    Falco::connect(program.address).await.post(ALERT).await;
    sink.next().await;
    program.signal("TERM");
    program.says("draining").await;
    program.signal("TERM");
    assert_eq!(program.exit_code().await, Some(1));
    let line = program.says("ended with alerts unsent: they are lost").await;
    assert_eq!(line["unsent"], 1);
}

#[tokio::test]
async fn text_of_an_alert_reaches_the_log_escaped() {
    let sink = Sink::start(|_| Does::Answer(400)).await;
    let mut program = Program::start(&sink.url(), &[]).await;
    let rule = "nasty\n\u{1b}[31m{\"level\":\"INFO\"}\u{202e}";
    let mut falco = Falco::connect(program.address).await;
    assert_eq!(status(&falco.post(&alert(rule)).await), "200");
    let line = program
        .says("an alert was not delivered: it is a dead letter")
        .await;
    assert_eq!(line["rule"], r#"nasty\n\u{1b}[31m{"level":"INFO"}\u{202e}"#);
    assert_eq!(
        (&line["answer"], &line["tries"]),
        (&"status 400".into(), &1.into())
    );

    assert_eq!(
        status(
            &falco
                .post("{\"rule\":\"a\u{1b}\n\",\"priority\":\"\u{1b}[0m\"}")
                .await
        ),
        "400"
    );
    let line = program.says("an alert was refused").await;
    let error = line["error"].as_str().unwrap();
    assert!(!error.chars().any(char::is_control), "{error}");
}

#[tokio::test]
async fn an_unusable_configuration_ends_it_before_a_port_is_open() {
    let (code, out, err) = output(&[("LISTENPORT", "http"), ("SHIM_RETRY_FOR", "soon")], &[]).await;
    assert_eq!((code, out.as_str()), (Some(64), ""));
    insta::assert_snapshot!(err, @r"
    sidekick-shim: `LISTENPORT` is `http`, expected a port: a number from 0 to 65535
    sidekick-shim: `K_SINK` is not set, expected the URL of the sink, in it or in `CLOUDEVENTS_ADDRESS`
    sidekick-shim: `SHIM_RETRY_FOR` is `soon`, expected a duration from 1ms to 24h: a number and ms, s, m or h, such as 10s
    ");
}

#[tokio::test]
async fn a_port_in_use_is_a_failure() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let variables = [
        ("K_SINK", "http://sink"),
        ("LISTENADDRESS", "127.0.0.1"),
        ("LISTENPORT", port.as_str()),
    ];
    let (code, _, err) = output(&variables, &[]).await;
    assert_eq!(code, Some(1));
    assert!(
        err.contains(&format!("cannot listen on [127.0.0.1:{port}]: ")),
        "{err}"
    );
}

#[tokio::test]
async fn the_command_line_has_help_a_version_and_nothing_else() {
    let (code, out, _) = output(&[], &["--help"]).await;
    assert_eq!(code, Some(0));
    assert!(
        out.contains("K_SINK ") && out.contains("SHIM_DRAIN_DEADLINE "),
        "{out}"
    );
    let (code, out, _) = output(&[], &["--version"]).await;
    assert_eq!(
        (code, out),
        (Some(0), format!("sidekick-shim {}\n", env!("CARGO_PKG_VERSION")))
    );
    let (code, out, err) = output(&[("K_SINK", "http://sink")], &["--config", "x"]).await;
    assert_eq!((code, out.as_str()), (Some(64), ""));
    assert!(err.contains("--config"), "{err}");
}

#[tokio::test]
async fn a_file_is_read_and_what_it_names_too() {
    let (code, _, err) = output(&[], &["--config-file", "/does/not/exist.yaml"]).await;
    assert_eq!(code, Some(64));
    assert!(
        err.starts_with("sidekick-shim: `/does/not/exist.yaml` cannot be read: "),
        "{err}"
    );

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shim.yaml");
    let file = file.to_str().unwrap();
    std::fs::write(file, "cloudevents: {adress: http://a}\nlistenport: x").unwrap();
    let (code, _, err) = output(&[], &["-c", file]).await;
    assert_eq!(code, Some(64));
    let lines: Vec<_> = err.lines().map(|line| line.replace(file, "FILE")).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    sidekick-shim: FILE:1:15: `cloudevents.adress` is no key, did you mean `cloudevents.address`?
    sidekick-shim: FILE:2:13: `listenport` is `x`, expected a port: a number from 0 to 65535
    "#);

    let text = "listenport: x\nshim: {spool: /dev/null/spool, signingKeys: /no/keys}";
    std::fs::write(file, text).unwrap();
    let slips = [
        ("K_SINK", "http://a"),
        ("SHIM_DURABILITY", ""),
        ("SHIM_BASICFILE", "/a"),
        ("SHIM_SPOOL", ""),
    ];
    let (code, _, err) = output(&slips, &["-c", file]).await;
    assert_eq!(code, Some(64));
    insta::assert_snapshot!(err.replace(file, "FILE"), @r#"
    sidekick-shim: FILE:1:13: `listenport` is `x`, expected a port: a number from 0 to 65535
    sidekick-shim: `SHIM_BASICFILE` is no variable, did you mean `SHIM_BASIC_FILE`?
    sidekick-shim: `SHIM_SIGNING_KEYS` cannot be used: `/no/keys` cannot be read: No such file or directory (os error 2)
    sidekick-shim: `SHIM_SPOOL` cannot be used: `/dev/null/spool`: cannot make it: `/dev/null` is no folder
    "#);

    // Naming a mistake makes nothing, and says nothing of a setting that a slip may have meant.
    let spool = folder.path().join("spool");
    let usable = [
        ("K_SINK", "http://a"),
        ("SHIM_DURABILITY", "crash"),
        ("SHIM_SPOOL", spool.to_str().unwrap()),
    ];
    let (_, _, err) = output(&[&usable[..], &[("LISTENPORT", "x")]].concat(), &[]).await;
    assert!(err.lines().count() == 1 && !spool.exists(), "{err}");
    let slip = [("SHIM_SPOOL", "/dev/null/spool"), ("SHIM_SPOL", "/tmp")];
    let (_, _, err) = output(&[&usable[..], &slip].concat(), &[]).await;
    assert_eq!(
        err,
        "sidekick-shim: `SHIM_SPOL` is no variable, did you mean `SHIM_SPOOL`?\n"
    );

    let text = "shim:\n  sinks:\n  - {name: a, url: https://a, caCertFile: /no/ca}\n  - {name: b, url: https://b, certFile: /no/cert, keyFile: /no/key}";
    std::fs::write(file, text).unwrap();
    let (code, _, err) = output(&[], &["-c", file]).await;
    assert_eq!(code, Some(64));
    insta::assert_snapshot!(err, @r#"
    sidekick-shim: `a` is a sink that cannot be used: `/no/ca` cannot be read: No such file or directory (os error 2)
    sidekick-shim: `b` is a sink that cannot be used: `/no/cert` cannot be read: No such file or directory (os error 2)
    "#);
}

#[tokio::test]
async fn lines_of_standard_input_go_the_same_way_and_their_end_is_the_end() {
    let mut sink = Sink::start(|_| Does::Answer(202)).await;
    let (mut program, mut input) = with_input(&sink.url(), &["--stdin"]).await;
    let text = format!("{ALERT}\nnot json\n\n{}\n[{{\n{}", alert("b"), alert("no end"));
    input.write_all(text.as_bytes()).await.unwrap();
    let mut rules = [sink.next().await.rule(), sink.next().await.rule()];
    rules.sort();
    assert_eq!(rules, ["Terminal shell in container", "b"]);
    program.says("an alert was refused").await;
    // The front is there beside it.
    assert_eq!(
        status(&Falco::connect(program.address).await.post(&alert("front")).await),
        "200"
    );
    assert_eq!(sink.next().await.rule(), "front");
    drop(input);
    assert_eq!(sink.next().await.rule(), "no end");
    assert_eq!(program.exit_code().await, Some(0));
}

#[tokio::test]
async fn a_signal_ends_it_while_the_input_is_open() {
    let mut sink = Sink::start(|_| Does::Answer(202)).await;
    let (mut program, mut input) = with_input(&sink.url(), &["--stdin"]).await;
    program.signal("TERM");
    program.says("draining").await;
    // What comes while the front still answers is still taken.
    input.write_all(format!("{ALERT}\n").as_bytes()).await.unwrap();
    assert_eq!(sink.next().await.rule(), "Terminal shell in container");
    drop(input);
    assert_eq!(program.exit_code().await, Some(0));
}
