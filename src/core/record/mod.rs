//! The next step for a record: one attempt to bring one workload to given images.
//!
//! Like [`super::ticket`], a step is one more observation, one write, or the end of the pass. The normal path and the way back from
//! a crash are one: what was written is always found out by reading the workload, never remembered.

mod before_patch;
mod failing;
mod finished;
mod following;
mod learn;
pub mod orphan;
mod ours;
mod outcome;
mod rolling_back;
mod telling;
mod unwritten;
mod verifying;

use jiff::{SignedDuration, Timestamp};
use json_patch::Patch;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::compat;
use super::evidence::Content;
use super::images::all_same_or_pinned;
use super::machine::{Machine, Next};
use super::preflight::{Holder, finished};
use crate::workload::pods::PodView;
use crate::workload::view::{TemplateSeen, WorkloadView};
use trackdown_api::check::CheckResult;
use trackdown_api::marker::Marker;
use trackdown_api::outcome::Outcome;
use trackdown_api::record::{Action, Record, RecordStatus, Refusal, Write};
use trackdown_api::ticket::{Stop, Ticket};
use trackdown_api::witness;
use trackdown_api::workload_ref::ContainerImage;

pub use before_patch::authority;
pub use failing::stopped_by;
pub use learn::{Patched, RecordReply, WorkloadRead};
pub use outcome::sentence;
pub use unwritten::Unwritten;

/// Pods are looked at when a rollout is not complete this long after the write.
const LOOK_AT_PODS_AFTER: SignedDuration = SignedDuration::from_secs(2);

/// What was observed.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordWorld {
    /// The record.
    pub record: Record,
    /// What its ticket says about it.
    pub authority: Authority,
    /// The workload.
    pub workload: WorkloadSeen,
    /// The record the workload's marker names, when it was read live.
    pub holder: Holder,
    /// The pods of the workload.
    pub pods: Option<Vec<PodView>>,
    /// The `ReplicaSet` of the newest template.
    pub newest: Looked<TemplateSeen>,
    /// What the cluster last said of the pod that keeps the rollout waiting.
    pub pod_warning: Looked<String>,
    /// What the health checks of the phase at hand found, if they are over.
    pub checks: Option<Vec<CheckResult>>,
    /// What is known of the contents of the record's images from before.
    pub contents: Option<Vec<Content>>,
    /// Records of the workload that need not be kept, when this one has just ended.
    pub surplus: Vec<Record>,
    /// The API server's answer to the last write of this pass, where a read does not tell it.
    pub answer: Option<Answer>,
    /// This process knows that nothing was written in the record's name: the API server refused each try. False: it may have been.
    pub unwritten: bool,
    /// In this pass it was tried to put the label back.
    pub relabelled: bool,
    /// Now.
    pub now: Timestamp,
}

/// What a look that is not taken in every pass has given.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Looked<T> {
    /// Nobody has looked.
    #[default]
    NotYet,
    /// There is nothing.
    Nothing,
    /// The API server refuses it.
    Refused(String),
    /// This.
    Found(T),
}

impl<T> From<Option<T>> for Looked<T> {
    fn from(found: Option<T>) -> Self {
        found.map_or(Self::Nothing, Self::Found)
    }
}

/// What the API server answered to a write.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// It refused, for this reason, and changed nothing.
    Refused(String),
    /// It would have accepted (dry run).
    WouldAccept,
}

/// What a ticket says about a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Authority {
    /// The ticket's status names the record, and its spec still asks for the same.
    Granted,
    /// The ticket tells the record to end.
    Stopped(Stop),
    /// The ticket does not name the record, or asks for something else by now.
    Withdrawn,
    /// The ticket names a newer attempt.
    Overtaken,
    /// There is no such ticket any more.
    Orphaned,
    /// The cache does not name the record; only a live read tells whether the cache is late.
    Unconfirmed,
}

/// What is known of the workload.
#[derive(Clone, Debug, PartialEq)]
pub enum WorkloadSeen {
    /// Nothing yet.
    Unread,
    /// From the watch; may be late.
    Watched(Box<WorkloadView>),
    /// From a live read, or the answer to a write, in this pass.
    Live(Box<WorkloadView>),
    /// A live read says that it does not exist.
    Missing,
    /// The live read failed.
    Unreadable(String),
}

