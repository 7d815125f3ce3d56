//! Kubernetes Events. They are news, not state: a failure to publish is logged and changes nothing.

use std::collections::HashMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1 as events;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Api, Client, Resource};
use tokio::sync::mpsc;

use super::Sink;
use trackdown_api::FIELD_MANAGER;
use trackdown_api::record::Record;
use trackdown_core::happening::News;
use trackdown_core::happening::wording::{self, Notice};

/// Longest note, in bytes; the API server takes 1024.
const NOTE_MAX: usize = 1000;

/// Longest name of an object that leaves room for what a recorder adds.
const NAME_MAX: usize = 230;

/// Events that may wait to be published. More are dropped: a cluster that cannot take them has other worries.
const QUEUE_MAX: usize = 1024;

/// Notes whose repetitions are told apart from news.
const NOTES_MAX: usize = 256;

/// Publishes Events beside the work, so that none of them delays a rollout.
#[derive(Debug)]
pub struct Publisher(mpsc::Sender<Notice>);

impl Publisher {
    /// Starts publishing, until it is dropped. `identity`: name of this process among others.
    #[must_use]
    pub fn start(client: Client, identity: &str) -> Self {
        let reporter = Reporter { controller: FIELD_MANAGER.to_owned(), instance: Some(identity.to_owned()) };
        let (queue, mut queued) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(async move {
            let mut recorders = Recorders { client, reporter, by_note: HashMap::new() };
            while let Some(notice) = queued.recv().await {
                publish(&mut recorders, notice).await;
            }
        });
        Self(queue)
    }
}

impl Sink for Publisher {
    fn take(&self, news: &News) {
        let Some(notice) = wording::notice(news) else { return };
        if let Err(error) = self.0.try_send(notice) {
            tracing::warn!(%error, "dropped an Event");
        }
    }
}

/// A recorder counts what looks alike to it as one Event, and does not look at the note: two tickets on one workload would share the
/// first one's text. So each note has its own.
struct Recorders {
    client: Client,
    reporter: Reporter,
    by_note: HashMap<String, Recorder>,
}

impl Recorders {
    fn of(&mut self, note: &str) -> &Recorder {
        if self.by_note.len() >= NOTES_MAX && !self.by_note.contains_key(note) {
            let any = self.by_note.keys().next().cloned();
            any.map(|note| self.by_note.remove(&note));
        }
        let new = || Recorder::new(self.client.clone(), self.reporter.clone());
        self.by_note.entry(note.to_owned()).or_insert_with(new)
    }
}

async fn publish(recorders: &mut Recorders, notice: Notice) {
    let Notice { regarding, mut note, .. } = notice;
    while note.len() > NOTE_MAX {
        note.pop();
    }
    let secondary = notice.record.map(|name| ObjectReference {
        api_version: Some(Record::api_version(&()).into_owned()),
        kind: Some(Record::kind(&()).into_owned()),
        namespace: regarding.namespace.clone(),
        name: Some(name),
        ..ObjectReference::default()
    });
    let event = Event {
        type_: if notice.warning { EventType::Warning } else { EventType::Normal },
        reason: notice.reason,
        note: Some(note.clone()),
        action: notice.action.to_owned(),
        secondary,
    };
    let name = regarding.name.as_deref().unwrap_or_default();
    let published = if name.len() > NAME_MAX {
        let api = Api::namespaced(recorders.client.clone(), regarding.namespace.as_deref().unwrap_or("default"));
        api.create(&PostParams::default(), &unnamed(&recorders.reporter, &regarding, &event)).await.map(|_| ())
    } else {
        recorders.of(&note).publish(&event, &regarding).await
    };
    if let Err(error) = published {
        tracing::warn!(%error, event = event.reason, "could not publish an Event");
    }
}

/// An Event about an object whose name leaves no room for the Event's own, which the recorder makes of it.
fn unnamed(reporter: &Reporter, regarding: &ObjectReference, event: &Event) -> events::Event {
    let warning = matches!(event.type_, EventType::Warning);
    events::Event {
        metadata: ObjectMeta {
            namespace: regarding.namespace.clone(),
            generate_name: Some(format!("{}-", reporter.controller)),
            ..ObjectMeta::default()
        },
        action: Some(event.action.clone()),
        event_time: Some(MicroTime(Timestamp::now())),
        note: event.note.clone(),
        reason: Some(event.reason.clone()),
        regarding: Some(regarding.clone()),
        related: event.secondary.clone(),
        reporting_controller: Some(reporter.controller.clone()),
        reporting_instance: reporter.instance.clone().or_else(|| Some(reporter.controller.clone())),
        type_: Some(if warning { "Warning" } else { "Normal" }.to_owned()),
        ..events::Event::default()
    }
}
