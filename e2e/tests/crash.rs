//! The operator dies, is doubled, or loses the API server: there is one rollout, and it ends right.

use std::sync::Arc;
use std::time::Duration;

use crate::harness::Scene;
use crate::harness::cluster::Cluster;
use crate::harness::operator::Operator;
use crate::harness::scene::{holds, ready_ticket, result};

/// Moments after the ticket was applied, in milliseconds: a good rollout takes about 150.
const MOMENTS: [u64; 14] = [0, 5, 10, 15, 20, 25, 30, 40, 50, 60, 80, 100, 140, 200];

pub async fn kill_at_any_moment(cluster: &Arc<Cluster>) {
    let mut scene = Scene::new(cluster, "kill-at-any-moment").await;
    for (round, moment) in MOMENTS.into_iter().enumerate() {
        let (good, bad) = (format!("good{round}"), format!("bad{round}"));
        scene.workload(&good, "ghcr.io/acme/web:1", 2).await;
        scene.workload(&bad, "ghcr.io/acme/web:1", 2).await;
        let before = scene.template(&bad).await;
        let mut hopeless = ready_ticket(&bad, &bad, "ghcr.io/acme/web:bad");
        hopeless["spec"]["rollout"]["maxAttempts"] = 1.into();
        scene.apply(&hopeless);
        scene.apply(&ready_ticket(&good, &good, "ghcr.io/acme/web:2"));
        tokio::time::sleep(Duration::from_millis(moment)).await;
        scene.kill_operator();
        scene.start_operator();
        scene.wait_done(&good).await;
        assert_eq!(scene.replica_sets(&good).await, 2, "one rollout after a kill at {moment} ms");
        scene.wait_ticket(&bad, "stalled", |t| holds(t, "Stalled")).await;
        assert_eq!(scene.replica_sets(&bad).await, 2, "one rollout after a kill at {moment} ms");
        assert_eq!(scene.template(&bad).await, before);
        let ends: Vec<_> = scene.records(&bad).await.iter().map(|r| result(r).to_owned()).collect();
        assert_eq!(ends, ["RolledBack"], "after a kill at {moment} ms");
    }
}

/// Killed in the middle, and a person undoes the rollout before it is back: theirs stands.
pub async fn kill_and_undo(cluster: &Arc<Cluster>) {
    let mut scene = Scene::new(cluster, "kill-and-undo").await;
    scene.workload("web", "ghcr.io/acme/web:1", 2).await;
    scene.apply(&ready_ticket("iss-1", "web", "ghcr.io/acme/web:never"));
    scene.until("the image is set", || async { (scene.image("web").await == "ghcr.io/acme/web:never").then_some(()) }).await;
    scene.kill_operator();
    scene.kubectl(&["rollout", "undo", "deployment/web"]);
    scene.start_operator();
    let status = scene.wait_ticket("iss-1", "stalled", |t| holds(t, "Stalled")).await.status.unwrap();
    assert_eq!(status.reason.as_deref(), Some("Contested"));
    assert_eq!(scene.image("web").await, "ghcr.io/acme/web:1");
    assert_eq!(scene.replica_sets("web").await, 2);
}

/// Leader election off, two operators at work: it is an optimisation, nothing more.
pub async fn two_replicas_at_once(cluster: &Arc<Cluster>) {
    let scene = Scene::without_operator(cluster, "two-at-once", &["--set", "leaderElection.enabled=false"]).await;
    let both = [0, 1].map(|i| Operator::start(cluster, &scene.namespace, &format!("trackdown-{i}")));
    both.iter().for_each(Operator::wait_ready);
    for round in 0..8 {
        let (good, bad) = (format!("good{round}"), format!("bad{round}"));
        scene.workload(&good, "ghcr.io/acme/web:1", 2).await;
        scene.workload(&bad, "ghcr.io/acme/web:1", 2).await;
        let mut hopeless = ready_ticket(&bad, &bad, "ghcr.io/acme/web:bad");
        hopeless["spec"]["rollout"]["maxAttempts"] = 1.into();
        scene.apply(&hopeless);
        scene.apply(&ready_ticket(&good, &good, "ghcr.io/acme/web:2"));
        scene.wait_done(&good).await;
        assert_eq!(scene.replica_sets(&good).await, 2);
        scene.wait_ticket(&bad, "stalled", |t| holds(t, "Stalled")).await;
        assert_eq!((scene.replica_sets(&bad).await, scene.image(&bad).await.as_str()), (2, "ghcr.io/acme/web:1"));
        assert_eq!(scene.records(&bad).await.len(), 1);
    }
}

