//! The configuration: a pure function of a lookup of environment variables and the text of a file.

mod extensions;
mod file;
mod keys;
mod labels;
mod mistake;
mod parse;
mod settings;
mod sinks;
mod spool;
mod yaml;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use falco_event::cloudevents::{KEY_ID, Overrides, SIGNATURE};
use rustls::pki_types::CertificateDer;
use tracing_subscriber::filter::Targets;

use crate::edits::Edits;
use crate::events::Label;
use crate::template::Template;
use file::Contents;
use settings::{Settings, parsed};

pub use file::File;
pub(crate) use mistake::Name;
pub use mistake::{Mistake, Mistakes};
pub use sinks::{Format, Identity, Sink, Token};
pub(crate) use spool::SPOOL;
pub use spool::{Durability, Spool, WhenFull};

/// Falcosidekick's port.
const PORT: u16 = 2801;

/// Falcosidekick's port for what is served without TLS.
const PLAIN_PORT: u16 = 2810;

/// What may be served without TLS and credentials beside a port with them: it takes no alert.
pub(crate) const PLAIN_PATHS: [&str; 4] = ["/ping", "/healthz", "/readyz", "/metrics"];

/// What drop-server takes, and a Kafka broker by default.
const EVENT_BYTES: usize = 1024 * 1024;

/// A Service goes on sending for some seconds to a pod that is told to end.
const LINGER: Duration = Duration::from_secs(5);

/// A drop-server that needs longer for one alert says so itself with a status that asks for another try.
const SEND_DEADLINE: Duration = Duration::from_secs(10);

/// An outage over night costs nothing. What is too old to act on, its receiver says: the alert carries when it came.
const RETRY_FOR: Duration = Duration::from_hours(24);

/// Leaves a third of Kubernetes' 30 s between SIGTERM and SIGKILL.
const DRAIN_DEADLINE: Duration = Duration::from_secs(20);

/// TLS at the front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontTls {
    /// The shim's certificate and key.
    pub identity: Identity,
    /// The authorities of which a client has to show a certificate, if it has to show one.
    pub client_ca: Option<PathBuf>,
    /// What else is served without TLS, if anything.
    pub plain: Option<Plain>,
}

/// A port without TLS for probes and scrapers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plain {
    /// Where to listen; the first that can be bound counts.
    pub listen: Vec<SocketAddr>,
    /// The paths served there.
    pub paths: Vec<&'static str>,
}

/// What the shim runs with. One that exists is usable: see [`Config::read`] for the settings.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where to listen; the first that can be bound counts.
    pub listen: Vec<SocketAddr>,
    /// TLS at the front, if it has it.
    pub tls: Option<FrontTls>,
    /// The file of the credentials that a sender of alerts has to show, if it has to show some.
    pub basic: Option<PathBuf>,
    /// Where alerts go; at least one, and the first is the one that matters most.
    pub sinks: Vec<Sink>,
    /// Extensions that every event gets, over those that the alert gives it.
    pub overrides: Overrides,
    /// Certificate authorities that an `https` sink is trusted by, besides the system's.
    pub ca_certs: Vec<CertificateDer<'static>>,
    /// The file of the keys that events are signed with, if they are.
    pub signing_keys: Option<PathBuf>,
    pub(crate) edits: Edits,
    /// Output fields that are labels of falcosidekick's count of alerts.
    pub(crate) labels: Vec<Label>,
    /// Where alerts wait.
    pub spool: Spool,
    /// The largest request to a sink, in bytes. What is larger becomes a dead letter.
    pub event_bytes: usize,
    /// How long one try to deliver an event may take.
    pub send_deadline: Duration,
    /// How old an alert, counted from its acceptance, may be when a further try starts. The first is always made.
    pub retry_for: Duration,
    /// How long requests are answered after the signal to end.
    pub linger: Duration,
    /// How long the shim goes on after the signal to end.
    pub drain_deadline: Duration,
    /// Which log lines are written.
    pub log: Targets,
    /// What a person should know about this configuration although it is usable: for the log.
    pub notes: Vec<String>,
}

impl Config {
    /// The defaults, with this sink and no disk: alerts wait in memory.
    ///
    /// # Errors
    /// It is not an absolute `http` or `https` URL.
    pub fn to_sink(url: &str) -> Result<Self, Mistakes> {
        Self::from_lookup(|name| match name {
            "CLOUDEVENTS_ADDRESS" => Some(url.to_owned()),
            "SHIM_DURABILITY" => Some("memory".to_owned()),
            _ => None,
        })
    }

