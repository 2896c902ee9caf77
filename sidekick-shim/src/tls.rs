//! TLS, as a server and as a client.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::uri::Scheme;
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SignatureScheme};

use crate::config::{FrontTls, Identity, Sink};
use crate::follow::{Followed, Followers, bytes};

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The front's TLS, which follows its files: a connection is served with what they say when it comes.
///
/// # Errors
/// Why the files cannot be used.
pub(crate) fn server(
    front: &FrontTls,
    followers: &mut Followers,
) -> Result<Arc<Followed<ServerConfig>>, String> {
    let Identity { cert, key } = &front.identity;
    let mut paths = vec![cert.clone(), key.clone()];
    paths.extend(front.client_ca.clone());
    let names = paths.clone();
    followers.follow(paths, move |texts| {
        let [cert_text, key_text, rest @ ..] = texts else {
            return Err("no certificate and no key".to_owned());
        };
        let certified = certified(&names, cert_text, key_text)?;
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = match (rest, names.get(2)) {
            ([authorities, ..], Some(path)) => {
                let mut roots = RootCertStore::empty();
                add(&mut roots, path, authorities)?;
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build();
                builder.with_client_cert_verifier(verifier.map_err(|error| error.to_string())?)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut config =
            builder.with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    })
}

/// Where Knative puts the authorities that a cluster trusts, besides `K_CA_CERTS`.
const BUNDLES: &str = "/knative-custom-certs";

/// TLS towards a sink. For an `http` sink no roots are read: they would cost a megabyte for nothing.
///
/// # Errors
/// Why the sink's files cannot be used, or that nothing is there to trust it by.
pub(crate) fn client(
    sink: &Sink,
    more: &[CertificateDer<'static>],
    followers: &mut Followers,
) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    if sink.url.scheme() == Some(&Scheme::HTTPS) {
        let native = rustls_native_certs::load_native_certs();
        for error in &native.errors {
            tracing::warn!(%error, "cannot read some of the system's certificate authorities");
        }
        roots.add_parsable_certificates(native.certs);
        // They were tried when the configuration was read.
        roots.add_parsable_certificates(more.iter().cloned());
        for path in sink.ca_certs.iter().chain(&bundles(Path::new(BUNDLES))?) {
            add(&mut roots, path, &bytes(path)?)?;
        }
        if roots.is_empty() {
            let why = "there is no certificate authority to trust an https sink by: the system has none, and neither \
                       `K_CA_CERTS` nor `TLSCLIENT_CACERTFILE` is set";
            return Err(why.to_owned());
        }
    }
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    let Some(identity) = &sink.identity else {
        return Ok(builder.with_no_client_auth());
    };
    let mut config = builder.with_client_cert_resolver(Arc::new(Shown::follow(identity, followers)?));
    // A session that goes on would go on under the certificate that it began with, whatever the file says by now.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// The trust bundles in a folder that may not be there. Names with a dot in front are the kubelet's own.
fn bundles(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let cannot = |error: io::Error| format!("`{}` cannot be read: {error}", folder.display());
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(cannot)?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(cannot)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

/// The certificate that a sink is shown, as its files are at the moment of the handshake.
#[derive(Debug)]
struct Shown(Arc<Followed<Arc<CertifiedKey>>>);

impl Shown {
    fn follow(Identity { cert, key }: &Identity, followers: &mut Followers) -> Result<Self, String> {
        let paths = vec![cert.clone(), key.clone()];
        let names = paths.clone();
        let followed = followers.follow(paths, move |texts| match texts {
            [cert, key] => certified(&names, cert, key).map(Arc::new),
            _ => Err("no certificate and no key".to_owned()),
        });
        followed.map(Self)
    }
}

impl ResolvesClientCert for Shown {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.now()))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn certified(paths: &[std::path::PathBuf], cert: &[u8], key: &[u8]) -> Result<CertifiedKey, String> {
    let path = |place: usize| {
        paths
            .get(place)
            .map(|path| path.display().to_string())
            .unwrap_or_default()
    };
    let chain = certificates(cert).ok_or_else(|| format!("`{}` has no certificates in PEM", path(0)))?;
    let key =
        PrivateKeyDer::from_pem_slice(key).map_err(|_| format!("`{}` has no private key in PEM", path(1)))?;
    CertifiedKey::from_der(chain, key, &provider())
        .map_err(|error| format!("`{}` and `{}` cannot be used together: {error}", path(0), path(1)))
}

fn add(roots: &mut RootCertStore, path: &Path, text: &[u8]) -> Result<(), String> {
    let authorities = certificates(text).unwrap_or_default();
    let (good, _) = roots.add_parsable_certificates(authorities);
    if good == 0 {
        return Err(format!(
            "`{}` has no certificate authorities in PEM",
            path.display()
        ));
    }
    Ok(())
}

/// At least one certificate, and nothing else that pretends to be one.
fn certificates(text: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    all.ok().filter(|all| !all.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_bundles_are_the_files_of_a_folder_that_may_not_be_there() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(bundles(&folder.path().join("none")), Ok(Vec::new()));
        std::fs::create_dir(folder.path().join("..data")).unwrap();
        let [a, b] = ["a.pem", "b.pem"].map(|name| folder.path().join(name));
        for file in [&b, &a] {
            std::fs::write(file, "").unwrap();
        }
        assert_eq!(bundles(folder.path()), Ok(vec![a.clone(), b]));
        assert!(
            bundles(&a)
                .unwrap_err()
                .ends_with("Not a directory (os error 20)")
        );
    }
}
