//! What other tools make of a ticket: kstatus (Flux, Helm) and Argo CD's health scripts, on live objects.

use std::sync::Arc;

use mlua::{Lua, LuaSerdeExt};
use serde_json::{Value, json};

use crate::harness::cluster::Cluster;
use crate::harness::scene::{holds, ready_ticket};
use crate::harness::{ROOT, Scene};

pub async fn parked_rolling_done_blocked(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "parked-rolling-done-blocked").await;
    for name in ["parked", "rolling", "done", "blocked"] {
        scene.workload(name, "ghcr.io/acme/web:1", 1).await;
    }
    let mut parked = ready_ticket("parked", "parked", "ghcr.io/acme/web:2");
    parked["spec"]["automationEligible"] = json!(false);
    let mut blocked = ready_ticket("blocked", "blocked", "ghcr.io/acme/web:bad");
    blocked["spec"]["rollout"]["maxAttempts"] = json!(1);
    for ticket in [&parked, &blocked, &ready_ticket("rolling", "rolling", "ghcr.io/acme/web:never")] {
        scene.apply(ticket);
    }
    scene.apply(&ready_ticket("done", "done", "ghcr.io/acme/web:2"));
    scene.wait_reason("parked", "NotEligible").await;
    scene.wait_reason("rolling", "RollingOut").await;
    scene.wait_done("done").await;
    scene.wait_ticket("blocked", "stalled", |t| holds(t, "Stalled")).await;

    for (name, kstatus, argo) in [
        ("parked", "Current", "Healthy"),
        ("rolling", "InProgress", "Progressing"),
        ("done", "Current", "Healthy"),
        ("blocked", "Failed", "Degraded"),
    ] {
        let ticket = serde_json::to_value(scene.ticket(name).await).unwrap();
        assert_eq!(kstatus_of(&ticket), kstatus, "{name}");
        assert_eq!(argo_health(&ticket), argo, "{name}");
    }
    // Nobody has looked yet: neither takes that for done.
    scene.kubectl(&["patch", "ticket", "done", "--type=merge", "--patch", r#"{"spec":{"title":"edited"}}"#]);
    let mut stale = serde_json::to_value(scene.ticket("done").await).unwrap();
    stale["status"]["observedGeneration"] = json!(1);
    assert_eq!((kstatus_of(&stale), argo_health(&stale).as_str()), ("InProgress", "Progressing"));
    let fresh = scene.kubectl(&["create", "-o", "json", "-f", "manifests/examples/ticket-minimal.yaml"]);
    let fresh: Value = serde_json::from_str(&fresh).unwrap();
    assert_eq!(fresh["status"]["observedGeneration"], json!(-1));
    assert_eq!((kstatus_of(&fresh), argo_health(&fresh).as_str()), ("InProgress", "Progressing"));
}

/// kstatus' rules for custom resources (sigs.k8s.io/cli-utils, `pkg/kstatus/status/generic.go`).
fn kstatus_of(object: &Value) -> &'static str {
    let holds = |type_: &str| {
        let conditions = object["status"]["conditions"].as_array();
        conditions.into_iter().flatten().any(|c| c["type"] == type_ && c["status"] == "True")
    };
    if object["status"]["observedGeneration"] != object["metadata"]["generation"] || holds("Reconciling") {
        return "InProgress";
    }
    if holds("Stalled") { "Failed" } else { "Current" }
}

fn argo_health(object: &Value) -> String {
    let lua = Lua::new();
    lua.globals().set("obj", lua.to_value(object).unwrap()).unwrap();
    let script = std::fs::read_to_string(format!("{ROOT}/manifests/argocd/health-ticket.lua")).unwrap();
    let health: mlua::Table = lua.load(script).eval().unwrap();
    health.get("status").unwrap()
}
