//! The fake API server itself: its socket, its log of requests, its faults.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use drop_core::memory::Cluster;
use http::{Request, Uri, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use kube::client::ConfigExt as _;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower::Layer as _;

use super::answer::{Answer, answer, finish, is_metadata_only, keep_metadata};
use super::changes::{Changed, Named};
use super::fault::Faults;
use super::reply::Reply;
use super::route::Route;
use super::{Fault, Verb, objects, stream};

/// A request that the fake API server received.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received {
    /// When its body had arrived.
    pub at: Instant,
    /// What it asks for; none where the API has no such thing.
    pub verb: Option<Verb>,
    /// The HTTP method.
    pub method: String,
    /// The path, with the query.
    pub path: String,
    /// `Content-Type`, or nothing.
    pub content_type: String,
    /// `Authorization`, or nothing.
    pub authorization: String,
    /// The body.
    pub body: Bytes,
}

/// A fake API server on loopback. It stops when it is dropped.
#[derive(Debug)]
pub struct ApiServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: tokio::task::AbortHandle,
}

#[derive(Debug)]
struct Shared {
    cluster: Cluster,
    faults: Faults,
    requests: Mutex<Vec<Received>>,
    in_flight: InFlight,
    events: Mutex<Vec<Value>>,
    denied: Mutex<Vec<(String, String)>>,
    /// How often all watches were ended.
    ended: watch::Sender<u64>,
}

/// Requests being answered, now and at most.
#[derive(Debug, Default)]
struct InFlight {
    now: AtomicUsize,
    most: AtomicUsize,
}

struct Flying<'a>(&'a InFlight);

impl InFlight {
    fn one(&self) -> Flying<'_> {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        Flying(self)
    }
}

impl Drop for Flying<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

