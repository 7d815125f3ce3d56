//! Two tickets for one workload: the older request goes first.

use jiff::Timestamp;
use kube::ResourceExt;
use trackdown_api::ticket::{Ticket, TicketState};
use trackdown_api::workload_ref::Workload;

use super::ticket::course::in_flight;
use super::{compat, gates, request};

/// Place in the queue: when the ticket became ready, then its name.
#[must_use]
pub fn place(ticket: &Ticket) -> (Option<Timestamp>, String) {
    let since = ticket.status.as_ref().and_then(|s| s.transition_time.as_ref()).map(|t| t.0);
    (since.or_else(|| ticket.creation_timestamp().map(|t| t.0)), ticket.name_any())
}

/// Whether an attempt of `other` on that workload is under way: it may write at any moment, also while the API server still refuses that.
#[must_use]
pub fn holds(other: &Ticket, workload: &Workload) -> bool {
    let entries = other.status.iter().flat_map(|s| &s.targets).filter(|e| in_flight(e));
    let targets = request::resolve(other);
    entries.filter_map(|e| targets.iter().find(|t| t.name == e.name)).any(|t| t.workload == *workload)
}

/// Whether `other` is on its way to that workload: an attempt is under way, or it is ready with nothing in its way but its turn. A ticket
/// that waits for people holds nobody up.
#[must_use]
pub fn competes(other: &Ticket, workload: &Workload) -> bool {
    let Some(status) = &other.status else { return false };
    // A status that an earlier version wrote since has no such time, or an old one.
    let queued = status.queued_time.is_some() || compat::is_queued(status);
    let ready = status.state == Some(TicketState::ReadyForDeployment);
    holds(other, workload) || (ready && queued && gates::wants_workload(other, workload))
}
