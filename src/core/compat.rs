//! What other versions tell by words or conditions alone, where this one has a field. Nothing else reads conditions or reasons to decide by
//! them.

use trackdown_api::condition::{ConditionStatus, find_condition};
use trackdown_api::outcome::Outcome;
use trackdown_api::record::{Record, RecordStatus, StoppedBy};
use trackdown_api::ticket::TicketStatus;

use crate::reason::{DEPLOYABLE, STALLED, STOPPED_BY_TICKET, SUCCEEDED, WORKLOAD_HELD};
use crate::workload::argo_rollout::ABORTED_BY_PERSON;

/// How a record ended.
#[must_use]
pub fn result(status: &RecordStatus) -> Option<Outcome> {
    find_condition(&status.conditions, SUCCEEDED).map(|c| Outcome::from(c.reason.as_str()))
}

/// Whether a record ended well, by a word that a later version has.
#[must_use]
pub fn succeeded(record: &Record) -> bool {
    let succeeded = record.status.as_ref().and_then(|s| find_condition(&s.conditions, SUCCEEDED));
    succeeded.is_some_and(|c| c.status == ConditionStatus::True)
}

/// Who ended the rollout of a record.
#[must_use]
pub fn stopped_by(status: &RecordStatus) -> Option<StoppedBy> {
    match status.root_cause.as_ref()?.reason.as_str() {
        STOPPED_BY_TICKET => Some(StoppedBy::Ticket),
        ABORTED_BY_PERSON => Some(StoppedBy::Person),
        _ => None,
    }
}

/// Whether a ticket has a place in the queues of its workloads.
#[must_use]
pub fn is_queued(status: &TicketStatus) -> bool {
    let deployable = find_condition(&status.conditions, DEPLOYABLE);
    deployable.is_some_and(|c| c.status == ConditionStatus::True || c.reason == WORKLOAD_HELD)
        && find_condition(&status.conditions, STALLED).is_none()
}
