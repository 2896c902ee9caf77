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
    /// Hands over each object, so that no more than a page is held at a time, and returns the `resourceVersion` of
    /// the whole.
    pub(crate) async fn each<T: DeserializeOwned>(
        &self,
        each: &mut (dyn FnMut(T) + Send),
    ) -> Result<String, Broken> {
        let limit = self.limit.max(1).to_string();
        let mut go_on = String::new();
        loop {
            let path = request::with_query(&self.path, self.select);
            let path = request::with_query(&path, &[("limit", &limit), ("continue", &go_on)]);
            let ask = (self.ask)(path, self.try_within);
            let page = self.caller.read::<wire::List<T>>(&ask, self.until).await;
            // A collection is there, if only an empty one.
            let page = page.and_then(|page| page.ok_or_else(absent));
            let page = page.map_err(|why| Broken {
                why,
                after_the_first_page: !go_on.is_empty(),
            })?;
            page.items.into_iter().for_each(&mut *each);
            match page.metadata.go_on.filter(|token| !token.is_empty()) {
                Some(token) => go_on = token,
                None => return Ok(page.metadata.resource_version),
            }
        }
    }

    /// Every object.
    pub(crate) async fn all<T: DeserializeOwned + Send>(&self) -> Result<Vec<T>, ApiError> {
        let mut all = Vec::new();
        self.each(&mut |object| all.push(object))
            .await
            .map_err(|broken| broken.why)?;
        Ok(all)
    }
}

fn absent() -> ApiError {
    ApiError::Unavailable("the API server does not have the collection".into())
}
