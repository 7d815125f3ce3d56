//! A pass over a ticket, in its order: what is asked for is taken in, each target has its turn, the status tells of it.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use trackdown_api::FIELD_MANAGER;
use trackdown_api::outcome::Outcome;
use trackdown_api::record::Record;
use trackdown_api::ticket::{Stop, TicketState, TicketStatus};
use trackdown_api::workload_ref::{Workload, is_name};

use super::course::{Course, Draft, Target};
use super::turn::Turn;
use super::{RecordSeen, TicketRead, TicketRest, TicketStep, TicketWorld, TicketWrite};
use super::{is_of, names_of, record_of, rollback, sequence, superseded, taking_back};
use crate::condition_reason;
use crate::gates::{self, Asked, Ends, Obstacle};
use crate::lifecycle::{self, Attribution};
use crate::preflight::finished;
use crate::reason::RECORD_UNREADABLE;
use crate::record::outcome_of;
use crate::request::{self, ResolvedTarget};
use crate::situation::{Failure, Progress, Situation, stopping};
use crate::{retry, status, warnings};

/// Most target entries a status keeps; those of removed targets go first.
const ENTRIES_MAX: usize = 32;

/// The targets by name, and where each is.
type Situations = Vec<(String, Situation)>;

/// The next step. `Err`: not before this was read.
pub fn next(world: &TicketWorld) -> Result<TicketStep, TicketRead> {
    let ticket = &world.ticket;
    let targets = request::resolve(ticket);
    let mut draft = Draft::from(ticket.status.clone().unwrap_or_default());
    draft.status.observed_generation = ticket.metadata.generation.unwrap_or_default();
    take_in(world, &mut draft, &targets)?;

    let mut creates = Vec::new();
    let mut situations = take_turns(world, &mut draft, &targets, &mut creates)?;
    sequence::compensate(world, &mut draft, &targets, &mut situations, &mut creates)?;
    end_removed(world, &mut draft, &targets, &mut situations)?;

    draft.status.warnings = warnings::of(ticket);
    superseded::note(world, &mut draft);
    rollback::reopen(&mut draft, ticket.status.as_ref(), world.now);
    prune(&mut draft, &targets);
    finish_when_all_deployed(world, &mut draft, &situations);
    let mut status = TicketStatus::from(draft);
    status::project(&mut status, ticket, &situations, world.now);

    // What was intended before is made before anything else is said: whether it can be made decides what to say.
    let intended = |record: &Record| ticket.status.iter().flat_map(|s| &s.targets).any(|e| e.record == record.metadata.name);
    if let Some(record) = creates.into_iter().find(intended) {
        return Ok(TicketStep::Write(TicketWrite::Create(Box::new(record))));
    }
    if ticket.status.as_ref() != Some(&status) {
        return Ok(TicketStep::Write(TicketWrite::Status(Box::new(status))));
    }
    Ok(TicketStep::Rest(rest(world, &situations)))
}

/// What was asked for since the last pass, and what attempts came to.
fn take_in(world: &TicketWorld, draft: &mut Draft, targets: &[ResolvedTarget]) -> Result<(), TicketRead> {
    let ticket = &world.ticket;
    let fresh = draft.status.state.is_none();
    lifecycle::take_in(draft, ticket, world.now);
    for known in &mut draft.targets {
        if known.is_in_flight() && !known.record().is_some_and(is_name) {
            // Edited by hand: no record was ever made under it.
            known.unname();
        }
        take_in_result(world, known)?;
    }
    let retried = retry::take_in(draft, ticket, fresh);
    rollback::take_in(draft, ticket, targets, fresh);
    reopen_for_new_requests(world, draft, targets);
    sequence::start_over(draft, ticket, targets, retried);
    sequence::let_be(draft);
    Ok(())
}