pub async fn restart_writes_nothing(cluster: &Arc<Cluster>) {
    let mut scene = Scene::new(cluster, "restart-writes-nothing").await;
    for name in ["good", "bad", "parked"] {
        scene.workload(name, "ghcr.io/acme/web:1", 1).await;
    }
    scene.apply(&ready_ticket("good", "good", "ghcr.io/acme/web:2"));
    scene.apply(&ready_ticket("bad", "bad", "ghcr.io/acme/web:bad"));
    let mut parked = ready_ticket("parked", "parked", "ghcr.io/acme/web:2");
    parked["spec"]["automationEligible"] = false.into();
    scene.apply(&parked);
    scene.wait_done("good").await;
    scene.wait_reason("parked", "NotEligible").await;
    scene.wait_ticket("bad", "stalled", |t| holds(t, "Stalled")).await;
    let before = scene.requests_when_quiet(Duration::from_secs(2)).await.len();
    scene.kill_operator();
    scene.start_operator();
    let made = scene.requests_when_quiet(Duration::from_secs(4)).await;
    let writes: Vec<_> = made[before..].iter().filter(|r| r.is_write()).collect();
    assert!(writes.is_empty(), "{writes:#?}");
}

/// The API server goes away in the middle of a rollout and comes back.
pub async fn api_server_restarts(_: &Arc<Cluster>) {
    // A control plane of its own: the others must not notice.
    let own = Arc::new(Cluster::with_crds(&[]));
    let scene = Scene::new(&own, "api-server-restarts").await;
    scene.workload("web", "ghcr.io/acme/web:1", 2).await;
    scene.apply(&ready_ticket("iss-1", "web", "ghcr.io/acme/web:slow"));
    scene.until("the image is set", || async { (scene.image("web").await != "ghcr.io/acme/web:1").then_some(()) }).await;
    own.control("kill", "kube-apiserver");
    tokio::time::sleep(Duration::from_secs(3)).await;
    own.control("start", "kube-apiserver");
    let ready = scene.operator.as_ref().unwrap();
    assert!(matches!(ready.get("/healthz"), Some((200, _))), "{:?}", ready.get("/healthz"));
    scene.wait_done("iss-1").await;
    assert_eq!(scene.replica_sets("web").await, 2);
}

/// Killed between the write and the word of it, and a person deletes the workload and creates it again: whether it was written is not
/// known, so nothing is rolled out again by itself.
pub async fn kill_and_recreate(cluster: &Arc<Cluster>) {
    let mut scene = Scene::without_operator(cluster, "kill-and-recreate", &[]).await;
    let proxy = scene.start_operator_behind_proxy();
    scene.workload("web", "ghcr.io/acme/web:1", 1).await;
    let held = proxy.lose_answer("web", 1);
    scene.apply(&ready_ticket("iss-1", "web", "ghcr.io/acme/web:never"));
    scene.until("the image is set", || async { (scene.image("web").await == "ghcr.io/acme/web:never").then_some(()) }).await;
    scene.kill_operator();
    held.release();
    scene.kubectl(&["delete", "deployment.apps", "web"]);
    scene.workload("web", "ghcr.io/acme/web:1", 1).await;
    scene.start_operator();
    let status = scene.wait_ticket("iss-1", "stalled", |t| holds(t, "Stalled")).await.status.unwrap();
    assert_eq!(status.reason.as_deref(), Some("Aborted"));
    let said = status.message.unwrap();
    assert!(said.contains("the outcome of the write was unknown") && !said.contains("nothing was written"), "{said}");
    scene.requests_when_quiet(Duration::from_secs(1)).await;
    assert_eq!((scene.image("web").await.as_str(), scene.records("iss-1").await.len()), ("ghcr.io/acme/web:1", 1));
}

/// Refused once; then written, the answer lost, and a person undoes it: that there was a refusal before does not make it unwritten.
pub async fn refused_then_lost_then_undone(cluster: &Arc<Cluster>) {
    let mut scene = Scene::without_operator(cluster, "refused-then-lost", &[]).await;
    let proxy = scene.start_operator_behind_proxy();
    scene.workload("web", "ghcr.io/acme/web:1", 1).await;
    scene.freeze().await;
    let held = proxy.lose_answer("web", 1);
    scene.apply(&ready_ticket("iss-1", "web", "ghcr.io/acme/web:never"));
    scene.wait_reason("iss-1", "WriteRefused").await;
    scene.thaw();
    scene.kubectl(&["label", "ticket", "iss-1", "look=again"]);
    scene.until("the image is set", || async { (scene.image("web").await == "ghcr.io/acme/web:never").then_some(()) }).await;
    scene.until("there is something to undo", || async { (scene.replica_sets("web").await == 2).then_some(()) }).await;
    scene.kubectl(&["rollout", "undo", "deployment/web"]);
    held.release();
    let status = scene.wait_ticket("iss-1", "stalled", |t| holds(t, "Stalled")).await.status.unwrap();
    assert_eq!(status.reason.as_deref(), Some("Contested"), "{:?}", status.message);
    scene.requests_when_quiet(Duration::from_secs(1)).await;
    assert_eq!((scene.image("web").await.as_str(), scene.records("iss-1").await.len()), ("ghcr.io/acme/web:1", 1));
}
