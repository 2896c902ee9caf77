//! The front's doors: TLS, certificates of clients, credentials, and the port for probes.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use sidekick_shim::{Config, Shim};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::{ALERT, Does, Running, Sink};

/// A folder with the front's files, and an authority that signs whatever it is asked to.
pub(crate) struct Files {
    folder: tempfile::TempDir,
    pub(crate) authority: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate of a client's.
type Shown = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Files {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let files = Self {
            folder: tempfile::tempdir().unwrap(),
            authority,
        };
        files.write("ca", &files.authority.pem());
        files.certify("localhost");
        files
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Replaced as a whole, as a person should.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let new = self.path("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, Path::new(&self.path(name))).unwrap();
    }

    pub(crate) fn sign(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        (params.signed_by(&key, &self.authority).unwrap(), key)
    }

    /// Gives the front a certificate for this name.
    fn certify(&self, name: &str) {
        let (cert, key) = self.sign(name, ExtendedKeyUsagePurpose::ServerAuth);
        self.write("key", &key.serialize_pem());
        self.write("cert", &cert.pem());
    }

    fn client(&self) -> Shown {
        let (cert, key) = self.sign("falco", ExtendedKeyUsagePurpose::ClientAuth);
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        (vec![cert.der().clone()], key)
    }

    /// The variables for TLS with these files, and more.
    fn variables(&self, more: &[(&'static str, &str)]) -> &'static [(&'static str, &'static str)] {
        let leak = |text: &str| &*text.to_owned().leak();
        let mut all = vec![
            ("TLSSERVER_DEPLOY", "true"),
            ("TLSSERVER_CERTFILE", leak(&self.path("cert"))),
            ("TLSSERVER_KEYFILE", leak(&self.path("key"))),
            ("TLSSERVER_CACERTFILE", leak(&self.path("ca"))),
        ];
        all.extend(more.iter().map(|(name, value)| (*name, leak(value))));
        all.leak()
    }

    /// A connection with TLS, or why there is none.
    async fn connect(
        &self,
        address: SocketAddr,
        name: &str,
        shown: Option<Shown>,
    ) -> Result<TlsStream<TcpStream>, String> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match shown {
            None => config.with_no_client_auth(),
            Some((chain, key)) => config.with_client_auth_cert(chain, key).unwrap(),
        };
        let stream = TcpStream::connect(address).await.unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connected = connector.connect(name, stream).await;
        connected.map_err(|error| error.to_string())
    }

    /// The answer to a request over TLS, or why there is none.
    async fn ask(
        &self,
        address: SocketAddr,
        name: &str,
        shown: Option<Shown>,
        request: &str,
    ) -> Result<String, String> {
        let mut stream = self.connect(address, name, shown).await?;
        let mut text = String::new();
        stream
            .write_all(request.as_bytes())
            .await
            .map_err(|error| error.to_string())?;
        match stream.read_to_string(&mut text).await {
            Ok(_) => Ok(text),
            Err(error) if text.is_empty() => Err(error.to_string()),
            Err(_) => Ok(text),
        }
    }
}

fn post(more: &str) -> String {
    let length = ALERT.len();
    format!(
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n{more}\r\n{ALERT}"
    )
}

/// The head of the answer to a request on a connection that stays open.
async fn on(stream: &mut TlsStream<TcpStream>, request: &str) -> String {
    let request = request.replace("Connection: close\r\n", "");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    while !text.ends_with("\r\n\r\n") {
        text.push(char::from(stream.read_u8().await.unwrap()));
    }
    text
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
}

async fn plainly(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

#[track_caller]
fn is(answer: &str, status: u16) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
}

#[tokio::test]
async fn a_front_with_tls_takes_alerts_over_tls_and_nothing_in_clear() {
    let files = Files::new();
    let mut sink = Sink::start(|_| Does::Answer(202)).await;
    let shim = Running::start(&sink.url(), files.variables(&[]), ()).await;
    is(
        &files
            .ask(shim.address, "localhost", None, &post(""))
            .await
            .unwrap(),
        200,
    );
    assert_eq!(sink.next().await.rule(), "Terminal shell in container");
    assert!(!plainly(shim.address, &post("")).await.contains("HTTP/1.1 200"));
    assert!(
        files
            .ask(shim.address, "elsewhere", None, &post(""))
            .await
            .is_err()
    );
    assert!(sink.got.try_recv().is_err());
}

#[tokio::test]
async fn mutual_tls_lets_in_who_shows_a_certificate_of_the_authority() {
    let files = Files::new();
    let mut sink = Sink::start(|_| Does::Answer(202)).await;
    let variables = files.variables(&[("TLSSERVER_MUTUALTLS", "true")]);
    let shim = Running::start(&sink.url(), variables, ()).await;
    is(
        &files
            .ask(shim.address, "localhost", Some(files.client()), &post(""))
            .await
            .unwrap(),
        200,
    );
    sink.next().await;
    assert!(
        files
            .ask(shim.address, "localhost", None, &post(""))
            .await
            .is_err()
    );
    let stranger = Files::new().client();
    assert!(
        files
            .ask(shim.address, "localhost", Some(stranger), &post(""))
            .await
            .is_err()
    );
    assert!(sink.got.try_recv().is_err());
}

#[tokio::test]
async fn probes_are_served_beside_tls_and_alerts_are_not() {
    let files = Files::new();
    files.write("basic", "falco:secret");
    let basic = files.path("basic");
    let variables = files.variables(&[
        ("TLSSERVER_NOTLSPATHS", "/ping,/metrics"),
        ("SHIM_BASIC_FILE", &basic),
    ]);
    let mut sink = Sink::start(|_| Does::Answer(202)).await;
    let shim = Running::start(&sink.url(), variables, ()).await;
    is(&plainly(shim.plain, &get("/ping")).await, 200);
    is(&plainly(shim.plain, &get("/metrics")).await, 200);
    is(&plainly(shim.plain, &get("/healthz")).await, 404);
    is(&plainly(shim.plain, &post("")).await, 404);
    assert!(sink.got.try_recv().is_err());
    is(
        &files
            .ask(shim.address, "localhost", None, &get("/ping"))
            .await
            .unwrap(),
        200,
    );
    is(
        &files
            .ask(shim.address, "localhost", None, &get("/metrics"))
            .await
            .unwrap(),
        401,
    );
    is(
        &files
            .ask(shim.address, "localhost", None, &post(""))
            .await
            .unwrap(),
        401,
    );
    // `falco:secret`, as libcurl sends it from the URL.
    let authorization = post("Authorization: Basic ZmFsY286c2VjcmV0\r\n");
    is(
        &files
            .ask(shim.address, "localhost", None, &authorization)
            .await
            .unwrap(),
        200,
    );
    sink.next().await;
    shim.drained().await;
}

#[tokio::test]
async fn certificates_and_credentials_are_taken_over_while_connections_go_on() {
    let files = Files::new();
    files.write("basic", "falco:old");
    let basic = files.path("basic");
    let sink = Sink::start(|_| Does::Answer(202)).await;
    let shim = Running::start(&sink.url(), files.variables(&[("SHIM_BASIC_FILE", &basic)]), ()).await;
    let old = post("Authorization: Basic ZmFsY286b2xk\r\n");
    let new = post("Authorization: Basic ZmFsY286bmV3\r\n");
    is(
        &files.ask(shim.address, "localhost", None, &old).await.unwrap(),
        200,
    );
    let mut kept = files.connect(shim.address, "localhost", None).await.unwrap();
    is(&on(&mut kept, &old).await, 200);
    files.write("basic", "falco:new");
    files.certify("renewed");
    while files.ask(shim.address, "renewed", None, &new).await.is_err() {
        tokio::task::yield_now().await;
    }
    loop {
        if files
            .ask(shim.address, "renewed", None, &new)
            .await
            .unwrap()
            .starts_with("HTTP/1.1 200")
        {
            break;
        }
    }
    is(
        &files.ask(shim.address, "renewed", None, &old).await.unwrap(),
        401,
    );
    is(&on(&mut kept, &new).await, 200);
    // What is wrong changes nothing.
    files.write("cert", "no certificate");
    is(
        &files.ask(shim.address, "renewed", None, &new).await.unwrap(),
        200,
    );
}

#[tokio::test]
async fn a_shim_whose_files_are_wrong_does_not_start_and_says_all() {
    let files = Files::new();
    files.write("cert", "no certificate");
    files.write("basic", "nonsense");
    let basic = files.path("basic");
    let variables = files.variables(&[
        ("SHIM_BASIC_FILE", &basic),
        ("K_SINK", "http://sink"),
        ("SHIM_DURABILITY", "crash"),
        ("SHIM_SPOOL", &basic),
    ]);
    let lookup = |name: &str| {
        variables
            .iter()
            .find(|(other, _)| *other == name)
            .map(|(_, value)| (*value).to_owned())
    };
    let mistakes = Shim::new(Config::from_lookup(lookup).unwrap(), ())
        .unwrap_err()
        .to_string();
    let folder = files.folder.path().to_str().unwrap();
    insta::assert_snapshot!(mistakes.replace(folder, "FOLDER"), @r#"`TLSSERVER_DEPLOY` cannot be done: `FOLDER/cert` has no certificates in PEM; `SHIM_BASIC_FILE` cannot be used: line 1 is no credential, expected `user:password` or `user:{SHA256}` with 64 hex digits; `SHIM_SPOOL` cannot be used: `FOLDER/basic`: it is no folder"#);
}

#[tokio::test]
async fn a_post_to_test_sends_an_alert_on_its_way_whatever_the_least_priority() {
    let mut sink = Sink::start(|_| Does::Answer(202)).await;
    let variables = &[("CLOUDEVENTS_MINIMUMPRIORITY", "critical")];
    let shim = Running::start(&sink.url(), variables, ()).await;
    is(&plainly(shim.address, &post("")).await, 200);
    is(
        &plainly(
            shim.address,
            "POST /test HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        )
        .await,
        200,
    );
    let event = sink.next().await.event();
    assert_eq!(
        (&event["rule"], &event["eventsource"]),
        (&"Test rule".into(), &"internal".into())
    );
    is(&plainly(shim.address, &get("/test")).await, 405);
    assert!(shim.metrics().await.contains("sidekick_shim_filtered_total 1\n"));
    shim.drained().await;
    assert!(
        sink.got.try_recv().is_err(),
        "what is not urgent enough is not sent"
    );
}