    /// The configuration that the variables found by `lookup` describe; see [`Config::read`].
    ///
    /// # Errors
    /// Every mistake at once.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Mistakes> {
        Self::read(lookup, None)
    }

    /// Of these variables those that are none, and nearly have the name of one: a slip that was passed over in silence would
    /// leave open what was to be closed.
    pub(crate) fn slips(variables: impl Iterator<Item = String>) -> impl Iterator<Item = Mistake> {
        variables.filter_map(|name| {
            let meant = keys::meant(&name)?;
            Some(Mistake::slip(&Name::variable(&name), "variable", &meant))
        })
    }

    /// The configuration that the variables found by `lookup` and a file describe. A variable wins over the file, and an
    /// empty one counts as not set, since Helm charts set them so.
    ///
    #[doc = concat!("```text\n", include_str!("environment.txt"), "```")]
    ///
    /// In a file the key of a variable is its name with a section's name and a dot in place of the first underscore,
    /// such as `cloudevents.address` and `shim.retry_for`; case and further underscores do not count.
    ///
    /// # Errors
    /// Every mistake at once, each with the setting's name, its value and what was expected.
    ///
    /// ```
    /// use sidekick_shim::{Config, File};
    ///
    /// let config = Config::from_lookup(|name| match name {
    ///     "K_SINK" => Some("http://broker-ingress.knative-eventing.svc/default/default".to_owned()),
    ///     _ => None,
    /// })?;
    /// assert_eq!(config.sinks[0].url.path(), "/default/default");
    ///
    /// let file = File { name: "sidekick.yaml", text: "cloudevents:\n  address: http://broker\nlistenport: http" };
    /// let mistakes = Config::read(|_| None, Some(file)).unwrap_err();
    /// assert_eq!(
    ///     mistakes.to_string(),
    ///     "sidekick.yaml:3:13: `listenport` is `http`, expected a port: a number from 0 to 65535"
    /// );
    /// # Ok::<(), sidekick_shim::Mistakes>(())
    /// ```
    pub fn read(lookup: impl Fn(&str) -> Option<String>, file: Option<File<'_>>) -> Result<Self, Mistakes> {
        let (config, mistakes) = Self::read_all(lookup, file);
        Mistakes::or(mistakes, config)
    }

    /// The same, with defaults in the place of what is a mistake.
    pub(crate) fn read_all(
        lookup: impl Fn(&str) -> Option<String>,
        file: Option<File<'_>>,
    ) -> (Self, Vec<Mistake>) {
        let file = file.map(Contents::read).unwrap_or_default();
        let mut settings = Settings::new(&lookup, file);
        let address = settings.optional("listenaddress", parse::ip);
        let port = settings.or("listenport", PORT, parse::port);
        let tls = tls(&mut settings, address);
        let basic = path(&mut settings, "shim.basic_file");
        if basic.is_some() && tls.is_none() {
            let note = "`SHIM_BASIC_FILE` is set and `TLSSERVER_DEPLOY` is not: passwords come over the network in clear";
            settings.notes.push(note.to_owned());
        }
        let sinks = sinks::sinks(&mut settings);
        let overrides = overrides(&mut settings);
        let ca_certs = settings
            .optional("K_CA_CERTS", parse::certificates)
            .unwrap_or_default();
        let edits = edits(&mut settings, &lookup);
        let config = Self {
            listen: listen(address, port),
            tls,
            basic,
            sinks,
            ca_certs,
            signing_keys: signing_keys(&mut settings, &overrides),
            overrides,
            labels: labels::labels(&mut settings, &edits),
            edits,
            spool: Spool::read(&mut settings),
            event_bytes: settings.or("shim.event_bytes", EVENT_BYTES, |text| {
                parse::number(text, 1024, 1 << 30)
            }),
            send_deadline: settings.or("shim.send_deadline", SEND_DEADLINE, parse::duration),
            retry_for: settings.or("shim.retry_for", RETRY_FOR, parse::duration),
            linger: settings.or("shim.linger", LINGER, parse::duration),
            drain_deadline: settings.or("shim.drain_deadline", DRAIN_DEADLINE, parse::duration),
            log: log(&mut settings),
            notes: std::mem::take(&mut settings.notes),
        };
        (config, settings.mistakes)
    }
}

