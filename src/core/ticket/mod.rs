//! The next step for a ticket.
//!
//! A step is either one more observation, one write, or the end of the pass. Whoever performs the steps observes, asks again,
//! writes, asks again, until there is nothing more to do: a crash between any two steps changes nothing about where it ends.

mod attempt;
pub mod course;
mod learn;
mod pass;
pub mod rollback;
mod sequence;
mod superseded;
mod taking_back;
mod turn;
pub mod undo;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use trackdown_api::record::Record;
use trackdown_api::ticket::{TargetRollback, Ticket, TicketStatus};
use trackdown_api::workload_ref::{Workload, WorkloadKind, is_name};

use self::course::Target;
pub use self::learn::TicketReply;
use crate::checks::Limits;
use crate::gates::Dependencies;
use crate::lineage::Since;
use crate::machine::{Machine, Next};
use crate::preflight::Holder;
use crate::record::is_ticket_of;
use crate::workload::view::WorkloadView;

/// What was observed.
#[derive(Clone, Debug, PartialEq)]
pub struct TicketWorld {
    /// The ticket.
    pub ticket: Ticket,
    /// The records its status names, as far as they are known.
    pub records: BTreeMap<String, RecordSeen>,
    /// The tickets it depends on.
    pub dependencies: Dependencies,
    /// What came after records of this ticket, see [`super::lineage`].
    pub since: BTreeMap<String, Since>,
    /// Other tickets on their way to a workload, with the workload.
    pub rivals: Vec<(Workload, Arc<Ticket>)>,
    /// The workloads that were read in this pass.
    pub probes: BTreeMap<Workload, Probe>,
    /// The operator only says what it would do.
    pub monitor_only: bool,
    /// What keeps the admission policies from being in force that say who may deploy.
    pub policy_missing: Option<String>,
    /// What checks may do.
    pub limits: Limits,
    /// Now.
    pub now: Timestamp,
}

/// What is known of a record by its name.
#[derive(Clone, Debug, PartialEq)]
pub enum RecordSeen {
    /// It does not exist: a live read says so, or its name was made up just now.
    Absent,
    /// It does not exist, and the API server refuses to create it: policy or quota.
    Refused(String),
    /// It may exist, and it cannot be read.
    Unreadable(String),
    /// As last seen.
    Found(Box<Record>),
}

/// What a live read of a workload gave.
#[derive(Clone, Debug, PartialEq)]
pub enum Probe {
    /// It, and the record its marker names.
    Found(Box<WorkloadView>, Holder),
    /// It does not exist; workloads of other kinds that have its name.
    Missing(Vec<WorkloadKind>),
    /// The cluster does not know its kind.
    NoSuchKind,
    /// The read failed.
    Unreadable(String),
}

/// One step.
pub type TicketStep = Next<TicketRead, TicketWrite, TicketRest>;

/// Something that has to be read, live, before it can be decided on.
#[derive(Clone, Debug, PartialEq)]
pub enum TicketRead {
    /// A record of the ticket's namespace.
    Record(String),
    /// A workload, and the record its marker names.
    Workload(Workload),
}

/// Something to be written.
#[derive(Clone, Debug, PartialEq)]
pub enum TicketWrite {
    /// The status, if nobody wrote the ticket since it was read.
    Status(Box<TicketStatus>),
    /// A record is created; if it exists already, that is as good.
    Create(Box<Record>),
}

/// Nothing to do before `until`, or until something that is watched changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TicketRest {
    /// When to decide again at the latest.
    pub until: Option<Timestamp>,
    /// Something that cannot be watched is waited for: look again with back-off.
    pub recheck: bool,
    /// Workloads whose changes are waited for.
    pub watch: Vec<Workload>,
}

impl Machine for TicketWorld {
    type Read = TicketRead;
    type Write = TicketWrite;
    type Rest = TicketRest;
    type Reply = TicketReply;

    fn next(&self) -> TicketStep {
        pass::next(self).unwrap_or_else(TicketStep::Read)
    }

    fn learn(&mut self, reply: TicketReply) {
        self.fold_in(reply);
    }

    fn at(&mut self, now: Timestamp) {
        self.now = now;
    }

    fn most_steps(&self) -> usize {
        // More targets than the API allows get in by a schema that was loosened.
        STEPS_PER_TARGET * self.ticket.spec.targets.len().max(TARGETS_MAX)
    }
}

/// Steps of a pass for each target.
const STEPS_PER_TARGET: usize = 8;

/// Targets a ticket may have, as in the schema.
const TARGETS_MAX: usize = 16;

/// What is known of the record of the target's last attempt.
fn record_of<'a>(world: &'a TicketWorld, known: &Target) -> Result<Option<&'a RecordSeen>, TicketRead> {
    known.record().map(|name| record_named(world, name)).transpose()
}

fn record_named<'a>(world: &'a TicketWorld, name: &str) -> Result<&'a RecordSeen, TicketRead> {
    match world.records.get(name) {
        Some(seen) => Ok(seen),
        // Nothing is called that.
        None if !is_name(name) => Ok(&RecordSeen::Absent),
        None => Err(TicketRead::Record(name.to_owned())),
    }
}

/// The records a rollback rests on.
fn names_of(undo: &TargetRollback) -> impl Iterator<Item = &String> {
    undo.of.iter().chain(&undo.to).chain(&undo.before)
}

/// The records a pass over the ticket will ask for.
pub fn named_records(ticket: &Ticket) -> impl Iterator<Item = &String> {
    let entries = ticket.status.iter().flat_map(|s| &s.targets);
    entries.flat_map(|e| e.record.iter().chain(e.rollback.iter().flat_map(names_of)))
}

/// Whether an attempt of the ticket is under way, as far as it knows.
#[must_use]
pub fn is_in_flight(ticket: &Ticket) -> bool {
    ticket.status.iter().flat_map(|s| &s.targets).any(course::in_flight)
}

/// Whether the record under the name of the target's last attempt is this ticket's, and not one that merely has its name.
fn is_of(world: &TicketWorld, record: &Record, known: &Target) -> bool {
    is_ticket_of(&world.ticket, record) && record.spec.target == known.name && record.spec.attempt == known.attempt
}
