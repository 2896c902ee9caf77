//! The sink: one POST of one event, with a deadline, over a few kept connections.

use std::error::Error;
use std::fmt;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use falco_event::cloudevents::CONTENT_TYPE as STRUCTURED;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::{Instant, timeout_at};

use crate::config::Config;
use crate::printable::Printable;
use crate::retry::{Verdict, retry_after, verdict};
use crate::sender::CONCURRENCY;
use crate::tls::{self, TrustError};

/// How long a connection to the sink is kept unused. Shorter than servers keep one (drop-server 60 s, Go's and Vert.x' none or longer):
/// an alert sent on a connection that the sink is about to close is a try lost.
const IDLE: Duration = Duration::from_secs(20);

/// How many bytes of an answer's body are read. A Broker's is empty, drop-server's is at most one event;
/// the connection of a longer one is closed.
const ANSWER_BYTES: usize = 64 * 1024;

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
        }
    }

    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            Self::Nothing { .. } => None,
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status { status, .. } => write!(f, "status {}", status.as_u16()),
            Self::Nothing { cause } => write!(f, "no answer: {cause}"),
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
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    url: Uri,
    deadline: Duration,
}

impl HttpSink {
    pub(crate) fn new(config: &Config) -> Result<Self, TrustError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls::client(config)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(CONCURRENCY)
            .build(connector);
        Ok(Self {
            client,
            url: config.sink.clone(),
            deadline: config.send_deadline,
        })
    }

    async fn send(&self, event: Bytes, deadline: Instant) -> Result<Response<Incoming>, String> {
        let request = Request::post(&self.url)
            .header(CONTENT_TYPE, STRUCTURED)
            .header(USER_AGENT, AGENT)
            .body(Full::new(event))
            .map_err(|error| chain(&error))?;
        match timeout_at(deadline, self.client.request(request)).await {
            Ok(answer) => answer.map_err(|error| chain(&error)),
            Err(_) => Err(format!("not within {:?}", self.deadline)),
        }
    }
}

impl Post for HttpSink {
    async fn post(&self, event: Bytes) -> Answer {
        let deadline = Instant::now() + self.deadline;
        let response = match self.send(event, deadline).await {
            Ok(response) => response,
            Err(cause) => return Answer::Nothing { cause },
        };
        let (head, body) = response.into_parts();
        // The status stands whatever happens to the body; reading it to its end lets the connection be used again.
        let body = timeout_at(deadline, Limited::new(body, ANSWER_BYTES).collect()).await;
        Answer::Status {
            status: head.status,
            retry_after: retry_after(&head.headers, SystemTime::now()),
            body: body
                .ok()
                .and_then(Result::ok)
                .map(|body| body.to_bytes())
                .unwrap_or_default(),
        }
    }
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
