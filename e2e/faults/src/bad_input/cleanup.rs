//! Deletes what a batch has left.

use serde_json::{Value, json};

use super::object::What;
use crate::api::Body;
use crate::ground::Ground;

/// Deletes all of it, whatever its finalizers say.
pub async fn clean(ground: &Ground, namespace: &str) {
    let api = &ground.api;
    for what in What::ALL {
        let path = what.path(namespace);
        let _ = api.send("DELETE", &format!("{path}?propagationPolicy=Background"), Body::None).await;
        let left = api.get(&path).await.unwrap_or_default();
        for object in left["items"].as_array().into_iter().flatten().filter(|o| has_finalizers(o)) {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            let _ = api.send("PATCH", &format!("{path}/{name}"), Body::Merge(&json!({"metadata": {"finalizers": null}}))).await;
        }
    }
    let _ = api.send("DELETE", &format!("/api/v1/namespaces/{namespace}/events"), Body::None).await;
    ground.history.forget(namespace);
    ground.audit.forget(namespace);
}

fn has_finalizers(object: &Value) -> bool {
    object["metadata"]["finalizers"].as_array().is_some_and(|list| !list.is_empty())
}
