//! Looking before writing: may this workload be changed now, and to what exactly.

use super::compat;
use super::gates::{Ends, Obstacle};
use super::images::{all_same_or_pinned, same_or_pinned};
use super::reason::{GITOPS_OWNED, WORKLOAD_HELD};
use super::record::outcome_of;
use super::request::ResolvedTarget;
use crate::workload::view::WorkloadView;
use trackdown_api::outcome::Outcome;
use trackdown_api::record::{Action, Base, Record};
use trackdown_api::workload_ref::{ContainerImage, Workload};

/// What is known of the record that the workload's marker names.
#[derive(Clone, Debug, PartialEq)]
pub enum Holder {
    /// There is no marker, or it needs no look at a record.
    Nobody,
    /// A live read found the record.
    Record(Box<Record>),
    /// The same, and its ticket is gone: it is being ended.
    Orphan(Box<Record>),
    /// A live read says it does not exist.
    Gone,
    /// It could not be read: the workload counts as held.
    Unknown(String),
}

impl Holder {
    /// Whether the record is known to have ended well.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        matches!(self, Self::Record(r) | Self::Orphan(r) if succeeded(r))
    }
}

/// Whether a record ended well.
#[must_use]
pub fn succeeded(record: &Record) -> bool {
    match outcome_of(record) {
        Some(Outcome::Other(_)) => compat::succeeded(record),
        outcome => outcome.is_some_and(|outcome| outcome.is_success()),
    }
}

/// Whether a record has ended.
#[must_use]
pub fn finished(record: &Record) -> bool {
    record.status.as_ref().is_some_and(|s| s.completion_time.is_some())
}

/// What an attempt would do.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Whether the images are to be set, or are there and to be followed.
    pub action: Action,
    /// The images.
    pub images: Vec<ContainerImage>,
    /// The state of the workload this was decided on.
    pub base: Base,
}

/// Longest image a record can hold.
const IMAGE_MAX: usize = 512;

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// UID of the ticket.
    pub ticket_uid: &'a str,
    /// Its targets.
    pub targets: &'a [ResolvedTarget],
    /// The record that is to be made, if its name is known.
    pub record: Option<&'a str>,
}

/// May `target` be rolled out on the workload as read, and how.
///
/// # Errors
/// What is in the way, for people.
pub fn check(asker: Asker<'_>, target: &ResolvedTarget, view: &WorkloadView, holder: &Holder) -> Result<Plan, Obstacle> {
    supported(view)?;
    valid(view)?;
    let containers = containers(target, view)?;
    separate(asker, target, view, &containers)?;
    free(asker, target, view, holder)?;
    let images: Vec<_> =
        containers.into_iter().map(|container| ContainerImage { container, image: target.image.clone() }).collect();
    let live = view.images_of(&images);
    if let Some(long) = live.iter().find(|i| i.image.len() > IMAGE_MAX) {
        let message = format!("{}: the image of container {} is longer than {IMAGE_MAX} characters", view.workload, long.container);
        return Err(Obstacle::unwatched("UnsupportedWorkload", message).on(view.workload.to_string()));
    }
    // A record that was made, wrote, and got lost is made again and finds its own write: nothing is in its way.
    let lost = view.marker().is_some_and(|m| Some(m.record.as_str()) == asker.record);
    let mut action = Action::Rollout;
    if !lost && all_same_or_pinned(&images, &live) {
        if view.foreign_owner().is_some() {
            action = Action::Observe;
        } else {
            healthy(&images, view)?;
            // That it runs is not all that is asked for.
            action = if target.checks.is_empty() { Action::Rollout } else { Action::Observe };
        }
    } else if !lost {
        replaces(target, &live)?;
        writable(&images, view)?;
    }
    Ok(Plan { action, images, base: base(view) })
}

/// The images that run and are to stay in the containers the target is about, if that can be told.
#[must_use]
pub fn good_images(target: &ResolvedTarget, view: &WorkloadView) -> Vec<ContainerImage> {
    view.good_images_of(&live_images(target, view))
}

/// The images as they are in the containers the target is about, if that can be told.
#[must_use]
pub fn live_images(target: &ResolvedTarget, view: &WorkloadView) -> Vec<ContainerImage> {
    let containers = containers(target, view).unwrap_or_default();
    let found = containers.iter().filter_map(|name| view.container(name));
    found.map(|c| ContainerImage { container: c.name.clone(), image: c.image.clone() }).collect()
}

/// May these images be brought back to the target's workload as read.
///
/// # Errors
/// What is in the way, for people.
pub fn check_restore(
    asker: Asker<'_>,
    target: &ResolvedTarget,
    images: Vec<ContainerImage>,
    view: &WorkloadView,
    holder: &Holder,
) -> Result<Plan, Obstacle> {
    supported(view)?;
    free(asker, target, view, holder)?;
    if let Some(gone) = images.iter().find(|i| view.container(&i.container).is_none()) {
        let message = format!("{} has no container {} any more, so it cannot be taken back", view.workload, gone.container);
        return Err(Obstacle::unwatched("ContainerNotFound", message).on(view.workload.to_string()));
    }
    let lost = view.marker().is_some_and(|m| Some(m.record.as_str()) == asker.record);
    if !lost && all_same_or_pinned(&images, &view.images_of(&images)) {
        healthy(&images, view)?;
    } else if !lost {
        writable(&images, view)?;
    }
    Ok(Plan { action: Action::Rollback, images, base: base(view) })
}

