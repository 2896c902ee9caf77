//! Why a request is not an alert in a CloudEvent.

use http::StatusCode;

use crate::error::ReadError;

/// Why a request is not an alert in a CloudEvent, by what the receiver does next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It does not claim to be a CloudEvent: it may be bare JSON of Falco's.
    #[error("not a CloudEvent: expected `ce-` headers or the media type `application/cloudevents+json`")]
    NotACloudEvent,
    /// It is a CloudEvent in a form that is not read: a batch, or a format other than JSON.
    #[error(
        "media type `{found}`: expected `application/cloudevents+json` or binary mode, one event a request"
    )]
    UnsupportedMediaType {
        /// The media type: escaped and short.
        found: String,
    },
    /// It breaks the CloudEvents specification.
    #[error("CloudEvent attribute `{attribute}`: {why}")]
    Invalid {
        /// The attribute, escaped and short.
        attribute: String,
        /// What is wrong with it and what was expected.
        why: String,
    },
    /// It is in structured mode, and not JSON.
    #[error("structured CloudEvent: {0}")]
    Structure(ReadError),
    /// It is a good CloudEvent, and no alert.
    #[error("CloudEvent of type `{found}`: expected `falco.rule.output.v1`")]
    OtherType {
        /// The type: escaped and short.
        found: String,
    },
    /// It is a good CloudEvent with an alert's type, whose data is no alert.
    #[error("data of the CloudEvent: {0}")]
    Data(ReadError),
}

impl Refusal {
    pub(super) fn invalid(attribute: &str, why: impl Into<String>) -> Self {
        Self::Invalid {
            attribute: crate::excerpt::excerpt(attribute),
            why: why.into(),
        }
    }

    /// What to answer over HTTP, chosen for Knative: none of these makes a Broker send the same bytes again.
    ///
    /// An event of another type is accepted and forgotten (202): it is as valid as its sender could make it, and an
    /// error would fail the delivery for all other subscribers of an in-memory channel.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::UnsupportedMediaType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::OtherType { .. } => StatusCode::ACCEPTED,
            Self::NotACloudEvent | Self::Invalid { .. } | Self::Structure(_) | Self::Data(_) => {
                StatusCode::BAD_REQUEST
            }
        }
    }
}
