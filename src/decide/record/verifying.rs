//! Health checks: what they found decides.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::outcome::{current, progressing};
use super::{Phase, RecordStep, RecordWorld, phase};
use crate::api::check::{CheckResult, HealthState, worst};
use crate::api::condition::bounded;
use crate::api::deployment::{DeploymentStatus, RootCause};
use crate::decide::reason;

/// Where the health checks of a record are.
pub enum Verification {
    /// They have to be run, or are running: what to do until then.
    Pending(RecordStep),
    /// There is nothing to hold against the workload.
    Passed,
    /// The first check that is not healthy, the worst before others.
    Failed(RootCause),
}

/// Runs the record's checks, once its pods are as they should be.
pub fn verify(world: &RecordWorld, deadline: Timestamp, status: &mut DeploymentStatus) -> Verification {
    let checks = &world.record.spec.checks;
    if checks.is_empty() {
        return Verification::Passed;
    }
    let Some(results) = &world.checks else {
        return if world.now >= deadline {
            Verification::Failed(late(world))
        } else {
            Verification::Pending(pending(world, deadline))
        };
    };
    match phase(&world.record) {
        Phase::Rollout => status.checks.clone_from(results),
        Phase::Rollback => status.rollback_checks.clone_from(results),
    }
    status.health = worst(results);
    match results.iter().filter(|r| r.state != HealthState::Healthy).max_by_key(|r| r.state) {
        Some(bad) => Verification::Failed(cause(bad)),
        None => Verification::Passed,
    }
}

/// That pods run the images is worth a word, and its time: checks may take long.
fn pending(world: &RecordWorld, deadline: Timestamp) -> RecordStep {
    let said = world.record.status.as_ref().is_some_and(|s| s.healthy_time.is_some());
    if said || phase(&world.record) == Phase::Rollback {
        let checks = Some(phase(&world.record));
        return RecordStep::Wait { until: Some(deadline), recheck: false, watch_pods: false, checks };
    }
    let mut status = current(world);
    status.healthy_time = Some(MicroTime(world.now));
    let names = world.record.spec.checks.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", ");
    progressing(world, status, reason::VERIFYING, &bounded(&format!("all pods run the images; checking {names}")))
}

fn cause(bad: &CheckResult) -> RootCause {
    let message = bounded(&format!("check {} is {:?}: {}", bad.name, bad.state, bad.message));
    RootCause { pod: None, container: None, reason: format!("Check{}", bad.reason), message }
}

fn late(world: &RecordWorld) -> RootCause {
    let message =
        format!("the health checks were not over within {} s (rollout.timeoutSeconds)", world.record.spec.timeout_seconds);
    RootCause { pod: None, container: None, reason: "Timeout".to_owned(), message }
}
