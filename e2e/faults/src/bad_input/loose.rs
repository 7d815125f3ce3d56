//! CRDs that take anything: what a newer version, or somebody's own, might let through.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::object::What;
use crate::api::{Api, Body};

/// Longest wait until the API server goes by them.
const PATIENCE: Duration = Duration::from_secs(60);

const CRDS: [&str; 2] = ["tickets.trackdown.dev", "deployments.trackdown.dev"];

/// Loosens both, and waits until nothing is refused any more.
pub async fn loosen(api: &Api) {
    for name in CRDS {
        let path = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}");
        let mut crd = api.get(&path).await.map_err(String::from).unwrap();
        for version in crd["spec"]["versions"].as_array_mut().unwrap() {
            version["schema"]["openAPIV3Schema"] = schema(&version["selectableFields"]);
        }
        api.send("PUT", &path, Body::Create(&crd)).await.map_err(String::from).unwrap();
    }
    let started = Instant::now();
    for (what, kind) in [(What::Ticket, "Ticket"), (What::Record, "Deployment")] {
        let probe =
            json!({"apiVersion": "trackdown.dev/v1alpha1", "kind": kind, "metadata": {"name": "probe"}, "spec": {"probe": [1]}});
        let path = format!("{}?dryRun=All", what.path("default"));
        while let Err(refusal) = api.send("POST", &path, Body::Create(&probe)).await {
            assert!(started.elapsed() < PATIENCE, "{}", String::from(refusal));
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// Nothing but what field selectors need, which is text.
fn schema(selectable: &Value) -> Value {
    let anything = || json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let mut schema = anything();
    for part in ["spec", "status"] {
        schema["properties"][part] = anything();
    }
    for field in selectable.as_array().into_iter().flatten().filter_map(|f| f["jsonPath"].as_str()) {
        let mut at = &mut schema;
        let keys: Vec<_> = field.trim_start_matches('.').split('.').collect();
        for (n, key) in keys.iter().enumerate() {
            at = &mut at["properties"][*key];
            if at.is_null() {
                *at = if n + 1 == keys.len() { json!({"type": "string"}) } else { anything() };
            }
        }
    }
    schema
}
