//! The sinks: the one that the environment names, and those of the file.

use std::path::PathBuf;

use falco_event::{Alert, Priority};
use http::{HeaderMap, Uri};

use super::keys::variable;
use super::mistake::{Mistake, Name};
use super::parse;
use super::settings::{Section, Settings, parsed, scalar};
use super::yaml::{Node, Value};

/// What the sink of the environment is called: falcosidekick's word for this output in its metrics.
const FIRST: &str = "cloudevents";

/// Where Knative's SinkBinding puts the token of a sink that wants one.
const KNATIVE_TOKEN: &str = "/oidc/token";

/// How much of the spool a sink that is not the first may hold, in percent.
const SHARE: u8 = 20;

/// More sinks than this are a mistake: each is a copy of every alert.
const MOST: usize = 16;

/// The keys of a sink in the file.
const KEYS: [&str; 10] = [
    "name",
    "url",
    "format",
    "minimumPriority",
    "share",
    "headers",
    "tokenFile",
    "caCertFile",
    "certFile",
    "keyFile",
];

/// A place that alerts are sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sink {
    /// What it is called in logs and metrics: lower-case letters, digits and `-`.
    pub name: String,
    /// The URL that alerts are posted to, exactly.
    pub url: Uri,
    /// In which form they are posted.
    pub format: Format,
    /// Alerts that are less urgent are not sent to it.
    pub minimum_priority: Option<Priority>,
    /// How many percent of the spool may wait for it, if it is not the first.
    pub share: u8,
    /// Headers of every request.
    pub headers: HeaderMap,
    /// Where the token of `Authorization: Bearer` is read, at every request.
    pub token: Option<Token>,
    /// Files of certificate authorities that an `https` URL is trusted by, besides the system's and `K_CA_CERTS`.
    pub ca_certs: Vec<PathBuf>,
    /// The certificate that the shim shows there.
    pub identity: Option<Identity>,
}

/// The form in which a sink gets alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A CloudEvent in structured mode.
    CloudEvents,
    /// The POST that Falco would have made: so falcosidekick can stand behind the shim.
    Falco,
}

/// The file of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it has to be there. Knative's is not, where it does not ask senders who they are.
    pub required: bool,
}

/// A certificate with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The file of the certificate chain, PEM.
    pub cert: PathBuf,
    /// The file of the key, PEM.
    pub key: PathBuf,
}

impl Sink {
    fn new(name: String, url: Uri) -> Self {
        Self {
            name,
            url,
            format: Format::CloudEvents,
            minimum_priority: None,
            share: SHARE,
            headers: HeaderMap::new(),
            token: None,
            ca_certs: Vec::new(),
            identity: None,
        }
    }

    /// Whether an alert is urgent enough. Falcosidekick's `Test rule` always is, so that a test shows something.
    #[must_use]
    pub fn wants(&self, alert: &Alert) -> bool {
        let urgent = |minimum| alert.priority().at_least(minimum);
        self.minimum_priority.is_none_or(urgent) || alert.rule() == "Test rule"
    }
}

/// Every sink, the one of the environment first.
pub(super) fn sinks(settings: &mut Settings<'_>) -> Vec<Sink> {
    let in_file = settings.in_file("shim.sinks");
    let mut sinks = Vec::from_iter(first(settings, in_file));
    for section in settings.sections("shim.sinks") {
        let name = section.name.clone();
        let read = sink(settings, section);
        let Some(sink) = read else { continue };
        if sinks.iter().any(|other: &Sink| other.name == sink.name) {
            let what = format!(
                "is called `{}`, expected a name that no other sink has",
                sink.name
            );
            settings.mistakes.push(Mistake::new(&name, what));
        }
        if sinks.len() == MOST {
            let what = format!("is one too many, expected at most {MOST} sinks");
            settings.mistakes.push(Mistake::new(&name, what));
            break;
        }
        sinks.push(sink);
    }
    sinks
}

const MINIMUM: &str = "cloudevents.minimumpriority";

/// Settings of the first sink, where its address is not in the file's list.
const OF_FIRST: [&str; 7] = [
    MINIMUM,
    "cloudevents.mutualtls",
    "mutualtlsfilespath",
    "mutualtlsclient.certfile",
    "mutualtlsclient.keyfile",
    "tlsclient.cacertfile",
    "shim.token_file",
];

/// `K_SINK`, else `cloudevents.address`; one of them has to be there, unless the file has sinks.
fn first(settings: &mut Settings<'_>, others: bool) -> Option<Sink> {
    let key = settings.first_of(["K_SINK", "cloudevents.address"]);
    if key.is_none() && !others {
        let expected = "the URL of the sink, in it or in `CLOUDEVENTS_ADDRESS`";
        settings.mistakes.push(Mistake::missing("K_SINK", expected));
    }
    if key.is_none() && others {
        for key in OF_FIRST
            .into_iter()
            .filter(|key| settings.has(key))
            .collect::<Vec<_>>()
        {
            let name = variable(key);
            let note = format!(
                "`{name}` has no effect: it is of the sink in `K_SINK` or `CLOUDEVENTS_ADDRESS`, and neither is set"
            );
            settings.notes.push(note);
        }
    }
    let url = key.and_then(|key| settings.optional(key, parse::url));
    if let Some((name, text)) = settings.text(MINIMUM)
        && text.eq_ignore_ascii_case("info")
    {
        settings.corrects(
            &name,
            "is `info` and counts; with falcosidekick every alert passes then",
        );
    }
    let minimum_priority = settings.optional(MINIMUM, parse::priority);
    let token = settings.text("shim.token_file").map(|(_, path)| Token {
        path: path.into(),
        required: true,
    });
    let knatives = (key == Some("K_SINK")).then(|| Token {
        path: KNATIVE_TOKEN.into(),
        required: false,
    });
    let (ca_certs, identity) = tls(settings);
    Some(Sink {
        minimum_priority,
        token: token.or(knatives),
        ca_certs,
        identity,
        ..Sink::new(FIRST.to_owned(), url?)
    })
}

