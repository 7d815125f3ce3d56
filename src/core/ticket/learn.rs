//! What a pass over a ticket learns from the answers to its steps. The operator and the model fold them in by this alone.

use super::{Probe, RecordSeen, TicketWorld};
use trackdown_api::record::Record;
use trackdown_api::ticket::{Ticket, TicketStatus};
use trackdown_api::workload_ref::Workload;

/// The answer to a step.
#[derive(Clone, Debug, PartialEq)]
pub enum TicketReply {
    /// What a live read of the record of this name gave.
    Record(String, RecordSeen),
    /// What a live read of the workload gave.
    Workload(Workload, Box<Probe>),
    /// The ticket as it is stored, with the status that was written.
    StatusWritten(Box<Ticket>),
    /// The record as it was created.
    Created(Box<Record>),
}

impl TicketWorld {
    pub(super) fn fold_in(&mut self, reply: TicketReply) {
        match reply {
            TicketReply::Record(name, seen) => {
                self.records.insert(name, seen);
            }
            TicketReply::Workload(workload, probe) => {
                self.probes.insert(workload, *probe);
            }
            TicketReply::StatusWritten(ticket) => {
                // An attempt number that was just made up has no record yet; no need to ask.
                let made_up = made_up(self.ticket.status.as_ref(), ticket.status.as_ref());
                self.records.extend(made_up.map(|name| (name.clone(), RecordSeen::Absent)));
                self.ticket = *ticket;
            }
            TicketReply::Created(record) => {
                self.records.insert(record.metadata.name.clone().unwrap_or_default(), RecordSeen::Found(record));
            }
        }
    }
}

/// Records of attempts that are new since `before`.
fn made_up<'a>(before: Option<&'a TicketStatus>, after: Option<&'a TicketStatus>) -> impl Iterator<Item = &'a String> {
    let entries = |status: Option<&'a TicketStatus>| status.into_iter().flat_map(|s| &s.targets);
    let attempt = move |name: &str| entries(before).find(|e| e.name == name).map_or(0, |e| e.attempt);
    entries(after).filter(move |e| e.attempt > attempt(&e.name)).filter_map(|e| e.record.as_ref())
}
