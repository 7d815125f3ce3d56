//! The JSON patches Trackdown makes on a workload. Each tests what it was decided on, so the API server refuses it when anything
//! relevant changed since.
//!
//! Not server-side apply: as co-owner of the container list Trackdown would keep alive containers that others remove.

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation, RemoveOperation, ReplaceOperation, TestOperation};
use serde_json::{Value, json};

use super::view::WorkloadView;
use trackdown_api::marker::Marker;
use trackdown_api::workload_ref::ContainerImage;
use trackdown_api::{MARKER_ANNOTATION, ROLLING_LABEL, witness};

const ANNOTATIONS: [&str; 2] = ["metadata", "annotations"];
const LABELS: [&str; 2] = ["metadata", "labels"];

/// Changes images and writes the marker and the label in the same request. Tests UID, generation, marker and every container's name
/// and image as they are in `view`, and that nobody has begun to own the image since.
#[must_use]
pub fn set_images(view: &WorkloadView, images: &[ContainerImage], marker: &Marker) -> Patch {
    let mut ops = vec![test_uid(view), test(&["metadata", "generation"], json!(view.generation)), test_marker(view)];
    ops.extend(test_owner(view));
    ops.extend(replace_images(view, images));
    ops.extend(write_marker(view, marker));
    ops.extend(write_label(view, &witness::set_by(&marker.record)));
    Patch(ops)
}

/// Puts the images back that the marker remembers, and says so in marker and label, in the same request. The generation may have moved
/// (a scaler); UID, marker, label, owner, names and images may not: so a record does this once.
#[must_use]
pub fn restore_images(view: &WorkloadView, images: &[ContainerImage], marker: &Marker) -> Patch {
    let mut ops = vec![test_uid(view), test_marker(view)];
    ops.extend(test_owner(view));
    ops.extend(view.has_labels.then(|| test(&within(LABELS, ROLLING_LABEL), json!(view.rolling))));
    ops.extend(replace_images(view, images));
    ops.extend(write_marker(view, &Marker { restored: true, ..marker.clone() }));
    ops.extend(write_label(view, &witness::restored_by(&marker.record)));
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
    if view.rolling.is_some() {
        let path = PointerBuf::from_tokens(within(LABELS, ROLLING_LABEL));
        ops.push(PatchOperation::Remove(RemoveOperation { path }));
    }
    if let Some(marker) = marker {
        ops.extend(write_marker(view, marker));
    }
    Patch(ops)
}

/// Puts the label of a rollout in flight back after somebody took it away.
#[must_use]
pub fn relabel(view: &WorkloadView, marker: &Marker) -> Patch {
    let mut ops = vec![test_uid(view), test_marker(view)];
    let value = if marker.restored { witness::restored_by(&marker.record) } else { witness::set_by(&marker.record) };
    ops.extend(write_label(view, &value));
    Patch(ops)
}

fn replace_images(view: &WorkloadView, images: &[ContainerImage]) -> Vec<PatchOperation> {
    let found = images.iter().filter_map(|i| view.container(&i.container).map(|c| (c, i)));
    found
        .flat_map(|(container, image)| {
            let index = container.index.to_string();
            let field = |name| ["spec", "template", "spec", container.list, &index, name];
            let path = PointerBuf::from_tokens(field("image"));
            [
                test(&field("name"), json!(container.name)),
                test(&field("image"), json!(container.image)),
                PatchOperation::Replace(ReplaceOperation { path, value: json!(image.image) }),
            ]
        })
        .collect()
}

fn test_uid(view: &WorkloadView) -> PatchOperation {
    test(&["metadata", "uid"], json!(view.uid))
}

/// A `test` for `null` holds where the member is absent: so the API server's JSON patch reads it, but only if the parent is there.
fn test_marker(view: &WorkloadView) -> PatchOperation {
    if view.has_annotations {
        test(&within(ANNOTATIONS, MARKER_ANNOTATION), json!(view.marker))
    } else {
        test(&ANNOTATIONS, Value::Null)
    }
}

/// Neither labels nor, on some kinds, annotations move the generation: an owner that appeared between the read and the write is only
/// found so.
fn test_owner(view: &WorkloadView) -> Vec<PatchOperation> {
    let is_there = |map: &str| if map == "labels" { view.has_labels } else { view.has_annotations };
    let marks = view.marks.iter().filter(|m| is_there(m.map));
    let mut ops: Vec<_> = marks.map(|m| test(&within(["metadata", m.map], m.key), json!(m.value))).collect();
    if !view.has_labels {
        ops.push(test(&LABELS, Value::Null));
    }
    ops
}

fn write_marker(view: &WorkloadView, marker: &Marker) -> Vec<PatchOperation> {
    let value = json!(serde_json::to_string(marker).unwrap_or_default());
    let map = (!view.has_annotations).then(|| add(&ANNOTATIONS, json!({})));
    map.into_iter().chain([add(&within(ANNOTATIONS, MARKER_ANNOTATION), value)]).collect()
}

fn write_label(view: &WorkloadView, value: &str) -> Vec<PatchOperation> {
    let map = (!view.has_labels).then(|| add(&LABELS, json!({})));
    map.into_iter().chain([add(&within(LABELS, ROLLING_LABEL), json!(value))]).collect()
}

fn within<'a>(map: [&'a str; 2], key: &'a str) -> [&'a str; 3] {
    [map[0], map[1], key]
}

fn test(path: &[&str], value: Value) -> PatchOperation {
    PatchOperation::Test(TestOperation { path: PointerBuf::from_tokens(path.iter().copied()), value })
}

fn add(path: &[&str], value: Value) -> PatchOperation {
    PatchOperation::Add(AddOperation { path: PointerBuf::from_tokens(path.iter().copied()), value })
}
