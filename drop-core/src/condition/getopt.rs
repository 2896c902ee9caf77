//! Short options as `getopt(3)` reads them, with the answers of Falco's transformer.

/// What an option string allows.
pub(crate) struct Options<'a>(&'a str);

impl<'a> Options<'a> {
    /// `nt:` allows `-n` and `-t value`. A `:` in front changes nothing that can be seen here.
    pub(crate) fn new(text: &'a str) -> Self {
        Self(text.strip_prefix(':').unwrap_or(text))
    }

    /// Whether the option is allowed, and whether it takes a value.
    fn takes_value(&self, option: char) -> Option<bool> {
        let (_, after) = self.0.split_once(option).filter(|_| option != ':')?;
        Some(after.starts_with(':'))
    }
}

/// Calls `found` for each option in order: its letter (`?` for one that is not allowed) and its value, if it takes one.
/// A value that is not there is none of its own: Falco answers with the empty text in place of both.
pub(crate) fn read<'t>(args: &[&'t str], options: &Options<'_>, mut found: impl FnMut(Found<'t>)) {
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.strip_prefix('-') {
            Some("-" | "") | None => return,
            Some(long) if long.starts_with('-') => {}
            Some(cluster) => {
                if let Some(wants) = read_cluster(cluster, options, &mut found) {
                    found(
                        args.next()
                            .map_or(Found::NoValue(wants), |value| Found::Value(wants, value)),
                    );
                }
            }
        }
    }
}

/// One option of a command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found<'t> {
    /// Not allowed.
    Unknown,
    /// Takes no value.
    Alone(&'t str),
    /// Takes a value, which is there.
    Value(&'t str, &'t str),
    /// Takes a value, which is not there.
    NoValue(&'t str),
}

/// Reads `-ntvalue` without its dash; returns the option whose value is the next argument.
fn read_cluster<'t>(
    cluster: &'t str,
    options: &Options<'_>,
    found: &mut impl FnMut(Found<'t>),
) -> Option<&'t str> {
    let mut rest = cluster;
    while let Some(option) = rest.chars().next() {
        let (letter, after) = rest.split_at_checked(option.len_utf8())?;
        match options.takes_value(option) {
            None => found(Found::Unknown),
            Some(false) => found(Found::Alone(letter)),
            Some(true) if after.is_empty() => return Some(letter),
            Some(true) => {
                found(Found::Value(letter, after));
                return None;
            }
        }
        rest = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(args: &[&str], options: &str) -> String {
        let mut out = Vec::new();
        read(args, &Options::new(options), |found| {
            out.push(match found {
                Found::Unknown => "?".to_owned(),
                Found::Alone(letter) => letter.to_owned(),
                Found::Value(letter, value) => format!("{letter}={value}"),
                Found::NoValue(letter) => format!("{letter}!"),
            });
        });
        out.join(" ")
    }

    #[test]
    fn options_are_read_as_getopt_does() {
        let cases: [(&[&str], &str, &str); 10] = [
            (&["-n", ""], "n", "n"),
            (&["-nt", "hello"], "nt:", "n t=hello"),
            (&["-x", "-n"], "n", "? n"),
            (&["arg", "-n"], "n", ""),
            (&["-"], "n", ""),
            (&["-t"], ":t:", "t!"),
            (&["-n", "--", "-n"], "n", "n"),
            (&["--exec", "-n"], "n", "n"),
            (&["-abcvalue"], "abc:", "a b c=value"),
            (&["-t", "v1", "-t"], "t:", "t=v1 t!"),
        ];
        for (args, options, want) in cases {
            assert_eq!(all(args, options), want, "{args:?} {options}");
        }
    }
}
