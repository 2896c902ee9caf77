//! The queue between Falco and the sink: in memory, bounded in alerts and in bytes.

use std::sync::Arc;

use falco_event::{Alert, Timestamp};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::config::Bounds;

/// An alert that was accepted, with the room that it takes. It gives the room back when it is dropped,
/// which is when it was delivered or given up: an alert that is being sent, or waits for its next try, still counts.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) alert: Alert,
    /// When it was accepted, by the wall clock: travels with the event.
    pub(crate) received: Timestamp,
    /// When it was accepted, by the clock that is never set: its age is counted from here.
    pub(crate) since: Instant,
    _room: [OwnedSemaphorePermit; 2],
}

/// The end of the queue that alerts go into. The queue is closed when every clone of it is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    alerts: UnboundedSender<Queued>,
    room: Room,
}

/// The queue was full until the end of the delay: the alert is not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// Room in the queue for one alert.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    queue: &'a Queue,
    room: [OwnedSemaphorePermit; 2],
}

/// How much of the queue is free; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    bounds: Bounds,
    alerts: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
}

/// A new queue: the end for the front and the end for the sender.
pub(crate) fn queue(bounds: Bounds) -> (Queue, UnboundedReceiver<Queued>) {
    // The channel itself has no bound: every message in it holds a permit of both semaphores.
    let (alerts, out) = unbounded_channel();
    let room = Room {
        bounds,
        alerts: Arc::new(Semaphore::new(bounds.alerts)),
        bytes: Arc::new(Semaphore::new(bounds.bytes)),
    };
    (Queue { alerts, room }, out)
}

impl Queue {
    /// Room for an alert, waited for until `deadline`; those who wait get it by turns.
    /// With a deadline in the past it is there now or not at all.
    pub(crate) async fn room_for(&self, alert: &Alert, deadline: Instant) -> Result<Place<'_>, Full> {
        let taken = self.room.take(alert.as_bytes().len());
        let room = timeout_at(deadline, taken).await.ok().flatten().ok_or(Full)?;
        Ok(Place { queue: self, room })
    }

    pub(crate) fn room(&self) -> Room {
        self.room.clone()
    }
}

impl Place<'_> {
    /// Puts the alert that the room was taken for into the queue.
    pub(crate) fn fill(self, alert: Alert) {
        let queued = Queued {
            alert,
            received: Timestamp::now(),
            since: Instant::now(),
            _room: self.room,
        };
        // It fails only after the sender has gone, which ends after the front unless the whole shim is aborted.
        let _ = self.queue.alerts.send(queued);
    }
}

impl Room {
    /// Room for one alert of `bytes` bytes. `None` would mean that a semaphore is closed, which nobody does.
    async fn take(&self, bytes: usize) -> Option<[OwnedSemaphorePermit; 2]> {
        let bytes = u32::try_from(bytes).ok()?;
        let alert = Arc::clone(&self.alerts).acquire_owned().await.ok()?;
        let bytes = Arc::clone(&self.bytes).acquire_many_owned(bytes).await.ok()?;
        Some([alert, bytes])
    }

    /// How many alerts are accepted and neither delivered nor given up.
    pub(crate) fn alerts(&self) -> usize {
        self.bounds.alerts.saturating_sub(self.alerts.available_permits())
    }

    /// How many bytes they have together, as Falco sent them.
    pub(crate) fn bytes(&self) -> usize {
        self.bounds.bytes.saturating_sub(self.bytes.available_permits())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fixture::alert;

    async fn push(queue: &Queue, alert: Alert, deadline: Instant) -> Result<(), Full> {
        queue.room_for(&alert, deadline).await?.fill(alert);
        Ok(())
    }

    fn bounds(alerts: usize, bytes: usize) -> Bounds {
        Bounds { alerts, bytes }
    }

    #[tokio::test(start_paused = true)]
    async fn is_bounded_in_alerts() {
        let (queue, _out) = queue(bounds(2, 1 << 20));
        let start = Instant::now();
        let deadline = start + Duration::from_secs(1);
        assert_eq!(push(&queue, alert("a"), deadline).await, Ok(()));
        assert_eq!(push(&queue, alert("b"), deadline).await, Ok(()));
        assert_eq!(push(&queue, alert("c"), deadline).await, Err(Full));
        assert_eq!(start.elapsed(), Duration::from_secs(1));
        assert_eq!(queue.room().alerts(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn is_bounded_in_bytes() {
        let size = alert("a").as_bytes().len();
        let (queue, _out) = queue(bounds(100, 2 * size));
        let now = Instant::now();
        assert_eq!(push(&queue, alert("a"), now).await, Ok(()));
        assert_eq!(push(&queue, alert("b"), now).await, Ok(()));
        assert_eq!(push(&queue, alert("c"), now).await, Err(Full));
        assert_eq!((queue.room().alerts(), queue.room().bytes()), (2, 2 * size));
    }

    #[tokio::test(start_paused = true)]
    async fn an_alert_that_waits_gets_the_room_of_one_that_leaves() {
        let (queue, mut out) = queue(bounds(1, 1 << 20));
        let deadline = Instant::now() + Duration::from_secs(1);
        push(&queue, alert("first"), deadline).await.unwrap();
        let leaves = async { drop(out.recv().await) };
        let (waited, ()) = tokio::join!(push(&queue, alert("second"), deadline), leaves);
        assert_eq!(waited, Ok(()));
        assert_eq!(out.recv().await.unwrap().alert.rule(), "second");
        assert_eq!((queue.room().alerts(), queue.room().bytes()), (0, 0));
    }
}
