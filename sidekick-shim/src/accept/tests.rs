//! Connections in memory, on a clock that is moved by waiting for it.

use http_body_util::BodyExt;
use hyper::service::service_fn;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::Instant;

use super::*;

async fn take(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, HangUp> {
    let _ = request.into_body().collect().await;
    Ok(Response::default())
}

/// A door for one connection.
fn door(listener: TcpListener) -> Door {
    Door {
        listener,
        most: 1,
        tls: None,
    }
}

/// Serves the other end of the returned stream.
fn client() -> (DuplexStream, GracefulShutdown) {
    let (client, server) = duplex(1 << 16);
    let graceful = GracefulShutdown::new();
    let service = service_fn(take);
    tokio::spawn(connection(TokioIo::new(server), service, graceful.watcher()));
    (client, graceful)
}

async fn read_to_end(client: &mut (impl AsyncRead + Unpin)) -> String {
    let mut text = String::new();
    client.read_to_string(&mut text).await.unwrap();
    text
}

/// Reads until the text has come; more than it is kept.
async fn read_until(client: &mut (impl AsyncRead + Unpin), end: &str) -> String {
    let mut text = String::new();
    while !text.contains(end) {
        let mut buffer = [0; 1024];
        let count = client.read(&mut buffer).await.unwrap();
        assert_ne!(count, 0, "closed after `{text}`");
        text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    text
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_no_whole_header_is_cut_off() {
    for sent in ["", "POST / HTTP/1.1\r\nHost: a\r\n"] {
        let (mut client, _graceful) = client();
        let start = Instant::now();
        client.write_all(sent.as_bytes()).await.unwrap();
        read_to_end(&mut client).await;
        assert_eq!(
            start.elapsed().as_secs(),
            FIRST_DEADLINE.as_secs(),
            "after `{sent}`"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_header_over_the_limit_is_refused() {
    let (mut client, _graceful) = client();
    let header = format!("POST / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(HEADER_BYTES));
    client.write_all(header.as_bytes()).await.unwrap();
    assert!(read_to_end(&mut client).await.starts_with("HTTP/1.1 431 "));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_http_is_refused() {
    let (mut client, _graceful) = client();
    client
        .write_all(b"\x16\x03\x01 TLS to a plain port\r\n\r\n")
        .await
        .unwrap();
    assert!(read_to_end(&mut client).await.starts_with("HTTP/1.1 400 "));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_to_be_told_to_go_on_is_told() {
    let (mut client, _graceful) = client();
    let header = b"POST / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    client.write_all(header).await.unwrap();
    assert_eq!(
        read_until(&mut client, "\r\n\r\n").await,
        "HTTP/1.1 100 Continue\r\n\r\n"
    );
    client.write_all(b"{}").await.unwrap();
    assert!(
        read_until(&mut client, "\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 200 OK\r\n")
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_that_closes_its_half_gets_its_answer() {
    let (mut client, server) = duplex(1 << 16);
    let slow = service_fn(|request| async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        take(request).await
    });
    let graceful = GracefulShutdown::new();
    tokio::spawn(connection(TokioIo::new(server), slow, graceful.watcher()));
    client.write_all(POST).await.unwrap();
    client.shutdown().await.unwrap();
    assert!(read_to_end(&mut client).await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test(start_paused = true)]
async fn one_connection_serves_many_requests_and_is_kept_between_them() {
    let (mut client, _graceful) = client();
    for _ in 0..3 {
        client
            .write_all(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}")
            .await
            .unwrap();
        assert!(
            read_until(&mut client, "\r\n\r\n")
                .await
                .starts_with("HTTP/1.1 200 OK\r\n")
        );
        tokio::time::sleep(HEADER_DEADLINE - Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_kept_connection_is_cut_off_later_than_a_new_one() {
    let (mut client, _graceful) = client();
    client.write_all(POST).await.unwrap();
    read_until(&mut client, "\r\n\r\n").await;
    let start = Instant::now();
    read_to_end(&mut client).await;
    assert_eq!(start.elapsed().as_secs(), HEADER_DEADLINE.as_secs());
}

// Other systems have one loopback address.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_peer_does_not_take_every_place() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let most = 8;
    let door = Door {
        listener,
        most,
        tls: None,
    };
    let accepting = accept(door, |_| service_fn(take), std::future::pending(), Duration::ZERO);
    let accepting = tokio::spawn(accepting);
    let mut idle = Vec::new();
    for _ in 0..most {
        idle.push(TcpStream::connect(address).await.unwrap());
    }
    let other = tokio::net::TcpSocket::new_v4().unwrap();
    other.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = other.connect(address).await.unwrap();
    other.write_all(POST).await.unwrap();
    assert!(
        read_until(&mut other, "\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 200 ")
    );
    for kept in &idle[..most / 4] {
        let none = kept.try_read(&mut [0; 1]).unwrap_err();
        assert_eq!(none.kind(), std::io::ErrorKind::WouldBlock);
    }
    for refused in &mut idle[most / 4..] {
        assert_eq!(read_to_end(refused).await, "");
    }
    accepting.abort();
}

#[tokio::test(start_paused = true)]
async fn a_drain_finishes_the_request_in_flight_and_closes() {
    let (mut client, graceful) = client();
    client
        .write_all(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{")
        .await
        .unwrap();
    let drained = tokio::spawn(graceful.shutdown());
    tokio::task::yield_now().await;
    client.write_all(b"}").await.unwrap();
    let answer = read_to_end(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    drained.await.unwrap();
}

const POST: &[u8] = b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}";

#[tokio::test]
async fn a_connection_over_the_limit_waits_until_another_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepting = accept(
        door(listener),
        |_| service_fn(take),
        std::future::pending(),
        Duration::ZERO,
    );
    let accepting = tokio::spawn(accepting);
    let mut first = TcpStream::connect(address).await.unwrap();
    first.write_all(POST).await.unwrap();
    read_until(&mut first, "\r\n\r\n").await;
    let mut second = TcpStream::connect(address).await.unwrap();
    second.write_all(POST).await.unwrap();
    for _ in 0..5 {
        first.write_all(POST).await.unwrap();
        read_until(&mut first, "\r\n\r\n").await;
    }
    let none = second.try_read(&mut [0; 1]).unwrap_err();
    assert_eq!(none.kind(), std::io::ErrorKind::WouldBlock);
    drop(first);
    assert!(
        read_until(&mut second, "\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 200 ")
    );
    accepting.abort();
}

#[tokio::test]
async fn a_connection_that_does_not_end_is_ended_after_the_grace() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (drain, drained) = tokio::sync::oneshot::channel::<()>();
    let until = async { drop(drained.await) };
    let accepting = tokio::spawn(accept(
        door(listener),
        |_| service_fn(take),
        until,
        Duration::from_millis(20),
    ));
    client
        .write_all(b"POST / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        .await
        .unwrap();
    read_until(&mut client, "100 Continue\r\n\r\n").await;
    drop(drain);
    accepting.await.unwrap();
    assert_eq!(read_to_end(&mut client).await, "");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_finish_its_handshake_is_cut_off() {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    // The first bytes of a handshake that announces more than it sends.
    for sent in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let (mut client, server) = duplex(1 << 16);
        client.write_all(sent).await.unwrap();
        let start = Instant::now();
        assert!(
            handshake(TlsAcceptor::from(Arc::clone(&config)), server)
                .await
                .is_none()
        );
        assert_eq!(start.elapsed(), HANDSHAKE_DEADLINE);
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_client_that_does_not_read_loses_its_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (mut stream, _) = next(&listener).await;
    end_if_unread(&stream, Duration::from_millis(100));
    let error = loop {
        if let Err(error) = stream.write_all(&[0; 64 * 1024]).await {
            break error;
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}
