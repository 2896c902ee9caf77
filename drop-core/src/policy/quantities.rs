//! Durations, shares and Kubernetes names as a policy writes them.

use std::time::Duration;

use crate::condition::Shown;

use super::model::MinAvailable;

/// The longest duration that is taken, as good as for ever.
const LONGEST: Duration = Duration::from_hours(24 * 366);

/// A duration: numbers with units, `1h30m`, `500ms`; longer than nothing, and at most 366 days.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let unfit = || format!("{} is no duration", Shown(text));
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at_checked(digits).ok_or_else(unfit)?;
        let number: u64 = number.parse().map_err(|_| unfit())?;
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at_checked(letters).ok_or_else(unfit)?;
        total = total
            .checked_add(span(number, unit).ok_or_else(unfit)?)
            .ok_or_else(unfit)?;
        rest = after;
    }
    if total > LONGEST {
        return Err(format!("{} is longer than 366 days", Shown(text)));
    }
    if total.is_zero() { Err(unfit()) } else { Ok(total) }
}

fn span(number: u64, unit: &str) -> Option<Duration> {
    let seconds = match unit {
        "ms" => return Some(Duration::from_millis(number)),
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

/// A duration as it is written.
pub(crate) fn written(duration: Duration) -> String {
    let millis = duration.subsec_millis();
    let mut seconds = duration.as_secs();
    let mut text = String::new();
    for (unit, length) in [("h", 3_600), ("m", 60), ("s", 1)] {
        if seconds >= length {
            text += &format!("{}{unit}", seconds / length);
            seconds %= length;
        }
    }
    if millis > 0 {
        text + &format!("{millis}ms")
    } else {
        text
    }
}

/// `50%` or a number of pods.
pub(crate) fn min_available(text: &str) -> Result<MinAvailable, String> {
    let unfit = || format!("{} is no share and no number of pods", Shown(text));
    match text.strip_suffix('%') {
        Some(percent) => percent
            .parse()
            .ok()
            .filter(|percent| *percent <= 100)
            .map(MinAvailable::Percent),
        None => text.parse().ok().map(MinAvailable::Pods),
    }
    .filter(|_| text.starts_with(|c: char| c.is_ascii_digit()))
    .ok_or_else(unfit)
}

/// A DNS-1123 label, as Kubernetes names most things.
pub(crate) fn label_name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let ends = !text.starts_with('-') && !text.ends_with('-');
    if text.is_empty() || text.len() > 63 || !ends || !text.chars().all(fits) {
        return Err(format!("{} cannot be a name", Shown(text)));
    }
    Ok(text.to_owned())
}

/// The key of a label or annotation: `name` or `prefix/name`.
pub(crate) fn qualified_key(text: &str) -> Result<String, String> {
    let unfit = || format!("{} cannot be the key of a label", Shown(text));
    let (prefix, name) = text
        .split_once('/')
        .map_or((None, text), |(prefix, name)| (Some(prefix), name));
    let prefixed = prefix
        .is_none_or(|prefix| prefix.len() <= 253 && prefix.split('.').all(|part| label_name(part).is_ok()));
    if prefixed && !name.is_empty() && is_label(name) {
        Ok(text.to_owned())
    } else {
        Err(unfit())
    }
}

/// The value of a label: up to 63 letters, digits, `-`, `_`, `.`, letters or digits at its ends.
pub(crate) fn label_value(text: &str) -> Result<String, String> {
    if is_label(text) {
        Ok(text.to_owned())
    } else {
        Err(format!("{} cannot be the value of a label", Shown(text)))
    }
}

fn is_label(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let end = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    text.len() <= 63 && text.chars().all(fits) && end(text.chars().next()) && end(text.chars().last())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_duration_is_so_long_that_a_sum_of_some_overflows() {
        assert!(duration("366d").is_ok());
        for long in ["367d", "18446744073709551615s"] {
            let why = duration(long).unwrap_err();
            assert_eq!(why, format!("`{long}` is longer than 366 days"));
        }
    }

    #[test]
    fn durations_are_read_and_written() {
        for (text, millis, again) in [
            ("5m", 300_000, "5m"),
            ("1h30m", 5_400_000, "1h30m"),
            ("500ms", 500, "500ms"),
            ("90s", 90_000, "1m30s"),
            ("1d", 86_400_000, "24h"),
        ] {
            let read = duration(text).unwrap();
            assert_eq!(read, Duration::from_millis(millis), "{text}");
            assert_eq!(written(read), again);
        }
        for text in [
            "",
            "5",
            "m",
            "5 m",
            "-5m",
            "0s",
            "5M",
            "1.5h",
            "99999999999999999999s",
            "5m3",
            "18446744073709551615d",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shares_are_read() {
        assert_eq!(min_available("50%"), Ok(MinAvailable::Percent(50)));
        assert_eq!(min_available("2"), Ok(MinAvailable::Pods(2)));
        for text in ["", "%", "101%", "-1", "+1", "50 %", "1.5"] {
            assert!(min_available(text).is_err(), "{text}");
        }
    }

    #[test]
    fn keys_and_values_of_labels_are_those_of_kubernetes() {
        for good in ["security", "falco-drop.dev/protect", "a.b/c_d"] {
            assert!(qualified_key(good).is_ok(), "{good}");
        }
        for bad in ["", "/a", "a/", "A_/b", "a b", "-a", "a/b/c"] {
            assert!(qualified_key(bad).is_err(), "{bad}");
        }
        assert!(label_value("").is_ok() && label_value("Hit_1.x").is_ok());
        assert!(label_value("-").is_err() && label_value(&"a".repeat(64)).is_err());
    }
}
