//! Deployments that are taken back by hand, and targets that are done again.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use trackdown_api::ticket::TicketState;

use crate::harness::Scene;
use crate::harness::cluster::Cluster;
use crate::harness::scene::{holds, ready_ticket, result, state};

const OLD: &str = "ghcr.io/acme/web:1";
const NEW: &str = "ghcr.io/acme/web:2";

/// Asks for a rollback as a person would, under a field manager of that person's own.
fn ask(scene: &Scene, ticket: &str, rollback: &Value) {
    let patch = json!({"spec": {"rollback": rollback}}).to_string();
    scene.kubectl(&["patch", "ticket", ticket, "--type=merge", "--field-manager=oncall", "--patch", &patch]);
}

pub async fn to_what_ran_before(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "to-what-ran-before").await;
    scene.workload("web", OLD, 2).await;
    let before = scene.template("web").await;
    scene.apply(&ready_ticket("iss-1", "web", NEW));
    scene.wait_done("iss-1").await;
    ask(&scene, "iss-1", &json!({"request": "1", "by": "alice", "reason": "checkout is slow"}));
    let ticket = scene.wait_reason("iss-1", "TakenBack").await;
    let status = ticket.status.clone().unwrap();
    assert_eq!(scene.template("web").await, before, "byte-equal pod template");
    let said = status.message.as_ref().unwrap();
    assert!(said.contains("2 pods run ghcr.io/acme/web:1 again; alice asked for it: checkout is slow"), "{said}");
    assert_eq!(state(&ticket), Some(TicketState::ReadyForDeployment), "it is not done any more");
    assert!(!holds(&ticket, "Deployed") && !holds(&ticket, "Stalled") && !holds(&ticket, "Reconciling"), "parked");
    let step = &status.history[0];
    assert_eq!((step.by.as_deref(), step.via.as_deref()), (Some("alice"), Some("oncall")));

    let records = scene.records("iss-1").await;
    assert_eq!(records.iter().map(result).collect::<Vec<_>>(), ["RolloutComplete", "RollbackComplete"]);
    let back = &records[1];
    assert_eq!(back.spec.rollback_of, records[0].metadata.name);
    let asked = back.spec.requested_by.clone().unwrap();
    assert_eq!(
        (asked.by.as_deref(), asked.via.as_deref(), asked.reason.as_deref()),
        (Some("alice"), Some("oncall"), Some("checkout is slow"))
    );
    let listed = scene.kubectl(&["get", "tdep", "--output=wide"]);
    assert!(listed.contains("alice") && listed.contains("BEFORE"), "{listed}");

    // The same request again is nothing, and the ticket does not deploy by itself.
    scene.requests_when_quiet(Duration::from_secs(1)).await;
    ask(&scene, "iss-1", &json!({"request": "1", "by": "bob", "reason": "checkout is slow"}));
    scene.kubectl(&["label", "ticket", "iss-1", "synced=again"]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!((scene.records("iss-1").await.len(), scene.image("web").await.as_str()), (2, OLD));
    // A request that cannot be met changes nothing, and withdrawn it is as if it had not been.
    ask(&scene, "iss-1", &json!({"request": "typo", "to": "no-such-record"}));
    scene.wait_reason("iss-1", "RollbackImpossible").await;
    scene.kubectl(&["patch", "ticket", "iss-1", "--type=merge", "--patch", r#"{"spec":{"rollback":null}}"#]);
    scene.wait_reason("iss-1", "TakenBack").await;
    assert_eq!((scene.records("iss-1").await.len(), scene.image("web").await.as_str()), (2, OLD));
    // A person's word deploys again.
    scene.kubectl(&["annotate", "ticket", "iss-1", "trackdown.dev/retry-requested=1"]);
    scene.wait_done("iss-1").await;
    assert_eq!(scene.image("web").await, NEW);
    // Taken back and closed, it stays closed, and claims no deployment.
    ask(&scene, "iss-1", &json!({"request": "2"}));
    scene.wait_reason("iss-1", "TakenBack").await;
    scene.kubectl(&["patch", "ticket", "iss-1", "--type=merge", "--patch", r#"{"spec":{"state":"done"}}"#]);
    let closed = scene.wait_done("iss-1").await;
    assert!(!holds(&closed, "Deployed"));
    scene.requests_when_quiet(Duration::from_secs(1)).await;
    assert_eq!((state(&scene.ticket("iss-1").await), scene.image("web").await.as_str()), (Some(TicketState::Done), OLD));
}

pub async fn to_a_named_record(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "to-a-named-record").await;
    scene.workload("web", OLD, 1).await;
    for n in 2..5 {
        scene.apply(&ready_ticket(&format!("iss-{n}"), "web", &format!("ghcr.io/acme/web:{n}")));
        scene.wait_done(&format!("iss-{n}")).await;
    }
    let second = scene.records("iss-2").await[0].metadata.name.clone().unwrap();
    ask(&scene, "iss-4", &json!({"request": "now", "to": second}));
    let status = scene.wait_reason("iss-4", "TakenBack").await.status.unwrap();
    assert!(status.message.unwrap().contains("oncall asked for it: no reason given"), "the field manager, where nobody says who");
    assert_eq!(scene.image("web").await, "ghcr.io/acme/web:2");
    let back = scene.records("iss-4").await[1].clone();
    assert_eq!(back.spec.rollback_to, Some(second));
    assert_eq!(back.status.unwrap().previous_images[0].image, "ghcr.io/acme/web:4");
}

/// Asked for in the middle of the rollout: it is ended and put back at once.
pub async fn while_it_rolls_out(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "while-it-rolls-out").await;
    scene.workload("web", OLD, 1).await;
    scene.apply(&ready_ticket("iss-1", "web", "ghcr.io/acme/web:never"));
    let rolled = || async { (scene.image("web").await == "ghcr.io/acme/web:never").then_some(()) };
    scene.until("the image is set", rolled).await;
    ask(&scene, "iss-1", &json!({"request": "1"}));
    scene.wait_reason("iss-1", "Aborted").await;
    assert_eq!(scene.image("web").await, OLD);
    assert_eq!(scene.records("iss-1").await.len(), 1, "one record tells it all");
}

pub async fn refuses_what_it_cannot(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "refuses-what-it-cannot").await;
    scene.workload("web", OLD, 1).await;
    scene.workload("api", OLD, 1).await;
    // At birth a request is only noted.
    let mut ticket = ready_ticket("iss-1", "web", NEW);
    ticket["spec"]["rollback"] = json!({"request": "born with it"});
    scene.apply(&ticket);
    let done = scene.wait_done("iss-1").await;
    assert_eq!(done.status.unwrap().last_handled_rollback.as_deref(), Some("born with it"));
    scene.apply(&ready_ticket("iss-2", "api", NEW));
    scene.wait_done("iss-2").await;

    let of_api = scene.records("iss-2").await[0].metadata.name.clone().unwrap();
    ask(&scene, "iss-1", &json!({"request": "1", "to": of_api}));
    let refused = scene.wait_reason("iss-1", "RollbackImpossible").await;
    let said = refused.status.as_ref().unwrap().message.clone().unwrap();
    assert!(said.contains("is about Deployment refuses-what-it-cannot/api"), "{said}");
    assert_eq!((scene.image("web").await.as_str(), state(&refused)), (NEW, Some(TicketState::Done)), "it still is deployed");
    // A request that was removed is withdrawn.
    scene.kubectl(&["patch", "ticket", "iss-1", "--type=merge", "--patch", r#"{"spec":{"rollback":null}}"#]);
    let withdrawn = scene.wait_reason("iss-1", "Deployed").await;
    assert!(holds(&withdrawn, "Deployed") && withdrawn.status.unwrap().targets[0].rollback.is_none());
    // A person who has taken over is not run over.
    scene.kubectl(&[
        "patch",
        "ticket",
        "iss-1",
        "--type=merge",
        "--patch",
        r#"{"spec":{"manualOverride":true,"rollback":{"request":"2","to":null}}}"#,
    ]);
    scene.wait_reason("iss-1", "ManualOverride").await;
    assert_eq!(scene.image("web").await, NEW);

    // A later ticket's image is not this one's to take back.
    scene.apply(&ready_ticket("iss-3", "api", "ghcr.io/acme/web:3"));
    scene.wait_done("iss-3").await;
    ask(&scene, "iss-2", &json!({"request": "1"}));
    scene.wait_reason("iss-2", "WorkloadMovedOn").await;
    assert_eq!(scene.image("api").await, "ghcr.io/acme/web:3");
    // The same image again, but by another ticket's hand: the rollback that waits is none of its business.
    scene.apply(&ready_ticket("iss-5", "api", NEW));
    scene.wait_done("iss-5").await;
    scene.kubectl(&["label", "ticket", "iss-2", "look=again"]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(scene.image("api").await, NEW);
    // What the ticket found there already was set by another one: not its to take back.
    scene.apply(&ready_ticket("iss-4", "api", NEW));
    scene.wait_done("iss-4").await;
    ask(&scene, "iss-4", &json!({"request": "1"}));
    scene.wait_reason("iss-4", "RollbackImpossible").await;
    // A target that does not exist is refused at once.
    let typo = r#"{"spec":{"rollback":{"request":"1","targets":["nobody"]}}}"#;
    let output = scene.try_kubectl(&["patch", "ticket", "iss-5", "--type=merge", "--patch", typo], None);
    assert!(String::from_utf8_lossy(&output.stderr).contains("names a target the ticket does not have"));
    // Nothing was deployed: an Event says so, and nothing else happens.
    let mut planned = ready_ticket("iss-6", "api", NEW);
    planned["spec"]["state"] = json!("planning");
    scene.apply(&planned);
    scene.wait_reason("iss-6", "NotReady").await;
    ask(&scene, "iss-6", &json!({"request": "1"}));
    let event = || async {
        let events = scene.kubectl(&["get", "events.events.k8s.io", "--field-selector=reason=NothingToTakeBack", "--output=name"]);
        (!events.trim().is_empty()).then_some(())
    };
    scene.until("the Event", event).await;
    assert_eq!(state(&scene.ticket("iss-5").await), Some(TicketState::Done));
}

/// What was asked for is about the target as it stood: edited meanwhile, it is another workload, or another deployment.
pub async fn is_not_moved_to_another_workload(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "not-moved").await;
    scene.workload("web", OLD, 1).await;
    scene.workload("api", OLD, 1).await;
    scene.apply(&ready_ticket("of-api", "api", NEW));
    scene.wait_done("of-api").await;
    scene.apply(&ready_ticket("later", "api", "ghcr.io/acme/web:3"));
    scene.wait_done("later").await;
    let of_api = scene.records("of-api").await[0].metadata.name.clone().unwrap();
    let mut ticket = ready_ticket("iss-1", "web", NEW);
    ticket["spec"]["state"] = json!("active");
    scene.apply(&ticket);
    scene.wait_reason("iss-1", "NotReady").await;
    ask(&scene, "iss-1", &json!({"request": "1", "to": of_api}));
    scene.wait_reason("iss-1", "RollbackImpossible").await;
    ticket["spec"]["targets"][0]["workloadRef"] = json!({"name": "api"});
    scene.apply(&ticket);
    scene.wait_reason("iss-1", "NotReady").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(scene.image("api").await, "ghcr.io/acme/web:3");
}

/// What was held after its failure can be taken back.
pub async fn held_failure_is_taken_back(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "held-failure").await;
    scene.workload("web", OLD, 1).await;
    let mut ticket = ready_ticket("iss-1", "web", "ghcr.io/acme/web:bad");
    ticket["spec"]["rollout"]["onFailure"] = json!("Hold");
    scene.apply(&ticket);
    scene.wait_reason("iss-1", "RolloutFailed").await;
    ask(&scene, "iss-1", &json!({"request": "1"}));
    scene.wait_reason("iss-1", "TakenBack").await;
    assert_eq!(scene.image("web").await, OLD);
}

/// Between two tries the rollback has happened: what is asked for is that there is no other try.
pub async fn ends_the_tries(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "ends-the-tries").await;
    scene.workload("web", OLD, 1).await;
    let mut ticket = ready_ticket("iss-1", "web", "ghcr.io/acme/web:bad");
    ticket["spec"]["rollout"]["backoffSeconds"] = json!(60);
    scene.apply(&ticket);
    scene.wait_reason("iss-1", "BackingOff").await;
    ask(&scene, "iss-1", &json!({"request": "1"}));
    let status = scene.wait_reason("iss-1", "Aborted").await.status.unwrap();
    assert!(status.message.unwrap().contains("not tried again, as spec.rollback asks"));
}

/// A ticket that was closed by hand and is taken back asks for no deployment, whoever edits its targets: only `spec.state` does.
pub async fn closed_ticket_stays_closed(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "closed-ticket").await;
    scene.workload("web", OLD, 1).await;
    let mut ticket = ready_ticket("iss-1", "web", NEW);
    scene.apply(&ticket);
    scene.wait_done("iss-1").await;
    // Nor does one that leaves its state out: the policy would not have asked for the right to deploy.
    let evil = json!({"spec": {"state": null, "targets": [{"name": "web", "image": "ghcr.io/acme/web:evil"}]}}).to_string();
    scene.kubectl(&["patch", "ticket", "iss-1", "--type=merge", "--patch", &evil]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!((state(&scene.ticket("iss-1").await), scene.image("web").await.as_str()), (Some(TicketState::Done), NEW));
    ticket["spec"]["state"] = json!("done");
    scene.apply(&ticket);
    ask(&scene, "iss-1", &json!({"request": "1"}));
    let status = scene.wait_reason("iss-1", "TakenBack").await.status.unwrap();
    assert_eq!((status.deployed_by, status.deployed_targets.as_deref()), (None, Some("0/1")), "nobody claims a deployment");
    ticket["spec"]["targets"][0]["image"] = json!("ghcr.io/acme/web:3");
    scene.apply(&ticket);
    scene.wait_reason("iss-1", "NotAsked").await;
    scene.kubectl(&["annotate", "ticket", "iss-1", "trackdown.dev/retry-requested=1", "retry.trackdown.dev/web=1"]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(scene.image("web").await, OLD);
    ticket["spec"]["state"] = json!("ready_for_deployment");
    scene.apply(&ticket);
    scene.wait_done("iss-1").await;
    assert_eq!(scene.image("web").await, "ghcr.io/acme/web:3");
}

pub async fn one_target_of_two(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "one-target-back").await;
    scene.workload("web", OLD, 1).await;
    scene.workload("api", OLD, 1).await;
    let mut ticket = ready_ticket("iss-1", "web", NEW);
    ticket["spec"]["targets"] = json!([{"name": "web", "image": NEW}, {"name": "api", "image": NEW}]);
    scene.apply(&ticket);
    scene.wait_done("iss-1").await;
    ask(&scene, "iss-1", &json!({"request": "1", "targets": ["api"]}));
    let status = scene.wait_reason("iss-1", "TakenBack").await.status.unwrap();
    assert_eq!(status.deployed_targets.as_deref(), Some("1/2"));
    assert_eq!((scene.image("web").await.as_str(), scene.image("api").await.as_str()), (NEW, OLD));
    // A fixed image for that target is a new request for it alone.
    ticket["spec"]["targets"][1]["image"] = json!("ghcr.io/acme/web:3");
    scene.apply(&ticket);
    scene.wait_done("iss-1").await;
    assert_eq!((scene.replica_sets("web").await, scene.image("api").await.as_str()), (2, "ghcr.io/acme/web:3"));
}

/// A rollback is verified like a rollout; one that fails is left for a person.
pub async fn bad_old_image_stays(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "bad-old-image").await;
    scene.workload("web", OLD, 1).await;
    scene.apply(&ready_ticket("iss-1", "web", NEW));
    scene.wait_done("iss-1").await;
    // The registry has lost the old image: what was good once does not start any more.
    scene.apply(&json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "full"}, "spec": {"hard": {"pods": "1"}},
    }));
    ask(&scene, "iss-1", &json!({"request": "1"}));
    let stalled = scene.wait_ticket("iss-1", "stalled", |t| holds(t, "Stalled")).await.status.unwrap();
    assert_eq!(stalled.reason.as_deref(), Some("RollbackFailed"));
    assert_eq!(result(&scene.records("iss-1").await[1]), "RollbackFailed");
    assert_eq!(scene.image("web").await, OLD, "left as it is");
    assert!(stalled.message.unwrap().contains("a new spec.rollback.request"));
    // Once the cause is gone, the same is asked for again.
    scene.kubectl(&["delete", "quota", "full"]);
    scene.wait_rolled_out("deployment.apps", "web");
    ask(&scene, "iss-1", &json!({"request": "2"}));
    scene.wait_reason("iss-1", "TakenBack").await;
}

