//! Records as lines of JSON, and a line for people in the log.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use drop_core::Outcome;
use drop_core::guard::Guard;
use drop_core::outcome::Ending;
use drop_core::ports::Journal;
use drop_core::record::{Closed, Decided, Record, is_hidden};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use crate::metrics::Metrics;

/// Bytes of records that wait to be written. When the reader of the records is slow, an alert is answered once its
/// record has a place here.
const WAITING: usize = 16 * 1024 * 1024;

/// How long an alert waits for that place: behind a reader that has stopped it would wait for ever, and all others with it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Records that wait; far more than there are alerts at a time.
const MAX_LINES: usize = 8_192;

/// A [`Journal`] that writes each record as one line of JSON.
#[derive(Debug, Clone)]
pub struct JsonLines {
    lines: mpsc::Sender<Line>,
    room: Arc<Semaphore>,
    metrics: Arc<Metrics>,
    /// Nobody reads: until there is a place again none is waited for.
    stalled: Arc<AtomicBool>,
    unwritten: Arc<AtomicU64>,
}

/// A line and its place among those that wait.
type Line = (String, Option<OwnedSemaphorePermit>);

/// The thread that writes the lines; it ends when every [`JsonLines`] is gone.
#[derive(Debug)]
pub struct Writer {
    end: oneshot::Receiver<()>,
    unwritten: Arc<AtomicU64>,
}

impl JsonLines {
    /// Starts a thread that writes to `out`: a record must never hold up the runtime.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub fn start(out: impl Write + Send + 'static, metrics: Arc<Metrics>) -> std::io::Result<(Self, Writer)> {
        let (lines, waiting) = mpsc::channel(MAX_LINES);
        let counted = Arc::clone(&metrics);
        let (ended, end) = oneshot::channel();
        let unwritten = Arc::<AtomicU64>::default();
        let waited = Arc::clone(&unwritten);
        std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || {
                write(waiting, out, &counted, &waited);
                // Nobody waits any more where the program has given up on its records.
                let _ = ended.send(());
            })?;
        let (room, stalled) = (Arc::new(Semaphore::new(WAITING)), Arc::default());
        let journal = Self {
            lines,
            room,
            metrics,
            stalled,
            unwritten: Arc::clone(&unwritten),
        };
        Ok((journal, Writer { end, unwritten }))
    }

    /// Gives a line its place among those that wait; none if there is none for long.
    async fn queue(&self, line: String) -> Option<()> {
        let patience = if self.stalled.load(Ordering::Relaxed) {
            Duration::ZERO
        } else {
            PATIENCE
        };
        let bytes = u32::try_from(line.len().min(WAITING)).ok()?;
        let placed = async {
            let place = Arc::clone(&self.room).acquire_many_owned(bytes).await.ok();
            let queue = self.lines.reserve().await.ok()?;
            self.unwritten.fetch_add(1, Ordering::Relaxed);
            queue.send((line, place));
            Some(())
        };
        let placed = timeout(patience, placed).await;
        let is_stalled = placed.is_err();
        if self.stalled.swap(is_stalled, Ordering::Relaxed) != is_stalled {
            if is_stalled {
                tracing::error!("nobody reads the records: those that come are lost");
            } else {
                tracing::info!("the records are read again");
            }
        }
        placed.ok()?
    }
}

impl Writer {
    /// Waits until the last record is written, for so long at most; how many are left.
    pub async fn finish(self, within: Duration) -> u64 {
        let _ = timeout(within, self.end).await;
        self.unwritten.load(Ordering::Relaxed)
    }
}

/// A line that failed may stand there in part: the next one begins on a line of its own.
fn write(mut waiting: mpsc::Receiver<Line>, mut out: impl Write, metrics: &Metrics, unwritten: &AtomicU64) {
    let mut broken = false;
    while let Some((line, _place)) = waiting.blocking_recv() {
        let start = if broken { "\n" } else { "" };
        let written = out
            .write_all(start.as_bytes())
            .and_then(|()| out.write_all(line.as_bytes()));
        let written = written.and_then(|()| if waiting.is_empty() { out.flush() } else { Ok(()) });
        broken = written.is_err();
        unwritten.fetch_sub(1, Ordering::Relaxed);
        if let Err(error) = written {
            metrics.record_lost();
            tracing::error!(%error, "a record could not be written");
        }
    }
}