impl WorkloadSeen {
    fn is_live(&self) -> bool {
        matches!(self, Self::Live(_))
    }
}

/// One step.
pub type RecordStep = Next<RecordRead, RecordWrite, RecordRest>;

/// Something to be observed.
#[derive(Clone, Debug, PartialEq)]
pub enum RecordRead {
    /// The ticket, live.
    Ticket,
    /// The workload, live, and the record its marker names.
    Workload,
    /// The workload's pods, once.
    Pods,
    /// The `ReplicaSet` of this name.
    ReplicaSet(String),
    /// What the cluster last said of a pod.
    PodWarning(Box<PodView>),
    /// What is known of the contents of the record's images.
    Contents,
}

/// Something to be written.
#[derive(Clone, Debug, PartialEq)]
pub enum RecordWrite {
    /// The record's status, if nobody wrote the record since it was read.
    Status(Box<RecordStatus>),
    /// The workload.
    Patch {
        /// What for.
        purpose: Purpose,
        /// The patch, with its tests.
        patch: Box<Patch>,
    },
    /// A pod is deleted that keeps its controller from replacing it, if it is still what was looked at.
    DeletePod(Box<PodView>),
    /// A record is deleted that need not be kept.
    DeleteRecord(Box<Record>),
}

/// Nothing to do before `until`, or until something that is watched changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecordRest {
    /// When to decide again at the latest.
    pub until: Option<Timestamp>,
    /// Look again with back-off.
    pub recheck: bool,
    /// Watch the workload's pods until the record has ended.
    pub watch_pods: bool,
    /// Run the health checks of this phase.
    pub checks: Option<Phase>,
}

/// What is being verified.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Phase {
    /// The new images.
    Rollout,
    /// The images that were put back.
    Rollback,
}

/// The phase a record is in.
#[must_use]
pub fn phase(record: &Record) -> Phase {
    let rolling_back = record.status.as_ref().is_some_and(|s| s.rollback_time.is_some());
    if rolling_back { Phase::Rollback } else { Phase::Rollout }
}

/// When the attempt counts as failed, or its rollback as not ended, as far as its status tells.
#[must_use]
pub fn deadline(record: &Record) -> Option<Timestamp> {
    let status = record.status.as_ref()?;
    let forward = || status.healthy_time.as_ref().or(status.patched_time.as_ref());
    let back = status.rollback_healthy_time.as_ref().or(status.rollback_time.as_ref());
    Some(back.or_else(forward)?.0 + SignedDuration::from_secs(record.spec.timeout_seconds.into()))
}

/// What a patch of the workload is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// Set the new images.
    Forward,
    /// Try to set the new images, changing nothing.
    DryRun,
    /// Put the previous images back.
    Rollback,
    /// Make sure no late forward patch can land.
    Fence,
    /// Put the label of a rollout in flight back.
    Relabel,
    /// Take the label of a rollout in flight away.
    Release,
}

impl Machine for RecordWorld {
    type Read = RecordRead;
    type Write = RecordWrite;
    type Rest = RecordRest;
    type Reply = RecordReply;

    fn next(&self) -> RecordStep {
        let status = self.record.status.as_ref();
        if status.is_some_and(|s| s.completion_time.is_some()) {
            return finished::decide(self);
        }
        let Some(status) = status.filter(|s| s.patched_time.is_some()) else { return before_patch::decide(self) };
        if status.rollback_time.is_some() { rolling_back::decide(self, status) } else { following::decide(self, status) }
    }

    fn learn(&mut self, reply: RecordReply) {
        self.fold_in(reply);
    }

    fn at(&mut self, now: Timestamp) {
        self.now = now;
    }

    fn most_steps(&self) -> usize {
        STEPS_MAX
    }
}

/// Steps of a pass: most of them delete records that need not be kept.
const STEPS_MAX: usize = 128;

/// How the record ended, if it has.
#[must_use]
pub fn outcome_of(record: &Record) -> Option<Outcome> {
    let status = record.status.as_ref().filter(|s| s.completion_time.is_some())?;
    status.result.clone().or_else(|| compat::result(status))
}

