//! Every version of every object that matters, as a watch of the API server told it, by namespace.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::{AsyncBufReadExt, TryStreamExt};
use http::Request;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::api::Api;

/// Kinds that are watched.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    Ticket,
    Record,
    Deployment,
    StatefulSet,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Ticket, Self::Record, Self::Deployment, Self::StatefulSet];

    pub fn group(self) -> &'static str {
        match self {
            Self::Ticket | Self::Record => "trackdown.dev/v1alpha1",
            Self::Deployment | Self::StatefulSet => "apps/v1",
        }
    }

    pub fn plural(self) -> &'static str {
        match self {
            Self::Ticket => "tickets",
            Self::Record | Self::Deployment => "deployments",
            Self::StatefulSet => "statefulsets",
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Ticket => "Ticket",
            Self::Record | Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
        }
    }

    pub fn is_workload(self) -> bool {
        matches!(self, Self::Deployment | Self::StatefulSet)
    }

    /// Path of the collection in a namespace.
    pub fn path(self, namespace: &str) -> String {
        format!("/apis/{}/namespaces/{namespace}/{}", self.group(), self.plural())
    }
}

/// One version of one object.
#[derive(Clone, Debug)]
pub struct Version {
    pub at: Instant,
    /// Position in the history of the whole cluster.
    pub rv: u64,
    pub kind: Kind,
    pub name: String,
    /// This is its last state, and it is gone.
    pub deleted: bool,
    pub object: Arc<Value>,
}

/// What a namespace holds now.
pub type World = BTreeMap<(Kind, String), Arc<Value>>;

#[derive(Default)]
struct Place {
    versions: Vec<Version>,
    now: World,
}

/// The history of a cluster; clones share it.
#[derive(Clone)]
pub struct History {
    places: Arc<Mutex<HashMap<String, Place>>>,
    told: watch::Sender<u64>,
    /// A watch could not go on where it was: versions may be missing.
    gaps: Arc<AtomicBool>,
}

impl History {
    /// Watches as long as the tasks live.
    pub fn follow(api: &Api, tasks: &mut JoinSet<()>) -> Self {
        let history = Self { places: Arc::default(), told: watch::channel(0).0, gaps: Arc::default() };
        for kind in Kind::ALL {
            tasks.spawn(history.clone().keep(api.clone(), kind));
        }
        history
    }

    /// Whether versions may be missing.
    pub fn has_gaps(&self) -> bool {
        self.gaps.load(Ordering::Relaxed)
    }

    /// All versions seen in a namespace, in the order of the cluster's history.
    pub fn of(&self, namespace: &str) -> Vec<Version> {
        let mut versions = self.places.lock().unwrap().get(namespace).map(|p| p.versions.clone()).unwrap_or_default();
        versions.sort_by_key(|v| v.rv);
        versions
    }

    pub fn now(&self, namespace: &str) -> World {
        self.places.lock().unwrap().get(namespace).map(|p| p.now.clone()).unwrap_or_default()
    }

    pub fn forget(&self, namespace: &str) {
        self.places.lock().unwrap().remove(namespace);
    }

    /// Forgets how it came to what there is.
    pub fn thin(&self, namespace: &str) {
        if let Some(place) = self.places.lock().unwrap().get_mut(namespace) {
            place.versions.clear();
        }
    }

    /// Waits until the namespace looks like that.
    pub async fn until(&self, namespace: &str, patience: Duration, is: impl Fn(&World) -> bool) -> bool {
        let mut told = self.told.subscribe();
        let look = async {
            while !is(&self.now(namespace)) {
                let _ = told.changed().await;
            }
        };
        tokio::time::timeout(patience, look).await.is_ok()
    }

    async fn keep(self, api: Api, kind: Kind) {
        let (mut since, mut first) = (None, true);
        loop {
            if since.is_none() {
                self.gaps.fetch_or(!first, Ordering::Relaxed);
                since = self.list(&api, kind).await;
                first &= since.is_none();
            }
            let Some(rv) = since.take() else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            since = self.watch(&api, kind, rv).await;
        }
    }

    async fn list(&self, api: &Api, kind: Kind) -> Option<u64> {
        let list = api.get(&format!("/apis/{}/{}", kind.group(), kind.plural())).await.ok()?;
        let items = list["items"].as_array()?;
        for item in items {
            self.take(kind, item, false);
        }
        // What is not there any more was deleted while nobody looked.
        let is_there = |o: &Value| items.iter().any(|i| i["metadata"]["uid"] == o["metadata"]["uid"]);
        for place in self.places.lock().unwrap().values_mut() {
            place.now.retain(|(k, _), o| *k != kind || is_there(o));
        }
        list["metadata"]["resourceVersion"].as_str()?.parse().ok()
    }

    /// Where to go on; `None`: with a list.
    async fn watch(&self, api: &Api, kind: Kind, from: u64) -> Option<u64> {
        let path = format!("/apis/{}/{}?watch=1&allowWatchBookmarks=true&resourceVersion={from}", kind.group(), kind.plural());
        let request = Request::get(path).body(Vec::new()).unwrap();
        let Ok(stream) = api.client().request_stream(request).await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            return Some(from);
        };
        let (mut lines, mut last) = (stream.lines(), from);
        while let Ok(Some(line)) = lines.try_next().await {
            let Ok(event) = serde_json::from_str::<Value>(&line) else { break };
            let object = &event["object"];
            match event["type"].as_str() {
                Some("ADDED" | "MODIFIED") => self.take(kind, object, false),
                Some("DELETED") => self.take(kind, object, true),
                Some("BOOKMARK") => {}
                _ => return None,
            }
            last = version_of(object).max(last);
        }
        Some(last)
    }

    fn take(&self, kind: Kind, object: &Value, deleted: bool) {
        let Some(namespace) = object["metadata"]["namespace"].as_str() else { return };
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let object = Arc::new(object.clone());
        {
            let mut places = self.places.lock().unwrap();
            if deleted && !places.contains_key(namespace) {
                // The run is over, and was forgotten.
                return;
            }
            let place = places.entry(namespace.to_owned()).or_default();
            let (key, rv) = ((kind, name.clone()), version_of(&object));
            let known = place.now.get(&key).is_some_and(|o| version_of(o) == rv);
            if known && !deleted {
                return;
            }
            if deleted {
                place.now.remove(&key);
            } else {
                place.now.insert(key, object.clone());
            }
            place.versions.push(Version { at: Instant::now(), rv, kind, name, deleted, object });
        }
        self.told.send_modify(|n| *n += 1);
    }
}

pub fn version_of(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().and_then(|v| v.parse().ok()).unwrap_or_default()
}
