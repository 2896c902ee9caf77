//! What a person does with dead letters, while a shim runs or not.

use std::borrow::Cow;
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
                let mut shown = Ok(());
                letters
                    .each(|letter| {
                        if shown.is_ok() {
                            shown = say(&line(&letter));
                        }
                    })
                    .map_err(|error| place.cannot(&error))?;
                shown
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

fn line(letter: &DeadLetter) -> String {
    let time = |micros| {
        Timestamp::from_microsecond(micros)
            .unwrap_or_default()
            .to_string()
    };
    let text: Cow<'_, str> = String::from_utf8_lossy(&letter.data);
    // Byte for byte where it can be; a line break between members would break the line.
    let alert = serde_json::from_str::<Box<RawValue>>(&text)
        .ok()
        .filter(|alert| !alert.get().contains(['\n', '\r']))
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
    format!("{about},\"alert\":{alert}}}")
}

fn say(line: &str) -> Result<(), String> {
    writeln!(io::stdout(), "{line}").map_err(|error| format!("cannot write to standard output: {error}"))
}
