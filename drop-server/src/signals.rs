//! The first signal drains, the second ends at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What SIGTERM and SIGINT cancel: the first `drain`, the second `abort`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop {
    pub(crate) drain: CancellationToken,
    pub(crate) abort: CancellationToken,
}

impl Stop {
    /// Listens for signals from now on.
    ///
    /// # Errors
    /// Where the process may not handle them.
    pub(crate) fn on_signals() -> std::io::Result<Self> {
        let stop = Self::default();
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let tokens = stop.clone();
        tokio::spawn(async move {
            for token in [tokens.drain, tokens.abort] {
                tokio::select! {
                    _ = term.recv() => {}
                    _ = int.recv() => {}
                }
                token.cancel();
            }
        });
        Ok(stop)
    }
}
