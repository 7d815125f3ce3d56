//! What people read: Events, columns, warnings, and what a ticket says after it is over.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use trackdown_api::ticket::Ticket;

use crate::harness::Scene;
use crate::harness::cluster::Cluster;
use crate::harness::scene::{holds, ready_ticket};

const OLD: &str = "ghcr.io/acme/web:1";

/// Notes of the Events of a reason, with the record each is about.
fn events(scene: &Scene, reason: &str) -> Vec<(String, String)> {
    let listed = scene.kubectl(&["get", "events.events.k8s.io", "--output=json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let own = listed["items"].as_array().unwrap().iter().filter(|e| e["reason"] == reason);
    own.map(|e| (text(&e["note"]), text(&e["related"]["name"]))).collect()
}

/// An Event is about one attempt of one ticket, however alike it looks to another.
pub async fn events_name_their_attempt(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "events-name").await;
    scene.workload("web", OLD, 1).await;
    for n in 2..4 {
        scene.apply(&ready_ticket(&format!("iss-{n}"), "web", &format!("ghcr.io/acme/web:{n}")));
        scene.wait_done(&format!("iss-{n}")).await;
    }
    let mut bad = ready_ticket("iss-4", "web", "ghcr.io/acme/web:bad");
    bad["spec"]["rollout"] = json!({"maxAttempts": 2, "backoffSeconds": 1});
    scene.apply(&bad);
    scene.wait_ticket("iss-4", "stalled", |t| holds(t, "Stalled")).await;
    scene.kubectl(&["patch", "ticket", "iss-3", "--type=merge", "--patch", r#"{"spec":{"rollback":{"request":"1"}}}"#]);
    scene.wait_reason("iss-3", "TakenBack").await;
    let all = || async { (events(&scene, "ImageSet").len() == 4 && events(&scene, "ImageRolledBack").len() == 3).then_some(()) };
    scene.until("an Event for each write", all).await;
    let set = events(&scene, "ImageSet");
    for (ticket, image) in
        [("ISS-2", "web=ghcr.io/acme/web:2"), ("ISS-3", "web=ghcr.io/acme/web:3"), ("ISS-4", "web=ghcr.io/acme/web:bad")]
    {
        assert!(set.iter().any(|(note, _)| note.contains(&format!("ticket {ticket} set {image}"))), "{ticket}: {set:?}");
    }
    let back = events(&scene, "ImageRolledBack");
    for attempt in [1, 2] {
        let failed = format!("rollout of ticket ISS-4, attempt {attempt}, failed: web=ghcr.io/acme/web:3 put back");
        assert!(back.iter().any(|(note, _)| note.contains(&failed)), "{back:?}");
    }
    assert!(
        back.iter().any(|(note, _)| note.contains("deployment of ticket ISS-3 taken back: web=ghcr.io/acme/web:2 put back")),
        "{back:?}"
    );
    for (note, record) in set.iter().chain(&back).chain(&events(&scene, "RolloutStarted")) {
        assert!(!record.is_empty() && note.contains(&format!("tdep/{record}")), "{note} is about {record}");
    }
}

/// A done ticket tells what was; that it was replaced is one write.
pub async fn a_done_ticket_is_history(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "done-is-history").await;
    scene.workload("web", OLD, 1).await;
    scene.apply(&ready_ticket("iss-1", "web", "ghcr.io/acme/web:2"));
    scene.wait_done("iss-1").await;
    // A failure in between replaces nothing.
    let mut bad = ready_ticket("iss-2", "web", "ghcr.io/acme/web:bad");
    bad["spec"]["rollout"]["maxAttempts"] = json!(1);
    scene.apply(&bad);
    scene.wait_ticket("iss-2", "stalled", |t| holds(t, "Stalled")).await;
    scene.requests_when_quiet(Duration::from_secs(1)).await;
    let by = |t: &Ticket| t.status.as_ref().and_then(|s| s.targets[0].superseded_by.clone());
    assert_eq!(by(&scene.ticket("iss-1").await), None);
    let before = writes_of(&scene, "iss-1").await;
    scene.apply(&ready_ticket("iss-3", "web", "ghcr.io/acme/web:3"));
    let replaced = scene.wait_ticket("iss-1", "replaced", |t| by(t).as_deref() == Some("iss-3")).await;
    assert!(holds(&replaced, "Deployed"), "what it asked for was deployed");
    assert_eq!(
        replaced.status.unwrap().message.as_deref(),
        Some("deployed by trackdown; since then ticket iss-3 has deployed web")
    );
    assert_eq!(writes_of(&scene, "iss-1").await, before + 1);
    assert_eq!(by(&scene.ticket("iss-3").await), None);
    // Taken back, it runs again.
    scene.kubectl(&["patch", "ticket", "iss-3", "--type=merge", "--patch", r#"{"spec":{"rollback":{"request":"1"}}}"#]);
    scene.wait_ticket("iss-1", "not replaced any more", |t| by(t).is_none()).await;
    assert_eq!(scene.image("web").await, "ghcr.io/acme/web:2");
}

/// Done by hand is not deployed by Trackdown, and the ticket says whose word it is.
pub async fn closed_by_hand(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "closed-by-hand").await;
    let mut ticket = ready_ticket("iss-1", "web", "ghcr.io/acme/web:2");
    ticket["spec"]["state"] = json!("ready_for_qa");
    scene.apply(&ticket);
    scene.wait_reason("iss-1", "NotReady").await;
    let done = json!({"spec": {"state": "done", "stateMetadata": {"transitionedBy": "alice"}}}).to_string();
    scene.kubectl(&["patch", "ticket", "iss-1", "--type=merge", "--field-manager=shell", "--patch", &done]);
    let closed = scene.wait_reason("iss-1", "Done").await;
    assert!(!holds(&closed, "Deployed"));
    let message = closed.status.unwrap().message.unwrap();
    assert!(message.starts_with("closed by hand by alice via shell: nobody said who deployed"), "{message}");
}

async fn writes_of(scene: &Scene, ticket: &str) -> usize {
    let requests = scene.requests_when_quiet(Duration::from_secs(1)).await;
    requests.iter().filter(|r| r.is_write() && r.resource == "tickets" && r.name == ticket).count()
}

/// A name that means no target is told, and corrected it is taken in.
pub async fn unknown_targets_are_told(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "unknown-targets").await;
    scene.workload("web", OLD, 1).await;
    scene.apply(&ready_ticket("iss-1", "web", "ghcr.io/acme/web:2"));
    scene.wait_done("iss-1").await;
    scene.kubectl(&["annotate", "ticket", "iss-1", "retry.trackdown.dev/wbe=1"]);
    let warnings = |t: &Ticket| t.status.as_ref().map(|s| s.warnings.clone()).unwrap_or_default();
    let told = scene.wait_ticket("iss-1", "warned", |t| !warnings(t).is_empty()).await;
    let expected = "annotation retry.trackdown.dev/wbe: the ticket has no target wbe; it has: web";
    assert_eq!(warnings(&told), [expected]);
    let event = || async { events(&scene, "UnknownTarget").iter().any(|(note, _)| note == expected).then_some(()) };
    scene.until("the Event", event).await;
    scene.kubectl(&["annotate", "ticket", "iss-1", "retry.trackdown.dev/wbe-"]);
    scene.wait_ticket("iss-1", "not warned", |t| warnings(t).is_empty()).await;
}

/// However long a message is, the list stays readable.
pub async fn lists_fit_a_terminal(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "lists-fit").await;
    scene.workload("checkout", OLD, 1).await;
    let mut bad = ready_ticket("shop-1234", "checkout", "ghcr.io/acme/web:bad");
    bad["spec"]["rollout"]["maxAttempts"] = json!(1);
    scene.apply(&bad);
    scene.wait_ticket("shop-1234", "stalled", |t| holds(t, "Stalled")).await;
    for kind in ["tickets", "tdep"] {
        let listed = scene.kubectl(&["get", kind]);
        assert!(listed.lines().all(|line| line.trim_end().len() <= 120), "{listed}");
        assert!(listed.lines().next().unwrap().trim_end().ends_with("AGE"), "{listed}");
    }
    let wide = scene.kubectl(&["get", "tickets", "--output=wide"]);
    let (heading, line) = (wide.lines().next().unwrap(), wide.lines().nth(1).unwrap());
    assert!(heading.trim_end().ends_with("MESSAGE") && line.contains("ImagePullBackOff"), "{wide}");
}

/// A ticket that a newer version has written keeps no other from being read.
pub async fn unreadable_tickets_are_left_alone(_: &Arc<Cluster>) {
    let own = Arc::new(Cluster::with_crds(&[]));
    let scene = Scene::new(&own, "unreadable").await;
    let newer = json!([{"op": "add", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/priority/enum/-", "value": "vital"}]);
    scene.kubectl(&["patch", "crd", "tickets.trackdown.dev", "--type=json", "--patch", &newer.to_string()]);
    scene.workload("web", OLD, 1).await;
    let mut vital = ready_ticket("iss-1", "web", "ghcr.io/acme/web:2");
    vital["spec"]["priority"] = json!("vital");
    scene.until("the newer value counts", || async { scene.try_apply(&vital, &[]).status.success().then_some(()) }).await;
    let told = || async { events(&scene, "Unreadable").iter().any(|(note, _)| note.contains("vital")).then_some(()) };
    scene.until("the Event", told).await;
    // Neither those that follow, nor those that are listed beside it after a restart.
    let mut scene = scene;
    for n in 2..4 {
        scene.apply(&ready_ticket(&format!("iss-{n}"), "web", &format!("ghcr.io/acme/web:{n}")));
        scene.wait_done(&format!("iss-{n}")).await;
        scene.kill_operator();
        scene.start_operator();
    }
    scene.kubectl(&["patch", "ticket", "iss-1", "--type=merge", "--patch", r#"{"spec":{"priority":"high"}}"#]);
    scene.wait_done("iss-1").await;
}
