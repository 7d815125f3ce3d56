//! Statuses a record can be given, and the sentences that go with them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};

use super::{RecordStep, RecordWorld, RecordWrite};
use crate::reason::{self, RECONCILING, STALLED, SUCCEEDED};
use crate::workload::view::WorkloadView;
use trackdown_api::condition::{Condition, ConditionStatus, bounded, bounded_to, set_condition};
use trackdown_api::record::{Record, RecordStatus, RootCause};

/// The record's status as it is, to be changed.
pub fn current(world: &RecordWorld) -> RecordStatus {
    let mut status = world.record.status.clone().unwrap_or_default();
    status.observed_generation = world.record.metadata.generation.unwrap_or_default();
    status
}

/// Says that work goes on.
pub fn progressing(world: &RecordWorld, mut status: RecordStatus, reason: &str, message: &str) -> RecordStep {
    set(world, &mut status, SUCCEEDED, ConditionStatus::Unknown, reason, message);
    set(world, &mut status, RECONCILING, ConditionStatus::True, reason, message);
    within_bounds(&mut status);
    RecordStep::Write(RecordWrite::Status(Box::new(status)))
}

/// Ends the record.
pub fn end(world: &RecordWorld, mut status: RecordStatus, reason: &str, message: &str) -> RecordStep {
    let well = reason::is_success(reason);
    let succeeded = if well { ConditionStatus::True } else { ConditionStatus::False };
    set(world, &mut status, SUCCEEDED, succeeded, reason, message);
    status.conditions.retain(|c| c.r#type != RECONCILING);
    if matches!(reason, reason::ROLLBACK_FAILED | reason::ROLLOUT_FAILED | reason::ROLLBACK_REQUIRES_GIT | reason::CONTESTED) {
        set(world, &mut status, STALLED, ConditionStatus::True, reason, message);
    }
    status.refused = None;
    status.waiting_for = None;
    status.completion_time = Some(MicroTime(world.now));
    within_bounds(&mut status);
    RecordStep::Write(RecordWrite::Status(Box::new(status)))
}

/// Ends the record as it stands.
pub fn end_now(world: &RecordWorld, reason: &str, message: &str) -> RecordStep {
    end(world, current(world), reason, message)
}

/// Notes what the workload looks like.
pub fn note(status: &mut RecordStatus, view: &WorkloadView) {
    status.replicas = Some(view.replicas.clone());
    status.revision.clone_from(&view.revision);
}

/// Who asked for a rollback, and why.
pub fn asked_by(record: &Record) -> String {
    let asked = record.spec.requested_by.clone().unwrap_or_default();
    let who = asked.by.or(asked.via).unwrap_or_else(|| "somebody".to_owned());
    format!("{who} asked for it: {}", asked.reason.as_deref().unwrap_or("no reason given"))
}

/// A root cause in a sentence.
#[must_use]
pub fn sentence(cause: &RootCause) -> String {
    let place = match (&cause.pod, &cause.container) {
        (Some(pod), Some(container)) => format!(" (pod {pod}, container {container})"),
        (Some(pod), None) => format!(" (pod {pod})"),
        _ => String::new(),
    };
    bounded(&format!("{}: {}{place}", cause.reason, cause.message))
}

/// Text from the cluster, cut to what the schema takes.
fn within_bounds(status: &mut RecordStatus) {
    for cause in status.root_cause.iter_mut().chain(&mut status.waiting_for) {
        cause.pod = cause.pod.as_deref().map(|p| bounded_to(p, 253));
        cause.container = cause.container.as_deref().map(|c| bounded_to(c, 63));
        cause.reason = bounded_to(&cause.reason, 64);
        cause.message = bounded(&cause.message);
    }
    for result in status.checks.iter_mut().chain(&mut status.rollback_checks) {
        result.message = bounded(&result.message);
    }
    for digest in &mut status.digests {
        digest.image_id = bounded_to(&digest.image_id, 1024);
    }
    status.revision = status.revision.as_deref().map(|r| bounded_to(r, 63));
}

/// Sets a condition.
pub fn set(world: &RecordWorld, status: &mut RecordStatus, type_: &str, condition: ConditionStatus, reason: &str, message: &str) {
    set_condition(
        &mut status.conditions,
        Condition {
            r#type: type_.to_owned(),
            status: condition,
            observed_generation: world.record.metadata.generation,
            last_transition_time: Time(world.now),
            reason: reason.to_owned(),
            message: message.to_owned(),
        },
    );
}
