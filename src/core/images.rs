//! Comparing images.

use trackdown_api::workload_ref::ContainerImage;

/// Whether `live` is what `wanted` became: the same, or the same with a digest appended by admission. A digest without the tag may
/// be any version of the image.
#[must_use]
pub fn same_or_pinned(wanted: &str, live: &str) -> bool {
    let appended = live.strip_prefix(wanted);
    appended.is_some_and(|rest| rest.is_empty() || (rest.starts_with("@sha256:") && !wanted.contains('@')))
}

/// [`same_or_pinned`] for every container of `wanted`.
#[must_use]
pub fn all_same_or_pinned(wanted: &[ContainerImage], live: &[ContainerImage]) -> bool {
    wanted.iter().all(|w| live.iter().any(|l| l.container == w.container && same_or_pinned(&w.image, &l.image)))
}
