//! The spool's thread: reads what is not in memory, removes what is finished, and does all else that takes its time.

mod again;
mod files;
mod tidy;

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use falco_event::{Alert, Timestamp};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::clock::Clock;
use super::dead::{DeadLetter, DeadLetters};
use super::gather::Together;
use super::keeper::{Keep, Keeper};
use super::ledger::Short;
use super::open::Files;
use super::ranges::Ranges;
use super::store::{LEVELS, Progress, Read, Reader, Want};
use super::waiting::{Found, Item, Key};
use crate::metrics::Lost;

/// How many things are taken at a time to be done together.
const TOGETHER: usize = 256;

/// How long it waits at most for those who were answered.
const AWAIT: Duration = Duration::from_millis(2);

/// How long what is finished may stay on the disk: after a crash it is sent again.
const TIDY: Duration = Duration::from_millis(50);

/// How often it looks whether dead letters are to be sent again, a disk that could not be written can be, and files are
/// there still to which alerts were added, and writes down how far each sink is.
const LOOK: Duration = Duration::from_secs(1);

/// What is asked of the writer.
pub(crate) enum Command {
    /// Alerts are to be kept together.
    Keep(Together),
    Read {
        sink: usize,
        want: Want,
    },
    /// An alert is needed whole for its next try.
    Again {
        sink: usize,
        key: Key,
    },
    Bury {
        letter: DeadLetter,
        /// Whether it is among the dead letters now.
        reply: oneshot::Sender<bool>,
    },
    /// How old the oldest alert is; nothing if there is none.
    Oldest(oneshot::Sender<Duration>),
    /// Something is finished.
    Tidy,
    /// Writes down what there is to write down, and ends.
    Close(oneshot::Sender<()>),
}

/// A reply to one who asked to keep alerts.
pub(crate) struct Reply {
    to: oneshot::Sender<Result<(), Short>>,
    result: Result<(), Short>,
}

impl Reply {
    pub(crate) fn give(self) {
        // Who does not wait any more has hung up.
        let _ = self.to.send(self.result);
    }
}

/// The writer; see the module.
pub(crate) struct Writer {
    keeper: Arc<Keeper>,
    reader: Reader,
    files: Files,
    /// Its folder could not be held again.
    unheld: bool,
    dead: DeadLetters,
    /// How many dead letters there are.
    buried: u64,
    /// What they were like when they were last looked at.
    seen: Option<i64>,
    /// The numbers of those that were sent again, or are lost, and could not be removed yet.
    put_back: BTreeSet<i64>,
    /// More of them are to be sent again.
    more_again: Option<Instant>,
    progress: Progress,
    /// Where several replies go together: to wake a runtime from outside costs a call of the system each time.
    replies: UnboundedSender<Vec<Reply>>,
    /// Until when those who were answered last are waited for.
    answered: Option<Instant>,
    clock: Clock,
    tidy: Option<Instant>,
    look: Option<Instant>,
    /// Readings of a sink at an end that failed, and that are tried again.
    unread: Vec<(usize, bool)>,
    /// And of a sink's single alerts.
    unread_alerts: Vec<(usize, Key)>,
}

impl Drop for Writer {
    /// Who waits for others hears that nothing is kept any more.
    fn drop(&mut self) {
        drop(self.keeper.gathered.take_all());
    }
}

impl Writer {
    pub(crate) fn new(
        keeper: Arc<Keeper>,
        files: Files,
        dead: DeadLetters,
        progress: Progress,
        replies: UnboundedSender<Vec<Reply>>,
    ) -> Self {
        let reader = keeper.store().reader();
        let mut writer = Self {
            keeper,
            reader,
            files,
            unheld: false,
            buried: dead.count(),
            dead,
            seen: None,
            put_back: BTreeSet::new(),
            more_again: None,
            progress,
            replies,
            answered: None,
            clock: Clock::start(),
            tidy: None,
            look: None,
            unread: Vec::new(),
            unread_alerts: Vec::new(),
        };
        writer.keeper.metrics.dead_letters(writer.buried);
        writer.plan(Instant::now());
        writer
    }

