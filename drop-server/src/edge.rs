//! The HTTP edge: connections, their deadlines, and the drain at the end. What a request means is in `answer`.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

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

/// Why accepting failed last time may pass: too many open files, for example.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves connections until `shutdown` resolves, then finishes the requests in flight, for at most 20 seconds, and ends
/// the connections that are left.
pub async fn serve(listener: TcpListener, host: Arc<Host>, shutdown: impl Future<Output = ()>) {
    let graceful = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let next = async { (Arc::clone(&room).acquire_owned().await, next(&listener).await) };
        let (permit, stream) = tokio::select! {
            biased;
            () = &mut shutdown => break,
            next = next => next,
        };
        let connection = graceful.watch(connection(stream, Arc::clone(&host)));
        connections.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(permit);
        });
        while connections.try_join_next().is_some() {}
    }
    drop((listener, host));
    if tokio::time::timeout(DRAIN_WITHIN, graceful.shutdown())
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

fn connection(stream: TcpStream, host: Arc<Host>) -> impl GracefulConnection<Error = hyper::Error> {
    let respond = service_fn(move |request| {
        let host = Arc::clone(&host);
        async move { Ok::<_, std::convert::Infallible>(answer::answer(&host, request).await) }
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
