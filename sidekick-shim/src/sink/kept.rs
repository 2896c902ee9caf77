//! The connections to a sink that are kept between requests.
//!
//! About as many as there are requests at a time, and the one that was used last is used next. hyper-util's client can do
//! this for any number of servers, and costs more.

use std::collections::VecDeque;
use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::time::{Instant, timeout};
use tower_service::Service;

/// For how long an unused connection is used again. Shorter than servers keep one (drop-server 60 s, Go's and Vert.x'
/// none or longer): an alert sent on a connection that the sink is about to close is a try lost.
const IDLE: Duration = Duration::from_secs(20);

/// How long a kept connection may take until it can be used. One whose server answered early, and does not read the rest
/// of the request, never can.
const READY: Duration = Duration::from_millis(100);

/// Why there is no answer.
pub(super) type Failed = Box<dyn Error + Send + Sync>;

/// A connection on which a request can be sent.
pub(super) type Connection = SendRequest<Full<Bytes>>;

/// Opens connections to one server, and keeps them.
#[derive(Debug)]
pub(super) struct Kept {
    connector: HttpsConnector<HttpConnector>,
    url: Uri,
    idle: Mutex<VecDeque<(Connection, Instant)>>,
}

impl Kept {
    pub(super) fn new(connector: HttpsConnector<HttpConnector>, url: Uri) -> Self {
        let idle = Mutex::default();
        Self { connector, url, idle }
    }

    /// Sends a request; its answer, and the connection that it is read from. Whoever has read the answer to its end gives
    /// the connection to [`Self::keep`].
    pub(super) async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<(Response<Incoming>, Connection), Failed> {
        while let Some(mut kept) = self.take() {
            // The server may have closed it meanwhile. What was not sent on it is sent on another.
            if !kept.is_ready() && !matches!(timeout(READY, kept.ready()).await, Ok(Ok(()))) {
                continue;
            }
            match kept.try_send_request(request).await {
                Ok(answer) => return Ok((answer, kept)),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(error.into_error().into()),
                },
            }
        }
        let mut new = self.open().await?;
        Ok((new.send_request(request).await?, new))
    }

    /// Keeps a connection for the next request.
    pub(super) fn keep(&self, connection: Connection) {
        let now = Instant::now();
        let mut idle = self.idle();
        idle.push_back((connection, now));
        while idle.pop_front_if(|(_, since)| now >= *since + IDLE).is_some() {}
    }

    fn take(&self) -> Option<Connection> {
        let mut idle = self.idle();
        let (connection, since) = idle.pop_back()?;
        if since.elapsed() < IDLE {
            return Some(connection);
        }
        // Those before it are older.
        idle.clear();
        None
    }

    async fn open(&self) -> Result<Connection, Failed> {
        let stream = self.connector.clone().call(self.url.clone()).await?;
        let (sender, connection) = handshake(stream).await?;
        // Who waits for an answer is told how it ended.
        tokio::spawn(connection);
        Ok(sender)
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<(Connection, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a request to this URL has for its target.
pub(super) fn target(url: &Uri) -> Uri {
    let path = url.path_and_query().cloned();
    Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")))
}

/// And for its `Host`: with the port, unless it is that of the scheme.
pub(super) fn host(url: &Uri) -> Option<HeaderValue> {
    let name = url.host()?;
    let port = match (url.scheme_str(), url.port_u16()) {
        (_, None) | (Some("http"), Some(80)) | (Some("https"), Some(443)) => return name.parse().ok(),
        (_, Some(port)) => port,
    };
    HeaderValue::try_from(format!("{name}:{port}")).ok()
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use hyper_rustls::HttpsConnectorBuilder;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    async fn kept() -> (Kept, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let trusted = rustls::RootCertStore::empty();
        let tls = rustls::ClientConfig::builder()
            .with_root_certificates(trusted)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls);
        let connector = connector.https_or_http().enable_http1().build();
        (Kept::new(connector, url.parse().unwrap()), listener)
    }

    fn request() -> Request<Full<Bytes>> {
        Request::post("/").body(Full::default()).unwrap()
    }

    const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

    async fn answer(stream: &mut TcpStream) {
        let mut bytes = [0; 1024];
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let more = stream.read(&mut bytes).await.unwrap();
            assert_ne!(more, 0);
            head.extend_from_slice(&bytes[..more]);
        }
        stream.write_all(OK).await.unwrap();
    }

    /// Sends a request and keeps the connection; the server's end of a new one.
    async fn once(kept: &Kept, listener: &TcpListener) -> TcpStream {
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            answer(&mut stream).await;
            stream
        };
        let (sent, stream) = tokio::join!(kept.send(request()), serve);
        let (answer, connection) = sent.unwrap();
        answer.into_body().collect().await.unwrap();
        kept.keep(connection);
        stream
    }

    #[tokio::test]
    async fn a_connection_is_used_again() {
        let (kept, listener) = kept().await;
        let mut stream = once(&kept, &listener).await;
        let (sent, ()) = tokio::join!(kept.send(request()), answer(&mut stream));
        assert_eq!(sent.unwrap().0.status(), 200);
    }

    #[tokio::test]
    async fn one_that_was_closed_costs_no_try() {
        let (kept, listener) = kept().await;
        drop(once(&kept, &listener).await);
        while !kept.idle().front().unwrap().0.is_closed() {
            tokio::task::yield_now().await;
        }
        once(&kept, &listener).await;
    }

    #[tokio::test]
    async fn one_whose_server_does_not_read_the_rest_holds_nothing_up() {
        let (kept, listener) = kept().await;
        let large = Request::post("/").body(Full::from(vec![0; 32 << 20])).unwrap();
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(OK).await.unwrap();
            stream
        };
        let (sent, _stream) = tokio::join!(kept.send(large), serve);
        kept.keep(sent.unwrap().1);
        // Nothing else happens, so that the time it may take is over at once.
        tokio::time::pause();
        once(&kept, &listener).await;
    }

    #[tokio::test]
    async fn none_is_kept_for_long() {
        let (kept, listener) = kept().await;
        let _streams = (once(&kept, &listener).await, tokio::time::pause());
        tokio::time::advance(IDLE).await;
        assert!(kept.take().is_none());
        let uri = |text: &'static str| Uri::from_static(text);
        assert_eq!(target(&uri("http://a/b?c")), "/b?c");
        assert_eq!(target(&uri("http://a")), "/");
        assert_eq!(host(&uri("http://a:80")).unwrap(), "a");
        assert_eq!(host(&uri("https://a:80")).unwrap(), "a:80");
    }
}
