//! The next step for a ticket.
//!
//! A step is either one more observation, one write, or the end of the pass. Whoever performs the steps observes, asks again,
//! writes, asks again, until there is nothing more to do: a crash between any two steps changes nothing about where it ends.

mod learn;
pub mod rollback;
mod sequence;
mod superseded;
mod turn;
pub mod undo;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

pub use self::learn::TicketReply;
use self::turn::Turn;
use super::check::Limits;
use super::gates::{self, Dependencies, Obstacle};
use super::lifecycle::{self, Attribution, in_flight};
use super::lineage::Since;
use super::machine::{Machine, Next};
use super::preflight::{Holder, finished};
use super::record::is_ticket_of;
use super::request::{self, ResolvedTarget};
use super::status::{self, Progress, Situation};
use super::{reason, retry, warnings};
use crate::workload::view::WorkloadView;
use kube::ResourceExt;
use trackdown_api::FIELD_MANAGER;
use trackdown_api::condition::find_condition;
use trackdown_api::record::Record;
use trackdown_api::ticket::{Stop, TargetRollback, TargetStatus, Ticket, TicketState, TicketStatus};
use trackdown_api::workload_ref::{Workload, WorkloadKind, is_name};

/// Most target entries a status keeps; those of removed targets go first.
const ENTRIES_MAX: usize = 32;

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
        pass(self).unwrap_or_else(TicketStep::Read)
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

/// `Err`: not before this was read.
fn pass(world: &TicketWorld) -> Result<TicketStep, TicketRead> {
    let ticket = &world.ticket;
    let mut status = ticket.status.clone().unwrap_or_default();
    status.observed_generation = ticket.metadata.generation.unwrap_or_default();
    let fresh = status.state.is_none();
    lifecycle::take_in(&mut status, ticket, world.now);
    let targets = request::resolve(ticket);
    for entry in &mut status.targets {
        if in_flight(entry) && !entry.record.as_deref().is_some_and(is_name) {
            // Edited by hand: no record was ever made under it.
            entry.record = None;
        }
        take_in_result(world, entry)?;
    }
    let retried = retry::take_in(&mut status, ticket, fresh);
    rollback::take_in(&mut status, ticket, &targets, fresh);
    reopen_for_new_requests(world, &mut status, &targets);
    sequence::start_over(&mut status, ticket, &targets, retried);
    sequence::let_be(&mut status);

    let state = status.state.unwrap_or(TicketState::Planning);
    let gate = gates::first_obstacle(ticket, state, &targets, &world.dependencies, world.now)
        .or_else(|| gates::forbidden_check(&targets, &world.limits));
    let mut situations = Vec::new();
    let mut creates = Vec::new();
    for target in &targets {
        let mut entry = entry_of(&status, &target.name);
        let gate = gate.clone().or_else(|| sequence::turn_not_come(ticket, &situations));
        let turn = Turn { world, state, gate: gate.as_ref(), targets: &targets, target };
        let situation = match unreadable_record(world, &entry) {
            Some(obstacle) if in_flight(&entry) => Situation::Waiting(obstacle),
            Some(obstacle) => Situation::Held(obstacle),
            None => turn.advance(&mut entry, &mut creates)?,
        };
        put_entry(&mut status, entry);
        situations.push((target.name.clone(), situation));
    }
    sequence::compensate(world, &mut status, &targets, &mut situations, &mut creates)?;
    for entry in &mut status.targets {
        if !targets.iter().any(|t| t.name == entry.name) && in_flight(entry) {
            if let Some(obstacle) = unreadable_record(world, entry) {
                situations.push((entry.name.clone(), Situation::Waiting(obstacle)));
                continue;
            }
            if let Some(RecordSeen::Absent | RecordSeen::Refused(_)) = record_of(world, entry)? {
                entry.record = None;
                continue;
            }
            if rollback::is_running(entry) {
                situations.push((entry.name.clone(), Situation::InFlight(Progress::of(rollback::text(entry)))));
                continue;
            }
            let stop = if ticket.spec.manual_override { Stop::Leave } else { entry.stop.unwrap_or(Stop::Rollback) };
            entry.stop = Some(stop);
            situations.push((entry.name.clone(), Situation::InFlight(stopping(stop))));
        }
    }
    status.warnings = warnings::of(ticket);
    superseded::note(world, &mut status);
    rollback::reopen(&mut status, ticket.status.as_ref(), world.now);
    prune(&mut status, &targets);
    finish_when_all_deployed(world, &mut status, &situations);
    status::project(&mut status, ticket, &situations, world.now);

    // What was intended before is made before anything else is said: whether it can be made decides what to say.
    let intended = |record: &Record| ticket.status.iter().flat_map(|s| &s.targets).any(|e| e.record == record.metadata.name);
    if let Some(record) = creates.into_iter().find(intended) {
        return Ok(TicketStep::Write(TicketWrite::Create(Box::new(record))));
    }
    if ticket.status.as_ref() != Some(&status) {
        return Ok(TicketStep::Write(TicketWrite::Status(Box::new(status))));
    }
    Ok(wait(world, &situations))
}