/// One target alone, though it is deployed: somebody changed it meanwhile.
pub async fn one_target_done_again(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "one-target-again").await;
    scene.workload("web", OLD, 1).await;
    scene.workload("api", OLD, 1).await;
    let mut ticket = ready_ticket("iss-1", "web", NEW);
    ticket["spec"]["targets"] = json!([{"name": "web", "image": NEW}, {"name": "api", "image": NEW}]);
    scene.apply(&ticket);
    scene.wait_done("iss-1").await;
    for name in ["web", "api"] {
        scene.kubectl(&["set", "image", &format!("deployment.apps/{name}"), "*=ghcr.io/acme/web:other"]);
        scene.kubectl(&["rollout", "status", &format!("deployment.apps/{name}"), "--timeout=60s"]);
    }
    scene.kubectl(&["annotate", "ticket", "iss-1", "retry.trackdown.dev/web=1"]);
    scene
        .wait_ticket("iss-1", "done again", |t| {
            state(t) == Some(TicketState::Done) && t.status.as_ref().unwrap().targets[0].attempt == 2
        })
        .await;
    assert_eq!((scene.image("web").await.as_str(), scene.image("api").await.as_str()), (NEW, "ghcr.io/acme/web:other"));
}

/// Asked for while the record is taking itself back: there is no other try, and the request is not lost.
pub async fn while_it_takes_itself_back(cluster: &Arc<Cluster>) {
    let mut scene = Scene::without_operator(cluster, "takes-itself-back", &[]).await;
    let proxy = scene.start_operator_behind_proxy();
    scene.workload("web", OLD, 1).await;
    let mut ticket = ready_ticket("iss-1", "web", "ghcr.io/acme/web:bad");
    ticket["spec"]["rollout"] = json!({"maxAttempts": 2, "backoffSeconds": 1});
    // The second patch of the workload is the one that goes back.
    let back = proxy.hold("web", 2);
    scene.apply(&ticket);
    assert!(back.is_held(Duration::from_secs(30)).await);
    ask(&scene, "iss-1", &json!({"request": "1"}));
    back.release();
    let status = scene.wait_reason("iss-1", "Aborted").await.status.unwrap();
    assert_eq!(status.targets[0].tries, 1, "the try counts");
    scene.requests_when_quiet(Duration::from_secs(3)).await;
    assert_eq!((scene.records("iss-1").await.len(), scene.image("web").await.as_str()), (1, OLD));
}

