//! The front: what Falco, probes and scrapers get for an answer.

use std::fmt::Write;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use falco_event::{Alert, ReadError, Timestamp, read_all};
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::config::{PLAIN_PATHS, Sink};
use crate::edits::Edits;
use crate::metrics::{Lost, METRICS_TYPE, Metrics, Texts};
use crate::printable::Printable;
use crate::spool::{Patience, Short, Spool};

/// The largest body in bytes. Falco's alerts have about 1 KiB; the largest in the field stay under 100 KiB. What a sink
/// would not take is taken here all the same: it becomes a dead letter, and is not lost unseen.
pub(crate) const BODY_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of all large bodies on their way at a time. Many slow senders must not cost the process its memory: a body that
/// finds no room waits for it, as long as it may take to arrive.
pub(crate) const BODIES_BYTES: usize = 32 * 1024 * 1024;

/// What a body has without asking for room, in bytes: as much as its connection reads ahead. Falco's has to wait for no
/// large one of another.
const SMALL_BYTES: usize = 64 * 1024;

/// How long a large body waits for room: those before it have their own deadlines.
const ROOM_DEADLINE: Duration = Duration::from_secs(30);

/// How long a body may take to arrive, from the end of the header. Falco sends it in one piece from inside the cluster.
pub(crate) const BODY_DEADLINE: Duration = Duration::from_secs(5);

/// How many alerts of a body are kept together: read, an alert takes more memory than its text.
const TOGETHER: usize = 128;

/// How many of a body's mistakes are kept and named; the rest are counted.
const MISTAKES: usize = 5;

/// What happens to an alert on its way in.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    pub(crate) edits: Edits,
    pub(crate) sinks: Vec<Sink>,
}

impl Intake {
    fn is_wanted(&self, alert: &Alert) -> bool {
        self.sinks.is_empty() || self.sinks.iter().any(|sink| sink.wants(alert))
    }
}

/// What answers a request; cheap to clone.
#[derive(Clone)]
pub(crate) struct Front {
    pub(crate) intake: Arc<Intake>,
    pub(crate) spool: Spool,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) bodies: Arc<Semaphore>,
    pub(crate) texts: Arc<Texts>,
}

pub(crate) type Answer = Response<http_body_util::Full<Bytes>>;

/// The connection is to be closed without an answer: the one thing that makes Falco send an alert again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an alert is not taken")]
pub(crate) struct HangUp;

impl Front {
    /// Answers one request of a connection. Nearly every one has an answer: what goes wrong is said in its status and in
    /// the log, since Falco looks at neither.
    pub(crate) async fn answer<B>(&self, request: Request<B>, patience: &Patience) -> Result<Answer, HangUp>
    where
        B: Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    {
        let method = request.method().clone();
        Ok(match (method, request.uri().path()) {
            (Method::POST, "/test") => self.keep_all(test_alert().as_bytes(), patience).await.answer()?,
            (Method::POST, _) => self.take(request.into_body(), patience).await?,
            (Method::GET | Method::HEAD, "/ping") => text(StatusCode::OK, "pong\n"),
            (Method::GET | Method::HEAD, "/healthz") => healthy(),
            (Method::GET | Method::HEAD, "/readyz") => self.ready(),
            (Method::GET | Method::HEAD, "/metrics") => {
                let text = self.texts.text(&self.metrics, self.spool.spooled());
                typed(METRICS_TYPE, text.await)
            }
            (method, path) => self.not_allowed(&method, path),
        })
    }