fn wait(world: &TicketWorld, situations: &[(String, Situation)]) -> TicketStep {
    let retry = situations.iter().filter_map(|(_, s)| match s {
        Situation::BackingOff { until, .. } => Some(*until),
        _ => None,
    });
    let expiry = world.ticket.spec.deploy_before.as_ref().map(|t| t.0).filter(|t| *t > world.now);
    let pending = situations.iter().any(|(_, s)| s.is_pending());
    let obstacles = || {
        situations.iter().filter_map(|(_, s)| match s {
            Situation::Waiting(obstacle) | Situation::Held(obstacle) => Some(obstacle),
            _ => None,
        })
    };
    TicketStep::Rest(TicketRest {
        until: retry.chain(expiry.filter(|_| pending)).min(),
        recheck: obstacles().any(|o| o.recheck),
        watch: obstacles().filter_map(|o| o.watch.as_deref().cloned()).chain(awaiting_git(world, situations)).collect(),
    })
}

/// Workloads of failed rollouts that only Git can take back.
fn awaiting_git<'a>(world: &'a TicketWorld, situations: &'a [(String, Situation)]) -> impl Iterator<Item = Workload> + 'a {
    let awaits = |s: &Situation| matches!(s, Situation::Failed { reason, .. } if reason == reason::ROLLBACK_REQUIRES_GIT);
    let targets = request::resolve(&world.ticket).into_iter();
    targets.filter(move |t| situations.iter().any(|(name, s)| *name == t.name && awaits(s))).map(|t| t.workload)
}

/// What is known of the record an entry names.
fn record_of<'a>(world: &'a TicketWorld, entry: &TargetStatus) -> Result<Option<&'a RecordSeen>, TicketRead> {
    entry.record.as_deref().map(|name| record_named(world, name)).transpose()
}

fn record_named<'a>(world: &'a TicketWorld, name: &str) -> Result<&'a RecordSeen, TicketRead> {
    match world.records.get(name) {
        Some(seen) => Ok(seen),
        // Nothing is called that.
        None if !is_name(name) => Ok(&RecordSeen::Absent),
        None => Err(TicketRead::Record(name.to_owned())),
    }
}

/// What the target rests on is not known before its record can be read.
fn unreadable_record(world: &TicketWorld, entry: &TargetStatus) -> Option<Obstacle> {
    let mut named = entry.record.iter().filter(|_| in_flight(entry)).chain(entry.rollback.iter().flat_map(names_of));
    let (name, why) = named.find_map(|name| match world.records.get(name)? {
        RecordSeen::Unreadable(why) => Some((name, why)),
        _ => None,
    })?;
    let message = format!("tdep/{name} cannot be read, so nothing is decided that rests on it: {why}");
    Some(Obstacle::unwatched(reason::RECORD_UNREADABLE, message).on(format!("tdep/{name}")))
}

fn names_of(rollback: &TargetRollback) -> impl Iterator<Item = &String> {
    rollback.of.iter().chain(&rollback.to).chain(&rollback.before)
}

/// The records a pass over the ticket will ask for.
pub fn named_records(ticket: &Ticket) -> impl Iterator<Item = &String> {
    let entries = ticket.status.iter().flat_map(|s| &s.targets);
    entries.flat_map(|e| e.record.iter().chain(e.rollback.iter().flat_map(names_of)))
}

