//! After the write: following the pods until they run, fail, or time is up.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::outcome::{asked_by, current, end, end_now, note, progressing, sentence, set};
use super::verifying::{Verification, verify};
use super::{
    Authority, LOOK_AT_PODS_AFTER, MarkerOwner, Purpose, RECHECK, RecordRead, RecordRest, RecordStep, RecordWorld, RecordWrite,
    WorkloadSeen,
};
use super::{Looked, is_witnessed, marker_owner, runs, shows, was_restored};
use crate::evidence;
use crate::images::all_same_or_pinned;
use crate::reason::{self, PROGRESSING};
use crate::workload::argo_rollout::{ABORTED_BY_PERSON, PAUSED};
use crate::workload::pods::{NewPods, PodView};
use crate::workload::view::{Counts, ReportedFailure, WorkloadView};
use crate::workload::{patch, pods};
use trackdown_api::RETRY_ANNOTATION;
use trackdown_api::condition::{ConditionStatus, bounded, bounded_to};
use trackdown_api::record::{Action, OnFailure, RecordStatus, RootCause};
use trackdown_api::ticket::Stop;
use trackdown_api::witness;
use trackdown_api::workload_ref::ContainerImage;

/// A pod that is not ready is told of when it is this old, or a quarter of the rollout's time: most are ready by then, and each telling is a
/// write.
const TELL_AFTER: SignedDuration = SignedDuration::from_secs(30);

/// A failure that its controller does not repeat, or that may pass, counts when it is still there this long after the write and after it was
/// told. Argo Rollouts looks at an invalid spec again after ten seconds at last, and what failed of the template before is gone by then; an
/// API server that was started again has its roles loaded, and the controllers it refused meanwhile have tried again.
const STANDING_AFTER: SignedDuration = SignedDuration::from_secs(12);

/// Longest reason a record holds.
const REASON_MAX: usize = 64;

/// Root cause of a rollout that its ticket ended.
const STOPPED_BY_TICKET: &str = "StoppedByTicket";

/// Whether a rollout is taken back because somebody ended it: its ticket, or a person at the workload. There is no other try.
#[must_use]
pub fn is_stopped(cause: &RootCause) -> bool {
    cause.reason == STOPPED_BY_TICKET || cause.reason == ABORTED_BY_PERSON
}

