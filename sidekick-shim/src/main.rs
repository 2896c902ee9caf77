//! Parse, bind, run, exit code; everything else is in the library.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context;
use sidekick_shim::command::Told;
use sidekick_shim::{Ended, Shim, command, serve, signals};
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Told { config, stdin } = match command::told() {
        Ok(told) => told,
        Err(code) => return code,
    };
    command::log(&config.log);
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
