//! What a person does with dead letters, while a shim runs or not.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use falco_event::Timestamp;
use serde_json::json;
use serde_json::value::RawValue;

use crate::config::SPOOL;
use crate::spool::dead::{DeadLetter, DeadLetters};
use crate::spool::folder;

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// Has every dead letter sent again: at once if a shim runs, else by the next one.
    Requeue(Place),
    /// Shows the dead letters, one a line, as JSON.
    DeadLetters(Place),
}

#[derive(Debug, Args)]
pub(super) struct Place {
    /// The folder of the spool.
    #[arg(long, env = "SHIM_SPOOL", value_name = "FOLDER", default_value = SPOOL)]
    spool: PathBuf,
}

impl Action {
    /// # Errors
    /// Why it could not be done.
    pub(super) fn run(&self) -> Result<(), String> {
        match self {
            Self::Requeue(place) => {
                let count = place.open()?.map_or(Ok(0), |letters| letters.requeue());
                let count = count.map_err(|error| place.cannot(&error))?;
                say(&format!("{count} dead letters are to be sent again"))
            }
            Self::DeadLetters(place) => {
                let Some(letters) = place.open()? else {
                    return Ok(());
                };
                show(&letters, place, say)
            }
        }
    }
}

impl Place {
    /// The dead letters, if there ever was one.
    fn open(&self) -> Result<Option<DeadLetters>, String> {
        let path = folder::dead(&self.spool);
        if !self.spool.is_dir() {
            return Err(format!("`{}` is no folder", self.spool.display()));
        }
        if !path.exists() {
            return Ok(None);
        }
        let letters = DeadLetters::open(Some(Path::new(&path)));
        letters.map(Some).map_err(|error| self.cannot(&error))
    }

    fn cannot(&self, error: &dyn std::error::Error) -> String {
        format!("`{}` cannot be used: {error}", self.spool.display())
    }
}

fn show(
    letters: &DeadLetters,
    place: &Place,
    mut say: impl FnMut(&str) -> Result<(), String>,
) -> Result<(), String> {
    let mut last = 0;
    loop {
        let some = letters.after(last).map_err(|error| place.cannot(&error))?;
        if some.is_empty() {
            return Ok(());
        }
        for (number, letter) in some {
            say(&line(&letter))?;
            last = number;
        }
    }
}

fn line(letter: &DeadLetter) -> String {
    let time = |micros| {
        Timestamp::from_microsecond(micros)
            .unwrap_or_default()
            .to_string()
    };
    let text: Cow<'_, str> = String::from_utf8_lossy(&letter.data);
    // As it is written where it can be; a line break between members would break the line.
    let alert = serde_json::from_str::<Box<RawValue>>(&text)
        .ok()
        .filter(|alert| !alert.get().contains(['\n', '\r', '\t']))
        .map_or_else(|| json!(text).to_string(), |alert| alert.get().to_owned());
    let about = json!({
        "sink": letter.sink,
        "id": letter.id,
        "received": time(letter.received),
        "refused": time(letter.refused),
        "answer": letter.answer,
    });
    let about = about.to_string();
    let about = about.trim_end_matches('}');
    printable(&format!("{about},\"alert\":{alert}}}"))
}

/// The same JSON, with everything escaped that is not printable: what is in an alert can be the attacker's, and must not
/// drive a terminal. On one line, only strings have such characters.
fn printable(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        if matches!(c, '"' | '\'' | '\\') || c.escape_debug().len() == 1 {
            shown.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a String does not fail.
            let _ = write!(shown, "\\u{unit:04x}");
        }
    }
    shown
}

fn say(line: &str) -> Result<(), String> {
    writeln!(io::stdout(), "{line}").map_err(|error| format!("cannot write to standard output: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(id: &str, data: &str) -> DeadLetter {
        DeadLetter {
            sink: "sink".to_owned(),
            received: 0,
            refused: 0,
            answer: "status 400".to_owned(),
            id: id.to_owned(),
            data: data.as_bytes().to_vec(),
        }
    }

    #[test]
    fn what_would_drive_a_terminal_is_shown_escaped_and_means_the_same() {
        let tricky = "\u{7f} \u{9b}31m \u{202e} \u{2066} \u{200b} \u{feff} \u{2028} \u{e0041}";
        let cases = [
            json!({ "output": format!("caf\u{e9} \u{1f680} it's \\ {tricky}") }),
            json!({ tricky: [tricky, "\u{1b}[2J\n"] }),
        ];
        for alert in cases {
            for data in [
                alert.to_string(),
                format!("\t{alert}\n"),
                format!("{{\t\"a\": {alert}}}"),
            ] {
                let line = line(&letter("id", &data));
                assert!(
                    line.chars()
                        .all(|c| c == '\\' || c == '"' || c == '\'' || c.escape_debug().len() == 1),
                    "{line}"
                );
                let shown: serde_json::Value = serde_json::from_str(&line).unwrap();
                let whole = serde_json::from_str(&data).unwrap();
                let as_text = serde_json::Value::from(data);
                assert!([whole, as_text].contains(&shown["alert"]), "{line}");
            }
        }
        let plain = "{ \"output\":\"caf\u{e9} \u{1f680} it's \\\\\" , \"n\":1e400}";
        assert!(line(&letter("id", plain)).ends_with(&format!(",\"alert\":{plain}}}")));
        let broken = line(&letter("\u{202e}", "\u{9b}not json"));
        assert!(
            broken.contains("\\u202e") && broken.ends_with("\"alert\":\"\\u009bnot json\"}"),
            "{broken}"
        );
    }

    #[test]
    fn a_shim_can_write_while_they_are_shown() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place {
            spool: folder.path().to_owned(),
        };
        let mut shims = DeadLetters::open(Some(&folder::dead(&place.spool))).unwrap();
        for number in 0..100 {
            shims.add(&letter(&number.to_string(), "{}")).unwrap();
        }
        let mut shown = 0;
        let letters = place.open().unwrap().unwrap();
        show(&letters, &place, |_| {
            shown += 1;
            shims
                .remove(shown, &letter("", "{}"))
                .map_err(|error| error.to_string())
        })
        .unwrap();
        assert_eq!(shown, 100);
    }
}
