//! Taking a target back: because somebody asks for it, or because a later target of a sequence failed.

use jiff::Timestamp;
use trackdown_api::condition::bounded;
use trackdown_api::record::Requester;
use trackdown_api::ticket::{
    RollbackCause, RollbackRequest, Stop, TargetRollback, TargetStatus, Ticket, TicketState, TicketStatus,
};

use super::{entry_of, in_flight, put_entry};
use crate::lifecycle::{self, Attribution};
use crate::request::{self, ResolvedTarget};
use crate::{reason, warnings};

/// Takes a new `spec.rollback.request` in, or sees that it was withdrawn. A target that a rollback is just taking back takes the request
/// in when that has ended; the others do so at once.
pub fn take_in(status: &mut TicketStatus, ticket: &Ticket, targets: &[ResolvedTarget], fresh: bool) {
    let Some(asked) = &ticket.spec.rollback else {
        status.targets.iter_mut().for_each(withdraw);
        status.targets.iter_mut().for_each(|e| e.last_handled_rollback = None);
        return;
    };
    if status.last_handled_rollback.as_ref() == Some(&asked.request) {
        return;
    }
    // A name that means no target may be corrected under the same request.
    let mut everywhere = fresh || warnings::unknown_rollback_targets(ticket).next().is_none();
    if !fresh {
        let via = lifecycle::manager_of(ticket, &["f:spec", "f:rollback", "f:request"]);
        let requested_by = Requester { by: asked.by.clone(), via, reason: asked.reason.clone() };
        for target in targets.iter().filter(|t| asked.targets.is_empty() || asked.targets.contains(&t.name)) {
            everywhere &= take_in_target(status, ticket, target, asked, &requested_by);
        }
    }
    if everywhere {
        status.last_handled_rollback = Some(asked.request.clone());
        status.targets.iter_mut().for_each(|e| e.last_handled_rollback = None);
    }
}

/// False: it has to wait until the rollback that is under way has ended.
fn take_in_target(
    status: &mut TicketStatus,
    ticket: &Ticket,
    target: &ResolvedTarget,
    asked: &RollbackRequest,
    requested_by: &Requester,
) -> bool {
    let mut entry = entry_of(status, &target.name);
    if entry.last_handled_rollback.as_ref() == Some(&asked.request) {
        return true;
    }
    if is_running(&entry) {
        return false;
    }
    let settings = &ticket.spec.rollout;
    if ask(&mut entry, asked, requested_by, settings.max_attempts) && !in_flight(&entry) {
        // The request is about the target as it stands now.
        entry.request_hash = Some(request::hash(target, settings));
    }
    entry.last_handled_rollback = Some(asked.request.clone());
    put_entry(status, entry);
    true
}

/// Whether the request changes what becomes of the target.
fn ask(entry: &mut TargetStatus, asked: &RollbackRequest, requested_by: &Requester, max_attempts: i32) -> bool {
    // The last request, if it has not begun, is as if it had been withdrawn.
    drop_due(entry);
    let before = entry.record.clone();
    let rollback = |of: Option<String>, before: Option<String>, result: Option<String>| TargetRollback {
        cause: RollbackCause::Requested,
        of,
        to: asked.to.clone(),
        before,
        result,
        requested_by: requested_by.clone(),
    };
    let known = entry.rollback.clone();
    match (entry.result.as_deref(), known) {
        // It ends first; if it ends well all the same, it is taken back then.
        (None, _) if in_flight(entry) => {
            entry.stop.get_or_insert(Stop::Rollback);
            entry.rollback = Some(rollback(before.clone(), before, None));
        }
        // Between two tries, one of which was dropped before it wrote anything.
        (None, _) if entry.rolled_back.is_some() && asked.to.is_none() => end_tries(entry),
        (Some(reason::ROLLBACK_COMPLETE) | None, _) if asked.to.is_none() => return false,
        (Some(reason::ROLLBACK_COMPLETE) | None, _) => {
            let result = entry.result.clone();
            begin(entry, rollback(None, before, result));
        }
        (Some(result), Some(failed)) => {
            let result = result.to_owned();
            begin(entry, rollback(failed.of, before, Some(result)));
        }
        (Some(result), None) if asked.to.is_some() || is_there(result) || result == reason::ALREADY_CURRENT => {
            let of = before.clone().filter(|_| is_there(result));
            let result = Some(result.to_owned());
            begin(entry, rollback(of, before, result));
        }
        // Its own rollback has happened; that there is to be no other try is what is new.
        (Some(reason::ROLLED_BACK), None) if entry.tries < max_attempts => end_tries(entry),
        (Some(_), None) => return false,
    }
    true
}

/// The attempt was rolled back by itself, as it is asked for: what remains of the request is that there is no other try.
fn end_tries(entry: &mut TargetStatus) {
    let last = entry.message.take().map_or_else(String::new, |last| format!("; {last}"));
    entry.result = Some(reason::ABORTED.to_owned());
    entry.message = Some(bounded(&format!("not tried again, as spec.rollback asks{last}")));
}

