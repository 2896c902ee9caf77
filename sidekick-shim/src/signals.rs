//! The signals that end the program.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Two futures of SIGTERM and SIGINT: the first is ready at the first signal of either kind (drain), the second at the
/// second (abort). From the call on, neither signal kills the program.
///
/// # Errors
/// The signals cannot be listened to.
pub fn signals() -> io::Result<(impl Future<Output = ()> + use<>, impl Future<Output = ()> + use<>)> {
    let mut both = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
    let (drain, abort) = (CancellationToken::new(), CancellationToken::new());
    let ends = (drain.clone().cancelled_owned(), abort.clone().cancelled_owned());
    tokio::spawn(async move {
        for token in [drain, abort] {
            next(&mut both).await;
            token.cancel();
        }
    });
    Ok(ends)
}

async fn next([terminate, interrupt]: &mut [Signal; 2]) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
