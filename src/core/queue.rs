//! Two tickets for one workload: the older request goes first.

use jiff::Timestamp;
use kube::ResourceExt;

use super::{gates, lifecycle, reason, request};
use trackdown_api::condition::{ConditionStatus, find_condition};
use trackdown_api::ticket::{Ticket, TicketState};
use trackdown_api::workload_ref::Workload;

/// Place in the queue: when the ticket became ready, then its name.
#[must_use]
pub fn place(ticket: &Ticket) -> (Option<Timestamp>, String) {
    let since = ticket.status.as_ref().and_then(|s| s.transition_time.as_ref()).map(|t| t.0);
    (since.or_else(|| ticket.creation_timestamp().map(|t| t.0)), ticket.name_any())
}

/// Whether an attempt of `other` on that workload is under way: it may write at any moment, also while the API server still refuses that.
#[must_use]
pub fn holds(other: &Ticket, workload: &Workload) -> bool {
    let entries = other.status.iter().flat_map(|s| &s.targets).filter(|e| lifecycle::in_flight(e));
    let targets = request::resolve(other);
    entries.filter_map(|e| targets.iter().find(|t| t.name == e.name)).any(|t| t.workload == *workload)
}

/// Whether `other` is on its way to that workload: an attempt is under way, or it is ready with nothing in its way. A ticket that waits
/// for people holds nobody up.
#[must_use]
pub fn competes(other: &Ticket, workload: &Workload) -> bool {
    let Some(status) = &other.status else { return false };
    let deployable = find_condition(&status.conditions, reason::DEPLOYABLE);
    // One that waits for the workload itself keeps its place.
    let on_its_way = deployable.is_some_and(|c| c.status == ConditionStatus::True || c.reason == reason::WORKLOAD_HELD);
    holds(other, workload)
        || status.state == Some(TicketState::ReadyForDeployment)
            && on_its_way
            && find_condition(&status.conditions, reason::STALLED).is_none()
            && gates::wants_workload(other, workload)
}
