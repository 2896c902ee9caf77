//! `drop-server`: receives Falco's alerts and drops the offending pods.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    drop_server::command::run(std::env::args_os()).await
}