/// JSON leaves characters as they are that a terminal may obey: they are escaped in JSON's own way.
fn printable(json: String) -> String {
    if !json.contains(is_hidden) {
        return json;
    }
    let mut shown = String::with_capacity(json.len() + 64);
    for c in json.chars() {
        if is_hidden(c) {
            let _ = std::fmt::Write::write_fmt(&mut shown, format_args!("\\u{:04x}", u32::from(c)));
        } else {
            shown.push(c);
        }
    }
    shown
}

#[async_trait]
impl Journal for JsonLines {
    async fn write(&self, record: &Record) {
        self.metrics.recorded(record);
        match record {
            Record::Decided(decided) => say(decided),
            Record::Closed(closed) => say_closed(closed),
        }
        let queued = match serde_json::to_string(record) {
            Ok(json) => self.queue(printable(json) + "\n").await,
            Err(error) => {
                tracing::error!(%error, "a record could not be written as JSON");
                None
            }
        };
        if queued.is_none() {
            self.metrics.record_lost();
        }
    }
}

/// Falco's text is in these lines, escaped by the record's `Display`.
fn say(decided: &Decided) {
    let (id, outcome) = (decided.id, decided.outcome.label());
    match &decided.outcome {
        Outcome::Acted { .. } => tracing::warn!(%id, outcome, "{decided}"),
        // Nothing in that scope is dropped any more until a person has seen to it.
        Outcome::Failed { .. }
        | Outcome::Skipped {
            guard: Guard::Disarmed,
            ..
        } => tracing::error!(%id, outcome, "{decided}"),
        Outcome::Observed | Outcome::Skipped { .. } => tracing::info!(%id, outcome, "{decided}"),
        Outcome::Ignored | Outcome::Duplicate { .. } => tracing::debug!(%id, outcome, "{decided}"),
    }
}

fn say_closed(closed: &Closed) {
    let (id, pod, took_ms) = (closed.id, &closed.target, closed.took / 1_000_000);
    match &closed.ending {
        Ending::Confirmed { ours: true } => {
            tracing::info!(%id, %pod, took_ms, "confirmed: the pod is gone")
        }
        Ending::Confirmed { ours: false } => {
            tracing::info!(%id, %pod, took_ms, "the pod is gone, perhaps not by this act");
        }
        Ending::Unconfirmed { why } => tracing::warn!(%id, %pod, took_ms, "unconfirmed: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    /// An output that takes as much as it is allowed.
    struct Slow(Receiver<()>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            // Once nobody can allow any more, all of it.
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn records_that_nobody_reads_are_lost_after_a_while_and_hold_up_nothing() {
        let metrics = Arc::new(Metrics::default());
        let (read, reader) = channel();
        let (journal, writer) = JsonLines::start(Slow(reader), Arc::clone(&metrics)).unwrap();
        let line = || "x".repeat(WAITING / 4);
        let began = tokio::time::Instant::now();
        let mut queued = 0;
        while journal.queue(line()).await.is_some() {
            queued += 1;
        }
        assert!((4..=5).contains(&queued), "{queued}");
        assert_eq!(began.elapsed(), PATIENCE);
        assert_eq!(journal.queue(line()).await, None);
        assert_eq!(began.elapsed(), PATIENCE, "no other waits");
        drop(read);
        while journal.queue(line()).await.is_none() {
            tokio::task::yield_now().await;
        }
        assert_eq!(began.elapsed(), PATIENCE, "what is read again is taken again");
        drop(journal);
        assert_eq!(writer.finish(Duration::MAX).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_at_the_end_is_counted() {
        let (_read, reader) = channel();
        let (journal, writer) = JsonLines::start(Slow(reader), Arc::default()).unwrap();
        for _ in 0..3 {
            journal.queue("x".to_owned()).await.unwrap();
        }
        drop(journal);
        assert_eq!(writer.finish(PATIENCE).await, 3);
    }
}
