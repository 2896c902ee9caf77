//! What a sink is told besides the alert: who sends it, and in which form.

use std::sync::Arc;

use falco_event::cloudevents::{KEY_ID, Keys, receive};
use rcgen::ExtendedKeyUsagePurpose;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::doors::Files;
use crate::support::{ALERT, Does, Falco, Got, Mind, Running, Sink, Tries, alert, serve_one, status};

const KEYS: &str = "now 0123456789abcdef0123456789abcdef";

/// Variables that name a file with this text.
fn with_file(
    name: &'static str,
    text: &str,
) -> (tempfile::NamedTempFile, &'static [(&'static str, &'static str)]) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let path: &'static str = file.path().to_str().unwrap().to_owned().leak();
    (file, vec![(name, path)].leak())
}

#[tokio::test]
async fn each_event_is_signed_with_the_first_key_as_its_file_is_then() {
    let (file, variables) = with_file("SHIM_SIGNING_KEYS", KEYS);
    let mut sink = Sink::start(|_| Does::Answer(202)).await;
    let shim = Running::start(&sink.url(), variables, ()).await;
    Falco::connect(shim.address).await.post(ALERT).await;
    let got = sink.next().await;
    let received = receive(&got.headers, &got.body).unwrap();
    assert_eq!(received.extensions[KEY_ID], "now");
    assert_eq!(received.alert.as_bytes(), ALERT.as_bytes());
    let keys = Keys::parse(KEYS).unwrap();
    assert_eq!(keys.verify(&received.extensions, ALERT.as_bytes()), Ok(()));

    let both = format!("next abcdef0123456789abcdef0123456789\n{KEYS}");
    std::fs::write(file.path(), &both).unwrap();
    let mut falco = Falco::connect(shim.address).await;
    let signed = loop {
        falco.post(ALERT).await;
        let got = sink.next().await;
        let received = receive(&got.headers, &got.body).unwrap();
        if received.extensions[KEY_ID] == "next" {
            break received;
        }
    };
    let keys = Keys::parse(&both).unwrap();
    assert_eq!(keys.verify(&signed.extensions, ALERT.as_bytes()), Ok(()));
}

#[tokio::test]
async fn a_token_is_read_at_every_request() {
    let (file, variables) = with_file("SHIM_TOKEN_FILE", "one\n");
    let mut sink = Sink::start(|_| Does::Answer(202)).await;
    let (tries, mut seen) = Tries::new();
    let shim = Running::start(&sink.url(), variables, tries).await;
    let mut falco = Falco::connect(shim.address).await;
    for token in ["one", "two"] {
        std::fs::write(file.path(), token).unwrap();
        falco.post(&alert(token)).await;
        assert_eq!(
            sink.next().await.headers["authorization"],
            format!("Bearer {token}")
        );
        seen.recv().await.unwrap();
    }
    for (text, why) in [("", "holds no token"), ("a\r\nX: y", "holds no token")] {
        std::fs::write(file.path(), text).unwrap();
        falco.post(&alert("later")).await;
        let (_, answer) = seen.recv().await.unwrap();
        assert!(
            answer.to_string().contains(why) && !answer.to_string().contains("X:"),
            "{answer}"
        );
    }
    std::fs::write(file.path(), "three").unwrap();
    assert_eq!(sink.next().await.headers["authorization"], "Bearer three");
}

#[tokio::test]
async fn a_sink_of_falcos_format_gets_falcos_post() {
    let mut sink = Sink::start(|_| Does::Answer(200)).await;
    let text = format!(
        "shim: {{sinks: [{{name: a, url: '{}', format: falco, headers: {{x-team: blue}}}}]}}",
        sink.url()
    );
    let variables = &[("K_SINK", "")];
    let shim = Running::with_file("", variables, &text, ()).await;
    assert_eq!(
        status(&Falco::connect(shim.address).await.post(ALERT).await),
        "200"
    );
    let got = sink.next().await;
    assert_eq!(
        (got.headers["content-type"].as_bytes(), &got.body[..]),
        (&b"application/json"[..], ALERT.as_bytes())
    );
    assert_eq!(got.headers["x-team"], "blue");
    assert!(!got.headers.contains_key("authorization"));
}

/// What falcosidekick refuses, and Falco sends.
#[tokio::test]
async fn alerts_without_output_fields_and_of_falco_itself_go_through() {
    let lines = [
        r#"{"hostname":"n","output":"Falco internal: hot restart failure: x","output_fields":{},"priority":"Critical","rule":"Falco internal: hot restart failure","source":"internal","time":"2026-01-01T00:00:00.000000000Z"}"#,
        r#"{"hostname":"n","output":"o","priority":"Warning","rule":"no fields","source":"syscall","tags":[],"time":"2026-01-01T00:00:00.000000000Z"}"#,
        r#"{"hostname":"n","output":"o","output_fields":null,"priority":"Warning","rule":"null fields","source":"syscall","time":"2026-01-01T00:00:00.000000001Z"}"#,
        r#"{"hostname":"n","output":"Falco metrics snapshot","output_fields":{"falco.evts_rate_sec":1846.4,"scap.n_drops_perc":0.0},"priority":"Informational","rule":"Falco internal: metrics snapshot","source":"internal","time":"2026-01-01T00:00:00.000000000Z"}"#,
        r#"{"output":"o","message":"m","output_fields":{"k8s.ns.name":7,"k8s.pod.name":["a"]},"priority":"info","rule":"names that are none","time":"2026-01-01T00:00:00.000000000Z","new":{"a":[1]}}"#,
        r#"{"output":"o\u0000","output_fields":{"a":"\ud800"},"priority":"DEBUG","rule":"a\nb","time":"2026-01-01T00:00:00.000000000Z"}"#,
    ];
    let mut sink = Sink::start(|_| Does::Answer(202)).await;
    let shim = Running::start(&sink.url(), &[], ()).await;
    let mut falco = Falco::connect(shim.address).await;
    for line in lines {
        assert_eq!(status(&falco.post(line).await), "200", "{line}");
        let got = sink.next().await;
        let received = receive(&got.headers, &got.body).unwrap();
        assert_eq!(received.alert.as_bytes(), line.as_bytes());
    }
}