pub fn decide(world: &RecordWorld, status: &RecordStatus) -> RecordStep {
    let view = match ours(world, status) {
        Ok(view) => view,
        Err(step) => return *step,
    };
    match world.authority {
        Authority::Stopped(_) if world.observes() => {
            return end_now(world, reason::ABORTED, "ended by its ticket; Trackdown had written nothing");
        }
        Authority::Stopped(Stop::Leave) => {
            return end_now(world, reason::ABORTED, "a person took over (spec.manualOverride); everything is left as it is");
        }
        Authority::Stopped(Stop::Rollback) => return fail(world, view, stopped()),
        _ => {}
    }
    let patched = status.patched_time.as_ref().map_or(world.now, |t| t.0);
    let proves_nothing = proves_nothing(world, view);
    // Pods that come and go while checks run have as long as the checks.
    let from = status.healthy_time.as_ref().map_or(patched, |t| t.0);
    let deadline = from + SignedDuration::from_secs(world.record.spec.timeout_seconds.into());
    let admitted = &status.admitted_images;
    if view.complete() && !proves_nothing {
        match confirmed(world, view, admitted, true) {
            Ok(true) => return complete(world, view),
            Ok(false) => {}
            Err(step) => return *step,
        }
    }
    let pods = world.pods.as_deref().unwrap_or_default();
    let seen = NewPods { pods, images: admitted, previous: &status.previous_images, since: patched };
    if let Some(cause) = seen.root_cause().or_else(|| reported_failure(view, patched, world.now)) {
        return fail(world, view, cause);
    }
    if world.now >= deadline && proves_nothing {
        return fail(world, view, scaled_to_zero(world));
    }
    let by_controller =
        || view.progress.clone().or_else(|| not_yet_available(view, pods)).or_else(|| unconfirmed_because(world, view));
    if world.now >= deadline {
        let reported = || reported_lately(view, patched);
        return match explained(world, seen.hint(world.now).or_else(reported).or_else(by_controller)) {
            Ok(hint) => fail(world, view, timed_out(world, view, hint)),
            Err(step) => *step,
        };
    }
    if let Some(pod) = pods::blocking(pods, view, true).filter(|_| world.refused().is_none()) {
        return RecordStep::Write(RecordWrite::DeletePod(Box::new(pod.clone())));
    }
    let slow = TELL_AFTER.min(SignedDuration::from_secs(i64::from(world.record.spec.timeout_seconds) / 4));
    let late = world.now - slow;
    let cause = seen.hint(late).or_else(|| by_controller().filter(|_| view.awaits_person || patched <= late));
    // While checks run that is what there is to say.
    if status.healthy_time.is_none() && is_news(status.waiting_for.as_ref(), cause.as_ref(), view) {
        return match explained(world, cause) {
            Ok(cause) => say(world, cause),
            Err(step) => *step,
        };
    }
    let standing = view.failures.iter().filter_map(|f| counts_at(f, patched));
    let next_slow = pods.iter().filter(|p| !p.ready).filter_map(|p| p.created).map(|t| t + slow);
    let look = patched + LOOK_AT_PODS_AFTER;
    let times = next_slow.chain(standing).chain([look, patched + slow, deadline]);
    wait(world, view, look, times.filter(|t| *t > world.now).min())
}

/// Whether `cause` is worth a write after `told`. What a controller says itself goes to and fro as pods come and go: of that only pauses are
/// told after something else, and that they are over.
fn is_news(told: Option<&RootCause>, cause: Option<&RootCause>, view: &WorkloadView) -> bool {
    let was_paused = told.is_some_and(|told| told.reason == PAUSED);
    match (told, cause) {
        (None, None) => false,
        (None, Some(_)) => true,
        (Some(_), None) => was_paused,
        (Some(told), Some(cause)) => !alike(told, cause) && (cause.pod.is_some() || view.awaits_person || was_paused),
    }
}

/// What is in the way of believing the workload's status.
fn unconfirmed_because(world: &RecordWorld, view: &WorkloadView) -> Option<RootCause> {
    let Looked::Refused(why) = &world.newest else { return None };
    view.complete()
        .then(|| RootCause::of("Unconfirmed", bounded(&format!("the ReplicaSet of the newest template cannot be read: {why}"))))
}

/// Every pod is of the new template and ready: nothing is wrong, and it is not over.
fn not_yet_available(view: &WorkloadView, pods: &[PodView]) -> Option<RootCause> {
    let ready = !pods.is_empty() && pods.iter().filter(|p| !p.terminating).all(|p| p.ready);
    (ready && view.observed() && view.replicas.updated == view.replicas.desired && view.total == view.replicas.desired).then(|| {
        RootCause::of("NotYetAvailable", "all pods are ready, and count as available once they have been so for minReadySeconds")
    })
}

/// Whether two causes are the same to people. Pods come and go while nothing changes; without a pod the text says it all.
fn alike(told: &RootCause, new: &RootCause) -> bool {
    let same_text = told.pod.is_some() || told.message == new.message;
    told.reason == bounded_to(&new.reason, REASON_MAX) && told.container == new.container && same_text
}

