//! Looks whether the files are there that this process has open: someone may have removed them.

use super::Writer;

impl Writer {
    /// Begins other files where someone removed those to which alerts are added, and holds the folder again.
    pub(super) fn look_after_files(&mut self) {
        if !self.keeper.store().look() {
            tracing::error!("files of the spool were removed while it was in use: others are begun");
        }
        match self.files.hold_again() {
            Ok(false) => {}
            Ok(true) => {
                self.unheld = false;
                tracing::error!("the lock of the spool was removed: it is held again");
            }
            Err(why) => {
                if !std::mem::replace(&mut self.unheld, true) {
                    tracing::error!(
                        why,
                        "the lock of the spool was removed, and it cannot be held again"
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;

    use tokio::sync::oneshot;

    use super::*;
    use crate::config::{Config, Durability, Spool};
    use crate::fixture::{alert, config};
    use crate::metrics::Metrics;
    use crate::observer::Observer;
    use crate::spool::keeper::{Keep, Keeper};
    use crate::spool::store::{Store, disk::InFolder};
    use crate::spool::{open, prepare, probe};

    fn writer(folder: &Path) -> (Spool, Arc<Keeper>, Writer) {
        let Config { mut spool, sinks, .. } = config(16 << 20);
        spool.durability = Durability::Crash;
        spool.folder = folder.to_owned();
        let opened = open(&spool).unwrap();
        let (metrics, observer): (_, Arc<dyn Observer>) = (Arc::new(Metrics::new(&[])), Arc::new(()));
        let (keeper, writer, _) = prepare(opened, &spool, &sinks, &metrics, &observer).unwrap();
        (spool, keeper, writer)
    }

    /// Whether the thread is told.
    fn keep(keeper: &Keeper) -> bool {
        keeper.keep_and_reply(vec![Keep {
            alerts: [alert("a")].into(),
            promised: 0,
            make_room: false,
            reply: oneshot::channel().0,
        }])
    }

    #[test]
    fn what_comes_after_files_were_removed_is_in_others_and_the_folder_is_held() {
        let folder = tempfile::tempdir().unwrap();
        let (spool, keeper, mut writer) = writer(folder.path());
        keep(&keeper);
        for file in fs::read_dir(folder.path()).unwrap() {
            fs::remove_file(file.unwrap().path()).unwrap();
        }
        writer.look_around();
        let why = probe(&spool).unwrap_err();
        assert!(why.ends_with("another sidekick-shim holds it"), "{why}");
        keep(&keeper);
        keep(&keeper);
        let disk = Arc::new(InFolder(folder.path().to_owned()));
        let there = Store::open(disk, 16 << 20).unwrap().0.live(5);
        assert_eq!(there.iter().collect::<Vec<_>>(), [2..=3]);
    }

    #[test]
    fn it_is_looked_after_them_while_alerts_come_and_not_else() {
        let folder = tempfile::tempdir().unwrap();
        let (_, keeper, mut writer) = writer(folder.path());
        writer.carry_out(Vec::new());
        assert!(writer.look.is_none(), "there is nothing to look after");
        for _ in 0..2 {
            assert!(keep(&keeper));
            assert!(!keep(&keeper), "it is told already");
            writer.carry_out(Vec::new());
            assert!(writer.look.is_some());
            writer.look_around();
            writer.carry_out(Vec::new());
            assert!(writer.look.is_none());
        }
    }
}
