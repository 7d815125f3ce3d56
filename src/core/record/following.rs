//! After the write: following the pods until they run, fail, or time is up.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use trackdown_api::condition::ConditionStatus;
use trackdown_api::outcome::Outcome;
use trackdown_api::record::{Action, RecordStatus, StoppedBy};
use trackdown_api::ticket::Stop;
use trackdown_api::workload_ref::ContainerImage;

use super::failing::{counts_at, fail, fail_with, reported_failure, reported_lately, scaled_to_zero, stopped, timed_out};
use super::ours::{listed, ours};
use super::outcome::{asked_by, current, end, end_now, note, set};
use super::telling::{TELL_AFTER, explained, is_news, not_yet_available, say, unconfirmed_because};
use super::verifying::{Verification, verify};
use super::{Authority, LOOK_AT_PODS_AFTER, Looked, RecordRead, RecordRest, RecordStep, RecordWorld, RecordWrite};
use crate::images::all_same_or_pinned;
use crate::workload::pods::{self, NewPods};
use crate::workload::view::WorkloadView;
use crate::{evidence, reason};

pub fn decide(world: &RecordWorld, status: &RecordStatus) -> RecordStep {
    let view = match ours(world, status) {
        Ok(view) => view,
        Err(step) => return *step,
    };
    match world.authority {
        Authority::Stopped(_) if world.observes() => {
            return end_now(world, Outcome::Aborted, "ended by its ticket; Trackdown had written nothing");
        }
        Authority::Stopped(Stop::Leave) => {
            return end_now(world, Outcome::Aborted, "a person took over (spec.manualOverride); everything is left as it is");
        }
        Authority::Stopped(Stop::Rollback) => return fail(world, view, stopped(), Some(StoppedBy::Ticket)),
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
    if let Some(cause) = seen.root_cause() {
        return fail(world, view, cause, None);
    }
    if let Some(reported) = reported_failure(view, patched, world.now) {
        return fail(world, view, reported.cause.clone(), reported.by_person.then_some(StoppedBy::Person));
    }
    if world.now >= deadline && proves_nothing {
        return fail(world, view, scaled_to_zero(world), None);
    }
    let by_controller =
        || view.progress.clone().or_else(|| not_yet_available(view, pods)).or_else(|| unconfirmed_because(world, view));
    if world.now >= deadline {
        let reported = || reported_lately(view, patched);
        return match explained(world, seen.hint(world.now).or_else(reported).or_else(by_controller)) {
            Ok(hint) => fail(world, view, timed_out(world, view, hint), None),
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

/// No pods are no success of images that have failed before.
fn proves_nothing(world: &RecordWorld, view: &WorkloadView) -> bool {
    view.replicas.desired == 0 && world.record.spec.failed_tries > 0
}

/// Every pod runs the new template: look once at what really runs, then end well.
fn complete(world: &RecordWorld, view: &WorkloadView) -> RecordStep {
    let mut status = current(world);
    note(&mut status, view);
    let taking_back = world.record.spec.action == Action::Rollback;
    if view.replicas.desired == 0 {
        let result = if taking_back { Outcome::RollbackComplete } else { Outcome::NothingToRun };
        status.healthy_time = Some(MicroTime(world.now));
        return end(world, status, result, "the images are set; the workload asks for 0 pods");
    }
    match verify(world, &mut status) {
        Verification::Pending(step) => return step,
        Verification::Failed(cause) => return fail_with(world, view, status, cause, None),
        Verification::Passed => {}
    }
    let Some(pods) = &world.pods else { return RecordStep::Read(RecordRead::Pods) };
    status.digests = pods::digests(pods, &status.admitted_images, &status.previous_images);
    let Some(contents) = &world.contents else { return RecordStep::Read(RecordRead::Contents) };
    if let Some(message) = evidence::moved(&status.admitted_images, &status.digests, contents) {
        set(world, &mut status, reason::TAG_MOVED, ConditionStatus::True, reason::TAG_MOVED, &message);
    }
    status.healthy_time.get_or_insert(MicroTime(world.now));
    status.verified_time = Some(MicroTime(world.now));
    let (pods, are) = match view.replicas.available {
        1 => ("1 pod runs".to_owned(), "is"),
        count => (format!("{count} pods run"), "are"),
    };
    if world.observes() {
        // Without a change that the ticket saw, there was none.
        let result = if status.previous_images.is_empty() { Outcome::AlreadyCurrent } else { Outcome::RolloutComplete };
        let message = match view.foreign_owner() {
            Some(owner) => format!("{pods} the images, delivered by {owner}, and {are} available"),
            None => format!("{pods} these images already and {are} available; nothing was written"),
        };
        return end(world, status, result, &message);
    }
    if taking_back {
        let images = listed(&world.record.spec.images);
        let message = format!("{pods} {images} again; {}", asked_by(&world.record));
        return end(world, status, Outcome::RollbackComplete, &message);
    }
    end(world, status, Outcome::RolloutComplete, &format!("{pods} the new images and {are} available"))
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

/// `look`: from when on pods are looked at.
fn wait(world: &RecordWorld, view: &WorkloadView, look: Timestamp, until: Option<Timestamp>) -> RecordStep {
    // Its status says that it is complete, and what it is made of does not.
    let unconfirmed = view.complete();
    // Without its label the workload is not watched.
    let recheck = (view.rolling.is_none() && !world.observes()) || world.refused().is_some() || unconfirmed;
    RecordStep::Rest(RecordRest { until, recheck, watch_pods: world.now >= look || unconfirmed, checks: None })
}
