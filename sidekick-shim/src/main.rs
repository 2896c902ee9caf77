//! Parse, bind, run, exit code; everything else is in the library.

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context;
use sidekick_shim::command::Told;
use sidekick_shim::{Config, Ended, Shim, command, serve, signals};
use tokio::net::TcpListener;
use tokio::runtime::Builder;

fn main() -> io::Result<ExitCode> {
    let Told { config, stdin } = match command::told() {
        Ok(told) => told,
        Err(code) => return Ok(code),
    };
    let _log = command::log(&config.log);
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let code = runtime.block_on(start(config, stdin));
    // What still looks up a sink's name, or reads a file on a mount that hangs, holds up no end.
    runtime.shutdown_background();
    Ok(code)
}

async fn start(config: Config, stdin: bool) -> ExitCode {
    let shim = match Shim::new(config, ()) {
        Ok(shim) => shim,
        Err(mistakes) => return command::refuse(&mistakes),
    };
    match run(shim, stdin).await {
        Ok(ended) => ended.exit_code(),
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "cannot start");
            ExitCode::FAILURE
        }
    }
}

async fn run(mut shim: Shim, stdin: bool) -> anyhow::Result<Ended> {
    let (drain, abort) = signals().context("cannot listen to signals")?;
    let config = shim.config();
    let listener = bind(&config.listen).await?;
    let plain = config.tls.as_ref().and_then(|tls| tls.plain.as_ref());
    if let Some(plain) = plain {
        let plain = bind(&plain.listen).await?;
        shim = shim.with_plain(plain);
    }
    if stdin {
        shim = shim
            .with_input(std::io::stdin())
            .context("cannot read standard input")?;
    }
    Ok(serve(listener, shim, drain, abort).await)
}

async fn bind(addresses: &[SocketAddr]) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(addresses).await;
    listener.with_context(|| format!("cannot listen on {addresses:?}"))
}
