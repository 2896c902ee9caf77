//! From a request of Falco's to the sink, over real sockets.

use std::sync::Arc;
use std::time::Duration;

use crate::support::{ALERT, Does, Falco, Got, Mind, Running, Sink, Tries, alert, serve_one, status};
use sidekick_shim::{Answer, Ended};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc::unbounded_channel;

#[tokio::test]
async fn an_alert_becomes_an_event_with_the_same_bytes() {
    let mut sink = Sink::start(|_| Does::Answer(202)).await;
    let shim = Running::start(&sink.url(), &[], ()).await;
    let answer = Falco::connect(shim.address).await.post(ALERT).await;
    assert_eq!(status(&answer), "200");
    assert!(
        answer.ends_with("content-length: 0\r\n\r\n") || answer.contains("content-length: 0\r\n"),
        "{answer}"
    );

    let got = sink.next().await;
    assert_eq!(got.target, "/ns/default");
    assert_eq!(got.headers["content-type"], "application/cloudevents+json");
    assert!(
        got.headers["user-agent"]
            .to_str()
            .unwrap()
            .starts_with("sidekick-shim/")
    );
    let event = got.event();
    let expected = [
        ("specversion", "1.0"),
        ("type", "falco.rule.output.v1"),
        ("source", "https://falco.org"),
        ("rule", "Terminal shell in container"),
        ("priority", "Notice"),
        ("subject", "default/mysql-db-7d59548d75-wh44s"),
    ];
    for (name, value) in expected {
        assert_eq!(event[name], value, "{name}");
    }
    assert!(event["recordedtime"].is_string());
    let text = std::str::from_utf8(&got.body).unwrap();
    assert!(text.ends_with(&format!("\"data\":{ALERT}}}")), "{text}");
    assert_eq!(shim.drained().await, Ended::default());
}

