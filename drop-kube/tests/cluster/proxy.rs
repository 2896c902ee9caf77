//! An API server that can be frozen and cut off: a TCP proxy in front of the real one.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use kube::{Client, Config};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::fixture::{Real, kubeconfig};
use crate::storm::survives;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs FALCO_DROP_TEST_KUBECONFIG"]
async fn a_storm_survives_an_api_server_that_freezes_and_goes() {
    let real = Arc::new(Real::connect("storm").await);
    let running = Arc::clone(&real);
    let end = tokio::spawn(async move { storm(&running).await }).await;
    real.remove_all().await;
    end.unwrap();
}

async fn storm(real: &Real) {
    let read = kube::config::Kubeconfig::read_from(kubeconfig().kubeconfig.unwrap()).unwrap();
    let config = Config::from_custom_kubeconfig(read, &Default::default())
        .await
        .unwrap();
    let proxy = Proxy::start(&config).await;
    let client = || Client::try_from(proxy.through(config.clone())).unwrap();
    let weather = async {
        for way in [Way::Frozen, Way::Open, Way::Cut, Way::Open, Way::Frozen] {
            proxy.set(way);
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
        proxy.set(Way::Open);
    };
    survives(real, [client(), client()], weather).await;
}

/// What the way to the API server is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Open,
    /// Nothing passes, and no connection ends.
    Frozen,
    /// Every connection ends, and none is made.
    Cut,
}

pub(crate) struct Proxy {
    address: SocketAddr,
    way: watch::Sender<Way>,
    accepting: AbortHandle,
}

impl Proxy {
    /// In front of the server that this configuration names.
    pub(crate) async fn start(config: &Config) -> Self {
        let (host, port) = (
            config.cluster_url.host().unwrap().to_owned(),
            config.cluster_url.port_u16().unwrap_or(443),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let way = watch::Sender::new(Way::Open);
        let seen = way.subscribe();
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(pass(stream, (host.clone(), port), seen.clone()));
            }
        });
        Self {
            address,
            way,
            accepting: accepting.abort_handle(),
        }
    }

    pub(crate) fn set(&self, way: Way) {
        self.way.send_replace(way);
    }

    /// The same configuration, by way of this.
    pub(crate) fn through(&self, mut config: Config) -> Config {
        config
            .tls_server_name
            .get_or_insert(config.cluster_url.host().unwrap().to_owned());
        config.cluster_url = format!("https://{}", self.address).parse().unwrap();
        config.default_retry = false;
        config
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn pass(mut client: TcpStream, server: (String, u16), mut way: watch::Receiver<Way>) {
    let Ok(mut server) = TcpStream::connect((server.0.as_str(), server.1)).await else {
        return;
    };
    // While all is frozen it is not polled, and so keeps what it has read.
    let mut copying = pin!(copy_bidirectional(&mut client, &mut server));
    loop {
        let now = *way.borrow_and_update();
        match now {
            Way::Cut => return,
            Way::Frozen => {
                if way.changed().await.is_err() {
                    return;
                }
            }
            Way::Open => tokio::select! {
                _ = &mut copying => return,
                changed = way.changed() => if changed.is_err() { return },
            },
        }
    }
}