/// The plan of a record that has written these images, and is made again: nothing can be in its way any more.
#[must_use]
pub fn plan_again(action: Action, images: Vec<ContainerImage>, view: &WorkloadView) -> Plan {
    Plan { action, images, base: base(view) }
}

fn base(view: &WorkloadView) -> Base {
    Base {
        uid: view.uid.clone(),
        generation: view.generation,
        marker: view.marker.clone(),
        images: Vec::new(),
        healthy: view.complete(),
    }
}

fn supported(view: &WorkloadView) -> Result<(), Obstacle> {
    let referenced = view.referenced_by.as_ref().map(|rollout| {
        format!(
            "Rollout {rollout} of Argo Rollouts takes its pod template from it (spec.workloadRef) and rolls that out by itself, where \
             Trackdown cannot follow it; give the Rollout a template of its own, and name the Rollout"
        )
    });
    let Some(why) = view.unsupported.as_ref().or(referenced.as_ref()) else { return Ok(()) };
    let message = format!("{} cannot be rolled out: {why}", view.workload);
    Err(Obstacle::unwatched("UnsupportedWorkload", message).on(view.workload.to_string()))
}

/// What its controller does not carry out as it stands, it does not carry out with other images either.
fn valid(view: &WorkloadView) -> Result<(), Obstacle> {
    if let Some(why) = view.unpromoted.as_ref().and_then(|u| u.unread.as_ref()) {
        let message = format!("{}: which images are promoted cannot be read: {why}", view.workload);
        return Err(Obstacle::unwatched("WorkloadUnreadable", message).on(view.workload.to_string()));
    }
    let Some(why) = &view.invalid else { return Ok(()) };
    let message = format!("{} cannot be rolled out before its spec is corrected: {why}", view.workload);
    Err(Obstacle::watching("WorkloadInvalid", message, &view.workload).on(view.workload.to_string()))
}

/// Images in a sentence: the image, or each container's where they differ.
fn text(images: &[ContainerImage]) -> String {
    match images {
        [first, others @ ..] if others.iter().all(|i| i.image == first.image) => first.image.clone(),
        _ => images.iter().map(|i| format!("{}={}", i.container, i.image)).collect::<Vec<_>>().join(" "),
    }
}

/// The images to go back to: those that run, unless they are what an attempt set that is not known to have ended well; then what
/// that attempt would have gone back to. So a bad image is never anybody's "previous", whatever became of the attempt that set it.
#[must_use]
pub fn previous_images(view: &WorkloadView, like: &[ContainerImage], holder: &Holder) -> Vec<ContainerImage> {
    let mut previous = view.good_images_of(like);
    let Some(marker) = view.marker().filter(|m| !m.succeeded && !holder.succeeded()) else { return previous };
    // What is promoted may be what failed, also while the template shows something else.
    if view.unpromoted.is_none() && !all_same_or_pinned(&marker.set, &view.images_of(&marker.set)) {
        return previous;
    }
    for image in &mut previous {
        let is_there = |i: &&ContainerImage| i.container == image.container;
        let failed = marker.set.iter().find(is_there).is_some_and(|set| same_or_pinned(&set.image, &image.image));
        if let Some(undo) = marker.undo.iter().find(is_there).filter(|_| failed) {
            image.image.clone_from(&undo.image);
        }
    }
    previous
}

/// The containers that get the image.
fn containers(target: &ResolvedTarget, view: &WorkloadView) -> Result<Vec<String>, Obstacle> {
    let path = format!("spec.targets[{}].containers", target.name);
    let known = || view.containers.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", ");
    if let Some(missing) = target.containers.iter().find(|c| view.container(c).is_none()) {
        let message = format!("{path}: {} has no container {missing}; it has: {}", view.workload, known());
        return Err(Obstacle::unwatched("ContainerNotFound", message).on(view.workload.to_string()));
    }
    if !target.containers.is_empty() {
        return Ok(target.containers.clone());
    }
    if view.container(&view.workload.name).is_some() {
        return Ok(vec![view.workload.name.clone()]);
    }
    let mut regular = view.containers.iter().filter(|c| c.list == "containers");
    if let (Some(only), None) = (regular.next(), regular.next()) {
        return Ok(vec![only.name.clone()]);
    }
    let message = format!("{} has several containers: say in {path} which get the image; it has: {}", view.workload, known());
    Err(Obstacle::unwatched("AmbiguousContainer", message).on(view.workload.to_string()))
}

