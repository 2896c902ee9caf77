//! The body of an answer that goes on, line by line.

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use kube::client::Body;

/// Bytes of a line that are waited for: an object is at most some 1.5 MiB, as etcd takes it.
const LONGEST: usize = 8 << 20;

/// Cuts a body into lines.
pub(crate) struct Lines {
    body: Body,
    read: BytesMut,
    /// How much of what was read has no end of line in it.
    searched: usize,
}

impl Lines {
    pub(crate) fn of(body: Body) -> Self {
        Self {
            body,
            read: BytesMut::new(),
            searched: 0,
        }
    }

    /// The next line without its end; none when the body ends, breaks off or has a line that is too long. Dropping
    /// the future loses nothing.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        loop {
            let end = self
                .read
                .iter()
                .skip(self.searched)
                .position(|byte| *byte == b'\n');
            if let Some(end) = end {
                let line = self.read.split_to(self.searched.saturating_add(end)).freeze();
                self.read.advance(1);
                self.searched = 0;
                return Some(line);
            }
            self.searched = self.read.len();
            if self.read.len() > LONGEST {
                return None;
            }
            let frame = self.body.frame().await?.ok()?;
            if let Ok(data) = frame.into_data() {
                self.read.extend_from_slice(&data);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(text: &str) -> Vec<String> {
        let mut lines = Lines::of(Body::from(text.as_bytes().to_vec()));
        let mut all = Vec::new();
        while let Some(line) = lines.next().await {
            all.push(String::from_utf8(line.to_vec()).unwrap());
        }
        all
    }

    #[tokio::test]
    async fn a_line_ends_at_its_end_and_half_a_line_is_none() {
        assert_eq!(lines("a\nbc\n\nd\n").await, ["a", "bc", "", "d"]);
        assert_eq!(lines("a\nhalf").await, ["a"]);
        assert_eq!(lines("").await, Vec::<String>::new());
    }
}
