//! What keeps a ticket waiting: nothing is written to the workload, the ticket says why, and goes on by itself when the cause is gone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use trackdown_api::ticket::TicketState;

use crate::harness::Scene;
use crate::harness::cluster::Cluster;
use crate::harness::scene::{ready_ticket, result, state};

const OLD: &str = "ghcr.io/acme/web:1";
const NEW: &str = "ghcr.io/acme/web:2";

/// The ticket waits for `reason` and mentions `text`; the workload has not been touched.
async fn waits(scene: &Scene, ticket: &str, reason: &str, text: &str) {
    let status = scene.wait_reason(ticket, reason).await.status.unwrap();
    let message = status.message.unwrap();
    assert!(message.contains(text), "{message}");
    assert_eq!(status.waiting.unwrap().reason, reason);
    let listed = scene.kubectl(&["get", "ticket", ticket]);
    assert!(listed.contains(reason), "{listed}");
    let described = scene.kubectl(&["describe", "ticket", ticket]);
    assert!(described.contains(message.as_str()), "{described}");
}

async fn untouched(scene: &Scene, workload: &str) {
    assert_ne!(scene.image(workload).await, NEW);
    assert_eq!(scene.replica_sets(workload).await, 1);
    let workload = scene.get_workload(workload).await;
    assert!(!workload.metadata.annotations.unwrap().contains_key("trackdown.dev/deployment"));
}

pub async fn each_gate_says_why_and_opens(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "each-gate").await;
    let past = json!("2026-01-01T00:00:00Z");
    let cases: [(&str, &str, Value, Value, &str); 6] = [
        ("planned", "NotReady", json!({"state": "planning"}), json!({"state": "ready_for_deployment"}), "the ticket is planning"),
        (
            "ineligible",
            "NotEligible",
            json!({"automationEligible": false}),
            json!({"automationEligible": true}),
            "spec.automationEligible",
        ),
        ("overridden", "ManualOverride", json!({"manualOverride": true}), json!({"manualOverride": false}), "spec.manualOverride"),
        ("blocked", "Blocked", json!({"blockedReason": "freeze"}), json!({"blockedReason": null}), "spec.blockedReason: freeze"),
        (
            "unsafe",
            "SecurityScanFailed",
            json!({"stateMetadata": {"securityScanPassed": false}}),
            json!({"stateMetadata": {"securityScanPassed": true}}),
            "spec.stateMetadata.securityScanPassed",
        ),
        ("late", "Expired", json!({"deployBefore": past}), json!({"deployBefore": "2999-01-01T00:00:00Z"}), "spec.deployBefore"),
    ];
    for (name, reason, closed, open, text) in cases {
        scene.workload(name, OLD, 1).await;
        let mut ticket = ready_ticket(name, name, NEW);
        merge(&mut ticket["spec"], &closed);
        scene.apply(&ticket);
        waits(&scene, name, reason, text).await;
        untouched(&scene, name).await;
        merge(&mut ticket["spec"], &open);
        scene.apply(&ticket);
        scene.wait_done(name).await;
    }
    let mut empty = ready_ticket("empty", "web", NEW);
    empty["spec"]["targets"] = json!([]);
    scene.apply(&empty);
    waits(&scene, "empty", "NoTargets", "spec.targets is empty").await;
}

fn merge(into: &mut Value, from: &Value) {
    into.as_object_mut().unwrap().extend(from.as_object().unwrap().clone());
}

