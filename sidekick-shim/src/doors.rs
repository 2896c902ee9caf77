//! The doors of the front: the one for alerts, one for probes where the other has TLS, and standard input.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use http::header::CONNECTION;
use hyper::service::service_fn;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::accept::{CONNECTIONS, Door, PLAIN_CONNECTIONS, accept};
use crate::config::{Config, Mistake, Name};
use crate::credentials::Credentials;
use crate::follow::{Followed, Followers};
use crate::front::{BODY_DEADLINE, Front, HangUp};
use crate::gate::Gate;
use crate::input::Input;
use crate::spool::{DELAY, Patience};
use crate::tls;

/// How long requests that were there before the drain get: as long as the slowest that is answered needs.
pub(crate) const FRONT_GRACE: Duration = BODY_DEADLINE.saturating_add(DELAY);

/// What the doors need beside their listeners.
#[derive(Debug, Default)]
pub(crate) struct Doors {
    tls: Option<Arc<Followed<ServerConfig>>>,
    credentials: Option<Arc<Followed<Credentials>>>,
    /// The port for probes.
    pub(crate) plain: Option<TcpListener>,
    /// What is served there.
    paths: Arc<[&'static str]>,
    /// Alerts that come as lines.
    pub(crate) input: Option<Input>,
    /// How long requests are answered after the drain began.
    linger: Duration,
}

impl Doors {
    /// Reads the files of the doors; mistakes are noted.
    pub(crate) fn new(config: &Config, followers: &mut Followers, mistakes: &mut Vec<Mistake>) -> Self {
        let mut doors = Self {
            linger: config.linger,
            ..Self::default()
        };
        let mut note = |name: &str, why: String| mistakes.push(Mistake::new(&Name::variable(name), why));
        if let Some(tls) = &config.tls {
            match tls::server(tls, followers) {
                Ok(tls) => doors.tls = Some(tls),
                Err(why) => note("TLSSERVER_DEPLOY", format!("cannot be done: {why}")),
            }
            doors.paths = tls.plain.iter().flat_map(|plain| plain.paths.clone()).collect();
        }
        if let Some(path) = &config.basic {
            match Credentials::follow(path.clone(), followers) {
                Ok(credentials) => doors.credentials = Some(credentials),
                Err(why) => note("SHIM_BASIC_FILE", format!("cannot be used: {why}")),
            }
        }
        doors
    }

    /// Serves until `drain` is cancelled and for a while longer, and the requests that are there then. A Service needs
    /// that while to learn that this pod ends: what it sends until then would be lost.
    pub(crate) async fn serve(self, listener: TcpListener, front: Front, drain: CancellationToken) {
        let main = Door {
            listener,
            most: CONNECTIONS,
            tls: self.tls,
        };
        let alerts = Gate {
            only: None,
            credentials: self.credentials,
        };
        let probes = Gate {
            only: Some(self.paths),
            credentials: None,
        };
        let plain = self.plain.map(|listener| Door {
            listener,
            most: PLAIN_CONNECTIONS,
            tls: None,
        });
        let linger = self.linger;
        let patience = Patience::default();
        let plain = plain.map(|door| serve(door, probes, front.clone(), &patience, drain.clone(), linger));
        let input = self.input.map(|input| input.take(front.clone(), drain.clone()));
        tokio::join!(
            serve(main, alerts, front, &patience, drain, linger),
            done(plain),
            done(input)
        );
    }
}

/// What is there, to its end.
async fn done(door: Option<impl Future<Output = ()>>) {
    if let Some(door) = door {
        door.await;
    }
}

async fn serve(
    door: Door,
    gate: Gate,
    front: Front,
    all: &Patience,
    drain: CancellationToken,
    linger: Duration,
) {
    let over = async {
        drain.cancelled().await;
        tokio::time::sleep(linger).await;
    };
    let service = |peer| {
        let all = (gate.clone(), front.clone(), drain.clone(), all.of(peer));
        let all = Arc::new(all);
        service_fn(move |request| {
            let all = Arc::clone(&all);
            async move {
                let (gate, front, drain, patience) = &*all;
                let mut answer = match gate.refuse(&request, &front.metrics) {
                    Some(refusal) => refusal,
                    None => front.answer(request, patience).await?,
                };
                if drain.is_cancelled() {
                    let close = HeaderValue::from_static("close");
                    answer.headers_mut().insert(CONNECTION, close);
                }
                Ok::<_, HangUp>(answer)
            }
        })
    };
    accept(door, service, over, FRONT_GRACE).await;
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::fixture;

    /// A spool with room for one alert of these tests.
    const ONE: usize = 88;

    async fn post_on_a_new_connection(address: std::net::SocketAddr) -> String {
        let body = fixture::text("a");
        let length = body.len();
        let request =
            format!("POST / HTTP/1.1\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_client_that_connects_for_every_alert_is_held_back_no_more_than_another() {
        let config = fixture::config(ONE);
        let metrics = Arc::new(crate::metrics::Metrics::new(&[]));
        let front = Front {
            intake: Arc::default(),
            spool: fixture::spool(&config, &metrics, ()),
            metrics,
            bodies: Arc::new(tokio::sync::Semaphore::new(crate::front::BODIES_BYTES)),
            texts: Arc::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let doors = Doors::default().serve(listener, front, CancellationToken::new());
        let alerts = async {
            let start = Instant::now();
            for _ in 0..5 {
                let answer = post_on_a_new_connection(address).await;
                assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            }
            start.elapsed()
        };
        let took = tokio::select! {
            took = alerts => took,
            () = doors => panic!("it ended"),
        };
        // Once, and not for each of those that found no room.
        assert!((DELAY..4 * DELAY).contains(&took), "{took:?}");
    }
}
