//! Several tickets at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::harness::Scene;
use crate::harness::cluster::Cluster;
use crate::harness::scene::{ready_ticket, result};

pub async fn two_tickets_for_one_workload(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "two-tickets").await;
    scene.workload("web", "ghcr.io/acme/web:1", 2).await;
    scene.apply(&ready_ticket("older", "web", "ghcr.io/acme/web:slow"));
    scene.wait_reason("older", "RollingOut").await;
    scene.apply(&ready_ticket("younger", "web", "ghcr.io/acme/web:3"));
    let waiting = scene.wait_reason("younger", "WorkloadHeld").await.status.unwrap().waiting.unwrap();
    assert_eq!(waiting.on.as_deref(), Some("ticket/older"));
    scene.wait_done("older").await;
    scene.wait_done("younger").await;
    assert_eq!(scene.image("web").await, "ghcr.io/acme/web:3");
    assert_eq!(scene.replica_sets("web").await, 3);
    let younger = &scene.records("younger").await[0];
    assert_eq!(younger.status.as_ref().unwrap().previous_images[0].image, "ghcr.io/acme/web:slow");
}

/// Tickets applied in one go, four for each workload: every one is deployed, one after the other.
pub async fn many_tickets(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "many-tickets").await;
    for workload in ["a", "b", "c"] {
        scene.workload(workload, "ghcr.io/acme/app:0", 1).await;
    }
    let tickets: Vec<_> = (0..12)
        .map(|i| ready_ticket(&format!("iss-{i}"), ["a", "b", "c"][i % 3], &format!("ghcr.io/acme/app:{}", i + 1)))
        .collect();
    scene.apply(&serde_json::json!({"apiVersion": "v1", "kind": "List", "items": tickets}));
    let started = Instant::now();
    for i in 0..12 {
        scene.wait_done(&format!("iss-{i}")).await;
        let records = scene.records(&format!("iss-{i}")).await;
        let patched = records.iter().filter(|r| r.status.as_ref().is_some_and(|s| s.patched_time.is_some())).count();
        assert_eq!(patched, 1, "iss-{i}");
    }
    assert!(started.elapsed() < Duration::from_secs(40));
    for workload in ["a", "b", "c"] {
        assert_eq!(scene.replica_sets(workload).await, 5);
    }
}

/// A write that is refused for a while keeps the workload: the younger ticket makes no attempt that could only be overtaken.
pub async fn refused_write_keeps_its_place(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "keeps-its-place").await;
    scene.workload("web", "ghcr.io/acme/web:1", 1).await;
    scene.freeze().await;
    scene.apply(&ready_ticket("older", "web", "ghcr.io/acme/web:2"));
    scene.wait_reason("older", "WriteRefused").await;
    scene.apply(&ready_ticket("younger", "web", "ghcr.io/acme/web:3"));
    let waiting = scene.wait_reason("younger", "WorkloadHeld").await.status.unwrap().waiting.unwrap();
    assert_eq!(waiting.on.as_deref(), Some("ticket/older"));
    scene.thaw();
    scene.wait_done("older").await;
    scene.wait_done("younger").await;
    let writes: Vec<_> = scene
        .requests_when_quiet(Duration::from_secs(1))
        .await
        .into_iter()
        .filter(|r| r.is_write() && r.resource != "events")
        .collect();
    // Seven each, one for the wait of the younger; the older says that it is refused, that it is not any more, and what replaced it.
    let accepted: Vec<_> = writes.iter().filter(|r| r.code < 300).collect();
    assert!(accepted.len() <= 15 + 4, "{} {accepted:#?}", accepted.len());
    for ticket in ["older", "younger"] {
        let ends: Vec<_> = scene.records(ticket).await.iter().map(|r| result(r).to_owned()).collect();
        assert_eq!(ends, ["RolloutComplete"], "{ticket}");
    }
}
