//! What Falco's field tables say of a field beside its type, where it is not the ordinary.

use std::collections::HashMap;
use std::sync::LazyLock;

/// The fields with something out of the ordinary, a line each: the name and letters.
///
/// From the tables of Falco's libraries (0.44) and plugins: `r` the argument is required, `L` only on the left side,
/// `T` takes no transformer, `a` without an argument it stands for every index, `2` and `4` bytes wide, `B` bytes,
/// `N` an address that is compared with networks, `P` a port, `?` of no fixed type.
const TABLE: &str = include_str!("traits.txt");

static TRAITS: LazyLock<HashMap<&'static str, &'static str>> =
    LazyLock::new(|| TABLE.lines().filter_map(|line| line.split_once(' ')).collect());

/// The letters of a field.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traits(&'static str);

impl Traits {
    /// Of a field by its name without the argument; `evt.arg.flags` has those of `evt.arg`.
    pub(crate) fn of(name: &str) -> Self {
        let dotted = ["evt.arg.", "evt.rawarg."]
            .iter()
            .find(|base| name.starts_with(**base));
        let name = dotted.map_or(name, |base| base.trim_end_matches('.'));
        Self(TRAITS.get(name).copied().unwrap_or_default())
    }

    pub(crate) fn has(self, letter: char) -> bool {
        self.0.contains(letter)
    }
}

/// The ends of a connection that Falco's fields for either end stand for. No alert carries these fields, but those of the ends.
pub(crate) fn ends(name: &str) -> Option<&'static [&'static str]> {
    Some(match name {
        "fd.ip" | "fd.net" => &["fd.cip", "fd.sip", "fd.lip", "fd.rip"],
        "fd.cnet" => &["fd.cip"],
        "fd.snet" => &["fd.sip"],
        "fd.lnet" => &["fd.lip"],
        "fd.rnet" => &["fd.rip"],
        "fd.port" | "fd.proto" => &["fd.cport", "fd.sport", "fd.lport", "fd.rport"],
        _ => return None,
    })
}
