//! Targets in sequence: one after the other, and when one fails, those before it are taken back, the newest first.

use jiff::Timestamp;

use super::turn::Turn;
use super::{RecordSeen, TicketRead, TicketWorld, entry_of, in_flight, put_entry, record_of, rollback};
use crate::gates::Obstacle;
use crate::request::{self, ResolvedTarget};
use crate::status::Situation;
use crate::{lifecycle, reason};
use trackdown_api::FIELD_MANAGER;
use trackdown_api::record::{OnFailure, Record, Requester};
use trackdown_api::ticket::{Order, RollbackCause, TargetRollback, TargetStatus, Ticket, TicketState, TicketStatus};

/// A target waits for those before it.
pub fn turn_not_come(ticket: &Ticket, before: &[(String, Situation)]) -> Option<Obstacle> {
    if ticket.spec.rollout.order != Order::Sequential {
        return None;
    }
    let (name, _) = before.iter().find(|(_, s)| !matches!(s, Situation::Deployed { .. }))?;
    let message = format!("target {name} comes first (spec.rollout.order: Sequential)");
    Some(Obstacle { moving: true, ..Obstacle::parked("TargetNotReached", message) })
}

/// Something else asked for in a target that had its turn, or a retry, is a new request for all that failed or were taken back because
/// of it: the sequence starts over. The change is used up by that: a target that only waits for its turn is no new request.
pub fn start_over(status: &mut TicketStatus, ticket: &Ticket, targets: &[ResolvedTarget], retried: bool) {
    let settings = &ticket.spec.rollout;
    if settings.order != Order::Sequential {
        return;
    }
    let mut asked_anew = retried;
    for entry in status.targets.iter_mut().filter(|e| !in_flight(e)) {
        let wanted = targets.iter().find(|t| t.name == entry.name).map(|t| request::hash(t, settings));
        if entry.request_hash.is_some() && wanted.is_some() && entry.request_hash != wanted {
            lifecycle::new_request(entry);
            asked_anew = true;
        }
    }
    if !asked_anew {
        return;
    }
    // What a person took back stays so.
    let by_hand = |r: &TargetRollback| r.cause == RollbackCause::Requested;
    for entry in status.targets.iter_mut().filter(|e| !e.rollback.as_ref().is_some_and(by_hand)) {
        rollback::drop_due(entry);
        if entry.result.as_deref().is_some_and(|r| !reason::is_deployed(r)) {
            lifecycle::new_request(entry);
        }
    }
}

/// A ticket that no longer asks for its deployment takes nothing back that it has not begun to.
pub fn let_be(status: &mut TicketStatus) {
    let compensates = |r: &TargetRollback| r.cause == RollbackCause::Compensation;
    if status.state != Some(TicketState::ReadyForDeployment) {
        status.targets.iter_mut().filter(|e| e.rollback.as_ref().is_some_and(compensates)).for_each(rollback::drop_due);
    }
}

/// After a failure for good, takes the newest target back that this request has changed; the next one follows in a later pass.
pub fn compensate(
    world: &TicketWorld,
    status: &mut TicketStatus,
    targets: &[ResolvedTarget],
    situations: &mut [(String, Situation)],
    creates: &mut Vec<Record>,
) -> Result<(), TicketRead> {
    let spec = &world.ticket.spec;
    let rollout = &spec.rollout;
    let wanted = rollout.order == Order::Sequential && rollout.on_failure == OnFailure::Rollback && !rollout.dry_run;
    let ready = status.state == Some(TicketState::ReadyForDeployment) && !spec.manual_override;
    let failure = situations.iter().find_map(|(name, s)| match s {
        // What a person ended is that person's.
        Situation::Failed { reason, .. } if reason != reason::ABORTED => Some(name.clone()),
        _ => None,
    });
    let under_way = |s: &Situation| matches!(s, Situation::InFlight(_) | Situation::BackingOff { .. } | Situation::Held(_));
    let (Some(failed), false) = (failure, situations.iter().any(|(_, s)| under_way(s))) else { return Ok(()) };
    // One that cannot be taken back keeps what is below it in place.
    let entries = targets.iter().map(|t| entry_of(status, &t.name));
    let stuck = entries.into_iter().any(|e| e.rollback.is_some() && e.result.as_deref() != Some(reason::ROLLBACK_COMPLETE));
    if !wanted || !ready || stuck {
        return Ok(());
    }
    let since = status.transition_time.as_ref().map(|t| t.0);
    for (target, (_, situation)) in targets.iter().zip(situations.iter_mut()).rev() {
        let mut entry = entry_of(status, &target.name);
        let changed = entry.rollback.is_none() && entry.result.as_deref().is_some_and(reason::is_change);
        if !changed || !is_of_this_request(world, &entry, since)? {
            continue;
        }
        let own = Some(FIELD_MANAGER.to_owned());
        let reason = Some(format!("target {failed} failed"));
        let requested_by = Requester { by: own.clone(), via: own, reason };
        let compensation = TargetRollback {
            cause: RollbackCause::Compensation,
            of: entry.record.clone(),
            to: None,
            before: entry.record.clone(),
            result: entry.result.clone(),
            requested_by,
        };
        rollback::begin(&mut entry, compensation.clone());
        let turn = Turn { world, state: TicketState::ReadyForDeployment, gate: None, targets, target };
        *situation = turn.take_back(&mut entry, &compensation, creates)?;
        put_entry(status, entry);
        return Ok(());
    }
    Ok(())
}

/// Whether the target's last attempt was made since the ticket became ready, at `since`.
fn is_of_this_request(world: &TicketWorld, entry: &TargetStatus, since: Option<Timestamp>) -> Result<bool, TicketRead> {
    if let Some(before) = entry.attempt_before {
        // A number may have been given since to what never began.
        let attempt = match record_of(world, entry)? {
            Some(RecordSeen::Found(record)) => record.spec.attempt,
            _ => entry.attempt,
        };
        return Ok(attempt > before);
    }
    // Made by a version that did not count: its times tell, as far as clocks agree.
    let ended = match (&entry.completion_time, record_of(world, entry)) {
        (Some(time), _) => Some(time.0),
        (None, seen) => match seen? {
            Some(RecordSeen::Found(record)) => record.status.as_ref().and_then(|s| s.completion_time.as_ref()).map(|t| t.0),
            _ => None,
        },
    };
    Ok(ended.is_some_and(|ended| since.is_none_or(|since| ended >= since)))
}