pub async fn dependencies(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "dependencies").await;
    for name in ["first", "second"] {
        scene.workload(name, OLD, 1).await;
    }
    let mut second = ready_ticket("second", "second", NEW);
    second["spec"]["dependsOn"] = json!(["first"]);
    scene.apply(&second);
    waits(&scene, "second", "DependencyMissing", "ticket first, which does not exist").await;

    let mut first = ready_ticket("first", "first", NEW);
    first["spec"]["dependsOn"] = json!(["second"]);
    scene.apply(&first);
    waits(&scene, "second", "DependencyCycle", "second -> first -> second").await;
    waits(&scene, "first", "DependencyCycle", "first -> second -> first").await;

    first["spec"]["dependsOn"] = json!([]);
    first["spec"]["automationEligible"] = json!(false);
    scene.apply(&first);
    waits(&scene, "second", "DependencyNotDone", "ticket first, which is ready_for_deployment").await;
    let waiting = scene.ticket("second").await.status.unwrap().waiting.unwrap();
    assert_eq!(waiting.on.as_deref(), Some("ticket/first"));
    untouched(&scene, "second").await;

    first["spec"]["automationEligible"] = json!(true);
    scene.apply(&first);
    scene.wait_done("second").await;
    let completed = |n: &'static str| {
        let scene = &scene;
        async move { scene.records(n).await[0].status.clone().unwrap() }
    };
    assert!(completed("first").await.completion_time <= completed("second").await.patched_time);
}

/// A workload that does not exist yet is watched for: nobody looks again and again, and nobody waits for the next look.
pub async fn missing_workload(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "missing-workload").await;
    scene.apply(&ready_ticket("iss-1", "web", NEW));
    waits(&scene, "iss-1", "WorkloadNotFound", "spec.targets[web]").await;
    let before = scene.requests_when_quiet(Duration::from_secs(2)).await.len();
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(scene.requests().len(), before, "nobody looks");
    scene.workload("web", OLD, 1).await;
    let started = Instant::now();
    scene.wait_done("iss-1").await;
    assert!(started.elapsed() < Duration::from_secs(8), "noticed when it was made: {:?}", started.elapsed());
    assert_eq!(scene.records("iss-1").await.len(), 1, "waiting makes no records");
}

/// What people forget: the kind, and what brings it.
pub async fn wrong_kind(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "wrong-kind").await;
    scene.workload_of("StatefulSet", "db", OLD, &json!({"replicas": 1}));
    let mut ticket = ready_ticket("iss-1", "db", NEW);
    scene.apply(&ticket);
    waits(&scene, "iss-1", "WorkloadNotFound", "there is a StatefulSet of that name: set workloadRef.kind").await;
    ticket["spec"]["targets"][0]["workloadRef"] = json!({"kind": "StatefulSet"});
    scene.apply(&ticket);
    scene.wait_done("iss-1").await;
    let mut canary = ready_ticket("iss-2", "web", NEW);
    canary["spec"]["targets"][0]["workloadRef"] = json!({"kind": "Rollout"});
    scene.apply(&canary);
    waits(&scene, "iss-2", "WorkloadKindMissing", "install Argo Rollouts").await;
}

pub async fn ambiguous_container(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "ambiguous-container").await;
    let pod = json!({"containers": [{"name": "main", "image": OLD}, {"name": "proxy", "image": "ghcr.io/acme/proxy:1"}]});
    scene.workload_with("web", json!({}), pod).await;
    let mut ticket = ready_ticket("iss-1", "web", NEW);
    scene.apply(&ticket);
    waits(&scene, "iss-1", "AmbiguousContainer", "it has: main, proxy").await;
    ticket["spec"]["targets"][0]["containers"] = json!(["sidecar"]);
    scene.apply(&ticket);
    waits(&scene, "iss-1", "ContainerNotFound", "no container sidecar").await;
    untouched(&scene, "web").await;
    ticket["spec"]["targets"][0]["containers"] = json!(["main"]);
    scene.apply(&ticket);
    scene.wait_done("iss-1").await;

    let mut twice = ready_ticket("iss-2", "web", NEW);
    twice["spec"]["targets"] = json!([
        {"name": "one", "image": NEW, "workloadRef": {"name": "web"}, "containers": ["main", "proxy"]},
        {"name": "two", "image": OLD, "workloadRef": {"name": "web"}, "containers": ["proxy"]},
    ]);
    scene.apply(&twice);
    waits(&scene, "iss-2", "TargetsOverlap", "both set container proxy").await;
}

pub async fn paused_workload(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "paused-workload").await;
    scene.workload("web", OLD, 1).await;
    scene.kubectl(&["rollout", "pause", "deployment/web"]);
    scene.apply(&ready_ticket("iss-1", "web", NEW));
    waits(&scene, "iss-1", "WorkloadPaused", "kubectl rollout resume").await;
    scene.kubectl(&["rollout", "resume", "deployment/web"]);
    scene.wait_done("iss-1").await;
}

