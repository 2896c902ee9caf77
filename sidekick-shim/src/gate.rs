//! Who may ask for what at a door, before anything of a body is read.

use std::sync::Arc;

use http::header::WWW_AUTHENTICATE;
use http::{HeaderValue, Method, Request, StatusCode};

use crate::credentials::Credentials;
use crate::follow::Followed;
use crate::front::{Answer, text};
use crate::metrics::Metrics;

/// What the kubelet asks for, which has no credentials.
const PROBES: [&str; 3] = ["/ping", "/healthz", "/readyz"];

/// The rules of one door; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate {
    /// Nothing but these paths, and nothing that changes anything.
    pub(crate) only: Option<Arc<[&'static str]>>,
    /// Credentials that everyone but a probe has to show.
    pub(crate) credentials: Option<Arc<Followed<Credentials>>>,
}

impl Gate {
    /// The answer to a request that may not go on.
    pub(crate) fn refuse<B>(&self, request: &Request<B>, metrics: &Metrics) -> Option<Answer> {
        let path = request.uri().path();
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        if let Some(only) = &self.only
            && !(reads && only.contains(&path))
        {
            metrics.rejected(1);
            tracing::warn!("a request was refused: this port is for probes and metrics");
            return Some(text(StatusCode::NOT_FOUND, "not on this port\n"));
        }
        let credentials = self.credentials.as_ref()?;
        if reads && PROBES.contains(&path) || credentials.now().admit(request.headers()) {
            return None;
        }
        metrics.rejected(1);
        // Falco does not look at the answer: this line is all that tells why its alerts do not arrive.
        tracing::error!("a request was refused: it shows no credentials, or wrong ones");
        let mut answer = text(StatusCode::UNAUTHORIZED, "credentials are asked for\n");
        let challenge = HeaderValue::from_static("Basic realm=\"sidekick-shim\", charset=\"UTF-8\"");
        answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        Some(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::follow::Followers;

    fn status(gate: &Gate, method: &str, path: &str, authorization: &str) -> u16 {
        let mut request = Request::builder().method(method).uri(path);
        if !authorization.is_empty() {
            request = request.header("authorization", authorization);
        }
        let refused = gate.refuse(&request.body(()).unwrap(), &Metrics::new(&[]));
        refused.map_or(0, |answer| answer.status().as_u16())
    }

    #[test]
    fn everyone_but_a_probe_shows_credentials() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "a:b").unwrap();
        let credentials = Credentials::follow(file.path().to_owned(), &mut Followers::default()).unwrap();
        let gate = Gate {
            credentials: Some(credentials),
            only: None,
        };
        let cases = [
            ("POST", "/", "", 401),
            ("POST", "/", "Basic YTpj", 401),
            ("POST", "/", "Basic YTpi", 0),
            ("POST", "/ping", "", 401),
            ("POST", "/test", "", 401),
            ("GET", "/ping", "", 0),
            ("HEAD", "/readyz", "", 0),
            ("GET", "/healthz", "Basic YTpj", 0),
            ("GET", "/metrics", "", 401),
            ("GET", "/metrics", "Basic YTpi", 0),
            ("DELETE", "/", "", 401),
        ];
        for (method, path, authorization, expected) in cases {
            assert_eq!(
                status(&gate, method, path, authorization),
                expected,
                "{method} {path} {authorization}"
            );
        }
        let request = Request::post("/").body(()).unwrap();
        let answer = gate.refuse(&request, &Metrics::new(&[])).unwrap();
        assert!(
            answer.headers()[WWW_AUTHENTICATE]
                .to_str()
                .unwrap()
                .starts_with("Basic realm=")
        );
    }

    #[test]
    fn a_port_for_probes_takes_nothing_else() {
        let gate = Gate {
            only: Some(Arc::new(["/ping", "/metrics"])),
            credentials: None,
        };
        let cases = [
            ("GET", "/ping", 0),
            ("HEAD", "/metrics", 0),
            ("POST", "/ping", 404),
            ("GET", "/healthz", 404),
            ("POST", "/", 404),
            ("POST", "/test", 404),
        ];
        for (method, path, expected) in cases {
            assert_eq!(status(&gate, method, path, ""), expected, "{method} {path}");
        }
    }
}
