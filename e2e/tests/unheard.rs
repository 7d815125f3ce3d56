//! Watches that go silent, and events that never come.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::Scene;
use crate::harness::cluster::Cluster;
use crate::harness::scene::{ready_ticket, result};

const OLD: &str = "ghcr.io/acme/web:1";
const NEW: &str = "ghcr.io/acme/web:2";

/// A connection that gives nothing any more, and does not end, is noticed within a minute.
pub async fn silent_watches_are_noticed(cluster: &Arc<Cluster>) {
    let mut scene = Scene::without_operator(cluster, "silent-watches", &[]).await;
    let proxy = scene.start_operator_behind_proxy();
    scene.workload("web", OLD, 1).await;
    proxy.silence();
    let started = Instant::now();
    scene.apply(&ready_ticket("iss-1", "web", NEW));
    let done = || async {
        let status = scene.ticket("iss-1").await.status.unwrap_or_default();
        (status.reason.as_deref() == Some("Deployed")).then_some(())
    };
    while done().await.is_none() {
        assert!(started.elapsed() < Duration::from_secs(70), "{}", scene.operator.as_ref().unwrap().log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Of what is in flight nothing stays unheard for longer than `resyncInFlightSeconds`.
pub async fn lost_events_of_a_rollout_are_made_good(cluster: &Arc<Cluster>) {
    let mut scene = Scene::without_operator(cluster, "lost-in-flight", &["--set", "resyncInFlightSeconds=5"]).await;
    let proxy = scene.start_operator_behind_proxy();
    scene.workload("web", OLD, 1).await;
    scene.workload("api", OLD, 1).await;

    // The pods run, and nobody hears of it.
    scene.apply(&ready_ticket("iss-1", "web", "ghcr.io/acme/web:slow"));
    scene.until("the image is set", || async { (scene.image("web").await != OLD).then_some(()) }).await;
    proxy.lose(r#""name":"web""#);
    scene.wait_rolled_out("deployment.apps", "web");
    tokio::time::sleep(Duration::from_secs(1)).await;
    proxy.lose_nothing();
    scene.wait_done("iss-1").await;

    // A person takes over, and nobody hears of it.
    scene.apply(&ready_ticket("iss-2", "api", "ghcr.io/acme/web:never"));
    scene.until("the image is set", || async { (scene.image("api").await != OLD).then_some(()) }).await;
    proxy.lose(r#""name":"iss-2""#);
    scene.kubectl(&["patch", "ticket", "iss-2", "--type=merge", "--patch", r#"{"spec":{"manualOverride":true}}"#]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    proxy.lose_nothing();
    let ended = || async { scene.records("iss-2").await.first().filter(|r| result(r) == "Aborted").map(|_| ()) };
    scene.until("the rollout is left alone", ended).await;
    assert_eq!(scene.image("api").await, "ghcr.io/acme/web:never");

    // A record is made, and nobody hears of it.
    scene.workload("db", OLD, 1).await;
    proxy.lose(r#""trackdown.dev/ticket":"iss-3""#);
    scene.apply(&ready_ticket("iss-3", "db", NEW));
    scene.wait_reason("iss-3", "RollingOut").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(scene.image("db").await, OLD);
    proxy.lose_nothing();
    scene.wait_done("iss-3").await;
}

/// Everything is listed again now and then: what waits for people, too.
pub async fn a_lost_request_is_made_good(cluster: &Arc<Cluster>) {
    let mut scene = Scene::without_operator(cluster, "lost-request", &["--set", "resyncSeconds=60"]).await;
    let proxy = scene.start_operator_behind_proxy();
    scene.workload("web", OLD, 1).await;
    let mut ticket = ready_ticket("iss-1", "web", NEW);
    ticket["spec"]["automationEligible"] = json!(false);
    scene.apply(&ticket);
    scene.wait_reason("iss-1", "NotEligible").await;
    proxy.lose(r#""name":"iss-1""#);
    ticket["spec"]["automationEligible"] = json!(true);
    scene.apply(&ticket);
    tokio::time::sleep(Duration::from_secs(1)).await;
    proxy.lose_nothing();
    let started = Instant::now();
    while scene.image("web").await != NEW {
        assert!(started.elapsed() < Duration::from_secs(90), "{}", scene.operator.as_ref().unwrap().log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    scene.wait_done("iss-1").await;
}
