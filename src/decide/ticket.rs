//! The next step for a ticket.
//!
//! A step is either one more observation, one write, or the end of the pass. Whoever performs the steps observes, asks again,
//! writes, asks again, until there is nothing more to do: a crash between any two steps changes nothing about where it ends.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use kube::api::ObjectMeta;

use super::gates::{self, Dependencies, Obstacle};
use super::images::all_same_or_pinned;
use super::lifecycle::{self, Attribution};
use super::preflight::{self, Asker, Holder, Plan, finished};
use super::request::{self, ResolvedTarget};
use super::status::{self, Situation};
use super::{queue, reason};
use crate::api::condition::find_condition;
use crate::api::deployment::{Action, Deployment, DeploymentSpec, TicketRef};
use crate::api::ticket::{Order, Stop, TargetStatus, Ticket, TicketState, TicketStatus};
use crate::api::workload_ref::Workload;
use crate::api::{ATTEMPT_LABEL, FIELD_MANAGER, TARGET_LABEL, TICKET_LABEL, TICKET_UID_LABEL};
use crate::workload::view::WorkloadView;

/// Longest pause between two tries, in seconds.
const BACKOFF_MAX_SECONDS: i64 = 300;

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
    /// Other tickets on their way to a workload, with the workload.
    pub rivals: Vec<(Workload, Ticket)>,
    /// The workloads that were read in this pass.
    pub probes: BTreeMap<Workload, Probe>,
    /// The operator only says what it would do.
    pub monitor_only: bool,
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
    /// As last seen.
    Found(Box<Deployment>),
}

/// What a live read of a workload gave.
#[derive(Clone, Debug, PartialEq)]
pub enum Probe {
    /// It, and the record its marker names.
    Found(Box<WorkloadView>, Holder),
    /// It does not exist.
    Missing,
    /// The read failed.
    Unreadable(String),
}

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub enum TicketStep {
    /// Read a record of the ticket's namespace, live.
    ReadRecord(String),
    /// Read a workload, live, and the record its marker names.
    ReadWorkload(Workload),
    /// Write the status, if nobody wrote the ticket since it was read.
    WriteStatus(Box<TicketStatus>),
    /// Create a record; if it exists already, that is as good.
    CreateRecord(Box<Deployment>),
    /// Nothing to do before `until`, or until something that is watched changes; with `recheck`, look again with back-off.
    Wait {
        /// When to decide again at the latest.
        until: Option<Timestamp>,
        /// Something that cannot be watched is waited for.
        recheck: bool,
    },
}

/// The next step.
#[must_use]
pub fn decide(world: &TicketWorld) -> TicketStep {
    match pass(world) {
        Ok(step) | Err(step) => step,
    }
}

/// `Err` is a step that must come before anything can be decided.
fn pass(world: &TicketWorld) -> Result<TicketStep, TicketStep> {
    let ticket = &world.ticket;
    let mut status = ticket.status.clone().unwrap_or_default();
    status.observed_generation = ticket.metadata.generation.unwrap_or_default();
    lifecycle::take_in(&mut status, ticket, world.now);
    let targets = request::resolve(ticket);
    for entry in &mut status.targets {
        take_in_result(world, entry)?;
    }
    reopen_for_changed_targets(world, &mut status, &targets);

    let state = status.state.unwrap_or(TicketState::Planning);
    let gate = gates::first_obstacle(ticket, state, &targets, &world.dependencies, world.now);
    let mut situations = Vec::new();
    let mut creates = Vec::new();
    for target in &targets {
        let mut entry = entry_of(&status, &target.name);
        let gate = gate.clone().or_else(|| turn_not_come(ticket, &situations));
        let turn = Turn { world, state, gate: gate.as_ref(), targets: &targets, target };
        let situation = turn.advance(&mut entry, &mut creates)?;
        put_entry(&mut status, entry);
        situations.push((target.name.clone(), situation));
    }
    for entry in &mut status.targets {
        if !targets.iter().any(|t| t.name == entry.name) && in_flight(entry) {
            if let Some(RecordSeen::Absent | RecordSeen::Refused(_)) = record_of(world, entry)? {
                entry.record = None;
                continue;
            }
            let stop = if ticket.spec.manual_override { Stop::Leave } else { entry.stop.unwrap_or(Stop::Rollback) };
            entry.stop = Some(stop);
            situations.push((entry.name.clone(), Situation::InFlight(stopping(stop))));
        }
    }
    prune(&mut status, &targets);
    finish_when_all_deployed(world, &mut status, &situations);
    status::project(&mut status, ticket, &situations, world.now);

    // What was intended before is made before anything else is said: whether it can be made decides what to say.
    let intended = |record: &Deployment| {
        ticket.status.iter().flat_map(|s| &s.targets).any(|e| e.record == record.metadata.name && e.stop.is_none())
    };
    if let Some(record) = creates.into_iter().find(intended) {
        return Ok(TicketStep::CreateRecord(Box::new(record)));
    }
    if ticket.status.as_ref() != Some(&status) {
        return Ok(TicketStep::WriteStatus(Box::new(status)));
    }
    Ok(wait(world, &situations))
}

