//! Workloads and tickets that a GitOps tool owns. Each owner is played with its real field manager, operation, labels and timing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use trackdown_api::record::Action;
use trackdown_api::ticket::TicketState;

use crate::harness::Scene;
use crate::harness::audit::Request;
use crate::harness::cluster::Cluster;
use crate::harness::scene::{holds, ready_ticket, result, state};

const OLD: &str = "ghcr.io/acme/web:1";
const NEW: &str = "ghcr.io/acme/web:2";
const BAD: &str = "ghcr.io/acme/web:bad";

#[derive(Clone, Copy)]
enum Owner {
    /// Argo CD with annotation tracking, its default since 3.0: a client-side apply.
    ArgoAnnotation,
    /// Argo CD with label tracking: its default label is everybody's label.
    ArgoLabel,
    /// Flux's kustomize-controller: a forced server-side apply, after it has stripped what `kubectl` managers wrote.
    Kustomization,
    /// Flux's helm-controller.
    HelmRelease,
}

impl Owner {
    fn shown(self) -> &'static str {
        match self {
            Self::ArgoAnnotation | Self::ArgoLabel => "Argo CD application shop",
            Self::Kustomization => "Flux Kustomization flux-system/shop",
            Self::HelmRelease => "Flux HelmRelease apps/shop",
        }
    }

    fn manifest(self, name: &str, image: Option<&str>) -> Value {
        let mut container = json!({"name": name});
        if let Some(image) = image {
            container["image"] = json!(image);
        }
        let mut manifest = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": {"team": "shop"}},
            "spec": {
                "replicas": 2, "selector": {"matchLabels": {"app": name}},
                "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}},
            },
        });
        let meta = &mut manifest["metadata"];
        match self {
            Self::ArgoAnnotation => {
                meta["annotations"] = json!({"argocd.argoproj.io/tracking-id": format!("shop:apps/Deployment:x/{name}")});
            }
            Self::ArgoLabel => meta["labels"]["app.kubernetes.io/instance"] = json!("shop"),
            Self::Kustomization => {
                meta["labels"]["kustomize.toolkit.fluxcd.io/name"] = json!("shop");
                meta["labels"]["kustomize.toolkit.fluxcd.io/namespace"] = json!("flux-system");
            }
            Self::HelmRelease => {
                meta["labels"]["helm.toolkit.fluxcd.io/name"] = json!("shop");
                meta["labels"]["helm.toolkit.fluxcd.io/namespace"] = json!("apps");
            }
        }
        manifest
    }

    /// What the owner does when it finds a difference between Git and the cluster.
    fn sync(self, scene: &Scene, manifest: &Value) {
        match self {
            Self::ArgoAnnotation | Self::ArgoLabel => {
                scene.kubectl_with(&["apply", "-f", "-", "--field-manager=argocd-controller"], manifest);
            }
            Self::Kustomization => flux_apply(scene, manifest),
            Self::HelmRelease => {
                scene.kubectl_with(
                    &["apply", "--server-side", "--force-conflicts", "-f", "-", "--field-manager=helm-controller"],
                    manifest,
                );
            }
        }
    }

    /// The workload, deployed by its owner.
    fn deploy(self, scene: &Scene, name: &str, image: &str) {
        self.sync(scene, &self.manifest(name, Some(image)));
        scene.wait_rolled_out("Deployment", name);
    }
}

