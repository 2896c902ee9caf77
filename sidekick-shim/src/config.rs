//! The configuration: a pure function of a lookup of environment variables.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use falco_event::cloudevents::Overrides;
use http::Uri;
use rustls::pki_types::CertificateDer;
use tracing_subscriber::filter::Targets;

use crate::front::BODY_BYTES;
use crate::mistake::Mistakes;
use crate::parse;
use crate::variables::Variables;

/// Falcosidekick's port.
const PORT: u16 = 2801;

/// More than five minutes of an outage at 60 alerts/s; an empty place costs nothing.
const QUEUE_ALERTS: usize = 20_000;

/// 32 MiB: room for alerts three times as large as Falco's usual ones. Full with 20,000 of 1 KiB the process has 47 MiB.
const QUEUE_BYTES: usize = 32 * 1024 * 1024;

/// A drop-server that needs longer for one alert says so itself with a status that asks for another try.
const SEND_DEADLINE: Duration = Duration::from_secs(10);

/// A minute more than drop-server acts on an alert by default (`maxAlertAge: 5m`): its last word, that the alert
/// is too old, is heard and recorded instead of being cut off.
const RETRY_FOR: Duration = Duration::from_mins(6);

/// Leaves a third of Kubernetes' 30 s between SIGTERM and SIGKILL.
const DRAIN_DEADLINE: Duration = Duration::from_secs(20);

/// How much the queue holds. An alert that is being sent or waits for its next try is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The number of alerts.
    pub alerts: usize,
    /// Their bytes together, as Falco sent them.
    pub bytes: usize,
}

/// What the shim runs with. One that exists is usable: see [`Config::from_lookup`] for the variables.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where to listen; the first that can be bound counts.
    pub listen: Vec<SocketAddr>,
    /// The URL that events are posted to, exactly.
    pub sink: Uri,
    /// Extensions that every event gets, over those that the alert gives it.
    pub overrides: Overrides,
    /// Certificate authorities that an `https` sink is trusted by, besides the system's.
    pub ca_certs: Vec<CertificateDer<'static>>,
    /// The bounds of the queue.
    pub queue: Bounds,
    /// How long one try to deliver an event may take.
    pub send_deadline: Duration,
    /// How old an alert, counted from its acceptance, may be when a further try starts. The first is always made.
    pub retry_for: Duration,
    /// How long the shim goes on after the signal to end.
    pub drain_deadline: Duration,
    /// Which log lines are written.
    pub log: Targets,
    /// What a person should know about this configuration although it is usable: for the log.
    pub notes: Vec<String>,
}

impl Config {
    /// The defaults, with this sink.
    ///
    /// # Errors
    /// It is not an absolute `http` or `https` URL.
    pub fn to_sink(url: &str) -> Result<Self, Mistakes> {
        Self::from_lookup(|name| (name == "K_SINK").then(|| url.to_owned()))
    }

    /// The configuration that the variables found by `lookup` describe. An empty variable counts as not set,
    /// since Helm charts set them so.
    ///
    #[doc = concat!("```text\n", include_str!("environment.txt"), "```")]
    ///
    /// # Errors
    /// Every mistake at once, each with the variable's name, its value and what was expected.
    ///
    /// ```
    /// let config = sidekick_shim::Config::from_lookup(|name| match name {
    ///     "K_SINK" => Some("http://broker-ingress.knative-eventing.svc/default/default".to_owned()),
    ///     _ => None,
    /// })?;
    /// assert_eq!(config.sink.path(), "/default/default");
    ///
    /// let mistakes = sidekick_shim::Config::from_lookup(|_| Some("?".to_owned())).unwrap_err();
    /// assert!(mistakes.to_string().contains("`LISTENPORT` is `?`, expected a port: a number from 0 to 65535"));
    /// # Ok::<(), sidekick_shim::Mistakes>(())
    /// ```
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Mistakes> {
        let mut variables = Variables::new(&lookup);
        let address = variables.optional("LISTENADDRESS", parse::ip);
        let port = variables.or("LISTENPORT", PORT, parse::port);
        let sink = variables.sink();
        let overrides = variables.overrides();
        let ca_certs = variables
            .optional("K_CA_CERTS", parse::certificates)
            .unwrap_or_default();
        let queue = Bounds {
            alerts: variables.or("SHIM_QUEUE_ALERTS", QUEUE_ALERTS, |text| {
                parse::number(text, 1, 10_000_000)
            }),
            bytes: variables.or("SHIM_QUEUE_BYTES", QUEUE_BYTES, |text| {
                parse::number(text, BODY_BYTES, 1 << 30)
            }),
        };
        let send_deadline = variables.or("SHIM_SEND_DEADLINE", SEND_DEADLINE, parse::duration);
        let retry_for = variables.or("SHIM_RETRY_FOR", RETRY_FOR, parse::duration);
        let drain_deadline = variables.or("SHIM_DRAIN_DEADLINE", DRAIN_DEADLINE, parse::duration);
        let log = variables.or(
            "RUST_LOG",
            Targets::new().with_default(tracing::Level::INFO),
            parse::targets,
        );
        let (sink, notes) = variables.end(sink)?;
        let listen = listen(address, port);
        Ok(Self {
            listen,
            sink,
            overrides,
            ca_certs,
            queue,
            send_deadline,
            retry_for,
            drain_deadline,
            log,
            notes,
        })
    }
}

/// All addresses means IPv6 and IPv4 on one socket, as Go's `:2801` does, or IPv4 alone where the system has no IPv6.
fn listen(address: Option<IpAddr>, port: u16) -> Vec<SocketAddr> {
    let all = [
        IpAddr::from(Ipv6Addr::UNSPECIFIED),
        IpAddr::from(Ipv4Addr::UNSPECIFIED),
    ];
    let addresses = address.map_or_else(|| all.to_vec(), |address| vec![address]);
    addresses
        .into_iter()
        .map(|address| SocketAddr::new(address, port))
        .collect()
}
