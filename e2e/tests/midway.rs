//! Minds changed in the middle of a rollout.

use std::sync::Arc;

use serde_json::{Value, json};
use trackdown_api::ticket::TicketState;

use crate::harness::Scene;
use crate::harness::cluster::Cluster;
use crate::harness::scene::{holds, ready_ticket, result, state};

const OLD: &str = "ghcr.io/acme/web:1";
/// Never becomes ready and never says why: stays in the middle.
const HANGS: &str = "ghcr.io/acme/web:never";

/// A ticket in the middle of its rollout.
async fn rolling(scene: &Scene) -> Value {
    scene.workload("web", OLD, 2).await;
    let ticket = ready_ticket("iss-1", "web", HANGS);
    scene.apply(&ticket);
    scene.wait_reason("iss-1", "RollingOut").await;
    scene.until("the image is set", || async { (scene.image("web").await == HANGS).then_some(()) }).await;
    ticket
}

/// Waits until the record of the first attempt has ended for this reason.
async fn ends(scene: &Scene, reason: &str) {
    scene
        .until(reason, || async {
            let records = scene.records("iss-1").await;
            let first = records.iter().find(|r| r.spec.target == "web")?;
            let ended = first.status.as_ref().is_some_and(|s| s.completion_time.is_some());
            ended.then(|| assert_eq!(result(first), reason, "{:?}", first.status))
        })
        .await;
}

pub async fn state_taken_back(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "state-taken-back").await;
    let mut ticket = rolling(&scene).await;
    let before = scene.image("web").await;
    assert_eq!(before, HANGS);
    ticket["spec"]["state"] = json!("active");
    scene.apply(&ticket);
    ends(&scene, "Aborted").await;
    assert_eq!(scene.image("web").await, OLD);
    assert_eq!(state(&scene.wait_reason("iss-1", "NotReady").await), Some(TicketState::Active));
    // Ready again is a new request.
    ticket["spec"]["state"] = json!("ready_for_deployment");
    ticket["spec"]["targets"][0]["image"] = json!("ghcr.io/acme/web:2");
    scene.apply(&ticket);
    scene.wait_done("iss-1").await;
}

pub async fn eligibility_withdrawn(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "eligibility-withdrawn").await;
    scene.workload("web", OLD, 2).await;
    let mut ticket = ready_ticket("iss-1", "web", "ghcr.io/acme/web:unready");
    ticket["spec"]["rollout"]["timeoutSeconds"] = json!(5);
    scene.apply(&ticket);
    scene.wait_reason("iss-1", "RollingOut").await;
    scene.until("the image is set", || async { (scene.image("web").await != OLD).then_some(()) }).await;
    ticket["spec"]["automationEligible"] = json!(false);
    scene.apply(&ticket);
    // What is in flight ends as it would have; it is not tried again.
    ends(&scene, "RolledBack").await;
    scene.wait_reason("iss-1", "NotEligible").await;
    assert_eq!(scene.records("iss-1").await.len(), 1);
}

pub async fn manual_override(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "manual-override").await;
    let mut ticket = rolling(&scene).await;
    ticket["spec"]["manualOverride"] = json!(true);
    scene.apply(&ticket);
    ends(&scene, "Aborted").await;
    scene.wait_reason("iss-1", "ManualOverride").await;
    assert_eq!(scene.image("web").await, HANGS, "everything is left as it is");
}

pub async fn failed_scan(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "failed-scan").await;
    let mut ticket = rolling(&scene).await;
    ticket["spec"]["stateMetadata"] = json!({"securityScanPassed": false});
    scene.apply(&ticket);
    ends(&scene, "Aborted").await;
    assert_eq!(scene.image("web").await, OLD);
}

/// The new attempt takes over at once, and its way back leads past the image in the middle.
pub async fn image_edited(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "image-edited").await;
    let mut ticket = rolling(&scene).await;
    ticket["spec"]["targets"][0]["image"] = json!("ghcr.io/acme/web:bad");
    ticket["spec"]["rollout"]["maxAttempts"] = json!(1);
    scene.apply(&ticket);
    scene.wait_ticket("iss-1", "stalled", |t| holds(t, "Stalled")).await;
    let records = scene.records("iss-1").await;
    assert_eq!(records.iter().map(result).collect::<Vec<_>>(), ["Superseded", "RolledBack"]);
    assert_eq!(records[1].status.as_ref().unwrap().previous_images[0].image, OLD);
    assert_eq!(scene.image("web").await, OLD);
    ticket["spec"]["targets"][0]["image"] = json!("ghcr.io/acme/web:2");
    scene.apply(&ticket);
    scene.wait_done("iss-1").await;
}

pub async fn target_removed(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "target-removed").await;
    let mut ticket = rolling(&scene).await;
    scene.workload("api", OLD, 1).await;
    ticket["spec"]["targets"] = json!([{"name": "api", "image": "ghcr.io/acme/api:2"}]);
    scene.apply(&ticket);
    ends(&scene, "Aborted").await;
    scene.wait_done("iss-1").await;
    assert_eq!((scene.image("web").await.as_str(), scene.image("api").await.as_str()), (OLD, "ghcr.io/acme/api:2"));
}

/// Deleting is inert: the attempt finishes from its record, and the ticket can be made again.
pub async fn ticket_deleted_and_created_again(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "ticket-deleted").await;
    scene.workload("web", OLD, 2).await;
    let ticket = ready_ticket("iss-1", "web", "ghcr.io/acme/web:slow");
    scene.apply(&ticket);
    scene.until("the image is set", || async { (scene.image("web").await != OLD).then_some(()) }).await;
    scene.kubectl(&["delete", "ticket", "iss-1", "--timeout=10s"]);
    ends(&scene, "RolloutComplete").await;
    scene.apply(&ready_ticket("iss-1", "web", "ghcr.io/acme/web:3"));
    scene.wait_done("iss-1").await;
    assert_eq!(scene.image("web").await, "ghcr.io/acme/web:3");
    let records = scene.records("iss-1").await;
    assert_eq!(records.len(), 2, "the evidence of the first ticket stays");
    assert_ne!(records[0].spec.ticket.uid, records[1].spec.ticket.uid);
}
