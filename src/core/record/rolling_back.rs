//! Putting the previous images back, and seeing that they run.

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::before_patch::written;
use super::failing::{requires_git, stopped_by};
use super::following::confirmed;
use super::ours::{ours, restored};
use super::outcome::{current, end, note, progressing, sentence};
use super::verifying::{Verification, verify};
use super::{Authority, Purpose, RECHECK, RecordRead, RecordRest, RecordStep, RecordWorld, RecordWrite, was_restored};
use crate::reason;
use crate::workload::view::WorkloadView;
use crate::workload::{patch, pods};
use trackdown_api::outcome::Outcome;
use trackdown_api::record::{RecordStatus, Write};
use trackdown_api::ticket::Stop;

pub fn decide(world: &RecordWorld, status: &RecordStatus) -> RecordStep {
    let view = match ours(world, status) {
        Ok(view) => view,
        Err(step) => return *step,
    };
    if world.authority == Authority::Stopped(Stop::Leave) {
        return finish(world, view, Outcome::Aborted, "a person took over (spec.manualOverride); everything is left as it is");
    }
    // What only is observed is never taken back by writing: there always is a marker.
    let Some(marker) = view.marker() else { return RECHECK };
    let decided = status.rollback_time.as_ref().map_or(world.now, |t| t.0);
    // Counted from the write, where that is known: an operator that was away has failed nobody's rollback.
    let begun = status.rollback_healthy_time.as_ref().map_or_else(|| view.written.map_or(decided, |w| w.max(decided)), |t| t.0);
    let deadline = begun + SignedDuration::from_secs(world.record.spec.timeout_seconds.into());
    let cause = status.root_cause.as_ref().map(sentence).unwrap_or_default();
    let back = restored(view, status) && (was_restored(&marker, view) || Some(view.generation) > status.workload_generation);
    let healthy = world.record.spec.base.healthy;
    let settled = if healthy { view.complete() } else { view.observed() && view.unpromoted.is_none() && view.invalid.is_none() };
    let confirmed = match (back && settled).then(|| confirmed(world, view, &status.previous_images, healthy)) {
        Some(Err(step)) => return *step,
        Some(Ok(confirmed)) => confirmed,
        None => false,
    };
    if confirmed {
        let mut ended = current(world);
        note(&mut ended, view);
        ended.restored_time.get_or_insert_with(|| MicroTime(written(world, view)));
        if healthy {
            match verify(world, &mut ended) {
                Verification::Pending(step) => return step,
                Verification::Failed(bad) => {
                    let bad = sentence(&bad);
                    let still = if bad == cause { "with them it is the same".to_owned() } else { format!("but {bad}") };
                    let message = format!("{cause}; the previous images are back, {still}: look at the workload");
                    return end(world, ended, Outcome::RollbackFailed, &message);
                }
                Verification::Passed => {}
            }
        }
        let result = if stopped_by(status).is_some() { Outcome::Aborted } else { Outcome::RolledBack };
        return end(world, ended, result, &format!("{cause}; the previous images are back"));
    }
    let wait = |watch_pods| {
        RecordStep::Rest(RecordRest {
            until: Some(deadline),
            recheck: world.refused().is_some() || (back && settled),
            watch_pods,
            checks: None,
        })
    };
    let late = || {
        let seconds = world.record.spec.timeout_seconds;
        let why = view.progress.as_ref().map(|p| format!(" ({})", sentence(p))).unwrap_or_default();
        let message = format!("{cause}; going back did not end within {seconds} s{why}: look at the workload");
        finish(world, view, Outcome::RollbackFailed, &message)
    };
    if back && world.now >= deadline {
        return late();
    }
    if back {
        let pods = world.pods.as_deref().unwrap_or_default();
        return match (pods::blocking(pods, view, false), world.refused()) {
            (Some(pod), None) => RecordStep::Write(RecordWrite::DeletePod(Box::new(pod.clone()))),
            (Some(pod), Some(why)) => {
                let what = format!("{cause}; pod {} keeps its controller waiting, and may not be deleted: {why}", pod.name);
                refused(world, Write::PodDeletion, &what).unwrap_or_else(|| wait(true))
            }
            (None, _) => match waits_for_person(world, view, status, &cause) {
                Some(step) => step,
                None => wait(view.blocked_by_broken_pods || settled),
            },
        };
    }
    if !world.workload.is_live() {
        return RecordStep::Read(RecordRead::Workload);
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
        return finish(world, view, Outcome::RollbackRequiresGit, &message);
    }
    let patch = Box::new(patch::restore_images(view, &status.previous_images, &marker));
    RecordStep::Write(RecordWrite::Patch { purpose: Purpose::Rollback, patch })
}

/// Says, once, that the workload's controller waits for somebody before it goes on: going back is one more rollout to it, with all its
/// pauses.
fn waits_for_person(world: &RecordWorld, view: &WorkloadView, status: &RecordStatus, cause: &str) -> Option<RecordStep> {
    let news = view.progress.as_ref().filter(|_| view.awaits_person)?;
    if status.waiting_for.as_ref().is_some_and(|told| told.reason == news.reason) {
        return None;
    }
    let mut status = current(world);
    status.waiting_for = Some(news.clone());
    let message = format!("{cause}; the previous images are set, but their rollout waits: {}", sentence(news));
    Some(progressing(world, status, reason::ROLLING_BACK, &message))
}

/// Says what the API server refuses, once.
fn refused(world: &RecordWorld, write: Write, message: &str) -> Option<RecordStep> {
    let status = world.note_refusal(write)?;
    Some(progressing(world, status, reason::ROLLING_BACK, message))
}

fn finish(world: &RecordWorld, view: &WorkloadView, result: Outcome, message: &str) -> RecordStep {
    let mut status = current(world);
    note(&mut status, view);
    end(world, status, result, message)
}
