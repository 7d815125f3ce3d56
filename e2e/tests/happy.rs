//! The main job.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::harness::Scene;
use crate::harness::cluster::Cluster;
use crate::harness::scene::{holds, ready_ticket, result};

pub async fn ticket_becomes_a_rollout(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "ticket-becomes-a-rollout").await;
    scene.workload("web", "ghcr.io/acme/web:1", 3).await;
    scene.apply(&ready_ticket("iss-42", "web", "ghcr.io/acme/web:2"));

    let status = scene.wait_done("iss-42").await.status.unwrap();
    assert_eq!(status.deployed_by.as_deref(), Some("trackdown"));
    assert!(status.deployment_time.is_some());
    assert_eq!(status.deployed_namespace.as_deref(), Some(scene.namespace.as_str()));
    assert_eq!(scene.image("web").await, "ghcr.io/acme/web:2");
    assert_eq!(scene.replica_sets("web").await, 2, "one rollout, one ReplicaSet more");

    let records = scene.records("iss-42").await;
    let [record] = records.as_slice() else { panic!("{} records", records.len()) };
    let ended = record.status.as_ref().unwrap();
    assert_eq!(result(record), "RolloutComplete");
    assert_eq!(ended.previous_images[0].image, "ghcr.io/acme/web:1");
    assert_eq!(record.spec.ticket.id, "ISS-42");
    let replicas = ended.replicas.as_ref().unwrap();
    assert_eq!((replicas.desired, replicas.updated, replicas.available), (3, 3, 3));
    assert!(ended.digests[0].image_id.contains("@sha256:"), "{:?}", ended.digests);
    let times = [&ended.patched_time, &ended.healthy_time, &ended.verified_time, &ended.completion_time];
    let times: Vec<_> = times.into_iter().map(|t| t.as_ref().unwrap().0).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert!(record.metadata.owner_references.is_none(), "evidence outlives its ticket");

    scene
        .until("the label is gone", || async {
            let workload = scene.get_workload("web").await;
            (!workload.metadata.labels.unwrap_or_default().contains_key("trackdown.dev/rolling")).then_some(())
        })
        .await;
}

/// At most 7 writes, 3 Events and 2 reads for a ticket that goes well, counted by the API server.
pub async fn budget_of_requests(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "budget-of-requests").await;
    scene.workload("web", "ghcr.io/acme/web:1", 3).await;
    let before = scene.requests_when_quiet(Duration::from_secs(1)).await.len();
    scene.apply(&ready_ticket("iss-1", "web", "ghcr.io/acme/web:2"));
    scene.wait_done("iss-1").await;

    let made = scene.requests_when_quiet(Duration::from_secs(2)).await;
    let work = &made[before..];
    let events = work.iter().filter(|r| r.resource == "events").count();
    let writes = work.iter().filter(|r| r.is_write() && r.resource != "events").count();
    let reads = work.iter().filter(|r| !r.is_write()).count();
    println!("a ticket that goes well: {writes} writes, {events} events, {reads} reads");
    assert!(writes <= 7 && events <= 3 && reads <= 2, "{work:#?}");
    assert!(work.iter().all(|r| r.code < 400), "{work:#?}");
}

/// Nothing but the lease and the watches in a minute in which nothing happens.
pub async fn idle_asks_for_nothing(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "idle-asks-for-nothing").await;
    scene.workload("web", "ghcr.io/acme/web:1", 2).await;
    scene.apply(&ready_ticket("deployed", "web", "ghcr.io/acme/web:2"));
    scene.wait_done("deployed").await;
    let mut parked = ready_ticket("parked", "web", "ghcr.io/acme/web:3");
    parked["spec"]["automationEligible"] = json!(false);
    scene.apply(&parked);
    scene.wait_reason("parked", "NotEligible").await;

    let before = scene.requests_when_quiet(Duration::from_secs(2)).await.len();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let made = scene.requests();
    assert!(made[before..].is_empty(), "{:#?}", &made[before..]);
}

pub async fn several_targets(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "several-targets").await;
    for name in ["web", "api", "worker"] {
        scene.workload(name, "ghcr.io/acme/app:1", 2).await;
    }
    let mut ticket = ready_ticket("iss-1", "web", "ghcr.io/acme/app:2");
    ticket["spec"]["targets"] = json!([
        {"name": "web", "image": "ghcr.io/acme/app:2"},
        {"name": "api", "image": "ghcr.io/acme/app:3"},
        {"name": "jobs", "image": "ghcr.io/acme/app:4", "workloadRef": {"name": "worker"}},
    ]);
    scene.apply(&ticket);
    let status = scene.wait_done("iss-1").await.status.unwrap();
    assert_eq!(status.targets.len(), 3);
    for (name, image) in [("web", "ghcr.io/acme/app:2"), ("api", "ghcr.io/acme/app:3"), ("worker", "ghcr.io/acme/app:4")] {
        assert_eq!(scene.image(name).await, image);
        assert_eq!(scene.replica_sets(name).await, 2);
    }

    // One target edited on a ticket that is done: a new request for this one, the others are left alone.
    ticket["spec"]["targets"][1]["image"] = json!("ghcr.io/acme/app:5");
    scene.apply(&ticket);
    scene
        .wait_ticket("iss-1", "done again", |t| {
            holds(t, "Deployed")
                && t.status.as_ref().is_some_and(|s| s.targets.iter().any(|e| e.attempt == 2 && e.result.is_some()))
        })
        .await;
    assert_eq!(scene.image("api").await, "ghcr.io/acme/app:5");
    assert_eq!((scene.replica_sets("web").await, scene.replica_sets("api").await), (2, 3));
    assert_eq!(scene.records("iss-1").await.len(), 4);
}

