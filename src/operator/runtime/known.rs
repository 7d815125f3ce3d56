//! The objects of a kind as last watched, found by name or by what they are about; and how they are kept up to date.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};

use trackdown_core::facets::{Facet, Faceted};
use trackdown_core::kept::Kept;

/// A cache to read from; a [`Keeper`] fills it.
#[derive(Debug)]
pub struct Known<K: Resource<DynamicType = ()> + Clone + 'static> {
    store: Store<K>,
    index: Index<K>,
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Clone for Known<K> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), index: self.index.clone() }
    }
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Known<K> {
    /// The object of this name.
    #[must_use]
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.store.get(&ObjectRef::new(name).within(namespace))
    }

    /// Those that are about it, each once.
    #[must_use]
    pub fn about(&self, facet: &Facet) -> Vec<Arc<K>> {
        self.index.0.read().unwrap_or_else(PoisonError::into_inner).get(facet).cloned().unwrap_or_default()
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<K>> {
        self.store.state()
    }

    /// Where they are kept.
    #[must_use]
    pub fn store(&self) -> &Store<K> {
        &self.store
    }
}

/// What an event of a watch changed.
#[derive(Debug)]
pub struct News<K> {
    /// The first list is complete: everything is news.
    pub filled: bool,
    /// Objects that are new, or not what they were.
    pub changed: Vec<Arc<K>>,
    /// Objects that are gone.
    pub gone: Vec<Arc<K>>,
}

impl<K> Default for News<K> {
    fn default() -> Self {
        Self { filled: false, changed: Vec::new(), gone: Vec::new() }
    }
}

/// Fills a cache from the events of a watch.
#[derive(Debug)]
pub struct Keeper<K: Resource<DynamicType = ()> + Clone + 'static> {
    known: Known<K>,
    writer: Writer<K>,
    /// Nothing was known before the list that comes in.
    first: bool,
    /// What was known before the list that comes in and is not in it, as far as it goes: where each object stands in memory, which it does
    /// as long as the store has it.
    unlisted: HashSet<usize>,
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Default for Keeper<K> {
    fn default() -> Self {
        let (store, writer) = reflector::store();
        Self { known: Known { store, index: Index::default() }, writer, first: true, unlisted: HashSet::new() }
    }
}

impl<K: Resource<DynamicType = ()> + Faceted + Kept + Clone + 'static> Keeper<K> {
    /// The cache.
    #[must_use]
    pub fn known(&self) -> Known<K> {
        self.known.clone()
    }

    /// Takes an event in. A list that comes after the first one changes only what was missed, and needs no room of its own.
    pub fn take_in(&mut self, event: Event<K>) -> News<K> {
        let mut news = News::default();
        match event {
            Event::Apply(object) => news.changed.extend(self.put(object)),
            Event::Delete(object) => news.gone.push(self.remove(object)),
            Event::Init => {
                let known = self.known.all();
                self.first = known.is_empty();
                self.unlisted = known.iter().map(place).collect();
                if self.first {
                    self.writer.apply_watcher_event(&Event::Init);
                }
            }
            Event::InitApply(mut object) if self.first => {
                object.keep_what_counts();
                self.writer.apply_watcher_event(&Event::InitApply(object));
            }
            Event::InitDone if self.first => {
                self.writer.apply_watcher_event(&Event::InitDone);
                self.known.all().iter().for_each(|object| self.known.index.replace(None, Some(object)));
                news.filled = true;
            }
            Event::InitApply(object) => {
                let known = self.known.store.get(&ObjectRef::from_obj(&object));
                if let Some(known) = &known {
                    self.unlisted.remove(&place(known));
                }
                if known.is_none_or(|known| known.resource_version() != object.resource_version()) {
                    news.changed.extend(self.put(object));
                }
            }
            Event::InitDone => {
                let unlisted = std::mem::take(&mut self.unlisted);
                let gone = self.known.all().into_iter().filter(|known| unlisted.contains(&place(known)));
                news.gone.extend(gone.map(|gone| self.remove((*gone).clone())));
            }
        }
        news
    }

    fn put(&mut self, mut object: K) -> Option<Arc<K>> {
        object.keep_what_counts();
        let key = ObjectRef::from_obj(&object);
        let before = self.known.store.get(&key);
        self.writer.apply_watcher_event(&Event::Apply(object));
        let now = self.known.store.get(&key);
        self.known.index.replace(before.as_ref(), now.as_ref());
        now
    }

    fn remove(&mut self, object: K) -> Arc<K> {
        let before = self.known.store.get(&ObjectRef::from_obj(&object));
        self.writer.apply_watcher_event(&Event::Delete(object.clone()));
        self.known.index.replace(before.as_ref(), None);
        Arc::new(object)
    }
}

