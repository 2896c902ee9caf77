//! One request to the API server: its path, its media types, its body.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use drop_core::ports::ApiError;
use falco_event::{Namespace, PodName};
use http::{HeaderValue, Method, Request, header};
use kube::client::Body;
use serde::Serialize;

/// Asks for nothing but the metadata of an object or of each in a list.
const METADATA_ONLY: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
const METADATA_ONLY_LIST: &str =
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
const JSON: &str = "application/json";
const MERGE_PATCH: &str = "application/merge-patch+json";

/// What the API server says the absence of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Object<'a> {
    /// The plural name: `pods`.
    pub(crate) resource: &'a str,
    pub(crate) name: &'a str,
}

/// One request, which can be sent more than once.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    method: Method,
    path: String,
    accept: &'static str,
    content_type: &'static str,
    /// Or why it cannot be said: without it a change would not be pinned.
    body: Result<Bytes, String>,
    /// The answer's body is what was asked for; of a change its status alone says that it was taken.
    pub(crate) reads: bool,
    /// How long one try may take.
    pub(crate) try_within: Duration,
}

impl Ask {
    /// The object itself.
    pub(crate) fn get(path: String, try_within: Duration) -> Self {
        Self {
            method: Method::GET,
            path,
            accept: JSON,
            content_type: JSON,
            body: Ok(Bytes::new()),
            reads: true,
            try_within,
        }
    }

    /// The object's metadata.
    pub(crate) fn get_metadata(path: String, try_within: Duration) -> Self {
        Self {
            accept: METADATA_ONLY,
            ..Self::get(path, try_within)
        }
    }

    /// The metadata of each object in a list.
    pub(crate) fn list_metadata(path: String, try_within: Duration) -> Self {
        Self {
            accept: METADATA_ONLY_LIST,
            ..Self::get(path, try_within)
        }
    }

    /// A change, with its options as body.
    pub(crate) fn delete(path: String, options: &impl Serialize, try_within: Duration) -> Self {
        Self {
            method: Method::DELETE,
            body: json(options),
            reads: false,
            ..Self::get(path, try_within)
        }
    }

    /// A new object, or a subresource's verb.
    pub(crate) fn post(path: String, object: &impl Serialize, try_within: Duration) -> Self {
        Self {
            method: Method::POST,
            body: json(object),
            reads: false,
            ..Self::get(path, try_within)
        }
    }

    /// A question that is asked by posting it.
    pub(crate) fn review(path: String, question: &impl Serialize, try_within: Duration) -> Self {
        Self {
            reads: true,
            ..Self::post(path, question, try_within)
        }
    }

    /// A JSON merge patch.
    pub(crate) fn merge_patch(path: String, patch: &impl Serialize, try_within: Duration) -> Self {
        Self {
            method: Method::PATCH,
            body: json(patch),
            reads: false,
            content_type: MERGE_PATCH,
            ..Self::get(path, try_within)
        }
    }

    /// The object that its path names, or that it is a subresource of; none where it names a collection.
    pub(crate) fn object(&self) -> Option<Object<'_>> {
        let path = self.path.split('?').next()?;
        let (_, within) = path.split_once("/namespaces/")?;
        let mut segments = within.split('/');
        let namespace = segments.next()?;
        let Some(resource) = segments.next() else {
            let (resource, name) = ("namespaces", namespace);
            return Some(Object { resource, name });
        };
        let name = segments.next()?;
        Some(Object { resource, name })
    }

    /// What is sent, or why it cannot be.
    pub(crate) fn to_http(&self) -> Result<Request<Body>, ApiError> {
        let invalid = |why: &str| ApiError::Invalid(format!("no request can be made: {why}"));
        let body = self.body.as_ref().map_err(|why| invalid(why))?;
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(&self.path)
            .body(Body::from(body.to_vec()))
            .map_err(|error| invalid(&error.to_string()))?;
        request
            .headers_mut()
            .insert(header::ACCEPT, HeaderValue::from_static(self.accept));
        if !body.is_empty() {
            request
                .headers_mut()
                .insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        }
        Ok(request)
    }
}

