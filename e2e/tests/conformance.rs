//! The model's stand-in for the API server and the real one are asked the same, at random, and must answer alike.

use std::sync::Arc;

use json_patch::Patch;
use json_patch::jsonptr::PointerBuf;
use k8s_openapi::api::apps;
use kube::Api;
use kube::api::{PatchParams, PostParams};
use serde_json::{Value, json};
use trackdown_api::ticket::{Ticket, TicketStatus};
use trackdown_sim::api_server as stand_in;

use crate::harness::Scene;
use crate::harness::cluster::Cluster;
use crate::harness::scene::ready_ticket;

/// Patches made, one after the other on what the one before left.
const PATCHES: usize = 600;
const STATUSES: usize = 60;

const MARKER: &str = "/metadata/annotations/trackdown.dev~1deployment";
const LABEL: &str = "/metadata/labels/trackdown.dev~1rolling";
const CONTAINER: &str = "/spec/template/spec/containers";

/// What a request is about, and what it is decided on: the present, or something it is not.
fn operation(random: &mut fastrand::Rng, now: &Value) -> Value {
    let right = random.u8(..4) > 0;
    let texts = ["a", "b", ""].map(Value::from);
    let any = random.choice(texts).unwrap_or_default();
    let test = |path: &str, wrong: Value| {
        let found = now.pointer(path).cloned().unwrap_or_default();
        json!({"op": "test", "path": path, "value": if right { found } else { wrong }})
    };
    match random.u8(..20) {
        0 => test("/metadata/uid", any),
        1 | 2 => test("/metadata/generation", json!(now["metadata"]["generation"].as_i64().unwrap_or_default() - 1)),
        3 => json!({"op": "test", "path": "/metadata/generation", "value": now["metadata"]["generation"].to_string()}),
        4 | 5 => test(MARKER, any),
        6 => test("/metadata/annotations", Value::Null),
        7 => test("/metadata/labels", Value::Null),
        8 => test(LABEL, any),
        9 => test(&format!("{CONTAINER}/0/image"), any),
        10 => test(&format!("{CONTAINER}/1/name"), any),
        11 | 12 => json!({"op": "replace", "path": format!("{CONTAINER}/0/image"), "value": random.choice(["x:1", "x:2"])}),
        13 => json!({"op": "replace", "path": format!("{CONTAINER}/1/image"), "value": "x:1"}),
        14 | 15 => json!({"op": "add", "path": MARKER, "value": any}),
        16 => json!({"op": "add", "path": LABEL, "value": any}),
        17 => json!({"op": "add", "path": random.choice(["/metadata/labels", "/metadata/annotations"]), "value": {}}),
        18 => json!({"op": "remove", "path": random.choice([LABEL, MARKER])}),
        _ => json!({"op": "replace", "path": random.choice([LABEL, MARKER]), "value": any}),
    }
}

/// What the model looks at.
fn seen(workload: &Value) -> Value {
    let meta = &workload["metadata"];
    let images: Vec<_> = workload["spec"]["template"]["spec"]["containers"].as_array().into_iter().flatten().collect();
    let images: Vec<_> = images.into_iter().map(|c| c["image"].clone()).collect();
    json!({"labels": meta["labels"], "annotations": meta["annotations"], "generation": meta["generation"], "images": images})
}

pub async fn the_models_api_server_is_the_real_one(_: &Arc<Cluster>) {
    // Of its own: the workload's controller writes annotations, too.
    let own = Arc::new(Cluster::with_crds(&[]));
    own.control("stop", "kube-controller-manager");
    let scene = Scene::bare(&own, "conformance").await;
    patches(&scene).await;
    statuses(&scene).await;
}

