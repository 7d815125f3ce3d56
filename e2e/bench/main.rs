//! How long Trackdown takes, as a ratio to a minimal client: one that patches the image, watches, and keeps no record. Both on the
//! same API server, with etcd syncing to disk, in the same run. `make bench`

// A benchmark may fail, and uses only a part of the harness.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    missing_docs,
    dead_code
)]

#[path = "../harness/mod.rs"]
mod harness;

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt, future};
use harness::Scene;
use harness::cluster::Cluster;
use harness::scene::{ready_ticket, state};
use k8s_openapi::api::apps::v1::Deployment as AppsDeployment;
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use serde_json::json;
use trackdown_api::ticket::{Ticket, TicketState};
use trackdown_core::workload::Rollable;

/// Rollouts one after the other.
const ALONE: usize = 30;

/// Worker slots, as the chart sets them.
const SLOTS: usize = 16;

/// Rollouts at once.
const TOGETHER: usize = 60;

#[tokio::main]
async fn main() {
    let cluster = Arc::new(Cluster::with_crds(&["--fsync"]));
    let scene = Scene::new(&cluster, "bench").await;
    let names: Vec<_> = (0..TOGETHER).map(|i| format!("app-{i}")).collect();
    future::join_all(names.iter().map(|n| scene.workload(n, "ghcr.io/acme/app:0", 2))).await;

    println!("\none after the other ({ALONE}), milliseconds from the request to the end, median (fastest to slowest)");
    let (mut minimal, mut tickets) = (Vec::new(), Vec::new());
    for (round, name) in names.iter().cycle().take(ALONE).enumerate() {
        minimal.push(by_minimal_client(&scene, std::slice::from_ref(name), &format!("ghcr.io/acme/app:m{round}")).await);
        tickets.push(by_tickets(&scene, std::slice::from_ref(name), &format!("ghcr.io/acme/app:t{round}")).await);
    }
    compare("minimal client", &mut minimal, "Trackdown", &mut tickets);

    println!("\n{TOGETHER} at once, milliseconds until the last has ended, median of three (fastest to slowest)");
    let (mut minimal, mut tickets) = (Vec::new(), Vec::new());
    for round in 0..3 {
        minimal.push(by_minimal_client(&scene, &names, &format!("ghcr.io/acme/app:mm{round}")).await);
        tickets.push(by_tickets(&scene, &names, &format!("ghcr.io/acme/app:tt{round}")).await);
    }
    compare("minimal client", &mut minimal, "Trackdown", &mut tickets);

    println!(
        "\none ticket, alone and beside {SLOTS} rollouts that hang (as many as worker slots), milliseconds, median ({ALONE} rounds)"
    );
    let one = std::slice::from_ref(&names[0]);
    let mut alone = Vec::new();
    for round in 0..ALONE {
        alone.push(by_tickets(&scene, one, &format!("ghcr.io/acme/app:alone{round}")).await);
    }
    hang(&scene).await;
    let mut beside = Vec::new();
    for round in 0..ALONE {
        beside.push(by_tickets(&scene, one, &format!("ghcr.io/acme/app:beside{round}")).await);
    }
    compare("alone", &mut alone, "beside them", &mut beside);
}

/// Rollouts whose pods never start, long enough for those pods to be watched.
async fn hang(scene: &Scene) {
    for i in 0..SLOTS {
        let name = format!("hung-{i}");
        scene.workload(&name, "ghcr.io/acme/app:0", 1).await;
        scene.apply(&ready_ticket(&name, &name, "ghcr.io/acme/app:never"));
        scene.wait_reason(&name, "RollingOut").await;
    }
    scene.requests_when_quiet(Duration::from_secs(3)).await;
}

fn compare(base: &str, minimal: &mut [Duration], name: &str, tickets: &mut [Duration]) {
    let show = |name: &str, times: &mut [Duration]| {
        times.sort();
        let (median, first, last) = (times[times.len() / 2], times[0], times[times.len() - 1]);
        println!("  {name:<16}{:>7} ({} to {})", median.as_millis(), first.as_millis(), last.as_millis());
        median.as_secs_f64()
    };
    let ratio = 1.0 / show(base, minimal) * show(name, tickets);
    println!("  ratio           {ratio:>7.2}");
}

/// Patches the workloads and watches until all are complete.
async fn by_minimal_client(scene: &Scene, names: &[String], image: &str) -> Duration {
    let api = scene.workloads();
    let mut events = pin!(watcher(api.clone(), watcher::Config::default()).default_backoff().applied_objects());
    let mut open: HashMap<&str, i64> = HashMap::new();
    // The watch is there before the clock runs, as an operator's is.
    let _ = events.next().await;
    let started = Instant::now();
    let patched = future::join_all(names.iter().map(|name| {
        let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": name, "image": image}]}}}});
        let api = &api;
        async move { api.patch(name, &PatchParams::default(), &Patch::Strategic(&patch)).await.unwrap() }
    }));
    for workload in patched.await {
        let name = names.iter().find(|n| **n == workload.name_any()).unwrap();
        open.insert(name, workload.metadata.generation.unwrap());
    }
    while !open.is_empty() {
        let workload: AppsDeployment = events.next().await.unwrap().unwrap();
        let wanted = open.get(workload.name_any().as_str()).copied();
        if wanted.is_some_and(|generation| workload.metadata.generation >= Some(generation)) && workload.view().complete() {
            open.remove(workload.name_any().as_str());
        }
    }
    started.elapsed()
}

/// Creates a ticket for each workload and watches until all are done.
async fn by_tickets(scene: &Scene, names: &[String], image: &str) -> Duration {
    let api: Api<Ticket> = Api::default_namespaced(scene.client.clone());
    let tag = image.rsplit(':').next().unwrap();
    let mut events = pin!(watcher(api.clone(), watcher::Config::default()).default_backoff().applied_objects());
    let wanted: Vec<_> = names.iter().map(|name| ready_ticket(&format!("{name}-{tag}"), name, image)).collect();
    let started = Instant::now();
    future::join_all(wanted.iter().map(|ticket| {
        let ticket: Ticket = serde_json::from_value(ticket.clone()).unwrap();
        let api = &api;
        async move { api.create(&PostParams::default(), &ticket).await.unwrap() }
    }))
    .await;
    let mut open: Vec<_> = names.iter().map(|name| format!("{name}-{tag}")).collect();
    while !open.is_empty() {
        let ticket = events.next().await.unwrap().unwrap();
        if state(&ticket) == Some(TicketState::Done) {
            open.retain(|name| *name != ticket.name_any());
        }
    }
    started.elapsed()
}
