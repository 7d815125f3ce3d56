//! When a rollout has failed, why, and what becomes of the workload.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use trackdown_api::outcome::Outcome;
use trackdown_api::record::{Action, OnFailure, RecordStatus, RootCause, StoppedBy};
use trackdown_api::workload_ref::ContainerImage;

use super::ours::listed;
use super::outcome::{current, end, note, progressing, sentence};
use super::{RecordRead, RecordStep, RecordWorld};
use crate::compat;
use crate::reason::{ROLLING_BACK, STOPPED_BY_TICKET};
use crate::workload::view::{Counts, ReportedFailure, WorkloadView};

/// A failure that its controller does not repeat, or that may pass, counts when it is still there this long after the write and after it was
/// told. Argo Rollouts looks at an invalid spec again after ten seconds at last, and what failed of the template before is gone by then; an
/// API server that was started again has its roles loaded, and the controllers it refused meanwhile have tried again.
const STANDING_AFTER: SignedDuration = SignedDuration::from_secs(12);

/// Who ended a rollout that is taken back.
#[must_use]
pub fn stopped_by(status: &RecordStatus) -> Option<StoppedBy> {
    status.stopped_by.clone().or_else(|| compat::stopped_by(status))
}

/// The rollout has failed: decide what becomes of the workload. A rollback is an intent first, then a write.
///
/// `by`: somebody ended it.
pub fn fail(world: &RecordWorld, view: &WorkloadView, cause: RootCause, by: Option<StoppedBy>) -> RecordStep {
    fail_with(world, view, current(world), cause, by)
}

/// The same, with more known than the record says so far.
pub fn fail_with(
    world: &RecordWorld,
    view: &WorkloadView,
    mut status: RecordStatus,
    cause: RootCause,
    by: Option<StoppedBy>,
) -> RecordStep {
    if !world.workload.is_live() {
        return RecordStep::Read(RecordRead::Workload);
    }
    let text = sentence(&cause);
    status.root_cause = Some(cause);
    let by_ticket = by == Some(StoppedBy::Ticket);
    status.stopped_by = by;
    note(&mut status, view);
    if world.record.spec.action == Action::Rollback {
        return end(world, status, Outcome::RollbackFailed, &format!("{text}; left as it is: look at the workload"));
    }
    if world.observes() && view.foreign_owner().is_none() {
        return end(
            world,
            status,
            Outcome::RolloutFailed,
            &format!("{text}; Trackdown had written nothing that it could take back"),
        );
    }
    if world.record.spec.on_failure == OnFailure::Hold && !by_ticket {
        return end(world, status, Outcome::RolloutFailed, &format!("{text}; left as it is (rollout.onFailure: Hold)"));
    }
    if view.foreign_owner().is_some() {
        let message = requires_git(&text, view, &status.previous_images);
        return end(world, status, Outcome::RollbackRequiresGit, &message);
    }
    if status.previous_images == status.admitted_images {
        return end(world, status, Outcome::RolloutFailed, &format!("{text}; there is nothing to go back to"));
    }
    status.rollback_time = Some(MicroTime(world.now));
    status.waiting_for = None;
    progressing(world, status, ROLLING_BACK, &format!("{text}; putting the previous images back"))
}

/// What only Git can do.
pub fn requires_git(cause: &str, view: &WorkloadView, previous: &[ContainerImage]) -> String {
    let what = if previous.is_empty() { "the previous image".to_owned() } else { listed(previous) };
    format!("{cause}; {} owns the image: put {what} back in Git", view.owner)
}

/// The cause of one that its ticket ended.
pub fn stopped() -> RootCause {
    RootCause::of(STOPPED_BY_TICKET, "the ticket no longer asks for this rollout")
}

/// The cause of one that never showed anything.
pub fn scaled_to_zero(world: &RecordWorld) -> RootCause {
    let message = format!(
        "the workload asked for 0 pods for {} s: nothing shows that the images work now, after they failed before",
        world.record.spec.timeout_seconds
    );
    RootCause::of("ScaledToZero", message)
}

/// The cause of one that took too long.
pub fn timed_out(world: &RecordWorld, view: &WorkloadView, hint: Option<RootCause>) -> RootCause {
    let seconds = world.record.spec.timeout_seconds;
    let replicas = &view.replicas;
    let old = match view.total - replicas.updated {
        old if old > 0 => format!(", {old} of an older version still there"),
        _ => String::new(),
    };
    let counts = format!(
        "not complete within {seconds} s: {} of {} pods updated, {} available{old}",
        replicas.updated, replicas.desired, replicas.available
    );
    match hint {
        Some(hint) => {
            let message = format!("{counts}; {}: {}", hint.reason, hint.message);
            RootCause { message: message.into(), reason: "Timeout".into(), ..hint }
        }
        None => RootCause::of("Timeout", counts),
    }
}

/// What the workload's controller says of this rollout: conditions from before the write are about an earlier one.
pub fn reported_failure(view: &WorkloadView, patched: Timestamp, now: Timestamp) -> Option<&ReportedFailure> {
    let counts = |f: &&ReportedFailure| counts_at(f, patched).is_some_and(|at| now >= at);
    view.failures.iter().filter(|_| view.observed()).find(counts)
}

/// When a failure that is there counts; `None`: it is about an earlier rollout.
pub fn counts_at(failure: &ReportedFailure, patched: Timestamp) -> Option<Timestamp> {
    let told = failure.since.filter(|told| told.as_second() >= patched.as_second());
    let stood = failure.since.map_or(patched, |told| told.max(patched)) + STANDING_AFTER;
    match failure.counts {
        Counts::Told => told.map(|_| patched),
        Counts::ToldAndStands => told.map(|_| stood),
        Counts::Stands => Some(stood),
        Counts::ToldOrStands => Some(told.map_or(stood, |_| patched)),
    }
}

/// What the workload's controller says of this rollout that has not stood long enough to count.
pub fn reported_lately(view: &WorkloadView, patched: Timestamp) -> Option<RootCause> {
    view.failures.iter().filter(|_| view.observed()).find(|f| counts_at(f, patched).is_some()).map(|f| f.cause.clone())
}
