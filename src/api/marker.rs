//! The annotation [`super::MARKER_ANNOTATION`]: lock, proof of writing and undo, written in the same request as the image.

use serde::{Deserialize, Serialize};

use super::workload_ref::{ContainerImage, is_name};

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
    /// The record has put `undo` back: written in the same request as those images, so that what anybody sets after that is not taken
    /// for what the record had set before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restored: bool,
    /// The record's rollout ended well: `set` is a good state of its own, `undo` is history.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub succeeded: bool,
    /// Record that ended without writing after this marker was written: what it may still have had under way is refused, because
    /// the marker is no longer the one it was decided on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fenced: Option<String>,
}

/// Most images a marker is taken to hold, and longest image and name: as in a record.
const IMAGES_MAX: usize = 32;
const IMAGE_MAX: usize = 512;
const NAME_MAX: usize = 63;

impl Marker {
    /// The marker in an annotation's value, if it is one, was written to this very workload, and holds nothing Trackdown would not
    /// have written: anybody who may edit the workload can edit the annotation.
    #[must_use]
    pub fn parse(value: &str, workload_uid: &str, namespace: &str) -> Option<Self> {
        let marker = serde_json::from_str::<Self>(value).ok()?;
        let images = || marker.set.iter().chain(&marker.undo);
        let sound = marker.workload_uid == workload_uid
            && marker.namespace == namespace
            && marker.record.len() <= NAME_MAX
            && is_name(&marker.record)
            && images().count() <= 2 * IMAGES_MAX
            && images().all(|i| i.image.len() <= IMAGE_MAX && i.container.len() <= NAME_MAX);
        sound.then_some(marker)
    }
}
