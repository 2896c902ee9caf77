//! Records as lines of JSON, and a line for people in the log.

use std::io::Write;
use std::sync::Arc;

use async_trait::async_trait;
use drop_core::Outcome;
use drop_core::outcome::Ending;
use drop_core::ports::Journal;
use drop_core::record::{Closed, Decided, Record};
use tokio::sync::mpsc;

use crate::metrics::Metrics;

/// Records that wait to be written. When the reader of the records is slow, an alert is answered once its record has a
/// place here: nothing that was done goes unrecorded.
const WAITING: usize = 1_024;

/// A [`Journal`] that writes each record as one line of JSON.
#[derive(Debug, Clone)]
pub struct JsonLines {
    lines: mpsc::Sender<Vec<u8>>,
    metrics: Arc<Metrics>,
}

/// The thread that writes the lines; it ends when every [`JsonLines`] is gone.
#[derive(Debug)]
pub struct Writer(std::thread::JoinHandle<()>);

impl JsonLines {
    /// Starts a thread that writes to `out`: a record must never hold up the runtime.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub fn start(out: impl Write + Send + 'static, metrics: Arc<Metrics>) -> std::io::Result<(Self, Writer)> {
        let (lines, waiting) = mpsc::channel(WAITING);
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || write(waiting, out))?;
        Ok((Self { lines, metrics }, Writer(thread)))
    }
}

impl Writer {
    /// Waits until the last record is written.
    pub fn finish(self) {
        // A thread that panicked has nothing left to write.
        let _ = self.0.join();
    }
}

fn write(mut waiting: mpsc::Receiver<Vec<u8>>, mut out: impl Write) {
    let mut many = Vec::new();
    while waiting.blocking_recv_many(&mut many, WAITING) > 0 {
        let lines = many.concat();
        if let Err(error) = out.write_all(&lines).and_then(|()| out.flush()) {
            tracing::error!(%error, records = many.len(), "records could not be written");
        }
        many.clear();
    }
}

#[async_trait]
impl Journal for JsonLines {
    async fn write(&self, record: &Record) {
        self.metrics.recorded(record);
        match record {
            Record::Decided(decided) => say(decided),
            Record::Closed(closed) => say_closed(closed),
        }
        match serde_json::to_vec(record) {
            Ok(mut line) => {
                line.push(b'\n');
                if self.lines.send(line).await.is_err() {
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
        Outcome::Failed { .. } => tracing::error!(%id, outcome, "{decided}"),
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
