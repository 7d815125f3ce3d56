//! Putting the previous images back, and seeing that they run.

use jiff::SignedDuration;

use super::following::{STOPPED_BY_TICKET, ours, requires_git, restored};
use super::outcome::{current, end, note, progressing, sentence};
use super::verifying::{Verification, verify};
use super::{Authority, Purpose, RecordStep, RecordWorld};
use crate::api::condition::bounded;
use crate::api::deployment::DeploymentStatus;
use crate::api::ticket::Stop;
use crate::decide::{condition_reason, reason};
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
    let started = status.rollback_healthy_time.as_ref().or(status.rollback_time.as_ref()).map_or(world.now, |t| t.0);
    let deadline = started + SignedDuration::from_secs(world.record.spec.timeout_seconds.into());
    let cause = status.root_cause.as_ref().map(sentence).unwrap_or_default();
    let restored = restored(view, status) && Some(view.generation) > status.workload_generation;
    let settled = if world.record.spec.base.healthy { view.complete() } else { view.observed() };
    if restored && settled {
        let mut ended = current(world);
        note(&mut ended, view);
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
    if world.now >= deadline {
        let seconds = world.record.spec.timeout_seconds;
        let message = format!("{cause}; going back did not end within {seconds} s: look at the workload");
        return finish(world, view, reason::ROLLBACK_FAILED, &message);
    }
    if restored {
        let pods = world.pods.as_deref().unwrap_or_default();
        let blocking = pods::blocking(pods, view, false);
        if let (Some(why), Some(pod)) = (world.refused(), blocking) {
            let message = format!("{cause}; pod {} keeps its controller waiting, and may not be deleted: {why}", pod.name);
            // A refusal may read differently each time; it is said once.
            let said = condition_reason(&world.record).is_some_and(|(_, said)| said.contains("may not be deleted"));
            if !said {
                return progressing(world, current(world), reason::ROLLING_BACK, &bounded(&message));
            }
        }
        return match blocking.filter(|_| world.refused().is_none()) {
            Some(pod) => RecordStep::DeletePod(Box::new(pod.clone())),
            None => RecordStep::Wait {
                until: Some(deadline),
                recheck: world.refused().is_some(),
                watch_pods: view.blocked_by_broken_pods,
                checks: None,
            },
        };
    }
    if !world.workload.is_live() {
        return RecordStep::ReadWorkload;
    }
    if world.refused().is_some() {
        return RecordStep::Wait { until: Some(deadline), recheck: true, watch_pods: false, checks: None };
    }
    if view.foreign_owner().is_some() {
        let message = requires_git(&cause, view, &status.previous_images);
        return finish(world, view, reason::ROLLBACK_REQUIRES_GIT, &message);
    }
    RecordStep::Patch { purpose: Purpose::Rollback, patch: Box::new(patch::restore_images(view, &status.previous_images)) }
}

fn finish(world: &RecordWorld, view: &WorkloadView, reason: &str, message: &str) -> RecordStep {
    let mut status = current(world);
    note(&mut status, view);
    end(world, status, reason, message)
}
