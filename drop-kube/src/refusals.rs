//! Refusals for want of a right, counted over all that speaks to the API server.

use drop_core::ports::ApiError;
use tokio::sync::watch;

/// Counts refusals. Clones share the count.
#[derive(Debug, Clone, Default)]
pub(crate) struct Refusals(watch::Sender<u64>);

impl Refusals {
    /// Counts this, where it is a refusal for want of a right.
    pub(crate) fn note(&self, why: &ApiError) {
        if matches!(why, ApiError::Forbidden(_)) {
            self.0
                .send_modify(|refusals| *refusals = refusals.wrapping_add(1));
        }
    }

    /// Changes with each.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}
