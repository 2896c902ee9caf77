//! Records as lines of JSON, and a line for people in the log.

use std::io::Write;
use std::sync::Arc;

use async_trait::async_trait;
use drop_core::Outcome;
use drop_core::guard::Guard;
use drop_core::outcome::Ending;
use drop_core::ports::Journal;
use drop_core::record::{Closed, Decided, Record, is_hidden};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::metrics::Metrics;

/// Bytes of records that wait to be written. When the reader of the records is slow, an alert is answered once its
/// record has a place here.
const WAITING: usize = 16 * 1024 * 1024;

/// Records that wait; far more than there are alerts at a time.
const MAX_LINES: usize = 8_192;

/// A [`Journal`] that writes each record as one line of JSON.
#[derive(Debug, Clone)]
pub struct JsonLines {
    lines: mpsc::Sender<Line>,
    room: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

/// A line and its place among those that wait.
type Line = (String, Option<OwnedSemaphorePermit>);

/// The thread that writes the lines; it ends when every [`JsonLines`] is gone.
#[derive(Debug)]
pub struct Writer(oneshot::Receiver<()>);

impl JsonLines {
    /// Starts a thread that writes to `out`: a record must never hold up the runtime.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub fn start(out: impl Write + Send + 'static, metrics: Arc<Metrics>) -> std::io::Result<(Self, Writer)> {
        let (lines, waiting) = mpsc::channel(MAX_LINES);
        let counted = Arc::clone(&metrics);
        let (ended, end) = oneshot::channel();
        std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || {
                write(waiting, out, &counted);
                // Nobody waits any more where the program has given up on its records.
                let _ = ended.send(());
            })?;
        let room = Arc::new(Semaphore::new(WAITING));
        Ok((Self { lines, room, metrics }, Writer(end)))
    }

    async fn place(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes.min(WAITING)).ok()?;
        Arc::clone(&self.room).acquire_many_owned(bytes).await.ok()
    }
}

impl Writer {
    /// Waits until the last record is written.
    pub async fn finish(self) {
        // A thread that panicked has nothing left to write.
        let _ = self.0.await;
    }
}

/// A line that failed may stand there in part: the next one begins on a line of its own.
fn write(mut waiting: mpsc::Receiver<Line>, mut out: impl Write, metrics: &Metrics) {
    let mut broken = false;
    while let Some((line, _place)) = waiting.blocking_recv() {
        let start = if broken { "\n" } else { "" };
        let written = out
            .write_all(start.as_bytes())
            .and_then(|()| out.write_all(line.as_bytes()));
        let written = written.and_then(|()| if waiting.is_empty() { out.flush() } else { Ok(()) });
        broken = written.is_err();
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
        match serde_json::to_string(record) {
            Ok(json) => {
                let line = printable(json) + "\n";
                let place = self.place(line.len()).await;
                if self.lines.send((line, place)).await.is_err() {
                    self.metrics.record_lost();
                    tracing::error!("a record came after the journal was closed");
                }
            }
            Err(error) => tracing::error!(%error, "a record could not be written as JSON"),
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