    /// Whether alerts can be kept. Whether a sink takes them is not asked: a shim that is not ready gets none, and they
    /// would be lost.
    fn ready(&self) -> Answer {
        if self.spool.ledger().is_writable() {
            return healthy();
        }
        let mut answer = typed("application/json", r#"{"status": "the spool cannot be written"}"#);
        *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        answer
    }

    async fn take<B>(&self, body: B, patience: &Patience) -> Result<Answer, HangUp>
    where
        B: Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    {
        match read(&self.bodies, body).await {
            Ok((bytes, None)) => self.keep_all(&bytes, patience).await.answer(),
            // Others wait for the room that it takes: it does not wait for any in the spool.
            Ok((bytes, Some(_place))) => self.keep_all(&bytes, &Patience::none()).await.answer(),
            Err(unread) => {
                self.metrics.rejected(1);
                tracing::warn!(reason = unread.text(), "a request was refused");
                Ok(unread.answer())
            }
        }
    }

    /// Takes lines, each as if it were a body: a broken one costs itself alone.
    pub(crate) async fn lines(&self, lines: &[u8], patience: &Patience) {
        let lines = lines.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        for line in lines.filter(|line| !line.is_empty()) {
            self.keep_all(line, patience).await;
        }
    }

    pub(crate) fn too_long(&self) {
        self.metrics.rejected(1);
        tracing::warn!("a line was refused: it is longer than 4 MiB");
    }

    /// Keeps every alert of a body that can be read and that there is room for, in their order.
    async fn keep_all(&self, bytes: &[u8], patience: &Patience) -> Taken {
        let mut taken = Taken::default();
        let mut alerts = Vec::new();
        for read in read_all(bytes) {
            taken.total += 1;
            let read = read.map(|alert| self.intake.edits.apply(alert));
            match read.inspect(|alert| self.metrics.received(alert)) {
                Ok(alert) if self.intake.is_wanted(&alert) => alerts.push(alert),
                // A body can hold a million of these and the next: others get their turn in between.
                Ok(_) => {
                    taken.kept += 1;
                    self.metrics.accepted(1);
                    self.metrics.filtered();
                    tokio::task::coop::consume_budget().await;
                }
                Err(error) => {
                    taken.refuse(error);
                    tokio::task::coop::consume_budget().await;
                }
            }
            if alerts.len() == TOGETHER {
                self.keep(std::mem::take(&mut alerts), patience, &mut taken).await;
            }
        }
        self.keep(alerts, patience, &mut taken).await;
        self.report(&taken);
        taken
    }

    async fn keep(&self, alerts: Vec<Alert>, patience: &Patience, taken: &mut Taken) {
        let count = alerts.len() as u64;
        if count == 0 {
            return;
        }
        match self.spool.keep(alerts, patience).await {
            Ok(()) => taken.kept += count,
            Err(short) => taken.missed(count, short, self.spool.rejects()),
        }
    }

    fn report(&self, taken: &Taken) {
        let missed = taken.full + taken.unwritable;
        if taken.refused + missed == 0 {
            return;
        }
        self.metrics.rejected(taken.refused + missed);
        for (number, error) in &taken.mistakes {
            tracing::warn!(number, of = taken.total, %error, "an alert was refused");
        }
        self.metrics.lost(Lost::NotTaken, taken.full);
        self.metrics.lost(Lost::Unwritable, taken.unwritable);
        if missed > 0 {
            let spool = self.spool.ledger().count();
            tracing::error!(
                lost = missed,
                alerts = spool.alerts,
                bytes = spool.bytes,
                "alerts were not taken: the spool is full or cannot be written"
            );
        }
    }

    fn not_allowed(&self, method: &Method, path: &str) -> Answer {
        self.metrics.rejected(1);
        tracing::warn!(method = %Printable(method.as_str()), path = %Printable(path), "a request was refused: not POST");
        let allowed = match path {
            path if PLAIN_PATHS.contains(&path) => "GET, HEAD, POST",
            _ => "POST",
        };
        let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "alerts are sent with POST\n");
        answer
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static(allowed));
        answer
    }
}

/// What `POST /test` sends on its way, like falcosidekick's: an alert of now, to see that it arrives.
fn test_alert() -> String {
    let alert = serde_json::json!({
        "hostname": "sidekick-shim",
        "output": "This is a test of sidekick-shim",
        "output_fields": { "proc.name": "sidekick-shim" },
        "priority": "Debug",
        "rule": "Test rule",
        "source": "internal",
        "tags": ["test"],
        "time": Timestamp::now().to_string(),
    });
    alert.to_string()
}

/// What became of the alerts of one body.
#[derive(Default)]
struct Taken {
    total: u64,
    kept: u64,
    refused: u64,
    full: u64,
    unwritable: u64,
    /// The connection is to be closed.
    hang_up: bool,
    /// The first mistakes, with the number of their alert, counted from 1.
    mistakes: Vec<(u64, ReadError)>,
}

impl Taken {
    fn refuse(&mut self, error: ReadError) {
        self.refused += 1;
        if self.mistakes.len() < MISTAKES {
            self.mistakes.push((self.total, error));
        }
    }

    /// There was no room for some.
    fn missed(&mut self, alerts: u64, short: Short, rejects: bool) {
        match short {
            Short::Full => self.full += alerts,
            Short::Unwritable => self.unwritable += alerts,
        }
        self.hang_up |= rejects || short == Short::Unwritable;
    }

