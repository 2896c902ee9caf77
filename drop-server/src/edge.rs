//! The HTTP edge: connections, their deadlines, and the drain at the end. What a request means is in `answer`.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::answer;
use crate::host::Host;

/// How long a client may take to send its headers, and how long a kept connection may be idle: hyper has one time for
/// both. Longer than the pause between two alerts of a busy cluster, so that pooled senders keep their connection.
const HEADERS_WITHIN: Duration = Duration::from_secs(60);

/// Connections at a time; more wait in the listener's backlog.
const MAX_CONNECTIONS: usize = 1_024;

/// Headers of one request: Knative passes on what it got, and hyper's default of 100 would refuse it for good.
const MAX_HEADERS: usize = 256;

/// The longest request header in bytes, and how much of a body one connection reads ahead: with all connections open this
/// is 32 MiB.
const READ_BUFFER: usize = 32 * 1024;

/// How long a client may leave bytes of its answers unread before its connection is ended: enough clients that never read
/// would otherwise hold every connection, the probes' too. The kernel counts it, also while the client's window is shut.
const UNREAD_WITHIN: Duration = Duration::from_secs(60);

/// After the first signal, how long requests in flight may take. Longer than an act's 10 s; with the 15 s after it, shorter
/// than the 40 s of the manifests.
const DRAIN_WITHIN: Duration = Duration::from_secs(20);

/// After the first signal, how long a request may take to begin: who has sent a part of a header holds up no end.
const BEGIN_WITHIN: Duration = Duration::from_secs(2);

/// How often is looked whether a connection has a request in flight then.
const LOOK: Duration = Duration::from_millis(50);

/// Why accepting failed last time may pass: too many open files, for example.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves connections until `shutdown` resolves, then finishes the requests in flight, for at most 20 seconds, and ends
/// the connections that are left.
pub async fn serve(listener: TcpListener, host: Arc<Host>, shutdown: impl Future<Output = ()>) {
    let graceful = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let (ending, late) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let next = async { (Arc::clone(&room).acquire_owned().await, next(&listener).await) };
        let (permit, stream) = tokio::select! {
            biased;
            () = &mut shutdown => break,
            next = next => next,
        };
        let in_flight = Arc::new(AtomicUsize::new(0));
        let connection = graceful.watch(connection(stream, Arc::clone(&host), Arc::clone(&in_flight)));
        let late = late.clone();
        connections.spawn(async move {
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended early");
                },
                () = asks_nothing(late, &in_flight) => {
                    tracing::debug!("a connection was ended: its request had not begun");
                }
            }
            drop(permit);
        });
        while connections.try_join_next().is_some() {}
    }
    drop((listener, host));
    let mut drained = std::pin::pin!(graceful.shutdown());
    if timeout(BEGIN_WITHIN, &mut drained).await.is_ok() {
        return;
    }
    ending.send_replace(true);
    if timeout(DRAIN_WITHIN.saturating_sub(BEGIN_WITHIN), drained)
        .await
        .is_err()
    {
        tracing::warn!(
            open = connections.len(),
            "connections did not end in time, and are ended"
        );
    }
    connections.shutdown().await;
}

/// Ready when it is late and no request is in flight.
async fn asks_nothing(mut late: watch::Receiver<bool>, in_flight: &AtomicUsize) {
    // Where the server is gone its connections are too.
    let _ = late.wait_for(|late| *late).await;
    while in_flight.load(Ordering::Relaxed) > 0 {
        tokio::time::sleep(LOOK).await;
    }
}

/// The next connection. That one cannot be accepted is no reason to accept no other.
async fn next(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // An answer is one small packet: waiting to fill it would cost its sender 40 ms.
                let _ = stream.set_nodelay(true);
                end_if_unread(&stream, UNREAD_WITHIN);
                return stream;
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn end_if_unread(stream: &TcpStream, within: Duration) {
    // It is not refused on the systems that have it, and a connection without it is served all the same.
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(within));
    #[cfg(not(target_os = "linux"))]
    let _ = (stream, within);
}

fn connection(
    stream: TcpStream,
    host: Arc<Host>,
    in_flight: Arc<AtomicUsize>,
) -> impl GracefulConnection<Error = hyper::Error> {
    let respond = service_fn(move |request| {
        let (host, in_flight) = (Arc::clone(&host), Arc::clone(&in_flight));
        in_flight.fetch_add(1, Ordering::Relaxed);
        async move {
            let answer = answer::answer(&host, request).await;
            in_flight.fetch_sub(1, Ordering::Relaxed);
            Ok::<_, std::convert::Infallible>(answer)
        }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN)
        .max_headers(MAX_HEADERS)
        .max_buf_size(READ_BUFFER)
        .serve_connection(TokioIo::new(stream), respond)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::ErrorKind;

    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn a_client_that_does_not_read_loses_its_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut stream = next(&listener).await;
        end_if_unread(&stream, Duration::from_millis(100));
        let error = loop {
            if let Err(error) = stream.write_all(&[0; 64 * 1024]).await {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
}
