//! What a host gives the engine, for tests and offline use: the cluster's own time, and records in a list.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use falco_event::Timestamp;

use super::Cluster;
use crate::moment::between;
use crate::ports::{Clock, Journal, Mono};
use crate::record::{Closed, Decided, Record};

/// The cluster's time is the engine's: it goes on when a test lets it.
impl Clock for Cluster {
    fn wall(&self) -> Timestamp {
        self.now()
    }

    fn mono(&self) -> Mono {
        Mono::default().plus(between(Timestamp::UNIX_EPOCH, self.now()))
    }
}

/// A [`Journal`] that keeps its records. Cheap to clone; every clone is the same journal.
#[derive(Debug, Clone, Default)]
pub struct Records(Arc<Mutex<Vec<Record>>>);

impl Records {
    /// Everything that was handed over, in order.
    #[must_use]
    pub fn all(&self) -> Vec<Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The records of deliveries.
    #[must_use]
    pub fn decided(&self) -> Vec<Decided> {
        let decided = |record| match record {
            Record::Decided(decided) => Some(*decided),
            Record::Closed(_) => None,
        };
        self.all().into_iter().filter_map(decided).collect()
    }

    /// The second records.
    #[must_use]
    pub fn closed(&self) -> Vec<Closed> {
        let closed = |record| match record {
            Record::Closed(closed) => Some(closed),
            Record::Decided(_) => None,
        };
        self.all().into_iter().filter_map(closed).collect()
    }
}

#[async_trait]
impl Journal for Records {
    async fn write(&self, record: &Record) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(record.clone());
    }
}
