//! Workloads that are no Deployments.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::Scene;
use crate::harness::cluster::Cluster;
use crate::harness::scene::{holds, ready_ticket, result};

const GOOD: &str = "ghcr.io/acme/db:1";
const NEW: &str = "ghcr.io/acme/db:2";
const BAD: &str = "ghcr.io/acme/db:bad-2";

fn ticket_for(name: &str, kind: &str, workload: &str, image: &str) -> Value {
    let mut ticket = ready_ticket(name, workload, image);
    ticket["spec"]["targets"][0]["workloadRef"] = json!({"kind": kind});
    ticket["spec"]["rollout"]["maxAttempts"] = json!(1);
    ticket
}

pub async fn stateful_set(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "stateful-set").await;
    for (name, policy) in [("ordered", "OrderedReady"), ("parallel", "Parallel")] {
        scene.workload_of("StatefulSet", name, GOOD, &json!({"replicas": 3, "podManagementPolicy": policy}));
        scene.apply(&ticket_for(name, "StatefulSet", name, NEW));
        scene.wait_done(name).await;
        rolled_out(&scene, "StatefulSet", name, 3).await;
    }
}

pub async fn daemon_set(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "daemon-set").await;
    scene.workload_of("DaemonSet", "agent", GOOD, &json!({}));
    let nodes = scene.object("DaemonSet", "agent")["status"]["desiredNumberScheduled"].as_i64().unwrap();
    assert!(nodes > 0);
    scene.apply(&ticket_for("agent", "DaemonSet", "agent", NEW));
    scene.wait_done("agent").await;
    rolled_out(&scene, "DaemonSet", "agent", nodes).await;
}

/// The record says what really runs, the workload is let go, and nothing more is written.
async fn rolled_out(scene: &Scene, kind: &str, name: &str, pods: i64) {
    let records = scene.records(name).await;
    assert_eq!(records.iter().map(result).collect::<Vec<_>>(), ["RolloutComplete"]);
    let status = records[0].status.as_ref().unwrap();
    let replicas = status.replicas.as_ref().unwrap();
    assert_eq!((i64::from(replicas.desired), i64::from(replicas.updated), i64::from(replicas.available)), (pods, pods, pods));
    assert_eq!(status.digests.len(), 1);
    let made = scene.requests_when_quiet(Duration::from_secs(1)).await;
    let workload = scene.object(kind, name);
    assert_eq!(workload["metadata"]["labels"]["trackdown.dev/rolling"], Value::Null);
    assert_eq!(workload["spec"]["template"]["spec"]["containers"][0]["image"], NEW);
    let writes = made.iter().filter(|r| r.is_write() && r.name == name && r.resource.ends_with("sets")).count();
    assert_eq!(writes, 2, "the image, and the label: {made:#?}");
}

/// The documented trap: an ordered `StatefulSet` waits for ever for the pod that cannot start, even after its template is good again.
pub async fn stateful_set_comes_back(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "stateful-set-comes-back").await;
    for (name, policy) in [("ordered", "OrderedReady"), ("parallel", "Parallel")] {
        scene.workload_of("StatefulSet", name, GOOD, &json!({"replicas": 3, "podManagementPolicy": policy}));
        comes_back(&scene, "StatefulSet", name).await;
    }
    let deleted =
        scene.requests().iter().filter(|r| r.resource == "pods" && r.verb == "delete").map(|r| r.name.clone()).collect::<Vec<_>>();
    assert_eq!(deleted, ["ordered-2"], "one pod, once; where its controller replaces it, none");
}

pub async fn daemon_set_comes_back(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "daemon-set-comes-back").await;
    scene.workload_of("DaemonSet", "agent", GOOD, &json!({}));
    comes_back(&scene, "DaemonSet", "agent").await;
    assert!(scene.requests().iter().all(|r| r.resource != "pods" || r.verb != "delete"));
}

async fn comes_back(scene: &Scene, kind: &str, name: &str) {
    let before = scene.template_of(kind, name);
    scene.apply(&ticket_for(name, kind, name, BAD));
    let stalled = scene.wait_ticket(name, "stalled", |t| holds(t, "Stalled")).await;
    assert!(stalled.status.unwrap().blocked_reason.unwrap().contains("ImagePullBackOff"));
    let records = scene.records(name).await;
    assert_eq!(records.iter().map(result).collect::<Vec<_>>(), ["RolledBack"]);
    assert_eq!(scene.template_of(kind, name), before, "byte-equal pod template");
    scene.wait_rolled_out(kind, name);
    let status = scene.object(kind, name)["status"].clone();
    let (ready, wanted) = if kind == "DaemonSet" {
        (status["numberReady"].clone(), status["desiredNumberScheduled"].clone())
    } else {
        (status["readyReplicas"].clone(), json!(3))
    };
    assert_eq!(ready, wanted, "{status}");
}

/// A held failure is fixed by the next image, though the broken pod would keep the controller waiting.
pub async fn broken_stateful_set_is_fixed_forward(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "broken-stateful-set").await;
    scene.workload_of("StatefulSet", "db", GOOD, &json!({"replicas": 2}));
    let mut ticket = ticket_for("iss-1", "StatefulSet", "db", BAD);
    ticket["spec"]["rollout"]["onFailure"] = json!("Hold");
    scene.apply(&ticket);
    scene.wait_ticket("iss-1", "stalled", |t| holds(t, "Stalled")).await;
    ticket["spec"]["targets"][0]["image"] = json!(NEW);
    scene.apply(&ticket);
    scene.wait_done("iss-1").await;
    let records = scene.records("iss-1").await;
    assert_eq!(records[1].status.as_ref().unwrap().previous_images[0].image, GOOD);
}

pub async fn unsupported_strategies(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "unsupported-strategies").await;
    let on_delete = json!({"updateStrategy": {"type": "OnDelete"}});
    scene.kubectl_with(&["create", "-f", "-"], &manifest("StatefulSet", "db", &on_delete));
    scene.kubectl_with(&["create", "-f", "-"], &manifest("DaemonSet", "agent", &on_delete));
    let partitioned = json!({"replicas": 3, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}});
    scene.kubectl_with(&["create", "-f", "-"], &manifest("StatefulSet", "part", &partitioned));
    for (name, kind, says) in
        [("db", "StatefulSet", "OnDelete"), ("agent", "DaemonSet", "OnDelete"), ("part", "StatefulSet", "partition is 2")]
    {
        let before = scene.object(kind, name)["metadata"]["generation"].clone();
        scene.apply(&ticket_for(name, kind, name, NEW));
        let status = scene.wait_reason(name, "UnsupportedWorkload").await.status.unwrap();
        assert!(status.message.as_ref().unwrap().contains(says), "{:?}", status.message);
        assert_eq!(scene.object(kind, name)["metadata"]["generation"], before);
        assert!(scene.records(name).await.is_empty());
    }
    // What is in the way is looked at again by itself.
    scene.kubectl(&[
        "patch",
        "statefulset",
        "part",
        "--type=merge",
        "--patch",
        r#"{"spec":{"updateStrategy":{"rollingUpdate":{"partition":0}}}}"#,
    ]);
    scene.kubectl(&["rollout", "status", "statefulset/part", "--timeout=60s"]);
    scene.wait_done("part").await;
}

fn manifest(kind: &str, name: &str, spec: &Value) -> Value {
    let mut manifest = json!({
        "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": name, "image": GOOD}]}},
        },
    });
    manifest["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    manifest
}
