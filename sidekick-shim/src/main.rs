//! Parse, bind, run, exit code; everything else is in the library.

use std::process::ExitCode;

use anyhow::Context;
use sidekick_shim::{Config, Ended, Shim, command, serve, signals};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> ExitCode {
    let config = match command::configuration() {
        Ok(config) => config,
        Err(code) => return code,
    };
    command::log(&config.log);
    match run(config).await {
        Ok(ended) => ended.exit_code(),
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "cannot start");
            ExitCode::FAILURE
        }
    }
}

async fn run(config: Config) -> anyhow::Result<Ended> {
    let (drain, abort) = signals().context("cannot listen to signals")?;
    let listener = TcpListener::bind(config.listen.as_slice()).await;
    let listener = listener.with_context(|| format!("cannot listen on {:?}", config.listen))?;
    let shim = Shim::new(config, ())?;
    Ok(serve(listener, shim, drain, abort).await)
}
