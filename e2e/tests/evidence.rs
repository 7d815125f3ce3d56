//! What can be looked up later.

use std::sync::Arc;

use serde_json::Value;
use trackdown_api::condition::find_condition;

use crate::harness::Scene;
use crate::harness::cluster::Cluster;
use crate::harness::scene::ready_ticket;

/// The same tag, other content: the second rollout says so, on the record and on the workload.
pub async fn moved_tag(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "moved-tag").await;
    scene.workload("web", "ghcr.io/acme/web:1", 1).await;
    for (ticket, image) in
        [("first", "ghcr.io/acme/web:moving"), ("between", "ghcr.io/acme/web:2"), ("second", "ghcr.io/acme/web:moving")]
    {
        scene.apply(&ready_ticket(ticket, "web", image));
        scene.wait_done(ticket).await;
    }
    let status = |ticket: &'static str| {
        let scene = &scene;
        async move { scene.records(ticket).await[0].status.clone().unwrap() }
    };
    let (first, second) = (status("first").await, status("second").await);
    assert!(
        find_condition(&first.conditions, "TagMoved").is_none()
            && find_condition(&status("between").await.conditions, "TagMoved").is_none()
    );
    let moved = find_condition(&second.conditions, "TagMoved").unwrap();
    let digest = |s: &trackdown_api::record::RecordStatus| s.digests[0].image_id.rsplit_once('@').unwrap().1.to_owned();
    assert!(moved.message.contains(&digest(&first)) && moved.message.contains(&digest(&second)), "{}", moved.message);
    let told = || async {
        let events: Value = serde_json::from_str(&scene.kubectl(&["get", "events.events.k8s.io", "--output=json"])).unwrap();
        events["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|e| e["reason"] == "TagMoved" && e["regarding"]["name"] == "web")
            .then_some(())
    };
    scene.until("the Event", told).await;
}

/// Old records go, the last good one stays, and `kubectl get tdep` tells the story.
pub async fn records_are_kept_within_bounds(cluster: &Arc<Cluster>) {
    let scene = Scene::without_operator(cluster, "bounded-records", &["--set", "revisionHistoryLimit=2"]).await.with_operator();
    scene.workload("web", "ghcr.io/acme/web:1", 1).await;
    scene.workload("api", "ghcr.io/acme/web:1", 1).await;
    scene.apply(&ready_ticket("other", "api", "ghcr.io/acme/web:2"));
    scene.wait_done("other").await;
    for n in 2..5 {
        let mut ticket = ready_ticket(&format!("iss-{n}"), "web", &format!("ghcr.io/acme/web:{n}"));
        ticket["spec"]["stateMetadata"] = serde_json::json!({"transitionedBy": "jane", "transitionReason": "tests pass"});
        scene.apply(&ticket);
        scene.wait_done(&format!("iss-{n}")).await;
    }
    let of_web = || scene.kubectl(&["get", "tdep", "--field-selector=spec.workload.name=web", "--output=wide", "--no-headers"]);
    let two = || async { (of_web().lines().count() == 2).then_some(()) };
    scene.until("two are left", two).await;
    let listed = of_web();
    assert!(listed.contains("iss-3") && listed.contains("iss-4") && listed.contains("ghcr.io/acme/web:3"), "{listed}");
    assert!(listed.contains("jane") && listed.contains("tests pass"), "{listed}");

    let mut bad = ready_ticket("iss-5", "web", "ghcr.io/acme/web:bad");
    bad["spec"]["rollout"] = serde_json::json!({"maxAttempts": 3, "backoffSeconds": 1});
    scene.apply(&bad);
    scene.wait_reason("iss-5", "RetriesExhausted").await;
    let three = || async { (of_web().lines().count() == 3).then_some(()) };
    scene.until("two failures and the last good one", three).await;
    assert!(of_web().contains("iss-4") && of_web().matches("iss-5-").count() == 2, "{}", of_web());
    assert_eq!(scene.records("other").await.len(), 1, "counted for each workload");
}