/// As many targets as a ticket may have.
pub async fn sixteen_targets(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "sixteen-targets").await;
    let names: Vec<_> = (0..16).map(|i| format!("app-{i}")).collect();
    futures::future::join_all(names.iter().map(|n| scene.workload(n, "ghcr.io/acme/app:1", 1))).await;
    let mut ticket = ready_ticket("iss-1", "app-0", "ghcr.io/acme/app:2");
    ticket["spec"]["targets"] = names.iter().map(|n| json!({"name": n, "image": "ghcr.io/acme/app:2"})).collect();
    scene.apply(&ticket);
    scene.wait_done("iss-1").await;
    for name in &names {
        assert_eq!((scene.image(name).await.as_str(), scene.replica_sets(name).await), ("ghcr.io/acme/app:2", 2));
    }
}

/// A CRD kind named Deployment shadows nothing, and kubectl's own waiting works.
pub async fn kubectl_behaves_as_expected(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "kubectl-behaves").await;
    scene.workload("web", "ghcr.io/acme/web:1", 1).await;
    scene.apply(&ready_ticket("iss-1", "web", "ghcr.io/acme/web:2"));
    scene.kubectl(&["wait", "--for=condition=Deployed", "ticket/iss-1", "--timeout=60s"]);
    scene.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    let listed = scene.kubectl(&["get", "deployments"]);
    assert!(listed.contains("READY") && listed.contains("web"), "{listed}");
    let records = scene.kubectl(&["get", "tdep"]);
    assert!(records.contains("RolloutComplete") && records.contains("ghcr.io/acme/web:2"), "{records}");
    let by = |kind: &str| scene.kubectl(&["get", kind, "--output=name"]);
    assert_eq!(by("tdep"), by("deployments.trackdown.dev"));
    let done = scene.kubectl(&["get", "tickets", "--field-selector", "status.state=done", "--output=name"]);
    assert_eq!(done.trim(), "ticket.trackdown.dev/iss-1");
    let all = scene.kubectl(&["get", "trackdown", "--output=name"]);
    assert_eq!(all.lines().count(), 2, "{all}");
    let explained = scene.kubectl(&["explain", "ticket.spec.rollout.timeoutSeconds"]);
    assert!(explained.contains("progressDeadlineSeconds") && explained.contains("Default: 300."), "{explained}");
    let explained = scene.kubectl(&["explain", "ticket.spec.state"]).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(explained.contains("done -> planning, active, ready_for_qa"), "{explained}");
    let described = scene.kubectl(&["describe", "ticket", "iss-1"]);
    assert!(described.contains("RolloutStarted") && described.contains("Deployed"), "{described}");
    let workload = scene.kubectl(&["describe", "deployment.apps", "web"]);
    assert!(workload.contains("ImageSet") && workload.contains("ticket ISS-1 set web=ghcr.io/acme/web:2"), "{workload}");
}

/// Caches keep a part of an object; what is not in them is there all the same, after every write of a status.
pub async fn status_alone_is_written(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "status-alone-is-written").await;
    scene.workload("web", "ghcr.io/acme/web:1", 1).await;
    let mut wanted = ready_ticket("iss-1", "web", "ghcr.io/acme/web:2");
    wanted["metadata"]["labels"] = json!({"team": "shop"});
    wanted["metadata"]["annotations"] = json!({"example.org/why": "because"});
    wanted["spec"]["description"] = json!("the whole story");
    wanted["spec"]["assignee"] = json!("alice");
    wanted["spec"]["links"] = json!([{"system": "jira", "key": "SHOP-17"}]);
    wanted["spec"]["stateMetadata"] = json!({"reviewer": "bob", "extra": {"a": "b"}});
    scene.apply(&wanted);
    let before = serde_json::to_value(scene.ticket("iss-1").await).unwrap();
    scene.wait_done("iss-1").await;
    let after = serde_json::to_value(scene.ticket("iss-1").await).unwrap();
    assert_eq!(after["spec"], before["spec"]);
    assert_eq!(after["metadata"]["labels"], json!({"team": "shop"}));
    assert_eq!(after["metadata"]["annotations"], before["metadata"]["annotations"]);
    let of_kubectl = |ticket: &serde_json::Value| {
        let entries = ticket["metadata"]["managedFields"].as_array().unwrap();
        entries.iter().find(|e| e["manager"] == "kubectl-client-side-apply").cloned().unwrap()
    };
    assert_eq!(of_kubectl(&after), of_kubectl(&before), "who owns what");
    let record = scene.records("iss-1").await.remove(0);
    let labels = record.metadata.labels.unwrap();
    assert_eq!(labels["trackdown.dev/ticket"], "iss-1");
    assert!(record.metadata.managed_fields.unwrap().iter().any(|e| e.subresource.is_none()), "who made it");
}