#[tokio::test]
async fn extensions_of_the_operator_are_in_every_event() {
    let mut sink = Sink::start(|_| Does::Answer(202)).await;
    let variables = &[
        ("CLOUDEVENTS_EXTENSIONS", "foo:bar"),
        ("K_CE_OVERRIDES", r#"{"extensions":{"rule":"x"}}"#),
    ];
    let shim = Running::start(&sink.url(), variables, ()).await;
    Falco::connect(shim.address).await.post(ALERT).await;
    let event = sink.next().await.event();
    assert_eq!((&event["foo"], &event["rule"]), (&"bar".into(), &"x".into()));
}

#[tokio::test]
async fn the_sinks_url_is_used_exactly() {
    let mut sink = Sink::start(|_| Does::Answer(202)).await;
    let url = format!("http://{}/a/b/?c=d%20e", sink.address);
    let shim = Running::start(&url, &[], ()).await;
    Falco::connect(shim.address).await.post(ALERT).await;
    assert_eq!(sink.next().await.target, "/a/b/?c=d%20e");
}

/// Posts one alert to a shim whose sink does `does` first and takes the alert then; returns the first answer as the
/// shim saw it, and what the sink got.
async fn first_then_good(does: Does, variables: &'static [(&str, &str)]) -> (Answer, Vec<Got>) {
    let mut sink = Sink::start(move |before| if before == 0 { does } else { Does::Answer(200) }).await;
    let (tries, mut seen) = Tries::new();
    let shim = Running::start(&sink.url(), variables, tries).await;
    Falco::connect(shim.address).await.post(ALERT).await;
    let (_, first) = seen.recv().await.unwrap();
    assert_eq!(shim.drained().await, Ended::default());
    sink.got.close();
    let got = std::iter::from_fn(|| sink.got.try_recv().ok()).collect();
    (first, got)
}

#[tokio::test]
async fn what_may_pass_is_tried_again_with_the_same_event() {
    for code in [404, 408, 409, 425, 429, 500, 502, 503, 504] {
        let (first, got) = first_then_good(Does::Answer(code), &[]).await;
        assert_eq!(first.to_string(), format!("status {code}"));
        assert_eq!(got.len(), 2, "{code}");
        assert_eq!(got[0].body, got[1].body);
    }
}

#[tokio::test]
async fn what_is_final_is_tried_once() {
    for code in [200, 201, 202, 204, 400, 413, 415, 422, 431] {
        let (first, got) = first_then_good(Does::Answer(code), &[]).await;
        assert_eq!(first.to_string(), format!("status {code}"));
        assert_eq!(got.len(), 1, "{code}");
    }
}

#[tokio::test]
async fn a_sink_that_hangs_is_given_up_at_the_deadline_and_tried_again() {
    let (first, got) = first_then_good(Does::Hang, &[("SHIM_SEND_DEADLINE", "50ms")]).await;
    assert_eq!(
        first,
        Answer::Nothing {
            cause: "not within 50ms".to_owned()
        }
    );
    assert_eq!(got.len(), 2);
}

#[tokio::test]
async fn a_sink_that_closes_without_an_answer_is_tried_again() {
    let (first, got) = first_then_good(Does::Close, &[]).await;
    assert!(matches!(first, Answer::Nothing { .. }), "{first}");
    assert_eq!(got.len(), 2);
}

/// It closes amid the request, and then amid its answer.
#[tokio::test]
async fn a_sink_that_closes_half_way_is_tried_again_with_the_same_event() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tries, mut seen) = Tries::new();
    let shim = Running::start(&format!("http://{address}/"), &[], tries).await;
    let answer = Falco::connect(shim.address).await.post(ALERT).await;
    assert_eq!(status(&answer), "200");

    let (mut half, _) = listener.accept().await.unwrap();
    half.read_exact(&mut [0; 300]).await.unwrap();
    drop(half);
    let mut requests = Vec::new();
    for part in ["", "HTTP/1.1 20", "HTTP/1.1 202 Accepted\r\ncontent-len"] {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = String::new();
        while !request.ends_with(&format!("{ALERT}}}")) {
            let mut some = [0; 4096];
            let read = stream.read(&mut some).await.unwrap();
            request.push_str(std::str::from_utf8(&some[..read]).unwrap());
        }
        stream.write_all(part.as_bytes()).await.unwrap();
        requests.push(request);
    }
    let mut sink = Sink::on(listener, |_| Does::Answer(202));
    let event = sink.next().await.body;
    for request in requests {
        assert!(request.as_bytes().ends_with(&event), "{request}");
    }
    assert_eq!(shim.drained().await, Ended::default());
    for number in 1..=4 {
        let (tried, answer) = seen.recv().await.unwrap();
        assert!(
            tried == number && matches!(answer, Answer::Nothing { .. }),
            "{answer}"
        );
    }
}

/// Above 1 MiB libcurl asks first whether it may send the body.
#[tokio::test]
async fn falco_waits_with_a_large_alert_until_it_is_asked_for_it() {
    let mut sink = Sink::start(|_| Does::Answer(202)).await;
    let shim = Running::start(&sink.url(), &[("SHIM_EVENT_BYTES", "4194304")], ()).await;
    let large = alert(&"r".repeat(1536 * 1024));
    let mut falco = Falco::connect(shim.address).await;
    falco.begin(&large).await;
    falco.send_body(&large).await;
    assert_eq!(status(&falco.answer().await), "200");
    assert_eq!(status(&falco.post(ALERT).await), "200", "on the same connection");
    let mut sizes = [sink.next().await.body.len(), sink.next().await.body.len()];
    sizes.sort_unstable();
    assert!(sizes[0] < 2048 && sizes[1] > large.len(), "{sizes:?}");
}

#[tokio::test]
async fn what_the_sink_asks_for_is_read() {
    let sink = Sink::start(|_| Does::Later(503, "9")).await;
    let (tries, mut seen) = Tries::new();
    let shim = Running::start(&sink.url(), &[], tries).await;
    Falco::connect(shim.address).await.post(ALERT).await;
    let (_, answer) = seen.recv().await.unwrap();
    let (status, retry_after) = (
        http::StatusCode::SERVICE_UNAVAILABLE,
        Some(Duration::from_secs(9)),
    );
    assert_eq!(
        answer,
        Answer::Status {
            status,
            retry_after,
            body: bytes::Bytes::new()
        }
    );
}

