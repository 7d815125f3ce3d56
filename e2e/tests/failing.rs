//! Rollouts that fail.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use trackdown_api::ticket::Ticket;

use crate::harness::Scene;
use crate::harness::cluster::Cluster;
use crate::harness::scene::{holds, ready_ticket, result};

const GOOD: &str = "ghcr.io/acme/web:1";
const BAD: &str = "ghcr.io/acme/web:bad-2";

pub async fn bad_image_rolls_back_and_stops(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "bad-image-rolls-back").await;
    scene.workload("web", GOOD, 3).await;
    let before = scene.template("web").await;
    let ticket = ready_ticket("iss-1", "web", BAD);
    let applied = Instant::now();
    scene.apply(&ticket);
    let first = scene
        .wait_ticket("iss-1", "rolled back once", |t| t.status.iter().flat_map(|s| &s.targets).any(|e| e.failure_time.is_some()))
        .await;
    let seconds = applied.elapsed().as_secs();
    assert!(seconds <= 10, "the root cause took {seconds} s");
    let said = first.status.as_ref().unwrap().targets[0].message.clone().unwrap();
    assert!(said.contains("ImagePullBackOff") && said.contains(BAD), "{said}");

    let stalled = scene.wait_ticket("iss-1", "stalled", |t| holds(t, "Stalled")).await;
    let status = stalled.status.as_ref().unwrap();
    assert_eq!(status.reason.as_deref(), Some("RetriesExhausted"));
    assert!(status.blocked_reason.as_ref().unwrap().contains("ImagePullBackOff"));
    assert_eq!(status.targets[0].tries, 3);
    assert_eq!(status.targets[0].failure_namespace.as_deref(), Some(scene.namespace.as_str()));
    assert_eq!(scene.template("web").await, before, "byte-equal pod template");
    let records = scene.records("iss-1").await;
    assert_eq!(records.iter().map(result).collect::<Vec<_>>(), ["RolledBack"; 3]);
    for record in &records {
        let status = record.status.as_ref().unwrap();
        let cause = status.root_cause.as_ref().unwrap();
        assert_eq!((cause.reason.as_str(), cause.container.as_deref()), ("ImagePullBackOff", Some("web")));
        assert_eq!(status.previous_images[0].image, GOOD);
        assert!(status.rollback_time <= status.completion_time);
    }

    // Ten writes a try, and no storm while it backs off.
    let made = scene.requests_when_quiet(Duration::from_secs(2)).await;
    let writes = made.iter().filter(|r| r.is_write() && r.resource != "events" && r.code < 400).count();
    assert!(writes <= 30, "{writes} writes: {made:#?}");

    // Automation is off: the same manifest again changes nothing.
    let requests = made.len();
    scene.apply(&ticket);
    scene.kubectl(&["label", "ticket", "iss-1", "synced=again"]);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let made = scene.requests();
    let writes: Vec<_> = made[requests..].iter().filter(|r| r.is_write()).collect();
    assert!(writes.is_empty(), "{writes:#?}");
    assert_eq!(scene.records("iss-1").await.len(), 3);
}

pub async fn crash_loop_is_found(cluster: &Arc<Cluster>) {
    root_cause_is(cluster, "crash-loop", "crash", "CrashLoopBackOff", "exit code 1").await;
}

pub async fn config_error_is_found(cluster: &Arc<Cluster>) {
    root_cause_is(cluster, "config-error", "config", "CreateContainerConfigError", "configmap").await;
}

async fn root_cause_is(cluster: &Arc<Cluster>, name: &str, tag: &str, reason: &str, text: &str) {
    let scene = Scene::new(cluster, name).await;
    scene.workload("web", GOOD, 2).await;
    let mut ticket = ready_ticket("iss-1", "web", &format!("ghcr.io/acme/web:{tag}"));
    ticket["spec"]["rollout"]["maxAttempts"] = json!(1);
    scene.apply(&ticket);
    scene.wait_ticket("iss-1", "stalled", |t| holds(t, "Stalled")).await;
    let records = scene.records("iss-1").await;
    let cause = records[0].status.as_ref().unwrap().root_cause.clone().unwrap();
    assert_eq!(cause.reason, reason);
    assert!(cause.message.contains(text), "{cause:?}");
    assert_eq!(scene.image("web").await, GOOD);
}