/// The hint with what the cluster said last of its pod: that a probe fails, or a volume is not there, stands in Events alone.
fn explained(world: &RecordWorld, hint: Option<RootCause>) -> Result<Option<RootCause>, Box<RecordStep>> {
    let Some(hint) = hint else { return Ok(None) };
    let pod = world.pods.iter().flatten().find(|p| Some(&p.name) == hint.pod.as_ref());
    let Some(pod) = pod else { return Ok(Some(hint)) };
    match &world.pod_warning {
        Looked::NotYet => Err(Box::new(RecordStep::Read(RecordRead::PodWarning(Box::new(pod.clone()))))),
        Looked::Nothing | Looked::Refused(_) => Ok(Some(hint)),
        Looked::Found(said) => Ok(Some(RootCause { message: bounded(&format!("{}; {said}", hint.message)), ..hint })),
    }
}

/// Says what is waited for.
fn say(world: &RecordWorld, cause: Option<RootCause>) -> RecordStep {
    let mut status = current(world);
    let what = cause.as_ref().map_or_else(|| "following the pods".to_owned(), sentence);
    status.waiting_for = cause;
    progressing(world, status, PROGRESSING, &bounded(&format!("the images are set; {what}")))
}

/// Whether the newest template as its controller counts it is the one with these images, and, where that is asked for, all its pods are
/// available. For a moment a Rollout's status can say of the generation at hand what was true of the template before; and pods that fail
/// after a promotion it does not tell while the old ones are kept.
pub fn confirmed(
    world: &RecordWorld,
    view: &WorkloadView,
    images: &[ContainerImage],
    available: bool,
) -> Result<bool, Box<RecordStep>> {
    let Some(name) = &view.newest else { return Ok(true) };
    match &world.newest {
        Looked::NotYet => Err(Box::new(RecordStep::Read(RecordRead::ReplicaSet(name.clone())))),
        Looked::Nothing | Looked::Refused(_) => Ok(false),
        Looked::Found(newest) => {
            let enough = !available || newest.available >= view.replicas.desired;
            Ok(enough && all_same_or_pinned(images, &newest.images))
        }
    }
}

/// No pods are no success of images that have failed before.
fn proves_nothing(world: &RecordWorld, view: &WorkloadView) -> bool {
    view.replicas.desired == 0 && world.record.spec.failed_tries > 0
}

fn scaled_to_zero(world: &RecordWorld) -> RootCause {
    let message = format!(
        "the workload asked for 0 pods for {} s: nothing shows that the images work now, after they failed before",
        world.record.spec.timeout_seconds
    );
    RootCause::of("ScaledToZero", message)
}

/// What the workload's controller says of this rollout: conditions from before the write are about an earlier one.
fn reported_failure(view: &WorkloadView, patched: Timestamp, now: Timestamp) -> Option<RootCause> {
    let counts = |f: &&ReportedFailure| counts_at(f, patched).is_some_and(|at| now >= at);
    view.failures.iter().filter(|_| view.observed()).find(counts).map(|f| f.cause.clone())
}

/// When a failure that is there counts; `None`: it is about an earlier rollout.
fn counts_at(failure: &ReportedFailure, patched: Timestamp) -> Option<Timestamp> {
    let told = failure.since.filter(|told| told.as_second() >= patched.as_second());
    let stood = failure.since.map_or(patched, |told| told.max(patched)) + STANDING_AFTER;
    match failure.counts {
        Counts::Told => told.map(|_| patched),
        Counts::ToldAndStands => told.map(|_| stood),
        Counts::Stands => Some(stood),
        Counts::ToldOrStands => Some(told.map_or(stood, |_| patched)),
    }
}

/// What the workload's controller says of this rollout that has not stood long enough to count.
fn reported_lately(view: &WorkloadView, patched: Timestamp) -> Option<RootCause> {
    view.failures.iter().filter(|_| view.observed()).find(|f| counts_at(f, patched).is_some()).map(|f| f.cause.clone())
}

