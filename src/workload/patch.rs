//! The JSON patches Trackdown makes on a workload. Each tests what it was decided on, so the API server refuses it when anything
//! relevant changed since.
//!
//! Not server-side apply: as co-owner of the container list Trackdown would keep alive containers that others remove.

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation, RemoveOperation, ReplaceOperation, TestOperation};
use serde_json::{Value, json};

use super::view::WorkloadView;
use crate::api::marker::Marker;
use crate::api::workload_ref::ContainerImage;
use crate::api::{MARKER_ANNOTATION, ROLLING_LABEL};

/// Changes images and writes the marker and the label in the same request. Tests UID, generation, marker and every container's name
/// and image as they are in `view`, and that nobody has begun to own the image since.
#[must_use]
pub fn set_images(view: &WorkloadView, images: &[ContainerImage], marker: &Marker) -> Patch {
    let mut ops = vec![test_uid(view), test("/metadata/generation", json!(view.generation)), test_marker(view)];
    ops.extend(test_owner(view));
    ops.extend(replace_images(view, images));
    ops.extend(write_marker(view, marker));
    ops.extend(add_label(view));
    Patch(ops)
}

/// Puts images back. The generation may have moved (a scaler); UID, marker, owner, names and images may not.
#[must_use]
pub fn restore_images(view: &WorkloadView, images: &[ContainerImage]) -> Patch {
    let mut ops = vec![test_uid(view), test_marker(view)];
    ops.extend(test_owner(view));
    ops.extend(replace_images(view, images));
    Patch(ops)
}

/// Writes the marker alone: whoever still holds a patch decided on the old marker is refused from now on.
#[must_use]
pub fn fence(view: &WorkloadView, marker: &Marker) -> Patch {
    let mut ops = vec![test_uid(view), test_marker(view)];
    ops.extend(write_marker(view, marker));
    Patch(ops)
}

/// Takes the label of a rollout in flight away, and replaces the marker if one is given.
#[must_use]
pub fn release(view: &WorkloadView, marker: Option<&Marker>) -> Patch {
    let mut ops = vec![test_uid(view), test_marker(view)];
    if view.rolling {
        ops.push(PatchOperation::Remove(RemoveOperation { path: label_pointer() }));
    }
    if let Some(marker) = marker {
        ops.extend(write_marker(view, marker));
    }
    Patch(ops)
}

/// Puts the label of a rollout in flight back after somebody took it away.
#[must_use]
pub fn relabel(view: &WorkloadView) -> Patch {
    let mut ops = vec![test_uid(view), test_marker(view)];
    ops.extend(add_label(view));
    Patch(ops)
}

fn replace_images(view: &WorkloadView, images: &[ContainerImage]) -> Vec<PatchOperation> {
    let found = images.iter().filter_map(|i| view.container(&i.container).map(|c| (c, i)));
    found
        .flat_map(|(container, image)| {
            let path = format!("{}/image", container.path);
            [
                test(&format!("{}/name", container.path), json!(container.name)),
                test(&path, json!(container.image)),
                PatchOperation::Replace(ReplaceOperation { path: pointer(&path), value: json!(image.image) }),
            ]
        })
        .collect()
}

fn test_uid(view: &WorkloadView) -> PatchOperation {
    test("/metadata/uid", json!(view.uid))
}

/// A `test` for `null` holds where the member is absent: so the API server's JSON patch reads it, but only if the parent is there.
fn test_marker(view: &WorkloadView) -> PatchOperation {
    if view.has_annotations { test(&annotation_path(), json!(view.marker)) } else { test("/metadata/annotations", Value::Null) }
}

/// Neither labels nor, on some kinds, annotations move the generation: an owner that appeared between the read and the write is only
/// found so.
fn test_owner(view: &WorkloadView) -> Vec<PatchOperation> {
    let is_there = |map: &str| if map == "labels" { view.has_labels } else { view.has_annotations };
    let marks = view.marks.iter().filter(|m| is_there(m.map));
    let mut ops: Vec<_> =
        marks.map(|m| test(&format!("/metadata/{}/{}", m.map, m.key.replace('/', "~1")), json!(m.value))).collect();
    if !view.has_labels {
        ops.push(test("/metadata/labels", Value::Null));
    }
    ops
}

fn write_marker(view: &WorkloadView, marker: &Marker) -> Vec<PatchOperation> {
    let value = json!(serde_json::to_string(marker).unwrap_or_default());
    let mut ops = Vec::new();
    if !view.has_annotations {
        ops.push(add("/metadata/annotations", json!({})));
    }
    ops.push(add(&annotation_path(), value));
    ops
}

fn add_label(view: &WorkloadView) -> Vec<PatchOperation> {
    let mut ops = Vec::new();
    if !view.has_labels {
        ops.push(add("/metadata/labels", json!({})));
    }
    ops.push(PatchOperation::Add(AddOperation { path: label_pointer(), value: json!("true") }));
    ops
}

fn annotation_path() -> String {
    format!("/metadata/annotations/{}", MARKER_ANNOTATION.replace('/', "~1"))
}

fn label_pointer() -> PointerBuf {
    pointer(&format!("/metadata/labels/{}", ROLLING_LABEL.replace('/', "~1")))
}

fn test(path: &str, value: Value) -> PatchOperation {
    PatchOperation::Test(TestOperation { path: pointer(path), value })
}

fn add(path: &str, value: Value) -> PatchOperation {
    PatchOperation::Add(AddOperation { path: pointer(path), value })
}

fn pointer(path: &str) -> PointerBuf {
    PointerBuf::parse(path).unwrap_or_default()
}
