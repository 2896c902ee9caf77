//! The sink: one POST of one event, with a deadline, over a few kept connections.

mod kept;

use std::error::Error;
use std::fmt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use falco_event::cloudevents::CONTENT_TYPE as STRUCTURED;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, USER_AGENT};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Incoming};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::time::{Instant, timeout_at};

use crate::config::{Config, Format, Sink, Token};
use crate::follow::{Followers, bytes};
use crate::printable::Printable;
use crate::retry::{Verdict, retry_after, verdict};
use crate::tls;
use kept::{Connection, Kept};

/// How many bytes of an answer's body are read. A Broker's is empty, drop-server's is at most one event;
/// the connection of a longer one is closed.
const ANSWER_BYTES: usize = 64 * 1024;

/// The longest token in bytes: servers refuse a longer header.
const TOKEN_BYTES: usize = 16 * 1024;

/// How long a token that is not there is not looked for.
const NO_TOKEN: Duration = Duration::from_secs(1);

const AGENT: &str = concat!("sidekick-shim/", env!("CARGO_PKG_VERSION"));

/// What came of one try to deliver an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The sink answered.
    Status {
        /// The status of its answer.
        status: StatusCode,
        /// How long the sink asked to wait, if it did.
        retry_after: Option<Duration>,
        /// The body of its answer: empty if there was none, if it was over 64 KiB or if it broke off.
        body: Bytes,
    },
    /// Nothing was sent: the token that the sink is to be shown cannot be read.
    Unsent {
        /// Why, on one line.
        cause: String,
    },
    /// No answer came: no connection, a connection that broke off, or the deadline of the try.
    /// The sink may have the event all the same.
    Nothing {
        /// Why, on one line.
        cause: String,
    },
}

impl Answer {
    pub(crate) fn verdict(&self) -> Verdict {
        match self {
            Self::Status { status, .. } => verdict(*status),
            Self::Nothing { .. } => Verdict::Again,
            Self::Unsent { .. } => Verdict::Pause,
        }
    }

    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            Self::Nothing { .. } | Self::Unsent { .. } => None,
        }
    }
}

impl Answer {
    /// With the beginning of its body, on one line.
    pub(crate) fn in_full(&self) -> String {
        match self {
            Self::Status { body, .. } if !body.is_empty() => {
                let body = String::from_utf8_lossy(body);
                format!("{self}: {}", Printable(&body))
            }
            Self::Status { .. } | Self::Unsent { .. } | Self::Nothing { .. } => self.to_string(),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status { status, .. } => write!(f, "status {}", status.as_u16()),
            Self::Nothing { cause } => write!(f, "no answer: {cause}"),
            Self::Unsent { cause } => write!(f, "not sent: {cause}"),
        }
    }
}

/// Where events go. The one implementation posts over HTTP; the sender's tests have their own.
pub(crate) trait Post: Send + Sync + 'static {
    /// Tries once to deliver the event, and takes no longer than its deadline.
    fn post(&self, event: Bytes) -> impl Future<Output = Answer> + Send;
}

/// A sink behind an `http` or `https` URL.
#[derive(Debug)]
pub(crate) struct HttpSink {
    connections: Kept,
    target: Uri,
    /// Those of every request.
    headers: HeaderMap,
    token: Option<Token>,
    /// When there was last seen to be no token.
    no_token: Mutex<Option<Instant>>,
    deadline: Duration,
}

