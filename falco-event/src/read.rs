//! From a text to the one alert that it is, or that it starts with.

use crate::alert::Alert;
use crate::draft::Draft;
use crate::envelope::{Envelope, Flaw};
use crate::error::{Fault, ReadError};
use crate::json::{ALERT_LEVELS, Scanner};

/// Spans count 31 bits, and a text that is not UTF-8 grows to three times its length.
pub(crate) const MAX_LEN: usize = 512 << 20;

/// Reads the alert that starts `bytes`, and says how long it is.
///
/// What is JSON but no alert has a length too, so that what follows it can be read.
pub(crate) fn read_first(bytes: &[u8]) -> (usize, Result<Alert, Flaw>) {
    let mut scan = Scanner::new(bytes, ALERT_LEVELS);
    match Draft::read(&mut scan) {
        Err(syntax) => (0, Err(Flaw::syntax(bytes, syntax))),
        Ok(draft) => (
            scan.at(),
            Envelope::new(bytes.get(..scan.at()).unwrap_or_default(), draft).map(Alert::from),
        ),
    }
}

/// Where the text starts.
pub(crate) fn after_bom(body: &[u8]) -> usize {
    if body.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 }
}

pub(crate) fn read_one(body: &[u8]) -> Result<Alert, ReadError> {
    let refuse = |at, fault| Err(ReadError::new(body, at, fault));
    if body.len() > MAX_LEN {
        return refuse(0, Fault::TooLong);
    }
    let Some(start) = next_token(body, after_bom(body)) else {
        return refuse(body.len(), Fault::Empty);
    };
    let (length, read) = read_first(body.get(start..).unwrap_or_default());
    let alert = read.map_err(|flaw| ReadError::new(body, start + flaw.at, flaw.fault))?;
    match next_token(body, start + length) {
        Some(at) => refuse(at, Fault::Trailing),
        None => Ok(alert),
    }
}

/// Where the next thing that is not a blank stands.
pub(crate) fn next_token(body: &[u8], from: usize) -> Option<usize> {
    let mut scan = Scanner::new(body.get(from..).unwrap_or_default(), ALERT_LEVELS);
    scan.token().map(|_| from + scan.at())
}
