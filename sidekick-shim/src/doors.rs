//! The doors of the front: the one for alerts, and one for probes where the other has TLS.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::accept::{CONNECTIONS, Door, PLAIN_CONNECTIONS, accept};
use crate::config::{Config, Mistake, Name};
use crate::credentials::Credentials;
use crate::follow::{Followed, Followers};
use crate::front::{BODY_DEADLINE, FULL_DELAY, Front};
use crate::gate::Gate;
use crate::tls;

/// How long requests that were there before the drain get: as long as the slowest that is answered needs.
const FRONT_GRACE: Duration = BODY_DEADLINE.saturating_add(FULL_DELAY);

/// What the doors need beside their listeners.
#[derive(Debug, Default)]
pub(crate) struct Doors {
    tls: Option<Arc<Followed<ServerConfig>>>,
    credentials: Option<Arc<Followed<Credentials>>>,
    /// The port for probes, and what is served there.
    pub(crate) plain: Option<TcpListener>,
    paths: Arc<[&'static str]>,
}

impl Doors {
    /// Reads the files of the doors; mistakes are noted.
    pub(crate) fn new(config: &Config, followers: &mut Followers, mistakes: &mut Vec<Mistake>) -> Self {
        let mut doors = Self::default();
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

    /// Serves until `drain` is cancelled, and the requests that are there then.
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
        let Some(listener) = self.plain else {
            return serve(main, alerts, front, drain).await;
        };
        let plain = Door {
            listener,
            most: PLAIN_CONNECTIONS,
            tls: None,
        };
        let probes = Gate {
            only: Some(self.paths),
            credentials: None,
        };
        let plain = serve(plain, probes, front.clone(), drain.clone());
        tokio::join!(serve(main, alerts, front, drain), plain);
    }
}

async fn serve(door: Door, gate: Gate, front: Front, drain: CancellationToken) {
    let service = service_fn(move |request| {
        let (gate, front) = (gate.clone(), front.clone());
        async move {
            Ok::<_, Infallible>(match gate.refuse(&request, &front.metrics) {
                Some(refusal) => refusal,
                None => front.answer(request).await,
            })
        }
    });
    accept(door, service, drain.cancelled(), FRONT_GRACE).await;
}
