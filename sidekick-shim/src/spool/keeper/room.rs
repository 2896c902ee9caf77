//! Makes room for alerts: what is finished goes first, and then the least urgent.

use falco_event::{Alert, Timestamp};

use super::{Keep, Keeper, SPARE, Short, bytes, is_full, most_urgent};
use crate::metrics::Lost;
use crate::spool::store::{LEVELS, Store};
use crate::spool::waiting::Key;

impl Keeper {
    /// Frees what these alerts need, of those that are no more urgent, the least urgent and of them the oldest first, some
    /// at a time. If that is not enough nothing is freed.
    pub(super) fn make_room(&self, store: &mut Store, alerts: &[Alert]) -> Result<(), Short> {
        let (bytes, most_urgent) = (bytes(alerts), most_urgent(alerts));
        let missing = |store: &Store| self.ledger.missing(bytes, store.bytes());
        let beyond = |store: &Store| self.ledger.beyond(bytes, store.bytes());
        let there = |store: &Store| -> u64 {
            let counts = store.counts();
            counts.iter().skip(most_urgent).map(|count| count.bytes).sum()
        };
        // What is in the place of nothing goes before anything is lost.
        store.trim();
        if beyond(store) > there(store) {
            return Err(Short::Full);
        }
        // What is finished goes before anything is lost.
        while missing(store) > 0 && self.ledger.has_finished() {
            self.tidy(store);
        }
        // Where a full disk has less than they need and others get, nothing goes for it before the write says so.
        let short = |store: &Store| match missing(store) {
            missing if missing <= there(store) => missing,
            _ => beyond(store),
        };
        while short(store) > 0 && self.evict(store, most_urgent)? {}
        if beyond(store) > 0 {
            Err(Short::Full)
        } else {
            Ok(())
        }
    }

    /// Lets the oldest file go of the least urgent alerts, if these are no more urgent than that; whether there was one.
    fn evict(&self, store: &mut Store, most_urgent: usize) -> Result<bool, Short> {
        for level in (most_urgent..LEVELS).rev() {
            let evicted = store.evict(level).map_err(|error| self.failed(&error))?;
            if let Some((last, gone)) = evicted {
                let lost = self.ledger.evicted(level, last).min(gone.alerts);
                self.metrics.lost(Lost::SpoolFull, lost);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Adds alerts on a full disk, in the place of others. Of a spool with little in it one file after the other goes until
    /// they can be written.
    pub(super) fn take_places(
        &self,
        store: &mut Store,
        keep: &Keep,
        received: Timestamp,
    ) -> Result<Vec<Key>, Short> {
        let before = store.bytes();
        let enough = bytes(&keep.alerts).saturating_add(SPARE);
        self.make_room(store, &keep.alerts)?;
        loop {
            let error = match self.add_whole(store, &keep.alerts, received) {
                Ok(keys) => return Ok(keys),
                Err(error) => error,
            };
            let freed = before.saturating_sub(store.bytes());
            if !is_full(&error) || freed >= enough {
                return Err(self.failed(&error));
            }
            if self.ledger.has_finished() {
                self.tidy(store);
            } else if !self.evict(store, most_urgent(&keep.alerts))? {
                // What there is is more urgent; or nothing of what fills the disk is the spool's.
                let is_full = freed == 0 && before > 0;
                return Err(if is_full { Short::Full } else { self.failed(&error) });
            }
        }
    }
}
