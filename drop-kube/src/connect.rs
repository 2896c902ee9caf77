//! The way to an API server, as kube users expect it: a kubeconfig and a context, or the account in the cluster.

use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderValue, header};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// How long a TCP connection and its TLS handshake may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long the API server may be silent in an answer: longer than any deadline of the adapter's, so that only what
/// nobody waits for is cut off.
const READ: Duration = Duration::from_secs(20);
/// How the API server's audit log names this program.
const USER_AGENT: &str = concat!("falco-drop/", env!("CARGO_PKG_VERSION"));

/// Which API server, and as whom.
///
/// With neither set: the kubeconfig that `KUBECONFIG` names, which then must be readable; else `~/.kube/config` if there
/// is one, else the service account in the cluster.
#[derive(Debug, Clone, Default)]
pub struct Connect {
    /// A kubeconfig to read instead of `KUBECONFIG`.
    pub kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig instead of its current one.
    pub context: Option<String>,
}

/// The configuration of the API server cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {cause}")]
pub struct ConnectError {
    what: String,
    cause: String,
}

impl ConnectError {
    fn new(what: impl Into<String>, cause: &dyn std::fmt::Display) -> Self {
        Self {
            what: what.into(),
            cause: crate::status::clean(&cause.to_string()),
        }
    }
}

/// A client that leaves deadlines and retries to [`crate::KubePods`]. Sends nothing yet.
///
/// Tokens and the cluster's CA are read again each minute, so a rotated one is found.
///
/// # Errors
/// The kubeconfig cannot be read or names what is not there; neither a kubeconfig nor a service account was found.
pub async fn connect(connect: &Connect) -> Result<Client, ConnectError> {
    client(config(connect).await?, Some(READ))
}

/// A client for [`crate::Index`]: it lets an answer be silent for as long as a watch may be.
///
/// # Errors
/// As [`connect()`].
pub async fn connect_for_watches(connect: &Connect) -> Result<Client, ConnectError> {
    client(config(connect).await?, None)
}

fn client(mut config: Config, read_timeout: Option<Duration>) -> Result<Client, ConnectError> {
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = read_timeout;
    config.reset_reader_on_write = true;
    config
        .headers
        .push((header::USER_AGENT, HeaderValue::from_static(USER_AGENT)));
    Client::try_from(config)
        .map_err(|error| ConnectError::new("the API server's configuration cannot be used", &error))
}

async fn config(connect: &Connect) -> Result<Config, ConnectError> {
    let options = KubeConfigOptions {
        context: connect.context.clone(),
        ..KubeConfigOptions::default()
    };
    match (&connect.kubeconfig, &connect.context) {
        (Some(path), _) => {
            let what = || {
                format!(
                    "kubeconfig `{}`",
                    crate::status::clean(&path.display().to_string())
                )
            };
            let read = Kubeconfig::read_from(path).map_err(|error| ConnectError::new(what(), &error))?;
            let config = Config::from_custom_kubeconfig(read, &options).await;
            config.map_err(|error| ConnectError::new(what(), &error))
        }
        (None, Some(context)) => {
            let what = || format!("context `{}`", crate::status::clean(context));
            Config::from_kubeconfig(&options)
                .await
                .map_err(|error| ConnectError::new(what(), &error))
        }
        // A kubeconfig that was named and cannot be read must not become the account of another cluster.
        (None, None) if std::env::var_os("KUBECONFIG").is_some_and(|path| !path.is_empty()) => {
            let config = Config::from_kubeconfig(&options).await;
            config.map_err(|error| ConnectError::new("the kubeconfig that `KUBECONFIG` names", &error))
        }
        (None, None) => {
            let found = Config::infer().await;
            found.map_err(|error| {
                ConnectError::new("neither a kubeconfig nor a service account can be used", &error)
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn error(connect: &Connect) -> String {
        super::connect(connect).await.map(|_| ()).unwrap_err().to_string()
    }

    #[tokio::test]
    async fn a_mistake_names_what_was_asked_for() {
        let missing = Connect {
            kubeconfig: Some("/no/such\nfile".into()),
            context: None,
        };
        let text = error(&missing).await;
        assert!(text.starts_with("kubeconfig `/no/such file`: "), "{text}");
        assert!(!text.contains('\n'));
    }

    /// A kubeconfig with this in its cluster, which is removed with it.
    struct File(PathBuf);

    impl File {
        fn new(name: &str, cluster: &str) -> Self {
            let path = std::env::temp_dir().join(format!("drop-kube-{name}-{}.yaml", std::process::id()));
            let config = format!(
                "apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters: [{{name: c, cluster: {{{cluster}}}}}]\n\
                 users: [{{name: u, user: {{}}}}]\ncontexts: [{{name: a, context: {{cluster: c, user: u}}}}]\n"
            );
            std::fs::write(&path, config).unwrap();
            Self(path)
        }

        fn with(&self, context: Option<&str>) -> Connect {
            Connect {
                kubeconfig: Some(self.0.clone()),
                context: context.map(ToOwned::to_owned),
            }
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            std::fs::remove_file(&self.0).unwrap();
        }
    }

    #[tokio::test]
    async fn a_context_is_that_of_the_kubeconfig() {
        let file = File::new("context", "server: 'http://127.0.0.1:1'");
        assert!(super::connect(&file.with(None)).await.is_ok());
        assert!(super::connect(&file.with(Some("a"))).await.is_ok());
        let text = error(&file.with(Some("b"))).await;
        assert!(
            text.contains("failed to load") || text.contains("context"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn a_proxy_of_each_kind_can_be_used() {
        for proxy in ["http://127.0.0.1:1", "socks5://127.0.0.1:1"] {
            let file = File::new(
                "proxy",
                &format!("server: 'http://127.0.0.1:1', proxy-url: '{proxy}'"),
            );
            let client = super::connect(&file.with(None)).await;
            assert!(client.is_ok(), "{proxy}: {:?}", client.err());
        }
    }
}
