//! Objects that this version may not be able to read: one of them keeps no other of a list from being read.

use std::borrow::Cow;

use kube::Resource;
use kube::api::ObjectMeta;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// An object, or why it cannot be read. Unlike kube's `DeserializeGuard` it copies an object's text, not its tree, which is most of what
/// reading a large list costs; so it can be read from JSON text alone, which is what the API server sends.
#[derive(Clone, Debug)]
pub struct Guarded<K>(pub Result<K, Unreadable>);

/// An object that cannot be read.
#[derive(Clone, Debug)]
pub struct Unreadable {
    /// Where, and what is wrong there.
    pub error: String,
    /// Its metadata, which can be.
    pub metadata: ObjectMeta,
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Guarded<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Named {
            #[serde(default)]
            metadata: ObjectMeta,
        }
        let text = Box::<RawValue>::deserialize(deserializer)?;
        match serde_json::from_str(text.get()) {
            Ok(object) => Ok(Self(Ok(object))),
            Err(error) => {
                let Named { metadata } = serde_json::from_str(text.get()).map_err(D::Error::custom)?;
                let error = what_is_wrong::<K>(text.get()).unwrap_or_else(|| error.to_string());
                Ok(Self(Err(Unreadable { error, metadata })))
            }
        }
    }
}

/// The field and what is wrong with it; a place in a text that nobody has seen helps nobody.
fn what_is_wrong<K: DeserializeOwned>(text: &str) -> Option<String> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let error = serde_path_to_error::deserialize::<_, K>(&mut deserializer).err()?;
    let told = error.inner().to_string();
    let told = told.split(" at line ").next().unwrap_or_default();
    Some(format!("{}: {told}", error.path()))
}

impl<K: Resource> Resource for Guarded<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(dt)
    }

    fn group(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::group(dt)
    }

    fn version(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::version(dt)
    }

    fn plural(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(dt)
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.as_ref().map_or_else(|unreadable| &unreadable.metadata, K::meta)
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.as_mut().map_or_else(|unreadable| &mut unreadable.metadata, K::meta_mut)
    }
}

#[cfg(test)]
mod tests {
    use kube::api::{ObjectList, WatchEvent};

    use super::*;
    use trackdown_api::ticket::Ticket;

    const GOOD: &str =
        r#"{"apiVersion": "trackdown.dev/v1alpha1", "kind": "Ticket", "metadata": {"name": "a"}, "spec": {"title": "t"}}"#;
    const BAD: &str = r#"{"metadata": {"name": "b"}, "spec": {"title": "t", "rollout": {"order": "Sideways"}}}"#;

    #[test]
    fn one_that_cannot_be_read_keeps_no_other_from_being_read() {
        let list = format!(r#"{{"kind": "TicketList", "metadata": {{"resourceVersion": "7"}}, "items": [{BAD}, {GOOD}]}}"#);
        let list: ObjectList<Guarded<Ticket>> = serde_json::from_str(&list).unwrap();
        let [bad, good] = list.items.as_slice() else { panic!("{list:?}") };
        assert_eq!(good.0.as_ref().unwrap().spec.title, "t");
        assert_eq!(bad.meta().name.as_deref(), Some("b"));
        let error = &bad.0.as_ref().unwrap_err().error;
        assert!(error.starts_with("spec.rollout.order: unknown variant `Sideways`") && !error.contains("line"), "{error}");
    }

    #[test]
    fn events_of_a_watch_are_read_as_the_api_server_writes_them() {
        let event = format!(r#"{{"type": "ADDED", "object": {GOOD}}}"#);
        let WatchEvent::Added(object) = serde_json::from_str::<WatchEvent<Guarded<Ticket>>>(&event).unwrap() else {
            panic!("{event}")
        };
        assert_eq!(object.meta().name.as_deref(), Some("a"));
    }
}
