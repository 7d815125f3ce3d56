//! Whether the workload is still what the record made of it.

use trackdown_api::RETRY_ANNOTATION;
use trackdown_api::outcome::Outcome;
use trackdown_api::record::RecordStatus;
use trackdown_api::witness;
use trackdown_api::workload_ref::ContainerImage;

use super::outcome::end_now;
use super::{
    Authority, LOOK_AT_PODS_AFTER, MarkerOwner, Purpose, RECHECK, RecordRead, RecordRest, RecordStep, RecordWorld, RecordWrite,
};
use super::{WorkloadSeen, deadline, is_witnessed, marker_owner, runs, shows, was_restored};
use crate::workload::patch;
use crate::workload::view::WorkloadView;

/// The workload, if it is still what this record made of it.
pub fn ours<'a>(world: &'a RecordWorld, status: &RecordStatus) -> Result<&'a WorkloadView, Box<RecordStep>> {
    let view = match &world.workload {
        WorkloadSeen::Unread => return Err(Box::new(unseen(world, status))),
        WorkloadSeen::Unreadable(_) => return Err(Box::new(RECHECK)),
        WorkloadSeen::Missing => return Err(Box::new(gone(world))),
        WorkloadSeen::Watched(view) | WorkloadSeen::Live(view) => view,
    };
    if view.uid != world.record.spec.base.uid {
        return Err(Box::new(if world.workload.is_live() { gone(world) } else { RecordStep::Read(RecordRead::Workload) }));
    }
    // Older than what is known: told late by a watch, or read from an API server that is behind.
    if Some(view.generation) < status.workload_generation {
        return Err(Box::new(if world.workload.is_live() { read_later(world) } else { RecordStep::Read(RecordRead::Workload) }));
    }
    if world.observes() {
        return observed(world, status, view);
    }
    let MarkerOwner::Ours(marker) = marker_owner(world, view) else {
        if !world.workload.is_live() {
            return Err(Box::new(RecordStep::Read(RecordRead::Workload)));
        }
        return Err(Box::new(lost(world, view)));
    };
    // Once the previous images were put back, others than those are somebody else's, the record's own included.
    let back = status.rollback_time.is_some() && restored(view, status);
    let unwitnessed = status.rollback_time.is_some() && !back && view.rolling.is_none();
    let expected = back || (shows(view, &status.admitted_images) && !was_restored(&marker, view) && !unwitnessed);
    if !expected {
        let step = if world.workload.is_live() { contested(world, view) } else { RecordStep::Read(RecordRead::Workload) };
        return Err(Box::new(step));
    }
    if view.rolling.is_none() && world.workload.is_live() && !world.relabelled {
        return Err(Box::new(RecordStep::Write(RecordWrite::Patch {
            purpose: Purpose::Relabel,
            patch: Box::new(patch::relabel(view, &marker)),
        })));
    }
    Ok(view)
}

/// What was read is from the past: looked at again, at the deadline at the latest.
fn read_later(world: &RecordWorld) -> RecordStep {
    let until = deadline(&world.record).filter(|t| *t > world.now);
    RecordStep::Rest(RecordRest { until, recheck: true, watch_pods: world.pods.is_some(), checks: None })
}

/// A workload that is only looked at: what counts is that it still runs what was found.
fn observed<'a>(world: &RecordWorld, status: &RecordStatus, view: &'a WorkloadView) -> Result<&'a WorkloadView, Box<RecordStep>> {
    if shows(view, &status.admitted_images) {
        return Ok(view);
    }
    Err(Box::new(if world.workload.is_live() {
        end_now(world, Outcome::Superseded, "somebody else has set another image before this one was verified")
    } else {
        RecordStep::Read(RecordRead::Workload)
    }))
}

/// The watch needs a moment to show a workload that was just labelled.
fn unseen(world: &RecordWorld, status: &RecordStatus) -> RecordStep {
    let look = status.patched_time.as_ref().map(|t| t.0 + LOOK_AT_PODS_AFTER);
    match look.filter(|t| *t > world.now) {
        Some(until) => RecordStep::Rest(RecordRest { until: Some(until), recheck: false, watch_pods: false, checks: None }),
        None => RecordStep::Read(RecordRead::Workload),
    }
}

fn lost(world: &RecordWorld, view: &WorkloadView) -> RecordStep {
    // A newer attempt writes its own label, and takes it away when it has ended. Under this record's label an older marker was brought
    // back by `kubectl rollout undo`; without one it may have been, as long as the ticket still goes by this record.
    let sibling = marker_owner(world, view) == MarkerOwner::Sibling;
    let relabelled = view.rolling.as_deref().is_some_and(witness::names_a_record) && !is_witnessed(world, view);
    let released = view.rolling.is_none() && view.marker != world.record.spec.base.marker;
    match world.authority {
        Authority::Unconfirmed if sibling && released => RecordStep::Read(RecordRead::Ticket),
        Authority::Overtaken if sibling && released => overtaken(world),
        _ if sibling && relabelled => overtaken(world),
        _ => contested(world, view),
    }
}

fn overtaken(world: &RecordWorld) -> RecordStep {
    end_now(world, Outcome::Superseded, "a newer attempt of the same ticket took its place")
}

fn contested(world: &RecordWorld, view: &WorkloadView) -> RecordStep {
    let message = if view.foreign_owner().is_some() {
        format!(
            "{} owns the image and changed it during the rollout; it is left as it is: set {} in Git, or allow Trackdown to write with \
             the annotation trackdown.dev/write: allow on the workload",
            view.owner,
            listed(&world.record.spec.images)
        )
    } else if let Some(how) = view.owner.keep_out() {
        format!(
            "somebody else changed the workload during the rollout, most likely {}, which brings back what Git says; it is left as it is: \
             keep it from doing so ({how}), or set {} in Git; then ask again with annotation {RETRY_ANNOTATION}",
            view.owner,
            listed(&world.record.spec.images)
        )
    } else {
        "somebody else changed the workload during the rollout; it is left as it is".to_owned()
    };
    end_now(world, Outcome::Contested, &message)
}

/// Whether the workload shows the previous images again.
pub fn restored(view: &WorkloadView, status: &RecordStatus) -> bool {
    runs(view, &status.previous_images)
}

fn gone(world: &RecordWorld) -> RecordStep {
    end_now(world, Outcome::Aborted, "the workload was deleted during the rollout")
}

/// The images as they stand in a sentence.
pub fn listed(images: &[ContainerImage]) -> String {
    let mut images: Vec<_> = images.iter().map(|i| i.image.as_str()).collect();
    images.dedup();
    images.join(", ")
}
