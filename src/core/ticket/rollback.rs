//! Taking a target back because somebody asks for it in `spec.rollback`.

use jiff::Timestamp;
use trackdown_api::outcome::Outcome;
use trackdown_api::record::Requester;
use trackdown_api::ticket::{RollbackCause, RollbackRequest, Stop, TargetRollback, Ticket, TicketState, TicketStatus};

use super::course::{Course, Draft, Target};
use crate::lifecycle::{self, Attribution};
use crate::request::{self, ResolvedTarget};
use crate::warnings;

/// Takes a new `spec.rollback.request` in, or sees that it was withdrawn. A target that a rollback is just taking back takes the request
/// in when that has ended; the others do so at once.
pub fn take_in(draft: &mut Draft, ticket: &Ticket, targets: &[ResolvedTarget], fresh: bool) {
    let Some(asked) = &ticket.spec.rollback else {
        draft.targets.iter_mut().for_each(withdraw);
        draft.targets.iter_mut().for_each(|t| t.last_handled_rollback = None);
        return;
    };
    if draft.status.last_handled_rollback.as_ref() == Some(&asked.request) {
        return;
    }
    // A name that means no target may be corrected under the same request.
    let mut everywhere = fresh || warnings::unknown_rollback_targets(ticket).next().is_none();
    if !fresh {
        let via = lifecycle::manager_of(ticket, &["f:spec", "f:rollback", "f:request"]);
        let requested_by = Requester { by: asked.by.clone(), via, reason: asked.reason.clone() };
        for target in targets.iter().filter(|t| asked.targets.is_empty() || asked.targets.contains(&t.name)) {
            everywhere &= take_in_target(draft, ticket, target, asked, &requested_by);
        }
    }
    if everywhere {
        draft.status.last_handled_rollback = Some(asked.request.clone());
        draft.targets.iter_mut().for_each(|t| t.last_handled_rollback = None);
    }
}

/// False: it has to wait until the rollback that is under way has ended.
fn take_in_target(
    draft: &mut Draft,
    ticket: &Ticket,
    resolved: &ResolvedTarget,
    asked: &RollbackRequest,
    requested_by: &Requester,
) -> bool {
    let mut target = draft.target(&resolved.name);
    if target.last_handled_rollback.as_ref() == Some(&asked.request) {
        return true;
    }
    if matches!(target.course, Course::Undoing { .. }) {
        return false;
    }
    let settings = &ticket.spec.rollout;
    if ask(&mut target, asked, requested_by, settings.max_attempts) && !target.is_in_flight() {
        // The request is about the target as it stands now.
        target.request_hash = Some(request::hash(resolved, settings));
    }
    target.last_handled_rollback = Some(asked.request.clone());
    draft.put(target);
    true
}

/// Whether the request changes what becomes of the target.
fn ask(target: &mut Target, asked: &RollbackRequest, requested_by: &Requester, max_attempts: i32) -> bool {
    // The last request, if it has not begun, is as if it had been withdrawn.
    target.drop_undo();
    let before = target.record().map(str::to_owned);
    let undo = |of: Option<String>, result: Option<Outcome>| TargetRollback {
        cause: RollbackCause::Requested,
        of,
        to: asked.to.clone(),
        before: before.clone(),
        result,
        requested_by: requested_by.clone(),
    };
    let named = asked.to.is_some();
    match &mut target.course {
        // It ends first; if it ends well all the same, it is taken back then.
        Course::Trying { stop, then_undo, .. } => {
            stop.get_or_insert(Stop::Rollback);
            *then_undo = Some(undo(before.clone(), None));
        }
        // Between two tries, one of which was dropped before it wrote anything.
        Course::Idle if target.rolled_back.is_some() && !named => target.end_tries(),
        Course::Idle if !named => return false,
        Course::Ended { result: Outcome::RollbackComplete, .. } | Course::Undone { result: Outcome::RollbackComplete, .. }
            if !named =>
        {
            return false;
        }
        Course::Idle => target.begin_undo(undo(None, None)),
        Course::Ended { result: Outcome::RollbackComplete, .. } | Course::Undone { result: Outcome::RollbackComplete, .. } => {
            target.begin_undo(undo(None, Some(Outcome::RollbackComplete)));
        }
        Course::Undone { result, undo: failed, .. } => {
            let next = undo(failed.of.clone(), Some(result.clone()));
            target.begin_undo(next);
        }
        Course::Ended { result, .. } if named || result.left_images() || *result == Outcome::AlreadyCurrent => {
            let next = undo(before.clone().filter(|_| result.left_images()), Some(result.clone()));
            target.begin_undo(next);
        }
        // Its own rollback has happened; that there is to be no other try is what is new.
        Course::Ended { result: Outcome::RolledBack, .. } if target.tries < max_attempts => target.end_tries(),
        Course::Ended { .. } | Course::ToUndo(_) | Course::Undoing { .. } => return false,
    }
    true
}

fn withdraw(target: &mut Target) {
    if target.undo().is_some_and(|u| u.cause == RollbackCause::Requested) {
        target.drop_undo();
    }
}

/// A ticket whose deployment begins to be taken back is not done any more. Closed after that, it stays closed.
pub fn reopen(draft: &mut Draft, before: Option<&TicketStatus>, now: Timestamp) {
    let begun = |t: &Target| matches!(t.course, Course::Undoing { .. } | Course::Undone { .. });
    let before: Vec<_> = before.iter().flat_map(|s| &s.targets).cloned().map(Target::from).collect();
    let known = |t: &Target| before.iter().any(|b| b.name == t.name && begun(b) && b.undo() == t.undo());
    let fresh = draft.targets.iter().find(|t| begun(t) && !known(t));
    let Some(undo) = fresh.and_then(|t| t.undo().cloned()) else { return };
    if draft.status.state != Some(TicketState::Done) {
        return;
    }
    let Requester { by, via, reason } = undo.requested_by;
    let attribution = Attribution {
        by: by.map(Into::into),
        via: via.map(Into::into),
        reason: Some(format!("rollback: {}", reason.as_deref().unwrap_or("no reason given")).into()),
        source: Some(lifecycle::ROLLBACK_SOURCE.into()),
    };
    lifecycle::transition(draft, TicketState::ReadyForDeployment, attribution, now);
    draft.status.deployed_by = None;
    draft.status.deployment_time = None;
    draft.status.deployed_namespace = None;
}
