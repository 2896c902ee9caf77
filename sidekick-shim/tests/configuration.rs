//! What the environment means, and what its mistakes look like.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sidekick_shim::{Config, Durability, File, Format, Mistakes, Sink, WhenFull};

const SINK: (&str, &str) = ("K_SINK", "http://broker/ns/default");

fn read(variables: &[(&str, &str)]) -> Result<Config, Mistakes> {
    Config::from_lookup(|name| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| (*value).to_owned())
    })
}

/// A configuration of a file alone.
fn file(text: &str) -> Result<Config, Mistakes> {
    Config::read(|_| None, Some(File { name: "f.yaml", text }))
}

fn names(config: &Config) -> Vec<&str> {
    config.sinks.iter().map(|sink| sink.name.as_str()).collect()
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
    assert_eq!(config.sinks[0].url, SINK.1);
    assert_eq!(config.spool.folder, Path::new("/var/spool/sidekick-shim"));
    assert_eq!(config.spool.durability, Durability::Crash);
    assert_eq!(config.spool.bytes, 1 << 30);
    assert_eq!(config.spool.sync, Duration::from_millis(100));
    assert_eq!(config.spool.when_full, WhenFull::DropOldest);
    assert_eq!(config.event_bytes, 1 << 20);
    assert_eq!(config.linger, Duration::from_secs(5));
    assert_eq!(config.send_deadline, Duration::from_secs(10));
    assert_eq!(config.retry_for, Duration::from_hours(24));
    assert_eq!(config.drain_deadline, Duration::from_secs(20));
    assert_eq!(config.overrides.iter().count(), 0);
    assert_eq!(config.ca_certs.len(), 0);
    assert_eq!(
        (config.tls, config.basic, config.signing_keys),
        (None, None, None)
    );
    let Sink {
        format,
        minimum_priority,
        token,
        identity,
        ..
    } = &config.sinks[0];
    assert_eq!(
        (*format, *minimum_priority, identity),
        (Format::CloudEvents, None, &None)
    );
    let token = token.as_ref().unwrap();
    assert_eq!(
        (token.path.as_path(), token.required),
        (Path::new("/oidc/token"), false)
    );
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
        ("SHIM_SPOOL", "/s"),
        ("SHIM_DURABILITY", "power-loss"),
        ("SHIM_SPOOL_BYTES", "16777216"),
        ("SHIM_SYNC", "1s"),
        ("SHIM_FULL", "reject"),
        ("SHIM_EVENT_BYTES", "65536"),
        ("SHIM_LINGER", "2s"),
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
    assert_eq!(config.spool.folder, Path::new("/s"));
    assert_eq!(config.spool.durability, Durability::PowerLoss);
    assert_eq!(config.spool.bytes, 1 << 24);
    assert_eq!(config.spool.sync, Duration::from_secs(1));
    assert_eq!(config.spool.when_full, WhenFull::Reject);
    assert_eq!(config.event_bytes, 65_536);
    assert_eq!(config.linger, Duration::from_secs(2));
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
    assert_eq!(config.sinks[0].url, "https://sink");
    assert_eq!(config.overrides.iter().collect::<Vec<_>>(), [("foo", "bar")]);
    assert_eq!(
        config.notes,
        ["`CLOUDEVENTS_EXTENSION` counts; falcosidekick does not read it"]
    );
}

#[test]
fn of_two_names_in_a_file_the_one_without_effect_is_said() {
    let text = "cloudevents: {address: http://a, extension: {a: 1}, extensions: {a: 2}}";
    let config = file(text).unwrap();
    assert_eq!(config.overrides.iter().collect::<Vec<_>>(), [("a", "2")]);
    assert_eq!(
        config.notes,
        ["`CLOUDEVENTS_EXTENSION` has no effect: `CLOUDEVENTS_EXTENSIONS` is set and wins"]
    );
}

