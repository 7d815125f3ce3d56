//! The annotation [`super::MARKER_ANNOTATION`]: lock, proof of writing and undo, written in the same request as the image.

use serde::{Deserialize, Serialize};

use super::workload_ref::ContainerImage;

/// What Trackdown last did to a workload. A JSON object in the annotation's value.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Marker {
    /// UID of the workload this was written to. A marker that was copied or restored elsewhere names another one and is ignored.
    pub workload_uid: String,
    /// UID of the ticket on whose behalf it was written.
    pub ticket_uid: String,
    /// Namespace of the record.
    pub namespace: String,
    /// Name of the Deployment record that wrote it and, until that record is finished, holds the workload.
    pub record: String,
    /// The images that were set.
    pub set: Vec<ContainerImage>,
    /// The images to go back to.
    pub undo: Vec<ContainerImage>,
    /// The record's rollout ended well: `set` is a good state of its own, `undo` is history.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub succeeded: bool,
}

impl Marker {
    /// The marker in an annotation's value, if it is one and was written to this very workload.
    #[must_use]
    pub fn parse(value: &str, workload_uid: &str) -> Option<Self> {
        serde_json::from_str::<Self>(value).ok().filter(|m| m.workload_uid == workload_uid)
    }
}
