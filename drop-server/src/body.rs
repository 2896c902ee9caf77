//! The bodies of requests: bounded one by one, and all together.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The largest body that is read: CloudEvents asks for 64 KiB at least, and Kafka's default limit is this.
const MAX_BODY: usize = 1024 * 1024;

/// Bytes of all bodies at a time, from when they begin to arrive until their alerts are handled: neither many slow senders
/// nor a slow API server must cost the process its memory. Read, an alert of many tiny fields takes ten times its text.
const MAX_BODIES: usize = 16 * MAX_BODY;

/// The first bytes of each body have half of that for themselves: an alert has a few KiB, and some large bodies, signed or
/// not, must not keep it out.
const SMALL_BODY: usize = 64 * 1024;

/// How long a body may take to arrive.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// The room for all bodies.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    first: Arc<Semaphore>,
    rest: Arc<Semaphore>,
}

impl Default for Room {
    fn default() -> Self {
        let half = || Arc::new(Semaphore::new(MAX_BODIES / 2));
        Self {
            first: half(),
            rest: half(),
        }
    }
}

/// A body, and its place in the room.
pub(crate) struct Whole {
    pub(crate) bytes: Bytes,
    _place: Place,
}

/// What a body has of both parts of the room.
#[derive(Default)]
struct Place {
    first: Option<OwnedSemaphorePermit>,
    rest: Option<OwnedSemaphorePermit>,
}

/// Why a body could not be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    TooLarge,
    BrokeOff(String),
    TooSlow,
    NoRoom,
}

impl Unread {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BrokeOff(_) => StatusCode::BAD_REQUEST,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub(crate) fn why(&self) -> String {
        match self {
            Self::TooLarge => format!("the body is over {MAX_BODY} bytes"),
            Self::BrokeOff(why) => format!("the body broke off: {why}"),
            Self::TooSlow => format!("the body took over {} s", BODY_WITHIN.as_secs()),
            Self::NoRoom => "too many bodies are on their way".to_owned(),
        }
    }
}

impl Room {
    /// Reads a body whole. What has arrived of it counts in the room; what is only announced does not.
    pub(crate) async fn read(&self, body: Incoming) -> Result<Whole, Unread> {
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if announced > MAX_BODY {
            return Err(Unread::TooLarge);
        }
        let read = tokio::time::timeout(BODY_WITHIN, self.collect(body));
        read.await.unwrap_or(Err(Unread::TooSlow))
    }

    async fn collect(&self, mut body: Incoming) -> Result<Whole, Unread> {
        let mut bytes = BytesMut::new();
        let mut place = Place::default();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame
                .map_err(|error| Unread::BrokeOff(error.to_string()))?
                .into_data()
            else {
                continue;
            };
            if bytes.len() + data.len() > MAX_BODY {
                return Err(Unread::TooLarge);
            }
            let first = data.len().min(SMALL_BODY.saturating_sub(bytes.len()));
            take(&self.first, first, &mut place.first)?;
            take(&self.rest, data.len() - first, &mut place.rest)?;
            bytes.extend_from_slice(&data);
        }
        Ok(Whole {
            bytes: bytes.freeze(),
            _place: place,
        })
    }
}

/// Takes room for so many bytes more.
fn take(room: &Arc<Semaphore>, bytes: usize, place: &mut Option<OwnedSemaphorePermit>) -> Result<(), Unread> {
    let bytes = u32::try_from(bytes).map_err(|_| Unread::TooLarge)?;
    let more = Arc::clone(room).try_acquire_many_owned(bytes);
    let more = more.map_err(|_| Unread::NoRoom)?;
    match place {
        Some(place) => place.merge(more),
        None => *place = Some(more),
    }
    Ok(())
}