/// An attempt that has ended leaves its result on the ticket.
fn take_in_result(world: &TicketWorld, entry: &mut TargetStatus) -> Result<(), TicketRead> {
    if !in_flight(entry) {
        return Ok(());
    }
    let Some(RecordSeen::Found(record)) = record_of(world, entry)? else { return Ok(()) };
    if !finished(record) || !is_of(world, record, entry) {
        return Ok(());
    }
    let status = record.status.as_ref();
    let Some(succeeded) = status.and_then(|s| find_condition(&s.conditions, reason::SUCCEEDED)) else { return Ok(()) };
    entry.stop = None;
    if succeeded.reason == reason::SUPERSEDED {
        // It never counted: somebody changed the workload between the decision and the write, or a newer request came.
        rollback::forget_attempt(entry);
        return Ok(());
    }
    entry.message = Some(succeeded.message.clone());
    entry.completion_time = status.and_then(|s| s.completion_time.clone());
    entry.seen_images.clear();
    if !reason::is_success(&succeeded.reason) {
        entry.failure_time = status.and_then(|s| s.completion_time.clone());
        entry.failure_namespace = Some(record.spec.workload.namespace.clone());
        if status.is_some_and(|s| s.patched_time.is_some()) && !rollback::is_running(entry) {
            entry.tries += 1;
        }
    }
    entry.result = Some(succeeded.reason.clone());
    entry.rolled_back = entry.record.clone().filter(|_| succeeded.reason == reason::ROLLED_BACK);
    rollback::after(entry);
    if entry.request_hash.is_none() {
        // The ticket came back to ready while this was ending: what was asked for then is gone.
        lifecycle::new_request(entry);
    }
    Ok(())
}

/// Whether the record under the entry's name is this ticket's, and not one that merely has its name.
fn is_of(world: &TicketWorld, record: &Record, entry: &TargetStatus) -> bool {
    is_ticket_of(&world.ticket, record) && record.spec.target == entry.name && record.spec.attempt == entry.attempt
}

/// While `spec.state` asks for the deployment, a changed target of a ticket that is done, or one that is asked for again, is a new
/// request.
fn reopen_for_new_requests(world: &TicketWorld, status: &mut TicketStatus, targets: &[ResolvedTarget]) {
    if status.state != Some(TicketState::Done) || world.ticket.spec.state != Some(TicketState::ReadyForDeployment) {
        return;
    }
    let settings = &world.ticket.spec.rollout;
    let asked = |t: &ResolvedTarget| entry_of(status, &t.name).request_hash == Some(request::hash(t, settings));
    if !targets.iter().all(asked) {
        let why = Attribution::own("spec.targets changed, or a target is asked for again");
        lifecycle::transition(status, TicketState::ReadyForDeployment, why, world.now);
    }
}

fn finish_when_all_deployed(world: &TicketWorld, status: &mut TicketStatus, situations: &[(String, Situation)]) {
    let all = !situations.is_empty()
        && situations.iter().all(|(_, s)| matches!(s, Situation::Deployed { result, .. } if result != reason::DRY_RUN));
    if !all || status.state != Some(TicketState::ReadyForDeployment) {
        return;
    }
    status.deployed_by = Some(FIELD_MANAGER.to_owned());
    status.deployment_time = Some(Time(last_completion(status).unwrap_or(world.now)));
    status.deployed_namespace = world.ticket.namespace();
    lifecycle::transition(status, TicketState::Done, Attribution::own("every target is deployed"), world.now);
}

fn last_completion(status: &TicketStatus) -> Option<Timestamp> {
    status.targets.iter().filter_map(|e| e.completion_time.as_ref()).map(|t| t.0).max()
}

fn entry_of(status: &TicketStatus, name: &str) -> TargetStatus {
    let known = status.targets.iter().find(|e| e.name == name).cloned();
    known.unwrap_or_else(|| TargetStatus { name: name.to_owned(), ..TargetStatus::default() })
}

fn put_entry(status: &mut TicketStatus, entry: TargetStatus) {
    match status.targets.iter_mut().find(|e| e.name == entry.name) {
        Some(known) => *known = entry,
        None => status.targets.push(entry),
    }
}

/// Entries of removed targets stay, so that attempt numbers go on if the target comes back; but not without bound.
fn prune(status: &mut TicketStatus, targets: &[ResolvedTarget]) {
    let mut surplus = status.targets.len().saturating_sub(ENTRIES_MAX);
    status.targets.retain(|e| {
        let removable = surplus > 0 && !in_flight(e) && !targets.iter().any(|t| t.name == e.name);
        surplus -= usize::from(removable);
        !removable
    });
}

fn stopping(stop: Stop) -> Progress {
    let message = match stop {
        Stop::Rollback => "the rollout is being ended and the previous images put back",
        Stop::Leave => "the rollout is being ended, the workload left as it is",
    };
    Progress::of(("Aborting", message.to_owned()))
}
