//! What goes on the wire: a right answer, or what a fault leaves of it.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame};
use serde_json::Value;

use super::Fault;
use super::reply::Reply;

pub(super) type Answer = Response<BoxBody<Bytes, io::Error>>;

/// Puts a right answer on the wire, or what the fault leaves of it.
pub(super) async fn finish(fault: Option<Fault>, reply: Reply) -> Result<Answer, io::Error> {
    let text = reply.body.to_string();
    match fault {
        Some(Fault::HangAfter) => std::future::pending().await,
        Some(Fault::CloseAfter) => Err(io::ErrorKind::ConnectionAborted.into()),
        Some(Fault::HalfBody) => Ok(half(reply.status, &text)),
        Some(Fault::BrokenJson) => answer(reply.status, None, first_half(&text)),
        Some(Fault::Slow(delay)) => {
            tokio::time::sleep(delay).await;
            answer(reply.status, None, text)
        }
        Some(Fault::Answer { .. } | Fault::Hang | Fault::Close | Fault::Expired) | None => {
            answer(reply.status, None, text)
        }
    }
}

pub(super) fn answer(status: u16, retry_after: Option<u32>, body: String) -> Result<Answer, io::Error> {
    let body = Full::new(Bytes::from(body))
        .map_err(|never: Infallible| match never {})
        .boxed();
    let mut answer = Response::new(body);
    *answer.status_mut() = StatusCode::from_u16(status).map_err(io::Error::other)?;
    answer.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json"),
    );
    if let Some(seconds) = retry_after {
        answer.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    Ok(answer)
}

/// Announces the whole body and sends half of it.
fn half(status: u16, text: &str) -> Answer {
    let sent = BreaksOff {
        left: Some(Bytes::from(first_half(text))),
        flushed: false,
    };
    let mut answer = Response::new(sent.boxed());
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    answer
        .headers_mut()
        .insert(header::CONTENT_LENGTH, text.len().into());
    answer
}

/// A body that fails after its first piece.
struct BreaksOff {
    left: Option<Bytes>,
    flushed: bool,
}

impl Body for BreaksOff {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(piece) = self.left.take() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if !self.flushed {
            // Once more round, so that the piece is on the wire before the connection ends.
            self.flushed = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())))
    }
}

fn first_half(text: &str) -> String {
    text.chars().take(text.chars().count() / 2).collect()
}

pub(super) fn is_metadata_only(accept: &header::HeaderValue) -> bool {
    accept
        .to_str()
        .is_ok_and(|accept| accept.contains("as=PartialObjectMetadata"))
}

pub(super) fn keep_metadata(body: &mut Value) {
    let keep = |object: &mut Value| {
        if let Some(members) = object.as_object_mut() {
            members.retain(|key, _| matches!(key.as_str(), "metadata" | "items"));
        }
    };
    if let Some(items) = body.get_mut("items").and_then(Value::as_array_mut) {
        items.iter_mut().for_each(keep);
    }
    keep(body);
}