/// Flux's kustomize-controller, as version 1.9 was seen to do it: takes over what field managers that start with `kubectl` own; of a field
/// that it is to ignore it takes the value it finds; tries the apply, and only where that would change something applies with force, which
/// removes what is not in Git.
fn flux_apply(scene: &Scene, manifest: &Value) {
    let kind = manifest["kind"].as_str().unwrap();
    let kind = if kind == "Deployment" { "deployment.apps" } else { kind };
    let name = manifest["metadata"]["name"].as_str().unwrap();
    let mut manifest = manifest.clone();
    let found = scene.try_kubectl(&["get", kind, name, "--output=json", "--show-managed-fields"], None);
    if let Ok(live) = serde_json::from_slice::<Value>(&found.stdout) {
        let managers = live["metadata"]["managedFields"].as_array().unwrap().clone();
        let (taken, mut kept): (Vec<_>, Vec<_>) = managers.into_iter().partition(|f| {
            let manager = f["manager"].as_str().unwrap_or_default();
            manager.starts_with("kubectl") || manager == "before-first-apply"
        });
        for mut entry in taken.into_iter().filter(|f| f["subresource"].is_null()) {
            if let Some(own) = kept.iter_mut().find(|f| f["manager"] == FLUX && f["operation"] == "Apply") {
                merge(&mut own["fieldsV1"], &entry["fieldsV1"]);
            } else {
                entry["manager"] = json!(FLUX);
                entry["operation"] = json!("Apply");
                kept.push(entry);
            }
        }
        let patch = json!([{"op": "replace", "path": "/metadata/managedFields", "value": kept}]).to_string();
        if kept != live["metadata"]["managedFields"].as_array().unwrap().as_slice() {
            scene.kubectl(&["patch", kind, name, "--type=json", &format!("--field-manager={FLUX}"), "--patch", &patch]);
        }
        if let Some(container) = manifest.pointer_mut("/spec/template/spec/containers/0").filter(|c| c["image"].is_null()) {
            container["image"] = live["spec"]["template"]["spec"]["containers"][0]["image"].clone();
        }
        let tried: Value = serde_json::from_str(&flux_try(scene, &manifest, &["--dry-run=server", "--output=json"])).unwrap();
        let applied = |object: &Value| {
            (object["spec"].clone(), object["metadata"]["labels"].clone(), object["metadata"]["annotations"].clone())
        };
        // Its look, try and apply are milliseconds apart, ours are not: what changed in between is for the next sync.
        let meanwhile = tried["metadata"]["resourceVersion"] != scene.object(kind, name)["metadata"]["resourceVersion"];
        if applied(&tried) == applied(&live) || meanwhile {
            return;
        }
    }
    flux_try(scene, &manifest, &[]);
}

fn flux_try(scene: &Scene, manifest: &Value, how: &[&str]) -> String {
    let manager = format!("--field-manager={FLUX}");
    let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-", &manager];
    scene.kubectl_with(&[&apply, how].concat(), manifest)
}

const FLUX: &str = "kustomize-controller";

fn merge(into: &mut Value, from: &Value) {
    if let (Some(into), Some(from)) = (into.as_object_mut(), from.as_object()) {
        for (key, value) in from {
            merge(into.entry(key).or_insert_with(|| json!({})), value);
        }
    }
}

/// How often the pod template was changed: Kubernetes counts, whoever did it.
async fn flips(scene: &Scene, name: &str) -> i64 {
    let workload = scene.get_workload(name).await;
    workload.metadata.annotations.unwrap()["deployment.kubernetes.io/revision"].parse::<i64>().unwrap() - 1
}

/// The operator's writes to workloads.
fn own_writes(scene: &Scene) -> usize {
    scene.requests().iter().filter(|r| r.is_write() && r.resource == "deployments" && r.verb == "patch" && r.code < 400).count()
}

pub async fn git_delivers(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "git-delivers").await;
    for (name, owner) in [
        ("argo", Owner::ArgoAnnotation),
        ("labelled", Owner::ArgoLabel),
        ("flux", Owner::Kustomization),
        ("release", Owner::HelmRelease),
    ] {
        owner.deploy(&scene, name, OLD);
        scene.apply(&ready_ticket(name, name, NEW));
        let status = scene.wait_reason(name, "GitOpsOwned").await.status.unwrap();
        let said = status.message.unwrap();
        assert!(said.contains(owner.shown()) && said.contains("in Git") && said.contains("trackdown.dev/write: allow"), "{said}");
        owner.sync(&scene, &owner.manifest(name, Some(NEW)));
        scene.wait_rolled_out("Deployment", name);
        let delivered = Instant::now();
        scene.wait_done(name).await;
        assert!(
            delivered.elapsed() < Duration::from_secs(5),
            "seen at once, not looked for now and then: {:?}",
            delivered.elapsed()
        );
        let records = scene.records(name).await;
        assert_eq!((records.len(), records[0].spec.action, result(&records[0])), (1, Action::Observe, "RolloutComplete"));
        let status = records[0].status.as_ref().unwrap();
        assert_eq!((status.previous_images[0].image.as_str(), status.digests.len()), (OLD, 1));
        assert_eq!(flips(&scene, name).await, 1);
    }
    scene.requests_when_quiet(Duration::from_secs(1)).await;
    assert_eq!(own_writes(&scene), 0, "nothing is written to what Git owns, no label either");
}

