//! What follows from a sink's answer: pure functions of the answer, the number of tries and a random number.

use std::time::{Duration, SystemTime};

use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};

/// The pause before the second try; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause between two tries. A pod under attack waits for this alert:
/// a sink that comes back is noticed within seconds, however long it was away.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The longest `Retry-After` that is obeyed. A sink may know better than the schedule when it is worth coming back,
/// but not put an alert off until it is too old to act on.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(30);

/// What becomes of an alert after an answer of the sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The sink has it.
    Done,
    /// The sink may take it later.
    Again,
    /// The sink does not want this alert, now or later.
    Dead,
    /// The sink wants no alert from this sender as it is configured.
    Pause,
}

/// What a status says about trying again: Knative's delivery contract, with 425 as RFC 8470 means it.
///
/// A status above 599 counts as a 5xx (RFC 9110, section 15). 404 is tried again because a Broker answers it until it is
/// programmed. Only what the event itself can be the reason for ends it. Whatever else is left, such as 401, 405 and a
/// redirect (the sink's URL is used exactly as it was configured), would be the answer to every event.
pub(crate) fn verdict(status: StatusCode) -> Verdict {
    match status.as_u16() {
        200..=299 => Verdict::Done,
        404 | 408 | 409 | 425 | 429 | 500.. => Verdict::Again,
        400 | 413 | 415 | 422 | 431 => Verdict::Dead,
        _ => Verdict::Pause,
    }
}

/// The pause before the next try, after `tries` tries: doubling from 100 ms to 5 s, of which `jitter` (0 to 1) spreads the
/// upper half, so that the alerts of one outage do not come back at one moment. Never shorter than what the sink asked for.
pub(crate) fn pause(tries: u32, jitter: f64, asked: Option<Duration>) -> Duration {
    let doublings = tries.saturating_sub(1).min(16);
    let whole = FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE);
    let spread = whole.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0));
    spread.max(asked.unwrap_or_default().min(LONGEST_RETRY_AFTER))
}

/// The `Retry-After` of an answer, as seconds or as a date; anything else counts as not given.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_a_verdict() {
        let codes = |expected| -> Vec<u16> {
            (100..=999)
                .filter(|code| verdict(StatusCode::from_u16(*code).unwrap()) == expected)
                .collect()
        };
        assert_eq!(codes(Verdict::Done), Vec::from_iter(200..=299));
        let again: Vec<_> = [404, 408, 409, 425, 429].into_iter().chain(500..=999).collect();
        assert_eq!(codes(Verdict::Again), again);
        assert_eq!(codes(Verdict::Dead), [400, 413, 415, 422, 431]);
        assert_eq!(codes(Verdict::Pause).len(), 900 - 100 - again.len() - 5);
    }

    #[test]
    fn pauses_double_to_the_longest_and_stay_there() {
        let millis: Vec<_> = [0, 1, 2, 3, 4, 5, 6, 7, 8, u32::MAX]
            .map(|tries| pause(tries, 1.0, None).as_millis())
            .into();
        assert_eq!(millis, [100, 100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
    }

    #[test]
    fn jitter_spreads_the_upper_half_of_a_pause() {
        assert_eq!(pause(7, 0.0, None), Duration::from_millis(2500));
        assert_eq!(pause(7, 0.5, None), Duration::from_millis(3750));
        assert_eq!(pause(7, 9.0, None), Duration::from_secs(5));
    }

    #[test]
    fn the_sinks_own_wish_is_a_lower_bound_up_to_its_limit() {
        let asked = |seconds| pause(1, 1.0, Some(Duration::from_secs(seconds)));
        assert_eq!(asked(0), Duration::from_millis(100));
        assert_eq!(asked(7), Duration::from_secs(7));
        assert_eq!(asked(u64::MAX), LONGEST_RETRY_AFTER);
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_date() {
        let now = httpdate::parse_http_date("Tue, 02 Jun 2026 10:00:00 GMT").unwrap();
        let cases = [
            ("7", Some(7)),
            (" 7 ", Some(7)),
            ("Tue, 02 Jun 2026 10:00:09 GMT", Some(9)),
            ("Tue, 02 Jun 2026 09:00:00 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
            ("99999999999999999999999", None),
        ];
        for (text, seconds) in cases {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            assert_eq!(
                retry_after(&headers, now),
                seconds.map(Duration::from_secs),
                "{text}"
            );
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
