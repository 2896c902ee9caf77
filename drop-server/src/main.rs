//! `drop-server`: receives Falco's alerts and drops the offending pods.

use std::process::ExitCode;

fn main() -> std::io::Result<ExitCode> {
    let runtime = tokio::runtime::Runtime::new()?;
    let code = runtime.block_on(drop_server::command::run(std::env::args_os()));
    // What still looks up a name, or reads a file on a mount that hangs, holds up no end.
    runtime.shutdown_background();
    Ok(code)
}
