//! Answers: status codes with the API server's own bodies.

use drop_core::ports::ApiError;
use serde_json::{Value, json};

/// An answer before it is put on the wire.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Value,
}

impl Reply {
    pub(super) fn ok(body: Value) -> Self {
        Self { status: 200, body }
    }

    pub(super) fn created(body: Value) -> Self {
        Self { status: 201, body }
    }

    /// The object by that name is not there.
    pub(super) fn absent(resource: &str, name: &str) -> Self {
        let mut body = status(404, "NotFound", &format!("{resource} \"{name}\" not found"), &[]);
        if let Some(members) = body.as_object_mut() {
            members.insert("details".to_owned(), json!({ "name": name, "kind": resource }));
        }
        Self { status: 404, body }
    }

    /// There is nothing at that path.
    pub(super) fn no_path() -> Self {
        Self::failed(
            404,
            "NotFound",
            "the server could not find the requested resource",
        )
    }

    pub(super) fn failed(code: u16, reason: &str, message: &str) -> Self {
        Self {
            status: code,
            body: status(code, reason, message, &[]),
        }
    }

    /// How the API server says what a cluster in memory answered about the pod of this name.
    pub(super) fn refused(error: &ApiError, name: &str) -> Self {
        let message = error.to_string();
        match error {
            ApiError::NotFound => Self::absent("pods", name),
            ApiError::Conflict(_) => Self::failed(409, "Conflict", &message),
            ApiError::Invalid(_) => Self::failed(422, "Invalid", &message),
            ApiError::Forbidden(_) => Self::failed(403, "Forbidden", &message),
            ApiError::Budget(why) => budget(why),
            ApiError::TooManyRequests(_) => Self::failed(429, "TooManyRequests", &message),
            ApiError::Unavailable(_) => Self::failed(503, "ServiceUnavailable", &message),
            ApiError::TimedOut(_) => Self::failed(504, "Timeout", &message),
            _ => Self::failed(500, "InternalError", &message),
        }
    }

    /// A patch that names another UID than the pod's.
    pub(super) fn immutable_uid(name: &str) -> Self {
        let message = format!("Pod \"{name}\" is invalid: metadata.uid: field is immutable");
        let cause = json!({ "reason": "FieldValueInvalid", "message": "field is immutable", "field": "metadata.uid" });
        Self {
            status: 422,
            body: status(422, "Invalid", &message, &[cause]),
        }
    }
}

/// One budget is answered with 429 and a cause, two on one pod with 500.
fn budget(why: &str) -> Reply {
    if why.starts_with("more than one") {
        let message = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
        return Reply {
            status: 500,
            body: status(500, "", message, &[]),
        };
    }
    let cause = json!({ "reason": "DisruptionBudget", "message": why });
    let message = "Cannot evict pod as it would violate the pod's disruption budget.";
    Reply {
        status: 429,
        body: status(429, "TooManyRequests", message, &[cause]),
    }
}

/// A `Status` that says failure.
pub(super) fn status(code: u16, reason: &str, message: &str, causes: &[Value]) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "details": { "causes": causes }, "code": code,
    })
}
