//! Kubernetes Events. They are news, not state: a failure to publish is logged and changes nothing.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use kube::runtime::events::{Event, EventType, Recorder};

use tokio::sync::mpsc;

use crate::api::ticket::Ticket;
use crate::api::workload_ref::Workload;
use crate::decide::notices::Notice;

/// Longest note, in bytes; the API server takes 1024.
const NOTE_MAX: usize = 1000;

/// Events that may wait to be published. More are dropped: a cluster that cannot take them has other worries.
const QUEUE_MAX: usize = 1024;

/// Publishes Events beside the work, so that none of them delays a rollout.
#[derive(Clone, Debug)]
pub struct Publisher(mpsc::Sender<(ObjectReference, Notice, &'static str)>);

impl Publisher {
    /// Starts publishing with `recorder`, until the last clone is dropped.
    #[must_use]
    pub fn start(recorder: Recorder) -> Self {
        let (queue, mut queued) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(async move {
            while let Some((regarding, notice, action)) = queued.recv().await {
                publish(&recorder, &regarding, notice, action).await;
            }
        });
        Self(queue)
    }

    /// Publishes notices about a ticket.
    pub fn about_ticket(&self, ticket: &Ticket, notices: Vec<Notice>) {
        for notice in notices {
            self.queue(ticket.object_ref(&()), notice, "Reconcile");
        }
    }

    /// Publishes a notice about a workload.
    pub fn about_workload(&self, workload: &Workload, uid: &str, notice: Notice) {
        let regarding = ObjectReference {
            api_version: Some(workload.kind.api_version().to_owned()),
            kind: Some(workload.kind.to_string()),
            namespace: Some(workload.namespace.clone()),
            name: Some(workload.name.clone()),
            uid: Some(uid.to_owned()),
            ..ObjectReference::default()
        };
        self.queue(regarding, notice, "Patch");
    }

    fn queue(&self, regarding: ObjectReference, notice: Notice, action: &'static str) {
        if let Err(error) = self.0.try_send((regarding, notice, action)) {
            tracing::warn!(%error, "dropped an Event");
        }
    }
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
