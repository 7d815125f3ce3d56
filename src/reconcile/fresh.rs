//! Own writes that the cache does not show yet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kube::{Resource, ResourceExt};

/// The newest version of each object this process wrote, kept until the cache has moved past what was written on. So a pass right
/// after a write does not decide on the state before it, without a comparison of resource versions: a write with an optimistic
/// lock has exactly one predecessor.
#[derive(Debug)]
pub struct Fresh<K> {
    written: Mutex<HashMap<String, Written<K>>>,
}

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
        Self { written: Mutex::default() }
    }
}

impl<K: Resource> Fresh<K> {
    /// Remembers `object`, which was written on top of `before` (absent: created).
    pub fn wrote(&self, before: Option<&K>, object: Arc<K>) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let known = written.remove(&key(&*object));
        let created = before.is_none() || known.as_ref().is_some_and(|w| w.created);
        let mut outdated = known.map(|w| w.outdated).unwrap_or_default();
        outdated.extend(before.and_then(ResourceExt::resource_version));
        written.insert(key(&*object), Written { created, outdated, object });
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

    /// Forgets what was written to an object: somebody else wrote it too, or it is gone.
    pub fn forget(&self, namespace: &str, name: &str) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.remove(&format!("{namespace}/{name}"));
    }
}

fn key<K: Resource>(object: &K) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}