fn wait(world: &TicketWorld, situations: &[(String, Situation)]) -> TicketStep {
    let retry = situations.iter().filter_map(|(_, s)| match s {
        Situation::BackingOff { until, .. } => Some(*until),
        _ => None,
    });
    let expiry = world.ticket.spec.deploy_before.as_ref().map(|t| t.0).filter(|t| *t > world.now);
    let pending = situations.iter().any(|(_, s)| !matches!(s, Situation::Deployed { .. } | Situation::Failed { .. }));
    TicketStep::Wait {
        until: retry.chain(expiry.filter(|_| pending)).min(),
        recheck: situations.iter().any(|(_, s)| matches!(s, Situation::Waiting(o) if o.recheck)),
    }
}

/// In sequence, a target waits for those before it.
fn turn_not_come(ticket: &Ticket, before: &[(String, Situation)]) -> Option<Obstacle> {
    if ticket.spec.rollout.order != Order::Sequential {
        return None;
    }
    let (name, _) = before.iter().find(|(_, s)| !matches!(s, Situation::Deployed { .. }))?;
    let message = format!("target {name} comes first (spec.rollout.order: Sequential)");
    Some(Obstacle { moving: true, ..Obstacle::parked("TargetNotReached", message) })
}

/// What is known of the record an entry names.
fn record_of<'a>(world: &'a TicketWorld, entry: &TargetStatus) -> Result<Option<&'a RecordSeen>, TicketStep> {
    let Some(name) = &entry.record else { return Ok(None) };
    world.records.get(name).map(Some).ok_or_else(|| TicketStep::ReadRecord(name.clone()))
}

fn in_flight(entry: &TargetStatus) -> bool {
    entry.record.is_some() && entry.result.is_none()
}

/// An attempt that has ended leaves its result on the ticket.
fn take_in_result(world: &TicketWorld, entry: &mut TargetStatus) -> Result<(), TicketStep> {
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
        entry.record = None;
        return Ok(());
    }
    entry.message = Some(succeeded.message.clone());
    if !reason::is_success(&succeeded.reason) {
        entry.failure_time = status.and_then(|s| s.completion_time.clone());
        entry.failure_namespace = Some(record.spec.workload.namespace.clone());
        if status.is_some_and(|s| s.patched_time.is_some()) {
            entry.tries += 1;
        }
    }
    entry.result = Some(succeeded.reason.clone());
    if entry.request_hash.is_none() {
        // The ticket came back to ready while this was ending: what was asked for then is gone.
        lifecycle::new_request(entry);
    }
    Ok(())
}

/// Whether the record under the entry's name is this ticket's, and not one that merely has its name.
fn is_of(world: &TicketWorld, record: &Deployment, entry: &TargetStatus) -> bool {
    Some(&record.spec.ticket.uid) == world.ticket.metadata.uid.as_ref()
        && record.spec.target == entry.name
        && record.spec.attempt == entry.attempt
}