/// The workload, if it is still what this record made of it.
pub fn ours<'a>(world: &'a RecordWorld, status: &RecordStatus) -> Result<&'a WorkloadView, Box<RecordStep>> {
    let view = match &world.workload {
        WorkloadSeen::Unread => return Err(Box::new(unseen(world, status))),
        WorkloadSeen::Unreadable(_) => return Err(Box::new(RECHECK)),
        WorkloadSeen::Missing => return Err(Box::new(gone(world))),
        WorkloadSeen::Watched(view) | WorkloadSeen::Live(view) => view,
    };
    if view.uid != world.record.spec.base.uid {
        return Err(Box::new(if world.workload.is_live() { gone(world) } else { RecordStep::Read(RecordRead::Workload) }));
    }
    // Older than what is known: told late by a watch, or read from an API server that is behind.
    if Some(view.generation) < status.workload_generation {
        return Err(Box::new(if world.workload.is_live() { read_later(world) } else { RecordStep::Read(RecordRead::Workload) }));
    }
    if world.observes() {
        return observed(world, status, view);
    }
    let MarkerOwner::Ours(marker) = marker_owner(world, view) else {
        if !world.workload.is_live() {
            return Err(Box::new(RecordStep::Read(RecordRead::Workload)));
        }
        return Err(Box::new(lost(world, view)));
    };
    // Once the previous images were put back, others than those are somebody else's, the record's own included.
    let back = status.rollback_time.is_some() && restored(view, status);
    let unwitnessed = status.rollback_time.is_some() && !back && view.rolling.is_none();
    let expected = back || (shows(view, &status.admitted_images) && !was_restored(&marker, view) && !unwitnessed);
    if !expected {
        let step = if world.workload.is_live() { contested(world, view) } else { RecordStep::Read(RecordRead::Workload) };
        return Err(Box::new(step));
    }
    if view.rolling.is_none() && world.workload.is_live() && !world.relabelled {
        return Err(Box::new(RecordStep::Write(RecordWrite::Patch {
            purpose: Purpose::Relabel,
            patch: Box::new(patch::relabel(view, &marker)),
        })));
    }
    Ok(view)
}

/// What was read is from the past: looked at again, at the deadline at the latest.
fn read_later(world: &RecordWorld) -> RecordStep {
    let until = super::deadline(&world.record).filter(|t| *t > world.now);
    RecordStep::Rest(RecordRest { until, recheck: true, watch_pods: world.pods.is_some(), checks: None })
}

/// A workload that is only looked at: what counts is that it still runs what was found.
fn observed<'a>(world: &RecordWorld, status: &RecordStatus, view: &'a WorkloadView) -> Result<&'a WorkloadView, Box<RecordStep>> {
    if shows(view, &status.admitted_images) {
        return Ok(view);
    }
    Err(Box::new(if world.workload.is_live() {
        end_now(world, reason::SUPERSEDED, "somebody else has set another image before this one was verified")
    } else {
        RecordStep::Read(RecordRead::Workload)
    }))
}

/// The watch needs a moment to show a workload that was just labelled.
fn unseen(world: &RecordWorld, status: &RecordStatus) -> RecordStep {
    let look = status.patched_time.as_ref().map(|t| t.0 + LOOK_AT_PODS_AFTER);
    match look.filter(|t| *t > world.now) {
        Some(until) => RecordStep::Rest(RecordRest { until: Some(until), recheck: false, watch_pods: false, checks: None }),
        None => RecordStep::Read(RecordRead::Workload),
    }
}

fn lost(world: &RecordWorld, view: &WorkloadView) -> RecordStep {
    // A newer attempt writes its own label, and takes it away when it has ended. Under this record's label an older marker was brought
    // back by `kubectl rollout undo`; without one it may have been, as long as the ticket still goes by this record.
    let sibling = marker_owner(world, view) == MarkerOwner::Sibling;
    let relabelled = view.rolling.as_deref().is_some_and(witness::names_a_record) && !is_witnessed(world, view);
    let released = view.rolling.is_none() && view.marker != world.record.spec.base.marker;
    match world.authority {
        Authority::Unconfirmed if sibling && released => RecordStep::Read(RecordRead::Ticket),
        Authority::Overtaken if sibling && released => overtaken(world),
        _ if sibling && relabelled => overtaken(world),
        _ => contested(world, view),
    }
}

