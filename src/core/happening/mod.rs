//! What happened, as facts: read off what was before and after a write. Whoever passes it on (Events, the audit log, metrics) is
//! told nothing else, and takes the words for it from [`wording`].

pub mod object;
pub mod record;
#[cfg(test)]
mod tests;
pub mod ticket;
pub mod wording;

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::ResourceExt;

use crate::record::Purpose;
use crate::request;
use crate::workload::owner::ImageOwner;
use trackdown_api::outcome::Outcome;
use trackdown_api::record::{Action, Record, StoppedBy};
use trackdown_api::ticket::{Ticket, TicketState, Transition};
use trackdown_api::workload_ref::{ContainerImage, Workload};

/// Something that happened, and to whom.
#[derive(Clone, Debug, PartialEq)]
pub struct News {
    /// Whom it is about.
    pub about: About,
    /// What happened.
    pub what: Happening,
}

/// Whom something is about, as far as it is about any of these.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct About {
    /// Namespace of the ticket and its records.
    pub namespace: String,
    /// Name of the ticket.
    pub ticket: String,
    /// UID of the ticket: one that is made again under its name is another.
    pub ticket_uid: String,
    /// The ticket's id for people.
    pub ticket_id: String,
    /// Name of the target, or empty.
    pub target: String,
    /// Number of the attempt, or 0.
    pub attempt: i32,
    /// Name of the attempt's record.
    pub record: Option<String>,
    /// The workload.
    pub workload: Option<Workload>,
    /// UID of the workload, where it was seen.
    pub workload_uid: Option<String>,
}

impl About {
    /// A ticket as a whole.
    #[must_use]
    pub fn ticket(ticket: &Ticket) -> Self {
        Self {
            namespace: ticket.namespace().unwrap_or_default(),
            ticket: ticket.name_any(),
            ticket_uid: ticket.uid().unwrap_or_default(),
            ticket_id: request::id(ticket),
            ..Self::default()
        }
    }

    /// An attempt, with its workload.
    #[must_use]
    pub fn record(record: &Record) -> Self {
        let spec = &record.spec;
        Self {
            namespace: record.namespace().unwrap_or_default(),
            ticket: spec.ticket.name.clone(),
            ticket_uid: spec.ticket.uid.clone(),
            ticket_id: spec.ticket.id.clone(),
            target: spec.target.clone(),
            attempt: spec.attempt,
            record: Some(record.name_any()),
            workload: Some(spec.workload.clone()),
            workload_uid: None,
        }
    }
}

/// What can happen to a ticket, an attempt or a workload.
#[derive(Clone, Debug, PartialEq)]
pub enum Happening {
    /// The ticket came into another state.
    TransitionTaken {
        /// The state before; none: the ticket is new.
        from: Option<TicketState>,
        /// The state after.
        to: TicketState,
        /// The last step of the ticket's history: who took it, and why.
        step: Option<Transition>,
    },
    /// An attempt was written down on the ticket, before anything else is done for it.
    AttemptIntended {
        /// It takes a deployment back.
        rollback: bool,
    },
    /// The ticket took in how an attempt ended.
    ResultTaken {
        /// Reason of the record's `Succeeded` condition.
        result: Outcome,
    },
    /// An attempt that did not end well is news to the ticket. Not the same as [`Self::ResultTaken`]: a failure that is told again
    /// when a rollback is withdrawn is none.
    TargetFailed {
        /// Reason of the record's `Succeeded` condition.
        result: Outcome,
        /// The same in a sentence.
        message: String,
    },
    /// `spec.rollback` was taken in, and asks for nothing that could be done.
    NothingToTakeBack,
    /// The ticket names a target that it does not have.
    UnknownTarget {
        /// Where, and which targets there are.
        warning: String,
    },
    /// Every target of the ticket was deployed.
    Deployed,
    /// A ticket that asks for its deployment does not get it, for another reason than before.
    InTheWay {
        /// Reason of the ticket's `Deployable` condition.
        reason: String,
        /// The same in a sentence.
        message: String,
        /// A person must act.
        stalled: bool,
    },
    /// The record of an attempt was made.
    RecordCreated {
        /// The images the workload is to have.
        images: Vec<ContainerImage>,
    },
    /// The workload was written.
    WorkloadPatched {
        /// What for.
        purpose: Purpose,
        /// What the attempt does.
        action: Action,
        /// The images it is about: those that were put back, else the attempt's.
        images: Vec<ContainerImage>,
        /// Who ended the attempt, if it did not fail.
        stopped_by: Option<StoppedBy>,
        /// Who else owns the image.
        owner: ImageOwner,
    },
    /// An attempt ended.
    AttemptEnded {
        /// Reason of the record's `Succeeded` condition.
        result: Outcome,
        /// The same in a sentence.
        message: String,
        /// From the change of the workload to the end, if it was changed.
        took: Option<SignedDuration>,
    },
    /// A tag that was deployed means something else than before.
    TagMoved {
        /// Which, and what it meant.
        message: String,
    },
    /// An old record was deleted when this attempt ended.
    RecordDeleted {
        /// Its name.
        name: String,
    },
    /// A pod that held up its controller was deleted.
    PodDeleted {
        /// Its name.
        name: String,
    },
    /// An object cannot be read, and is left alone.
    Unreadable {
        /// Which.
        object: ObjectReference,
        /// Why not.
        error: String,
    },
    /// The work on an object does not come to an end.
    Failing {
        /// Which.
        object: ObjectReference,
        /// What it ends at.
        error: String,
    },
}
