//! Tickets whose targets are rolled out one after the other.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use trackdown_api::record::Record;

use crate::harness::Scene;
use crate::harness::cluster::Cluster;
use crate::harness::scene::{holds, ready_ticket, result};

const OLD: &str = "ghcr.io/acme/app:1";
const NEW: &str = "ghcr.io/acme/app:2";
const BAD: &str = "ghcr.io/acme/app:bad";
const ALL: [&str; 3] = ["db", "api", "web"];

async fn three(scene: &Scene, images: [&str; 3]) -> Value {
    for name in ALL {
        scene.workload(name, OLD, 1).await;
    }
    let mut ticket = ready_ticket("iss-1", "db", NEW);
    ticket["spec"]["targets"] =
        ALL.iter().zip(images).map(|(name, image)| json!({"name": name, "image": image})).collect::<Vec<_>>().into();
    ticket["spec"]["rollout"] = json!({"order": "Sequential", "maxAttempts": 1});
    ticket
}

/// The records in the order they were carried out: target, action and result.
pub async fn story(scene: &Scene) -> Vec<String> {
    let mut records = scene.records("iss-1").await;
    records.sort_by_key(|r| r.status.as_ref().and_then(|s| s.completion_time.clone()));
    let line = |r: &Record| format!("{} {:?} {}", r.spec.target, r.spec.action, result(r));
    records.iter().map(line).collect()
}

pub async fn in_order(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "in-order").await;
    let ticket = three(&scene, [NEW; 3]).await;
    scene.apply(&ticket);
    let done = scene.wait_done("iss-1").await.status.unwrap();
    assert_eq!(done.deployed_targets.as_deref(), Some("3/3"));
    let records = scene.records("iss-1").await;
    let of = |target: &str| records.iter().find(|r| r.spec.target == target).and_then(|r| r.status.clone()).unwrap();
    assert!(of("db").completion_time <= of("api").patched_time && of("api").completion_time <= of("web").patched_time);
}

pub async fn third_fails_and_all_come_back(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "third-fails").await;
    let ticket = three(&scene, [NEW, NEW, BAD]).await;
    let mut before = Vec::new();
    for name in ALL {
        before.push(scene.template(name).await);
    }
    scene.apply(&ticket);
    let stalled = scene.wait_ticket("iss-1", "stalled", |t| holds(t, "Stalled")).await;
    let status = scene
        .wait_ticket("iss-1", "all back", |t| {
            t.status.as_ref().unwrap().deployed_targets.as_deref() == Some("0/3") && holds(t, "Stalled")
        })
        .await
        .status
        .unwrap();
    let mut after = Vec::new();
    for name in ALL {
        after.push(scene.template(name).await);
    }
    assert_eq!(after, before, "byte-equal pod templates");
    assert_eq!(
        story(&scene).await,
        [
            "db Rollout RolloutComplete",
            "api Rollout RolloutComplete",
            "web Rollout RolledBack",
            "api Rollback RollbackComplete",
            "db Rollback RollbackComplete"
        ],
        "the newest first"
    );
    let said = status.message.unwrap();
    assert!(
        said.contains("web: ImagePullBackOff") && said.contains("db: 1 pod runs") && said.contains("target web failed"),
        "{said}"
    );
    assert!(!holds(&stalled, "Deployed"));
    let back = scene.records("iss-1").await.into_iter().find(|r| r.spec.target == "db" && r.spec.rollback_of.is_some()).unwrap();
    assert_eq!(back.spec.requested_by.unwrap().by.as_deref(), Some("trackdown"));

    // Nothing more is written, and the same manifest again changes nothing.
    scene.requests_when_quiet(Duration::from_secs(1)).await;
    let made = scene.requests().len();
    scene.apply(&ticket);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!scene.requests()[made..].iter().any(trackdown_write), "{:#?}", &scene.requests()[made..]);
}

fn trackdown_write(request: &crate::harness::audit::Request) -> bool {
    request.is_write() && request.resource != "events"
}

/// A new image for the one that failed asks for the whole sequence again.
pub async fn another_image_starts_over(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "another-image").await;
    let mut ticket = three(&scene, [NEW, BAD, NEW]).await;
    scene.apply(&ticket);
    scene
        .wait_ticket("iss-1", "back", |t| {
            holds(t, "Stalled") && t.status.as_ref().unwrap().deployed_targets.as_deref() == Some("0/3")
        })
        .await;
    assert_eq!((scene.image("db").await.as_str(), scene.replica_sets("web").await), (OLD, 1), "web's turn never came");
    scene.requests_when_quiet(Duration::from_secs(2)).await;
    assert_eq!(
        story(&scene).await,
        ["db Rollout RolloutComplete", "api Rollout RolledBack", "db Rollback RollbackComplete"],
        "and it ends there"
    );
    // Another image for one that was taken back asks for all of them again, too.
    ticket["spec"]["targets"][0]["image"] = json!("ghcr.io/acme/app:5");
    scene.apply(&ticket);
    scene
        .wait_ticket("iss-1", "tried and back again", |t| {
            holds(t, "Stalled")
                && t.status.as_ref().unwrap().targets[1].attempt == 2
                && t.status.as_ref().unwrap().deployed_targets.as_deref() == Some("0/3")
        })
        .await;
    ticket["spec"]["targets"][1]["image"] = json!("ghcr.io/acme/app:3");
    scene.apply(&ticket);
    scene.wait_done("iss-1").await;
    assert_eq!((scene.image("db").await.as_str(), scene.image("api").await.as_str()), ("ghcr.io/acme/app:5", "ghcr.io/acme/app:3"));
    assert_eq!(scene.image("web").await, NEW);
}

