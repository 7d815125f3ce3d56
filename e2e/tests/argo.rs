//! Rollouts of Argo Rollouts, beside its real controller, in a cluster of their own.

use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use trackdown_api::record::Record;

use crate::harness::Scene;
use crate::harness::cluster::Cluster;
use crate::harness::scene::{holds, ready_ticket, result};

const OLD: &str = "ghcr.io/acme/web:1";
const NEW: &str = "ghcr.io/acme/web:2";
const BAD: &str = "ghcr.io/acme/web:bad-2";

/// Seconds an old `ReplicaSet` is kept after a promotion. The progress deadline has to be longer, or the controller spins.
const KEPT_SECONDS: u64 = 15;

static CLUSTER: Mutex<Option<Arc<Cluster>>> = Mutex::new(None);

/// The cluster of these tests, started by the first of them.
fn cluster() -> Arc<Cluster> {
    let mut cluster = CLUSTER.lock().unwrap_or_else(PoisonError::into_inner);
    cluster.get_or_insert_with(|| Arc::new(Cluster::with_crds(&["--argo-rollouts"]))).clone()
}

/// Stops it.
pub fn shut_down() {
    CLUSTER.lock().unwrap_or_else(PoisonError::into_inner).take();
}

/// A scene with a Rollout `web` of three pods that is healthy.
async fn scene(name: &str, strategy: &Value) -> Scene {
    let scene = Scene::new(&cluster(), name).await;
    if strategy.pointer("/canary/trafficRouting").is_some() {
        for service in ["web-stable", "web-canary"] {
            scene.apply(&service_named(service));
        }
        scene.apply(&json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {"name": "web", "annotations": {"kubernetes.io/ingress.class": "nginx"}},
            "spec": {"rules": [{"host": "web.example", "http": {"paths": [{
                "path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web-stable", "port": {"number": 80}}},
            }]}}]},
        }));
    }
    scene.kubectl_with(&["create", "-f", "-"], &rollout("web", OLD, strategy));
    healthy(&scene, OLD).await;
    scene
}

fn service_named(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
    })
}

fn rollout(name: &str, image: &str, strategy: &Value) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": name},
        "spec": {
            "replicas": 3, "selector": {"matchLabels": {"app": name}}, "strategy": strategy,
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": name, "image": image}]}},
        },
    })
}

/// Half of the pods, then a person.
fn paused_canary() -> Value {
    json!({"canary": {"steps": [{"setWeight": 50}, {"pause": {}}]}})
}

/// Half of the traffic, then all of it; the old pods are kept for a while.
fn routed_canary() -> Value {
    json!({"canary": {
        "canaryService": "web-canary", "stableService": "web-stable", "trafficRouting": {"nginx": {"stableIngress": "web"}},
        "scaleDownDelaySeconds": KEPT_SECONDS, "steps": [{"setWeight": 50}],
    }})
}

fn ticket(name: &str, image: &str) -> Value {
    let mut ticket = ready_ticket(name, "web", image);
    ticket["spec"]["targets"][0]["workloadRef"] = json!({"kind": "Rollout"});
    ticket["spec"]["rollout"]["maxAttempts"] = json!(1);
    ticket
}

fn get(scene: &Scene) -> Value {
    scene.object("rollout", "web")
}

