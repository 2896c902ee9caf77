//! What the program does around [`serve`](crate::serve): command line, log, exit code.

mod dead_letters;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgAction, Parser};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Config, File, Mistakes};
use crate::serve::{Ended, mistake_of_spool, mistakes_of_files};
use dead_letters::Action;

/// `EX_USAGE` of sysexits.h: the command line or the configuration cannot be used.
const USAGE: u8 = 64;

/// Receives the HTTP output of Falco and sends its alerts on as CloudEvents.
#[derive(Debug, Parser)]
#[command(version, disable_version_flag = true, args_conflicts_with_subcommands = true, after_help = concat!("The configuration is in the environment and in a file:\n", include_str!("environment.txt")))]
struct Arguments {
    /// A file with settings, YAML as falcosidekick's. The environment wins over it.
    #[arg(short, long, value_name = "FILE")]
    config_file: Option<PathBuf>,
    /// Also takes alerts from standard input, one a line; its end is the end of the program.
    #[arg(long)]
    stdin: bool,
    /// Print version.
    #[arg(short = 'V', visible_short_alias = 'v', long, action = ArgAction::Version)]
    version: Option<bool>,
    #[command(subcommand)]
    action: Option<Action>,
}

/// What the program is to do.
#[derive(Debug)]
pub struct Told {
    /// The configuration.
    pub config: Config,
    /// Whether alerts come from standard input too.
    pub stdin: bool,
}

/// Reads the command line, the environment and the file.
///
/// # Errors
/// The exit code to end with, after what there was to say is said: 64 for a mistake, 0 after `--help` and `--version`;
/// and the one of a command that was carried out.
pub fn told() -> Result<Told, ExitCode> {
    let arguments = Arguments::try_parse().map_err(|error| {
        let _ = error.print();
        if error.use_stderr() {
            ExitCode::from(USAGE)
        } else {
            ExitCode::SUCCESS
        }
    })?;
    if let Some(action) = arguments.action {
        return Err(match action.run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => {
                say(&why);
                ExitCode::FAILURE
            }
        });
    }
    let name = arguments
        .config_file
        .map(|path| path.display().to_string())
        .unwrap_or_default();
    let text = if name.is_empty() {
        String::new()
    } else {
        std::fs::read_to_string(&name).map_err(|error| {
            say(&format!("`{name}` cannot be read: {error}"));
            ExitCode::from(USAGE)
        })?
    };
    // A value that is not UTF-8 is read as far as it goes and then refused, instead of counting as not set.
    let lookup = |name: &str| Some(std::env::var_os(name)?.to_string_lossy().into_owned());
    let file = File {
        name: &name,
        text: &text,
    };
    // An empty one counts as not set.
    let set = std::env::vars_os().filter(|(_, value)| !value.to_string_lossy().trim().is_empty());
    let names = set.map(|(name, _)| name.to_string_lossy().into_owned());
    let (config, mut mistakes) = Config::read_all(lookup, Some(file));
    mistakes.extend(Config::slips(names));
    // Where there are none so far they are found when the files are read to be used.
    if !mistakes.is_empty() {
        let is_known = !mistakes
            .iter()
            .any(|mistake| mistake.may_mean(&["spool", "durability"]));
        mistakes.extend(mistakes_of_files(&config));
        mistakes.extend(mistake_of_spool(&config).filter(|_| is_known));
    }
    let config = Mistakes::or(mistakes, config).map_err(|mistakes| refuse(&mistakes))?;
    Ok(Told {
        config,
        stdin: arguments.stdin,
    })
}

/// Says what is wrong with a configuration, one mistake a line; the exit code to end with.
#[must_use]
pub fn refuse(mistakes: &Mistakes) -> ExitCode {
    for mistake in mistakes.iter() {
        say(&mistake.to_string());
    }
    ExitCode::from(USAGE)
}

fn say(text: &str) {
    let _ = writeln!(io::stderr(), "sidekick-shim: {text}");
}

/// Lines of the log that wait to be written; further ones are lost.
const WAITING: usize = 1_024;

/// The log. When it is dropped, what waits is written, as far as someone takes it.
#[derive(Debug)]
pub struct Log {
    _written: WorkerGuard,
}

/// Writes the log as JSON lines to standard error, in a thread: a reader that is slow holds up no alert.
#[must_use]
pub fn log(levels: &Targets) -> Log {
    let (lines, written) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(WAITING)
        .finish(io::stderr());
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .log_internal_errors(false)
        .with_writer(lines);
    // A second subscriber is refused, and the first goes on.
    let _ = tracing_subscriber::registry()
        .with(lines)
        .with(levels.clone())
        .try_init();
    Log { _written: written }
}

impl Ended {
    /// 0 if every accepted alert was delivered, was given up with a reason or waits in the spool, 1 if some are lost or a
    /// part of the shim failed.
    #[must_use]
    pub fn exit_code(self) -> ExitCode {
        if self.lost == 0 && !self.failed {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}