#[test]
fn an_empty_variable_is_not_set() {
    let config = read(&[
        SINK,
        ("LISTENPORT", ""),
        ("K_CE_OVERRIDES", ""),
        ("PROMETHEUS_EXTRALABELS", ""),
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
        ("OUTPUTFIELDFORMAT", "<output>"),
        ("CLOUDEVENTS_MAXCONCURRENTREQUESTS", "1"),
        ("CLOUDEVENTS_CHECKCERT", "false"),
        ("HTTPS_PROXY", "http://proxy"),
        ("SLACK_WEBHOOKURL", "https://slack"),
        ("OTLP_METRICS_ENDPOINT", "https://otlp"),
        ("TLSSERVER_NOTLSPATHS", "/ping"),
        ("SHIM_BASIC_FILE", "/etc/credentials"),
    ])
    .unwrap();
    assert_eq!(config.sinks[0].url, SINK.1);
    assert_eq!(config.overrides.iter().collect::<Vec<_>>(), [("a", "1")]);
    insta::assert_snapshot!(config.notes.join("\n"), @r#"
    `OUTPUTFIELDFORMAT` has no effect: an alert's `output` stays as Falco wrote it
    `CLOUDEVENTS_MAXCONCURRENTREQUESTS` has no effect: requests to a sink are bounded by the shim itself
    `HTTPS_PROXY` has no effect: sinks are reached directly
    `OTLP_METRICS_ENDPOINT` is of an output of falcosidekick that is not here
    `SLACK_WEBHOOKURL` is of an output of falcosidekick that is not here
    keys of `tlsserver` have no effect: `TLSSERVER_DEPLOY` is not true
    `SHIM_BASIC_FILE` is set and `TLSSERVER_DEPLOY` is not: passwords come over the network in clear
    `CLOUDEVENTS_ADDRESS` has no effect: `K_SINK` is set and wins
    `CLOUDEVENTS_CHECKCERT` has no effect: the sink's certificate is always checked, as falcosidekick did; name its authority in `TLSCLIENT_CACERTFILE`
    `CLOUDEVENTS_EXTENSION` has no effect: `CLOUDEVENTS_EXTENSIONS` is set and wins
    "#);
}

#[test]
fn every_key_of_falcosidekicks_way_means_what_it_says() {
    let config = read(&[
        ("CLOUDEVENTS_ADDRESS", "https://sink"),
        ("CLOUDEVENTS_MINIMUMPRIORITY", "info"),
        ("CLOUDEVENTS_MUTUALTLS", "true"),
        ("MUTUALTLSFILESPATH", "/certs"),
        ("MUTUALTLSCLIENT_KEYFILE", "/key"),
        ("TLSCLIENT_CACERTFILE", "/ca"),
        ("TLSSERVER_DEPLOY", "true"),
        ("TLSSERVER_CERTFILE", "/front.crt"),
        ("TLSSERVER_MUTUALTLS", "T"),
        ("TLSSERVER_NOTLSPATHS", "/ping, /metrics,"),
        ("DEBUG", "1"),
        ("SHIM_BASIC_FILE", "/credentials"),
        ("SHIM_TOKEN_FILE", "/token"),
        ("SHIM_SIGNING_KEYS", "/keys"),
    ])
    .unwrap();
    let [sink] = &config.sinks[..] else { panic!() };
    assert_eq!(sink.minimum_priority, Some(falco_event::Priority::Informational));
    let identity = sink.identity.as_ref().unwrap();
    assert_eq!(
        (identity.cert.as_path(), identity.key.as_path()),
        (Path::new("/certs/client.crt"), Path::new("/key"))
    );
    assert_eq!(
        sink.ca_certs,
        [PathBuf::from("/ca"), PathBuf::from("/certs/ca.crt")]
    );
    let token = sink.token.as_ref().unwrap();
    assert_eq!(
        (token.path.as_path(), token.required),
        (Path::new("/token"), true)
    );
    let tls = config.tls.as_ref().unwrap();
    assert_eq!(tls.identity.cert, Path::new("/front.crt"));
    assert_eq!(tls.identity.key, Path::new("/etc/certs/server/server.key"));
    assert_eq!(
        tls.client_ca.as_deref(),
        Some(Path::new("/etc/certs/server/ca.crt"))
    );
    let plain = tls.plain.as_ref().unwrap();
    assert_eq!(
        (plain.listen[0].port(), &plain.paths[..]),
        (2810, &["/ping", "/metrics"][..])
    );
    assert_eq!(config.basic.as_deref(), Some(Path::new("/credentials")));
    assert_eq!(config.signing_keys.as_deref(), Some(Path::new("/keys")));
    assert_eq!(config.log.to_string(), "debug");
    insta::assert_snapshot!(config.notes.join("\n"), @r#"
    `CLOUDEVENTS_MINIMUMPRIORITY` is `info` and counts; with falcosidekick every alert passes then
    `TLSCLIENT_CACERTFILE` counts; falcosidekick does not use it for this output
    `CLOUDEVENTS_MUTUALTLS` counts; falcosidekick does not use it for this output
    "#);
}

#[test]
fn what_falcosidekick_does_otherwise_by_mistake_is_said() {
    let lookup = |name: &str| match name {
        "CUSTOMFIELDS" => Some("a:http://x,b-c:1,rule:2".to_owned()),
        "CUSTOMTAGS" => Some(String::new()),
        "HOME" => Some("/root".to_owned()),
        _ => None,
    };
    let text = "cloudevents: {address: http://sink}\ncustomfields: {home: '%HOME'}\ncustomtags: [a b, c]\nprometheus: {extralabels: 'proc.name, proc.name, k8s.pod.name'}";
    let config = Config::read(lookup, Some(File { name: "f", text })).unwrap();
    insta::assert_snapshot!(config.notes.join("\n"), @r#"
    `CUSTOMFIELDS` keeps `a`, whose value holds a colon; falcosidekick leaves it out
    `customfields.home` is the value of `HOME`; falcosidekick sends `%HOME`
    `CUSTOMTAGS` is empty and adds no tag; falcosidekick adds an empty one
    `customtags` keeps the blanks of `a b`; falcosidekick takes them out
    the field `b-c` is no label of the metrics: a label has a name of letters, digits, `_` and `.` that begins with no digit and no `__`
    the field `rule` is no label of the metrics: there is a `rule` already
    the field `proc.name` is no label of the metrics: there is a `proc_name` already
    the field `k8s.pod.name` is no label of the metrics: there is a `k8s_pod_name` already
    "#);
}

#[test]
fn a_file_says_the_same_and_a_variable_wins_over_it() {
    let text = "
ListenPort: 1234
debug: true
CustomFields:
  Akey: 1.10
  env: '%HOME'
customtags: [a, b]
templatedfields: {who: '{{ or .name \"x\" }}'}
cloudevents:
  address: http://sink/
  extensions: {Cluster: prod}
  minimumpriority: WARNING
shim:
  retryFor: 1h
  send_deadline: 1s
slack: {webhookurl: x, footer: y}
AWS: {lambda: {functionName: x}, s3: {bucket: ''}}
loki: {hostport: '', minimumpriority: x}
newoutput: {a: {b: [c]}}
outputfieldformat: x
bracketreplacer:
statsd:
";
    let lookup = |name: &str| match name {
        "HOME" => Some("/root".to_owned()),
        "SHIM_SEND_DEADLINE" => Some("2s".to_owned()),
        "CUSTOMFIELDS" => Some("Akey:2,b:http://c".to_owned()),
        _ => None,
    };
    let config = Config::read(lookup, Some(File { name: "f", text })).unwrap();
    assert_eq!(config.listen[0].port(), 1234);
    assert_eq!(config.sinks[0].url, "http://sink/");
    assert_eq!(
        config.sinks[0].minimum_priority,
        Some(falco_event::Priority::Warning)
    );
    assert_eq!(config.retry_for, Duration::from_secs(3600));
    assert_eq!(config.send_deadline, Duration::from_secs(2));
    assert_eq!(config.overrides.iter().collect::<Vec<_>>(), [("cluster", "prod")]);
    assert_eq!(config.log.to_string(), "debug");
    insta::assert_snapshot!(config.notes.join("\n"), @r#"
    `slack` is an output of falcosidekick that is not here
    `AWS` is an output of falcosidekick that is not here
    `newoutput` is taken for an output of falcosidekick that is not here
    `outputfieldformat` has no effect: an alert's `output` stays as Falco wrote it
    `CUSTOMFIELDS` keeps `b`, whose value holds a colon; falcosidekick leaves it out
    `CustomFields.env` is the value of `HOME`; falcosidekick sends `%HOME`
    "#);
}

#[test]
fn settings_of_the_first_sink_are_named_where_there_is_none() {
    let text = "cloudevents: {minimumpriority: error}\nshim: {token_file: /token, sinks: [{name: a, url: 'http://a/'}]}";
    insta::assert_snapshot!(file(text).unwrap().notes.join("\n"), @r#"
    `CLOUDEVENTS_MINIMUMPRIORITY` has no effect: it is of the sink in `K_SINK` or `CLOUDEVENTS_ADDRESS`, and neither is set
    `SHIM_TOKEN_FILE` has no effect: it is of the sink in `K_SINK` or `CLOUDEVENTS_ADDRESS`, and neither is set
    "#);
}

#[test]
fn sinks_of_the_file_come_after_that_of_the_environment() {
    let text = "
shim:
  sinks:
    - name: sidekick
      url: https://falcosidekick:2801/
      format: falco
      MinimumPriority: error
      share: 30%
      headers: {X-Team: blue}
      tokenFile: /token
      caCertFile: /ca
      certFile: /cert
      keyFile: /key
    - {name: archive, url: http://archive/}
";
    let config = file(text).unwrap();
    assert_eq!(names(&config), ["sidekick", "archive"]);
    let [one, other] = &config.sinks[..] else { panic!() };
    assert_eq!(
        (one.format, one.share, one.headers["x-team"].as_bytes()),
        (Format::Falco, 30, &b"blue"[..])
    );
    assert_eq!(
        (other.format, other.share, &other.token),
        (Format::CloudEvents, 20, &None)
    );
    assert!(!format!("{config:?}").contains("blue"));
    let both = Config::read(
        |name| (name == "K_SINK").then(|| "http://broker".to_owned()),
        Some(File { name: "f", text }),
    );
    assert_eq!(names(&both.unwrap()), ["cloudevents", "sidekick", "archive"]);
}

#[test]
fn what_makes_no_label_is_a_mistake_and_one_too_many_is_said() {
    let many: Vec<_> = (0..17).map(|number| format!("f{number}")).collect();
    let config = read(&[SINK, ("PROMETHEUS_EXTRALABELS", &many.join(","))]).unwrap();
    let note = "the field `f16` is no label of the metrics: there are 16 already";
    assert_eq!(config.notes, [note]);
    for name in ["b-c", "2b", "__b", "proc.aname[2]"] {
        let mistakes = read(&[SINK, ("PROMETHEUS_EXTRALABELS", &format!("a.b, {name}"))]).unwrap_err();
        let expected = format!(
            "`PROMETHEUS_EXTRALABELS` is `{name}`, expected a name of letters, digits, `_` and `.` that begins with no digit and no `__`"
        );
        assert_eq!(lines(&mistakes), expected);
    }
}

#[test]
fn of_a_file_that_cannot_be_read_nothing_is_missing() {
    for (text, mistake) in [
        ("a: [", "f.yaml:1:4: not YAML: unclosed bracket '['"),
        ("- a", "f.yaml:1:1: expected keys and values"),
    ] {
        assert_eq!(
            lines(&file(text).unwrap_err()),
            mistake,
            "what is missing may be in it"
        );
    }
}

#[test]
fn mistakes_in_a_file_have_their_place_and_the_nearest_right_spelling() {
    let text = "
listenprt: 1
listenport: [1]
cloudevents:
  adress: http://sink
  checkcert: maybe
  checkcert: true
cloudevent: {address: x}
tlsserver: yes
shim:
  retryFro: 1h
  sinks:
    - {name: Bad, url: nats://x, formt: falco, certFile: /a}
    - {name: a, url: http://a, headers: {'a b': s3cret, host: x}, share: 0}
    - {name: a, url: http://u:s3cret@a}
    - text
    - {name: a, url: http://a}
customfields: {a: '%UNSET', b: {c: d}}
templatedfields: {a: '{{ printf }}'}
customtags: {a: b}
elephant: 1
K_SINK: http://a
";
    let mistakes = file(text).unwrap_err();
    assert!(!mistakes.to_string().contains("s3cret"));
    insta::assert_snapshot!(lines(&mistakes), @r#"
    f.yaml:2:1: `listenprt` is no key, did you mean `listenport`?
    f.yaml:5:3: `cloudevents.adress` is no key, did you mean `cloudevents.address`?
    f.yaml:7:3: `cloudevents.checkcert` is there twice
    f.yaml:8:1: `cloudevent` is no key, did you mean `cloudevents`?
    f.yaml:9:12: `tlsserver` is not a section, expected keys and values in it
    f.yaml:11:3: `shim.retryFro` is no key, did you mean `shim.retry_for`?
    f.yaml:21:1: `elephant` is no key of the shim or of falcosidekick
    f.yaml:22:1: `K_SINK` is no key of the shim or of falcosidekick
    f.yaml:3:13: `listenport` is a list or a section, expected text
    f.yaml:6:14: `cloudevents.checkcert` is `maybe`, expected true or false
    f.yaml:16:7: `shim.sinks[4]` is no section, expected keys and values in it
    f.yaml:13:34: `shim.sinks[1].formt` is no key, did you mean `format`?
    f.yaml:13:8: `shim.sinks[1].name` is `Bad`, expected 1 to 40 of `a-z`, `0-9` and `-`
    f.yaml:13:19: `shim.sinks[1].url` is `nats://x`, expected an absolute URL, http://... or https://...
    f.yaml:13:7: `shim.sinks[1]` has one of `certFile` and `keyFile`, expected both or none
    f.yaml:14:67: `shim.sinks[2].share` is `0`, expected a percentage from 1% to 100%
    f.yaml:14:32: `shim.sinks[2].headers` is `a b`, expected the name of a header
    f.yaml:14:32: `shim.sinks[2].headers` is `host`, expected a header that the shim does not set itself
    f.yaml:15:17: `shim.sinks[3].url` is `http://...@a`, expected a URL without credentials: they are not sent
    f.yaml:17:7: `shim.sinks[5]` is called `a`, expected a name that no other sink has
    f.yaml:18:29: `customfields.b` is a list or a section, expected text
    f.yaml:18:16: `customfields.a` is `%UNSET`, expected the name of a variable that is set, after the `%`
    f.yaml:19:19: `templatedfields.a` is `{{ printf }}`, expected text and actions such as {{ index . "k8s.ns.name" }}, {{ or (index . "a.b") .name "text" }}; no other function of Go's templates is read
    f.yaml:20:13: `customtags` is a list or a section, expected text
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
        ("SHIM_DURABILITY", "disk"),
        ("SHIM_SPOOL_BYTES", "1024"),
        ("SHIM_FULL", "wait"),
        ("SHIM_EVENT_BYTES", "0"),
        ("SHIM_SEND_DEADLINE", "10"),
        ("SHIM_RETRY_FOR", "2d"),
        ("SHIM_DRAIN_DEADLINE", "-1s"),
        ("RUST_LOG", "loud=very"),
        ("DEBUG", "yes"),
        ("CLOUDEVENTS_MINIMUMPRIORITY", "warnings"),
        ("TLSSERVER_NOTLSPATHS", "/ping,/"),
        ("TLSSERVER_NOTLSPORT", "-1"),
        ("TEMPLATEDFIELDS", "a:{{ .x }}}}{{"),
        ("CUSTOMFIELDS", "a:%UNSET"),
    ])
    .unwrap_err();
    insta::assert_snapshot!(lines(&mistakes), @r#"
    `LISTENADDRESS` is `localhost`, expected an IP address, not a name
    `LISTENPORT` is `65536`, expected a port: a number from 0 to 65535
    `TLSSERVER_NOTLSPORT` is `-1`, expected a port: a number from 0 to 65535
    `TLSSERVER_NOTLSPATHS` is `/`, expected one of /ping, /healthz, /readyz, /metrics: alerts are not taken without TLS
    `K_SINK` is `nats://broker`, expected an absolute URL, http://... or https://...
    `CLOUDEVENTS_MINIMUMPRIORITY` is `warnings`, expected one of emergency, alert, critical, error, warning, notice, informational, debug, in any case
    `CLOUDEVENTS_EXTENSIONS` is `no colon\nhere`, expected name:value,name:value
    `K_CE_OVERRIDES` is `{"extensions":{"Bad_Name":"x"}}`, expected extensions that CloudEvents allows: extension `Bad_Name`: bad name: expected `a-z` and `0-9`
    `K_CA_CERTS` is `/etc/ssl/ca.crt`, expected certificates as PEM text, not a path
    `CUSTOMFIELDS` is `%UNSET`, expected the name of a variable that is set, after the `%`
    `TEMPLATEDFIELDS` is `{{ .x }}}}{{`, expected text and actions such as {{ index . "k8s.ns.name" }}, {{ or (index . "a.b") .name "text" }}; no other function of Go's templates is read
    `SHIM_DURABILITY` is `disk`, expected crash, power-loss or memory
    `SHIM_SPOOL_BYTES` is `1024`, expected a number from 16777216 to 1099511627776
    `SHIM_FULL` is `wait`, expected drop-oldest or reject
    `SHIM_EVENT_BYTES` is `0`, expected a number from 1024 to 1073741824
    `SHIM_SEND_DEADLINE` is `10`, expected a duration from 1ms to 24h: a number and ms, s, m or h, such as 10s
    `SHIM_RETRY_FOR` is `2d`, expected a duration from 1ms to 24h: a number and ms, s, m or h, such as 10s
    `SHIM_DRAIN_DEADLINE` is `-1s`, expected a duration from 1ms to 24h: a number and ms, s, m or h, such as 10s
    `DEBUG` is `yes`, expected true or false
    `RUST_LOG` is `loud=very`, expected a log level (error, warn, info, debug, trace, off), or target=level,target=level
    "#);
    assert_eq!(mistakes.to_string(), lines(&mistakes).replace('\n', "; "));
}

#[test]
fn credentials_of_a_sink_are_refused_and_not_repeated() {
    insta::assert_snapshot!(lines(&read(&[("K_SINK", "http://user:secret@broker/")]).unwrap_err()), @r#"`K_SINK` is `http://...@broker/`, expected a URL without credentials: they are not sent"#);
}

#[test]
fn the_documents_name_every_variable_that_is_read_and_no_other() {
    let read = std::sync::Mutex::new(Vec::new());
    let _ = Config::from_lookup(|name| {
        read.lock().unwrap().push(name.to_owned());
        None
    });
    let read = read.into_inner().unwrap();
    let text = include_str!("../src/environment.txt");
    let page = include_str!("../../docs/src/configuration.md");
    for name in text.lines().filter_map(|line| line.split_whitespace().next()) {
        assert!(
            read.iter().any(|other| other == name),
            "`{name}` is documented and not read"
        );
        assert!(page.contains(&format!("`{name}`")), "`{name}` is not in the book");
    }
    let without_effect = include_str!("../src/config/outputs.txt")
        .split_whitespace()
        .chain([
            "OUTPUTFIELDFORMAT",
            "CLOUDEVENTS_MAXCONCURRENTREQUESTS",
            "SHIM_SINKS",
            "HTTP_PROXY",
            "HTTPS_PROXY",
        ]);
    let without_effect: Vec<_> = without_effect.collect();
    for name in read
        .iter()
        .filter(|name| !without_effect.contains(&name.as_str()))
    {
        let words = text.split(|c: char| c.is_whitespace() || c == ';' || c == ',');
        assert!(
            words.into_iter().any(|word| word == name),
            "`{name}` is read and not documented"
        );
    }
}
