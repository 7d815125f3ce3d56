//! Before the workload is changed, as far as the record knows.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::following::confirmed;
use super::outcome::{asked_by, current, end, end_now, progressing};
use super::{Answer, Authority, MarkerOwner, Purpose, RECHECK, RecordRead, RecordStep, RecordWorld, RecordWrite, WorkloadSeen};
use super::{is_ticket_of, is_witnessed, live_images, marker_owner, runs, runs_wanted, was_restored};
use crate::preflight::previous_images;
use crate::reason::{self, PROGRESSING, WRITE_REFUSED};
use crate::request;
use crate::workload::patch;
use crate::workload::view::WorkloadView;
use trackdown_api::marker::Marker;
use trackdown_api::outcome::Outcome;
use trackdown_api::record::{Action, Record, RootCause, Write};
use trackdown_api::ticket::{Stop, Ticket};
use trackdown_api::workload_ref::{ContainerImage, is_name};

/// Managed fields keep whole seconds; a write younger than this is dated by the clock.
const CLOCK_GRAIN: SignedDuration = SignedDuration::from_secs(2);

/// How long it is tried to fence off what may still be under way: twice as long as a request is waited for.
const FENCED_WITHIN: SignedDuration = SignedDuration::from_secs(30);

/// Why an attempt is given up before it wrote anything, as a word and for people.
type Why<'a> = (Outcome, &'a str);

/// What the ticket says about the record. `live`: the ticket was read from the API server, not from the cache.
#[must_use]
pub fn authority(ticket: Option<&Ticket>, record: &Record, live: bool) -> Authority {
    let Some(ticket) = ticket.filter(|t| is_ticket_of(t, record)) else {
        return if live { Authority::Orphaned } else { Authority::Unconfirmed };
    };
    let mut entries = ticket.status.iter().flat_map(|s| &s.targets).filter(|e| e.name == record.spec.target);
    let entry = entries.next();
    let Some(entry) = entry.filter(|e| e.record == record.metadata.name && e.attempt == record.spec.attempt) else {
        let overtaken = entry.is_some_and(|e| e.attempt > record.spec.attempt);
        return match live {
            true if overtaken => Authority::Overtaken,
            true => Authority::Withdrawn,
            false => Authority::Unconfirmed,
        };
    };
    if let Some(stop) = entry.stop {
        return Authority::Stopped(stop);
    }
    if record.spec.action == Action::Rollback {
        return if entry.rollback.is_some() { Authority::Granted } else { Authority::Withdrawn };
    }
    let asked = request::resolve(ticket).into_iter().find(|t| t.name == entry.name);
    let same = asked.is_some_and(|t| request::hash(&t, &ticket.spec.rollout) == record.spec.request_hash);
    if same && entry.request_hash.as_ref() == Some(&record.spec.request_hash) { Authority::Granted } else { Authority::Withdrawn }
}

pub fn decide(world: &RecordWorld) -> RecordStep {
    let workload = &world.record.spec.workload;
    if !is_name(&workload.name) {
        // No request can be made of it, so none ever was.
        let message = format!("spec.workload.name: {:?} is no name of an object; nothing was written", workload.name);
        return end_now(world, Outcome::Rejected, &message);
    }
    let why = match world.authority {
        Authority::Unconfirmed => return RecordStep::Read(RecordRead::Ticket),
        Authority::Granted => None,
        Authority::Stopped(Stop::Rollback) => Some((Outcome::Aborted, "ended by its ticket before anything was written")),
        Authority::Stopped(Stop::Leave) => Some((Outcome::Aborted, "a person took over before anything was written")),
        Authority::Orphaned => Some((Outcome::Aborted, "its ticket was deleted before anything was written")),
        Authority::Withdrawn | Authority::Overtaken => {
            Some((Outcome::Superseded, "its ticket asks for something else; nothing was written"))
        }
    };
    let view = match &world.workload {
        WorkloadSeen::Unread | WorkloadSeen::Watched(_) => return RecordStep::Read(RecordRead::Workload),
        WorkloadSeen::Missing => return gone(world, why, "was deleted"),
        WorkloadSeen::Unreadable(_) => return RECHECK,
        WorkloadSeen::Live(view) => view,
    };
    if view.uid != world.record.spec.base.uid {
        return gone(world, why, "was deleted and created again");
    }
    // Read from an API server that is behind: the record was made of a newer one.
    if view.generation < world.record.spec.base.generation {
        return RECHECK;
    }
    if world.observes() {
        return observe(world, view, why);
    }
    match marker_owner(world, view) {
        MarkerOwner::Ours(marker) => return adopt(world, view, &marker),
        MarkerOwner::OurFence => {
            let (result, message) = why.unwrap_or((Outcome::Superseded, "ended before anything was written"));
            return end_now(world, result, message);
        }
        MarkerOwner::Sibling | MarkerOwner::Other => {}
    }
    if is_witnessed(world, view) {
        let (result, _) = why.unwrap_or((Outcome::Contested, ""));
        return end_now(world, result, "somebody else changed the images after the write; they are left as they are");
    }
    let base = &world.record.spec.base;
    let unmoved = view.generation == base.generation && view.marker == base.marker;
    match why {
        Some(why) => give_up(world, view, unmoved, why),
        None if runs_wanted(world, view) && view.complete() => match confirmed(world, view, &world.record.spec.images, true) {
            Ok(true) => already_current(world, view),
            Ok(false) => RECHECK,
            Err(step) => *step,
        },
        None if runs_wanted(world, view) => {
            end_now(world, Outcome::Superseded, "somebody else set the image before anything was written, and it is not healthy")
        }
        None if unmoved && view.foreign_owner().is_some() => {
            let message = format!("{} came to own the image before anything was written", view.owner);
            end_now(world, Outcome::Superseded, &message)
        }
        None if unmoved => write(world, view),
        None if is_unwritten(world, view) => {
            end_now(world, Outcome::Superseded, "the workload changed between the decision and the write; nothing was written")
        }
        None => end_now(
            world,
            Outcome::Contested,
            "the workload was changed by somebody else while the outcome of the write was unknown; it is left as it is",
        ),
    }
}