fn json(value: &impl Serialize) -> Result<Bytes, String> {
    let text = serde_json::to_vec(value).map_err(|error| error.to_string())?;
    Ok(text.into())
}

/// The path of a pod. Both names are DNS names by type: nothing in them can leave its segment.
pub(crate) fn pod(namespace: &Namespace, name: &PodName) -> String {
    format!("/api/v1/namespaces/{namespace}/pods/{name}")
}

/// The path of all pods, or of those in a namespace.
pub(crate) fn pods(namespace: Option<&Namespace>) -> String {
    namespace.map_or_else(
        || "/api/v1/pods".to_owned(),
        |namespace| format!("/api/v1/namespaces/{namespace}/pods"),
    )
}

/// The path of a namespace.
pub(crate) fn namespace(name: &Namespace) -> String {
    format!("/api/v1/namespaces/{name}")
}

/// The path of a namespace's disruption budgets.
pub(crate) fn budgets(namespace: &Namespace) -> String {
    format!("/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets")
}

/// A path with a query; empty values are left out.
pub(crate) fn with_query(path: &str, query: &[(&str, &str)]) -> String {
    let mut whole = path.to_owned();
    for (key, value) in query.iter().filter(|(_, value)| !value.is_empty()) {
        whole.push(if whole.contains('?') { '&' } else { '?' });
        whole.push_str(key);
        whole.push('=');
        encode(&mut whole, value);
    }
    whole
}

/// Percent-encodes everything but RFC 3986's unreserved characters.
fn encode(whole: &mut String, value: &str) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            whole.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(whole, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_value_cannot_end_its_parameter() {
        let path = with_query(
            "/api/v1/pods",
            &[
                ("limit", "500"),
                ("continue", ""),
                ("labelSelector", "a in (b,c),d=é&x#"),
            ],
        );
        assert_eq!(
            path,
            "/api/v1/pods?limit=500&labelSelector=a%20in%20%28b%2Cc%29%2Cd%3D%C3%A9%26x%23"
        );
    }

    /// An empty DELETE would end whatever pod has the name.
    #[test]
    fn what_json_cannot_say_is_not_sent() {
        let unsayable = std::collections::BTreeMap::from([((1, 2), 3)]);
        let ask = Ask::delete("/p".into(), &unsayable, Duration::ZERO);
        let why = "no request can be made: key must be a string";
        assert_eq!(ask.to_http().unwrap_err(), ApiError::Invalid(why.into()));
    }

    #[test]
    fn a_path_names_an_object_or_a_collection() {
        let object = |path: &str| {
            let ask = Ask::get(path.to_owned(), Duration::ZERO);
            ask.object().map(|it| format!("{} {}", it.resource, it.name))
        };
        for (path, named) in [
            ("/api/v1/namespaces/shop", Some("namespaces shop")),
            ("/api/v1/namespaces/shop/pods/web-0", Some("pods web-0")),
            ("/api/v1/namespaces/shop/pods/web-0/eviction", Some("pods web-0")),
            (
                "/apis/apps/v1/namespaces/shop/replicasets/web",
                Some("replicasets web"),
            ),
            ("/api/v1/pods?limit=1", None),
            ("/api/v1/namespaces/shop/pods?limit=1&continue=a/b", None),
        ] {
            assert_eq!(object(path).as_deref(), named, "{path}");
        }
    }

    #[test]
    fn a_request_names_what_it_takes_and_what_it_brings() {
        let ask = Ask::merge_patch("/p".into(), &serde_json::json!({"a": 1}), Duration::ZERO);
        let request = ask.to_http().unwrap();
        assert_eq!((request.method(), request.uri().path()), (&Method::PATCH, "/p"));
        assert_eq!(
            request.headers()[header::CONTENT_TYPE],
            "application/merge-patch+json"
        );
        assert_eq!(request.headers()[header::ACCEPT], "application/json");
        let read = Ask::get_metadata("/p".into(), Duration::ZERO).to_http().unwrap();
        assert!(
            read.headers()[header::ACCEPT]
                .to_str()
                .unwrap()
                .starts_with("application/json;as=PartialObjectMetadata;")
        );
        assert!(!read.headers().contains_key(header::CONTENT_TYPE));
    }
}
