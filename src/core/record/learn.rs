//! What a pass over a record learns from the answers to its steps. The operator and the model fold them in by this alone.

use super::{Answer, Looked, Purpose, RecordWorld, WorkloadSeen, authority, phase};
use crate::evidence::Content;
use crate::preflight::Holder;
use crate::workload::pods::PodView;
use crate::workload::view::{TemplateSeen, WorkloadView};
use trackdown_api::record::Record;
use trackdown_api::ticket::Ticket;

/// What a live read of a workload gave.
#[derive(Clone, Debug, PartialEq)]
pub enum WorkloadRead {
    /// It, and the record its marker names.
    Found(Box<WorkloadView>, Holder),
    /// It does not exist.
    Missing,
    /// The API server refuses to show it.
    Refused(String),
}

/// What a patch of the workload came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Patched {
    /// It took effect; the workload after it.
    Done(Box<WorkloadView>),
    /// It would take effect (dry run).
    WouldBeDone,
    /// There is no such workload.
    Missing,
    /// It was refused for this reason; the workload as it is.
    Refused(String, WorkloadRead),
}

/// The answer to a step.
#[derive(Clone, Debug, PartialEq)]
pub enum RecordReply {
    /// The ticket, read live; none: there is no such ticket.
    Ticket(Option<Box<Ticket>>),
    /// The workload, read live.
    Workload(WorkloadRead),
    /// Its pods.
    Pods(Vec<PodView>),
    /// The `ReplicaSet` of the newest template.
    ReplicaSet(Looked<TemplateSeen>),
    /// What the cluster last said of a pod.
    PodWarning(Option<String>),
    /// What is known of the contents of the record's images.
    Contents(Vec<Content>),
    /// The record of this UID is gone, or is left to a later rollout.
    RecordDeleted(Option<String>),
    /// The pod of this UID is on its way out.
    PodDeleted(String),
    /// The API server refuses that, for this reason.
    PodKept(String),
    /// The workload was patched, or was not. `unwritten`: it is certain that nothing was written in the record's name so far.
    Patched {
        /// What for.
        purpose: Purpose,
        /// What came of it.
        outcome: Patched,
        /// See [`RecordWorld::unwritten`].
        unwritten: bool,
    },
    /// The record as it is stored, with the status that was written. `surplus`: if that ended it, the records that need not be kept.
    StatusWritten {
        /// The record.
        record: Box<Record>,
        /// See [`RecordWorld::surplus`].
        surplus: Vec<Record>,
    },
}

impl RecordWorld {
    /// What is known of a record before anything was asked for: from its ticket as cached, and nothing else.
    #[must_use]
    pub fn of(record: Record, ticket: Option<&Ticket>, now: jiff::Timestamp) -> Self {
        Self {
            authority: authority(ticket, &record, false),
            record,
            workload: WorkloadSeen::Unread,
            holder: Holder::Nobody,
            pods: None,
            checks: None,
            newest: Looked::NotYet,
            pod_warning: Looked::NotYet,
            contents: None,
            surplus: Vec::new(),
            answer: None,
            unwritten: false,
            relabelled: false,
            now,
        }
    }

    pub(super) fn fold_in(&mut self, reply: RecordReply) {
        match reply {
            RecordReply::Ticket(ticket) => self.authority = authority(ticket.as_deref(), &self.record, true),
            RecordReply::Workload(read) => self.see(read),
            RecordReply::Pods(pods) => self.pods = Some(pods),
            RecordReply::ReplicaSet(newest) => self.newest = newest,
            RecordReply::PodWarning(warning) => self.pod_warning = warning.into(),
            RecordReply::Contents(contents) => self.contents = Some(contents),
            RecordReply::RecordDeleted(uid) => self.surplus.retain(|r| r.metadata.uid != uid),
            RecordReply::PodDeleted(uid) => {
                self.pods.iter_mut().flatten().filter(|p| p.uid == uid).for_each(|p| p.terminating = true);
            }
            RecordReply::PodKept(why) => self.answer = Some(Answer::Refused(why)),
            RecordReply::Patched { purpose, outcome, unwritten } => {
                self.relabelled |= purpose == Purpose::Relabel;
                self.unwritten = unwritten;
                self.patched(outcome);
            }
            RecordReply::StatusWritten { record, surplus } => {
                if phase(&record) != phase(&self.record) {
                    self.checks = None;
                }
                self.record = *record;
                self.surplus = surplus;
            }
        }
    }

    fn patched(&mut self, outcome: Patched) {
        match outcome {
            Patched::Done(view) => {
                self.newest = Looked::NotYet;
                self.workload = WorkloadSeen::Live(view);
            }
            Patched::WouldBeDone => self.answer = Some(Answer::WouldAccept),
            Patched::Missing => self.workload = WorkloadSeen::Missing,
            Patched::Refused(why, read) => {
                self.answer = Some(Answer::Refused(why));
                self.see(read);
            }
        }
    }

    fn see(&mut self, read: WorkloadRead) {
        self.newest = Looked::NotYet;
        self.workload = match read {
            WorkloadRead::Found(view, holder) => {
                self.holder = holder;
                WorkloadSeen::Live(view)
            }
            WorkloadRead::Missing => WorkloadSeen::Missing,
            WorkloadRead::Refused(why) => WorkloadSeen::Unreadable(why),
        };
    }
}