/// While `spec.state` asks for the deployment, a changed target of a ticket that is done is a new request.
fn reopen_for_changed_targets(world: &TicketWorld, status: &mut TicketStatus, targets: &[ResolvedTarget]) {
    if status.state != Some(TicketState::Done) || status.requested_state != Some(TicketState::ReadyForDeployment) {
        return;
    }
    let settings = &world.ticket.spec.rollout;
    let asked = |t: &ResolvedTarget| entry_of(status, &t.name).request_hash == Some(request::hash(t, settings));
    if !targets.iter().all(asked) {
        let why = Attribution::own("spec.targets changed");
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
    status.deployment_time = Some(Time(last_completion(world, status).unwrap_or(world.now)));
    status.deployed_namespace = world.ticket.namespace();
    lifecycle::transition(status, TicketState::Done, Attribution::own("every target is deployed"), world.now);
}

fn last_completion(world: &TicketWorld, status: &TicketStatus) -> Option<Timestamp> {
    let records = status.targets.iter().filter_map(|e| world.records.get(e.record.as_ref()?));
    let times = records.filter_map(|r| match r {
        RecordSeen::Found(r) => r.status.as_ref()?.completion_time.as_ref().map(|t| t.0),
        RecordSeen::Absent | RecordSeen::Refused(_) => None,
    });
    times.max()
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

fn stopping(stop: Stop) -> (&'static str, String) {
    match stop {
        Stop::Rollback => ("Aborting", "the rollout is being ended and the previous images put back".to_owned()),
        Stop::Leave => ("Aborting", "the rollout is being ended, the workload left as it is".to_owned()),
    }
}

/// One target's turn in a pass.
struct Turn<'a> {
    world: &'a TicketWorld,
    state: TicketState,
    gate: Option<&'a Obstacle>,
    targets: &'a [ResolvedTarget],
    target: &'a ResolvedTarget,
}

impl Turn<'_> {
    fn advance(&self, entry: &mut TargetStatus, creates: &mut Vec<Deployment>) -> Result<Situation, TicketStep> {
        if in_flight(entry)
            && let Some(situation) = self.follow(entry, creates)?
        {
            return Ok(situation);
        }
        if !in_flight(entry) && entry.request_hash.as_ref() != Some(&self.hash()) {
            lifecycle::new_request(entry);
            entry.record = None;
        }
        let message = entry.message.clone().unwrap_or_default();
        match (entry.result.as_deref(), self.gate) {
            (Some(result), _) if reason::is_success(result) && self.asked_for() => {
                Ok(Situation::Deployed { result: result.to_owned(), message })
            }
            (result, Some(gate)) if !self.tells_more_than_gate(result, entry.tries) => Ok(Situation::Waiting(gate.clone())),
            (None, _) => self.start(entry),
            (Some(reason::ROLLED_BACK), _) if self.may_retry(entry.tries) => self.retry(entry),
            (Some(reason::ROLLED_BACK), _) => Ok(Situation::Failed { reason: "RetriesExhausted".to_owned(), message }),
            (Some(result), _) => Ok(Situation::Failed { reason: result.to_owned(), message }),
        }
    }

    /// What a person wants now matters more than how an attempt ended, unless it is what the person has to know first: that the
    /// deployment that is still asked for failed for good.
    fn tells_more_than_gate(&self, result: Option<&str>, tries: i32) -> bool {
        self.asked_for()
            && match result {
                None | Some(reason::ABORTED) => false,
                Some(reason::ROLLED_BACK) => !self.may_retry(tries),
                Some(_) => true,
            }
    }

    /// Whether the deployment is what the ticket asks for, or was when it was done.
    fn asked_for(&self) -> bool {
        matches!(self.state, TicketState::ReadyForDeployment | TicketState::Done)
    }

    fn may_retry(&self, tries: i32) -> bool {
        tries < self.settings().max_attempts
    }

    /// An attempt in flight. `None`: there is none after all, or a new one takes its place.
    fn follow(&self, entry: &mut TargetStatus, creates: &mut Vec<Deployment>) -> Result<Option<Situation>, TicketStep> {
        let Some(RecordSeen::Found(record)) = record_of(self.world, entry)? else { return self.make(entry, creates) };
        if !is_of(self.world, record, entry) {
            entry.record = None;
            return Ok(None);
        }
        let same_images = record.spec.workload == self.target.workload
            && record.spec.images.iter().all(|i| i.image == self.target.image)
            && self.target.containers.iter().all(|c| record.spec.images.iter().any(|i| i.container == *c));
        // Other settings for the same images: this attempt ends first, the new request follows.
        let changed = entry.request_hash.as_ref() != Some(&self.hash()) && !same_images;
        let patched = record.status.as_ref().is_some_and(|s| s.patched_time.is_some());
        let taken_back = self.state.is_open() && self.state != TicketState::ReadyForDeployment || self.state == TicketState::WontDo;
        if self.world.ticket.spec.manual_override {
            entry.stop = Some(Stop::Leave);
        } else if entry.stop.is_none() {
            entry.stop = if taken_back || gates::scan_failed(&self.world.ticket) || (!patched && (changed || self.gate.is_some())) {
                Some(Stop::Rollback)
            } else if changed {
                if self.gate.is_none() && !self.world.monitor_only && self.may_take_over(record)? {
                    self.intend(entry);
                    return Ok(Some(self.rolling(entry)));
                }
                Some(Stop::Rollback)
            } else {
                None
            };
        }
        Ok(Some(Situation::InFlight(match entry.stop {
            Some(stop) => stopping(stop),
            None => status::in_flight_text(record, entry, &self.target.image),
        })))
    }

    /// Whether a new attempt may write at once over one in flight: only where it inherits all that the other would have to undo.
    fn may_take_over(&self, record: &Deployment) -> Result<bool, TicketStep> {
        let inherits =
            |plan: &Plan| record.spec.images.iter().all(|old| plan.images.iter().any(|new| new.container == old.container));
        Ok(record.spec.workload == self.target.workload && self.plan(None)?.is_ok_and(|plan| inherits(&plan)))
    }

    /// The intent is on the status; now the record. If the world has changed since, the intent is dropped.
    fn make(&self, entry: &mut TargetStatus, creates: &mut Vec<Deployment>) -> Result<Option<Situation>, TicketStep> {
        let current = entry.stop.is_none() && entry.request_hash.as_ref() == Some(&self.hash());
        if current
            && self.gate.is_none()
            && !self.world.monitor_only
            && let Ok(plan) = self.plan(entry.record.as_deref())?
        {
            if let Some(RecordSeen::Refused(why)) = record_of(self.world, entry)? {
                let name = entry.record.as_deref().unwrap_or_default();
                let message = format!("the API server refuses to create the record tdep/{name}: {why}");
                return Ok(Some(Situation::Waiting(Obstacle::unwatched("RecordRefused", message))));
            }
            creates.push(self.record(entry, plan));
            return Ok(Some(self.rolling(entry)));
        }
        entry.record = None;
        entry.stop = None;
        Ok(None)
    }

    /// Whether a target that was rolled back may be tried again.
    fn retry(&self, entry: &mut TargetStatus) -> Result<Situation, TicketStep> {
        let failed = entry.failure_time.as_ref().map_or(self.world.now, |t| t.0);
        let until = whole_seconds(failed + backoff(self.settings().backoff_seconds, entry.tries));
        if self.world.now < until {
            return Ok(Situation::BackingOff { until, message: entry.message.clone().unwrap_or_default() });
        }
        let Probe::Found(view, _) = self.probe()? else { return self.start(entry) };
        if !restored(view, entry) {
            entry.result = Some(reason::WORKLOAD_MOVED_ON.to_owned());
            entry.message = Some(format!(
                "not tried again: {} no longer runs what the rollback restored; last failure: {}",
                view.workload,
                entry.message.as_deref().unwrap_or_default()
            ));
            return Ok(Situation::Failed {
                reason: reason::WORKLOAD_MOVED_ON.to_owned(),
                message: entry.message.clone().unwrap_or_default(),
            });
        }
        self.start(entry)
    }

    fn start(&self, entry: &mut TargetStatus) -> Result<Situation, TicketStep> {
        if let Some(first) = self.ahead() {
            let message = format!("{}: ticket {} asked first; this one follows", self.target.workload, first.name_any());
            let obstacle = Obstacle::parked(reason::WORKLOAD_HELD, message).on(format!("ticket/{}", first.name_any()));
            return Ok(Situation::Waiting(Obstacle { moving: true, ..obstacle }));
        }
        match self.plan(None)? {
            Err(obstacle) => Ok(Situation::Waiting(obstacle)),
            Ok(_) if self.world.monitor_only => Ok(Situation::Waiting(Obstacle::parked(
                "WouldDeploy",
                format!("would set {} to {}, but the operator only monitors (--dry-run)", self.target.workload, self.target.image),
            ))),
            Ok(_) => {
                self.intend(entry);
                Ok(self.rolling(entry))
            }
        }
    }

    /// Writes the intent down: from here on the attempt has a name.
    fn intend(&self, entry: &mut TargetStatus) {
        entry.attempt += 1;
        entry.record = Some(request::record_name(&self.world.ticket, &self.target.name, entry.attempt));
        entry.request_hash = Some(self.hash());
        entry.workload_uid = match self.world.probes.get(&self.target.workload) {
            Some(Probe::Found(view, _)) => Some(view.uid.clone()),
            _ => None,
        };
        entry.stop = None;
        entry.result = None;
        entry.message = None;
    }

    fn ahead(&self) -> Option<&Ticket> {
        let own = queue::place(&self.world.ticket);
        let rivals = self.world.rivals.iter().filter(|(w, _)| *w == self.target.workload);
        rivals.map(|(_, t)| t).filter(|t| queue::place(t) < own).min_by_key(|t| queue::place(t))
    }

    fn probe(&self) -> Result<&Probe, TicketStep> {
        let probe = self.world.probes.get(&self.target.workload);
        probe.ok_or_else(|| TicketStep::ReadWorkload(self.target.workload.clone()))
    }

    /// `record`: the one that is being made, which the workload may name already if it was made before and is lost.
    fn plan(&self, record: Option<&str>) -> Result<Result<Plan, Obstacle>, TicketStep> {
        let on = self.target.workload.to_string();
        Ok(match self.probe()? {
            Probe::Found(view, holder) => {
                let ticket_uid = self.world.ticket.metadata.uid.as_deref().unwrap_or_default();
                preflight::check(Asker { ticket_uid, targets: self.targets, record }, self.target, view, holder)
            }
            Probe::Missing => {
                let path = format!("spec.targets[{}]", self.target.name);
                Err(Obstacle::unwatched("WorkloadNotFound", format!("{path}: {on} does not exist; create it, or correct the name"))
                    .on(on))
            }
            Probe::Unreadable(error) => {
                Err(Obstacle::unwatched("WorkloadUnreadable", format!("{on} cannot be read: {error}")).on(on))
            }
        })
    }

    fn rolling(&self, entry: &TargetStatus) -> Situation {
        Situation::InFlight(status::rolling_text(entry, &self.target.image))
    }

    fn hash(&self) -> String {
        request::hash(self.target, self.settings())
    }

    fn settings(&self) -> &crate::api::ticket::RolloutSettings {
        &self.world.ticket.spec.rollout
    }

    fn record(&self, entry: &TargetStatus, plan: Plan) -> Deployment {
        let ticket = &self.world.ticket;
        let uid = ticket.uid().unwrap_or_default();
        let labels = [
            (TICKET_LABEL, request::label_value(&ticket.name_any())),
            (TICKET_UID_LABEL, uid.clone()),
            (TARGET_LABEL, request::label_value(&self.target.name)),
            (ATTEMPT_LABEL, entry.attempt.to_string()),
        ];
        let settings = self.settings();
        Deployment {
            metadata: ObjectMeta {
                name: entry.record.clone(),
                namespace: ticket.namespace(),
                labels: Some(labels.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
                ..ObjectMeta::default()
            },
            spec: DeploymentSpec {
                ticket: TicketRef { name: ticket.name_any(), uid, id: request::id(ticket) },
                target: self.target.name.clone(),
                attempt: entry.attempt,
                request_hash: self.hash(),
                action: Action::Rollout,
                rollback_of: None,
                workload: self.target.workload.clone(),
                images: plan.images,
                base: plan.base,
                timeout_seconds: settings.timeout_seconds,
                on_failure: settings.on_failure,
                dry_run: settings.dry_run,
            },
            status: None,
        }
    }
}

/// Whether the workload still shows what the rollback of this attempt restored.
fn restored(view: &WorkloadView, entry: &TargetStatus) -> bool {
    view.marker().is_some_and(|m| Some(&m.record) == entry.record.as_ref() && all_same_or_pinned(&m.undo, &view.images_of(&m.undo)))
}

/// The status shows it in whole seconds; any other moment would be rewritten for ever.
fn whole_seconds(time: Timestamp) -> Timestamp {
    let up = i64::from(time.subsec_nanosecond() > 0);
    Timestamp::from_second(time.as_second() + up).unwrap_or(time)
}

/// Pause before the next try: doubled for each failed one.
fn backoff(base_seconds: i32, tries: i32) -> SignedDuration {
    let doubled = i64::from(base_seconds).saturating_mul(1 << tries.saturating_sub(1).clamp(0, 16));
    SignedDuration::from_secs(doubled.min(BACKOFF_MAX_SECONDS.max(i64::from(base_seconds))))
}