fn image(rollout: &Value) -> &str {
    rollout["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap_or_default()
}

/// Waits until the controller calls the image healthy and promoted.
async fn healthy(scene: &Scene, wanted: &str) -> Value {
    wait(scene, "Healthy", |r| image(r) == wanted && r["status"]["stableRS"] == r["status"]["currentPodHash"], Some("Healthy"))
        .await
}

async fn paused(scene: &Scene, wanted: &str) -> Value {
    wait(scene, "Paused", |r| image(r) == wanted, Some("Paused")).await
}

async fn wait(scene: &Scene, what: &str, is: impl Fn(&Value) -> bool, phase: Option<&str>) -> Value {
    scene
        .until(what, || async {
            let rollout = get(scene);
            let generation = rollout["metadata"]["generation"].to_string();
            let seen = rollout["status"]["observedGeneration"].as_str() == Some(&generation);
            (seen && is(&rollout) && phase.is_none_or(|p| rollout["status"]["phase"] == p)).then_some(rollout)
        })
        .await
}

/// What a person does with Argo Rollouts' own command.
fn argo(scene: &Scene, arguments: &[&str]) {
    let mut command = Command::new(scene.cluster.program("kubectl-argo-rollouts"));
    command.args(arguments).args(["--namespace", &scene.namespace]);
    let output = scene.environment(&mut command).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn set_image(scene: &Scene, image: &str) {
    argo(scene, &["set", "image", "web", &format!("web={image}")]);
}

/// Makes the pods of the newest template unready, as a kubelet would say it.
fn fail_new_pods(scene: &Scene) {
    let hash = get(scene)["status"]["currentPodHash"].as_str().unwrap().to_owned();
    let selector = format!("rollouts-pod-template-hash={hash}");
    let pods: Value = serde_json::from_str(&scene.kubectl(&["get", "pods", "--selector", &selector, "--output=json"])).unwrap();
    for pod in pods["items"].as_array().unwrap() {
        let mut status =
            json!({"conditions": pod["status"]["conditions"], "containerStatuses": pod["status"]["containerStatuses"]});
        for condition in status["conditions"].as_array_mut().unwrap() {
            if condition["type"] == "Ready" || condition["type"] == "ContainersReady" {
                condition["status"] = json!("False");
            }
        }
        status["containerStatuses"].as_array_mut().unwrap().iter_mut().for_each(|c| c["ready"] = json!(false));
        let name = pod["metadata"]["name"].as_str().unwrap();
        let patch = json!({"status": status}).to_string();
        scene.kubectl(&["patch", "pod", name, "--subresource=status", "--type=merge", "--patch", &patch]);
    }
}

async fn ends(scene: &Scene, ticket: &str) -> Vec<String> {
    scene.records(ticket).await.iter().map(|r| result(r).to_owned()).collect()
}

async fn stalled(scene: &Scene, ticket: &str) -> String {
    let status = scene.wait_ticket(ticket, "stalled", |t| holds(t, "Stalled")).await.status.unwrap();
    status.blocked_reason.unwrap().into()
}

fn previous(record: &Record) -> &str {
    &record.status.as_ref().unwrap().previous_images[0].image
}

/// A pause that only a person ends is told at once, with what ends it.
pub async fn a_pause_is_told(_: &Arc<Cluster>) {
    let scene = scene("argo-pause", &paused_canary()).await;
    scene.apply(&ticket("iss-1", NEW));
    let waits = |t: &trackdown_api::ticket::Ticket| {
        t.status.as_ref().and_then(|s| s.message.as_deref()).is_some_and(|m| m.contains("Paused: CanaryPauseStep"))
    };
    let status = scene.wait_ticket("iss-1", "told of the pause", waits).await.status.unwrap();
    assert!(status.message.unwrap().contains("kubectl argo rollouts promote web"));
    assert!(status.waiting.unwrap().until.is_some(), "how long it has");
    assert_eq!(ends(&scene, "iss-1").await, ["Progressing"]);
    argo(&scene, &["promote", "web"]);
    scene.wait_done("iss-1").await;
    assert_eq!(ends(&scene, "iss-1").await, ["RolloutComplete"]);
    scene.requests_when_quiet(Duration::from_secs(1)).await;
    assert_eq!(get(&scene)["metadata"]["labels"]["trackdown.dev/rolling"], Value::Null);
    assert_eq!(scene.records("iss-1").await[0].status.as_ref().unwrap().waiting_for, None);
}

/// The old pods are kept after the promotion, and counted: that keeps nobody waiting.
pub async fn traffic_moves(_: &Arc<Cluster>) {
    let scene = scene("argo-traffic", &routed_canary()).await;
    scene.apply(&ticket("iss-1", NEW));
    scene.wait_done("iss-1").await;
    assert_eq!(get(&scene)["status"]["replicas"], 6, "the old pods are there still");
    assert_eq!(ends(&scene, "iss-1").await, ["RolloutComplete"]);
    let base = scene.records("iss-1").await[0].spec.base.clone();
    assert!(base.healthy);
    // While they are, the next one is no other.
    scene.apply(&ticket("iss-2", "ghcr.io/acme/web:3"));
    scene.wait_done("iss-2").await;
    assert_eq!(previous(&scene.records("iss-2").await[0]), NEW);
}

/// The status says Healthy for ever when the new pods fail while the old ones are kept.
pub async fn pods_fail_after_the_promotion(_: &Arc<Cluster>) {
    let scene = scene("argo-late-failure", &routed_canary()).await;
    let mut ticket = ticket("iss-1", NEW);
    ticket["spec"]["rollout"]["timeoutSeconds"] = json!(12);
    // As long as this runs the rollout is not over. Nobody listens there.
    let check = json!({"url": "http://web-stable.argo-late-failure.svc:9/", "failureThreshold": 100, "periodSeconds": 1});
    ticket["spec"]["targets"][0]["checks"] = json!([{"name": "answers", "http": check}]);
    scene.apply(&ticket);
    scene.wait_reason("iss-1", "Verifying").await;
    fail_new_pods(&scene);
    let ended = scene.wait_ticket("iss-1", "ended", |t| holds(t, "Stalled")).await.status.unwrap();
    let record = &scene.records("iss-1").await[0];
    let cause = record.status.as_ref().unwrap().root_cause.clone().unwrap();
    assert_eq!((cause.reason.as_str(), cause.container.as_deref()), ("Timeout", Some("web")), "{ended:?}");
    assert!(cause.message.contains("ContainersNotReady"), "{}", cause.message);
    assert_eq!(image(&get(&scene)), OLD, "taken back");
}

/// A person who aborts wants no other try.
pub async fn a_persons_abort_stands(_: &Arc<Cluster>) {
    let scene = scene("argo-abort", &paused_canary()).await;
    let mut ticket = ticket("iss-1", NEW);
    ticket["spec"]["rollout"]["maxAttempts"] = json!(3);
    scene.apply(&ticket);
    paused(&scene, NEW).await;
    argo(&scene, &["abort", "web"]);
    let why = stalled(&scene, "iss-1").await;
    assert!(why.contains("RolloutAbortedByPerson: Rollout aborted update to revision 2") && why.contains("are back"), "{why}");
    assert_eq!(ends(&scene, "iss-1").await, ["Aborted"]);
    healthy(&scene, OLD).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(ends(&scene, "iss-1").await, ["Aborted"], "no other try");
}

/// An analysis that fails is a failure like any other.
pub async fn an_analysis_fails(_: &Arc<Cluster>) {
    let strategy = json!({"canary": {"steps": [{"setWeight": 50}, {"analysis": {"templates": [{"templateName": "never"}]}}]}});
    let scene = Scene::new(&cluster(), "argo-analysis").await;
    scene.apply(&json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisTemplate", "metadata": {"name": "never"},
        "spec": {"metrics": [{
            "name": "errors", "count": 1, "consecutiveErrorLimit": 0, "provider": {"web": {"url": "http://127.0.0.1:1/", "jsonPath": "{$.x}"}},
        }]},
    }));
    scene.kubectl_with(&["create", "-f", "-"], &rollout("web", OLD, &strategy));
    healthy(&scene, OLD).await;
    scene.apply(&ticket("iss-1", NEW));
    let why = stalled(&scene, "iss-1").await;
    assert!(why.contains("RolloutAborted: Rollout aborted update to revision 2: ") && why.contains("errors"), "{why}");
    assert_eq!(ends(&scene, "iss-1").await, ["RolledBack"]);
    healthy(&scene, OLD).await;
}

