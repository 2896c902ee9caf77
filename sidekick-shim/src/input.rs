//! Alerts as lines of standard input: `falco | sidekick-shim --stdin`.

use std::io::{self, Read};

use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_util::sync::CancellationToken;

use crate::doors::FRONT_GRACE;
use crate::front::{BODY_BYTES, Front};
use crate::spool::Patience;

/// How much is read at a time, in bytes: what a pipe of Linux holds.
const READ_BYTES: usize = 64 * 1024;

/// What was read.
#[derive(Debug, PartialEq, Eq)]
enum Piece {
    /// Whole lines.
    Lines(Vec<u8>),
    /// A line was longer than a body may be, and was left out.
    TooLong,
    /// Nothing more can be read.
    Broken(String),
}

/// Where lines are read.
#[derive(Debug)]
pub(crate) struct Input(Receiver<Piece>);

impl Input {
    /// Starts to read. In a thread of its own: a read cannot be ended, and one of the runtime's would hold up the end of
    /// the program. What it has read and not handed over is one piece; the rest waits in the pipe.
    ///
    /// # Errors
    /// There is no thread for it.
    pub(crate) fn start(input: impl Read + Send + 'static) -> io::Result<Self> {
        let (pieces, out) = channel(1);
        std::thread::Builder::new()
            .name("input".to_owned())
            .spawn(move || read(input, &pieces))?;
        Ok(Self(out))
    }

    /// Takes alerts until the input ends, and then begins the drain. When the drain has begun for another reason, it
    /// goes on for [`FRONT_GRACE`] at most.
    pub(crate) async fn take(mut self, front: Front, drain: CancellationToken) {
        let over = async {
            drain.cancelled().await;
            tokio::time::sleep(FRONT_GRACE).await;
        };
        let mut over = std::pin::pin!(over);
        let patience = Patience::default();
        loop {
            let piece = tokio::select! {
                biased;
                // First: an input that always has more would else be read for ever.
                () = &mut over => return tracing::warn!("the input has not ended: what is still in it is not read"),
                piece = self.0.recv() => piece,
            };
            match piece {
                Some(Piece::Lines(lines)) => front.lines(&lines, &patience).await,
                Some(Piece::TooLong) => front.too_long(),
                Some(Piece::Broken(error)) => tracing::error!(error, "the input cannot be read any more"),
                None => break,
            }
        }
        tracing::info!("the input has ended");
        drain.cancel();
    }
}

/// Reads to the end, or until nobody wants it any more.
fn read(mut input: impl Read, pieces: &Sender<Piece>) {
    let mut buffer = vec![0; READ_BYTES];
    let mut lines = Lines::default();
    loop {
        let whole = match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => lines.more(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                let _ = pieces.blocking_send(Piece::Broken(error.to_string()));
                break;
            }
        };
        for piece in whole {
            if pieces.blocking_send(piece).is_err() {
                return;
            }
        }
    }
    // The last line may have no end.
    let _ = pieces.blocking_send(Piece::Lines(lines.rest));
}

/// The beginning of a line whose end has not come.
#[derive(Debug, Default)]
struct Lines {
    rest: Vec<u8>,
    /// It is too long, and nothing of it is kept.
    skipping: bool,
}

