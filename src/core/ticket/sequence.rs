//! Targets in sequence: one after the other, and when one fails, those before it are taken back, the newest first.

use jiff::Timestamp;
use trackdown_api::FIELD_MANAGER;
use trackdown_api::outcome::Outcome;
use trackdown_api::record::{OnFailure, Record, Requester};
use trackdown_api::ticket::{Order, RollbackCause, TargetRollback, Ticket, TicketState};

use super::course::{Course, Draft, Target};
use super::turn::Turn;
use super::{RecordSeen, TicketRead, TicketWorld, record_of};
use crate::gates::Obstacle;
use crate::request::{self, ResolvedTarget};
use crate::situation::{Failure, Situation};

/// A target waits for those before it.
pub fn turn_not_come(ticket: &Ticket, before: &[(String, Situation)]) -> Option<Obstacle> {
    if ticket.spec.rollout.order != Order::Sequential {
        return None;
    }
    let (name, _) = before.iter().find(|(_, s)| !matches!(s, Situation::Deployed { .. }))?;
    let message = format!("target {name} comes first (spec.rollout.order: Sequential)");
    Some(Obstacle::parked("TargetNotReached", message).moving())
}

/// Something else asked for in a target that had its turn, or a retry, is a new request for all that failed or were taken back because
/// of it: the sequence starts over. The change is used up by that: a target that only waits for its turn is no new request.
pub fn start_over(draft: &mut Draft, ticket: &Ticket, targets: &[ResolvedTarget], retried: bool) {
    let settings = &ticket.spec.rollout;
    if settings.order != Order::Sequential {
        return;
    }
    let mut asked_anew = retried;
    for target in draft.targets.iter_mut().filter(|t| !t.is_in_flight()) {
        let wanted = targets.iter().find(|t| t.name == target.name).map(|t| request::hash(t, settings));
        if target.request_hash.is_some() && wanted.is_some() && target.request_hash != wanted {
            target.new_request();
            asked_anew = true;
        }
    }
    if !asked_anew {
        return;
    }
    // What a person took back stays so.
    let by_hand = |u: &TargetRollback| u.cause == RollbackCause::Requested;
    for target in draft.targets.iter_mut().filter(|t| !t.undo().is_some_and(by_hand)) {
        target.drop_undo();
        if target.result().is_some_and(|r| !r.is_deployed()) {
            target.new_request();
        }
    }
}

/// A ticket that no longer asks for its deployment takes nothing back that it has not begun to.
pub fn let_be(draft: &mut Draft) {
    let compensates = |u: &TargetRollback| u.cause == RollbackCause::Compensation;
    if draft.status.state != Some(TicketState::ReadyForDeployment) {
        draft.targets.iter_mut().filter(|t| t.undo().is_some_and(compensates)).for_each(Target::drop_undo);
    }
}

/// After a failure for good, takes the newest target back that this request has changed; the next one follows in a later pass.
pub fn compensate(
    world: &TicketWorld,
    draft: &mut Draft,
    targets: &[ResolvedTarget],
    situations: &mut [(String, Situation)],
    creates: &mut Vec<Record>,
) -> Result<(), TicketRead> {
    let spec = &world.ticket.spec;
    let rollout = &spec.rollout;
    let wanted = rollout.order == Order::Sequential && rollout.on_failure == OnFailure::Rollback && !rollout.dry_run;
    let ready = draft.status.state == Some(TicketState::ReadyForDeployment) && !spec.manual_override;
    let failure = situations.iter().find_map(|(name, s)| match s {
        // What a person ended is that person's.
        Situation::Failed { why: Failure::Ended(result), .. } if *result == Outcome::Aborted => None,
        Situation::Failed { .. } => Some(name.clone()),
        _ => None,
    });
    let under_way = |s: &Situation| matches!(s, Situation::InFlight(_) | Situation::BackingOff { .. } | Situation::Held(_));
    let (Some(failed), false) = (failure, situations.iter().any(|(_, s)| under_way(s))) else { return Ok(()) };
    // One that cannot be taken back keeps what is below it in place.
    let known = targets.iter().map(|t| draft.target(&t.name));
    let stuck = known.into_iter().any(|t| t.undo().is_some() && t.result() != Some(&Outcome::RollbackComplete));
    if !wanted || !ready || stuck {
        return Ok(());
    }
    let since = draft.status.transition_time.as_ref().map(|t| t.0);
    for (resolved, (_, situation)) in targets.iter().zip(situations.iter_mut()).rev() {
        let mut target = draft.target(&resolved.name);
        let changed = matches!(&target.course, Course::Ended { result, .. } if result.is_change());
        if !changed || !is_of_this_request(world, &target, since)? {
            continue;
        }
        let own = Some(FIELD_MANAGER.to_owned());
        let reason = Some(format!("target {failed} failed"));
        let record = target.record().map(str::to_owned);
        let compensation = TargetRollback {
            cause: RollbackCause::Compensation,
            of: record.clone(),
            to: None,
            before: record,
            result: target.result().cloned(),
            requested_by: Requester { by: own.clone(), via: own, reason },
        };
        target.begin_undo(compensation);
        let turn = Turn { world, state: TicketState::ReadyForDeployment, gate: None, targets, target: resolved };
        *situation = turn.take_back(&mut target, creates)?;
        draft.put(target);
        return Ok(());
    }
    Ok(())
}

/// Whether the target's last attempt was made since the ticket became ready, at `since`.
fn is_of_this_request(world: &TicketWorld, target: &Target, since: Option<Timestamp>) -> Result<bool, TicketRead> {
    if let Some(before) = target.attempt_before {
        // A number may have been given since to what never began.
        let attempt = match record_of(world, target)? {
            Some(RecordSeen::Found(record)) => record.spec.attempt,
            _ => target.attempt,
        };
        return Ok(attempt > before);
    }
    // Made by a version that did not count: its times tell, as far as clocks agree.
    let ended = match (&target.completion_time, record_of(world, target)) {
        (Some(time), _) => Some(time.0),
        (None, seen) => match seen? {
            Some(RecordSeen::Found(record)) => record.status.as_ref().and_then(|s| s.completion_time.as_ref()).map(|t| t.0),
            _ => None,
        },
    };
    Ok(ended.is_some_and(|ended| since.is_none_or(|since| ended >= since)))
}