/// What falcosidekick's keys say of TLS to its outputs. For this output it read them and used none.
fn tls(settings: &mut Settings<'_>) -> (Vec<PathBuf>, Option<Identity>) {
    if !settings.or("cloudevents.checkcert", true, parse::truth) {
        settings.notes.push(
            "`CLOUDEVENTS_CHECKCERT` has no effect: the sink's certificate is always checked, as falcosidekick did; name its authority in `TLSCLIENT_CACERTFILE`".to_owned(),
        );
    }
    let path = |settings: &mut Settings<'_>, key| settings.text(key).map(|(_, path)| PathBuf::from(path));
    let mut authorities = Vec::from_iter(path(settings, "tlsclient.cacertfile"));
    let mutual = settings.is_true("cloudevents.mutualtls");
    for (key, counts) in [
        ("tlsclient.cacertfile", !authorities.is_empty()),
        ("cloudevents.mutualtls", mutual),
    ] {
        if counts {
            let name = Name::variable(&variable(key));
            settings.corrects(&name, "counts; falcosidekick does not use it for this output");
        }
    }
    let folder = path(settings, "mutualtlsfilespath").unwrap_or_else(|| "/etc/certs".into());
    let mut file = |key, name| path(settings, key).unwrap_or_else(|| folder.join(name));
    let identity = Identity {
        cert: file("mutualtlsclient.certfile", "client.crt"),
        key: file("mutualtlsclient.keyfile", "client.key"),
    };
    let authority = file("mutualtlsclient.cacertfile", "ca.crt");
    authorities.extend(mutual.then_some(authority));
    (authorities, mutual.then_some(identity))
}

/// One of the file; none, with its mistakes noted, if it cannot be used.
fn sink(settings: &mut Settings<'_>, mut section: Section) -> Option<Sink> {
    let at = section.name.clone();
    let mut take = |key: &str| section.take(key);
    let [name, url, format, minimum, share] =
        ["name", "url", "format", "minimumPriority", "share"].map(&mut take);
    let [token, ca, cert, key] = ["tokenFile", "caCertFile", "certFile", "keyFile"].map(&mut take);
    let headers = take("headers");
    settings.mistakes.extend(section.unknown(&KEYS));
    let mut sink = Sink::new(String::new(), Uri::default());
    for (key, value) in [("name", &name), ("url", &url)] {
        if value.is_none() {
            settings
                .mistakes
                .push(Mistake::new(&at, format!("has no `{key}`")));
        }
    }
    if let Some(name) = value(settings, name, self::name) {
        sink.name = name;
    }
    if let Some(url) = value(settings, url, parse::url) {
        sink.url = url;
    }
    if let Some(format) = value(settings, format, self::format) {
        sink.format = format;
    }
    sink.minimum_priority = value(settings, minimum, parse::priority);
    if let Some(share) = value(settings, share, parse::percent) {
        sink.share = share;
    }
    sink.token = value(settings, token, path).map(|path| Token { path, required: true });
    sink.ca_certs = Vec::from_iter(value(settings, ca, path));
    sink.identity = match (value(settings, cert, path), value(settings, key, path)) {
        (Some(cert), Some(key)) => Some(Identity { cert, key }),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            let what = "has one of `certFile` and `keyFile`, expected both or none";
            settings.mistakes.push(Mistake::new(&at, what));
            None
        }
    };
    sink.headers = self::headers(settings, headers);
    (!sink.name.is_empty() && sink.url.host().is_some()).then_some(sink)
}

type Member = Option<(Name, Node)>;

fn value<T>(
    settings: &mut Settings<'_>,
    member: Member,
    parse: impl FnOnce(&str) -> parse::Parsed<T>,
) -> Option<T> {
    let (name, node) = member?;
    let text = settings.take(scalar(&name, &node))?;
    settings.take(parsed(&name, &text, parse))
}

fn headers(settings: &mut Settings<'_>, member: Member) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let Some((name, node)) = member else {
        return headers;
    };
    let Value::Map(pairs) = node.value else {
        let what = "is no section, expected the names and values of headers";
        settings.mistakes.push(Mistake::new(&name, what));
        return headers;
    };
    for (key, node) in pairs {
        // The value may be a secret: a mistake names the header alone.
        let read = scalar(&name, &node).map(|value| parse::header(&key.name, &value));
        match settings.take(read) {
            Some(Ok((header, value))) => {
                headers.append(header, value);
            }
            Some(Err(expected)) => settings.mistakes.push(Mistake::value(&name, &key.name, expected)),
            None => {}
        }
    }
    headers
}

fn name(text: &str) -> parse::Parsed<String> {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let fits = (1..=40).contains(&text.len()) && text.bytes().all(letter);
    fits.then(|| text.to_owned())
        .ok_or_else(|| "1 to 40 of `a-z`, `0-9` and `-`".to_owned())
}

fn format(text: &str) -> parse::Parsed<Format> {
    match text.to_ascii_lowercase().as_str() {
        "cloudevents" => Ok(Format::CloudEvents),
        "falco" => Ok(Format::Falco),
        _ => Err("cloudevents or falco".to_owned()),
    }
}

fn path(text: &str) -> parse::Parsed<PathBuf> {
    if text.is_empty() {
        return Err("the path of a file".to_owned());
    }
    Ok(text.into())
}