/// No two targets of a ticket may set the same container.
fn separate(asker: Asker<'_>, target: &ResolvedTarget, view: &WorkloadView, own: &[String]) -> Result<(), Obstacle> {
    let others = asker.targets.iter().filter(|t| t.name != target.name && t.workload == target.workload);
    for other in others {
        let shared = containers(other, view).ok().and_then(|c| c.into_iter().find(|c| own.contains(c)));
        if let Some(container) = shared {
            let message = format!(
                "spec.targets[{}] and spec.targets[{}] both set container {container} of {}: remove one",
                target.name, other.name, view.workload
            );
            return Err(Obstacle::parked("TargetsOverlap", message));
        }
    }
    Ok(())
}

/// Another ticket has the workload, or is on its way to it: whichever is found out first, it is said once.
#[must_use]
pub fn held_by(workload: &Workload, ticket: &str) -> Obstacle {
    let message = format!("{workload}: ticket {ticket} comes first; this one follows");
    Obstacle::parked(WORKLOAD_HELD, message).on(format!("ticket/{ticket}")).moving().in_queue()
}

/// Another attempt that is not finished holds the workload; an earlier one of this very target gives way.
fn free(asker: Asker<'_>, target: &ResolvedTarget, view: &WorkloadView, holder: &Holder) -> Result<(), Obstacle> {
    let own = |r: &Record| r.spec.ticket.uid == asker.ticket_uid && r.spec.target == target.name;
    let (record, orphaned) = match holder {
        Holder::Nobody | Holder::Gone => return Ok(()),
        Holder::Unknown(error) => {
            let name = view.marker().map(|m| m.record).unwrap_or_default();
            let message = format!("{} counts as held: its record tdep/{name} cannot be read: {error}", view.workload);
            return Err(Obstacle::unwatched(WORKLOAD_HELD, message).on(format!("tdep/{name}")).in_queue());
        }
        Holder::Record(r) | Holder::Orphan(r) if finished(r) && view.rolling.is_none() => return Ok(()),
        Holder::Record(r) if !finished(r) && own(r) => return Ok(()),
        Holder::Record(r) => (r, false),
        Holder::Orphan(r) => (r, true),
    };
    let name = record.metadata.name.as_deref().unwrap_or_default();
    let ticket = &record.spec.ticket.name;
    let held = |message: String| Obstacle::parked(WORKLOAD_HELD, message).on(format!("tdep/{name}")).moving().in_queue();
    let obstacle = if orphaned {
        held(format!(
            "the rollout of {} by tdep/{name} is being ended, as its ticket {ticket} is gone; this one follows",
            view.workload
        ))
    } else if own(record) {
        held(format!("{} is just being let go by tdep/{name}", view.workload))
    } else {
        held_by(&view.workload, ticket)
    };
    // One that has just ended says the same, and is let go in a moment.
    let ends = if finished(record) { Ends::Recheck } else { Ends::Woken };
    Err(Obstacle { ends, ..obstacle })
}

/// The workload runs the image already: that is success only if it really runs.
fn healthy(images: &[ContainerImage], view: &WorkloadView) -> Result<(), Obstacle> {
    if view.complete() {
        return Ok(());
    }
    // No counts: they move, and each would be one more write.
    let says = view.progress.as_ref().map(|p| format!(" ({}: {})", p.reason, p.message)).unwrap_or_default();
    let message = format!("{} is set to {} already, but is not healthy{says}: this ends when it is", view.workload, text(images));
    let obstacle = if view.foreign_owner().is_some() {
        Obstacle::watching("NotHealthy", message, &view.workload)
    } else {
        Obstacle::unwatched("NotHealthy", message)
    };
    Err(obstacle.on(view.workload.to_string()))
}

fn writable(images: &[ContainerImage], view: &WorkloadView) -> Result<(), Obstacle> {
    if view.paused {
        let by = if view.workload.kind.is_built_in() { "kubectl rollout resume" } else { "spec.paused: false" };
        let message = format!("{} is paused (spec.paused): {by} ends the wait", view.workload);
        return Err(Obstacle::unwatched("WorkloadPaused", message).on(view.workload.to_string()));
    }
    if view.foreign_owner().is_some() {
        let message = format!(
            "{} is owned by {}: set image {} in Git, or allow Trackdown to write with the annotation trackdown.dev/write: allow on the workload",
            view.workload,
            view.owner,
            text(images)
        );
        return Err(Obstacle::watching(GITOPS_OWNED, message, &view.workload).on(view.owner.to_string()));
    }
    Ok(())
}

fn replaces(target: &ResolvedTarget, live: &[ContainerImage]) -> Result<(), Obstacle> {
    let Some(expected) = &target.replaces else { return Ok(()) };
    match live.iter().find(|l| !same_or_pinned(expected, &l.image)) {
        None => Ok(()),
        Some(other) => Err(Obstacle::unwatched(
            "ReplacesMismatch",
            format!(
                "spec.targets[{}].replaces is {expected}, but container {} runs {}: the ticket was written for another version",
                target.name, other.container, other.image
            ),
        )),
    }
}
