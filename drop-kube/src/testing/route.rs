//! What a path of the API names.

use std::collections::BTreeMap;

use falco_event::{Namespace, PodName};
use http::{Method, Uri};

use super::Verb;

/// An object or a collection of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    /// The plural name: `pods`, `replicasets`.
    pub(super) resource: String,
    pub(super) namespace: Option<Namespace>,
    pub(super) name: Option<PodName>,
    pub(super) subresource: Option<String>,
    pub(super) query: BTreeMap<String, String>,
}

impl Route {
    /// The route, or none where the API has nothing at that path.
    pub(super) fn of(uri: &Uri) -> Option<Self> {
        let segments: Vec<&str> = uri.path().split('/').skip(1).collect();
        let rest = match segments.as_slice() {
            ["api", "v1", rest @ ..] | ["apis", _, _, rest @ ..] => rest,
            _ => return None,
        };
        let query = uri.query().unwrap_or_default();
        let query = query.split('&').filter_map(|pair| pair.split_once('='));
        let query = query
            .map(|(key, value)| (key.to_owned(), decode(value)))
            .collect();
        let (namespace, resource, name, subresource) = match rest {
            ["namespaces"] => (None, "namespaces", None, None),
            ["namespaces", name] => (None, "namespaces", Some(*name), None),
            ["namespaces", namespace, resource] => (Some(*namespace), *resource, None, None),
            ["namespaces", namespace, resource, name] => (Some(*namespace), *resource, Some(*name), None),
            ["namespaces", namespace, resource, name, sub] => {
                (Some(*namespace), *resource, Some(*name), Some(*sub))
            }
            [resource] => (None, *resource, None, None),
            _ => return None,
        };
        Some(Self {
            resource: resource.to_owned(),
            namespace: namespace.map(Namespace::try_from).transpose().ok()?,
            name: name.map(PodName::try_from).transpose().ok()?,
            subresource: subresource.map(ToOwned::to_owned),
            query,
        })
    }

    /// What the method means here.
    pub(super) fn verb(&self, method: &Method) -> Option<Verb> {
        Some(match (method.as_str(), &self.name, self.subresource.as_deref()) {
            ("GET", Some(_), _) => Verb::Get,
            ("GET", None, _) if self.parameter("watch") == "true" => Verb::Watch,
            ("GET", None, _) => Verb::List,
            ("DELETE", Some(_), None) => Verb::Delete,
            ("PATCH", Some(_), None) => Verb::Patch,
            ("POST", Some(_), Some("eviction")) => Verb::Evict,
            ("POST", None, _) => Verb::Create,
            _ => return None,
        })
    }

    pub(super) fn parameter(&self, key: &str) -> &str {
        self.query.get(key).map_or("", String::as_str)
    }
}

fn decode(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        let pair = [rest.clone().next(), rest.clone().nth(1)];
        match (byte, pair) {
            (b'%', [Some(high), Some(low)]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                bytes.push(digit(high) << 4 | digit(low));
                rest.nth(1);
            }
            (b'+', _) => bytes.push(b' '),
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn digit(byte: u8) -> u8 {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_an_object_a_collection_or_nothing() {
        let route = |path: &str| Route::of(&path.parse().unwrap());
        let pod = route("/api/v1/namespaces/shop/pods/web-0/eviction").unwrap();
        assert_eq!(
            (pod.resource.as_str(), pod.name.unwrap().as_str()),
            ("pods", "web-0")
        );
        assert_eq!(
            (pod.namespace.unwrap().as_str(), pod.subresource.as_deref()),
            ("shop", Some("eviction"))
        );
        let all = route("/api/v1/pods?limit=5&labelSelector=a%3Db%2Cc+d%").unwrap();
        assert_eq!(
            (all.parameter("limit"), all.parameter("labelSelector")),
            ("5", "a=b,c d%")
        );
        assert_eq!(route("/api/v1/namespaces/shop").unwrap().resource, "namespaces");
        assert_eq!(
            route("/apis/apps/v1/namespaces/shop/replicasets/web-1")
                .unwrap()
                .resource,
            "replicasets"
        );
        for nothing in [
            "/",
            "/healthz",
            "/api/v1/namespaces/shop/pods/../x",
            "/api/v1/namespaces/SHOP/pods",
        ] {
            assert_eq!(route(nothing), None, "{nothing}");
        }
    }
}
