//! The values of variables: text in, the value or what was expected out.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use falco_event::Priority;
use http::{HeaderName, HeaderValue, Uri};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tracing_subscriber::filter::{LevelFilter, Targets};

/// The longest duration that is taken: a day. A longer one is a mistake of the unit.
const DAY: Duration = Duration::from_hours(24);

/// A value, or what was expected in its place.
pub(crate) type Parsed<T> = Result<T, String>;

pub(crate) fn ip(text: &str) -> Parsed<IpAddr> {
    text.parse().map_err(|_| "an IP address, not a name".to_owned())
}

pub(crate) fn port(text: &str) -> Parsed<u16> {
    text.parse()
        .map_err(|_| "a port: a number from 0 to 65535".to_owned())
}

pub(crate) fn number(text: &str, least: usize, most: usize) -> Parsed<usize> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("a number from {least} to {most}"))
}

/// As Go's `strconv.ParseBool` reads it, which falcosidekick uses.
pub(crate) fn truth(text: &str) -> Parsed<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("true or false".to_owned()),
    }
}

/// The least urgent priority that passes.
pub(crate) fn priority(text: &str) -> Parsed<Priority> {
    let names: Vec<_> = Priority::ALL
        .iter()
        .map(|one| one.as_str().to_lowercase())
        .collect();
    text.parse()
        .map_err(|_| format!("one of {}, in any case", names.join(", ")))
}

/// A percentage, with or without its sign.
pub(crate) fn percent(text: &str) -> Parsed<u8> {
    let number = text.trim_end_matches('%').parse().ok();
    number
        .filter(|number| (1..=100).contains(number))
        .ok_or_else(|| "a percentage from 1% to 100%".to_owned())
}

/// A header that requests get besides their own.
pub(crate) fn header(name: &str, value: &str) -> Parsed<(HeaderName, HeaderValue)> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| "the name of a header".to_owned())?;
    if OWN_HEADERS.contains(&name.as_str()) {
        return Err("a header that the shim does not set itself".to_owned());
    }
    let mut value =
        HeaderValue::from_str(value).map_err(|_| "a value without control characters".to_owned())?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// What the shim or the protocol says, and a configuration cannot.
const OWN_HEADERS: [&str; 8] = [
    "host",
    "content-type",
    "content-length",
    "transfer-encoding",
    "connection",
    "expect",
    "te",
    "upgrade",
];

/// A number directly followed by `ms`, `s`, `m` or `h`; more than nothing and at most a day.
pub(crate) fn duration(text: &str) -> Parsed<Duration> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => 0,
    };
    let number: Option<u64> = text.strip_suffix(unit).and_then(|number| number.parse().ok());
    let duration = number
        .and_then(|number| number.checked_mul(millis))
        .map(Duration::from_millis);
    let fits = duration.filter(|duration| (Duration::from_millis(1)..=DAY).contains(duration));
    fits.ok_or_else(|| "a duration from 1ms to 24h: a number and ms, s, m or h, such as 10s".to_owned())
}

/// An absolute `http` or `https` URL. Credentials and a fragment would not be sent, so neither is taken.
pub(crate) fn url(text: &str) -> Parsed<Uri> {
    let expected = || "an absolute URL, http://... or https://...".to_owned();
    let url = Uri::from_str(text).map_err(|_| expected())?;
    let host = url.host().is_some_and(|host| !host.is_empty());
    if !matches!(url.scheme_str(), Some("http" | "https")) || !host {
        return Err(expected());
    }
    if url
        .authority()
        .is_some_and(|authority| authority.as_str().contains('@'))
    {
        return Err("a URL without credentials: they are not sent".to_owned());
    }
    let behind_host = |uri: &Uri| -> Option<String> {
        let (authority, host) = (uri.authority()?, uri.host()?);
        authority.as_str().strip_prefix(host).map(str::to_owned)
    };
    // `http` takes what is no port for none.
    if behind_host(&url).is_none_or(|port| !port.is_empty() && !is_port(&port)) {
        return Err("a URL whose port is a number from 1 to 65535".to_owned());
    }
    if text.contains('#') {
        return Err("a URL without a fragment".to_owned());
    }
    Ok(url)
}

/// With its colon.
fn is_port(text: &str) -> bool {
    let digits = text
        .strip_prefix(':')
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits
        .and_then(|digits| digits.parse::<u16>().ok())
        .is_some_and(|port| port > 0)
}

/// At least one certificate as PEM text, each of which can be trusted.
pub(crate) fn certificates(text: &str) -> Parsed<Vec<CertificateDer<'static>>> {
    let expected = || "certificates as PEM text, not a path".to_owned();
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| expected())?;
    let mut roots = RootCertStore::empty();
    let usable = certificates
        .iter()
        .all(|certificate| roots.add(certificate.clone()).is_ok());
    if usable && !certificates.is_empty() {
        Ok(certificates)
    } else {
        Err(expected())
    }
}

/// A word alone has to be a level: what is taken for the name of a module would switch off all others.
pub(crate) fn targets(text: &str) -> Parsed<Targets> {
    let is_target = |word: &str| !word.contains('=') && word.trim().parse::<LevelFilter>().is_err();
    let targets = text.parse().ok();
    targets
        .filter(|_| !text.split(',').any(is_target))
        .ok_or_else(|| {
            "a log level (error, warn, info, debug, trace, off), or target=level,target=level".to_owned()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_level_that_is_none_is_not_taken_for_a_module() {
        for text in ["debug", "INFO", "sidekick_shim=debug", "warn,hyper=off"] {
            assert!(targets(text).is_ok(), "{text}");
        }
        for text in ["debg", "warn,sidekick_shim", "sidekick_shim=loud"] {
            assert!(targets(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_have_a_unit_and_a_limit() {
        let cases = [
            ("250ms", Some(250)),
            ("10s", Some(10_000)),
            ("6m", Some(360_000)),
            ("24h", Some(86_400_000)),
            ("25h", None),
            ("0s", None),
            ("10", None),
            ("s", None),
            ("-1s", None),
            ("1.5s", None),
            ("1 s", None),
            ("99999999999999999999s", None),
            ("1\u{e9}", None),
        ];
        for (text, millis) in cases {
            assert_eq!(duration(text).ok(), millis.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn urls_are_taken_as_they_are_or_not_at_all() {
        let good = [
            "http://broker/ns/default",
            "https://sink:8443",
            "http://[::1]:80/?a=b",
            "HTTP://broker",
        ];
        for text in good {
            assert!(url(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "broker",
            "/path",
            "nats://broker",
            "http://",
            "http:///path",
            "http://u:p@a/",
            "http://a b",
            "http://a/#b",
            "http://a:99999/",
            "http://a:80x/",
            "http://a:/",
            "http://a:0/",
            "http://[::1]x:9/",
            "http://[::1]:70000/",
        ] {
            assert!(url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn certificates_are_pem_text_and_at_least_one() {
        let own = rcgen::generate_simple_self_signed(["sink".to_owned()])
            .unwrap()
            .cert
            .pem();
        assert_eq!(certificates(&format!("{own}{own}")).unwrap().len(), 2);
        for text in [
            "",
            "/etc/certs/ca.crt",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            assert!(certificates(text).is_err(), "{text}");
        }
    }
}
