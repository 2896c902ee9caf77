//! Parse, bind, run, exit code; everything else is in the library.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context;
use sidekick_shim::{Ended, Shim, command, serve, signals};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> ExitCode {
    let config = match command::configuration() {
        Ok(config) => config,
        Err(code) => return code,
    };
    command::log(&config.log);
    let listen = config.listen.clone();
    let shim = match Shim::new(config, ()) {
        Ok(shim) => shim,
        Err(mistakes) => return command::refuse(&mistakes),
    };
    match run(&listen, shim).await {
        Ok(ended) => ended.exit_code(),
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "cannot start");
            ExitCode::FAILURE
        }
    }
}

async fn run(listen: &[SocketAddr], shim: Shim) -> anyhow::Result<Ended> {
    let (drain, abort) = signals().context("cannot listen to signals")?;
    let listener = TcpListener::bind(listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {listen:?}"))?;
    Ok(serve(listener, shim, drain, abort).await)
}