/// What was aborted, or is paused half-way, is nobody's good version.
pub async fn never_back_to_what_was_not_promoted(_: &Arc<Cluster>) {
    let scene = scene("argo-unpromoted", &paused_canary()).await;
    for (name, abort) in [("iss-1", true), ("iss-2", false)] {
        let half_way = format!("ghcr.io/acme/web:{name}");
        set_image(&scene, &half_way);
        paused(&scene, &half_way).await;
        if abort {
            argo(&scene, &["abort", "web"]);
            wait(&scene, "aborted", |_| true, Some("Degraded")).await;
        }
        scene.apply(&ticket(name, BAD));
        let why = stalled(&scene, name).await;
        assert!(why.contains("ImagePullBackOff"), "{why}");
        let record = &scene.records(name).await[0];
        assert_eq!((previous(record), result(record)), (OLD, "RolledBack"));
        healthy(&scene, OLD).await;
    }
}

/// An invalid spec cannot be carried out with any image; corrected, the ticket goes on by itself.
pub async fn an_invalid_spec_is_no_start(_: &Arc<Cluster>) {
    let mut strategy = paused_canary();
    strategy["canary"]["steps"] = json!([{"setWeight": 50}]);
    let scene = scene("argo-invalid", &strategy).await;
    let with_service = |name: Value| json!({"spec": {"strategy": {"canary": {"stableService": name}}}}).to_string();
    scene.kubectl(&["patch", "rollout", "web", "--type=merge", "--patch", &with_service(json!("absent"))]);
    wait(&scene, "invalid", |_| true, Some("Degraded")).await;
    let before = get(&scene)["metadata"]["generation"].clone();
    scene.apply(&ticket("iss-1", NEW));
    let message = scene.wait_reason("iss-1", "WorkloadInvalid").await.status.unwrap().message.unwrap();
    assert!(message.contains("service \"absent\" not found"), "{message}");
    assert_eq!(get(&scene)["metadata"]["generation"], before, "nothing was written");
    scene.kubectl(&["patch", "rollout", "web", "--type=merge", "--patch", &with_service(Value::Null)]);
    scene.wait_done("iss-1").await;
}