/// The workload that was to be changed is no more, and with it every trace of a write.
fn gone(world: &RecordWorld, why: Option<Why<'_>>, what: &str) -> RecordStep {
    let unwritten = world.writes_nothing() || world.unwritten;
    match why {
        Some((result, message)) if unwritten => end_now(world, result, message),
        Some((result, _)) => {
            end_now(world, result, &format!("the workload {what}; whether the images had been set before that is not known"))
        }
        None if unwritten => end_now(world, Outcome::Superseded, &format!("the workload {what} before anything was written")),
        None => {
            let message = format!(
                "the workload {what} while the outcome of the write was unknown: it is not rolled out again without being asked for"
            );
            end_now(world, Outcome::Aborted, &message)
        }
    }
}

/// Nothing is to be written: what somebody else set is followed from here on.
fn observe(world: &RecordWorld, view: &WorkloadView, why: Option<Why<'_>>) -> RecordStep {
    if let Some((result, message)) = why {
        return end_now(world, result, message);
    }
    if !runs_wanted(world, view) {
        return end_now(world, Outcome::Superseded, "somebody else has set another image by now");
    }
    let mut status = current(world);
    status.previous_images.clone_from(&world.record.spec.base.images);
    status.admitted_images = live_images(world, view);
    status.workload_generation = Some(view.generation);
    status.patched_time = Some(MicroTime(world.now));
    let who = view.foreign_owner().map_or_else(|| "are set already".to_owned(), |owner| format!("were delivered by {owner}"));
    progressing(world, status, PROGRESSING, &format!("the images {who}; following the pods"))
}

/// Whether it is certain that the write had no effect: it was refused, or another attempt of Trackdown came before it.
fn is_unwritten(world: &RecordWorld, view: &WorkloadView) -> bool {
    let overtaken = view.marker().is_some() && view.marker != world.record.spec.base.marker;
    world.unwritten || overtaken
}

fn write(world: &RecordWorld, view: &WorkloadView) -> RecordStep {
    let record = &world.record;
    match &world.answer {
        Some(Answer::Refused(why)) => return refused(world, why),
        Some(Answer::WouldAccept) => return dry_run_accepted(world, view),
        None => {}
    }
    let marker = marker(world, view, record.spec.images.clone(), previous_images(view, &record.spec.images, &world.holder));
    let patch = Box::new(patch::set_images(view, &record.spec.images, &marker));
    let purpose = if record.spec.dry_run { Purpose::DryRun } else { Purpose::Forward };
    RecordStep::Write(RecordWrite::Patch { purpose, patch })
}

/// The API server said no although nothing changed: rights or admission. That may change, so the record stays and tries again.
fn refused(world: &RecordWorld, answer: &str) -> RecordStep {
    if world.record.spec.dry_run {
        return end_now(world, Outcome::Rejected, &format!("dry run: the API server refuses the write: {answer}"));
    }
    let Some(status) = world.note_refusal(Write::Images) else { return RECHECK };
    let message = format!("the API server refuses to change {}: {answer}; tried again with back-off", world.record.spec.workload);
    progressing(world, status, WRITE_REFUSED, &message)
}

fn already_current(world: &RecordWorld, view: &WorkloadView) -> RecordStep {
    let mut status = current(world);
    status.previous_images = live_images(world, view);
    super::outcome::note(&mut status, view);
    if world.record.spec.action == Action::Rollback {
        let message = format!("the workload runs the earlier images again; nothing was written; {}", asked_by(&world.record));
        return end(world, status, Outcome::RollbackComplete, &message);
    }
    let message = if view.replicas.desired == 0 {
        "the workload has these images already, and asks for 0 pods; nothing was written"
    } else {
        "the workload runs these images already; nothing was written"
    };
    end(world, status, Outcome::AlreadyCurrent, message)
}