impl ApiServer {
    /// Serves this cluster on a free port of 127.0.0.1, on the runtime that it is called on.
    ///
    /// # Errors
    /// No port can be bound.
    pub async fn start(cluster: Cluster) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            cluster,
            faults: Faults::default(),
            requests: Mutex::default(),
            in_flight: InFlight::default(),
            events: Mutex::default(),
            denied: Mutex::default(),
            ended: watch::Sender::new(0),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared))).abort_handle();
        Ok(Self {
            address,
            shared,
            accepting,
        })
    }

    /// Where it listens: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A kubeconfig that names it, without credentials.
    #[must_use]
    pub fn kubeconfig(&self) -> String {
        self.kubeconfig_with("fake", "", "")
    }

    /// A kubeconfig whose current context is `name`, with more members of its cluster and its user, in YAML's flow
    /// style.
    #[must_use]
    pub fn kubeconfig_with(&self, name: &str, cluster: &str, user: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: {name}\n\
             clusters: [{{name: {name}, cluster: {{server: '{}', {cluster}}}}}]\n\
             users: [{{name: {name}, user: {{{user}}}}}]\n\
             contexts: [{{name: {name}, context: {{cluster: {name}, user: {name}}}}}]\n",
            self.url()
        )
    }

    /// A client for it that leaves retries and deadlines to its user. It knows no TLS: reading the machine's
    /// certificates would take each test 50 ms.
    ///
    /// # Errors
    /// The address is none that a client takes, which a bound one is not.
    pub fn client(&self) -> Result<kube::Client, kube::Error> {
        let url = self
            .url()
            .parse::<Uri>()
            .map_err(|error| kube::Error::HttpError(error.into()))?;
        let config = kube::Config::new(url);
        let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .build_http::<kube::client::Body>();
        Ok(kube::Client::new(
            config.base_uri_layer().layer(http),
            config.default_namespace,
        ))
    }

    /// The cluster that it serves.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.shared.cluster
    }

    /// The next such request meets this fault; several are met in order.
    pub fn fail_next(&self, verb: Verb, fault: Fault) {
        self.shared.faults.push(verb, fault);
    }

    /// Every such request meets this fault, until [`heal`](Self::heal).
    pub fn fail(&self, verb: Verb, fault: Fault) {
        self.shared.faults.last(verb, fault);
    }

    /// Nothing goes wrong any more.
    pub fn heal(&self) {
        self.shared.faults.clear();
    }

    /// The Kubernetes Events that were posted.
    #[must_use]
    pub fn events(&self) -> Vec<Value> {
        self.shared
            .events
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// From now on an access review says that this verb on this resource (`pods/eviction`) is not allowed. Only
    /// reviews ask: requests themselves are let through.
    pub fn deny(&self, verb: &str, resource: &str) {
        let denied = (verb.to_owned(), resource.to_owned());
        self.shared
            .denied
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(denied);
    }

    /// Takes back every [`deny`](Self::deny).
    pub fn allow(&self) {
        self.shared
            .denied
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// Breaks off every watch that is open.
    pub fn end_watches(&self) {
        self.shared
            .ended
            .send_modify(|ended| *ended = ended.wrapping_add(1));
    }

    /// How many watches are open.
    #[must_use]
    pub fn watches(&self) -> usize {
        self.shared.ended.receiver_count()
    }

    /// How many requests it was answering at one time, at most.
    #[must_use]
    pub fn most_in_flight(&self) -> usize {
        self.shared.in_flight.most.load(Ordering::SeqCst)
    }

    /// Every request so far, in the order in which they were read.
    #[must_use]
    pub fn requests(&self) -> Vec<Received> {
        self.shared
            .requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Its connections end with it.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        let service = service_fn(move |request| serve(Arc::clone(&shared), request));
        connections.spawn(async move {
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn serve(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Answer, io::Error> {
    let _flying = shared.in_flight.one();
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let route = Route::of(&head.uri);
    let verb = route.as_ref().and_then(|route| route.verb(&head.method));
    shared.note(&head, verb, &body);
    let metadata_only = head.headers.get(header::ACCEPT).is_some_and(is_metadata_only);
    let fault = verb.and_then(|verb| shared.faults.take(verb));
    match &fault {
        Some(Fault::Answer {
            status,
            retry_after,
            body,
        }) => return answer(*status, *retry_after, body.clone()),
        Some(Fault::Hang) => return std::future::pending().await,
        Some(Fault::Close) => return Err(io::ErrorKind::ConnectionAborted.into()),
        _ => {}
    }
    if let (Some(Verb::Watch), Some(route)) = (verb, &route) {
        return Ok(stream::changes(
            &shared.cluster,
            route,
            shared.ended.subscribe(),
            fault.as_ref(),
        ));
    }
    let reply = shared.carry_out(route.as_ref(), verb, &body).await;
    let Some(mut reply) = reply else {
        return Err(io::ErrorKind::ConnectionAborted.into());
    };
    if metadata_only && reply.status == 200 {
        keep_metadata(&mut reply.body);
    }
    finish(fault, reply).await
}

impl Shared {
    fn note(&self, head: &http::request::Parts, verb: Option<Verb>, body: &Bytes) {
        let text = |name| {
            let value = head.headers.get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Received {
                at: Instant::now(),
                verb,
                method: head.method.to_string(),
                path: head.uri.to_string(),
                content_type: text(header::CONTENT_TYPE),
                authorization: text(header::AUTHORIZATION),
                body: body.clone(),
            });
    }

    /// The right answer; none where the cluster was told to lose it.
    async fn carry_out(&self, route: Option<&Route>, verb: Option<Verb>, body: &Bytes) -> Option<Reply> {
        let (Some(route), Some(verb)) = (route, verb) else {
            return Some(Reply::no_path());
        };
        match (verb, route.resource.as_str(), &route.namespace, &route.name) {
            (Verb::Get, ..) => Some(objects::get(&self.cluster, route)),
            (Verb::List, ..) => Some(objects::list(&self.cluster, route)),
            (Verb::Delete | Verb::Patch | Verb::Evict, "pods", Some(namespace), Some(name)) => {
                let body = serde_json::from_slice(body).unwrap_or(Value::Null);
                match (Named {
                    cluster: &self.cluster,
                    namespace,
                    name,
                })
                .change(verb, &body)
                .await
                {
                    Changed::Answered(reply) => Some(reply),
                    Changed::Unanswered => None,
                }
            }
            (Verb::Create, "selfsubjectaccessreviews", None, None) => Some(self.review(body)),
            (Verb::Create, "events", Some(_), None) => Some(self.take_event(body)),
            _ => Some(Reply::no_path()),
        }
    }

    fn review(&self, body: &Bytes) -> Reply {
        let mut review: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let asked = |member: &str| {
            review
                .pointer(&format!("/spec/resourceAttributes/{member}"))
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let (verb, resource, subresource) = (asked("verb"), asked("resource"), asked("subresource"));
        let whole = if subresource.is_empty() {
            resource.to_owned()
        } else {
            format!("{resource}/{subresource}")
        };
        let denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        let allowed = !denied.contains(&(verb.to_owned(), whole));
        if let Some(members) = review.as_object_mut() {
            members.insert("status".to_owned(), serde_json::json!({ "allowed": allowed }));
        }
        Reply::created(review)
    }

    /// An Event's name is taken once, as any object's.
    fn take_event(&self, body: &Bytes) -> Reply {
        let event: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        if events
            .iter()
            .any(|other| other.pointer("/metadata/name") == event.pointer("/metadata/name"))
        {
            return Reply::failed(409, "AlreadyExists", "an event of this name exists already");
        }
        events.push(event.clone());
        Reply::created(event)
    }
}