/// What Git delivers does not run: Trackdown says so and touches nothing; Git goes back, and the next image is followed again.
pub async fn git_delivers_what_fails(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "git-delivers-bad").await;
    let owner = Owner::ArgoAnnotation;
    owner.deploy(&scene, "web", OLD);
    let mut ticket = ready_ticket("iss-1", "web", BAD);
    scene.apply(&ticket);
    scene.wait_reason("iss-1", "GitOpsOwned").await;
    owner.sync(&scene, &owner.manifest("web", Some(BAD)));
    let stalled = scene.wait_ticket("iss-1", "stalled", |t| holds(t, "Stalled")).await.status.unwrap();
    assert_eq!(stalled.reason.as_deref(), Some("RollbackRequiresGit"));
    let said = stalled.blocked_reason.unwrap();
    assert!(said.contains("ImagePullBackOff") && said.contains(&format!("put {OLD} back in Git")), "{said}");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!((flips(&scene, "web").await, scene.image("web").await.as_str(), own_writes(&scene)), (1, BAD, 0));
    owner.deploy(&scene, "web", OLD);
    let said = scene.wait_reason("iss-1", "RevertedInGit").await.status.unwrap().blocked_reason.unwrap();
    assert!(said.contains("ImagePullBackOff") && said.contains(&format!("has put {OLD} back")), "{said}");
    assert!(!said.contains("back in Git"), "nothing is left to be done: {said}");
    ticket["spec"]["targets"][0]["image"] = json!(NEW);
    scene.apply(&ticket);
    scene.wait_reason("iss-1", "GitOpsOwned").await;
    owner.sync(&scene, &owner.manifest("web", Some(NEW)));
    scene.wait_done("iss-1").await;
    assert_eq!((flips(&scene, "web").await, own_writes(&scene)), (3, 0), "each by Git");
}

/// Somebody puts the workload under Argo CD in the middle of a rollout, and Argo CD heals it: there is no second write.
pub async fn owner_appears_during_the_rollout(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "owner-appears-during").await;
    for (name, owner) in [("argo", Owner::ArgoAnnotation), ("flux", Owner::Kustomization)] {
        scene.workload(name, OLD, 2).await;
        scene.apply(&ready_ticket(name, name, "ghcr.io/acme/web:never"));
        let set = || async { (scene.image(name).await == "ghcr.io/acme/web:never").then_some(()) };
        scene.until("the image is set", set).await;
        owner.sync(&scene, &owner.manifest(name, Some(OLD)));
        let status = scene.wait_reason(name, "Contested").await.status.unwrap();
        let said = status.message.unwrap();
        assert!(said.contains(owner.shown()) && said.contains("set ghcr.io/acme/web:never in Git"), "{said}");
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!((flips(&scene, name).await, scene.image(name).await.as_str()), (2, OLD), "each wrote once");
    }
}

/// An owner that appears before the rollback now wants this image: only Git can go back.
pub async fn owner_appears_before_the_rollback(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "owner-appears-before").await;
    for (name, mark) in [
        ("argo", ["annotate", "argocd.argoproj.io/tracking-id=shop:apps/Deployment:x/argo"]),
        ("flux", ["label", "kustomize.toolkit.fluxcd.io/name=shop"]),
    ] {
        scene.workload(name, OLD, 1).await;
        let mut ticket = ready_ticket(name, name, "ghcr.io/acme/web:unready");
        ticket["spec"]["rollout"]["timeoutSeconds"] = json!(5);
        scene.apply(&ticket);
        let set = || async { (scene.image(name).await == "ghcr.io/acme/web:unready").then_some(()) };
        scene.until("the image is set", set).await;
        scene.kubectl(&[mark[0], "deployment.apps", name, mark[1]]);
        let status = scene.wait_reason(name, "RollbackRequiresGit").await.status.unwrap();
        assert!(status.message.unwrap().contains(&format!("put {OLD} back in Git")));
        assert_eq!((flips(&scene, name).await, scene.image(name).await.as_str()), (1, "ghcr.io/acme/web:unready"));
    }
}