#[tokio::test]
async fn what_is_configured_is_changed_on_the_way_and_the_rest_is_not() {
    let variables = &[
        ("CUSTOMFIELDS", "cluster:prod"),
        (
            "TEMPLATEDFIELDS",
            r#"where:{{ or .absent (index . "k8s.ns.name") }}/{{ .cluster }}"#,
        ),
        ("CUSTOMTAGS", "blue"),
    ];
    let mut sink = Sink::start(|_| Does::Answer(202)).await;
    let shim = Running::start(&sink.url(), variables, ()).await;
    Falco::connect(shim.address).await.post(ALERT).await;
    let text = String::from_utf8(sink.next().await.body.to_vec()).unwrap();
    let whole = ALERT.replace(
        "-1}}",
        r#"-1,"cluster":"prod","where":"default/prod"},"tags":["blue"]}"#,
    );
    assert!(text.ends_with(&format!("\"data\":{whole}}}")), "{text}");
    assert!(text.contains(r#""tags":"blue""#), "{text}");
}

/// An `https` sink that wants to see a certificate of its clients; says whose it saw.
async fn asking_sink(files: &Files) -> (String, UnboundedReceiver<(CertificateDer<'static>, Got)>) {
    let (cert, key) = files.sign("localhost", ExtendedKeyUsagePurpose::ServerAuth);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(files.authority.der().clone()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(
            vec![cert.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let tls = tokio_rustls::TlsAcceptor::from(Arc::new(server));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
    let (out, seen) = unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(stream) = tls.accept(stream).await else {
                continue;
            };
            let shown = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
            let (got, mut all) = unbounded_channel();
            let out = out.clone();
            // One request a connection, so that the next alert shows the certificate again.
            tokio::spawn(async move {
                let serving = serve_one(stream, Arc::new(Mind::new(got)));
                tokio::select! {
                    () = serving => {}
                    Some(got) = all.recv() => out.send((shown, got)).unwrap(),
                }
            });
        }
    });
    (url, seen)
}

#[tokio::test]
async fn a_sink_is_shown_a_certificate_as_its_file_is_then() {
    let files = Files::new();
    let (url, mut seen) = asking_sink(&files).await;
    let certify = || {
        let (cert, key) = files.sign("shim", ExtendedKeyUsagePurpose::ClientAuth);
        files.write("client.key", &key.serialize_pem());
        files.write("client.crt", &cert.pem());
        cert.der().clone()
    };
    files.write("ca.crt", &files.authority.pem());
    let first = certify();
    let folder: &'static str = files.path("").leak();
    let variables = vec![("CLOUDEVENTS_MUTUALTLS", "true"), ("MUTUALTLSFILESPATH", folder)];
    let shim = Running::start(&url, variables.leak(), ()).await;
    let mut falco = Falco::connect(shim.address).await;
    falco.post(&alert("first")).await;
    let (shown, got) = seen.recv().await.unwrap();
    assert_eq!((shown, got.rule().as_str()), (first, "first"));

    let second = certify();
    loop {
        falco.post(&alert("again")).await;
        if seen.recv().await.unwrap().0 == second {
            break;
        }
    }
}

#[tokio::test]
async fn each_sink_gets_what_it_wants_in_its_form_and_none_waits_for_another() {
    let mut first = Sink::start(|_| Does::Answer(202)).await;
    let mut falco = Sink::start(|_| Does::Answer(200)).await;
    let hangs = Sink::start(|_| Does::Hang).await;
    let text = format!(
        "shim: {{sinks: [{{name: hangs, url: '{}'}}, {{name: falco, url: '{}', format: falco, minimumPriority: critical}}]}}",
        hangs.url(),
        falco.url()
    );
    let variables = &[("SHIM_DRAIN_DEADLINE", "50ms")];
    let shim = Running::with_file(&first.url(), variables, &text, ()).await;
    let mut client = Falco::connect(shim.address).await;
    let urgent = alert("urgent").replace("Notice", "Critical");
    for body in [&alert("usual"), &urgent, ALERT] {
        assert_eq!(status(&client.post(body).await), "200");
    }
    let mut rules = [
        first.next().await.rule(),
        first.next().await.rule(),
        first.next().await.rule(),
    ];
    rules.sort();
    assert_eq!(rules, ["Terminal shell in container", "urgent", "usual"]);
    assert_eq!(falco.next().await.body, urgent);
    let metrics = shim.metrics().await;
    assert!(
        metrics.contains("outputs_total{destination=\"hangs\",status=\"ok\"} 0\n"),
        "{metrics}"
    );
    assert_eq!(shim.drained().await.unsent, 3, "for the one that hangs");
    assert!(falco.got.try_recv().is_err());
}