fn take_turns(
    world: &TicketWorld,
    draft: &mut Draft,
    targets: &[ResolvedTarget],
    creates: &mut Vec<Record>,
) -> Result<Situations, TicketRead> {
    let ticket = &world.ticket;
    let state = draft.status.state.unwrap_or(TicketState::Planning);
    let TicketWorld { dependencies, limits, now, .. } = world;
    let gate = gates::first_obstacle(&Asked { ticket, state, targets, dependencies, limits, now: *now });
    let mut situations = Vec::new();
    for target in targets {
        let mut known = draft.target(&target.name);
        let gate = gate.clone().or_else(|| sequence::turn_not_come(ticket, &situations));
        let turn = Turn { world, state, gate: gate.as_ref(), targets, target };
        let situation = match unreadable_record(world, &known) {
            Some(obstacle) if known.is_in_flight() => Situation::Waiting(obstacle),
            Some(obstacle) => Situation::Held(obstacle),
            None => turn.advance(&mut known, creates)?,
        };
        draft.put(known);
        situations.push((target.name.clone(), situation));
    }
    Ok(situations)
}

/// Attempts of targets the ticket does not have any more come to their end.
fn end_removed(
    world: &TicketWorld,
    draft: &mut Draft,
    targets: &[ResolvedTarget],
    situations: &mut Situations,
) -> Result<(), TicketRead> {
    let removed = |known: &&mut Target| known.is_in_flight() && !targets.iter().any(|t| t.name == known.name);
    for known in draft.targets.iter_mut().filter(removed) {
        let situation = if let Some(obstacle) = unreadable_record(world, known) {
            Situation::Waiting(obstacle)
        } else if let Some(RecordSeen::Absent | RecordSeen::Refused(_)) = record_of(world, known)? {
            known.unname();
            continue;
        } else if matches!(known.course, Course::Undoing { .. }) {
            Situation::InFlight(Progress::of(taking_back::text(known)))
        } else {
            let stop = if world.ticket.spec.manual_override { Stop::Leave } else { known.stop().unwrap_or(Stop::Rollback) };
            known.set_stop(Some(stop));
            Situation::InFlight(stopping(stop))
        };
        situations.push((known.name.clone(), situation));
    }
    Ok(())
}

/// Until what time, or what else, there is nothing to do: it follows from what is in the way.
fn rest(world: &TicketWorld, situations: &Situations) -> TicketRest {
    let obstacles = || situations.iter().filter_map(|(_, s)| s.obstacle());
    let times = obstacles().filter_map(Obstacle::until_time).chain(situations.iter().filter_map(|(_, s)| match s {
        Situation::BackingOff { until, .. } => Some(*until),
        _ => None,
    }));
    let pending = situations.iter().any(|(_, s)| s.is_pending());
    let closes = gates::ticket::closes_at(&world.ticket, world.now).filter(|_| pending);
    let watched = obstacles().filter_map(|o| match &o.ends {
        Ends::Workload(workload) => Some((**workload).clone()),
        _ => None,
    });
    TicketRest {
        until: times.chain(closes).min(),
        recheck: obstacles().any(|o| o.ends == Ends::Recheck),
        watch: watched.chain(awaiting_git(world, situations)).collect(),
    }
}

/// Workloads of failed rollouts that only Git can take back.
fn awaiting_git<'a>(world: &'a TicketWorld, situations: &'a Situations) -> impl Iterator<Item = Workload> + 'a {
    let awaits = |s: &Situation| matches!(s, Situation::Failed { why: Failure::Ended(Outcome::RollbackRequiresGit), .. });
    let targets = request::resolve(&world.ticket).into_iter();
    targets.filter(move |t| situations.iter().any(|(name, s)| *name == t.name && awaits(s))).map(|t| t.workload)
}

/// What the target rests on is not known before its record can be read.
fn unreadable_record(world: &TicketWorld, known: &Target) -> Option<Obstacle> {
    let own = known.record().filter(|_| known.is_in_flight());
    let mut named = own.into_iter().chain(known.undo().into_iter().flat_map(names_of).map(String::as_str));
    let (name, why) = named.find_map(|name| match world.records.get(name)? {
        RecordSeen::Unreadable(why) => Some((name, why)),
        _ => None,
    })?;
    let message = format!("tdep/{name} cannot be read, so nothing is decided that rests on it: {why}");
    Some(Obstacle::unwatched(RECORD_UNREADABLE, message).on(format!("tdep/{name}")))
}

