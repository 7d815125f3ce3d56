//! Workloads that were left behind by a record that somebody deleted.

use json_patch::Patch;

use crate::workload::patch;
use crate::workload::view::WorkloadView;
use trackdown_api::ticket::Ticket;
use trackdown_api::witness;

/// Whether a record of that name has the workload in hand: its label says so, or where that names nobody, its marker.
#[must_use]
pub fn is_held_by(view: &WorkloadView, record: &str) -> bool {
    match view.rolling.as_deref() {
        Some(label) if witness::names_a_record(label) => witness::is_of(label, record),
        Some(_) => view.marker().is_some_and(|m| m.record == record),
        None => false,
    }
}

/// Lets a workload go whose record does not exist any more, unless a ticket makes it again.
#[must_use]
pub fn release<'a>(view: &WorkloadView, mut tickets: impl Iterator<Item = &'a Ticket>) -> Option<Patch> {
    view.rolling.as_ref()?;
    let makes_it_again = |t: &Ticket| {
        let entries = t.status.iter().flat_map(|s| &s.targets).filter(|e| e.result.is_none());
        entries.filter_map(|e| e.record.as_deref()).any(|record| is_held_by(view, record))
    };
    (!tickets.any(makes_it_again)).then(|| patch::release(view, None))
}