/// A second request while the first is being carried out is taken in when that has ended.
pub async fn a_second_request_waits_for_the_first(cluster: &Arc<Cluster>) {
    let mut scene = Scene::without_operator(cluster, "second-request", &[]).await;
    let proxy = scene.start_operator_behind_proxy();
    scene.workload("web", OLD, 1).await;
    for n in 2..5 {
        scene.apply(&ready_ticket(&format!("iss-{n}"), "web", &format!("ghcr.io/acme/web:{n}")));
        scene.wait_done(&format!("iss-{n}")).await;
    }
    scene.requests_when_quiet(Duration::from_secs(1)).await;
    let second = scene.records("iss-2").await[0].metadata.name.clone().unwrap();
    let first = proxy.hold("web", 1);
    ask(&scene, "iss-4", &json!({"request": "1"}));
    assert!(first.is_held(Duration::from_secs(30)).await);
    ask(&scene, "iss-4", &json!({"request": "2", "to": second}));
    first.release();
    scene.until("the second request", || async { (scene.image("web").await == "ghcr.io/acme/web:2").then_some(()) }).await;
    let status = scene.wait_reason("iss-4", "TakenBack").await.status.unwrap();
    assert_eq!(status.last_handled_rollback.as_deref(), Some("2"));
    assert_eq!(scene.records("iss-4").await.len(), 3);
}

/// What cannot be done, and is withdrawn, was never asked for: the tries go on.
pub async fn withdrawn_between_two_tries(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "withdrawn-between").await;
    scene.workload("web", OLD, 1).await;
    let mut ticket = ready_ticket("iss-1", "web", "ghcr.io/acme/web:bad");
    ticket["spec"]["rollout"] = json!({"maxAttempts": 2, "backoffSeconds": 8});
    scene.apply(&ticket);
    scene.wait_reason("iss-1", "BackingOff").await;
    ask(&scene, "iss-1", &json!({"request": "1", "to": "nonexistent"}));
    scene.wait_reason("iss-1", "RollbackImpossible").await;
    scene.kubectl(&["patch", "ticket", "iss-1", "--type=merge", "--patch", r#"{"spec":{"rollback":null}}"#]);
    let again = scene.wait_reason("iss-1", "BackingOff").await.status.unwrap();
    assert!(again.targets[0].record.is_some() && again.targets[0].rollback.is_none());
    let status = scene.wait_ticket("iss-1", "stalled", |t| holds(t, "Stalled")).await.status.unwrap();
    assert_eq!((status.reason.as_deref(), scene.records("iss-1").await.len()), (Some("RetriesExhausted"), 2));
}