/// An attempt that has ended leaves its result on the ticket.
fn take_in_result(world: &TicketWorld, known: &mut Target) -> Result<(), TicketRead> {
    if !known.is_in_flight() {
        return Ok(());
    }
    let Some(RecordSeen::Found(record)) = record_of(world, known)? else { return Ok(()) };
    let Some(outcome) = outcome_of(record).filter(|_| finished(record) && is_of(world, record, known)) else { return Ok(()) };
    if outcome == Outcome::Superseded {
        // It never counted: somebody changed the workload between the decision and the write, or a newer request came.
        known.forget_attempt();
        return Ok(());
    }
    let status = record.status.as_ref();
    known.message = condition_reason(record).map(|(_, message)| message.into());
    known.completion_time = status.and_then(|s| s.completion_time.clone());
    known.seen_images.clear();
    if !outcome.is_success() {
        known.failure_time.clone_from(&known.completion_time);
        known.failure_namespace = Some(record.spec.workload.namespace.clone());
        let rolled_out = matches!(known.course, Course::Trying { .. });
        known.tries += i32::from(rolled_out && status.is_some_and(|s| s.patched_time.is_some()));
    }
    known.rolled_back = known.record().filter(|_| outcome == Outcome::RolledBack).map(str::to_owned);
    known.end(outcome);
    if known.request_hash.is_none() {
        // The ticket came back to ready while this was ending: what was asked for then is gone.
        known.new_request();
    }
    Ok(())
}

/// While `spec.state` asks for the deployment, a changed target of a ticket that is done, or one that is asked for again, is a new
/// request.
fn reopen_for_new_requests(world: &TicketWorld, draft: &mut Draft, targets: &[ResolvedTarget]) {
    if draft.status.state != Some(TicketState::Done) || world.ticket.spec.state != Some(TicketState::ReadyForDeployment) {
        return;
    }
    let settings = &world.ticket.spec.rollout;
    let asked = |t: &ResolvedTarget| draft.target(&t.name).request_hash == Some(request::hash(t, settings));
    if !targets.iter().all(asked) {
        let why = Attribution::own("spec.targets changed, or a target is asked for again");
        lifecycle::transition(draft, TicketState::ReadyForDeployment, why, world.now);
    }
}

fn finish_when_all_deployed(world: &TicketWorld, draft: &mut Draft, situations: &Situations) {
    let all = !situations.is_empty()
        && situations.iter().all(|(_, s)| matches!(s, Situation::Deployed { result, .. } if *result != Outcome::DryRun));
    if !all || draft.status.state != Some(TicketState::ReadyForDeployment) {
        return;
    }
    draft.status.deployed_by = Some(FIELD_MANAGER.into());
    draft.status.deployment_time = Some(Time(last_completion(draft).unwrap_or(world.now)));
    draft.status.deployed_namespace = world.ticket.namespace().map(Into::into);
    lifecycle::transition(draft, TicketState::Done, Attribution::own("every target is deployed"), world.now);
}

fn last_completion(draft: &Draft) -> Option<Timestamp> {
    draft.targets.iter().filter_map(|t| t.completion_time.as_ref()).map(|t| t.0).max()
}

/// Entries of removed targets stay, so that attempt numbers go on if the target comes back; but not without bound.
fn prune(draft: &mut Draft, targets: &[ResolvedTarget]) {
    let mut surplus = draft.targets.len().saturating_sub(ENTRIES_MAX);
    draft.targets.retain(|known| {
        let removable = surplus > 0 && !known.is_in_flight() && !targets.iter().any(|t| t.name == known.name);
        surplus -= usize::from(removable);
        !removable
    });
}
