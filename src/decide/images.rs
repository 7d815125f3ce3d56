//! Comparing images.

use crate::api::workload_ref::ContainerImage;

/// Whether `live` is what `wanted` became: the same, or the same with a digest pinned by admission.
#[must_use]
pub fn same_or_pinned(wanted: &str, live: &str) -> bool {
    if wanted == live {
        return true;
    }
    let Some((reference, _digest)) = live.split_once("@sha256:") else { return false };
    reference == wanted || (!wanted.contains('@') && repository(wanted) == repository(reference) && tag(reference).is_none())
}

/// [`same_or_pinned`] for every container of `wanted`.
#[must_use]
pub fn all_same_or_pinned(wanted: &[ContainerImage], live: &[ContainerImage]) -> bool {
    wanted.iter().all(|w| live.iter().any(|l| l.container == w.container && same_or_pinned(&w.image, &l.image)))
}

/// The image without tag and digest.
#[must_use]
pub fn repository(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    match tag(image) {
        Some(tag) => &image[..image.len() - tag.len() - 1],
        None => image,
    }
}

/// The tag: what follows a colon after the last slash (an earlier colon belongs to the registry's port).
fn tag(image: &str) -> Option<&str> {
    let name = image.rsplit('/').next().unwrap_or(image);
    name.split('@').next().and_then(|n| n.split_once(':')).map(|(_, tag)| tag)
}