fn overtaken(world: &RecordWorld) -> RecordStep {
    end_now(world, reason::SUPERSEDED, "a newer attempt of the same ticket took its place")
}

fn contested(world: &RecordWorld, view: &WorkloadView) -> RecordStep {
    let message = if view.foreign_owner().is_some() {
        format!(
            "{} owns the image and changed it during the rollout; it is left as it is: set {} in Git, or allow Trackdown to write with \
             the annotation trackdown.dev/write: allow on the workload",
            view.owner,
            listed(&world.record.spec.images)
        )
    } else if let Some(how) = view.owner.keep_out() {
        format!(
            "somebody else changed the workload during the rollout, most likely {}, which brings back what Git says; it is left as it is: \
             keep it from doing so ({how}), or set {} in Git; then ask again with annotation {RETRY_ANNOTATION}",
            view.owner,
            listed(&world.record.spec.images)
        )
    } else {
        "somebody else changed the workload during the rollout; it is left as it is".to_owned()
    };
    end_now(world, reason::CONTESTED, &message)
}

/// Whether the workload shows the previous images again.
pub fn restored(view: &WorkloadView, status: &RecordStatus) -> bool {
    runs(view, &status.previous_images)
}

fn gone(world: &RecordWorld) -> RecordStep {
    end_now(world, reason::ABORTED, "the workload was deleted during the rollout")
}

/// Every pod runs the new template: look once at what really runs, then end well.
fn complete(world: &RecordWorld, view: &WorkloadView) -> RecordStep {
    let mut status = current(world);
    note(&mut status, view);
    let taking_back = world.record.spec.action == Action::Rollback;
    if view.replicas.desired == 0 {
        let result = if taking_back { reason::ROLLBACK_COMPLETE } else { reason::NOTHING_TO_RUN };
        status.healthy_time = Some(MicroTime(world.now));
        return end(world, status, result, "the images are set; the workload asks for 0 pods");
    }
    match verify(world, &mut status) {
        Verification::Pending(step) => return step,
        Verification::Failed(cause) => return fail_with(world, view, status, cause),
        Verification::Passed => {}
    }
    let Some(pods) = &world.pods else { return RecordStep::Read(RecordRead::Pods) };
    status.digests = pods::digests(pods, &status.admitted_images, &status.previous_images);
    let Some(contents) = &world.contents else { return RecordStep::Read(RecordRead::Contents) };
    if let Some(message) = evidence::moved(&status.admitted_images, &status.digests, contents) {
        set(world, &mut status, reason::TAG_MOVED, ConditionStatus::True, reason::TAG_MOVED, &bounded(&message));
    }
    status.healthy_time.get_or_insert(MicroTime(world.now));
    status.verified_time = Some(MicroTime(world.now));
    let (pods, are) = match view.replicas.available {
        1 => ("1 pod runs".to_owned(), "is"),
        count => (format!("{count} pods run"), "are"),
    };
    if world.observes() {
        // Without a change that the ticket saw, there was none.
        let result = if status.previous_images.is_empty() { reason::ALREADY_CURRENT } else { reason::ROLLOUT_COMPLETE };
        let message = match view.foreign_owner() {
            Some(owner) => format!("{pods} the images, delivered by {owner}, and {are} available"),
            None => format!("{pods} these images already and {are} available; nothing was written"),
        };
        return end(world, status, result, &message);
    }
    if taking_back {
        let images = listed(&world.record.spec.images);
        let message = format!("{pods} {images} again; {}", asked_by(&world.record));
        return end(world, status, reason::ROLLBACK_COMPLETE, &bounded(&message));
    }
    end(world, status, reason::ROLLOUT_COMPLETE, &format!("{pods} the new images and {are} available"))
}

