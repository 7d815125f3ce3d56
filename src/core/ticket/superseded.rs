//! Which ticket has deployed something else since.

use trackdown_api::outcome::Outcome;

use super::TicketWorld;
use super::course::Draft;
use crate::lineage::Since;

/// Names it on each target. What is not known any more stays as it was told.
pub fn note(world: &TicketWorld, draft: &mut Draft) {
    for target in &mut draft.targets {
        if !target.result().is_some_and(Outcome::is_deployed) {
            target.superseded_by = None;
            continue;
        }
        match target.record().and_then(|record| world.since.get(record)) {
            // The first that came after it. That others came after that one is said there.
            Some(Since::Replaced(ticket)) => {
                target.superseded_by.get_or_insert_with(|| ticket.clone());
            }
            Some(Since::Restored) => target.superseded_by = None,
            None => {}
        }
    }
}
