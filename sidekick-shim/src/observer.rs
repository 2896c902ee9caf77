//! A view of each hop of an alert, for a program that runs the shim inside itself.

use std::panic::{AssertUnwindSafe, catch_unwind};

use falco_event::{Alert, AlertId};

use crate::sink::Answer;

/// Sees what the shim does with an alert, hop by hop. Every method does nothing unless it is written.
///
/// The methods are called on the path of the alert: one that is slow holds the shim up, so hand over to a channel.
/// One that panics is logged, and changes nothing. `()` is the observer that sees nothing.
///
/// ```
/// use std::sync::Mutex;
///
/// use falco_event::{Alert, AlertId};
/// use sidekick_shim::{Answer, Observer};
///
/// #[derive(Default)]
/// struct Hops(Mutex<Vec<String>>);
///
/// impl Observer for Hops {
///     fn accepted(&self, alert: &Alert) {
///         self.0.lock().unwrap().push(format!("in: {} bytes", alert.as_bytes().len()));
///     }
///     fn sending(&self, id: AlertId, try_number: u32, event: &[u8]) {
///         self.0.lock().unwrap().push(format!("out: {id}, try {try_number}, {} bytes", event.len()));
///     }
///     fn answered(&self, id: AlertId, try_number: u32, answer: &Answer) {
///         self.0.lock().unwrap().push(format!("answer to {id}: {answer}"));
///     }
/// }
/// ```
pub trait Observer: Send + Sync + 'static {
    /// The alert is in the spool; Falco is about to be answered 200. `alert.as_bytes()` is what Falco sent, unless the configuration
    /// changes it.
    fn accepted(&self, _alert: &Alert) {}

    /// The alert's event goes to the sink: the body of the request, a CloudEvent in structured mode. Tries count from 1.
    fn sending(&self, _id: AlertId, _try_number: u32, _event: &[u8]) {}

    /// What came of that try.
    fn answered(&self, _id: AlertId, _try_number: u32, _answer: &Answer) {}
}

impl Observer for () {}

/// Lets an observer see something: what it does there costs no alert.
pub(crate) fn guarded(see: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(see)).is_err() {
        tracing::error!("an observer panicked");
    }
}
