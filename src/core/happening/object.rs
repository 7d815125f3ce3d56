//! What happens to objects of any kind.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use kube::core::ObjectMeta;

use super::{About, Happening, News};

/// An object cannot be read, so that nothing is known of it but its metadata.
#[must_use]
pub fn unreadable<K: Resource<DynamicType = ()>>(meta: &ObjectMeta, error: &str) -> News {
    let object = ObjectReference {
        api_version: Some(K::api_version(&()).into_owned()),
        kind: Some(K::kind(&()).into_owned()),
        namespace: meta.namespace.clone(),
        name: meta.name.clone(),
        uid: meta.uid.clone(),
        ..ObjectReference::default()
    };
    News { about: within(&object), what: Happening::Unreadable { object, error: error.to_owned() } }
}

/// The work on an object does not come to an end.
#[must_use]
pub fn failing<K: Resource<DynamicType = ()>>(object: &K, error: &str) -> News {
    let object = object.object_ref(&());
    News { about: within(&object), what: Happening::Failing { object, error: error.to_owned() } }
}

fn within(object: &ObjectReference) -> About {
    About { namespace: object.namespace.clone().unwrap_or_default(), ..About::default() }
}