/// The rollout has failed: decide what becomes of the workload. A rollback is an intent first, then a write.
fn fail(world: &RecordWorld, view: &WorkloadView, cause: RootCause) -> RecordStep {
    fail_with(world, view, current(world), cause)
}

fn fail_with(world: &RecordWorld, view: &WorkloadView, mut status: RecordStatus, cause: RootCause) -> RecordStep {
    if !world.workload.is_live() {
        return RecordStep::Read(RecordRead::Workload);
    }
    let text = sentence(&cause);
    let by_ticket = cause.reason == STOPPED_BY_TICKET;
    status.root_cause = Some(cause);
    note(&mut status, view);
    if world.record.spec.action == Action::Rollback {
        return end(world, status, reason::ROLLBACK_FAILED, &format!("{text}; left as it is: look at the workload"));
    }
    if world.observes() && view.foreign_owner().is_none() {
        return end(
            world,
            status,
            reason::ROLLOUT_FAILED,
            &format!("{text}; Trackdown had written nothing that it could take back"),
        );
    }
    if world.record.spec.on_failure == OnFailure::Hold && !by_ticket {
        return end(world, status, reason::ROLLOUT_FAILED, &format!("{text}; left as it is (rollout.onFailure: Hold)"));
    }
    if view.foreign_owner().is_some() {
        let message = requires_git(&text, view, &status.previous_images);
        return end(world, status, reason::ROLLBACK_REQUIRES_GIT, &message);
    }
    if status.previous_images == status.admitted_images {
        return end(world, status, reason::ROLLOUT_FAILED, &format!("{text}; there is nothing to go back to"));
    }
    status.rollback_time = Some(MicroTime(world.now));
    status.waiting_for = None;
    progressing(world, status, reason::ROLLING_BACK, &format!("{text}; putting the previous images back"))
}

/// What only Git can do.
pub fn requires_git(cause: &str, view: &WorkloadView, previous: &[ContainerImage]) -> String {
    let what = if previous.is_empty() { "the previous image".to_owned() } else { listed(previous) };
    bounded(&format!("{cause}; {} owns the image: put {what} back in Git", view.owner))
}

fn listed(images: &[ContainerImage]) -> String {
    let mut images: Vec<_> = images.iter().map(|i| i.image.as_str()).collect();
    images.dedup();
    images.join(", ")
}

fn stopped() -> RootCause {
    RootCause::of(STOPPED_BY_TICKET, "the ticket no longer asks for this rollout")
}

fn timed_out(world: &RecordWorld, view: &WorkloadView, hint: Option<RootCause>) -> RootCause {
    let seconds = world.record.spec.timeout_seconds;
    let replicas = &view.replicas;
    let old = match view.total - replicas.updated {
        old if old > 0 => format!(", {old} of an older version still there"),
        _ => String::new(),
    };
    let counts = format!(
        "not complete within {seconds} s: {} of {} pods updated, {} available{old}",
        replicas.updated, replicas.desired, replicas.available
    );
    match hint {
        Some(hint) => {
            RootCause { message: format!("{counts}; {}: {}", hint.reason, hint.message), reason: "Timeout".into(), ..hint }
        }
        None => RootCause::of("Timeout", counts),
    }
}

/// `look`: from when on pods are looked at.
fn wait(world: &RecordWorld, view: &WorkloadView, look: Timestamp, until: Option<Timestamp>) -> RecordStep {
    // Its status says that it is complete, and what it is made of does not.
    let unconfirmed = view.complete();
    // Without its label the workload is not watched.
    let recheck = (view.rolling.is_none() && !world.observes()) || world.refused().is_some() || unconfirmed;
    RecordStep::Rest(RecordRest { until, recheck, watch_pods: world.now >= look || unconfirmed, checks: None })
}
