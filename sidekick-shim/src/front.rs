//! The front: what Falco, probes and scrapers get for an answer.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use falco_event::{ReadError, read_all};
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Body;
use tokio::time::{Instant, timeout};

use crate::metrics::{Lost, METRICS_TYPE, Metrics};
use crate::observer::Observer;
use crate::printable::Printable;
use crate::queue::Queue;

/// The largest body in bytes. Falco's alerts have about 1 KiB; the largest in the field stay under 100 KiB.
pub(crate) const BODY_BYTES: usize = 1024 * 1024;

/// How long a body may take to arrive, from the end of the header. Falco sends it in one piece from inside the cluster.
pub(crate) const BODY_DEADLINE: Duration = Duration::from_secs(5);

/// How long the answer to a body is held back for room in the queue. A slow answer is the only thing that slows Falco
/// down, and it holds up all of Falco's outputs; at 2 s Falco complains.
pub(crate) const FULL_DELAY: Duration = Duration::from_secs(1);

/// How many of a body's mistakes are kept and named; the rest are counted.
const MISTAKES: usize = 5;

/// What answers a request; cheap to clone.
#[derive(Clone)]
pub(crate) struct Front {
    pub(crate) queue: Queue,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) observer: Arc<dyn Observer>,
}

type Answer = Response<Full<Bytes>>;

impl Front {
    /// Answers one request. Every request has an answer: what goes wrong is said in its status and in the log,
    /// since Falco looks at neither.
    pub(crate) async fn answer<B>(self, request: Request<B>) -> Answer
    where
        B: Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    {
        let method = request.method().clone();
        match (method, request.uri().path()) {
            (Method::POST, _) => self.take(request.into_body()).await,
            (Method::GET | Method::HEAD, "/ping") => text(StatusCode::OK, "pong\n"),
            (Method::GET | Method::HEAD, "/healthz" | "/readyz") => typed("application/json", r#"{"status": "ok"}"#),
            (Method::GET | Method::HEAD, "/metrics") => typed(METRICS_TYPE, self.metrics.text(&self.queue.room())),
            (method, path) => self.not_allowed(&method, path),
        }
    }

    async fn take<B>(&self, body: B) -> Answer
    where
        B: Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    {
        match read(body).await {
            Ok(bytes) => self.queue_all(&bytes).await.answer(),
            Err(unread) => {
                self.metrics.rejected(1);
                tracing::warn!(reason = unread.text(), "a request was refused");
                unread.answer()
            }
        }
    }

    /// Queues every alert of a body that can be read and that there is room for, in their order.
    async fn queue_all(&self, bytes: &[u8]) -> Taken {
        let deadline = Instant::now() + FULL_DELAY;
        let mut taken = Taken::default();
        for read in read_all(bytes) {
            taken.total += 1;
            match read {
                Err(error) => taken.refuse(error),
                Ok(alert) => {
                    let copy = alert.clone();
                    match self.queue.push(alert, deadline).await {
                        Ok(()) => {
                            taken.queued += 1;
                            self.observer.accepted(&copy);
                        }
                        Err(_) => taken.full += 1,
                    }
                }
            }
        }
        self.count(&taken);
        taken
    }

    fn count(&self, taken: &Taken) {
        self.metrics.accepted(taken.queued);
        if taken.refused + taken.full == 0 {
            return;
        }
        self.metrics.rejected(taken.refused + taken.full);
        for (number, error) in &taken.mistakes {
            tracing::warn!(number, of = taken.total, %error, "an alert was refused");
        }
        if taken.full > 0 {
            self.metrics.lost(Lost::QueueFull, taken.full);
            let room = self.queue.room();
            tracing::error!(lost = taken.full, queued = room.alerts(), bytes = room.bytes(), "the queue is full: alerts were lost");
        }
    }

    fn not_allowed(&self, method: &Method, path: &str) -> Answer {
        self.metrics.rejected(1);
        tracing::warn!(method = %Printable(method.as_str()), path = %Printable(path), "a request was refused: not POST");
        let allowed = match path {
            "/ping" | "/healthz" | "/readyz" | "/metrics" => "GET, HEAD, POST",
            _ => "POST",
        };
        let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "alerts are sent with POST\n");
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
        answer
    }
}
