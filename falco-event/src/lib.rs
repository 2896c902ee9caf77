#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod alert;
mod body;
mod draft;
mod edit;
mod envelope;
mod error;
mod excerpt;
mod field_type;
mod fields;
mod id;
mod json;
mod names;
mod offender;
mod priority;
mod read;
mod time;
mod value;
mod write;

#[cfg(feature = "cloudevents")]
pub mod cloudevents;
#[cfg(feature = "proptest1")]
pub mod proptest1;

pub use alert::Alert;
pub use body::{ReadAll, read_all};
pub use edit::Edit;
pub use error::{Fault, ReadError};
pub use field_type::{ElementType, FieldType, field_type};
pub use fields::{Fields, Missing, Typed};
pub use id::{AlertId, AlertIdError};
pub use jiff::Timestamp;
pub use names::{ContainerId, NameError, Namespace, NodeName, PodName, PodUid};
pub use offender::{Offender, Refused};
pub use priority::{Priority, PriorityError};
pub use value::{List, Number, Value};
