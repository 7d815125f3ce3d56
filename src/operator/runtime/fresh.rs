//! Own writes that the cache does not show yet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kube::{Resource, ResourceExt};

use trackdown_core::kept::Kept;

/// The newest version of each object this process wrote, kept until the cache has moved past what was written on. So a pass right
/// after a write does not decide on the state before it, without a comparison of resource versions: a write with an optimistic
/// lock has exactly one predecessor.
#[derive(Debug)]
pub struct Fresh<K> {
    written: Mutex<HashMap<String, Written<K>>>,
    /// UIDs of what was deleted a moment ago: the answer to a write may come after the event of the deletion.
    deleted: Mutex<HashMap<String, Instant>>,
}

/// How long an answer may come after the event.
const LATE: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Written<K> {
    /// The cache may still show no object at all.
    created: bool,
    /// Versions the cache may still show.
    outdated: Vec<String>,
    object: Arc<K>,
}

impl<K> Default for Fresh<K> {
    fn default() -> Self {
        Self { written: Mutex::default(), deleted: Mutex::default() }
    }
}

impl<K: Resource> Fresh<K> {
    /// Remembers `object`, which was written on top of `before` (absent: created).
    pub fn wrote(&self, before: Option<&K>, object: &K)
    where
        K: Kept + Clone,
    {
        let deleted = self.deleted.lock().unwrap_or_else(PoisonError::into_inner);
        if object.uid().is_some_and(|uid| deleted.contains_key(&uid)) {
            return;
        }
        drop(deleted);
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let known = written.remove(&key(object));
        let created = before.is_none() || known.as_ref().is_some_and(|w| w.created);
        let mut outdated = known.map(|w| w.outdated).unwrap_or_default();
        outdated.extend(before.and_then(ResourceExt::resource_version));
        let mut kept = object.clone();
        kept.keep_what_counts();
        written.insert(key(object), Written { created, outdated, object: Arc::new(kept) });
    }

    /// The newer of the cached object and what was written.
    pub fn newest(&self, namespace: &str, name: &str, cached: Option<Arc<K>>) -> Option<Arc<K>> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let key = format!("{namespace}/{name}");
        let Some(own) = written.get(&key) else { return cached };
        let late = match &cached {
            None => own.created,
            Some(cached) => cached.resource_version().is_some_and(|v| own.outdated.contains(&v)),
        };
        if late {
            return Some(own.object.clone());
        }
        written.remove(&key);
        cached
    }

    /// The object is gone, whatever answers are still to come.
    pub fn deleted(&self, object: &K) {
        let mut deleted = self.deleted.lock().unwrap_or_else(PoisonError::into_inner);
        deleted.retain(|_, since| since.elapsed() < LATE);
        deleted.extend(object.uid().map(|uid| (uid, Instant::now())));
        drop(deleted);
        self.forget(&object.namespace().unwrap_or_default(), &object.name_any());
    }

    /// Forgets what was written to an object: somebody else wrote it too, or it is gone.
    pub fn forget(&self, namespace: &str, name: &str) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.remove(&format!("{namespace}/{name}"));
    }
}

fn key<K: Resource>(object: &K) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::DaemonSet;
    use kube::api::ObjectMeta;

    use super::*;

    fn object(uid: &str, version: &str) -> Arc<DaemonSet> {
        let metadata = ObjectMeta {
            name: Some("a".into()),
            namespace: Some("shop".into()),
            uid: Some(uid.into()),
            resource_version: Some(version.into()),
            ..ObjectMeta::default()
        };
        Arc::new(DaemonSet { metadata, ..DaemonSet::default() })
    }

    #[test]
    fn own_writes_count_until_the_cache_has_moved_on() {
        let fresh = Fresh::default();
        let (first, second, third) = (object("u", "1"), object("u", "2"), object("u", "3"));
        let version = |seen: Option<Arc<DaemonSet>>| seen.and_then(|o| o.resource_version());
        fresh.wrote(None, &*first);
        assert_eq!(version(fresh.newest("shop", "a", None)).as_deref(), Some("1"), "the cache does not have it yet");
        fresh.wrote(Some(&first), &*second);
        assert_eq!(version(fresh.newest("shop", "a", Some(first))).as_deref(), Some("2"));
        assert_eq!(version(fresh.newest("shop", "a", Some(third.clone()))).as_deref(), Some("3"));
        assert_eq!(version(fresh.newest("shop", "a", None)), None, "and is forgotten then");
    }

    /// Made, seen, and deleted by somebody before the answer to its creation was read: it must not live on.
    #[test]
    fn an_answer_after_the_deletion_brings_nothing_back() {
        let fresh = Fresh::default();
        fresh.deleted(&*object("u", "2"));
        fresh.wrote(None, &*object("u", "1"));
        assert!(fresh.newest("shop", "a", None).is_none());
        fresh.wrote(None, &*object("another", "3"));
        assert!(fresh.newest("shop", "a", None).is_some(), "one of the same name that was made after it does");
    }
}
