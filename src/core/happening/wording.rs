//! The words for what happened: what people read as Events, and machines in the audit log. Nothing else has any.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;

use super::{About, Happening, News};
use crate::lifecycle::by_whom;
use crate::reason;
use crate::record::Purpose;
use crate::workload::owner::ImageOwner;
use trackdown_api::record::{Action, StoppedBy};
use trackdown_api::text::bounded;
use trackdown_api::ticket::{Ticket, TicketState};
use trackdown_api::workload_ref::ContainerImage;

/// What people are told, as an Event on an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// The object it is shown on.
    pub regarding: ObjectReference,
    /// What Trackdown was doing, as one word.
    pub action: &'static str,
    /// Something a person should look at.
    pub warning: bool,
    /// One `CamelCase` word.
    pub reason: String,
    /// A sentence. No times or counts in it that would make every Event a new one.
    pub note: String,
    /// The record it is about.
    pub record: Option<String>,
}

/// A decision with an effect, as the audit log keeps it (documented in `docs/audit-log.md`).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Line {
    /// What was decided. Words are only ever added.
    pub decision: &'static str,
    /// Reason, images or states, by kind of decision.
    pub detail: String,
}

const NOTHING_TO_TAKE_BACK: &str =
    "spec.rollback asks for nothing new that could be done: no such target, nothing deployed, or taken back already";

/// What people are told of it; `None`: nothing, a status says it.
#[must_use]
pub fn notice(news: &News) -> Option<Notice> {
    let about = &news.about;
    let (on, warning, reason, note) = match &news.what {
        Happening::AttemptIntended { rollback } => {
            let reason = if *rollback { "RollbackStarted" } else { "RolloutStarted" };
            (On::Ticket, false, reason, format!("{}: attempt {} (tdep/{})", about.target, about.attempt, record(about)))
        }
        Happening::TargetFailed { result, message } => (On::Ticket, true, result.as_str(), format!("{}: {message}", about.target)),
        Happening::NothingToTakeBack => (On::Ticket, true, "NothingToTakeBack", NOTHING_TO_TAKE_BACK.to_owned()),
        Happening::UnknownTarget { warning } => (On::Ticket, true, "UnknownTarget", warning.clone()),
        Happening::Deployed => (On::Ticket, false, "Deployed", "every target is deployed".to_owned()),
        Happening::InTheWay { reason, message, stalled } => (On::Ticket, *stalled, reason.as_str(), message.clone()),
        Happening::WorkloadPatched { purpose, action, images, stopped_by, owner } => {
            let (id, attempt, images) = (&about.ticket_id, about.attempt, list(images));
            let (warning, reason, text) = match purpose {
                Purpose::Forward if *action == Action::Rollback => {
                    (true, "ImageRolledBack", format!("deployment of ticket {id} taken back: {images} put back"))
                }
                Purpose::Forward => (false, "ImageSet", format!("ticket {id} set {images}{}", old_manifest(owner))),
                Purpose::Rollback => {
                    let how = how_it_went(stopped_by.as_ref());
                    (true, "ImageRolledBack", format!("rollout of ticket {id}, attempt {attempt}, {how}: {images} put back"))
                }
                Purpose::DryRun | Purpose::Fence | Purpose::Relabel | Purpose::Release => return None,
            };
            (On::Workload, warning, reason, format!("{text} (tdep/{})", record(about)))
        }
        Happening::TagMoved { message } => (On::Workload, true, reason::TAG_MOVED, format!("{message} (tdep/{})", record(about))),
        Happening::Unreadable { object, error } => {
            let note = "this version of Trackdown cannot read it, and leaves it alone";
            let note = bounded(&format!("{note}: {error}; correct it, or update the operator"));
            (On::Object(object, "Read"), true, "Unreadable", note)
        }
        Happening::Failing { object, error } => {
            let note = bounded(&format!("Trackdown cannot go on with it, and tries again now and then: {error}"));
            (On::Object(object, "Reconcile"), true, "ReconcileFailing", note)
        }
        Happening::TransitionTaken { .. }
        | Happening::ResultTaken { .. }
        | Happening::RecordCreated { .. }
        | Happening::AttemptEnded { .. }
        | Happening::RecordDeleted { .. }
        | Happening::PodDeleted { .. } => return None,
    };
    let (regarding, action) = on.reference(about)?;
    Some(Notice { regarding, action, warning, reason: reason.to_owned(), note, record: about.record.clone() })
}

