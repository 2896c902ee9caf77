//! What goes wrong between a client and the fake API server.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What a request asks for, in RBAC's words where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// GET of one object.
    Get,
    /// GET of a collection.
    List,
    /// GET of a collection that goes on with what changes.
    Watch,
    /// DELETE of a pod.
    Delete,
    /// PATCH of a pod.
    Patch,
    /// POST to a pod's eviction.
    Evict,
    /// POST of anything else.
    Create,
}

/// What happens instead of the right answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// This answer, and nothing is done.
    Answer {
        /// The HTTP status.
        status: u16,
        /// `Retry-After`, in seconds.
        retry_after: Option<u32>,
        /// The body.
        body: String,
    },
    /// No answer ever, and nothing is done.
    Hang,
    /// The request is carried out, and no answer ever comes; a watch begins, and says nothing.
    HangAfter,
    /// The connection is closed without an answer, and nothing is done.
    Close,
    /// The request is carried out, and the connection is closed without an answer.
    CloseAfter,
    /// The request is carried out, and its answer breaks off in the middle of the body.
    HalfBody,
    /// The request is carried out, and its answer is cut short as JSON, though whole as HTTP.
    BrokenJson,
    /// The right answer, this much later.
    Slow(Duration),
    /// A watch that begins, and then says that its place is too old.
    Expired,
}

impl Fault {
    /// An answer with this status and a `Status` body without details, as the API server has it.
    #[must_use]
    pub fn status(code: u16) -> Self {
        let body = super::reply::status(code, "", "the fake API server was told to fail", &[]).to_string();
        Self::Answer {
            status: code,
            retry_after: None,
            body,
        }
    }

    /// An answer that is not the API server's: a proxy's page.
    #[must_use]
    pub fn proxy(code: u16) -> Self {
        Self::Answer {
            status: code,
            retry_after: None,
            body: "<html>bad gateway</html>".to_owned(),
        }
    }
}

/// The faults that are still to come.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<Coming>);

#[derive(Debug, Default)]
struct Coming {
    next: BTreeMap<Verb, VecDeque<Fault>>,
    lasting: BTreeMap<Verb, Fault>,
}

impl Faults {
    pub(super) fn push(&self, verb: Verb, fault: Fault) {
        self.with(|coming| coming.next.entry(verb).or_default().push_back(fault));
    }

    pub(super) fn last(&self, verb: Verb, fault: Fault) {
        self.with(|coming| drop(coming.lasting.insert(verb, fault)));
    }

    pub(super) fn clear(&self) {
        self.with(|coming| *coming = Coming::default());
    }

    pub(super) fn take(&self, verb: Verb) -> Option<Fault> {
        self.with(|coming| {
            let next = coming.next.get_mut(&verb).and_then(VecDeque::pop_front);
            next.or_else(|| coming.lasting.get(&verb).cloned())
        })
    }

    fn with<T>(&self, f: impl FnOnce(&mut Coming) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
