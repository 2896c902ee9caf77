//! What the program does around [`serve`](crate::serve): command line, log, exit code.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::Config;
use crate::serve::Ended;

/// `EX_USAGE` of sysexits.h: the command line or the configuration cannot be used.
const USAGE: u8 = 64;

/// Receives the HTTP output of Falco and sends its alerts on as CloudEvents.
#[derive(Debug, Parser)]
#[command(version, after_help = concat!("The configuration is in the environment:\n", include_str!("environment.txt")))]
struct Arguments {}

/// Reads the command line and the environment.
///
/// # Errors
/// The exit code to end with, after what there was to say is on standard error: 64 for a mistake, 0 after `--help`
/// and `--version`.
pub fn configuration() -> Result<Config, ExitCode> {
    if let Err(error) = Arguments::try_parse() {
        let _ = error.print();
        return Err(if error.use_stderr() {
            ExitCode::from(USAGE)
        } else {
            ExitCode::SUCCESS
        });
    }
    // A value that is not UTF-8 is read as far as it goes and then refused, instead of counting as not set.
    let lookup = |name: &str| Some(std::env::var_os(name)?.to_string_lossy().into_owned());
    Config::from_lookup(lookup).map_err(|mistakes| {
        for mistake in mistakes.iter() {
            let _ = writeln!(io::stderr(), "sidekick-shim: {mistake}");
        }
        ExitCode::from(USAGE)
    })
}

/// Writes the log as JSON lines to standard error.
pub fn log(levels: &Targets) {
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_writer(io::stderr);
    // A second subscriber is refused, and the first goes on.
    let _ = tracing_subscriber::registry()
        .with(lines)
        .with(levels.clone())
        .try_init();
}

impl Ended {
    /// 0 if every accepted alert was delivered or given up with a reason, 1 if some were left unsent.
    #[must_use]
    pub fn exit_code(self) -> ExitCode {
        if self.unsent == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}
