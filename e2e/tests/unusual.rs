//! Workloads for which "complete" is easily misjudged.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::harness::Scene;
use crate::harness::cluster::Cluster;
use crate::harness::scene::{holds, ready_ticket, result};

const OLD: &str = "ghcr.io/acme/web:1";

pub async fn zero_replicas(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "zero-replicas").await;
    scene.workload("web", OLD, 0).await;
    scene.apply(&ready_ticket("iss-1", "web", "ghcr.io/acme/web:bad"));
    scene.wait_done("iss-1").await;
    assert_eq!(result(&scene.records("iss-1").await[0]), "NothingToRun");
}

pub async fn recreate(cluster: &Arc<Cluster>) {
    passes_through_zero(cluster, "recreate", json!({"type": "Recreate"})).await;
}

pub async fn max_unavailable_all(cluster: &Arc<Cluster>) {
    let strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "100%", "maxSurge": 0}});
    passes_through_zero(cluster, "max-unavailable-all", strategy).await;
}

/// Zero of zero pods on the way is no success; a bad image behind it is found, a good one is not failed.
async fn passes_through_zero(cluster: &Arc<Cluster>, name: &str, strategy: Value) {
    let scene = Scene::new(cluster, name).await;
    let pod = json!({"containers": [{"name": "web", "image": OLD}]});
    scene.workload_with("web", json!({"replicas": 3, "strategy": strategy}), pod).await;
    let mut bad = ready_ticket("iss-1", "web", "ghcr.io/acme/web:bad");
    bad["spec"]["rollout"]["maxAttempts"] = json!(1);
    scene.apply(&bad);
    scene.wait_ticket("iss-1", "stalled", |t| holds(t, "Stalled")).await;
    assert_eq!(result(&scene.records("iss-1").await[0]), "RolledBack");
    assert_eq!(scene.image("web").await, OLD);
    scene.apply(&ready_ticket("iss-2", "web", "ghcr.io/acme/web:slow"));
    scene.wait_done("iss-2").await;
    let records = scene.records("iss-2").await;
    let replicas = records[0].status.as_ref().unwrap().replicas.clone().unwrap();
    assert_eq!((replicas.desired, replicas.updated, replicas.available), (3, 3, 3));
}

pub async fn init_container_and_list(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "init-container").await;
    let pod = json!({
        "initContainers": [{"name": "migrate", "image": OLD}],
        "containers": [{"name": "proxy", "image": "ghcr.io/acme/proxy:1"}, {"name": "web", "image": OLD}],
    });
    scene.workload_with("web", json!({"replicas": 2}), pod).await;
    let mut ticket = ready_ticket("iss-1", "web", "ghcr.io/acme/web:2");
    ticket["spec"]["targets"][0]["containers"] = json!(["web", "migrate"]);
    scene.apply(&ticket);
    scene.wait_done("iss-1").await;
    let pod = scene.get_workload("web").await.spec.unwrap().template.spec.unwrap();
    let images: Vec<_> =
        pod.containers.iter().chain(pod.init_containers.iter().flatten()).map(|c| c.image.clone().unwrap()).collect();
    assert_eq!(images, ["ghcr.io/acme/proxy:1", "ghcr.io/acme/web:2", "ghcr.io/acme/web:2"]);
    // Nothing said, the container named like the workload gets the image.
    scene.apply(&ready_ticket("iss-2", "web", "ghcr.io/acme/web:3"));
    scene.wait_done("iss-2").await;
    assert_eq!(scene.records("iss-2").await[0].spec.images.len(), 1);
}

pub async fn already_current(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "already-current").await;
    scene.workload("web", OLD, 2).await;
    scene.apply(&ready_ticket("iss-1", "web", OLD));
    scene.wait_done("iss-1").await;
    assert_eq!(result(&scene.records("iss-1").await[0]), "AlreadyCurrent");
    assert_eq!(scene.get_workload("web").await.metadata.generation, Some(1));
    // Set, but not healthy: that is no success.
    scene.kubectl(&["set", "image", "deployment.apps/web", "web=ghcr.io/acme/web:unready"]);
    scene.apply(&ready_ticket("iss-2", "web", "ghcr.io/acme/web:unready"));
    let status = scene.wait_reason("iss-2", "NotHealthy").await.status.unwrap();
    assert!(status.message.unwrap().contains("is not healthy"));
    assert!(scene.records("iss-2").await.is_empty());
}
