//! What a rollout that takes its time is told to wait for. Each telling is a write, so only news is told.

use jiff::SignedDuration;
use trackdown_api::record::RootCause;

use super::outcome::{current, progressing, sentence};
use super::{Looked, RecordRead, RecordStep, RecordWorld};
use crate::reason::PROGRESSING;
use crate::workload::argo_rollout::PAUSED;
use crate::workload::pods::PodView;
use crate::workload::view::WorkloadView;

/// A pod that is not ready is told of when it is this old, or a quarter of the rollout's time: most are ready by then, and each telling is a
/// write.
pub const TELL_AFTER: SignedDuration = SignedDuration::from_secs(30);

/// Whether `cause` is worth a write after `told`. What a controller says itself goes to and fro as pods come and go: of that only pauses are
/// told after something else, and that they are over.
pub fn is_news(told: Option<&RootCause>, cause: Option<&RootCause>, view: &WorkloadView) -> bool {
    let was_paused = told.is_some_and(|told| told.reason == PAUSED);
    match (told, cause) {
        (None, None) => false,
        (None, Some(_)) => true,
        (Some(_), None) => was_paused,
        (Some(told), Some(cause)) => !alike(told, cause) && (cause.pod.is_some() || view.awaits_person || was_paused),
    }
}

/// What is in the way of believing the workload's status.
pub fn unconfirmed_because(world: &RecordWorld, view: &WorkloadView) -> Option<RootCause> {
    let Looked::Refused(why) = &world.newest else { return None };
    view.complete().then(|| RootCause::of("Unconfirmed", format!("the ReplicaSet of the newest template cannot be read: {why}")))
}

/// Every pod is of the new template and ready: nothing is wrong, and it is not over.
pub fn not_yet_available(view: &WorkloadView, pods: &[PodView]) -> Option<RootCause> {
    let ready = !pods.is_empty() && pods.iter().filter(|p| !p.terminating).all(|p| p.ready);
    (ready && view.observed() && view.replicas.updated == view.replicas.desired && view.total == view.replicas.desired).then(|| {
        RootCause::of("NotYetAvailable", "all pods are ready, and count as available once they have been so for minReadySeconds")
    })
}

/// Whether two causes are the same to people. Pods come and go while nothing changes; without a pod the text says it all.
fn alike(told: &RootCause, new: &RootCause) -> bool {
    let same_text = told.pod.is_some() || told.message == new.message;
    told.reason == new.reason && told.container == new.container && same_text
}

/// The hint with what the cluster said last of its pod: that a probe fails, or a volume is not there, stands in Events alone.
pub fn explained(world: &RecordWorld, hint: Option<RootCause>) -> Result<Option<RootCause>, Box<RecordStep>> {
    let Some(hint) = hint else { return Ok(None) };
    let pod = world.pods.iter().flatten().find(|p| hint.pod.as_deref() == Some(p.name.as_str()));
    let Some(pod) = pod else { return Ok(Some(hint)) };
    match &world.pod_warning {
        Looked::NotYet => Err(Box::new(RecordStep::Read(RecordRead::PodWarning(Box::new(pod.clone()))))),
        Looked::Nothing | Looked::Refused(_) => Ok(Some(hint)),
        Looked::Found(said) => Ok(Some(RootCause { message: format!("{}; {said}", hint.message).into(), ..hint })),
    }
}

/// Says what is waited for.
pub fn say(world: &RecordWorld, cause: Option<RootCause>) -> RecordStep {
    let mut status = current(world);
    let what = cause.as_ref().map_or_else(|| "following the pods".to_owned(), sentence);
    status.waiting_for = cause;
    progressing(world, status, PROGRESSING, &format!("the images are set; {what}"))
}