/// The documented consent: the annotation, and a sync that leaves images alone. Self-heal goes on all the time.
pub async fn consent_with_ignored_differences(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "consent").await;
    let owner = Owner::Kustomization;
    owner.deploy(&scene, "web", OLD);
    let mut ignoring = owner.manifest("web", None);
    ignoring["metadata"]["annotations"] = json!({"trackdown.dev/write": "allow"});
    // What `.spec.ignore` does: Git's value of the field is not applied.
    let stop = AtomicBool::new(false);
    let heal = async {
        while !stop.load(Ordering::Relaxed) {
            owner.sync(&scene, &ignoring);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let deploy = async {
        let consents = || async {
            scene
                .get_workload("web")
                .await
                .metadata
                .annotations
                .is_some_and(|a| a.contains_key("trackdown.dev/write"))
                .then_some(())
        };
        scene.until("the owner consents", consents).await;
        scene.apply(&ready_ticket("iss-1", "web", NEW));
        scene.wait_done("iss-1").await;
        assert_eq!(flips(&scene, "web").await, 1);
        let mut bad = ready_ticket("iss-2", "web", BAD);
        bad["spec"]["rollout"]["maxAttempts"] = json!(1);
        scene.apply(&bad);
        scene.wait_ticket("iss-2", "stalled", |t| holds(t, "Stalled")).await;
        assert_eq!((flips(&scene, "web").await, scene.image("web").await.as_str()), (3, NEW), "there and back, by one hand");
        stop.store(true, Ordering::Relaxed);
    };
    futures::join!(heal, deploy);
    assert_eq!(result(&scene.records("iss-1").await[0]), "RolloutComplete");
}

/// Consent alone keeps nobody from bringing Git's image back: one write each, and the message says who and how that is ended.
pub async fn consent_alone_is_contested(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "consent-alone").await;
    for (name, owner, how) in [("flux", Owner::Kustomization, ".spec.ignore"), ("argo", Owner::ArgoAnnotation, "ignoreDifferences")]
    {
        let mut consenting = owner.manifest(name, Some(OLD));
        consenting["metadata"]["annotations"]["trackdown.dev/write"] = json!("allow");
        owner.sync(&scene, &consenting);
        scene.wait_rolled_out("Deployment", name);
        scene.apply(&ready_ticket(name, name, "ghcr.io/acme/web:never"));
        let set = || async { (scene.image(name).await == "ghcr.io/acme/web:never").then_some(()) };
        scene.until("the image is set", set).await;
        owner.sync(&scene, &consenting);
        let said = scene.wait_reason(name, "Contested").await.status.unwrap().message.unwrap();
        assert!(said.contains(owner.shown()) && said.contains(how) && said.contains("trackdown.dev/retry-requested"), "{said}");
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!((flips(&scene, name).await, scene.image(name).await.as_str()), (2, OLD), "each wrote once");
    }
}

/// Taking back what Git delivered is Git's to do; Trackdown says what, and sees it.
pub async fn taken_back_through_git(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "back-through-git").await;
    let owner = Owner::ArgoAnnotation;
    owner.deploy(&scene, "web", OLD);
    scene.apply(&ready_ticket("iss-1", "web", NEW));
    scene.wait_reason("iss-1", "GitOpsOwned").await;
    owner.sync(&scene, &owner.manifest("web", Some(NEW)));
    scene.wait_done("iss-1").await;
    scene.kubectl(&[
        "patch",
        "ticket",
        "iss-1",
        "--type=merge",
        "--patch",
        r#"{"spec":{"rollback":{"request":"1","by":"alice"}}}"#,
    ]);
    let status = scene.wait_reason("iss-1", "GitOpsOwned").await.status.unwrap();
    assert!(status.message.unwrap().contains(&format!("set image {OLD} in Git")));
    owner.sync(&scene, &owner.manifest("web", Some(OLD)));
    let taken = scene
        .wait_ticket("iss-1", "taken back", |t| t.status.as_ref().and_then(|s| s.reason.as_deref()) == Some("TakenBack"))
        .await;
    assert_eq!(state(&taken), Some(TicketState::ReadyForDeployment));
    assert_eq!((flips(&scene, "web").await, own_writes(&scene)), (2, 0));
}

