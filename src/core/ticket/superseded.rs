//! Which ticket has deployed something else since.

use super::TicketWorld;
use crate::lineage::Since;
use crate::reason;
use trackdown_api::ticket::TicketStatus;

/// Names it on each target. What is not known any more stays as it was told.
pub fn note(world: &TicketWorld, status: &mut TicketStatus) {
    for entry in &mut status.targets {
        if !entry.result.as_deref().is_some_and(reason::is_deployed) {
            entry.superseded_by = None;
            continue;
        }
        match entry.record.as_ref().and_then(|record| world.since.get(record)) {
            // The first that came after it. That others came after that one is said there.
            Some(Since::Replaced(ticket)) => {
                entry.superseded_by.get_or_insert_with(|| ticket.clone());
            }
            Some(Since::Restored) => entry.superseded_by = None,
            None => {}
        }
    }
}