/// The commonest failure: a pod that runs and is not ready. While it lasts the ticket says until when, which pod and container, and what
/// the kubelet says of its probe; so does its end.
pub async fn deadline_explains_itself(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "deadline-explains-itself").await;
    let probe = json!({"httpGet": {"path": "/", "port": 80}});
    let pod = json!({"containers": [{"name": "web", "image": GOOD, "readinessProbe": probe}]});
    scene.workload_with("web", json!({"replicas": 2}), pod).await;
    let mut ticket = ready_ticket("iss-1", "web", "ghcr.io/acme/web:unready");
    ticket["spec"]["rollout"] = json!({"maxAttempts": 1, "timeoutSeconds": 24});
    scene.apply(&ticket);
    let pod = scene
        .until("a new pod runs", || async {
            let pods = scene.kubectl(&["get", "pods", "--output=json"]);
            let pods: Value = serde_json::from_str(&pods).unwrap();
            let new =
                |p: &&Value| p["spec"]["containers"][0]["image"] == "ghcr.io/acme/web:unready" && p["status"]["phase"] == "Running";
            pods["items"].as_array().unwrap().iter().find(new).cloned()
        })
        .await;
    let name = pod["metadata"]["name"].as_str().unwrap();
    // No kubelet is there to say it.
    scene.kubectl_with(
        &["create", "-f", "-"],
        &json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": "unhealthy"}, "type": "Warning", "reason": "Unhealthy",
            "message": "Readiness probe failed: HTTP probe failed with statuscode: 503", "lastTimestamp": "2026-01-01T00:00:00Z",
            "involvedObject": {"kind": "Pod", "name": name, "namespace": scene.namespace, "uid": pod["metadata"]["uid"]},
        }),
    );
    let says = |text: &str| {
        ["ContainersNotReady", name, "container web", "readiness probe", "statuscode: 503"].iter().all(|part| text.contains(part))
    };
    let told = |t: &Ticket| t.status.as_ref().and_then(|s| s.message.as_deref()).is_some_and(says);
    let waiting = scene.wait_ticket("iss-1", "told what it waits for", told).await.status.unwrap().waiting.unwrap();
    assert_eq!(waiting.reason, "RollingOut");
    let patched = scene.records("iss-1").await[0].status.as_ref().unwrap().patched_time.clone().unwrap().0;
    let until = waiting.until.unwrap().0.duration_since(patched).as_secs();
    assert!((19..=29).contains(&until), "{until} s after the write");
    let stalled = scene.wait_ticket("iss-1", "stalled", |t| holds(t, "Stalled")).await.status.unwrap();
    let said = stalled.blocked_reason.unwrap();
    assert!(said.contains("not complete within 24 s") && says(&said), "{said}");
    assert_eq!(scene.image("web").await, GOOD);
    let described = scene.kubectl(&["describe", "ticket", "iss-1"]);
    let times = described.matches("not complete within 24 s").count();
    assert!(times <= 5, "{times} times (one of them the Event):\n{described}");
}

pub async fn quota_is_found(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "quota-is-found").await;
    scene.workload("web", GOOD, 2).await;
    scene.apply(&json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "full"}, "spec": {"hard": {"pods": "2"}},
    }));
    let mut ticket = ready_ticket("iss-1", "web", "ghcr.io/acme/web:2");
    ticket["spec"]["rollout"] = json!({"maxAttempts": 1});
    scene.apply(&ticket);
    let stalled = scene.wait_ticket("iss-1", "stalled", |t| holds(t, "Stalled")).await;
    let said = stalled.status.unwrap().blocked_reason.unwrap();
    assert!(said.contains("FailedCreate") && said.contains("quota: full"), "{said}");
    assert_eq!(scene.image("web").await, GOOD);
}

pub async fn hold_leaves_the_bad_image(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "hold-leaves").await;
    scene.workload("web", GOOD, 2).await;
    let mut ticket = ready_ticket("iss-1", "web", BAD);
    ticket["spec"]["rollout"]["onFailure"] = json!("Hold");
    scene.apply(&ticket);
    let status = scene.wait_ticket("iss-1", "stalled", |t| holds(t, "Stalled")).await.status.unwrap();
    assert_eq!(status.reason.as_deref(), Some("RolloutFailed"));
    assert!(status.message.unwrap().contains("left as it is"));
    assert_eq!(scene.image("web").await, BAD);
    assert_eq!(scene.records("iss-1").await.len(), 1, "only a rollback is tried again");
}

/// Whatever became of the ticket that set the bad image, the next one goes back to the good one.
pub async fn previous_is_never_the_bad_image(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "previous-is-never-bad").await;
    for (workload, fate) in [("held", "hold"), ("gone", "delete the ticket"), ("lost", "delete the record, too")] {
        scene.workload(workload, GOOD, 2).await;
        let mut first = ready_ticket(&format!("first-{workload}"), workload, BAD);
        first["spec"]["rollout"]["onFailure"] = json!("Hold");
        scene.apply(&first);
        scene.wait_ticket(&format!("first-{workload}"), "stalled", |t| holds(t, "Stalled")).await;
        if fate != "hold" {
            scene.kubectl(&["delete", "ticket", &format!("first-{workload}")]);
        }
        if fate == "delete the record, too" {
            scene.kubectl(&["delete", "tdep", "--selector", &format!("trackdown.dev/ticket=first-{workload}")]);
        }
        let mut second = ready_ticket(&format!("second-{workload}"), workload, "ghcr.io/acme/web:bad-3");
        second["spec"]["rollout"]["maxAttempts"] = json!(1);
        scene.apply(&second);
        scene.wait_ticket(&format!("second-{workload}"), "stalled", |t| holds(t, "Stalled")).await;
        let records = scene.records(&format!("second-{workload}")).await;
        assert_eq!(records[0].status.as_ref().unwrap().previous_images[0].image, GOOD, "{fate}");
        assert_eq!(scene.image(workload).await, GOOD, "{fate}");
    }
}

