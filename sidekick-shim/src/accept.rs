//! The accept loop: connections in, each served as its own task, all of them ended in time.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// How many connections are open at once; further ones wait in the kernel's backlog.
/// Falco holds one per node, so this serves the largest cluster that Kubernetes supports to a replica of ten.
pub(crate) const CONNECTIONS: usize = 512;

/// How long a client may take to send a request's header. hyper counts a kept connection's idle time with it,
/// so it is as long as falcosidekick's idle time-out: a shorter one closes connections that Falco is about to use again.
const HEADER_DEADLINE: Duration = Duration::from_secs(60);

/// The longest request header in bytes. Falco's is under 300, a service mesh adds a few KiB.
const HEADER_BYTES: usize = 16 * 1024;

/// How much one connection reads ahead, in bytes: with all connections open this is 32 MiB.
const READ_BUFFER: usize = 64 * 1024;

/// How long `accept` pauses when it cannot open another socket (no file descriptors left), instead of spinning.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves every connection of `listener`, at most `most` at once, until `drain` is ready, then closes the listener, lets the requests in flight
/// finish for at most `grace` and ends what is left. Dropping the future ends all connections at once.
pub(crate) async fn accept<S>(
    listener: TcpListener,
    most: usize,
    service: S,
    drain: impl Future<Output = ()>,
    grace: Duration,
) where
    S: Service<Request<Incoming>, Response = Response<Full<Bytes>>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
{
    let room = Arc::new(Semaphore::new(most));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut drain = std::pin::pin!(drain);
    loop {
        let next = async { (Arc::clone(&room).acquire_owned().await, next(&listener).await) };
        let (permit, stream) = tokio::select! {
            biased;
            () = &mut drain => break,
            next = next => next,
        };
        let connection = connection(TokioIo::new(stream), service.clone(), graceful.watcher());
        connections.spawn(async move {
            connection.await;
            drop(permit);
        });
        while connections.try_join_next().is_some() {}
    }
    drop((listener, service));
    // What is still open after the grace is ended by dropping its task.
    let _ = tokio::time::timeout(grace, graceful.shutdown()).await;
    connections.shutdown().await;
}

/// The next connection. An error of `accept` is one connection's bad luck or a lack of descriptors: neither ends the loop.
async fn next(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // An answer is one small packet: waiting to fill it would cost Falco 40 ms an alert.
                let _ = stream.set_nodelay(true);
                return stream;
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves one connection with HTTP/1.1 to its end.
///
/// HTTP/1 alone, and not by sniffing: hyper-util's `auto` waits without a time-out for the first bytes of a silent client.
async fn connection<I, S>(io: TokioIo<I>, service: S, watcher: Watcher)
where
    I: AsyncRead + AsyncWrite + Unpin + 'static,
    S: Service<Request<Incoming>, Response = Response<Full<Bytes>>, Error = Infallible>,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_DEADLINE)
        .max_header_size(HEADER_BYTES)
        .max_buf_size(READ_BUFFER)
        .serve_connection(io, service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests;