async fn patches(scene: &Scene) {
    let random = &mut fastrand::Rng::with_seed(7);
    let workloads = scene.workloads();
    let manifest: apps::v1::Deployment = serde_json::from_value(json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "x:1"}]}},
        },
    }))
    .unwrap();
    let created = workloads.create(&PostParams::default(), &manifest).await.unwrap();
    let mut now = serde_json::to_value(created).unwrap();
    let mut taken = 0;
    for number in 0..PATCHES {
        let operations: Vec<_> = (0..=random.usize(..3)).map(|_| operation(random, &now)).collect();
        let patch: Patch = serde_json::from_value(json!(operations)).unwrap();
        let expected = stand_in::patch(&now, &patch, false);
        let real = workloads.patch("web", &PatchParams::default(), &kube::api::Patch::<()>::Json(patch.clone())).await;
        match (&expected, real) {
            (Ok(expected), Ok(real)) => {
                let real = serde_json::to_value(real).unwrap();
                assert_eq!(seen(expected), seen(&real), "patch {number}: {} of {}", json!(patch), seen(&now));
                now = real;
                taken += 1;
            }
            (Err(_), Err(kube::Error::Api(status))) => assert!((400..500).contains(&status.code), "{status:?}"),
            (expected, real) => {
                panic!("patch {number}: {} of {}: expected {expected:?}, got {:?}", json!(patch), seen(&now), real.map(|_| ()))
            }
        }
    }
    assert!((PATCHES / 10..PATCHES * 9 / 10).contains(&taken), "{taken} of {PATCHES} were taken: neither all nor none may be");
    // The pointer the marker is tested by means the same to both.
    assert_eq!(PointerBuf::from_tokens(["metadata", "annotations", "trackdown.dev/deployment"]).as_str(), MARKER);
}

/// Statuses decided on this version, an older one, or none; some change nothing.
async fn statuses(scene: &Scene) {
    let random = &mut fastrand::Rng::with_seed(7);
    let tickets: Api<Ticket> = Api::namespaced(scene.client.clone(), &scene.namespace);
    let manifest: Ticket = serde_json::from_value(ready_ticket("iss-1", "web", "x:1")).unwrap();
    let mut now = tickets.create(&PostParams::default(), &manifest).await.unwrap();
    let mut older = now.metadata.resource_version.clone();
    let mut outcomes = [0; 3];
    for number in 0..STATUSES {
        let sent = random.choice([now.metadata.resource_version.clone(), older.clone(), None]).unwrap_or_default();
        let reason = random.choice(["A", "B"]).map(Into::into);
        let mut written = now.clone();
        written.metadata.resource_version.clone_from(&sent);
        written.metadata.managed_fields = None;
        written.status = Some(TicketStatus { reason, ..now.status.clone().unwrap_or_default() });
        let stored = now.metadata.resource_version.clone();
        let takes = stand_in::takes_status(stored.as_deref(), sent.as_deref());
        let changed = written.status != now.status;
        match tickets.replace_status("iss-1", &PostParams::default(), &written).await {
            Ok(real) => {
                assert!(takes, "status {number}: taken at {sent:?}, stored was {stored:?}");
                assert_eq!(real.metadata.generation, now.metadata.generation, "a status is no new generation");
                assert_eq!(
                    real.metadata.resource_version != stored,
                    changed,
                    "status {number}: a new version exactly if it changes something"
                );
                let counted = stand_in::version_after(stored.as_deref(), changed);
                assert_eq!(Some(counted) != stored, changed, "so counts the model");
                if changed {
                    older.clone_from(&stored);
                }
                outcomes[usize::from(changed)] += 1;
                now = real;
            }
            Err(kube::Error::Api(status)) => {
                assert!(!takes, "status {number}: refused at {sent:?}, stored was {stored:?}: {}", status.message);
                assert!(matches!(status.code, 409 | 422), "{status:?}");
                outcomes[2] += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(outcomes.iter().all(|n| *n > STATUSES / 12), "{outcomes:?}: unchanged, changed, refused");
    // What exists is not made again.
    let again = tickets.create(&PostParams::default(), &manifest).await;
    assert!(matches!(again, Err(kube::Error::Api(status)) if status.code == 409 && status.reason == "AlreadyExists"));
}
