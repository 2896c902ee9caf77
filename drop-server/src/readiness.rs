//! What people are told at `/readyz`: that alerts are taken, and what will come of them is not what was meant.

use std::sync::{Arc, PoisonError, RwLock};

/// What keeps the policies from being carried out, though the server takes alerts. Clones share it.
///
/// It never makes the server unready: an alert that cannot be acted on has to be refused one by one, so that its sender
/// keeps it, and other alerts can be.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    obstacles: Arc<RwLock<Vec<String>>>,
}

impl Readiness {
    /// From now on these stand in the way, and no others.
    pub(crate) fn set(&self, obstacles: Vec<String>) {
        *self.obstacles.write().unwrap_or_else(PoisonError::into_inner) = obstacles;
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
        text
    }
}