pub async fn gitops_owner(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "gitops-owner").await;
    for (workload, mark, owner) in [
        ("argo", "annotate argocd.argoproj.io/tracking-id=shop:apps/Deployment:x/argo", "Argo CD application shop"),
        (
            "flux",
            "label kustomize.toolkit.fluxcd.io/name=shop,kustomize.toolkit.fluxcd.io/namespace=flux-system",
            "Flux Kustomization flux-system/shop",
        ),
        ("release", "label helm.toolkit.fluxcd.io/name=shop,helm.toolkit.fluxcd.io/namespace=apps", "Flux HelmRelease apps/shop"),
    ] {
        scene.workload(workload, OLD, 1).await;
        let (verb, marks) = mark.split_once(' ').unwrap();
        let mut arguments = vec![verb, "deployment.apps", workload];
        arguments.extend(marks.split(','));
        scene.kubectl(&arguments);
        scene.apply(&ready_ticket(workload, workload, NEW));
        waits(&scene, workload, "GitOpsOwned", owner).await;
        untouched(&scene, workload).await;
    }
    // The owner's consent, and Git delivering the image itself, both end the wait.
    scene.kubectl(&["annotate", "deployment.apps", "argo", "trackdown.dev/write=allow"]);
    scene.wait_done("argo").await;
    scene.kubectl(&["set", "image", "deployment.apps/flux", &format!("*={NEW}")]);
    scene.wait_done("flux").await;
    assert_eq!(result(&scene.records("flux").await[0]), "RolloutComplete");
}

pub async fn replaces_guards(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "replaces-guards").await;
    scene.workload("web", "ghcr.io/acme/web:9", 1).await;
    let mut ticket = ready_ticket("iss-1", "web", NEW);
    ticket["spec"]["targets"][0]["replaces"] = json!(OLD);
    scene.apply(&ticket);
    waits(&scene, "iss-1", "ReplacesMismatch", "runs ghcr.io/acme/web:9").await;
    untouched(&scene, "web").await;
    ticket["spec"]["targets"][0]["replaces"] = json!("ghcr.io/acme/web:9");
    scene.apply(&ticket);
    scene.wait_done("iss-1").await;
}

/// The API server refuses the write: the ticket says so, and goes on when it is allowed.
pub async fn forbidden_write(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "forbidden-write").await;
    scene.workload("web", OLD, 1).await;
    let listed: Value = serde_json::from_str(&scene.kubectl(&["get", "roles", "--output=json"])).unwrap();
    let grants = |rule: &Value| {
        rule["apiGroups"] == json!(["apps"]) && rule["resources"].as_array().unwrap().contains(&json!("deployments"))
    };
    let holds = |r: &&Value| r["rules"].as_array().unwrap().iter().any(grants);
    let role = listed["items"].as_array().unwrap().iter().find(holds).unwrap();
    let name = role["metadata"]["name"].as_str().unwrap();
    let all = role["rules"].clone();
    let mut fewer = all.clone();
    let patching = fewer.as_array_mut().unwrap().iter_mut().find(|r| grants(r)).unwrap();
    patching["verbs"].as_array_mut().unwrap().retain(|v| v != "patch");
    let set =
        |rules: &Value| scene.kubectl(&["patch", "role", name, "--type=merge", "--patch", &json!({"rules": rules}).to_string()]);
    set(&fewer);
    tokio::time::sleep(Duration::from_secs(1)).await;
    scene.apply(&ready_ticket("iss-1", "web", NEW));
    waits(&scene, "iss-1", "WriteRefused", "cannot patch resource").await;
    untouched(&scene, "web").await;
    set(&all);
    scene.wait_done("iss-1").await;
    assert_eq!(scene.records("iss-1").await.len(), 1);
}