/// Whether an attempt that ended for this reason left its images on the workload.
fn is_there(result: &str) -> bool {
    reason::is_change(result) || result == reason::ROLLOUT_FAILED
}

/// From here on the target is to be taken back. What it said before stays until something is done.
pub fn begin(entry: &mut TargetStatus, rollback: TargetRollback) {
    entry.rollback = Some(rollback);
    entry.record = None;
    entry.result = None;
}

fn withdraw(entry: &mut TargetStatus) {
    if entry.rollback.as_ref().is_some_and(|r| r.cause == RollbackCause::Requested) {
        drop_due(entry);
    }
}

/// Forgets a rollback that has not begun: the target is what it was before.
pub fn drop_due(entry: &mut TargetStatus) {
    if !is_due(entry) || is_running(entry) {
        return;
    }
    if let Some(rollback) = entry.rollback.take() {
        entry.record = rollback.before.clone().or_else(|| rollback.of.clone());
        entry.result.clone_from(&rollback.result);
        // One that went wrong before is still to be told, and can be asked for again.
        entry.rollback = Some(rollback).filter(|r| r.result.as_deref() == Some(reason::ROLLBACK_FAILED));
    }
}

/// An attempt turned out never to have written anything: it is as if there had been none, unless it was to be taken back.
pub fn forget_attempt(entry: &mut TargetStatus) {
    entry.stop = None;
    if entry.rollback.as_ref().is_some_and(|r| r.of.is_some() && r.of == entry.record) {
        entry.result = Some(reason::ABORTED.to_owned());
        entry.message = Some("ended before anything was written, as spec.rollback asks".to_owned());
        after(entry);
    } else {
        entry.record = None;
    }
}

/// A ticket whose deployment begins to be taken back is not done any more. Closed after that, it stays closed.
pub fn reopen(status: &mut TicketStatus, before: Option<&TicketStatus>, now: Timestamp) {
    let begun = |e: &TargetStatus| e.rollback.is_some() && (is_running(e) || e.result.is_some());
    let known =
        |e: &TargetStatus| before.iter().flat_map(|s| &s.targets).any(|b| b.name == e.name && begun(b) && b.rollback == e.rollback);
    let fresh = status.targets.iter().find(|e| begun(e) && !known(e));
    let Some(rollback) = fresh.and_then(|e| e.rollback.clone()) else { return };
    if status.state != Some(TicketState::Done) {
        return;
    }
    let Requester { by, via, reason } = rollback.requested_by;
    let reason = Some(format!("rollback: {}", reason.as_deref().unwrap_or("no reason given")));
    let source = Some(lifecycle::ROLLBACK_SOURCE.to_owned());
    lifecycle::transition(status, TicketState::ReadyForDeployment, Attribution { by, via, reason, source }, now);
    status.deployed_by = None;
    status.deployment_time = None;
    status.deployed_namespace = None;
}

/// An attempt has ended. If it was the one that is to be taken back, the rollback begins, or there is nothing left of it to do.
pub fn after(entry: &mut TargetStatus) {
    let Some(rollback) = entry.rollback.clone().filter(|r| r.of.is_some() && r.of == entry.record) else { return };
    let there = entry.result.as_deref().is_some_and(is_there);
    if there || rollback.to.is_some() {
        let (of, before, result) = (rollback.of.filter(|_| there), entry.record.clone(), entry.result.clone());
        begin(entry, TargetRollback { of, before, result, ..rollback });
    } else {
        entry.rollback = None;
        if entry.result.as_deref() == Some(reason::ROLLED_BACK) {
            end_tries(entry);
        }
    }
}

/// Whether the attempt in flight is a rollback of its own (and not one that is to be taken back when it ends).
#[must_use]
pub fn is_running(entry: &TargetStatus) -> bool {
    in_flight(entry) && entry.rollback.as_ref().is_some_and(|r| r.of != entry.record)
}

/// Whether the target is to be taken back now.
#[must_use]
pub fn is_due(entry: &TargetStatus) -> bool {
    entry.rollback.is_some() && entry.result.is_none() && (entry.record.is_none() || is_running(entry))
}

/// What a rollback says while it goes well.
#[must_use]
pub fn text(entry: &TargetStatus) -> (&'static str, String) {
    let Some(rollback) = &entry.rollback else { return (reason::ROLLING_BACK, String::new()) };
    let what = match (&rollback.to, &rollback.of) {
        (Some(to), _) => format!("bringing back what tdep/{to} deployed"),
        (None, Some(of)) => format!("taking back what tdep/{of} deployed"),
        (None, None) => "taking back".to_owned(),
    };
    let why = match rollback.cause {
        RollbackCause::Requested => "asked for by spec.rollback",
        RollbackCause::Compensation => "a later target failed (rollout.order: Sequential)",
    };
    (reason::ROLLING_BACK, format!("{what}: {why} (attempt {})", entry.attempt))
}
