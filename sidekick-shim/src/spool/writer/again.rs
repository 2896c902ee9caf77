//! Sends dead letters again where someone wants that.

use std::io;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use super::Writer;
use crate::metrics::Lost;
use crate::spool::dead::{Broken, DeadLetter};
use crate::spool::keeper::level;
use crate::spool::store::{Store, on_disk};
use crate::spool::waiting::{Item, Key};

/// What becomes of a dead letter that is to be sent again.
enum PutBack {
    Written(Written),
    /// Its sink would not get it.
    Unwanted,
    /// It is no alert any more.
    Broken,
    NoRoom,
}

/// An alert that was written, for this sink alone.
struct Written {
    key: Key,
    item: Item,
    sink: usize,
}

impl Writer {
    /// Sends some again. Where there may be more that is gone on with at once, but after what others ask for.
    pub(super) fn send_again(&mut self) {
        self.more_again = None;
        if self.buried == 0 {
            return;
        }
        match self.send_some_again() {
            Ok(true) => self.more_again = Some(Instant::now()),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "dead letters cannot be sent again"),
        }
    }

    /// What was put back goes, whatever stopped the others. Whether there may be more.
    fn send_some_again(&mut self) -> Result<bool, Broken> {
        let version = self.dead.version()?;
        if self.seen == Some(version) {
            return Ok(false);
        }
        let mut again = self.dead.again()?;
        if again.is_empty() {
            self.seen = Some(version);
            self.put_back.clear();
            return Ok(false);
        }
        let (kept, sent, all) = self.put_all_back(&again);
        again.retain(|(number, _)| self.put_back.contains(number));
        // Where this fails they are not put back once more.
        self.dead.settle(&again, &kept)?;
        again.iter().for_each(|(number, _)| {
            self.put_back.remove(number);
        });
        self.buried = self.dead.count();
        self.keeper.metrics.dead_letters(self.buried);
        if sent > 0 {
            tracing::info!(alerts = sent, "dead letters are sent again");
        }
        all
    }

    /// Puts dead letters among the alerts again; the numbers of those that stay, how many are sent, and whether there was
    /// room for all.
    fn put_all_back(&mut self, letters: &[(i64, DeadLetter)]) -> (Vec<i64>, usize, Result<bool, Broken>) {
        let keeper = Arc::clone(&self.keeper);
        let mut store = keeper.store();
        let (mut written, mut kept, mut all) = (Vec::new(), Vec::new(), Ok(true));
        for (number, letter) in letters {
            if self.put_back.contains(number) {
                continue;
            }
            match self.put_back(&mut store, letter) {
                Ok(PutBack::Written(one)) => written.push((*number, one)),
                Ok(PutBack::Unwanted) => kept.push(*number),
                Ok(PutBack::Broken) => {
                    self.put_back.insert(*number);
                }
                Ok(PutBack::NoRoom) => all = Ok(false),
                Err(error) => all = Err(error),
            }
            if !matches!(all, Ok(true)) {
                break;
            }
        }
        match self.commit(store, written) {
            Ok(sent) => (kept, sent, all),
            Err(error) => (kept, 0, Err(error)),
        }
    }

    /// Writes one among the alerts.
    fn put_back(&self, store: &mut Store, letter: &DeadLetter) -> Result<PutBack, Broken> {
        let Ok(mut item) = self.item(letter.received, &letter.data) else {
            let (id, sink) = (&letter.id, &letter.sink);
            self.keeper.metrics.lost(Lost::Broken, 1);
            tracing::error!(id, sink, "a dead letter cannot be read any more: it is lost");
            return Ok(PutBack::Broken);
        };
        let ledger = &self.keeper.ledger;
        let sink = ledger.sinks().position(|name| name == letter.sink);
        let sink = sink.unwrap_or_default();
        if !ledger.wants(sink, &item.alert) {
            let (id, name) = (&letter.id, ledger.sinks().nth(sink));
            tracing::error!(
                id,
                sink = name,
                "a dead letter is not urgent enough for its sink any more: it stays one"
            );
            return Ok(PutBack::Unwanted);
        }
        // Whoever asks for it wants it to be tried for as long as any other.
        item.age = (Duration::ZERO, tokio::time::Instant::now());
        let bytes = on_disk(letter.data.len());
        if ledger.promise(bytes).is_err() {
            return Ok(PutBack::NoRoom);
        }
        let level = level(&item.alert);
        let added = store.add(level, letter.received, &letter.data);
        ledger.keep_promise(bytes, store.counts());
        let seq = added.map_err(|error| failed(&error))?;
        let key = Key { level, seq };
        Ok(PutBack::Written(Written { key, item, sink }))
    }

    /// Tells the sinks of what was written; how many. It leaves the dead letters for good: it has to be on the disk.
    fn commit(
        &mut self,
        mut store: MutexGuard<'_, Store>,
        written: Vec<(i64, Written)>,
    ) -> Result<usize, Broken> {
        if written.is_empty() {
            return Ok(0);
        }
        let ledger = &self.keeper.ledger;
        if let Err(error) = store.take_unsynced().sync() {
            store.distrust();
            for (_, Written { key, .. }) in written {
                ledger.nobody_waits(key);
            }
            return Err(failed(&error));
        }
        let sent = written.len();
        for (number, Written { key, item, sink }) in written {
            ledger.committed(std::iter::once((key, item)), Some(sink));
            self.put_back.insert(number);
        }
        Ok(sent)
    }
}