/// The cluster refuses the record: the ticket shows why and waits with back-off.
pub async fn refused_record(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "refused-record").await;
    scene.workload("web", OLD, 1).await;
    scene.kubectl(&["create", "quota", "none", "--hard=count/deployments.trackdown.dev=0"]);
    scene.apply(&ready_ticket("iss-1", "web", NEW));
    waits(&scene, "iss-1", "RecordRefused", "quota: none").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(scene.ticket("iss-1").await.status.unwrap().targets[0].attempt, 1, "waiting makes no attempts");
    untouched(&scene, "web").await;
    scene.kubectl(&["delete", "quota", "none"]);
    scene.wait_done("iss-1").await;
}

pub async fn monitor_only(cluster: &Arc<Cluster>) {
    let scene = Scene::without_operator(cluster, "monitor-only", &["--set", "dryRun=true"]).await.with_operator();
    scene.workload("web", OLD, 1).await;
    scene.apply(&ready_ticket("iss-1", "web", NEW));
    waits(&scene, "iss-1", "WouldDeploy", "would set").await;
    untouched(&scene, "web").await;
    assert!(scene.records("iss-1").await.is_empty());
}

/// A dry run asks the API server and changes nothing; the same ticket without it deploys.
pub async fn dry_run(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "dry-run").await;
    scene.workload("web", OLD, 1).await;
    let mut ticket = ready_ticket("iss-1", "web", NEW);
    ticket["spec"]["rollout"]["dryRun"] = json!(true);
    scene.apply(&ticket);
    waits(&scene, "iss-1", "DryRun", "would accept").await;
    untouched(&scene, "web").await;
    assert_eq!(state(&scene.ticket("iss-1").await), Some(TicketState::ReadyForDeployment));
    assert_eq!(result(&scene.records("iss-1").await[0]), "DryRun");
    ticket["spec"]["rollout"]["dryRun"] = json!(false);
    scene.apply(&ticket);
    scene.wait_done("iss-1").await;
    assert_eq!(scene.image("web").await, NEW);
}

pub async fn absent_state_asks_nothing(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "absent-state").await;
    scene.workload("web", OLD, 1).await;
    let mut ticket = ready_ticket("iss-1", "web", NEW);
    ticket["spec"].as_object_mut().unwrap().remove("state");
    scene.apply(&ticket);
    waits(&scene, "iss-1", "NotReady", "the ticket is planning").await;
    // CI owns the state: written by a field manager of its own, it survives the next sync from Git.
    let patch = json!({"spec": {"state": "ready_for_deployment", "stateMetadata": {"transitionedBy": "ada", "automationSource": "github-ci-7"}}});
    scene.kubectl(&["patch", "ticket", "iss-1", "--type=merge", "--field-manager=ci", "--patch", &patch.to_string()]);
    scene.wait_done("iss-1").await;
    scene.apply(&ticket);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let done = scene.ticket("iss-1").await;
    assert_eq!(state(&done), Some(TicketState::Done));
    let taken = done.status.unwrap().history.into_iter().find(|t| t.to == TicketState::ReadyForDeployment).unwrap();
    assert_eq!(taken.by.as_deref(), Some("ada"));
    assert_eq!(taken.via.as_deref(), Some("ci"));
    assert_eq!(taken.source.as_deref(), Some("github-ci-7"));
}

pub async fn deployed_by_ci(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "deployed-by-ci").await;
    scene.workload("web", OLD, 1).await;
    let mut ticket = ready_ticket("iss-1", "web", NEW);
    ticket["spec"]["state"] = json!("ready_for_qa");
    scene.apply(&ticket);
    scene.wait_reason("iss-1", "NotReady").await;
    ticket["spec"]["state"] = json!("done");
    ticket["spec"]["stateMetadata"] =
        json!({"deployedBy": "jenkins", "deployedTime": "2026-11-20T10:00:00Z", "deployedNamespace": "prod"});
    scene.apply(&ticket);
    let status = scene.wait_done("iss-1").await.status.unwrap();
    assert_eq!(status.deployed_by.as_deref(), Some("jenkins"));
    assert_eq!(status.deployed_namespace.as_deref(), Some("prod"));
    assert_eq!(status.deployment_time.unwrap().0.to_string(), "2026-11-20T10:00:00Z");
    untouched(&scene, "web").await;
}
