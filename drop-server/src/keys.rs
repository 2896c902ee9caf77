//! The keys that events have to be signed with, from a file that is followed while the server runs.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context as _, Result};
use falco_event::cloudevents::{Forged, Keys, Received};

use crate::files;

/// How often the file is read. New keys count once two readings in a row agree on them.
const EVERY: Duration = Duration::from_secs(1);

/// The keys in force.
#[derive(Debug)]
pub struct KeyFile {
    path: PathBuf,
    keys: RwLock<Arc<Keys>>,
    readings: Mutex<Readings>,
}

/// A reading of the file: its text, or why there is none. Not shown: the text is secrets.
type Reading = Result<String, String>;

struct Readings {
    judged: Reading,
    last: Reading,
    /// What was judged is not in force.
    refused: bool,
}

impl std::fmt::Debug for Readings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Readings").finish_non_exhaustive()
    }
}

impl KeyFile {
    /// Reads the keys.
    ///
    /// # Errors
    /// The file cannot be read, or holds no keys.
    pub fn open(path: PathBuf) -> Result<Self> {
        let shown = format!("signing keys `{}`", path.display());
        let text = files::followed(&path).with_context(|| shown.clone())?;
        let keys = Keys::parse(&text).context(shown)?;
        tracing::info!(keys = ?keys, "events have to be signed with one of these keys");
        Ok(Self {
            path,
            keys: RwLock::new(Arc::new(keys)),
            readings: Mutex::new(Readings {
                judged: Ok(text.clone()),
                last: Ok(text),
                refused: false,
            }),
        })
    }

    /// Whether an event is of a sender that has one of the keys.
    ///
    /// # Errors
    /// It is not.
    pub(crate) fn verify(&self, event: &Received) -> Result<(), Forged> {
        let keys = Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner));
        keys.verify(&event.extensions, event.alert.as_bytes())
    }

    /// Whether the file as it is now is not in force.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.readings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .refused
    }

    /// Reads the file once, and takes its keys if they are new, whole and right. What is wrong changes nothing.
    pub fn look(&self) {
        let mut readings = self.readings.lock().unwrap_or_else(PoisonError::into_inner);
        let read = files::followed(&self.path).map_err(|error| error.to_string());
        let settled = read == readings.last;
        readings.last = read;
        if !settled || readings.last == readings.judged {
            return;
        }
        readings.judged = readings.last.clone();
        let text = readings.judged.as_ref().map_err(String::clone);
        match text.and_then(|text| Keys::parse(text).map_err(|error| error.to_string())) {
            Ok(keys) => {
                readings.refused = false;
                tracing::info!(keys = ?keys, "new signing keys are in force");
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
            }
            Err(why) => {
                readings.refused = true;
                tracing::error!(why, "the file of signing keys is wrong: the old ones stay");
            }
        }
    }

    /// Looks again and again. Never returns.
    pub(crate) async fn follow(self: Arc<Self>) {
        let mut tick = tokio::time::interval(EVERY);
        loop {
            tick.tick().await;
            let file = Arc::clone(&self);
            if let Err(error) = tokio::task::spawn_blocking(move || file.look()).await {
                tracing::error!(%error, "a look at the signing keys broke off; it goes on");
            }
        }
    }
}
