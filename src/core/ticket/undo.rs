//! What taking a target back would write: which images ran before, as far as records or the workload itself tell.

use trackdown_api::marker::Marker;
use trackdown_api::record::Record;
use trackdown_api::witness;
use trackdown_api::workload_ref::{ContainerImage, Workload};

use super::RecordSeen;
use crate::gates::Obstacle;
use crate::images::all_same_or_pinned;
use crate::preflight::succeeded;
use crate::workload::view::WorkloadView;

/// The images the rollback's own record set, should it have done so and be lost since; those that run, if that was undone.
#[must_use]
pub fn images_written(own: Option<&str>, view: &WorkloadView) -> Option<Vec<ContainerImage>> {
    let own = own?;
    let undone = || {
        let like: Vec<_> = view.marker().into_iter().flat_map(|m| m.set).collect();
        let images = view.images_of(&like);
        (is_labelled_by(own, view) && !images.is_empty()).then_some(images)
    };
    written_by(own, view).map(|marker| marker.set).or_else(undone)
}

/// Whether the label says that the record wrote last.
#[must_use]
pub fn is_labelled_by(record: &str, view: &WorkloadView) -> bool {
    view.rolling.as_ref().is_some_and(|label| witness::is_of(label, record))
}

/// The marker of what a record wrote, if that was the last write.
#[must_use]
pub fn written_by(record: &str, view: &WorkloadView) -> Option<Marker> {
    let named = view.marker().filter(|m| m.record == record)?;
    // A fence has the record's name, too, but no label of it, and no end.
    let labelled = is_labelled_by(record, view) || view.rolling.as_deref() == Some(witness::UNNAMED);
    (labelled || named.succeeded || named.restored).then_some(named)
}

/// The images an earlier record brought.
///
/// # Errors
/// If that record is none to go back to.
pub fn images_of(name: &str, seen: &RecordSeen, workload: &Workload) -> Result<Vec<ContainerImage>, Obstacle> {
    let refuse = |why: String| Err(Obstacle::parked("RollbackImpossible", format!("spec.rollback.to: {why}")));
    let RecordSeen::Found(record) = seen else {
        return refuse(format!("there is no record tdep/{name} in this namespace (kubectl get tdep)"));
    };
    if record.spec.workload != *workload {
        return refuse(format!("tdep/{name} is about {}, not {workload}", record.spec.workload));
    }
    if !succeeded(record) || record.spec.dry_run {
        return refuse(format!("tdep/{name} did not end well: name one that did"));
    }
    Ok(brought(record))
}

/// The images that ran before the record `name`, which must be what runs now: taking back under a later change would undo that, too.
///
/// # Errors
/// If they are not known, or something else runs by now.
pub fn images_before(
    name: &str,
    seen: &RecordSeen,
    view: &WorkloadView,
    ticket_uid: &str,
) -> Result<Vec<ContainerImage>, Obstacle> {
    if let RecordSeen::Found(record) = seen
        && (record.spec.workload != view.workload || record.spec.base.uid != view.uid)
    {
        let message =
            format!("tdep/{name} was about another workload than {} is now: name a record in spec.rollback.to", view.workload);
        return Err(Obstacle::parked("RollbackImpossible", message));
    }
    let theirs = view.marker().is_some_and(|m| m.ticket_uid != ticket_uid && all_same_or_pinned(&m.set, &view.images_of(&m.set)));
    let marker = view.marker().filter(|m| m.record == name);
    let (set, undo) = match (seen, marker) {
        (RecordSeen::Found(record), _) => {
            (brought(record), record.status.as_ref().map(|s| s.previous_images.clone()).unwrap_or_default())
        }
        // Records may be deleted; the workload itself remembers the last one.
        (_, Some(marker)) => (marker.set, marker.undo),
        _ => (Vec::new(), Vec::new()),
    };
    if undo.is_empty() {
        let message = format!("what ran before tdep/{name} is not known any more: name a record in spec.rollback.to");
        return Err(Obstacle::parked("RollbackImpossible", message));
    }
    let live = view.images_of(&set);
    // The same image by another ticket's hand is that ticket's deployment.
    let is_there = all_same_or_pinned(&set, &live) || all_same_or_pinned(&undo, &view.images_of(&undo));
    if is_there && !theirs {
        return Ok(undo);
    }
    let runs = live.iter().map(|i| format!("{}={}", i.container, i.image)).collect::<Vec<_>>().join(" ");
    let message = format!(
        "{} runs {runs} by now, which this ticket did not set: take that back, or name a record in spec.rollback.to",
        view.workload
    );
    Err(Obstacle::unwatched("WorkloadMovedOn", message).on(view.workload.to_string()))
}

/// The images that ran before what the ticket once deployed here, if the workload remembers that and still runs it.
///
/// # Errors
/// If it does not.
pub fn images_remembered(target: &str, view: &WorkloadView, ticket_uid: &str) -> Result<Vec<ContainerImage>, Obstacle> {
    let own = view.marker().filter(|m| m.ticket_uid == ticket_uid && all_same_or_pinned(&m.set, &view.images_of(&m.set)));
    own.map(|m| m.undo).ok_or_else(|| {
        let message = format!("{target}: what runs was not set by this ticket; name a record in spec.rollback.to");
        Obstacle::parked("RollbackImpossible", message)
    })
}

fn brought(record: &Record) -> Vec<ContainerImage> {
    let admitted = record.status.as_ref().map(|s| s.admitted_images.clone()).unwrap_or_default();
    if admitted.is_empty() { record.spec.images.clone() } else { admitted }
}
