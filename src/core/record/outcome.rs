//! Statuses a record can be given, and the sentences that go with them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};

use super::{RecordStep, RecordWorld, RecordWrite};
use crate::reason::{RECONCILING, STALLED, SUCCEEDED};
use crate::workload::view::WorkloadView;
use trackdown_api::condition::{Condition, ConditionStatus, set_condition};
use trackdown_api::outcome::Outcome;
use trackdown_api::record::{Record, RecordStatus, RootCause};
use trackdown_api::text::bounded;

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
    RecordStep::Write(RecordWrite::Status(Box::new(status)))
}

/// Ends the record.
pub fn end(world: &RecordWorld, mut status: RecordStatus, result: Outcome, message: &str) -> RecordStep {
    let succeeded = if result.is_success() { ConditionStatus::True } else { ConditionStatus::False };
    set(world, &mut status, SUCCEEDED, succeeded, result.as_str(), message);
    status.conditions.retain(|c| c.r#type != RECONCILING);
    if result.needs_person() {
        set(world, &mut status, STALLED, ConditionStatus::True, result.as_str(), message);
    }
    status.result = Some(result);
    status.refused = None;
    status.waiting_for = None;
    status.completion_time = Some(MicroTime(world.now));
    RecordStep::Write(RecordWrite::Status(Box::new(status)))
}

/// Ends the record as it stands.
pub fn end_now(world: &RecordWorld, result: Outcome, message: &str) -> RecordStep {
    end(world, current(world), result, message)
}

/// Notes what the workload looks like.
pub fn note(status: &mut RecordStatus, view: &WorkloadView) {
    status.replicas = Some(view.replicas.clone());
    status.revision = view.revision.as_deref().map(Into::into);
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
            message: message.into(),
        },
    );
}
