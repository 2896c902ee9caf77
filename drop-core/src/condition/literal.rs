//! Values as written in a condition, read as the type of the field they stand beside.

use std::net::IpAddr;

use falco_event::Priority;
use ipnet::IpNet;

use super::kind::Kind;
use super::nearest::nearest;
use super::problem::Shown;

/// Why a text is no value of a type, and what is probably meant.
pub(crate) struct Unfit {
    pub(crate) why: String,
    pub(crate) expected: &'static str,
    pub(crate) nearest: Option<&'static str>,
}

impl Unfit {
    fn new(text: &str, is_no: &str, expected: &'static str) -> Self {
        Self {
            why: format!("{} is no {is_no}", Shown(text)),
            expected,
            nearest: None,
        }
    }
}

/// A whole number, in decimal: Falco refuses hexadecimal and fractions beside a field. `-1` of an unsigned type wraps.
pub(crate) fn whole(text: &str, signed: bool, bits: u8) -> Result<i128, Unfit> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let number = text
        .parse::<i128>()
        .ok()
        .filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let number = number.ok_or_else(|| Unfit::new(text, "whole number", "a whole number in decimal"))?;
    let all = 1_i128 << bits;
    let (low, high) = if signed {
        (-all / 2, all / 2 - 1)
    } else {
        (-all / 2, all - 1)
    };
    if !(low..=high).contains(&number) {
        let expected = if signed {
            "a number that the field can hold"
        } else {
            "0 or more, and a number that the field can hold"
        };
        return Err(Unfit {
            why: format!("{} does not fit the field's {bits} bits", Shown(text)),
            expected,
            nearest: None,
        });
    }
    Ok(if !signed && number < 0 {
        number + all
    } else {
        number
    })
}

pub(crate) fn boolean(text: &str) -> Result<bool, Unfit> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Unfit {
            nearest: nearest(text, ["true", "false"]),
            ..Unfit::new(text, "truth value", "`true` or `false`")
        }),
    }
}

pub(crate) fn port(text: &str) -> Result<i128, Unfit> {
    if text.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+') {
        return whole(text, false, 16);
    }
    let found = SERVICES.iter().find(|(name, _)| *name == text);
    found.map(|(_, port)| i128::from(*port)).ok_or_else(|| {
        let unfit = Unfit::new(
            text,
            "port",
            "a number from 0 to 65535, or the name of a well-known service",
        );
        Unfit {
            nearest: nearest(text, SERVICES.iter().map(|(name, _)| *name)),
            ..unfit
        }
    })
}

/// Names of ports that `/etc/services` commonly has. The file itself is not read: a policy means the same everywhere.
const SERVICES: &[(&str, u16)] = &[
    ("domain", 53),
    ("ftp", 21),
    ("ftp-data", 20),
    ("gopher", 70),
    ("http", 80),
    ("http-alt", 8080),
    ("https", 443),
    ("imap", 143),
    ("imaps", 993),
    ("ircd", 6667),
    ("kerberos", 88),
    ("ldap", 389),
    ("ldaps", 636),
    ("ms-sql-s", 1433),
    ("mysql", 3306),
    ("nfs", 2049),
    ("ntp", 123),
    ("pop3", 110),
    ("pop3s", 995),
    ("postgresql", 5432),
    ("rdp", 3389),
    ("redis", 6379),
    ("smtp", 25),
    ("snmp", 161),
    ("socks", 1080),
    ("ssh", 22),
    ("submission", 587),
    ("syslog", 514),
    ("telnet", 23),
    ("tftp", 69),
];

/// With a dot it is IPv4, else IPv6, as Falco decides.
pub(crate) fn address(text: &str) -> Result<IpAddr, Unfit> {
    let parsed = if text.contains('.') {
        text.parse().map(IpAddr::V4)
    } else {
        text.parse().map(IpAddr::V6)
    };
    let expected = if text.contains('/') {
        "one address; networks go with `fd.snet`, `fd.cnet`, `fd.lnet`, `fd.rnet` or `fd.net`"
    } else {
        "an IPv4 or IPv6 address"
    };
    parsed.map_err(|_| Unfit::new(text, "IP address", expected))
}

pub(crate) fn network(text: &str) -> Result<IpNet, Unfit> {
    let unfit = || {
        Unfit::new(
            text,
            "network",
            "an address, `/` and the length of the prefix (IPv4: 0 to 32, IPv6: 1 to 128)",
        )
    };
    let network: IpNet = text.parse().map_err(|_| unfit())?;
    match network {
        IpNet::V6(network) if network.prefix_len() == 0 => Err(unfit()),
        IpNet::V4(_) | IpNet::V6(_) => Ok(network.trunc()),
    }
}

pub(crate) fn priority(text: &str) -> Result<Priority, Unfit> {
    text.parse().map_err(|_| Unfit {
        nearest: nearest(text, Priority::ALL.iter().map(|priority| priority.as_str())),
        ..Unfit::new(
            text,
            "priority",
            "`Emergency`, `Alert`, `Critical`, `Error`, `Warning`, `Notice`, `Informational` or `Debug`",
        )
    })
}

/// A text, which in Falco ends at a NUL: none may be in it, but where it stands for bytes.
pub(crate) fn text(text: &str, kind: Kind) -> Result<Box<str>, Unfit> {
    if text.contains('\0') && kind != Kind::Buffer {
        return Err(Unfit::new(text, "text", "no NUL: Falco's texts end at it"));
    }
    Ok(text.into())
}