fn failed(error: &io::Error) -> Broken {
    Broken::Failed(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::mpsc::channel;

    use rusqlite::Connection;

    use super::*;
    use crate::config::{Config, Durability};
    use crate::fixture::{alert, config};
    use crate::metrics::{Metrics, Spooled};
    use crate::observer::Observer;
    use crate::spool::dead::DeadLetters;
    use crate::spool::keeper::Keeper;
    use crate::spool::store::faulty::Faulty;
    use crate::spool::{Lane, Next, open, prepare};

    /// A spool with its dead letters in a folder and its alerts on a disk of its own.
    fn writer(folder: &Path, disk: &Faulty) -> (Arc<Keeper>, Writer) {
        let Config { mut spool, sinks, .. } = config(16 << 20);
        spool.durability = Durability::PowerLoss;
        spool.folder = folder.to_owned();
        let mut opened = open(&spool).unwrap();
        opened.store = Store::open(Arc::new(disk.clone()), 16 << 20).unwrap().0;
        let (metrics, observer): (_, Arc<dyn Observer>) = (Arc::new(Metrics::new(&[])), Arc::new(()));
        let (keeper, writer, _) = prepare(opened, &spool, &sinks, &metrics, &observer).unwrap();
        (keeper, writer)
    }

    fn letter(rule: &str) -> DeadLetter {
        let alert = alert(rule);
        DeadLetter {
            sink: "cloudevents".to_owned(),
            received: 1,
            refused: 2,
            answer: "status 400".to_owned(),
            id: alert.id().to_string(),
            data: alert.as_bytes().to_vec(),
        }
    }

    /// A person's view of the dead letters.
    fn person(folder: &Path) -> DeadLetters {
        DeadLetters::open(Some(&folder.join("dead.db"))).unwrap()
    }

    fn waiting(keeper: &Keeper) -> usize {
        let next = || match keeper.ledger.next(0, Lane::Oldest) {
            Next::Try(..) => Some(()),
            Next::Read(_) | Next::Nothing => None,
        };
        std::iter::from_fn(next).count()
    }

    #[test]
    fn what_cannot_be_removed_is_sent_again_once() {
        let folder = tempfile::tempdir().unwrap();
        let (keeper, mut writer) = writer(folder.path(), &Faulty::default());
        for rule in ["a", "b"] {
            assert!(writer.bury(&letter(rule)));
        }
        let person = person(folder.path());
        person.requeue().unwrap();
        let file = Connection::open(folder.path().join("dead.db")).unwrap();
        file.execute_batch(
            "CREATE TRIGGER stuck BEFORE DELETE ON dead BEGIN SELECT RAISE(ABORT, 'stuck'); END",
        )
        .unwrap();
        for _ in 0..3 {
            writer.look_around();
            assert!(writer.more_again.is_none(), "it is tried again later");
        }
        assert_eq!(keeper.store().counts()[5].alerts, 2);
        assert_eq!(waiting(&keeper), 2);
        file.execute_batch("DROP TRIGGER stuck").unwrap();
        writer.look_around();
        assert_eq!((writer.buried, waiting(&keeper)), (0, 0));
        assert!(person.after(0).unwrap().is_empty() && writer.put_back.is_empty());
    }

    #[test]
    fn one_that_cannot_be_read_any_more_is_lost_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let (keeper, mut writer) = writer(folder.path(), &Faulty::default());
        let data = b"{\"rule\":".to_vec();
        assert!(writer.bury(&DeadLetter { data, ..letter("a") }));
        assert!(writer.bury(&letter("b")));
        let person = person(folder.path());
        person.requeue().unwrap();
        writer.look_around();
        assert_eq!((writer.buried, waiting(&keeper)), (0, 1));
        let text = keeper.metrics.text(Spooled {
            alerts: 0,
            bytes: 0,
            oldest: Duration::ZERO,
            writable: true,
        });
        let line = "sidekick_shim_dropped_total{reason=\"spool_broken\"} 1\n";
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn many_are_sent_again_in_steps_without_a_wait_between_and_with_one_sync_each() {
        let (folder, disk) = (tempfile::tempdir().unwrap(), Faulty::default());
        let (keeper, mut writer) = writer(folder.path(), &disk);
        let (_commands, out) = channel();
        let names: Vec<_> = (0..100).map(|n| n.to_string()).collect();
        for rule in &names {
            assert!(writer.bury(&letter(rule)));
        }
        person(folder.path()).requeue().unwrap();
        let before = disk.steps();
        writer.look_around();
        assert_eq!(keeper.store().counts()[5].alerts, 64);
        let steps = disk.steps() - before;
        assert!((64..80).contains(&steps), "a write each and one sync: {steps}");
        while writer.more_again.is_some_and(|due| due <= Instant::now()) {
            let due = writer.next(&out).unwrap();
            assert!(due.is_empty(), "others would come first");
            writer.carry_out(due);
        }
        assert_eq!((writer.buried, keeper.store().counts()[5].alerts), (0, 100));
    }
}