/// Git owns the state: a commit is the transition, and a sync of the same commit is nothing.
pub async fn state_owned_by_git(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "state-of-git").await;
    scene.workload("web", OLD, 1).await;
    let ticket = ready_ticket("iss-1", "web", NEW);
    flux_apply(&scene, &ticket);
    let done = scene.wait_done("iss-1").await;
    assert_eq!(done.status.unwrap().history.last().unwrap().via.as_deref(), Some("kustomize-controller"));
    scene.requests_when_quiet(Duration::from_secs(1)).await;
    let before = scene.requests().len();
    flux_apply(&scene, &ticket);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let made = scene.requests();
    assert!(!made[before..].iter().any(Request::is_write), "{:#?}", &made[before..]);
    // What somebody moves by hand, the next sync moves back: the state is Git's.
    scene.kubectl(&["patch", "ticket", "iss-1", "--type=merge", "--patch", r#"{"spec":{"state":"active"}}"#]);
    scene.wait_ticket("iss-1", "active", |t| state(t) == Some(TicketState::Active)).await;
    flux_apply(&scene, &ticket);
    scene.wait_done("iss-1").await;
    assert_eq!(flips(&scene, "web").await, 1, "it runs already");
}

/// CI owns the state, which Git leaves out: under a manager of its own it stays; under `kubectl` Flux strips it, which asks for nothing.
pub async fn state_owned_by_ci(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "state-of-ci").await;
    scene.workload("web", OLD, 1).await;
    let mut ticket = ready_ticket("iss-1", "web", NEW);
    ticket["spec"].as_object_mut().unwrap().remove("state");
    flux_apply(&scene, &ticket);
    scene.wait_reason("iss-1", "NotReady").await;
    let set = |state: &str, manager: &str| {
        let patch = json!({"spec": {"state": state}}).to_string();
        scene.kubectl(&["patch", "ticket", "iss-1", "--type=merge", &format!("--field-manager={manager}"), "--patch", &patch]);
    };
    set("ready_for_deployment", "ci");
    let done = scene.wait_done("iss-1").await;
    assert_eq!(done.status.unwrap().history.last().unwrap().to, TicketState::Planning);
    flux_apply(&scene, &ticket);
    let kept = scene.ticket("iss-1").await;
    assert_eq!((kept.spec.state, state(&kept)), (Some(TicketState::ReadyForDeployment), Some(TicketState::Done)));

    set("active", "kubectl-patch");
    scene.wait_ticket("iss-1", "active", |t| state(t) == Some(TicketState::Active)).await;
    flux_apply(&scene, &ticket);
    let stripped = scene.ticket("iss-1").await;
    assert_eq!((stripped.spec.state, state(&stripped)), (None, Some(TicketState::Active)), "absent is no transition");
}

/// Where nobody reconciles, Trackdown writes, and says what would bring the old image back.
pub async fn old_manifests_are_warned_about(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "old-manifests").await;
    let mut manifest = Owner::ArgoLabel.manifest("web", Some(OLD));
    manifest["metadata"]["labels"] = json!({});
    scene.apply(&manifest);
    scene.wait_rolled_out("Deployment", "web");
    scene.workload("release", OLD, 1).await;
    scene.kubectl(&["annotate", "deployment.apps", "release", "meta.helm.sh/release-name=shop"]);
    for (name, warning) in
        [("web", "applying the workload's old manifest again"), ("release", "a helm upgrade with the old values")]
    {
        scene.apply(&ready_ticket(name, name, NEW));
        scene.wait_done(name).await;
        let said = || async {
            let events: Value = serde_json::from_str(&scene.kubectl(&["get", "events.events.k8s.io", "--output=json"])).unwrap();
            let about = |e: &&Value| e["reason"] == "ImageSet" && e["regarding"]["name"] == name;
            let note = events["items"].as_array().unwrap().iter().find(about).map(|e| e["note"].to_string());
            note.filter(|n| n.contains(warning))
        };
        scene.until(warning, said).await;
    }
}
