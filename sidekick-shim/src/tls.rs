//! Whom an `https` sink's certificate is believed from: the system's roots and `K_CA_CERTS`.

use std::sync::Arc;

use http::uri::Scheme;
use rustls::{ClientConfig, RootCertStore};

use crate::config::Config;

/// An `https` sink cannot be trusted: the shim does not start.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Neither the system nor `K_CA_CERTS` has a usable certificate.
    #[error(
        "no certificate authority to trust an https sink by: the system has none and `K_CA_CERTS` is not set"
    )]
    NoRoots,
    /// The TLS library refused its own defaults.
    #[error("cannot set up tls: {0}")]
    Setup(rustls::Error),
}

/// TLS towards the configured sink. For an `http` sink no roots are read: they would cost a megabyte for nothing.
pub(crate) fn client(config: &Config) -> Result<ClientConfig, TrustError> {
    let roots = if config.sink.scheme() == Some(&Scheme::HTTPS) {
        roots(config)?
    } else {
        RootCertStore::empty()
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(versions
        .map_err(TrustError::Setup)?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

fn roots(config: &Config) -> Result<RootCertStore, TrustError> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::warn!(%error, "cannot read some of the system's certificate authorities");
    }
    roots.add_parsable_certificates(native.certs);
    // Those of K_CA_CERTS were tried when the configuration was read.
    roots.add_parsable_certificates(config.ca_certs.iter().cloned());
    if roots.is_empty() {
        Err(TrustError::NoRoots)
    } else {
        Ok(roots)
    }
}
