//! Health checks: what they found decides.

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::outcome::progressing;
use super::{Phase, RecordRest, RecordStep, RecordWorld, phase};
use crate::reason;
use trackdown_api::check::{CheckResult, HealthState, worst};
use trackdown_api::record::{RecordStatus, RootCause};

/// Where the health checks of a record are.
pub enum Verification {
    /// They have to be run, or are running: what to do until then.
    Pending(RecordStep),
    /// There is nothing to hold against the workload.
    Passed,
    /// The first check that is not healthy, the worst before others.
    Failed(RootCause),
}

/// Runs the record's checks, once its pods are as they should be. They have as long as the rollout, counted from when they could begin: a
/// rollout that took its time, or an operator that was away, is nothing to hold against the workload.
pub fn verify(world: &RecordWorld, status: &mut RecordStatus) -> Verification {
    if world.record.spec.checks.is_empty() {
        return Verification::Passed;
    }
    let phase = phase(&world.record);
    let begun = match phase {
        Phase::Rollout => &mut status.healthy_time,
        Phase::Rollback => &mut status.rollback_healthy_time,
    };
    let Some(begun) = begun.as_ref().map(|t| t.0) else {
        *begun = Some(MicroTime(world.now));
        return Verification::Pending(announce(world, status.clone(), phase));
    };
    let Some(results) = &world.checks else {
        let deadline = begun + SignedDuration::from_secs(world.record.spec.timeout_seconds.into());
        if world.now >= deadline {
            return Verification::Failed(late(world));
        }
        return Verification::Pending(RecordStep::Rest(RecordRest {
            until: Some(deadline),
            recheck: false,
            watch_pods: false,
            checks: Some(phase),
        }));
    };
    match phase {
        Phase::Rollout => status.checks.clone_from(results),
        Phase::Rollback => status.rollback_checks.clone_from(results),
    }
    status.health = worst(results);
    match results.iter().rev().filter(|r| r.state != HealthState::Healthy).max_by_key(|r| r.state) {
        Some(bad) => Verification::Failed(cause(bad)),
        None => Verification::Passed,
    }
}

/// That pods run the images is worth a word, and its time: checks may take long.
fn announce(world: &RecordWorld, status: RecordStatus, phase: Phase) -> RecordStep {
    let names = world.record.spec.checks.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", ");
    let (reason, what) = match phase {
        Phase::Rollout => (reason::VERIFYING, "the images"),
        Phase::Rollback => (reason::ROLLING_BACK, "the previous images again"),
    };
    progressing(world, status, reason, &format!("all pods run {what}; checking {names}"))
}

fn cause(bad: &CheckResult) -> RootCause {
    let message = format!("check {} is {:?}: {}", bad.name, bad.state, bad.message);
    RootCause::of(&format!("Check{}", bad.reason), message)
}

fn late(world: &RecordWorld) -> RootCause {
    let message =
        format!("the health checks were not over within {} s (rollout.timeoutSeconds)", world.record.spec.timeout_seconds);
    RootCause::of("Timeout", message)
}