/// The workload carries this record's marker: the write happened, whoever remembers it.
fn adopt(world: &RecordWorld, view: &WorkloadView, marker: &Marker) -> RecordStep {
    let mut status = current(world);
    status.refused = None;
    status.previous_images.clone_from(&marker.undo);
    let restored = was_restored(marker, view);
    // Of a record that was made again the base is what it had written itself.
    let base = &world.record.spec.base;
    let first_change = view.generation == base.generation + 1 && view.marker != base.marker;
    let expected = if restored { runs(view, &marker.undo) } else { first_change || runs_wanted(world, view) };
    if !expected {
        return end(
            world,
            status,
            Outcome::Contested,
            "somebody else changed the images after the write; they are left as they are",
        );
    }
    status.workload_generation = Some(view.generation);
    status.patched_time = Some(MicroTime(written(world, view)));
    if restored {
        // The record was deleted, and made again, while it went back.
        status.admitted_images.clone_from(&world.record.spec.images);
        status.rollback_time = Some(MicroTime(world.now));
        status.root_cause = Some(record_lost());
        return progressing(world, status, reason::ROLLING_BACK, "the previous images are put back; following the pods");
    }
    status.admitted_images = live_images(world, view);
    progressing(world, status, PROGRESSING, "the images are set; following the pods")
}

/// When Trackdown last wrote to the workload.
pub fn written(world: &RecordWorld, view: &WorkloadView) -> Timestamp {
    view.written.filter(|t| world.now.duration_since(*t) > CLOCK_GRAIN).unwrap_or(world.now)
}

fn record_lost() -> RootCause {
    RootCause::of(
        "RecordDeleted",
        "the record was deleted while its rollout was being taken back: why it failed is not known any more",
    )
}

/// Ends a record that has written nothing, once it is sure that nothing will be written in its name: a paused former leader may
/// still hold the patch, which the API server accepts as long as the workload is what it was decided on.
fn give_up(world: &RecordWorld, view: &WorkloadView, unmoved: bool, (result, message): Why<'_>) -> RecordStep {
    if !unmoved && !is_unwritten(world, view) {
        return end_now(
            world,
            result,
            "the workload was changed by somebody else; whether the images had been set before is not known",
        );
    }
    if !unmoved || runs_wanted(world, view) || world.record.spec.dry_run {
        return end_now(world, result, message);
    }
    if let Some(answer) = world.refused() {
        // Where each write was refused, nothing is under way.
        let again = fence_refused(world, answer).filter(|_| !world.unwritten);
        return again.unwrap_or_else(|| end_now(world, result, message));
    }
    // A marker that is there stays, but for its bytes: the attempt it belongs to may still be in flight.
    let marker = match view.marker() {
        Some(marker) => Marker { fenced: world.record.metadata.name.clone(), ..marker },
        // Nothing was set: whatever becomes of these images, there is nothing to undo.
        None => marker(world, view, live_images(world, view), live_images(world, view)),
    };
    RecordStep::Write(RecordWrite::Patch { purpose: Purpose::Fence, patch: Box::new(patch::fence(view, &marker)) })
}

/// One refusal may pass while a former leader's write is still under way. `None`: refused for so long that the late write would be, too.
fn fence_refused(world: &RecordWorld, answer: &str) -> Option<RecordStep> {
    let Some(status) = world.note_refusal(Write::Fence) else {
        let since = world.record.status.as_ref().and_then(|s| s.refused.as_ref()).map(|r| r.time.0);
        return since.is_none_or(|since| world.now < since + FENCED_WITHIN).then_some(RECHECK);
    };
    let message = format!(
        "the API server refuses to mark {}, so that nothing of this attempt could be written to it any more: {answer}; tried again with back-off",
        world.record.spec.workload
    );
    Some(progressing(world, status, WRITE_REFUSED, &message))
}

fn marker(world: &RecordWorld, view: &WorkloadView, set: Vec<ContainerImage>, undo: Vec<ContainerImage>) -> Marker {
    let record = &world.record;
    Marker {
        workload_uid: view.uid.clone(),
        ticket_uid: record.spec.ticket.uid.clone(),
        namespace: record.metadata.namespace.clone().unwrap_or_default(),
        record: record.metadata.name.clone().unwrap_or_default(),
        set,
        undo,
        restored: false,
        succeeded: false,
        fenced: None,
    }
}

fn dry_run_accepted(world: &RecordWorld, view: &WorkloadView) -> RecordStep {
    let mut status = current(world);
    status.previous_images = live_images(world, view);
    end(world, status, Outcome::DryRun, "dry run: the API server would accept the change; nothing was written")
}
