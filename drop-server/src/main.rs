//! `drop-server`: receives Falco's alerts and drops the offending pods.

use std::process::ExitCode;

use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    drop_server::command::Command::parse().run().await
}
