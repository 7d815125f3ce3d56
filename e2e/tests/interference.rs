//! Others change the workload, too.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::harness::Scene;
use crate::harness::cluster::Cluster;
use crate::harness::scene::{holds, ready_ticket, result};

const OLD: &str = "ghcr.io/acme/web:1";
const NEW: &str = "ghcr.io/acme/web:2";

async fn in_the_middle(scene: &Scene, image: &str) {
    scene.workload("web", OLD, 2).await;
    scene.apply(&ready_ticket("iss-1", "web", image));
    scene.until("the image is set", || async { (scene.image("web").await == image).then_some(()) }).await;
    scene.wait_reason("iss-1", "RollingOut").await;
}

/// No second write, and no rollback of what is not ours.
pub async fn set_image_is_contested(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "set-image-is-contested").await;
    in_the_middle(&scene, "ghcr.io/acme/web:never").await;
    scene.kubectl(&["set", "image", "deployment.apps/web", "web=ghcr.io/acme/web:theirs"]);
    let status = scene.wait_ticket("iss-1", "stalled", |t| holds(t, "Stalled")).await.status.unwrap();
    assert_eq!(status.reason.as_deref(), Some("Contested"));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(scene.image("web").await, "ghcr.io/acme/web:theirs");
    let labels = scene.get_workload("web").await.metadata.labels.unwrap_or_default();
    assert!(!labels.contains_key("trackdown.dev/rolling"), "the workload is let go");
    assert_eq!(scene.records("iss-1").await.len(), 1);
}

pub async fn workload_deleted(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "workload-deleted").await;
    in_the_middle(&scene, "ghcr.io/acme/web:never").await;
    scene.kubectl(&["delete", "deployment.apps", "web"]);
    let status = scene.wait_ticket("iss-1", "stalled", |t| holds(t, "Stalled")).await.status.unwrap();
    assert_eq!(status.reason.as_deref(), Some("Aborted"));
    assert!(status.message.unwrap().contains("deleted during the rollout"));
}

/// The record of a rollout in flight is deleted: it is made again, finds its own write, and still knows the way back.
pub async fn record_deleted(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "record-deleted").await;
    scene.workload("web", OLD, 2).await;
    let mut ticket = ready_ticket("iss-1", "web", "ghcr.io/acme/web:unready");
    ticket["spec"]["rollout"] = json!({"maxAttempts": 1, "timeoutSeconds": 6});
    scene.apply(&ticket);
    scene.until("the image is set", || async { (scene.image("web").await != OLD).then_some(()) }).await;
    scene.kubectl(&["delete", "tdep", "--all"]);
    scene.wait_ticket("iss-1", "stalled", |t| holds(t, "Stalled")).await;
    assert_eq!(result(&scene.records("iss-1").await[0]), "RolledBack");
    assert_eq!((scene.image("web").await.as_str(), scene.replica_sets("web").await), (OLD, 2));
}

/// A scaler in the middle: neither contested nor a false success.
pub async fn scaler(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "scaler").await;
    in_the_middle(&scene, "ghcr.io/acme/web:slow").await;
    scene.kubectl(&["scale", "deployment.apps/web", "--replicas=5"]);
    scene.wait_done("iss-1").await;
    let records = scene.records("iss-1").await;
    let replicas = records[0].status.as_ref().unwrap().replicas.clone().unwrap();
    assert_eq!((replicas.desired, replicas.updated, replicas.available), (5, 5, 5));

    scene.apply(&ready_ticket("iss-2", "web", "ghcr.io/acme/web:bad"));
    scene.until("the bad image is set", || async { (scene.image("web").await == "ghcr.io/acme/web:bad").then_some(()) }).await;
    scene.kubectl(&["scale", "deployment.apps/web", "--replicas=4"]);
    scene.wait_ticket("iss-2", "stalled", |t| holds(t, "Stalled")).await;
    let workload = scene.get_workload("web").await.spec.unwrap();
    assert_eq!(workload.replicas, Some(4), "the scaler's number stays");
    assert_eq!(scene.image("web").await, "ghcr.io/acme/web:slow");
}

pub async fn label_removed(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "label-removed").await;
    in_the_middle(&scene, "ghcr.io/acme/web:slow").await;
    scene.kubectl(&["label", "deployment.apps", "web", "trackdown.dev/rolling-"]);
    scene.wait_done("iss-1").await;
}

/// `kubectl rollout undo` takes image and marker away together: theirs stands.
pub async fn marker_removed(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "marker-removed").await;
    in_the_middle(&scene, "ghcr.io/acme/web:never").await;
    scene.kubectl(&["rollout", "undo", "deployment/web"]);
    let status = scene.wait_ticket("iss-1", "stalled", |t| holds(t, "Stalled")).await.status.unwrap();
    assert_eq!(status.reason.as_deref(), Some("Contested"));
    assert_eq!(scene.image("web").await, OLD);
    scene
        .until("the label is gone", || async {
            let labels = scene.get_workload("web").await.metadata.labels.unwrap_or_default();
            (!labels.contains_key("trackdown.dev/rolling")).then_some(())
        })
        .await;
}

/// Admission pins every image to a digest: what was admitted is ours, in both directions.
pub async fn admission_pins_digests(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "admission-pins").await;
    let served = scene.kubectl(&["api-resources", "--api-group=admissionregistration.k8s.io", "--output=name"]);
    if !served.contains("mutatingadmissionpolicies") {
        println!("not tested: this API server has no MutatingAdmissionPolicy");
        return;
    }
    let digest = "@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    scene.apply(&json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicy", "metadata": {"name": "pin-digests"},
        "spec": {
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": scene.namespace}},
                "resourceRules": [{"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["deployments"]}],
            },
            "matchConditions": [{"name": "unpinned", "expression": "!object.spec.template.spec.containers[0].image.contains('@')"}],
            "failurePolicy": "Fail", "reinvocationPolicy": "Never",
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": format!(
                "[JSONPatch{{op: 'replace', path: '/spec/template/spec/containers/0/image', value: object.spec.template.spec.containers[0].image + '{digest}'}}]"
            )}}],
        },
    }));
    scene.apply(&json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicyBinding", "metadata": {"name": "pin-digests"},
        "spec": {"policyName": "pin-digests"},
    }));
    tokio::time::sleep(Duration::from_secs(2)).await;
    scene.workload("web", OLD, 2).await;
    assert_eq!(scene.image("web").await, format!("{OLD}{digest}"));
    scene.apply(&ready_ticket("iss-1", "web", NEW));
    scene.wait_done("iss-1").await;
    assert_eq!(scene.image("web").await, format!("{NEW}{digest}"));
    let mut bad = ready_ticket("iss-2", "web", "ghcr.io/acme/web:bad");
    bad["spec"]["rollout"]["maxAttempts"] = json!(1);
    scene.apply(&bad);
    scene.wait_ticket("iss-2", "stalled", |t| holds(t, "Stalled")).await;
    assert_eq!(result(&scene.records("iss-2").await[0]), "RolledBack");
    assert_eq!(scene.image("web").await, format!("{NEW}{digest}"));
}
