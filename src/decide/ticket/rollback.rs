//! Taking a target back: because somebody asks for it, or because a later target of a sequence failed.

use jiff::Timestamp;

use super::{RecordSeen, entry_of, in_flight, put_entry};
use crate::api::condition::find_condition;
use crate::api::deployment::{Deployment, Requester};
use crate::api::ticket::{RollbackCause, RollbackRequest, Stop, TargetRollback, TargetStatus, Ticket, TicketState, TicketStatus};
use crate::api::workload_ref::{ContainerImage, Workload};
use crate::decide::gates::Obstacle;
use crate::decide::images::all_same_or_pinned;
use crate::decide::lifecycle::{self, Attribution};
use crate::decide::preflight::succeeded;
use crate::decide::reason;
use crate::workload::view::WorkloadView;

/// Takes a new `spec.rollback.request` in.
pub fn take_in(status: &mut TicketStatus, ticket: &Ticket, fresh: bool, now: Timestamp) {
    let Some(asked) = &ticket.spec.rollback else { return };
    if status.last_handled_rollback.as_ref() == Some(&asked.request) {
        return;
    }
    status.last_handled_rollback = Some(asked.request.clone());
    if fresh {
        return;
    }
    let via = lifecycle::manager_of(ticket, &["f:rollback", "f:request"]);
    let requested_by = Requester { by: asked.by.clone(), via, reason: asked.reason.clone() };
    let mut any = false;
    for target in ticket.spec.targets.iter().filter(|t| asked.targets.is_empty() || asked.targets.contains(&t.name)) {
        let mut entry = entry_of(status, &target.name);
        if ask(&mut entry, asked, &requested_by) {
            any = true;
            put_entry(status, entry);
        }
    }
    if any && status.state == Some(TicketState::Done) {
        let why = format!("rollback: {}", asked.reason.as_deref().unwrap_or("no reason given"));
        let Requester { by, via, .. } = requested_by;
        let source = Some(lifecycle::ROLLBACK_SOURCE.to_owned());
        let attribution = Attribution { by, via, reason: Some(why), source };
        lifecycle::transition(status, TicketState::ReadyForDeployment, attribution, now);
    }
}

/// Whether there is something to take back.
fn ask(entry: &mut TargetStatus, asked: &RollbackRequest, requested_by: &Requester) -> bool {
    let rollback =
        |of| TargetRollback { cause: RollbackCause::Requested, of, to: asked.to.clone(), requested_by: requested_by.clone() };
    if is_running(entry) {
        return false;
    }
    if in_flight(entry) {
        // It ends first; if it ends well all the same, it is taken back then.
        entry.stop.get_or_insert(Stop::Rollback);
        entry.rollback = Some(rollback(entry.record.clone()));
        return true;
    }
    if let Some(waiting) = entry.rollback.clone().filter(|_| entry.result.is_none()) {
        entry.rollback = Some(rollback(waiting.of));
        return true;
    }
    let changed = entry.result.as_deref().is_some_and(reason::is_change);
    if changed || asked.to.is_some() {
        let of = entry.record.clone().filter(|_| changed);
        begin(entry, rollback(of));
    }
    changed || asked.to.is_some()
}

/// From here on the target is to be taken back.
pub fn begin(entry: &mut TargetStatus, rollback: TargetRollback) {
    entry.rollback = Some(rollback);
    entry.record = None;
    entry.result = None;
    entry.message = None;
}

/// An attempt has ended. If it was the one that is to be taken back, the rollback begins, or there is nothing left of it to do.
pub fn after(entry: &mut TargetStatus) {
    let Some(rollback) = entry.rollback.clone().filter(|r| r.of.is_some() && r.of == entry.record) else { return };
    if entry.result.as_deref().is_some_and(reason::is_change) {
        begin(entry, rollback);
    } else if rollback.to.is_some() {
        begin(entry, TargetRollback { of: None, ..rollback });
    } else {
        entry.rollback = None;
    }
}