/// A quota that was exhausted before is reported once, and never again.
pub async fn a_failure_from_before_is_noticed(_: &Arc<Cluster>) {
    let scene = scene("argo-quota", &json!({"canary": {"steps": [{"setWeight": 50}]}})).await;
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "pods"}, "spec": {"hard": {"pods": "3"}}});
    scene.apply(&quota);
    set_image(&scene, "ghcr.io/acme/web:theirs");
    let refused = |r: &Value| r["status"]["conditions"].as_array().unwrap().iter().any(|c| c["type"] == "ReplicaFailure");
    wait(&scene, "ReplicaFailure", refused, None).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let started = Instant::now();
    scene.apply(&ticket("iss-1", NEW));
    let why = stalled(&scene, "iss-1").await;
    assert!(why.contains("exceeded quota"), "{why}");
    assert!(started.elapsed() < Duration::from_secs(60), "long before its time-out of 300 s: {:?}", started.elapsed());
}

/// Going back is one more canary to Argo Rollouts, with its pauses: that is said, and what ends it.
pub async fn going_back_waits_for_a_person(_: &Arc<Cluster>) {
    let scene = scene("argo-way-back", &paused_canary()).await;
    let mut ticket = ticket("iss-1", NEW);
    let check = json!({"url": "http://web.argo-way-back.svc:9/", "failureThreshold": 1, "periodSeconds": 1});
    ticket["spec"]["targets"][0]["checks"] = json!([{"name": "answers", "http": check}]);
    scene.apply(&ticket);
    paused(&scene, NEW).await;
    argo(&scene, &["promote", "web", "--full"]);
    let told = |t: &trackdown_api::ticket::Ticket| {
        let message = t.status.as_ref().and_then(|s| s.message.clone()).unwrap_or_default();
        message.contains("the previous images are set, but their rollout waits: Paused: CanaryPauseStep")
            && message.contains("promote web")
    };
    scene.wait_ticket("iss-1", "told that going back is paused", told).await;
    assert_eq!(image(&get(&scene)), OLD);
    argo(&scene, &["promote", "web", "--full"]);
    let why = stalled(&scene, "iss-1").await;
    // The check answers neither before nor after: nothing ever listened.
    assert!(why.contains("CheckConnectionFailed") && why.contains("with them it is the same"), "{why}");
}

/// The Deployment that a Rollout takes its template from says that it is complete, whatever the Rollout does.
pub async fn a_referenced_deployment_is_no_workload(_: &Arc<Cluster>) {
    let scene = Scene::new(&cluster(), "argo-reference").await;
    scene.workload("web", OLD, 1).await;
    let mut reference = rollout("front", OLD, &paused_canary());
    reference["spec"]["template"] = Value::Null;
    reference["spec"]["selector"] = json!({"matchLabels": {"app": "web"}});
    reference["spec"]["workloadRef"] = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
    scene.kubectl_with(&["create", "-f", "-"], &reference);
    scene.apply(&ready_ticket("iss-1", "web", NEW));
    let message = scene.wait_reason("iss-1", "UnsupportedWorkload").await.status.unwrap().message.unwrap();
    assert!(message.contains("Rollout front of Argo Rollouts takes its pod template from it"), "{message}");
    assert_eq!(scene.image("web").await, OLD);
    // Nor can the Rollout itself be followed.
    let mut by_rollout = ticket("iss-2", NEW);
    by_rollout["spec"]["targets"][0]["workloadRef"] = json!({"kind": "Rollout", "name": "front"});
    scene.apply(&by_rollout);
    let message = scene.wait_reason("iss-2", "UnsupportedWorkload").await.status.unwrap().message.unwrap();
    assert!(message.contains("Deployment web (spec.workloadRef)"), "{message}");
}

/// Blue-green counts the pods that get the traffic, and keeps the old ones, too.
pub async fn blue_green(_: &Arc<Cluster>) {
    let scene = Scene::new(&cluster(), "argo-blue-green").await;
    for service in ["active", "preview"] {
        scene.apply(&service_named(service));
    }
    let strategy = json!({"blueGreen": {"activeService": "active", "previewService": "preview", "autoPromotionEnabled": false}});
    scene.kubectl_with(&["create", "-f", "-"], &rollout("web", OLD, &strategy));
    healthy(&scene, OLD).await;
    scene.apply(&ticket("iss-1", NEW));
    paused(&scene, NEW).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(ends(&scene, "iss-1").await, ["Progressing"]);
    argo(&scene, &["promote", "web"]);
    scene.wait_done("iss-1").await;
    assert_eq!(
        (ends(&scene, "iss-1").await, get(&scene)["status"]["replicas"].clone()),
        (vec!["RolloutComplete".to_owned()], json!(6))
    );
    scene.apply(&ticket("iss-2", BAD));
    let why = stalled(&scene, "iss-2").await;
    assert!(why.contains("ImagePullBackOff"), "{why}");
    assert_eq!(ends(&scene, "iss-2").await, ["RolledBack"]);
    healthy(&scene, NEW).await;
}
