//! The accept loop: connections in, each served as its own task, all of them ended in time.

mod peers;

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use self::peers::Peers;
use crate::follow::Followed;
use crate::front::HangUp;
use crate::printable::Printable;

/// How many connections are open at once, a quarter of them from one address; further ones wait in the kernel's backlog.
/// Falco holds one per node, so this serves the largest cluster that Kubernetes supports to a replica of ten.
pub(crate) const CONNECTIONS: usize = 512;

/// How many of them on a port for probes and metrics.
pub(crate) const PLAIN_CONNECTIONS: usize = 32;

/// How long a client may take to send a request's header. A kept connection's idle time counts with it, so it is as long
/// as falcosidekick's idle time-out: a shorter one closes connections that Falco is about to use again.
const HEADER_DEADLINE: Duration = Duration::from_secs(60);

/// How long until a new connection's first header is there. Falco connects when it has an alert to send; one who has
/// shown nothing holds a place all the same.
const FIRST_DEADLINE: Duration = Duration::from_secs(10);

/// How often it is looked whether a request that took long is answered, and another is late.
const LOOK: Duration = Duration::from_secs(1);

/// How often at most the log says that a peer has too many connections: it can try thousands of times a second.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// How long a client may leave bytes of its answers unread: clients that never read would otherwise hold every place
/// for ever. The kernel counts it.
const UNREAD_DEADLINE: Duration = Duration::from_secs(60);

/// The longest request header in bytes. Falco's is under 300, a service mesh adds a few KiB.
const HEADER_BYTES: usize = 16 * 1024;

/// How much one connection reads ahead, in bytes: with all connections open this is 32 MiB.
const READ_BUFFER: usize = 64 * 1024;

/// How long `accept` pauses when it cannot open another socket (no file descriptors left), instead of spinning.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a TLS handshake may take. Until then a connection has shown nothing, and holds a place all the same.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

/// Where connections come in.
pub(crate) struct Door {
    pub(crate) listener: TcpListener,
    /// How many connections are open at once.
    pub(crate) most: usize,
    /// What a connection is encrypted with, as it is when the connection comes.
    pub(crate) tls: Option<Arc<Followed<ServerConfig>>>,
}

/// Serves every connection of a door, each with a service for its peer, until `drain` is ready, then closes the listener,
/// lets the requests in flight finish for at most `grace` and ends what is left. Dropping the future ends all connections
/// at once.
pub(crate) async fn accept<S>(
    door: Door,
    service: impl Fn(IpAddr) -> S,
    drain: impl Future<Output = ()>,
    grace: Duration,
) where
    S: Service<Request<Incoming>, Response = Response<Full<Bytes>>, Error = HangUp>,
    S: Send + 'static,
    S::Future: Send,
{
    let Door { listener, most, tls } = door;
    let room = Arc::new(Semaphore::new(most));
    let peers = Peers::sharing(most);
    let ending = CancellationToken::new();
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut complained = None;
    let mut drain = std::pin::pin!(drain);
    loop {
        let next = async { (Arc::clone(&room).acquire_owned().await, next(&listener).await) };
        let (permit, (stream, peer)) = tokio::select! {
            biased;
            () = &mut drain => break,
            next = next => next,
        };
        let Some(place) = peers.admit(peer) else {
            let now = Instant::now();
            if complained.is_none_or(|last| now >= last + COMPLAIN_EVERY) {
                complained = Some(now);
                tracing::warn!(%peer, "a connection was closed: its peer has too many open");
            }
            continue;
        };
        let (service, watcher) = (service(peer), graceful.watcher());
        let tls = tls.as_ref().map(|tls| TlsAcceptor::from(tls.now()));
        let ending = ending.clone();
        connections.spawn(async move {
            match tls {
                None => connection(TokioIo::new(stream), service, watcher).await,
                // Who has not shown anything yet does not hold up the end.
                Some(tls) => {
                    if let Some(Some(stream)) = ending.run_until_cancelled(handshake(tls, stream)).await {
                        connection(TokioIo::new(stream), service, watcher).await;
                    }
                }
            }
            drop((permit, place));
        });
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    ending.cancel();
    // What is still open after the grace is ended by dropping its task.
    let _ = timeout(grace, graceful.shutdown()).await;
    connections.shutdown().await;
}

/// The next connection. An error of `accept` is one connection's bad luck or a lack of descriptors: neither ends the loop.
async fn next(listener: &TcpListener) -> (TcpStream, IpAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // An answer is one small packet: waiting to fill it would cost Falco 40 ms an alert.
                let _ = stream.set_nodelay(true);
                end_if_unread(&stream, UNREAD_DEADLINE);
                return (stream, peer.ip());
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
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

async fn handshake<I>(tls: TlsAcceptor, stream: I) -> Option<TlsStream<I>>
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    match timeout(HANDSHAKE_DEADLINE, tls.accept(stream)).await {
        Ok(Ok(stream)) => Some(stream),
        // A probe that only connects, which says nothing about anyone's certificate.
        Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => None,
        Ok(Err(error)) => {
            tracing::warn!(error = %Printable(&error.to_string()), "a TLS handshake failed");
            None
        }
        Err(_) => {
            tracing::warn!("a TLS handshake took too long");
            None
        }
    }
}

/// Serves one connection with HTTP/1.1 to its end.
///
/// HTTP/1 alone, and not by sniffing: hyper-util's `auto` waits without a time-out for the first bytes of a silent client.
async fn connection<I, S>(io: TokioIo<I>, service: S, watcher: Watcher)
where
    I: AsyncRead + AsyncWrite + Unpin + 'static,
    S: Service<Request<Incoming>, Response = Response<Full<Bytes>>, Error = HangUp>,
{
    let silence = &Silence::until(Instant::now() + FIRST_DEADLINE);
    let told = service_fn(move |request| {
        silence.broken();
        let answer = service.call(request);
        async move {
            let answer = answer.await;
            silence.begins(Instant::now() + HEADER_DEADLINE);
            answer
        }
    });
    let connection = http1::Builder::new()
        .max_header_size(HEADER_BYTES)
        .max_buf_size(READ_BUFFER)
        // Who has sent all of a request may close that half. And hyper would else get ready to read on while a request
        // is answered, with another buffer.
        .half_close(true)
        .serve_connection(io, told);
    tokio::select! {
        biased;
        end = watcher.watch(connection) => {
            if let Err(error) = end {
                tracing::debug!(%error, "a connection ended early");
            }
        }
        () = silence.is_over() => tracing::debug!("a connection was closed: it asked for nothing"),
    }
}

/// The time in which a client asks for nothing: one timer for a connection, where hyper's would be one for each request.
struct Silence(Mutex<Option<Instant>>);

impl Silence {
    fn until(over: Instant) -> Self {
        Self(Mutex::new(Some(over)))
    }

    fn over(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request is here, and takes the time that it takes.
    fn broken(&self) {
        *self.over() = None;
    }

    /// It was answered.
    fn begins(&self, until: Instant) {
        *self.over() = Some(until);
    }

    /// Ready when it has lasted too long.
    async fn is_over(&self) {
        loop {
            let now = Instant::now();
            let look = match *self.over() {
                Some(over) if over <= now => return,
                Some(over) => over,
                None => now + LOOK,
            };
            sleep_until(look).await;
        }
    }
}

#[cfg(test)]
mod tests;
