//! The log: lines of JSON on standard error, as much of it as `RUST_LOG` says.

use anyhow::Context as _;
use drop_core::record::escape;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::command::Failure;

/// Lines that wait to be written; further ones are lost. Some KiB each at most: what an alert says is cut.
const WAITING: usize = 1_024;

/// Logs go to standard error as lines of JSON, so that nothing an alert says can forge one; records go to standard output.
///
/// A thread writes them until what this returns is gone: neither a reader that is slow nor a disk that is full may hold up
/// an act.
pub(crate) fn start() -> Result<WorkerGuard, Failure> {
    let levels = std::env::var_os(EnvFilter::DEFAULT_ENV).unwrap_or_default();
    let filter = filter(&levels.to_string_lossy()).map_err(Failure::Configuration)?;
    let (lines, written) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(WAITING)
        .finish(std::io::stderr());
    // Fails only where a subscriber is set already, and then that one is right.
    let _ = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter)
        .log_internal_errors(false)
        .with_writer(lines)
        .try_init();
    Ok(written)
}

/// A word alone has to be a level: what is taken for the name of a module would switch off all others.
fn filter(levels: &str) -> anyhow::Result<EnvFilter> {
    let is_target = |word: &str| !word.contains('=') && word.trim().parse::<LevelFilter>().is_err();
    let levels = if levels.trim().is_empty() { "info" } else { levels };
    let parsed = EnvFilter::builder().parse(levels);
    parsed
        .ok()
        .filter(|_| !levels.split(',').any(is_target))
        .with_context(|| {
            format!(
                "RUST_LOG is `{}`: expected a level (error, warn, info, debug, trace, off), or target=level,target=level",
                escape(levels)
            )
        })
}