/// What the audit log says of it; `None`: nothing, it is no decision or had no effect.
#[must_use]
pub fn line(news: &News) -> Option<Line> {
    let (decision, detail) = match &news.what {
        Happening::TransitionTaken { from, to, step } => {
            let from = from.map_or("", TicketState::as_str);
            ("TransitionTaken", format!("{from} -> {}{}", to.as_str(), by_whom(step.as_ref())))
        }
        Happening::AttemptIntended { .. } => ("AttemptIntended", String::new()),
        Happening::ResultTaken { result } => ("ResultTaken", result.to_string()),
        Happening::RecordCreated { images } => ("RecordCreated", list(images)),
        Happening::WorkloadPatched { purpose, images, .. } => (decision_of(*purpose), list(images)),
        Happening::AttemptEnded { result, message, .. } => ("AttemptEnded", format!("{result}: {message}")),
        Happening::RecordDeleted { name } => ("RecordDeleted", name.clone()),
        Happening::PodDeleted { name } => ("PodDeleted", name.clone()),
        Happening::TargetFailed { .. }
        | Happening::NothingToTakeBack
        | Happening::UnknownTarget { .. }
        | Happening::Deployed
        | Happening::InTheWay { .. }
        | Happening::TagMoved { .. }
        | Happening::Unreadable { .. }
        | Happening::Failing { .. } => return None,
    };
    Some(Line { decision, detail })
}

/// The object an Event is shown on: the one whose reader wants to know.
enum On<'a> {
    Ticket,
    Workload,
    /// This one, while this was done.
    Object(&'a ObjectReference, &'static str),
}

impl On<'_> {
    fn reference(self, about: &About) -> Option<(ObjectReference, &'static str)> {
        Some(match self {
            Self::Ticket => (ticket(about), "Reconcile"),
            Self::Workload => (workload(about)?, "Patch"),
            Self::Object(object, action) => (object.clone(), action),
        })
    }
}

fn ticket(about: &About) -> ObjectReference {
    ObjectReference {
        api_version: Some(Ticket::api_version(&()).into_owned()),
        kind: Some(Ticket::kind(&()).into_owned()),
        namespace: Some(about.namespace.clone()),
        name: Some(about.ticket.clone()),
        uid: Some(about.ticket_uid.clone()),
        ..ObjectReference::default()
    }
}

fn workload(about: &About) -> Option<ObjectReference> {
    let workload = about.workload.as_ref()?;
    Some(ObjectReference {
        api_version: Some(workload.kind.api_version().to_owned()),
        kind: Some(workload.kind.to_string()),
        namespace: Some(workload.namespace.clone()),
        name: Some(workload.name.clone()),
        uid: about.workload_uid.clone(),
        ..ObjectReference::default()
    })
}

fn record(about: &About) -> &str {
    about.record.as_deref().unwrap_or_default()
}

fn decision_of(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Forward => "WorkloadForward",
        Purpose::DryRun => "WorkloadDryRun",
        Purpose::Rollback => "WorkloadRollback",
        Purpose::Fence => "WorkloadFence",
        Purpose::Relabel => "WorkloadRelabel",
        Purpose::Release => "WorkloadRelease",
    }
}

fn how_it_went(stopped_by: Option<&StoppedBy>) -> &'static str {
    match stopped_by {
        Some(StoppedBy::Person) => "was aborted by a person",
        Some(StoppedBy::Ticket | StoppedBy::Other(_)) => "was ended by the ticket",
        None => "failed",
    }
}

/// What brings the old image back without anybody meaning it.
fn old_manifest(owner: &ImageOwner) -> &'static str {
    match owner {
        ImageOwner::Kubectl => "; applying the workload's old manifest again brings the old image back",
        ImageOwner::Helm(_) => "; a helm upgrade with the old values brings the old image back",
        _ => "",
    }
}

/// Images as text: `<container>=<image>` of each.
fn list(images: &[ContainerImage]) -> String {
    let images = images.iter().map(|i| format!("{}={}", i.container, i.image));
    images.collect::<Vec<_>>().join(" ")
}