impl Lines {
    /// What is whole with these bytes.
    fn more(&mut self, mut bytes: &[u8]) -> Vec<Piece> {
        let mut pieces = Vec::new();
        if self.skipping {
            let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
                return pieces;
            };
            bytes = bytes.get(end + 1..).unwrap_or_default();
            self.skipping = false;
        }
        self.rest.extend_from_slice(bytes);
        let end = self.rest.iter().rposition(|byte| *byte == b'\n');
        if let Some(end) = end {
            let rest = self.rest.split_off(end + 1);
            pieces.push(Piece::Lines(std::mem::replace(&mut self.rest, rest)));
        }
        if self.rest.len() > BODY_BYTES {
            self.rest = Vec::new();
            self.skipping = true;
            pieces.push(Piece::TooLong);
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn pieces(input: impl Read) -> Vec<Piece> {
        let (into, mut out) = channel(1000);
        read(input, &into);
        drop(into);
        std::iter::from_fn(|| out.try_recv().ok()).collect()
    }

    fn lines(text: &str) -> Piece {
        Piece::Lines(text.as_bytes().to_vec())
    }

    /// Hands out its parts one by one, and then an error.
    struct Parts(Vec<&'static str>);

    impl Read for Parts {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Err(io::Error::other("no more"));
            }
            let part = self.0.remove(0);
            buffer[..part.len()].copy_from_slice(part.as_bytes());
            Ok(part.len())
        }
    }

    #[test]
    fn lines_are_whole_however_they_come() {
        let parts = Parts(vec!["a\nb", "c", "\n\nd\ne"]);
        assert_eq!(
            pieces(parts),
            [
                lines("a\n"),
                lines("bc\n\nd\n"),
                Piece::Broken("no more".to_owned()),
                lines("e")
            ]
        );
        assert_eq!(pieces(&b""[..]), [lines("")]);
    }

    #[test]
    fn a_line_that_is_too_long_costs_itself_alone() {
        let long = "x".repeat(3 * BODY_BYTES);
        let text = format!("a\n{long}\nb\nc");
        let pieces = pieces(text.as_bytes());
        assert_eq!(pieces.iter().filter(|piece| **piece == Piece::TooLong).count(), 1);
        let kept: Vec<u8> = pieces
            .into_iter()
            .flat_map(|piece| {
                if let Piece::Lines(lines) = piece {
                    lines
                } else {
                    Vec::new()
                }
            })
            .collect();
        assert_eq!(String::from_utf8(kept).unwrap(), "a\nb\nc");
        let just = [&vec![b' '; BODY_BYTES][..], b"\n"].concat();
        assert!(!self::pieces(&just[..]).contains(&Piece::TooLong));
    }

    fn front() -> Front {
        let metrics = Arc::new(crate::metrics::Metrics::new(&[]));
        Front {
            intake: Arc::default(),
            spool: crate::fixture::spool(&crate::fixture::config(BODY_BYTES), &metrics, ()),
            metrics,
            bodies: Arc::new(tokio::sync::Semaphore::new(BODY_BYTES)),
            texts: Arc::default(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_input_that_always_has_more_is_left_all_the_same() {
        let (into, pieces) = channel(1000);
        for _ in 0..1000 {
            into.try_send(lines("no alert\n")).unwrap();
        }
        let drain = CancellationToken::new();
        drain.cancel();
        let start = tokio::time::Instant::now();
        let taking = tokio::spawn(Input(pieces).take(front(), drain));
        // It gives way after some, and when it goes on the time is over.
        tokio::task::yield_now().await;
        tokio::time::advance(FRONT_GRACE).await;
        taking.await.unwrap();
        assert_eq!(start.elapsed(), FRONT_GRACE);
        drop(into);
    }

    #[tokio::test(start_paused = true)]
    async fn an_input_that_goes_on_after_the_drain_began_is_left() {
        let front = front();
        let spool = front.spool.clone();
        let (into, pieces) = channel(1);
        let drain = CancellationToken::new();
        let start = tokio::time::Instant::now();
        drain.cancel();
        let sent = into.send(lines(&crate::fixture::text("late")));
        let (_, sent) = tokio::join!(Input(pieces).take(front, drain), sent);
        sent.unwrap();
        assert_eq!(start.elapsed(), FRONT_GRACE);
        assert_eq!(crate::fixture::rules(&spool), ["late"]);
    }

    #[test]
    fn a_reader_that_nobody_listens_to_ends() {
        let (into, out) = channel(1);
        drop(out);
        read(io::repeat(b'\n'), &into);
    }
}
