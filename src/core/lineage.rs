//! Which record wrote to a workload after which: each record keeps the marker it was decided on, and that names the one before it.

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;

use super::images::all_same_or_pinned;
use super::record::outcome_of;
use trackdown_api::marker::Marker;
use trackdown_api::outcome::Outcome;
use trackdown_api::record::{Action, Record};

/// What has become of what a record deployed, as far as Trackdown itself changed it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Since {
    /// This ticket, another one, has deployed other images.
    Replaced(String),
    /// Others came after it, and its images are back.
    Restored,
}

/// Longest way that is followed from one record.
const WAY_MAX: usize = 64;

/// What came after the record, as far as is known; `None`: nothing. `after`: the records of which [`wrote_after`] names this one.
pub fn since(record: &Record, after: impl Fn(&str) -> Vec<Arc<Record>>) -> Option<Since> {
    let own = &record.spec.ticket.name;
    let mut live = record.spec.images.clone();
    let mut newest = None;
    let mut name = record.name_any();
    for _ in 0..WAY_MAX {
        // An older marker can be brought back, so that two records come after one: the later counts.
        let Some(next) = after(&name).into_iter().max_by_key(|r| patched(r)) else { break };
        let brought = if stays(&next) { next.spec.images.as_slice() } else { &[] };
        for image in &mut live {
            if let Some(brought) = brought.iter().find(|b| b.container == image.container) {
                image.image.clone_from(&brought.image);
                newest = Some(next.spec.ticket.name.clone());
            }
        }
        name = next.name_any();
    }
    let ticket = newest?;
    let same = all_same_or_pinned(&record.spec.images, &live) || ticket == *own;
    Some(if same { Since::Restored } else { Since::Replaced(ticket) })
}

fn patched(record: &Record) -> Option<Timestamp> {
    record.status.as_ref().and_then(|s| s.patched_time.as_ref()).map(|t| t.0)
}

/// The record that wrote before this one, if this one has written.
#[must_use]
pub fn wrote_after(record: &Record) -> Option<String> {
    before(record).filter(|_| wrote(record))
}

/// The record whose marker stood on the workload when this one was decided on.
#[must_use]
pub fn before(record: &Record) -> Option<String> {
    let base = &record.spec.base;
    let marker = Marker::parse(base.marker.as_deref()?, &base.uid, &record.namespace().unwrap_or_default())?;
    Some(marker.record).filter(|before| *before != record.name_any())
}

/// Whether it ended with its images on the workload.
#[must_use]
pub fn stays(record: &Record) -> bool {
    outcome_of(record).is_some_and(|outcome| outcome.is_change() || outcome == Outcome::RollbackComplete)
}

fn wrote(record: &Record) -> bool {
    record.spec.action != Action::Observe && record.status.as_ref().is_some_and(|s| s.patched_time.is_some())
}
