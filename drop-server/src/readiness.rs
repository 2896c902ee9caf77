//! What people are told at `/readyz`: that alerts are taken, and what will come of them is not what was meant.

use std::sync::{Arc, PoisonError, RwLock};

use drop_kube::Index;

/// What keeps the policies from being carried out, though the server takes alerts. Clones share it.
///
/// It never makes the server unready: an alert that cannot be acted on has to be refused one by one, so that its sender
/// keeps it, and other alerts can be.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    obstacles: Arc<RwLock<Vec<String>>>,
    index: Option<Index>,
}

impl Readiness {
    /// From now on these stand in the way, and no others.
    pub(crate) fn set(&self, obstacles: Vec<String>) {
        *self.obstacles.write().unwrap_or_else(PoisonError::into_inner) = obstacles;
    }

    /// How many there are.
    pub(crate) fn obstacles(&self) -> usize {
        self.obstacles
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// Tells of this index too, while it cannot tell of the pods.
    pub(crate) fn with_index(self, index: Index) -> Self {
        let index = Some(index);
        Self { index, ..self }
    }

    /// Why the index, if there is one, cannot tell of all pods that the policies reach.
    pub(crate) fn cold(&self) -> Option<String> {
        self.index.as_ref()?.cold()
    }

    /// `ready`, and a line for each obstacle.
    #[must_use]
    pub fn text(&self) -> String {
        let obstacles = self.obstacles.read().unwrap_or_else(PoisonError::into_inner);
        let mut text = "ready\n".to_owned();
        for obstacle in obstacles.iter() {
            text.push_str(obstacle);
            text.push('\n');
        }
        if let Some(why) = self.cold() {
            text.push_str("the pods are not all at hand, so that alerts take longer or are sent back: ");
            text.push_str(&why);
            text.push('\n');
        }
        text
    }
}
