//! A list of the API server, page by page.

use std::time::Duration;

use drop_core::ports::ApiError;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::caller::Caller;
use crate::request::{self, Ask};
use crate::wire;

/// One list.
pub(crate) struct Pages<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) path: String,
    /// What is selected: names and values of query parameters.
    pub(crate) select: &'a [(&'a str, &'a str)],
    pub(crate) limit: u32,
    pub(crate) ask: fn(String, Duration) -> Ask,
    pub(crate) try_within: Duration,
    pub(crate) until: Instant,
}

/// A list that ended before its last page.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) why: ApiError,
    /// It had begun: where the API server answers, it lost its place (410), and a new list may go through.
    pub(crate) after_the_first_page: bool,
}

impl Pages<'_> {
    /// Hands over each object as it comes, and returns the `resourceVersion` of the whole. An object can come more than
    /// once: a page that broke off is asked for again.
    pub(crate) async fn each<T: DeserializeOwned>(
        &self,
        each: &mut (dyn FnMut(T) + Send),
    ) -> Result<String, Broken> {
        let mut go_on = String::new();
        loop {
            let page = self.caller.list(&self.ask(&go_on), self.until, each).await;
            // A collection is there, if only an empty one.
            let page = page.and_then(|page| page.ok_or_else(absent));
            let page = page.map_err(|why| Broken {
                why,
                after_the_first_page: !go_on.is_empty(),
            })?;
            match next(page.go_on) {
                Some(token) => go_on = token,
                None => return Ok(page.resource_version),
            }
        }
    }

    /// Every object, once.
    pub(crate) async fn all<T: DeserializeOwned + Send>(&self) -> Result<Vec<T>, ApiError> {
        let (mut all, mut go_on) = (Vec::new(), String::new());
        loop {
            let page: Option<wire::List<T>> = self.caller.read(&self.ask(&go_on), self.until).await?;
            let page = page.ok_or_else(absent)?;
            all.extend(page.items);
            match next(page.metadata.go_on) {
                Some(token) => go_on = token,
                None => return Ok(all),
            }
        }
    }

    fn ask(&self, go_on: &str) -> Ask {
        let limit = self.limit.max(1).to_string();
        let path = request::with_query(&self.path, self.select);
        let path = request::with_query(&path, &[("limit", &limit), ("continue", go_on)]);
        (self.ask)(path, self.try_within)
    }
}

fn next(token: Option<String>) -> Option<String> {
    token.filter(|token| !token.is_empty())
}

fn absent() -> ApiError {
    ApiError::Unavailable("the API server does not have the collection".into())
}
