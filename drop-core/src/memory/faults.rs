//! Faults that a test puts between the caller of `PodApi` and the cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ports::{ApiError, ApplyError, Change};

/// A kind of request that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// [`find`](crate::ports::PodApi::find).
    Find,
    /// Reading the pod's namespace, for [`facts`](crate::ports::PodApi::facts).
    Namespace,
    /// Reading the owners, for [`facts`](crate::ports::PodApi::facts).
    Owner,
    /// Reading the siblings, for [`facts`](crate::ports::PodApi::facts).
    Siblings,
    /// Reading the disruption budgets, for [`facts`](crate::ports::PodApi::facts).
    Budgets,
    /// [`Change::Delete`].
    Delete,
    /// [`Change::Evict`].
    Evict,
    /// [`Change::Label`] and [`Change::Annotate`].
    Patch,
    /// [`presence`](crate::ports::PodApi::presence).
    Presence,
}

impl Call {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Find,
        Self::Namespace,
        Self::Owner,
        Self::Siblings,
        Self::Budgets,
        Self::Delete,
        Self::Evict,
        Self::Patch,
        Self::Presence,
    ];

    /// The request that makes this change.
    #[must_use]
    pub fn of(change: &Change) -> Self {
        match change {
            Change::Delete { .. } => Self::Delete,
            Change::Evict { .. } => Self::Evict,
            Change::Label(_) | Change::Annotate(_) => Self::Patch,
        }
    }
}

/// What goes wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The API server answers with this error, and nothing happened. [`ApiError::NotFound`] to a read says that
    /// nothing is there.
    Answer(ApiError),
    /// The request never left, and the caller knows: a time-out before, so nothing happened.
    NeverSent,
    /// The request left and never arrived: nothing happened, but the caller cannot know.
    RequestLost,
    /// The change was made, and the answer was lost: a time-out after success.
    AnswerLost,
    /// The caller's time-out passes, and the change is made this long after it was asked for.
    Late(Duration),
}

impl Fault {
    /// What a read sees of it.
    pub(super) fn of_read(&self) -> ApiError {
        match self {
            Self::Answer(error) => error.clone(),
            Self::NeverSent => ApiError::TimedOut("no connection".to_owned()),
            Self::RequestLost | Self::AnswerLost | Self::Late(_) => {
                ApiError::TimedOut("no answer".to_owned())
            }
        }
    }

    /// What the caller of a change sees of it.
    pub(super) fn of_change(&self) -> ApplyError {
        let maybe_happened = match self {
            Self::Answer(_) | Self::NeverSent => false,
            Self::RequestLost | Self::AnswerLost | Self::Late(_) => true,
        };
        ApplyError {
            why: self.of_read(),
            maybe_happened,
        }
    }
}

/// The faults that are still to come.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults {
    next: BTreeMap<Call, std::collections::VecDeque<Fault>>,
    lasting: BTreeMap<Call, Fault>,
}

impl Faults {
    pub(super) fn push(&mut self, call: Call, fault: Fault) {
        self.next.entry(call).or_default().push_back(fault);
    }

    pub(super) fn last(&mut self, call: Call, fault: Fault) {
        self.lasting.insert(call, fault);
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn take(&mut self, call: Call) -> Option<Fault> {
        let next = self
            .next
            .get_mut(&call)
            .and_then(std::collections::VecDeque::pop_front);
        next.or_else(|| self.lasting.get(&call).cloned())
    }
}