impl HttpSink {
    /// # Errors
    /// Why files of its configuration cannot be used.
    pub(crate) fn new(sink: &Sink, config: &Config, followers: &mut Followers) -> Result<Self, String> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls::client(sink, &config.ca_certs, followers)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let mut headers = HeaderMap::from_iter([
            (CONTENT_TYPE, HeaderValue::from_static(content_type(sink.format))),
            (USER_AGENT, HeaderValue::from_static(AGENT)),
            // Each request has its own in this one's place.
            (CONTENT_LENGTH, HeaderValue::from_static("0")),
        ]);
        headers.extend(kept::host(&sink.url).map(|host| (HOST, host)));
        headers.extend(sink.headers.clone());
        Ok(Self {
            connections: Kept::new(connector, sink.url.clone()),
            target: kept::target(&sink.url),
            headers,
            token: sink.token.clone(),
            no_token: Mutex::default(),
            deadline: config.send_deadline,
        })
    }

    /// The header of the token, if there is one. Where there need not be one, and there is none, it is looked for again
    /// after a while.
    fn authorization(&self) -> Result<Option<HeaderValue>, String> {
        let Some(Token { path, required }) = &self.token else {
            return Ok(None);
        };
        if !required {
            let mut none = self.no_token.lock().unwrap_or_else(PoisonError::into_inner);
            if none.is_some_and(|since| since.elapsed() < NO_TOKEN) {
                return Ok(None);
            }
            *none = (!path.exists()).then(Instant::now);
            if none.is_some() {
                return Ok(None);
            }
        }
        authorization(path).map(Some)
    }

    async fn send(
        &self,
        event: Bytes,
        deadline: Instant,
    ) -> Result<(Response<Incoming>, Connection), Answer> {
        let length = HeaderValue::from(event.len());
        let mut request = Request::new(Full::new(event));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.target.clone();
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().insert(CONTENT_LENGTH, length);
        let authorization = self.authorization().map_err(|cause| Answer::Unsent { cause })?;
        if let Some(authorization) = authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization);
        }
        let nothing = |cause| Answer::Nothing { cause };
        match timeout_at(deadline, self.connections.send(request)).await {
            Ok(answer) => answer.map_err(|error| nothing(chain(&*error))),
            Err(_) => Err(nothing(format!("not within {:?}", self.deadline))),
        }
    }

    /// Reads the rest of an answer, so that its connection can be used again. The status stands whatever happens to it.
    async fn rest(&self, body: Incoming, connection: Connection, deadline: Instant) -> Bytes {
        if body.is_end_stream() {
            self.connections.keep(connection);
            return Bytes::new();
        }
        match timeout_at(deadline, Limited::new(body, ANSWER_BYTES).collect()).await {
            Ok(Ok(body)) => {
                self.connections.keep(connection);
                body.to_bytes()
            }
            Ok(Err(_)) | Err(_) => Bytes::new(),
        }
    }
}

impl Post for HttpSink {
    async fn post(&self, event: Bytes) -> Answer {
        let deadline = Instant::now() + self.deadline;
        let (response, connection) = match self.send(event, deadline).await {
            Ok(answer) => answer,
            Err(answer) => return answer,
        };
        let (head, body) = response.into_parts();
        Answer::Status {
            status: head.status,
            retry_after: retry_after(&head.headers, SystemTime::now()),
            body: self.rest(body, connection, deadline).await,
        }
    }
}

fn content_type(format: Format) -> &'static str {
    match format {
        Format::CloudEvents => STRUCTURED,
        Format::Falco => "application/json",
    }
}

/// The header of a token as its file is now: Knative replaces it well before it expires. The file is small and in
/// memory, so that reading it takes microseconds.
fn authorization(path: &Path) -> Result<HeaderValue, String> {
    let text = bytes(path)?;
    let token = text.trim_ascii();
    // A token is of these characters alone (RFC 6750); what else is there is not shown.
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
    if token.is_empty() || token.len() > TOKEN_BYTES || !token.iter().all(allowed) {
        return Err(format!("`{}` holds no token", path.display()));
    }
    let header = HeaderValue::from_bytes(&[b"Bearer ", token].concat());
    let mut header = header.map_err(|error| error.to_string())?;
    header.set_sensitive(true);
    Ok(header)
}

/// An error and its causes on one line.
fn chain(error: &dyn Error) -> String {
    let mut text = Printable(&error.to_string()).to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {}", Printable(&error.to_string()));
        cause = error.source();
    }
    text
}
