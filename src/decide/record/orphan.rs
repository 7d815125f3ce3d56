//! Workloads that were left behind by a record that somebody deleted.

use json_patch::Patch;

use crate::api::marker::Marker;
use crate::api::ticket::Ticket;
use crate::workload::patch;
use crate::workload::view::WorkloadView;

/// Lets a workload go whose record does not exist any more, unless the record's ticket makes it again. `ticket`: the one of the marker's
/// UID, if it exists.
#[must_use]
pub fn release(view: &WorkloadView, marker: &Marker, ticket: Option<&Ticket>) -> Option<Patch> {
    view.rolling.as_ref()?;
    let entries = ticket.and_then(|t| t.status.as_ref()).map(|s| s.targets.as_slice()).unwrap_or_default();
    let is_made_again = entries.iter().any(|e| e.record.as_ref() == Some(&marker.record) && e.result.is_none());
    (!is_made_again).then(|| patch::release(view, None))
}