#[tokio::test]
async fn a_sink_that_comes_up_later_gets_the_alert() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = port.local_addr().unwrap();
    drop(port);
    let (tries, mut seen) = Tries::new();
    let shim = Running::start(&format!("http://{address}"), &[], tries).await;
    assert_eq!(
        status(&Falco::connect(shim.address).await.post(ALERT).await),
        "200"
    );
    let (number, answer) = seen.recv().await.unwrap();
    assert_eq!(number, 1);
    assert!(
        answer.to_string().to_lowercase().contains("connection refused"),
        "{answer}"
    );
    let mut sink = Sink::on(TcpListener::bind(address).await.unwrap(), |_| Does::Answer(202));
    assert_eq!(sink.next().await.rule(), "Terminal shell in container");
    assert_eq!(shim.drained().await, Ended::default());
}

#[tokio::test]
async fn both_sides_keep_their_connections() {
    let mut sink = Sink::start(|_| Does::Answer(202)).await;
    let shim = Running::start(&sink.url(), &[], ()).await;
    let mut falco = Falco::connect(shim.address).await;
    for number in 0..20 {
        assert_eq!(status(&falco.post(&alert(&number.to_string())).await), "200");
        assert_eq!(sink.next().await.rule(), number.to_string());
    }
    // An alert can find the kept connection not yet given back, so it is not always one.
    assert!(sink.connections() <= 8, "{}", sink.connections());
}

#[tokio::test]
async fn one_connection_outlives_what_is_refused() {
    let mut sink = Sink::start(|_| Does::Answer(202)).await;
    let shim = Running::start(&sink.url(), &[], ()).await;
    let mut falco = Falco::connect(shim.address).await;
    assert_eq!(status(&falco.post("not json").await), "400");
    assert_eq!(
        status(&falco.post(&[alert("a"), alert("b")].concat()).await),
        "200"
    );
    let mut rules = [sink.next().await.rule(), sink.next().await.rule()];
    rules.sort();
    assert_eq!(rules, ["a", "b"]);
    let metrics = shim.metrics().await;
    for line in [
        "falcosecurity_falcosidekick_inputs_total{source=\"requests\",status=\"accepted\"} 2\n",
        "falcosecurity_falcosidekick_inputs_total{source=\"requests\",status=\"rejected\"} 1\n",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
}

/// An `https` sink with a certificate of its own for `localhost`, as PEM; it takes everything.
async fn https_sink() -> (String, String, tokio::sync::mpsc::UnboundedReceiver<Got>) {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    let server = server
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    let tls = tokio_rustls::TlsAcceptor::from(Arc::new(server));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
    let (seen, got) = unbounded_channel();
    let mind = Arc::new(Mind::new(seen));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(stream) = tls.accept(stream).await {
                tokio::spawn(serve_one(stream, Arc::clone(&mind)));
            }
        }
    });
    (url, own.cert.pem(), got)
}

#[tokio::test]
async fn an_https_sink_is_trusted_by_its_authority_and_not_without() {
    let (url, pem, mut got) = https_sink().await;
    let variables: &'static [(&str, &str)] = vec![("K_CA_CERTS", &*pem.leak())].leak();
    let shim = Running::start(&url, variables, ()).await;
    Falco::connect(shim.address).await.post(ALERT).await;
    assert_eq!(got.recv().await.unwrap().rule(), "Terminal shell in container");
    assert_eq!(shim.drained().await, Ended::default());

    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()])
        .unwrap()
        .cert
        .pem();
    let variables: &'static [(&str, &str)] = vec![("K_CA_CERTS", &*other.leak())].leak();
    let (tries, mut seen) = Tries::new();
    let shim = Running::start(&url, variables, tries).await;
    Falco::connect(shim.address).await.post(ALERT).await;
    let (_, answer) = seen.recv().await.unwrap();
    assert!(answer.to_string().contains("certificate"), "{answer}");
    shim.abort.cancel();
    assert_eq!(
        shim.end.await.unwrap(),
        Ended {
            unsent: 1,
            lost: 1,
            failed: false
        }
    );
    assert!(got.try_recv().is_err());
}
