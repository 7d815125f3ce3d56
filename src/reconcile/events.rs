//! Kubernetes Events. They are news, not state: a failure to publish is logged and changes nothing.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use kube::runtime::events::{Event, EventType, Recorder};

use crate::api::ticket::Ticket;
use crate::api::workload_ref::Workload;
use crate::decide::notices::Notice;

/// Longest note the API server takes, in bytes.
const NOTE_MAX: usize = 1000;

/// Publishes notices about a ticket.
pub async fn about_ticket(recorder: &Recorder, ticket: &Ticket, notices: Vec<Notice>) {
    let regarding = ticket.object_ref(&());
    for notice in notices {
        publish(recorder, &regarding, notice, "Reconcile").await;
    }
}

/// Publishes a notice about a workload.
pub async fn about_workload(recorder: &Recorder, workload: &Workload, uid: &str, notice: Notice) {
    let regarding = ObjectReference {
        api_version: Some("apps/v1".to_owned()),
        kind: Some(workload.kind.to_string()),
        namespace: Some(workload.namespace.clone()),
        name: Some(workload.name.clone()),
        uid: Some(uid.to_owned()),
        ..ObjectReference::default()
    };
    publish(recorder, &regarding, notice, "Patch").await;
}

async fn publish(recorder: &Recorder, regarding: &ObjectReference, notice: Notice, action: &str) {
    let mut note = notice.note;
    while note.len() > NOTE_MAX {
        note.pop();
    }
    let event = Event {
        type_: if notice.warning { EventType::Warning } else { EventType::Normal },
        reason: notice.reason,
        note: Some(note),
        action: action.to_owned(),
        secondary: None,
    };
    if let Err(error) = recorder.publish(&event, regarding).await {
        tracing::warn!(%error, event = event.reason, "could not publish an Event");
    }
}
