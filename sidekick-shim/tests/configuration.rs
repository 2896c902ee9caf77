//! What the environment means, and what its mistakes look like.

use std::time::Duration;

use sidekick_shim::{Bounds, Config, Mistakes};

const SINK: (&str, &str) = ("K_SINK", "http://broker/ns/default");

fn read(variables: &[(&str, &str)]) -> Result<Config, Mistakes> {
    Config::from_lookup(|name| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| (*value).to_owned())
    })
}

fn lines(mistakes: &Mistakes) -> String {
    let lines: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

#[test]
fn the_sink_alone_is_enough() {
    let config = read(&[SINK]).unwrap();
    let listen: Vec<_> = config.listen.iter().map(ToString::to_string).collect();
    assert_eq!(listen, ["[::]:2801", "0.0.0.0:2801"]);
    assert_eq!(config.sink, SINK.1);
    assert_eq!(
        config.queue,
        Bounds {
            alerts: 20_000,
            bytes: 33_554_432
        }
    );
    assert_eq!(config.send_deadline, Duration::from_secs(10));
    assert_eq!(config.retry_for, Duration::from_secs(360));
    assert_eq!(config.drain_deadline, Duration::from_secs(20));
    assert_eq!(config.overrides.iter().count(), 0);
    assert_eq!(config.ca_certs.len(), 0);
    assert_eq!(config.log.to_string(), "info");
    assert_eq!(config.notes, [""; 0]);
}

#[test]
fn every_variable_is_read() {
    let config = read(&[
        SINK,
        ("LISTENADDRESS", "127.0.0.1"),
        ("LISTENPORT", "0"),
        ("K_CE_OVERRIDES", r#"{"extensions":{"b":"knative"}}"#),
        ("CLOUDEVENTS_EXTENSIONS", "a:1,b:2"),
        ("SHIM_QUEUE_ALERTS", "7"),
        ("SHIM_QUEUE_BYTES", "1048576"),
        ("SHIM_SEND_DEADLINE", "250ms"),
        ("SHIM_RETRY_FOR", "1h"),
        ("SHIM_DRAIN_DEADLINE", "2m"),
        ("RUST_LOG", "warn"),
    ])
    .unwrap();
    assert_eq!(config.listen, ["127.0.0.1:0".parse().unwrap()]);
    assert_eq!(
        config.overrides.iter().collect::<Vec<_>>(),
        [("a", "1"), ("b", "knative")]
    );
    assert_eq!(
        config.queue,
        Bounds {
            alerts: 7,
            bytes: 1_048_576
        }
    );
    assert_eq!(config.send_deadline, Duration::from_millis(250));
    assert_eq!(config.retry_for, Duration::from_secs(3600));
    assert_eq!(config.drain_deadline, Duration::from_secs(120));
    assert_eq!(config.log.to_string(), "warn");
}

#[test]
fn either_name_of_the_sink_and_of_the_extensions_works() {
    let config = read(&[
        ("CLOUDEVENTS_ADDRESS", "https://sink"),
        ("CLOUDEVENTS_EXTENSION", "Foo:bar"),
    ])
    .unwrap();
    assert_eq!(config.sink, "https://sink");
    assert_eq!(config.overrides.iter().collect::<Vec<_>>(), [("foo", "bar")]);
    assert_eq!(config.notes, [""; 0]);
}

#[test]
fn an_empty_variable_is_not_set() {
    let config = read(&[
        SINK,
        ("LISTENPORT", ""),
        ("K_CE_OVERRIDES", ""),
        ("CUSTOMTAGS", ""),
        ("K_CA_CERTS", " "),
    ])
    .unwrap();
    assert_eq!(config.listen[0].port(), 2801);
    assert_eq!(config.notes, [""; 0]);
}

#[test]
fn what_has_no_effect_is_said() {
    let config = read(&[
        SINK,
        ("CLOUDEVENTS_ADDRESS", "http://other"),
        ("CLOUDEVENTS_EXTENSIONS", "a:1"),
        ("CLOUDEVENTS_EXTENSION", "a:2"),
        ("CLOUDEVENTS_MINIMUMPRIORITY", "warning"),
        ("CUSTOMFIELDS", "a:b"),
    ])
    .unwrap();
    assert_eq!(config.sink, SINK.1);
    assert_eq!(config.overrides.iter().collect::<Vec<_>>(), [("a", "1")]);
    insta::assert_snapshot!(config.notes.join("\n"), @r#"
    `CLOUDEVENTS_ADDRESS` has no effect: `K_SINK` is set and wins
    `CLOUDEVENTS_EXTENSION` has no effect: `CLOUDEVENTS_EXTENSIONS` is set and wins
    `CUSTOMFIELDS` is a key of falcosidekick that has no effect here yet
    `CLOUDEVENTS_MINIMUMPRIORITY` is a key of falcosidekick that has no effect here yet
    "#);
}

#[test]
fn a_missing_sink_is_a_mistake() {
    insta::assert_snapshot!(lines(&read(&[]).unwrap_err()), @r#"`K_SINK` is not set, expected the URL of the sink, in it or in `CLOUDEVENTS_ADDRESS`"#);
}

#[test]
fn all_mistakes_are_named_at_once_on_one_line_each() {
    let mistakes = read(&[
        ("K_SINK", "nats://broker"),
        ("LISTENADDRESS", "localhost"),
        ("LISTENPORT", "65536"),
        ("K_CE_OVERRIDES", r#"{"extensions":{"Bad_Name":"x"}}"#),
        ("CLOUDEVENTS_EXTENSIONS", "no colon\nhere"),
        ("K_CA_CERTS", "/etc/ssl/ca.crt"),
        ("SHIM_QUEUE_ALERTS", "0"),
        ("SHIM_QUEUE_BYTES", "1024"),
        ("SHIM_SEND_DEADLINE", "10"),
        ("SHIM_RETRY_FOR", "2d"),
        ("SHIM_DRAIN_DEADLINE", "-1s"),
        ("RUST_LOG", "loud=very"),
    ])
    .unwrap_err();
    insta::assert_snapshot!(lines(&mistakes), @r#"
    `LISTENADDRESS` is `localhost`, expected an IP address, not a name
    `LISTENPORT` is `65536`, expected a port: a number from 0 to 65535
    `K_SINK` is `nats://broker`, expected an absolute URL, http://... or https://...
    `CLOUDEVENTS_EXTENSIONS` is `no colon\nhere`, expected name:value,name:value
    `K_CE_OVERRIDES` is `{"extensions":{"Bad_Name":"x"}}`, expected extensions that CloudEvents allows: extension `Bad_Name`: bad name: expected `a-z` and `0-9`
    `K_CA_CERTS` is `/etc/ssl/ca.crt`, expected certificates as PEM text, not a path
    `SHIM_QUEUE_ALERTS` is `0`, expected a number from 1 to 10000000
    `SHIM_QUEUE_BYTES` is `1024`, expected a number from 1048576 to 1073741824
    `SHIM_SEND_DEADLINE` is `10`, expected a duration from 1ms to 24h: a number and ms, s, m or h, such as 10s
    `SHIM_RETRY_FOR` is `2d`, expected a duration from 1ms to 24h: a number and ms, s, m or h, such as 10s
    `SHIM_DRAIN_DEADLINE` is `-1s`, expected a duration from 1ms to 24h: a number and ms, s, m or h, such as 10s
    `RUST_LOG` is `loud=very`, expected a log level (error, warn, info, debug, trace, off), or target=level,target=level
    "#);
    assert_eq!(mistakes.to_string(), lines(&mistakes).replace('\n', "; "));
}

#[test]
fn credentials_of_a_sink_are_refused_and_not_repeated() {
    insta::assert_snapshot!(lines(&read(&[("K_SINK", "http://user:secret@broker/")]).unwrap_err()), @r#"`K_SINK` is `http://...@broker/`, expected a URL without credentials: they are not sent"#);
}

#[test]
fn the_documents_name_every_variable_that_is_read() {
    let documented: Vec<_> = include_str!("../src/environment.txt")
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let read = std::sync::Mutex::new(Vec::new());
    let _ = Config::from_lookup(|name| {
        read.lock().unwrap().push(name.to_owned());
        None
    });
    let read = read.into_inner().unwrap();
    for name in documented {
        assert!(
            read.iter().any(|other| other == name),
            "`{name}` is documented and not read"
        );
    }
}
