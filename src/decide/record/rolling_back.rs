//! Putting the previous images back, and seeing that they run.

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::before_patch::written;
use super::following::{STOPPED_BY_TICKET, ours, requires_git, restored};
use super::outcome::{current, end, note, progressing, sentence};
use super::verifying::{Verification, verify};
use super::{Authority, Purpose, RECHECK, RecordStep, RecordWorld, was_restored};
use crate::api::condition::bounded;
use crate::api::deployment::{DeploymentStatus, Write};
use crate::api::ticket::Stop;
use crate::decide::reason;
use crate::workload::view::WorkloadView;
use crate::workload::{patch, pods};

pub fn decide(world: &RecordWorld, status: &DeploymentStatus) -> RecordStep {
    let view = match ours(world, status) {
        Ok(view) => view,
        Err(step) => return *step,
    };
    if world.authority == Authority::Stopped(Stop::Leave) {
        return finish(world, view, reason::ABORTED, "a person took over (spec.manualOverride); everything is left as it is");
    }
    // What only is observed is never taken back by writing: there always is a marker.
    let Some(marker) = view.marker() else { return RECHECK };
    let decided = status.rollback_time.as_ref().map_or(world.now, |t| t.0);
    // Counted from the write, where that is known: an operator that was away has failed nobody's rollback.
    let begun = status.rollback_healthy_time.as_ref().map_or_else(|| view.written.map_or(decided, |w| w.max(decided)), |t| t.0);
    let deadline = begun + SignedDuration::from_secs(world.record.spec.timeout_seconds.into());
    let cause = status.root_cause.as_ref().map(sentence).unwrap_or_default();
    let back = restored(view, status) && (was_restored(&marker, view) || Some(view.generation) > status.workload_generation);
    let settled = if world.record.spec.base.healthy { view.complete() } else { view.observed() };
    if back && settled {
        let mut ended = current(world);
        note(&mut ended, view);
        ended.restored_time.get_or_insert_with(|| MicroTime(written(world, view)));
        if world.record.spec.base.healthy {
            match verify(world, &mut ended) {
                Verification::Pending(step) => return step,
                Verification::Failed(bad) => {
                    let message = format!("{cause}; the previous images are back, but {}: look at the workload", sentence(&bad));
                    return end(world, ended, reason::ROLLBACK_FAILED, &bounded(&message));
                }
                Verification::Passed => {}
            }
        }
        let by_ticket = status.root_cause.as_ref().is_some_and(|c| c.reason == STOPPED_BY_TICKET);
        let result = if by_ticket { reason::ABORTED } else { reason::ROLLED_BACK };
        return end(world, ended, result, &format!("{cause}; the previous images are back"));
    }
    let wait =
        |watch_pods| RecordStep::Wait { until: Some(deadline), recheck: world.refused().is_some(), watch_pods, checks: None };
    let late = || {
        let seconds = world.record.spec.timeout_seconds;
        let message = format!("{cause}; going back did not end within {seconds} s: look at the workload");
        finish(world, view, reason::ROLLBACK_FAILED, &message)
    };
    if back && world.now >= deadline {
        return late();
    }
    if back {
        let pods = world.pods.as_deref().unwrap_or_default();
        return match (pods::blocking(pods, view, false), world.refused()) {
            (Some(pod), None) => RecordStep::DeletePod(Box::new(pod.clone())),
            (Some(pod), Some(why)) => {
                let what = format!("{cause}; pod {} keeps its controller waiting, and may not be deleted: {why}", pod.name);
                refused(world, Write::PodDeletion, &what).unwrap_or_else(|| wait(true))
            }
            (None, _) => wait(view.blocked_by_broken_pods),
        };
    }
    if !world.workload.is_live() {
        return RecordStep::ReadWorkload;
    }
    if let Some(why) = world.refused() {
        if world.now >= deadline {
            return late();
        }
        let what = format!("{cause}; the API server refuses to put the previous images back: {why}; tried again with back-off");
        return refused(world, Write::PreviousImages, &what).unwrap_or_else(|| wait(false));
    }
    if view.foreign_owner().is_some() {
        let message = requires_git(&cause, view, &status.previous_images);
        return finish(world, view, reason::ROLLBACK_REQUIRES_GIT, &message);
    }
    let patch = Box::new(patch::restore_images(view, &status.previous_images, &marker));
    RecordStep::Patch { purpose: Purpose::Rollback, patch }
}

/// Says what the API server refuses, once.
fn refused(world: &RecordWorld, write: Write, message: &str) -> Option<RecordStep> {
    let status = world.note_refusal(write)?;
    Some(progressing(world, status, reason::ROLLING_BACK, &bounded(message)))
}

fn finish(world: &RecordWorld, view: &WorkloadView, reason: &str, message: &str) -> RecordStep {
    let mut status = current(world);
    note(&mut status, view);
    end(world, status, reason, message)
}
