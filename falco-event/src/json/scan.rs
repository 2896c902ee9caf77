//! A cursor over JSON text that finds the ends of values. The grammar is RFC 8259's, no more and no less.

use std::ops::Range;

/// What is not JSON: where, and what was expected there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Syntax {
    pub(crate) at: usize,
    pub(crate) expected: &'static str,
}

/// A string: the bytes between its quotes.
#[derive(Debug, Clone)]
pub(crate) struct Str {
    pub(crate) inside: Range<usize>,
    /// It has a backslash in it, so the bytes are not yet the text.
    pub(crate) escaped: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    /// How many more levels of arrays and objects may open.
    levels: u32,
}

impl<'a> Scanner<'a> {
    /// `levels` is how deep arrays and objects may nest.
    pub(crate) fn new(bytes: &'a [u8], levels: u32) -> Self {
        Self { bytes, at: 0, levels }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn slice(&self, range: Range<usize>) -> &'a [u8] {
        self.bytes.get(range).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn syntax(&self, expected: &'static str) -> Syntax {
        Syntax {
            at: self.at,
            expected,
        }
    }

    /// The next byte that is not a blank; the cursor stands on it.
    pub(crate) fn token(&mut self) -> Option<u8> {
        while let Some(byte) = self.peek() {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    /// Steps over `byte` if it is the next token.
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        // Nearly always there is no blank.
        let here = self.peek() == Some(byte) || self.token() == Some(byte);
        self.at += usize::from(here);
        here
    }

    /// Walks an object: `member` is called at each value, with the key, and must consume the value.
    pub(crate) fn object<E: From<Syntax>>(
        &mut self,
        mut member: impl FnMut(&mut Self, Str) -> Result<(), E>,
    ) -> Result<(), E> {
        self.open(b'{', "an object")?;
        if !self.take(b'}') {
            loop {
                let key = self.string("a member name in double quotes")?;
                if !self.take(b':') {
                    return Err(self.syntax("`:` after a member name").into());
                }
                member(self, key)?;
                if self.ends(b'}', "`,` or `}`")? {
                    break;
                }
            }
        }
        self.levels += 1;
        Ok(())
    }

    /// Walks an array: `item` is called at each value and must consume it.
    pub(crate) fn array<E: From<Syntax>>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        self.open(b'[', "an array")?;
        if !self.take(b']') {
            loop {
                item(self)?;
                if self.ends(b']', "`,` or `]`")? {
                    break;
                }
            }
        }
        self.levels += 1;
        Ok(())
    }

    /// Steps over what stands behind a value: the bracket that ends it all, or a comma.
    fn ends(&mut self, bracket: u8, expected: &'static str) -> Result<bool, Syntax> {
        let token = self.token();
        if token != Some(bracket) && token != Some(b',') {
            return Err(self.syntax(expected));
        }
        self.at += 1;
        Ok(token == Some(bracket))
    }

    fn open(&mut self, bracket: u8, expected: &'static str) -> Result<(), Syntax> {
        if !self.take(bracket) {
            return Err(self.syntax(expected));
        }
        match self.levels.checked_sub(1) {
            Some(levels) => self.levels = levels,
            None => {
                return Err(Syntax {
                    at: self.at - 1,
                    expected: "fewer levels of arrays and objects, at most 120 in an alert",
                });
            }
        }
        Ok(())
    }

    // Here and below: most of an alert is short strings, and a call for each would be a good part of the work.
    #[inline(always)]
    pub(crate) fn string(&mut self, expected: &'static str) -> Result<Str, Syntax> {
        if !self.take(b'"') {
            return Err(self.syntax(expected));
        }
        self.opened()
    }

    /// The string whose quote was stepped over.
    #[inline(always)]
    pub(crate) fn opened(&mut self) -> Result<Str, Syntax> {
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at += plain(self.bytes.get(self.at..).unwrap_or_default());
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Str {
                        inside: start..self.at - 1,
                        escaped,
                    });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => {
                    return Err(self.syntax("no control character inside a string, but an escape for it"));
                }
                None => return Err(self.syntax("the end of a string, `\"`")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Syntax> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') if self.four_hex_digits() => self.at += 6,
            Some(b'u') => return Err(self.syntax("four hex digits after `\\u`")),
            Some(_) | None => {
                return Err(self.syntax("one of the escapes `\\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u`"));
            }
        }
        Ok(())
    }

    fn four_hex_digits(&self) -> bool {
        self.bytes
            .get(self.at + 2..self.at + 6)
            .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    }

    pub(crate) fn number(&mut self) -> Result<Range<usize>, Syntax> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(start..self.at)
    }

    fn digits(&mut self) -> Result<(), Syntax> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start {
            Err(self.syntax("a digit"))
        } else {
            Ok(())
        }
    }

    pub(crate) fn literal(&mut self, word: &'static str) -> Result<(), Syntax> {
        let end = self.at + word.len();
        if self.bytes.get(self.at..end) != Some(word.as_bytes()) {
            return Err(self.syntax("a JSON value"));
        }
        self.at = end;
        Ok(())
    }

    /// Steps over a value of any kind and says where it stands.
    pub(crate) fn skip(&mut self) -> Result<Range<usize>, Syntax> {
        let token = self.token();
        let start = self.at;
        match token {
            Some(b'{') => self.object(|scan, _| scan.skip().map(|_| ()))?,
            Some(b'[') => self.array(|scan| scan.skip().map(|_| ()))?,
            Some(b'"') => self.string("a string").map(|_| ())?,
            Some(b't') => self.literal("true")?,
            Some(b'f') => self.literal("false")?,
            Some(b'n') => self.literal("null")?,
            Some(b'-' | b'0'..=b'9') => self.number().map(|_| ())?,
            Some(_) | None => return Err(self.syntax("a JSON value")),
        }
        Ok(start..self.at)
    }
}

/// How many bytes from the start are neither a quote, a backslash nor a control character. Most strings are short and
/// end in the first words. Long ones are stepped through in blocks, in which the compiler compares all bytes at once.
#[inline(always)]
pub(super) fn plain(bytes: &[u8]) -> usize {
    let Some(head) = bytes.first_chunk::<HEAD>() else {
        return plain_words(bytes);
    };
    let head = plain_words(head);
    if head < HEAD {
        return head;
    }
    let (blocks, _) = bytes.get(HEAD..).unwrap_or_default().as_chunks::<BLOCK>();
    let ends = |block: &[u8; BLOCK]| {
        block
            .iter()
            .fold(0, |ends, byte| ends | u8::from(ends_plain(*byte)))
    };
    let start = HEAD + blocks.iter().take_while(|block| ends(block) == 0).count() * BLOCK;
    start + plain_words(bytes.get(start..).unwrap_or_default())
}

const HEAD: usize = 24;
const BLOCK: usize = 32;

fn plain_words(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let stops = stops(u64::from_le_bytes(*word));
        if stops != 0 {
            return index * 8 + stops.trailing_zeros() as usize / 8;
        }
    }
    words.len() * 8
        + rest
            .iter()
            .position(|byte| ends_plain(*byte))
            .unwrap_or(rest.len())
}

/// Without short cuts, so that a block of these is a handful of vector instructions.
fn ends_plain(byte: u8) -> bool {
    (byte == b'"') | (byte == b'\\') | (byte < 0x20)
}

/// The high bit of the first byte of the word that ends a plain run is set, and none below it.
fn stops(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word;
    let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (below(word, 0x20) | equal(b'"') | equal(b'\\')) & (ONES << 7)
}
