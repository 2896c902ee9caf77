//! Every hop of an alert, as the programs of the demo see it.

use async_trait::async_trait;
use drop_core::ports::Journal;
use drop_core::record::Record;
use falco_event::{Alert, AlertId};
use sidekick_shim::Observer;
use tokio::sync::mpsc::UnboundedSender;

/// One hop.
#[derive(Debug)]
pub(super) enum Hop {
    /// The shim has Falco's alert.
    Accepted(Alert),
    /// The shim sends its CloudEvent to drop-server: the request's body.
    Sending(Vec<u8>),
    /// drop-server has decided, or looked again.
    Recorded(Record),
}

/// Passes the hops on. Unbounded, for its reader is the demo's screen and its writers are as fast as a person.
#[derive(Debug, Clone)]
pub(super) struct Tee(pub(super) UnboundedSender<Hop>);

impl Tee {
    fn pass(&self, hop: Hop) {
        // Nobody looks any more once the demo has ended.
        let _ = self.0.send(hop);
    }
}

impl Observer for Tee {
    fn accepted(&self, alert: &Alert) {
        self.pass(Hop::Accepted(alert.clone()));
    }

    fn sending(&self, _id: AlertId, _try_number: u32, event: &[u8]) {
        self.pass(Hop::Sending(event.to_vec()));
    }
}

#[async_trait]
impl Journal for Tee {
    async fn write(&self, record: &Record) {
        self.pass(Hop::Recorded(record.clone()));
    }
}