/// In a second round, too, a failure is tried as often as it may be and no more, though a later target still waits for its turn.
pub async fn second_round_fails_and_ends(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "second-round").await;
    let mut ticket = three(&scene, [NEW; 3]).await;
    scene.apply(&ticket);
    scene.wait_done("iss-1").await;
    for (target, image) in [(0, NEW), (1, BAD), (2, "ghcr.io/acme/app:3")] {
        ticket["spec"]["targets"][target]["image"] = json!(image);
    }
    ticket["spec"]["targets"][0]["image"] = json!("ghcr.io/acme/app:3");
    scene.apply(&ticket);
    scene.wait_ticket("iss-1", "back", |t| holds(t, "Stalled") && t.status.as_ref().unwrap().targets[0].rollback.is_some()).await;
    scene.requests_when_quiet(Duration::from_secs(2)).await;
    assert_eq!(
        story(&scene).await[3..],
        ["db Rollout RolloutComplete", "api Rollout RolledBack", "db Rollback RollbackComplete"],
        "and it ends there"
    );
    assert_eq!((scene.image("db").await.as_str(), scene.image("web").await.as_str()), (NEW, NEW), "as in the round before");
    // A retry of the one that failed alone starts over as well.
    scene.kubectl(&["annotate", "ticket", "iss-1", "retry.trackdown.dev/api=1"]);
    scene.wait_ticket("iss-1", "tried again", |t| holds(t, "Stalled") && t.status.as_ref().unwrap().targets[1].attempt == 3).await;
    scene.requests_when_quiet(Duration::from_secs(2)).await;
    assert_eq!(scene.image("db").await, NEW);
}

/// Somebody changed a target that is to be taken back: it and what is below it stay, and the ticket says so.
pub async fn what_cannot_be_taken_back_stops_it(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "cannot-be-taken-back").await;
    let mut ticket = three(&scene, [NEW, NEW, "ghcr.io/acme/app:unready"]).await;
    ticket["spec"]["rollout"]["timeoutSeconds"] = json!(5);
    scene.apply(&ticket);
    let rolled = || async { (scene.image("web").await == "ghcr.io/acme/app:unready").then_some(()) };
    scene.until("web is rolled out", rolled).await;
    scene.kubectl(&["set", "image", "deployment.apps/api", "*=ghcr.io/acme/app:hotfix"]);
    let held = scene.wait_reason("iss-1", "WorkloadMovedOn").await;
    let said = held.status.as_ref().unwrap().message.clone().unwrap();
    assert!(said.contains("runs api=ghcr.io/acme/app:hotfix by now") && said.contains("web: Timeout"), "{said}");
    assert!(holds(&held, "Stalled"), "a person has to act");
    assert_eq!((scene.image("db").await.as_str(), scene.image("api").await.as_str()), (NEW, "ghcr.io/acme/app:hotfix"));
    // Once it runs what this ticket set, the rest comes back.
    scene.kubectl(&["set", "image", "deployment.apps/api", &format!("*={NEW}")]);
    scene
        .wait_ticket("iss-1", "back", |t| {
            holds(t, "Stalled") && t.status.as_ref().unwrap().deployed_targets.as_deref() == Some("0/3")
        })
        .await;
    assert_eq!((scene.image("db").await.as_str(), scene.image("api").await.as_str()), (OLD, OLD));
}

/// Records are deleted before the sequence comes back, and while it does: the workloads and the ticket remember enough.
pub async fn comes_back_without_its_records(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "without-its-records").await;
    let mut ticket = three(&scene, [NEW, NEW, "ghcr.io/acme/web:unready"]).await;
    ticket["spec"]["rollout"]["timeoutSeconds"] = json!(6);
    ticket["spec"]["rollout"]["maxAttempts"] = json!(1);
    let mut before = Vec::new();
    for name in ALL {
        before.push(scene.template(name).await);
    }
    scene.apply(&ticket);
    let last = ALL[2];
    scene.until("the last one is set", || async { scene.image(last).await.ends_with(":unready").then_some(()) }).await;
    scene.kubectl(&["delete", "tdep", "--all"]);
    scene
        .wait_ticket("iss-1", "all back", |t| {
            t.status.as_ref().unwrap().deployed_targets.as_deref() == Some("0/3") && holds(t, "Stalled")
        })
        .await;
    for (name, before) in ALL.into_iter().zip(before) {
        assert_eq!(scene.template(name).await, before, "{name}");
        scene
            .until("it is let go", || async {
                let labels = scene.get_workload(name).await.metadata.labels.unwrap_or_default();
                (!labels.contains_key("trackdown.dev/rolling")).then_some(())
            })
            .await;
    }
}
