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
    let shim = match Shim::new(config, ()) {
        Ok(shim) => shim,
        Err(mistakes) => return command::refuse(&mistakes),
    };
    match run(shim).await {
        Ok(ended) => ended.exit_code(),
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "cannot start");
            ExitCode::FAILURE
        }
    }
}

async fn run(shim: Shim) -> anyhow::Result<Ended> {
    let (drain, abort) = signals().context("cannot listen to signals")?;
    let config = shim.config();
    let listener = bind(&config.listen).await?;
    let plain = config.tls.as_ref().and_then(|tls| tls.plain.as_ref());
    let shim = match plain {
        None => shim,
        Some(plain) => {
            let plain = bind(&plain.listen).await?;
            shim.with_plain(plain)
        }
    };
    Ok(serve(listener, shim, drain, abort).await)
}

async fn bind(addresses: &[SocketAddr]) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(addresses).await;
    listener.with_context(|| format!("cannot listen on {addresses:?}"))
}
