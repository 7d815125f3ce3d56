//! Watching the pods of rollouts that take their time: only those, only while they do.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use futures::channel::mpsc::UnboundedSender;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::task::JoinHandle;

use crate::runtime::watch_one::WATCH_SECONDS;
use trackdown_api::record::Record;
use trackdown_core::workload::pods::PodView;

type Pods = Arc<Mutex<Option<BTreeMap<String, PodView>>>>;

/// The pod watches in progress, by record.
#[derive(Debug)]
pub struct PodWatches {
    wake: UnboundedSender<ObjectRef<Record>>,
    watches: Mutex<HashMap<ObjectRef<Record>, Watch>>,
}

#[derive(Debug)]
struct Watch {
    pods: Pods,
    task: JoinHandle<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl PodWatches {
    /// `wake` is told of every record whose pods changed.
    #[must_use]
    pub fn new(wake: UnboundedSender<ObjectRef<Record>>) -> Self {
        Self { wake, watches: Mutex::default() }
    }

    /// Starts watching the pods in `namespace` that match `selector`, unless that is being done.
    pub fn start(&self, client: &Client, record: ObjectRef<Record>, namespace: &str, selector: &str) {
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches.entry(record.clone()).or_insert_with(|| {
            let pods = Pods::default();
            let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
            let config = watcher::Config::default().labels(selector).timeout(WATCH_SECONDS);
            let task = tokio::spawn(follow(api, config, pods.clone(), self.wake.clone(), record));
            Watch { pods, task }
        });
    }

    /// The pods, as far as they are known; `None` before the first list has arrived.
    pub fn get(&self, record: &ObjectRef<Record>) -> Option<Vec<PodView>> {
        let watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        let pods = watches.get(record)?.pods.lock().unwrap_or_else(PoisonError::into_inner);
        pods.as_ref().map(|pods| pods.values().cloned().collect())
    }

    /// Remembers an own deletion until the watch shows it: it is not asked for twice.
    pub fn deleted(&self, record: &ObjectRef<Record>, uid: &str) {
        let watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(watch) = watches.get(record) else { return };
        let mut pods = watch.pods.lock().unwrap_or_else(PoisonError::into_inner);
        let known = pods.iter_mut().flat_map(BTreeMap::values_mut).filter(|p| p.uid == uid);
        known.for_each(|p| p.terminating = true);
    }

    /// Ends the watch.
    pub fn stop(&self, record: &ObjectRef<Record>) {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner).remove(record);
    }
}

async fn follow(
    api: Api<Pod>,
    config: watcher::Config,
    pods: Pods,
    wake: UnboundedSender<ObjectRef<Record>>,
    record: ObjectRef<Record>,
) {
    let mut events = watcher(api, config).default_backoff().boxed();
    let mut listing = BTreeMap::new();
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                tracing::warn!(%error, record = %record, "watching pods failed, trying again");
                continue;
            }
        };
        let mut known = pods.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            watcher::Event::Init => listing.clear(),
            watcher::Event::InitApply(pod) => {
                listing.insert(pod.name_any(), PodView::from(&pod));
                continue;
            }
            watcher::Event::InitDone => *known = Some(std::mem::take(&mut listing)),
            watcher::Event::Apply(pod) => {
                known.get_or_insert_default().insert(pod.name_any(), PodView::from(&pod));
            }
            watcher::Event::Delete(pod) => {
                known.get_or_insert_default().remove(&pod.name_any());
            }
        }
        drop(known);
        if wake.unbounded_send(record.clone()).is_err() {
            return;
        }
    }
}
