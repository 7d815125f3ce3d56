//! The cache of a kind, and what of the kind cannot be read.

use std::collections::HashMap;
use std::fmt::Debug;

use kube::Resource;
use kube::api::ObjectMeta;
use kube::core::NamespaceResourceScope;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use serde::de::DeserializeOwned;

use crate::runtime::guarded::{Guarded, Unreadable};
use crate::runtime::known::{Keeper, Known};
use trackdown_core::facets::Faceted;
use trackdown_core::kept::Kept;

/// What is watched.
pub trait Watched:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Faceted
    + Kept
    + DeserializeOwned
    + Clone
    + Debug
    + Send
    + Sync
    + 'static
{
}

impl<K> Watched for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Faceted
        + Kept
        + DeserializeOwned
        + Clone
        + Debug
        + Send
        + Sync
        + 'static
{
}

/// The cache of a kind.
pub struct Cache<K: Resource<DynamicType = ()> + Clone + 'static> {
    /// To read from.
    pub known: Known<K>,
    /// To write to.
    pub keeper: Keeper<K>,
    /// What cannot be read, and why, as it was told.
    unreadable: HashMap<ObjectRef<K>, String>,
}

impl<K: Watched> Default for Cache<K> {
    fn default() -> Self {
        let keeper = Keeper::default();
        Self { known: keeper.known(), keeper, unreadable: HashMap::new() }
    }
}

impl<K: Watched> Cache<K> {
    /// What an event says of objects that can be read. One that cannot, such as one with a value of a newer version, keeps no
    /// other from being read. `tell` is told of it, and for decisions it is not there.
    #[must_use]
    pub fn readable(&mut self, event: Event<Guarded<K>>, tell: impl Fn(&Unreadable)) -> Option<Event<K>> {
        match event {
            Event::Init => Some(Event::Init),
            Event::InitDone => Some(Event::InitDone),
            Event::InitApply(Guarded(Ok(object))) => {
                self.unreadable.remove(&key::<K>(object.meta()));
                Some(Event::InitApply(object))
            }
            Event::Apply(Guarded(Ok(object))) => {
                self.unreadable.remove(&key::<K>(object.meta()));
                Some(Event::Apply(object))
            }
            Event::Delete(Guarded(Ok(object))) => Some(Event::Delete(object)),
            Event::InitApply(Guarded(Err(bad))) => {
                self.note(&bad, tell);
                None
            }
            Event::Apply(Guarded(Err(bad))) => {
                self.note(&bad, tell);
                self.no_longer_there(&bad)
            }
            Event::Delete(Guarded(Err(bad))) => {
                self.unreadable.remove(&key::<K>(&bad.metadata));
                self.no_longer_there(&bad)
            }
        }
    }

    fn note(&mut self, bad: &Unreadable, tell: impl Fn(&Unreadable)) {
        let told = self.unreadable.insert(key::<K>(&bad.metadata), bad.error.clone());
        if told.is_none_or(|told| told != bad.error) {
            tell(bad);
        }
    }

    fn no_longer_there(&self, bad: &Unreadable) -> Option<Event<K>> {
        let known = self.known.store().get(&key::<K>(&bad.metadata))?;
        Some(Event::Delete((*known).clone()))
    }
}

fn key<K: Resource<DynamicType = ()>>(meta: &ObjectMeta) -> ObjectRef<K> {
    ObjectRef::new(meta.name.as_deref().unwrap_or_default()).within(meta.namespace.as_deref().unwrap_or_default())
}
