//! How far each sink is, where there are several.

use std::collections::BTreeMap;
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::Store;
use super::disk::Disk;
use super::frame::{Frame, frames};
use super::segment::all;
use crate::spool::ranges::Ranges;

/// What each sink is done with is in this file.
const PROGRESS: &str = "progress1";

/// And in this one while it is written.
const NEW_PROGRESS: &str = "progress1.new";

/// The file with it. It is written beside what is done to the store: nobody who wants to keep alerts waits for its sync.
#[derive(Debug)]
pub(crate) struct Progress {
    disk: Arc<dyn Disk>,
    /// What is in it.
    written: Vec<u8>,
}

impl Store {
    pub(crate) fn progress(&self) -> Progress {
        Progress {
            disk: Arc::clone(&self.disk),
            written: Vec::new(),
        }
    }
}

impl Progress {
    /// What each sink is done with although the alert is still there for another: the sink's name, a level, and numbers.
    pub(crate) fn read(&mut self) -> io::Result<Vec<(String, usize, Ranges)>> {
        let files = self.disk.list()?;
        let Some((_, length)) = files.into_iter().find(|(name, _)| name == PROGRESS) else {
            return Ok(Vec::new());
        };
        self.written = all(&*self.disk, PROGRESS, length)?;
        let mut progress = BTreeMap::<_, Ranges>::new();
        for (_, frame) in frames(&self.written) {
            if let Some((level, sink)) = frame.data.split_first() {
                let sink = String::from_utf8_lossy(sink).into_owned();
                let done = progress.entry((sink, usize::from(*level))).or_default();
                done.insert_all(frame.number..=frame.value);
            }
        }
        let progress = progress
            .into_iter()
            .map(|((sink, level), done)| (sink, level, done));
        Ok(progress.collect())
    }

    /// Forgets how far each sink is.
    pub(crate) fn forget(&mut self) {
        self.written = Vec::new();
        if let Err(error) = self.disk.remove(PROGRESS) {
            tracing::warn!(%error, "how far each sink is cannot be removed");
        }
    }

    pub(crate) fn save<'a>(
        &mut self,
        progress: impl Iterator<Item = (&'a str, usize, RangeInclusive<i64>)>,
    ) -> io::Result<()> {
        let mut bytes = Vec::new();
        for (sink, level, range) in progress {
            let (number, value) = range.into_inner();
            let level = u8::try_from(level).unwrap_or(u8::MAX);
            let data = &[&[level], sink.as_bytes()].concat();
            Frame { number, value, data }.put(&mut bytes);
        }
        if bytes == self.written {
            return Ok(());
        }
        let file = self.disk.create(NEW_PROGRESS)?;
        file.write(&bytes, 0)?;
        file.sync()?;
        self.disk.rename(NEW_PROGRESS, PROGRESS)?;
        self.written = bytes;
        Ok(())
    }
}