fn place<K>(object: &Arc<K>) -> usize {
    Arc::as_ptr(object).addr()
}

/// Which objects are about what.
#[derive(Debug)]
struct Index<K>(Arc<RwLock<HashMap<Facet, Vec<Arc<K>>>>>);

impl<K> Clone for Index<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K> Default for Index<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Faceted> Index<K> {
    /// An object has changed, come (`old`: none) or gone (`new`: none).
    fn replace(&self, old: Option<&Arc<K>>, new: Option<&Arc<K>>) {
        let facets = |object: Option<&Arc<K>>| object.map(|o| o.facets().into_iter().collect::<HashSet<_>>()).unwrap_or_default();
        let (before, after) = (facets(old), facets(new));
        let mut index = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for facet in before {
            let Some(objects) = index.get_mut(&facet) else { continue };
            objects.retain(|o| old.is_none_or(|old| !Arc::ptr_eq(o, old)));
            if objects.is_empty() {
                index.remove(&facet);
            }
        }
        for facet in after {
            index.entry(facet).or_default().extend(new.cloned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trackdown_api::record::Record;
    use trackdown_api::workload_ref::{Workload, WorkloadKind};

    fn record(name: &str, version: &str, workload: &str) -> Record {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "trackdown.dev/v1alpha1", "kind": "Deployment",
            "metadata": {"name": name, "namespace": "shop", "resourceVersion": version, "annotations": {"a": "b"}},
            "spec": {
                "ticket": {"name": "iss-1", "uid": "t", "id": "ISS-1"}, "target": "web", "attempt": 1, "requestHash": "h",
                "workload": {"kind": "Deployment", "namespace": "shop", "name": workload},
                "images": [{"container": "web", "image": "web:1"}], "base": {"uid": "u", "generation": 1}, "timeoutSeconds": 1,
            },
        }))
        .unwrap()
    }

    fn about(keeper: &Keeper<Record>, workload: &str) -> Vec<String> {
        let workload = Workload { kind: WorkloadKind::Deployment, namespace: "shop".into(), name: workload.into() };
        keeper.known().about(&Facet::Workload(workload)).iter().map(|r| r.name_any()).collect()
    }

    fn list(keeper: &mut Keeper<Record>, objects: &[Record]) -> (bool, Vec<String>, Vec<String>) {
        let events = [Event::Init].into_iter().chain(objects.iter().cloned().map(Event::InitApply)).chain([Event::InitDone]);
        let (mut filled, mut changed, mut gone) = (false, Vec::new(), Vec::new());
        for event in events {
            let news = keeper.take_in(event);
            filled |= news.filled;
            changed.extend(news.changed.iter().map(|r| r.name_any()));
            gone.extend(news.gone.iter().map(|r| r.name_any()));
        }
        (filled, changed, gone)
    }

    #[test]
    fn an_object_is_found_by_what_it_is_about_now() {
        let mut keeper = Keeper::default();
        assert_eq!(list(&mut keeper, &[record("a", "1", "web"), record("b", "1", "web")]), (true, vec![], vec![]));
        assert_eq!(about(&keeper, "web").len(), 2);
        keeper.take_in(Event::Apply(record("a", "2", "api")));
        assert_eq!((about(&keeper, "web"), about(&keeper, "api")), (vec!["b".to_owned()], vec!["a".to_owned()]));
        assert_eq!(keeper.known().get("shop", "a").unwrap().metadata.annotations, None, "what no decision needs is not kept");
        keeper.take_in(Event::Delete(record("a", "3", "api")));
        keeper.take_in(Event::Delete(record("b", "3", "web")));
        assert!(keeper.known.index.0.read().unwrap().is_empty(), "nothing is left of what is gone");
    }

    #[test]
    fn a_later_list_tells_what_was_missed_and_nothing_else() {
        let mut keeper = Keeper::default();
        list(&mut keeper, &[record("a", "1", "web"), record("b", "1", "web"), record("c", "1", "web")]);
        let same = keeper.known().get("shop", "a").unwrap();
        // One that breaks off is followed by another.
        keeper.take_in(Event::Init);
        keeper.take_in(Event::InitApply(record("b", "2", "api")));
        let seen = list(&mut keeper, &[record("a", "1", "web"), record("b", "2", "api"), record("d", "1", "web")]);
        assert_eq!(seen, (false, vec!["d".to_owned()], vec!["c".to_owned()]));
        assert!(Arc::ptr_eq(&same, &keeper.known().get("shop", "a").unwrap()), "what is the same is not stored again");
        assert_eq!((about(&keeper, "web"), about(&keeper, "api")), (vec!["a".to_owned(), "d".to_owned()], vec!["b".to_owned()]));
    }
}
