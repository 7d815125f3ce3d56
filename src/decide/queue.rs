//! Two tickets for one workload: the older request goes first.

use jiff::Timestamp;
use kube::ResourceExt;

use super::{gates, reason};
use crate::api::condition::{ConditionStatus, find_condition};
use crate::api::ticket::{Ticket, TicketState};
use crate::api::workload_ref::Workload;

/// Place in the queue: when the ticket became ready, then its name.
#[must_use]
pub fn place(ticket: &Ticket) -> (Option<Timestamp>, String) {
    let since = ticket.status.as_ref().and_then(|s| s.transition_time.as_ref()).map(|t| t.0);
    (since.or_else(|| ticket.creation_timestamp().map(|t| t.0)), ticket.name_any())
}

/// Whether `other` is on its way to that workload: ready, with nothing in its way. A ticket that waits for people holds nobody up.
#[must_use]
pub fn competes(other: &Ticket, workload: &Workload) -> bool {
    let Some(status) = &other.status else { return false };
    let deployable = find_condition(&status.conditions, reason::DEPLOYABLE);
    // One that waits for the workload itself keeps its place.
    let on_its_way = deployable.is_some_and(|c| c.status == ConditionStatus::True || c.reason == reason::WORKLOAD_HELD);
    status.state == Some(TicketState::ReadyForDeployment)
        && on_its_way
        && find_condition(&status.conditions, reason::STALLED).is_none()
        && gates::wants_workload(other, workload)
}
