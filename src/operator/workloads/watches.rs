//! Watching single workloads by name: those that somebody else is expected to change, which carry no label of Trackdown's.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use futures::channel::mpsc::UnboundedSender;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Client};
use tokio::task::JoinHandle;

use crate::runtime::watch_one::watch_one;
use crate::workloads::kinds::{WorkloadType, by_type};
use trackdown_api::record::Record;
use trackdown_api::ticket::Ticket;
use trackdown_api::workload_ref::Workload;
use trackdown_core::workload::view::WorkloadView;

/// Most workloads that are watched at a time: each is a connection. What waits beyond that looks again with back-off.
const WATCHES_MAX: usize = 256;

/// Who is told of a workload's changes.
#[derive(Debug, Default)]
struct Interested {
    /// The first answer is here.
    heard: bool,
    /// The workload, if it exists.
    view: Option<WorkloadView>,
    tickets: HashSet<ObjectRef<Ticket>>,
    records: HashSet<ObjectRef<Record>>,
}

/// The watches in progress, by workload.
#[derive(Debug)]
pub struct WorkloadWatches {
    wake: Wakers,
    watches: Mutex<HashMap<Workload, Watch>>,
}

#[derive(Clone, Debug)]
struct Wakers {
    tickets: UnboundedSender<ObjectRef<Ticket>>,
    records: UnboundedSender<ObjectRef<Record>>,
}

#[derive(Debug)]
struct Watch {
    interested: Arc<Mutex<Interested>>,
    task: JoinHandle<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl WorkloadWatches {
    /// The senders are told whose workload changed.
    #[must_use]
    pub fn new(tickets: UnboundedSender<ObjectRef<Ticket>>, records: UnboundedSender<ObjectRef<Record>>) -> Self {
        Self { wake: Wakers { tickets, records }, watches: Mutex::default() }
    }

    /// Tells the ticket of changes of exactly these workloads from now on. False: there are too many watches already.
    pub fn tell_ticket(&self, client: &Client, ticket: &ObjectRef<Ticket>, workloads: &[Workload]) -> bool {
        self.tell(client, workloads, |who, wanted| {
            if !wanted {
                who.tickets.remove(ticket);
            } else if who.tickets.insert(ticket.clone()) && who.heard {
                // What has happened since it was read went to the others.
                let _ = self.wake.tickets.unbounded_send(ticket.clone());
            }
        })
    }

    /// Tells the record of changes of its workload, or no longer.
    pub fn tell_record(&self, client: &Client, record: &ObjectRef<Record>, workload: Option<&Workload>) -> bool {
        self.tell(client, workload.map(std::slice::from_ref).unwrap_or_default(), |who, wanted| {
            if wanted {
                who.records.insert(record.clone())
            } else {
                who.records.remove(record)
            };
        })
    }

    /// The workload as last watched.
    pub fn get(&self, workload: &Workload) -> Option<WorkloadView> {
        let watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches.get(workload)?.interested.lock().unwrap_or_else(PoisonError::into_inner).view.clone()
    }

    fn tell(&self, client: &Client, workloads: &[Workload], change: impl Fn(&mut Interested, bool)) -> bool {
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches.retain(|workload, watch| {
            let mut who = watch.interested.lock().unwrap_or_else(PoisonError::into_inner);
            change(&mut who, workloads.contains(workload));
            !who.tickets.is_empty() || !who.records.is_empty()
        });
        let mut all = true;
        for workload in workloads {
            if watches.contains_key(workload) {
                continue;
            }
            if watches.len() >= WATCHES_MAX {
                all = false;
                continue;
            }
            let interested = Arc::new(Mutex::new(Interested::default()));
            change(&mut interested.lock().unwrap_or_else(PoisonError::into_inner), true);
            let task = tokio::spawn(follow(client.clone(), workload.clone(), interested.clone(), self.wake.clone()));
            watches.insert(workload.clone(), Watch { interested, task });
        }
        all
    }
}

async fn follow(client: Client, workload: Workload, interested: Arc<Mutex<Interested>>, wake: Wakers) {
    by_type!(workload.kind, W => follow_as::<W>(client, workload, interested, wake).await);
}

async fn follow_as<W: WorkloadType>(client: Client, workload: Workload, interested: Arc<Mutex<Interested>>, wake: Wakers) {
    let api: Api<W> = Api::namespaced(client, &workload.namespace);
    let mut changes = watch_one(api, &workload.name).boxed();
    while let Some(change) = changes.next().await {
        let view = match change {
            Ok(object) => object.map(|object| object.view()),
            Err(error) => {
                tracing::warn!(%error, %workload, "watching the workload failed, trying again");
                continue;
            }
        };
        let mut who = interested.lock().unwrap_or_else(PoisonError::into_inner);
        // Tickets decide on a read of their own; of what a status tells while pods come and go they need not know.
        let news = !who.heard || who.view.as_ref().map(gist) != view.as_ref().map(gist);
        who.heard = true;
        who.view = view;
        for record in &who.records {
            let _ = wake.records.unbounded_send(record.clone());
        }
        for ticket in who.tickets.iter().filter(|_| news) {
            let _ = wake.tickets.unbounded_send(ticket.clone());
        }
    }
}

/// What a waiting ticket may be waiting for.
fn gist(view: &WorkloadView) -> impl PartialEq + use<> {
    let may_start = (view.paused, view.invalid.is_some(), view.unsupported.is_some());
    (view.uid.clone(), view.generation, view.marks.clone(), view.marker.clone(), view.complete(), may_start)
}