/// Whether the record follows a workload that it has not labelled, so that it has to be watched by name.
#[must_use]
pub fn observes(record: &Record) -> bool {
    record.spec.action == Action::Observe && !finished(record)
}

impl RecordWorld {
    /// The workload, as far as it was seen.
    #[must_use]
    pub fn view(&self) -> Option<&WorkloadView> {
        match &self.workload {
            WorkloadSeen::Watched(view) | WorkloadSeen::Live(view) => Some(view),
            _ => None,
        }
    }

    fn observes(&self) -> bool {
        self.record.spec.action == Action::Observe
    }

    /// Whether the record is not meant to change anything.
    fn writes_nothing(&self) -> bool {
        self.observes() || self.record.spec.dry_run
    }

    /// The record's status with the refusal noted; `None`: it is noted already. A refusal may read differently each time, and is
    /// said once.
    fn note_refusal(&self, write: Write) -> Option<RecordStatus> {
        let mut status = outcome::current(self);
        if status.refused.as_ref().is_some_and(|known| known.write == write) {
            return None;
        }
        status.refused = Some(Refusal { write, time: MicroTime(self.now) });
        Some(status)
    }

    /// Why the API server refused the last write of this pass.
    fn refused(&self) -> Option<&str> {
        match &self.answer {
            Some(Answer::Refused(why)) => Some(why),
            _ => None,
        }
    }
}

/// The step that is due when nothing is.
const IDLE: RecordStep = RecordStep::Rest(RecordRest { until: None, recheck: false, watch_pods: false, checks: None });

/// Look again with back-off.
const RECHECK: RecordStep = RecordStep::Rest(RecordRest { until: None, recheck: true, watch_pods: false, checks: None });

/// Whose the marker on the workload is.
#[derive(Debug, Eq, PartialEq)]
enum MarkerOwner {
    /// This record's, written with its images.
    Ours(Marker),
    /// This record's, written to keep its own late patch out.
    OurFence,
    /// Another attempt's of the same ticket.
    Sibling,
    /// Anybody else's, or none.
    Other,
}

fn marker_owner(world: &RecordWorld, view: &WorkloadView) -> MarkerOwner {
    let record = &world.record;
    match view.marker() {
        Some(m) if Some(&m.record) == record.metadata.name.as_ref() => {
            if m.set == record.spec.images {
                MarkerOwner::Ours(m)
            } else {
                MarkerOwner::OurFence
            }
        }
        Some(m) if m.ticket_uid == record.spec.ticket.uid => MarkerOwner::Sibling,
        _ => MarkerOwner::Other,
    }
}

/// Whether the label says that this record wrote the images last: it stays when `kubectl rollout undo` takes the marker away.
fn is_witnessed(world: &RecordWorld, view: &WorkloadView) -> bool {
    let name = world.record.metadata.name.as_deref().unwrap_or_default();
    view.rolling.as_ref().is_some_and(|label| witness::is_of(label, name))
}

/// Whether the previous images were put back by the record that wrote the marker. The marker alone does not tell:
/// `kubectl rollout undo` brings the one from before back.
fn was_restored(marker: &Marker, view: &WorkloadView) -> bool {
    marker.restored || view.rolling.as_ref() == Some(&witness::restored_by(&marker.record))
}

/// The images of this record's containers as they are, and whether they are what this record set.
fn live_images(world: &RecordWorld, view: &WorkloadView) -> Vec<ContainerImage> {
    view.images_of(&world.record.spec.images)
}

fn shows(view: &WorkloadView, images: &[ContainerImage]) -> bool {
    view.images_of(images) == images
}

/// Whether the workload has these images, or what admission made of them.
fn runs(view: &WorkloadView, images: &[ContainerImage]) -> bool {
    all_same_or_pinned(images, &view.images_of(images))
}

fn runs_wanted(world: &RecordWorld, view: &WorkloadView) -> bool {
    runs(view, &world.record.spec.images)
}

/// Who the record's ticket is, for those who look it up.
#[must_use]
pub fn is_ticket_of(ticket: &Ticket, record: &Record) -> bool {
    ticket.metadata.uid.as_ref() == Some(&record.spec.ticket.uid)
}