/// The file of keys. What a signature says is not to be said by anything else.
fn signing_keys(settings: &mut Settings<'_>, overrides: &Overrides) -> Option<PathBuf> {
    let path = path(settings, "shim.signing_keys")?;
    let taken = overrides
        .iter()
        .find(|(name, _)| [KEY_ID, SIGNATURE].contains(name));
    if let Some((name, _)) = taken {
        let what = format!("is set, and so is an extension `{name}`, which belongs to the signature");
        settings
            .mistakes
            .push(Mistake::new(&Name::variable("SHIM_SIGNING_KEYS"), what));
    }
    Some(path)
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

fn path(settings: &mut Settings<'_>, key: &str) -> Option<PathBuf> {
    settings.text(key).map(|(_, path)| path.into())
}

fn tls(settings: &mut Settings<'_>, address: Option<IpAddr>) -> Option<FrontTls> {
    let deploy = settings.is_true("tlsserver.deploy");
    let mut file = |key, default: &str| path(settings, key).unwrap_or_else(|| default.into());
    let identity = Identity {
        cert: file("tlsserver.certfile", "/etc/certs/server/server.crt"),
        key: file("tlsserver.keyfile", "/etc/certs/server/server.key"),
    };
    let client_ca = file("tlsserver.cacertfile", "/etc/certs/server/ca.crt");
    let client_ca = settings.is_true("tlsserver.mutualtls").then_some(client_ca);
    let port = settings.or("tlsserver.notlsport", PLAIN_PORT, parse::port);
    let mut paths = Vec::new();
    for entry in settings.list("tlsserver.notlspaths") {
        let known = parsed(&entry.name, &entry.value, plain_path);
        paths.extend(settings.take(known));
    }
    if !deploy && (client_ca.is_some() || !paths.is_empty()) {
        let note = "keys of `tlsserver` have no effect: `TLSSERVER_DEPLOY` is not true";
        settings.notes.push(note.to_owned());
    }
    deploy.then(|| FrontTls {
        identity,
        client_ca,
        plain: (!paths.is_empty()).then(|| Plain {
            listen: listen(address, port),
            paths,
        }),
    })
}

fn plain_path(text: &str) -> parse::Parsed<&'static str> {
    let known = PLAIN_PATHS.into_iter().find(|path| *path == text);
    known.ok_or_else(|| {
        format!(
            "one of {}: alerts are not taken without TLS",
            PLAIN_PATHS.join(", ")
        )
    })
}

/// As falcosidekick's Helm chart spells it.
const SINGULAR: &str = "cloudevents.extension";

/// The extensions of all ways to name them; Knative's win.
fn overrides(settings: &mut Settings<'_>) -> Overrides {
    let key = settings.first_of(["cloudevents.extensions", SINGULAR]);
    if key == Some(SINGULAR) {
        let name = Name::variable(&keys::variable(SINGULAR));
        settings.corrects(&name, "counts; falcosidekick does not read it");
    }
    let mut overrides = Overrides::default();
    for entry in key.map(|key| settings.pairs(key)).unwrap_or_default() {
        let shown = format!("{}:{}", entry.key, entry.value);
        let one = parsed(&entry.name, &shown, |_| extensions::one(&entry.key, &entry.value));
        if let Some(one) = settings.take(one) {
            overrides = extensions::merged(&overrides, &one);
        }
    }
    if let Some(knative) = settings.optional("K_CE_OVERRIDES", extensions::json) {
        overrides = extensions::merged(&overrides, &knative);
    }
    overrides
}

fn edits(settings: &mut Settings<'_>, lookup: &dyn Fn(&str) -> Option<String>) -> Edits {
    let mut edits = Edits::default();
    for entry in settings.pairs("customfields") {
        let value = match entry.value.strip_prefix('%') {
            None => Ok(entry.value.clone()),
            Some(name) => parsed(&entry.name, &entry.value, |_| {
                let set = lookup(name).filter(|value| !value.is_empty());
                set.ok_or("the name of a variable that is set, after the `%`")
            }),
        };
        if entry.name.place.is_some()
            && let Some(variable) = entry.value.strip_prefix('%')
        {
            let what = format!("is the value of `{variable}`; falcosidekick sends `%{variable}`");
            settings.corrects(&entry.name, &what);
        }
        if let Some(value) = settings.take(value) {
            note_capitals(settings, &entry.name, &entry.key);
            edits.fields.push((entry.key, value));
        }
    }
    for entry in settings.pairs("templatedfields") {
        let template = parsed(&entry.name, &entry.value, Template::parse);
        if let Some(template) = settings.take(template) {
            note_capitals(settings, &entry.name, &entry.key);
            edits.templates.push((entry.key, template));
        }
    }
    if lookup("CUSTOMTAGS").is_some_and(|tags| tags.is_empty()) {
        let name = Name::variable("CUSTOMTAGS");
        settings.corrects(&name, "is empty and adds no tag; falcosidekick adds an empty one");
    }
    for entry in settings.list("customtags") {
        if entry.value.contains(char::is_whitespace) {
            let what = format!(
                "keeps the blanks of `{}`; falcosidekick takes them out",
                entry.value
            );
            settings.corrects(&entry.name, &what);
        }
        edits.tags.extend(Some(entry.value).filter(|tag| !tag.is_empty()));
    }
    edits.brackets = settings.text("bracketreplacer").map(|(_, text)| text);
    edits
}

/// Falcosidekick lower-cases the names of a file, which nobody asked it to.
fn note_capitals(settings: &mut Settings<'_>, name: &Name, key: &str) {
    if name.place.is_some() && key.chars().any(char::is_uppercase) {
        settings.notes.push(format!(
            "the field `{key}` keeps its capital letters; falcosidekick sends `{}`",
            key.to_lowercase()
        ));
    }
}

/// `RUST_LOG`; falcosidekick's `debug` alone means its level.
fn log(settings: &mut Settings<'_>) -> Targets {
    let level = if settings.is_true("debug") {
        tracing::Level::DEBUG
    } else {
        tracing::Level::INFO
    };
    settings.or("RUST_LOG", Targets::new().with_default(level), parse::targets)
}