    /// Does what is asked until nobody can ask any more.
    pub(crate) fn run(mut self, commands: &Receiver<Command>) {
        while let Some(together) = self.next(commands) {
            if let Some(reply) = self.carry_out(together) {
                self.close();
                let _ = reply.send(());
                return;
            }
        }
        self.close();
    }

    /// What is to be done together next, be it only what is due; none if nobody can ask any more.
    pub(super) fn next(&mut self, commands: &Receiver<Command>) -> Option<Vec<Command>> {
        let mut together: Vec<_> = commands.try_iter().take(TOGETHER).collect();
        self.await_answered(commands, &mut together);
        if together.is_empty() {
            let due = self.tidy.into_iter().chain(self.look).chain(self.more_again);
            let due = due.min();
            let first = match due {
                None => commands.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => commands.recv_timeout(due.saturating_duration_since(Instant::now())),
            };
            match first {
                Ok(first) => together.push(first),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
            together.extend(commands.try_iter().take(TOGETHER));
        }
        Some(together)
    }

    /// Waits for those who were answered last, for as long as the disk took: they may bring more at once. The senders are
    /// told after that, or were when all had come.
    pub(super) fn await_answered(&mut self, commands: &Receiver<Command>, together: &mut Vec<Command>) {
        let Some(until) = self.answered.take() else {
            return;
        };
        let are_there = |command: &Command| matches!(command, Command::Keep(Together { awaited: true, .. }));
        let mut all = together.iter().any(are_there);
        while !all && let Ok(more) = commands.recv_timeout(until.saturating_duration_since(Instant::now())) {
            all = are_there(&more);
            together.push(more);
        }
        if !all {
            let joined = self.keeper.gathered.take_all();
            if !joined.keeps.is_empty() {
                together.push(Command::Keep(joined));
            }
            self.release();
        }
    }

    /// Tells the senders of what is held.
    fn release(&mut self) {
        if self.keeper.release() {
            self.plan(Instant::now());
        }
    }

    /// Does these together, and what is due; who asked for the end, if someone did.
    pub(crate) fn carry_out(&mut self, commands: Vec<Command>) -> Option<oneshot::Sender<()>> {
        let (mut keeps, mut others) = (Vec::new(), Vec::new());
        for command in commands {
            match command {
                Command::Keep(mut together) => keeps.append(&mut together.keeps),
                other @ (Command::Read { .. }
                | Command::Again { .. }
                | Command::Bury { .. }
                | Command::Oldest(_)
                | Command::Tidy
                | Command::Close(_)) => others.push(other),
            }
        }
        if !keeps.is_empty() {
            self.keep(keeps);
        }
        let mut end = None;
        for other in others {
            match other {
                Command::Read { sink, want } => self.read(sink, want),
                Command::Again { sink, key } => self.again(sink, key),
                Command::Bury { letter, reply } => {
                    let _ = reply.send(self.bury(&letter));
                }
                Command::Oldest(reply) => {
                    let _ = reply.send(self.oldest().unwrap_or_default());
                }
                Command::Close(reply) => end = Some(reply),
                Command::Keep(_) | Command::Tidy => {}
            }
        }
        let now = Instant::now();
        if self.tidy.is_some_and(|due| due <= now) {
            self.tidy_up();
        }
        if self.look.is_some_and(|due| due <= now) {
            self.look_around();
        } else if self.more_again.is_some_and(|due| due <= now) {
            self.send_again();
        }
        self.plan(now);
        end
    }

    /// When to tidy up and look around next. Where there is nothing to be seen the thread sleeps.
    fn plan(&mut self, now: Instant) {
        let ledger = &self.keeper.ledger;
        if self.tidy.is_none() && ledger.has_finished() {
            self.tidy = Some(now + TIDY);
        }
        let look = self.buried > 0
            || !ledger.is_writable()
            || ledger.is_limited()
            || !self.unread.is_empty()
            || !self.unread_alerts.is_empty()
            || ledger.has_several();
        if self.look.is_none() {
            let store = self.keeper.store();
            if look || store.is_unseen() || store.has_idle() {
                self.look = Some(now + LOOK);
            }
        }
    }

    fn keep(&mut self, keeps: Vec<Keep>) {
        let began = Instant::now();
        let (results, _) = self.keeper.keep(&keeps);
        let answered = Instant::now();
        // One alone has nobody to wait for.
        let several = keeps.len() > 1;
        self.keeper
            .gathered
            .wait_for(if several { keeps.len() } else { 0 });
        let wait = if several {
            (answered - began).min(AWAIT)
        } else {
            Duration::ZERO
        };
        self.answered = Some(answered + wait);
        let replies = keeps.into_iter().zip(results);
        let mut replies: Vec<_> = replies
            .map(|(keep, result)| Reply {
                to: keep.reply,
                result,
            })
            .collect();
        if replies.len() > 1 {
            match self.replies.send(replies) {
                Ok(()) => return,
                Err(unsent) => replies = unsent.0,
            }
        }
        replies.into_iter().for_each(Reply::give);
    }

    fn read(&mut self, sink: usize, want: Want) {
        let keeper = Arc::clone(&self.keeper);
        let (read, within) = match self.reader.read(want, || keeper.store().part(want)) {
            Ok(read) => read,
            Err(error) => {
                tracing::error!(%error, "the spool cannot be read");
                return self.unread.push((sink, want.backwards));
            }
        };
        let level = want.level;
        let items = self.readable(level, read);
        self.keeper
            .ledger
            .found(sink, want.backwards, Some(Found { want, items, within }));
    }

    /// Lets what failed be tried again.
    fn read_again(&mut self) {
        for (sink, backwards) in std::mem::take(&mut self.unread) {
            self.keeper.ledger.found(sink, backwards, None);
        }
        for (sink, key) in std::mem::take(&mut self.unread_alerts) {
            self.keeper.ledger.unread(sink, key);
        }
    }

    fn again(&mut self, sink: usize, key: Key) {
        let keeper = Arc::clone(&self.keeper);
        match self
            .reader
            .get(key.level, key.seq, |want| keeper.store().part(want))
        {
            Ok(read) => {
                let item = self.readable(key.level, read).into_iter().next();
                self.keeper.ledger.returned(sink, key, item.map(|(_, item)| item));
            }
            Err(error) => {
                tracing::error!(%error, "the spool cannot be read");
                self.unread_alerts.push((sink, key));
            }
        }
    }

    /// Alerts of the store. What is none any more is lost.
    fn readable(&self, level: usize, mut read: Read) -> Vec<(i64, Item)> {
        let mut items = Vec::new();
        for row in read.rows {
            match self.item(row.received, &row.data) {
                Ok(item) => items.push((row.seq, item)),
                Err(_) => read.broken.insert(row.seq),
            }
        }
        if !read.broken.is_empty() {
            self.give_up(level, &read.broken);
        }
        items
    }

    /// Alerts that cannot be read are lost; but for those that had to make room meanwhile, and are counted for that.
    fn give_up(&self, level: usize, broken: &Ranges) {
        self.keeper.release();
        let _store = self.keeper.store();
        let keys = broken.iter().flatten().map(|seq| Key { level, seq });
        let lost = keys.filter(|key| self.keeper.ledger.nobody_waits(*key)).count() as u64;
        if lost > 0 {
            self.keeper.metrics.lost(Lost::Broken, lost);
            let (first, last) = (broken.first(), broken.last());
            tracing::error!(
                severity = level,
                first,
                last,
                lost,
                "alerts in the spool cannot be read: they are lost"
            );
        }
    }

    fn item(&self, received: i64, data: &[u8]) -> Result<Item, falco_event::ReadError> {
        let received = Timestamp::from_microsecond(received).unwrap_or(Timestamp::UNIX_EPOCH);
        Ok(Item {
            alert: Alert::from_slice(data)?,
            received,
            age: (self.clock.age(received), tokio::time::Instant::now()),
        })
    }

    fn oldest(&mut self) -> io::Result<Duration> {
        let keeper = Arc::clone(&self.keeper);
        let mut oldest = Duration::ZERO;
        for level in 0..LEVELS {
            if let Some(received) = self.reader.oldest(level, |want| keeper.store().part(want))? {
                let received = Timestamp::from_microsecond(received).unwrap_or_default();
                oldest = oldest.max(self.clock.age(received));
            }
        }
        Ok(oldest)
    }
}