    /// 200 with an empty body if all are kept (Falco may be set to print a body). Lost for want of room is 503, since a
    /// sender that looks at it can come again; else what cannot be read makes it 400.
    fn answer(&self) -> Result<Answer, HangUp> {
        if self.hang_up {
            return Err(HangUp);
        }
        if self.full > 0 {
            let mut answer = text(StatusCode::SERVICE_UNAVAILABLE, self.report());
            answer
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from_static("1"));
            return Ok(answer);
        }
        if self.refused > 0 {
            return Ok(text(StatusCode::BAD_REQUEST, self.report()));
        }
        Ok(Response::new(http_body_util::Full::default()))
    }

    fn report(&self) -> String {
        let mut report = format!("{} of {} alerts accepted\n", self.kept, self.total);
        for (number, error) in &self.mistakes {
            // Writing to a String does not fail.
            let _ = writeln!(report, "alert {number}: {error}");
        }
        if self.refused > MISTAKES as u64 {
            let _ = writeln!(report, "{} alerts refused in all", self.refused);
        }
        if self.full > 0 {
            let _ = writeln!(report, "{} alerts not accepted: the spool is full", self.full);
        }
        report
    }
}

/// Why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unread {
    TooLarge,
    TooSlow,
    NoRoom,
    BrokeOff,
}

impl Unread {
    fn text(self) -> &'static str {
        match self {
            Self::TooLarge => "the body is larger than 4 MiB",
            Self::TooSlow => "the body did not arrive within 5 s",
            Self::NoRoom => "for 30 s there was no room for a large body",
            Self::BrokeOff => "the body broke off",
        }
    }

    /// The connection is closed with it: the rest of the body would be read as the next request.
    fn answer(self) -> Answer {
        let status = match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
            Self::BrokeOff => StatusCode::BAD_REQUEST,
        };
        let mut answer = text(status, format!("{}\n", self.text()));
        answer
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
        answer
    }
}

/// A large body's place among those that are on their way.
type Place = Option<OwnedSemaphorePermit>;

/// Reads a body that is not too large and not too slow. One that announces that it is too large is not read at all. That a
/// large one waits for room is not its sender's time.
async fn read<B>(room: &Arc<Semaphore>, body: B) -> Result<(Bytes, Place), Unread>
where
    B: Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
{
    let most = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if most > BODY_BYTES {
        return Err(Unread::TooLarge);
    }
    let all = body.size_hint().exact().map_or(BODY_BYTES, |_| most);
    let (mut body, mut bytes) = (std::pin::pin!(body), BytesMut::new());
    if let Some(small) = in_time(collect(body.as_mut(), &mut bytes, SMALL_BYTES)).await? {
        return Ok((small, None));
    }
    // All of it at once: of several that each had a part, none would get the rest.
    let place = room_for(room, all.saturating_sub(SMALL_BYTES)).await?;
    let large = in_time(collect(body, &mut bytes, BODY_BYTES)).await?;
    Ok((large.unwrap_or_default(), Some(place)))
}

async fn in_time<T>(read: impl Future<Output = Result<T, Unread>>) -> Result<T, Unread> {
    timeout(BODY_DEADLINE, read).await.unwrap_or(Err(Unread::TooSlow))
}

/// Reads on, to the end or until there are more bytes than so many; the whole body, if this is the end.
async fn collect<B>(mut body: Pin<&mut B>, bytes: &mut BytesMut, most: usize) -> Result<Option<Bytes>, Unread>
where
    B: Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
{
    while let Some(frame) = body.frame().await {
        let Ok(mut data) = frame.map_err(|_| Unread::BrokeOff)?.into_data() else {
            continue;
        };
        if bytes.is_empty() && data.remaining() <= SMALL_BYTES && body.is_end_stream() {
            // Falco's comes in one piece, which need not be copied.
            return Ok(Some(data.copy_to_bytes(data.remaining())));
        }
        if bytes.len() + data.remaining() > BODY_BYTES {
            return Err(Unread::TooLarge);
        }
        bytes.put(&mut data);
        if bytes.len() > most {
            return Ok(None);
        }
    }
    Ok(Some(bytes.split().freeze()))
}

async fn room_for(room: &Arc<Semaphore>, bytes: usize) -> Result<OwnedSemaphorePermit, Unread> {
    let bytes = u32::try_from(bytes).map_err(|_| Unread::TooLarge)?;
    let place = timeout(ROOM_DEADLINE, Arc::clone(room).acquire_many_owned(bytes)).await;
    place.map_err(|_| Unread::NoRoom)?.map_err(|_| Unread::BrokeOff)
}

fn healthy() -> Answer {
    typed("application/json", r#"{"status": "ok"}"#)
}

pub(crate) fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = typed("text/plain; charset=utf-8", body);
    *answer.status_mut() = status;
    answer
}

fn typed(media_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(http_body_util::Full::new(body.into()));
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    answer
}

#[cfg(test)]
mod tests;
