//! What happened to an attempt and its workload: from the record before and after a write, and from what else was done for it.

use std::iter::once;

use super::{About, Happening, News};
use crate::preflight::finished;
use crate::record::{Purpose, outcome_of, stopped_by};
use crate::workload::view::WorkloadView;
use crate::{condition_reason, reason};
use trackdown_api::condition::find_condition;
use trackdown_api::record::Record;
use trackdown_api::workload_ref::ContainerImage;

/// The record was made. It says nothing of the workload yet, which nobody has touched.
#[must_use]
pub fn created(record: &Record) -> News {
    let about = About { workload: None, ..About::record(record) };
    News { about, what: Happening::RecordCreated { images: record.spec.images.clone() } }
}

/// What happened between two statuses of a record. `workload`: as far as it was seen.
#[must_use]
pub fn between(before: &Record, after: &Record, workload: Option<&WorkloadView>) -> Vec<News> {
    let Some(status) = after.status.as_ref().filter(|_| finished(after) && !finished(before)) else { return Vec::new() };
    let about = About { workload_uid: workload.map(|view| view.uid.clone()), ..About::record(after) };
    let Some(result) = outcome_of(after) else { return Vec::new() };
    let message = condition_reason(after).map(|(_, message)| message).unwrap_or_default();
    let times = status.patched_time.as_ref().zip(status.completion_time.as_ref());
    let took = times.map(|(from, to)| to.0.duration_since(from.0));
    let ended = Happening::AttemptEnded { result, message: message.to_owned(), took };
    // Told on the workload, so only where one was seen.
    let moved = find_condition(&status.conditions, reason::TAG_MOVED).filter(|_| workload.is_some());
    let moved = moved.map(|condition| Happening::TagMoved { message: condition.message.to_string() });
    once(ended).chain(moved).map(|what| News { about: about.clone(), what }).collect()
}

/// The workload was written in the record's name; `after` is what it became.
#[must_use]
pub fn patched(record: &Record, purpose: Purpose, after: &WorkloadView) -> News {
    let about = About { workload_uid: Some(after.uid.clone()), ..About::record(record) };
    let what = Happening::WorkloadPatched {
        purpose,
        action: record.spec.action,
        images: images_of(record, purpose).to_vec(),
        stopped_by: record.status.as_ref().and_then(stopped_by),
        owner: after.owner.clone(),
    };
    News { about, what }
}

/// When the record ended, an older one was deleted.
#[must_use]
pub fn older_deleted(record: &Record, name: &str) -> News {
    News { about: About::record(record), what: Happening::RecordDeleted { name: name.to_owned() } }
}

/// A pod of the record's workload was deleted.
#[must_use]
pub fn pod_deleted(record: &Record, name: &str) -> News {
    News { about: About::record(record), what: Happening::PodDeleted { name: name.to_owned() } }
}

/// The images a patch is about.
fn images_of(record: &Record, purpose: Purpose) -> &[ContainerImage] {
    match (purpose, &record.status) {
        (Purpose::Rollback, Some(status)) => &status.previous_images,
        _ => &record.spec.images,
    }
}