/// Whether the attempt in flight is a rollback of its own (and not one that is to be taken back when it ends).
pub fn is_running(entry: &TargetStatus) -> bool {
    in_flight(entry) && entry.rollback.as_ref().is_some_and(|r| r.of != entry.record)
}

/// Whether the target is to be taken back now.
pub fn is_due(entry: &TargetStatus) -> bool {
    entry.rollback.is_some() && entry.result.is_none() && (entry.record.is_none() || is_running(entry))
}

/// What a rollback says while it goes well.
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

/// The images an earlier record brought.
pub fn images_of(name: &str, seen: &RecordSeen, workload: &Workload) -> Result<Vec<ContainerImage>, Obstacle> {
    let refuse = |why: String| Err(Obstacle::parked("RollbackImpossible", format!("spec.rollback.to: {why}")));
    let RecordSeen::Found(record) = seen else {
        return refuse(format!("there is no record tdep/{name} in this namespace (kubectl get tdep)"));
    };
    if record.spec.workload != *workload {
        return refuse(format!("tdep/{name} is about {}, not {workload}", record.spec.workload));
    }
    if !succeeded(record) || record.spec.dry_run {
        return refuse(format!("tdep/{name} did not end well: name one that did"));
    }
    Ok(brought(record))
}

/// The images that ran before the record `name`, which must be what runs now: taking back under a later change would undo that, too.
/// `own`: the rollback's own record, should it have written already.
pub fn images_before(
    name: &str,
    seen: &RecordSeen,
    view: &WorkloadView,
    own: Option<&str>,
) -> Result<Vec<ContainerImage>, Obstacle> {
    let marker = view.marker().filter(|m| m.record == name);
    let (set, undo) = match (seen, marker) {
        (RecordSeen::Found(record), _) => {
            (brought(record), record.status.as_ref().map(|s| s.previous_images.clone()).unwrap_or_default())
        }
        // Records may be deleted; the workload itself remembers the last one.
        (_, Some(marker)) => (marker.set, marker.undo),
        _ => (Vec::new(), Vec::new()),
    };
    if undo.is_empty() {
        let message = format!("what ran before tdep/{name} is not known any more: name a record in spec.rollback.to");
        return Err(Obstacle::parked("RollbackImpossible", message));
    }
    let live = view.images_of(&set);
    let lost = own.is_some() && view.marker().is_some_and(|m| Some(m.record.as_str()) == own);
    if lost || all_same_or_pinned(&set, &live) || all_same_or_pinned(&undo, &view.images_of(&undo)) {
        return Ok(undo);
    }
    let runs = live.iter().map(|i| format!("{}={}", i.container, i.image)).collect::<Vec<_>>().join(" ");
    let message = format!(
        "{} runs {runs} by now, which this ticket did not set: take that back, or name a record in spec.rollback.to",
        view.workload
    );
    Err(Obstacle::unwatched(reason::WORKLOAD_MOVED_ON, message).on(view.workload.to_string()))
}

/// The obstacle of a rollback that has nothing to go by.
pub fn unknown(target: &str) -> Obstacle {
    Obstacle::parked("RollbackImpossible", format!("{target}: this ticket deployed nothing; name a record in spec.rollback.to"))
}

fn brought(record: &Deployment) -> Vec<ContainerImage> {
    let admitted = record.status.as_ref().map(|s| s.admitted_images.clone()).unwrap_or_default();
    if admitted.is_empty() { record.spec.images.clone() } else { admitted }
}

/// Whether the record ended well since `time`.
pub fn ended_since(record: &Deployment, time: Option<Timestamp>) -> bool {
    let status = record.status.as_ref();
    let well = status.and_then(|s| find_condition(&s.conditions, reason::SUCCEEDED)).is_some_and(|c| reason::is_change(&c.reason));
    let ended = status.and_then(|s| s.completion_time.as_ref()).map(|t| t.0);
    well && ended.is_some_and(|ended| time.is_none_or(|since| ended >= since))
}