pub async fn one_bad_target_of_two(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "one-bad-target-of-two").await;
    scene.workload("web", GOOD, 2).await;
    scene.workload("api", GOOD, 2).await;
    let mut ticket = ready_ticket("iss-1", "web", "ghcr.io/acme/web:2");
    ticket["spec"]["targets"] = json!([{"name": "web", "image": "ghcr.io/acme/web:2"}, {"name": "api", "image": BAD}]);
    ticket["spec"]["rollout"]["maxAttempts"] = json!(1);
    scene.apply(&ticket);
    let status = scene.wait_ticket("iss-1", "stalled", |t| holds(t, "Stalled")).await.status.unwrap();
    let results: Vec<_> = status.targets.iter().map(|e| (e.name.as_str(), e.result.as_ref().map_or("", |r| r.as_str()))).collect();
    assert_eq!(results, [("web", "RolloutComplete"), ("api", "RolledBack")]);
    assert!(status.blocked_reason.unwrap().starts_with("api: ImagePullBackOff"));
    assert_eq!((scene.image("web").await.as_str(), scene.image("api").await.as_str()), ("ghcr.io/acme/web:2", GOOD));
}

pub async fn new_image_starts_afresh(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "new-image-starts-afresh").await;
    scene.workload("web", GOOD, 2).await;
    let mut ticket = ready_ticket("iss-1", "web", BAD);
    ticket["spec"]["rollout"]["maxAttempts"] = json!(1);
    scene.apply(&ticket);
    scene.wait_ticket("iss-1", "stalled", |t| holds(t, "Stalled")).await;
    ticket["spec"]["targets"][0]["image"] = json!("ghcr.io/acme/web:2");
    scene.apply(&ticket);
    let status = scene.wait_done("iss-1").await.status.unwrap();
    assert_eq!((status.targets[0].attempt, status.targets[0].tries), (2, 0));
    assert_eq!(status.blocked_reason, None);
}

/// Any new, non-empty value is one more request; the same value again is nothing, and at creation it is only noted.
pub async fn retry_by_annotation(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "retry-by-annotation").await;
    scene.workload("web", GOOD, 2).await;
    let mut ticket = ready_ticket("iss-1", "web", BAD);
    ticket["metadata"]["annotations"] = json!({"trackdown.dev/retry-requested": "born with it"});
    ticket["spec"]["rollout"]["maxAttempts"] = json!(1);
    scene.apply(&ticket);
    let handled = |t: &Ticket| t.status.as_ref().and_then(|s| s.last_handled_retry.clone());
    let first = scene.wait_ticket("iss-1", "stalled", |t| holds(t, "Stalled")).await;
    assert_eq!(handled(&first).as_deref(), Some("born with it"));
    scene.kubectl(&["annotate", "ticket", "iss-1", "--overwrite", "trackdown.dev/retry-requested=again"]);
    scene.wait_ticket("iss-1", "tried again", |t| holds(t, "Stalled") && t.status.as_ref().unwrap().targets[0].attempt == 2).await;
    scene.kubectl(&["annotate", "ticket", "iss-1", "--overwrite", "trackdown.dev/retry-requested=again"]);
    scene.kubectl(&["annotate", "ticket", "iss-1", "trackdown.dev/retry-requested-"]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let records = scene.records("iss-1").await;
    assert_eq!(records.len(), 2);
    let asked = records[1].spec.requested_by.clone().unwrap();
    assert_eq!(asked.via.as_deref(), Some("kubectl-annotate"));
    assert_eq!(asked.reason.as_deref(), Some("retry: trackdown.dev/retry-requested=again"));
}

/// No pods are no proof of an image that has failed before.
pub async fn scaled_to_zero_between_two_tries(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "scaled-to-zero").await;
    scene.workload("web", "ghcr.io/acme/web:1", 1).await;
    let mut ticket = ready_ticket("iss-1", "web", "ghcr.io/acme/web:bad");
    ticket["spec"]["rollout"] = json!({"maxAttempts": 2, "backoffSeconds": 4});
    scene.apply(&ticket);
    scene.wait_reason("iss-1", "BackingOff").await;
    scene.kubectl(&["scale", "deployment.apps/web", "--replicas=0"]);
    let status = scene.wait_reason("iss-1", "ScaledToZero").await.status.unwrap();
    assert!(status.message.unwrap().contains("asks for 0 pods"));
    assert_eq!((scene.image("web").await.as_str(), scene.records("iss-1").await.len()), ("ghcr.io/acme/web:1", 1));
    scene.kubectl(&["scale", "deployment.apps/web", "--replicas=1"]);
    let status = scene.wait_ticket("iss-1", "stalled", |t| holds(t, "Stalled")).await.status.unwrap();
    assert_eq!((status.reason.as_deref(), scene.image("web").await.as_str()), (Some("RetriesExhausted"), "ghcr.io/acme/web:1"));
}
