//! The way to an API server, as kube users expect it: a kubeconfig and a context, or the account in the cluster.

use std::path::PathBuf;
use std::time::Duration;

use http::uri::InvalidUri;
use http::{HeaderValue, Uri, header};
use hyper_util::client::proxy::matcher::Matcher;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
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
/// is one, else the service account in the cluster. The way there goes through the `proxy-url` of the kubeconfig's
/// cluster, or through the proxy that `HTTPS_PROXY` names, unless `NO_PROXY` names the API server.
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
    fn new(what: impl Into<String>, cause: &dyn std::error::Error) -> Self {
        Self {
            what: what.into(),
            cause: causes(cause),
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
    let tried = kubeconfig(connect).await;
    let (mut config, own_proxy) = match (tried, named(connect)) {
        (Ok(found), _) => found,
        // A kubeconfig that was named and cannot be used must not become the account of another cluster.
        (Err(error), Some(what)) => return Err(ConnectError::new(what, &error)),
        (Err(error), None) => (in_cluster(&error)?, None),
    };
    let from_environment = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    config.proxy_url = proxy(own_proxy, &config.cluster_url, from_environment)?;
    Ok(config)
}

/// How the kubeconfig was named; none where it was not.
fn named(connect: &Connect) -> Option<String> {
    let said = |text: &str| crate::status::clean(text);
    match (&connect.kubeconfig, &connect.context) {
        (Some(path), _) => Some(format!("kubeconfig `{}`", said(&path.display().to_string()))),
        (None, Some(context)) => Some(format!("context `{}`", said(context))),
        (None, None) => std::env::var_os("KUBECONFIG")
            .filter(|path| !path.is_empty())
            .map(|_| "the kubeconfig that `KUBECONFIG` names".to_owned()),
    }
}

/// What the kubeconfig says, and the proxy that it names itself.
async fn kubeconfig(connect: &Connect) -> Result<(Config, Option<String>), KubeconfigError> {
    let read = match &connect.kubeconfig {
        Some(path) => Kubeconfig::read_from(path)?,
        None => Kubeconfig::read()?,
    };
    let own_proxy = own_proxy(&read, connect.context.as_ref());
    let options = KubeConfigOptions {
        context: connect.context.clone(),
        ..KubeConfigOptions::default()
    };
    Ok((Config::from_custom_kubeconfig(read, &options).await?, own_proxy))
}

fn in_cluster(kubeconfig: &KubeconfigError) -> Result<Config, ConnectError> {
    let what = "neither a kubeconfig nor a service account can be used";
    Config::incluster().map_err(|account| ConnectError {
        what: what.to_owned(),
        cause: format!("{}; {}", causes(kubeconfig), causes(&account)),
    })
}

/// `proxy-url` of the cluster that the context is of.
fn own_proxy(kubeconfig: &Kubeconfig, context: Option<&String>) -> Option<String> {
    let current = context.or(kubeconfig.current_context.as_ref())?;
    let context = kubeconfig.contexts.iter().find(|it| it.name == *current)?;
    let of = &context.context.as_ref()?.cluster;
    let cluster = kubeconfig.clusters.iter().find(|it| it.name == *of)?;
    let proxy = cluster.cluster.as_ref()?.proxy_url.clone();
    proxy.filter(|proxy| !proxy.is_empty())
}

/// The proxy to this API server: the one that the kubeconfig names for it, as it is; else the environment's, unless
/// `NO_PROXY` names the API server.
///
/// kube 5.0.0 holds `NO_PROXY` against the proxy instead of the API server, takes no host without a port in it, and does
/// not look at the environment in a cluster.
fn proxy(
    own: Option<String>,
    to: &Uri,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Uri>, ConnectError> {
    let either = |upper: &str| variable(upper).or_else(|| variable(&upper.to_lowercase()));
    if let Some(own) = own {
        return parsed("proxy-url", &own).map(Some);
    }
    let scheme = to.scheme_str().unwrap_or("https").to_uppercase();
    let name = format!("{scheme}_PROXY");
    let Some(proxy) = either(&name) else {
        return Ok(None);
    };
    let not_for = either("NO_PROXY").unwrap_or_default();
    let goes = Matcher::builder().all("http://proxy").no(not_for).build();
    match goes.intercept(to) {
        Some(_) => parsed(&name, &proxy).map(Some),
        None => Ok(None),
    }
}

/// A proxy without a scheme speaks HTTP.
fn parsed(name: &str, proxy: &str) -> Result<Uri, ConnectError> {
    let whole = if proxy.contains("://") {
        proxy.to_owned()
    } else {
        format!("http://{proxy}")
    };
    // A proxy's URL can hold a password.
    let unfit = |error: InvalidUri| ConnectError::new(format!("the proxy of `{name}` is no URL"), &error);
    whole.parse().map_err(unfit)
}

/// An error with its causes, each once.
fn causes(error: &dyn std::error::Error) -> String {
    let mut whole = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !whole.contains(&text) {
            whole = format!("{whole}: {text}");
        }
        next = cause.source();
    }
    crate::status::clean(&whole)
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

    fn way(own: Option<&str>, to: &str, variables: &[(&str, &str)]) -> Result<Option<String>, String> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        match proxy(own.map(ToOwned::to_owned), &to.parse().unwrap(), variable) {
            Ok(proxy) => Ok(proxy.map(|proxy| proxy.to_string())),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn the_proxy_is_the_kubeconfig_s_or_the_environment_s_unless_the_api_server_is_exempt() {
        let (api, proxy) = ("https://api.example.org:6443", "http://proxy.example.com:3128/");
        let https = ("HTTPS_PROXY", "http://proxy.example.com:3128");
        assert_eq!(way(None, api, &[]), Ok(None));
        assert_eq!(way(None, api, &[https]), Ok(Some(proxy.into())));
        assert_eq!(
            way(None, api, &[("https_proxy", "proxy.example.com:3128")]),
            Ok(Some(proxy.into()))
        );
        assert_eq!(
            way(None, api, &[("HTTP_PROXY", "http://other:1")]),
            Ok(None),
            "it is for plain HTTP"
        );
        for no in [
            "api.example.org",
            ".example.org",
            "example.org",
            "*",
            "a, api.example.org,",
            "::1,example.org",
        ] {
            assert_eq!(way(None, api, &[https, ("NO_PROXY", no)]), Ok(None), "{no}");
            let own = way(Some("http://proxy.example.com:3128"), api, &[("NO_PROXY", no)]);
            assert_eq!(
                own,
                Ok(Some(proxy.into())),
                "what a kubeconfig names for a cluster is for that cluster"
            );
        }
        for no in ["proxy.example.com", "ample.org", "10.0.0.0/8", ","] {
            assert_eq!(
                way(None, api, &[https, ("no_proxy", no)]),
                Ok(Some(proxy.into())),
                "{no}"
            );
        }
        let by_address = [https, ("NO_PROXY", "10.0.0.0/8,.svc")];
        assert_eq!(way(None, "https://10.96.0.1", &by_address), Ok(None));
        assert_eq!(way(None, "https://kubernetes.default.svc", &by_address), Ok(None));
        assert_eq!(
            way(None, "https://192.0.2.1", &by_address),
            Ok(Some(proxy.into()))
        );
    }

    #[test]
    fn a_proxy_that_is_no_url_is_named_without_what_it_says() {
        let error = way(None, "https://api", &[("HTTPS_PROXY", "http://me:secret @proxy")]).unwrap_err();
        assert!(
            error.starts_with("the proxy of `HTTPS_PROXY` is no URL: "),
            "{error}"
        );
        assert!(!error.contains("secret"), "{error}");
    }
}
