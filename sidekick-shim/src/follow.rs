//! Files that are followed while the program runs: certificates, credentials, keys.
//!
//! They are read again and again instead of watched: that sees every way to change them alike, a Secret's symlink that
//! is swapped too. What is wrong changes nothing and is said.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// How often the files are read. A change counts once two readings in a row agree on it.
const EVERY: Duration = Duration::from_secs(1);

/// The longest file in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// The meaning of some files, as it is now.
#[derive(Debug)]
pub(crate) struct Followed<T>(RwLock<Arc<T>>);

impl<T> Followed<T> {
    pub(crate) fn now(&self) -> Arc<T> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What one reading found: each file's bytes, or why there are none.
type Reading = Result<Vec<Vec<u8>>, String>;

type Parse<T> = Box<dyn Fn(&[Vec<u8>]) -> Result<T, String> + Send>;

struct Follower<T> {
    paths: Vec<PathBuf>,
    parse: Parse<T>,
    followed: Arc<Followed<T>>,
    judged: Reading,
    last: Reading,
}

/// Everything that is followed.
#[derive(Default)]
pub(crate) struct Followers(Vec<Box<dyn Look>>);

trait Look: Send {
    fn look(&mut self);
}

impl Followers {
    /// Reads files, and follows them from then on.
    ///
    /// # Errors
    /// Why they cannot be used.
    pub(crate) fn follow<T: Send + Sync + 'static>(
        &mut self,
        paths: Vec<PathBuf>,
        parse: impl Fn(&[Vec<u8>]) -> Result<T, String> + Send + 'static,
    ) -> Result<Arc<Followed<T>>, String> {
        let reading = read(&paths);
        let now = reading.clone().and_then(|texts| parse(&texts))?;
        let followed = Arc::new(Followed(RwLock::new(Arc::new(now))));
        self.0.push(Box::new(Follower {
            paths,
            parse: Box::new(parse),
            followed: Arc::clone(&followed),
            judged: reading.clone(),
            last: reading,
        }));
        Ok(followed)
    }

    pub(crate) fn look(&mut self) {
        for one in &mut self.0 {
            one.look();
        }
    }

    /// Looks again and again. Never returns.
    pub(crate) async fn run(mut self) {
        if self.0.is_empty() {
            return std::future::pending().await;
        }
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let looked = tokio::task::spawn_blocking(|| {
                self.look();
                self
            });
            match looked.await {
                Ok(followers) => self = followers,
                Err(error) => {
                    tracing::error!(%error, "certificates, credentials and keys are not followed any more");
                    return std::future::pending().await;
                }
            }
        }
    }
}

impl<T: Send + Sync> Look for Follower<T> {
    fn look(&mut self) {
        let reading = read(&self.paths);
        let settled = reading == self.last;
        self.last = reading;
        if !settled || self.last == self.judged {
            return;
        }
        self.judged.clone_from(&self.last);
        let paths: Vec<_> = self.paths.iter().map(|path| path.display().to_string()).collect();
        let files = paths.join(", ");
        match self
            .judged
            .as_ref()
            .map_err(String::clone)
            .and_then(|texts| (self.parse)(texts))
        {
            Ok(new) => {
                *self.followed.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
                tracing::info!(files, "changed files were taken over");
            }
            Err(why) => tracing::error!(files, why, "changed files are wrong: what was there before stays"),
        }
    }
}

fn read(paths: &[PathBuf]) -> Reading {
    paths.iter().map(|path| bytes(path)).collect()
}

/// The bytes of a file that is not too long.
pub(crate) fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes =
        read().map_err(|error: std::io::Error| format!("`{}` cannot be read: {error}", path.display()))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("`{}` is longer than {MAX_BYTES} bytes", path.display()));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(texts: &[Vec<u8>]) -> Result<String, String> {
        let text = String::from_utf8(texts.concat()).unwrap();
        if text.contains("bad") {
            Err("it is bad".to_owned())
        } else {
            Ok(text)
        }
    }

    #[test]
    fn a_change_counts_when_two_readings_agree_and_what_is_wrong_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let paths = vec![folder.path().join("a"), folder.path().join("b")];
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let mut followers = Followers::default();
        assert!(
            followers
                .follow(paths.clone(), parse)
                .unwrap_err()
                .contains("cannot be read")
        );
        write("a", "1");
        write("b", "bad");
        assert_eq!(followers.follow(paths.clone(), parse).unwrap_err(), "it is bad");
        write("b", "1");
        let followed = followers.follow(paths, parse).unwrap();
        assert_eq!(*followed.now(), "11");

        write("a", "2");
        followers.look();
        assert_eq!(*followed.now(), "11");
        followers.look();
        assert_eq!(*followed.now(), "21");

        write("b", "bad");
        followers.look();
        followers.look();
        std::fs::remove_file(folder.path().join("b")).unwrap();
        followers.look();
        followers.look();
        assert_eq!(*followed.now(), "21");

        write("b", "3");
        followers.look();
        followers.look();
        assert_eq!(*followed.now(), "23");
    }

    #[test]
    fn a_file_is_read_to_its_bound() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), vec![b'a'; 1 << 20]).unwrap();
        assert_eq!(bytes(file.path()).unwrap().len(), 1 << 20);
        std::fs::write(file.path(), vec![b'a'; (1 << 20) + 1]).unwrap();
        assert!(
            bytes(file.path())
                .unwrap_err()
                .contains("longer than 1048576 bytes")
        );
    }
}
