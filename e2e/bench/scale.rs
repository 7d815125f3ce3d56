//! What it costs to know many tickets: CPU seconds and memory of the operator's own process beside a bare reflector of the same kinds, on
//! the same API server in the same run. `make bench-scale` (SIZES=1000,10000,50000). Linux only: it reads `/proc`.

// A benchmark may fail, and uses only a part of the harness.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::cast_precision_loss,
    missing_docs,
    dead_code
)]

mod crowd;
#[path = "../harness/mod.rs"]
mod harness;
mod plot;
mod process;

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt, future};
use harness::cluster::Cluster;
use harness::scene::{ready_ticket, state};
use harness::{ROOT, Scene};
use kube::api::PostParams;
use kube::runtime::reflector::store;
use kube::runtime::{WatchStreamExt, reflector, watcher};
use kube::{Api, Client};
use serde_json::{Value, json};
use trackdown_api::record::Record;
use trackdown_api::ticket::Ticket;

use process::{Usage, settled, usage};

/// Tickets made beside the crowd, that have nothing to do with it.
const UNRELATED: usize = 300;

/// Rollouts, one after the other.
const ROLLOUTS: usize = 15;

/// How long nothing happens.
const IDLE: Duration = Duration::from_secs(20);

/// What one size gave.
pub struct Row {
    pub tickets: usize,
    /// JSON of all objects, MB.
    pub json: f64,
    /// The bare reflector when its lists are in.
    pub floor: Usage,
    /// The operator when it has become quiet.
    pub start: Usage,
    /// Seconds from its start until then.
    pub start_seconds: f64,
    /// Objects it changed meanwhile.
    pub writes: usize,
    /// CPU milliseconds of one unrelated new ticket.
    pub unrelated: f64,
    /// Milliseconds of one rollout, median.
    pub rollout: f64,
    /// Share of a core while nothing happens, per cent.
    pub idle: f64,
    /// Resident memory after all that.
    pub end: Usage,
}

#[tokio::main]
async fn main() {
    if std::env::args().any(|a| a == "--floor") {
        return floor().await;
    }
    let sizes = std::env::var("SIZES").unwrap_or_else(|_| "1000,10000,50000".to_owned());
    let sizes: Vec<usize> = sizes.split(',').map(|s| s.trim().parse().expect("SIZES=1000,10000")).collect();
    let mut rows = Vec::new();
    for tickets in [0].into_iter().chain(sizes) {
        println!("{tickets} tickets, {} records", 2 * tickets);
        rows.push(measure(tickets).await);
        println!("{}", table(&rows));
    }
    let dir = Path::new(ROOT).join("target/bench");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("scale.md"), table(&rows)).unwrap();
    plot::draw(&rows, &dir.join("scale.svg")).unwrap();
    println!("target/bench/scale.md, target/bench/scale.svg");
}

async fn measure(tickets: usize) -> Row {
    let cluster = Arc::new(Cluster::with_crds(&[]));
    let mut scene = Scene::cluster_wide(&cluster, "scale").await;
    scene.start_operator();
    let templates = crowd::templates(&scene).await;
    scene.kill_operator();
    let json = crowd::insert(&cluster, &templates, tickets).await;
    println!("  {:.1} MB of JSON are in", mega(json));
    let floor = run_floor(&cluster);
    println!("  bare reflector: {floor}");

    let before = changed(&scene);
    let began = Instant::now();
    scene.start_operator_within(Duration::from_secs(600));
    let pid = scene.operator.as_ref().unwrap().pid();
    let start = settled(pid).await;
    let start_seconds = began.elapsed().as_secs_f64() - process::QUIET.as_secs_f64();
    let writes = changed(&scene) - before;
    println!("  start: {start}, quiet after {start_seconds:.1} s, {writes} writes");

    let cpu = usage(pid).cpu;
    unrelated(&scene).await;
    let unrelated = (settled(pid).await.cpu - cpu) * 1000.0 / UNRELATED as f64;
    let rollout = rollouts(&scene).await;
    settled(pid).await;
    let cpu = usage(pid).cpu;
    tokio::time::sleep(IDLE).await;
    let idle = (usage(pid).cpu - cpu) * 100.0 / IDLE.as_secs_f64();
    let end = usage(pid);
    println!("  unrelated ticket {unrelated:.2} ms, rollout {rollout:.0} ms, idle {idle:.2} %, end {end}");
    Row { tickets, json: mega(json), floor, start, start_seconds, writes, unrelated, rollout, idle, end }
}

fn mega(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}

/// Objects the operator has changed so far.
fn changed(scene: &Scene) -> usize {
    scene.requests().iter().filter(|r| r.is_write() && !r.resource.starts_with("events")).count()
}

/// Tickets that ask for nothing.
async fn unrelated(scene: &Scene) {
    let api: Api<Ticket> = Api::default_namespaced(scene.client.clone());
    let make = |i: usize| {
        let name = format!("unrelated-{i}");
        let ticket = json!({
            "apiVersion": "trackdown.dev/v1alpha1", "kind": "Ticket", "metadata": {"name": name},
            "spec": {"title": "something else", "state": "planning", "targets": [{"name": name, "image": "ghcr.io/acme/app:1"}]},
        });
        let ticket: Ticket = serde_json::from_value(ticket).unwrap();
        let api = api.clone();
        async move { api.create(&PostParams::default(), &ticket).await.unwrap() }
    };
    futures::stream::iter(0..UNRELATED).map(make).buffer_unordered(8).collect::<Vec<_>>().await;
    scene
        .until("the new tickets have a state", || async {
            state(&scene.ticket(&format!("unrelated-{}", UNRELATED - 1)).await).map(|_| ())
        })
        .await;
}

/// Median of rollouts from the request to the end, in milliseconds.
async fn rollouts(scene: &Scene) -> f64 {
    scene.workload("app", "ghcr.io/acme/app:0", 2).await;
    let api: Api<Ticket> = Api::default_namespaced(scene.client.clone());
    let mut times = Vec::new();
    for round in 0..ROLLOUTS {
        let name = format!("app-{round}");
        let ticket: Ticket =
            serde_json::from_value(ready_ticket(&name, "app", &format!("ghcr.io/acme/app:{}", round + 1))).unwrap();
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let mut events = std::pin::pin!(watcher(api.clone(), config).default_backoff().applied_objects());
        let began = Instant::now();
        api.create(&PostParams::default(), &ticket).await.unwrap();
        while state(&events.next().await.unwrap().unwrap()) != Some(trackdown_api::ticket::TicketState::Done) {}
        times.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// A program that does nothing but keep the same objects.
fn run_floor(cluster: &Cluster) -> Usage {
    let output = Command::new(std::env::current_exe().unwrap())
        .arg("--floor")
        .env("KUBECONFIG", cluster.kubeconfig())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let line: Value = serde_json::from_slice(&output.stdout).expect("the bare reflector failed");
    let number = |name: &str| line[name].as_f64().unwrap();
    Usage { cpu: number("cpu"), resident: number("resident"), peak: number("peak") }
}

async fn floor() {
    let client = Client::try_default().await.unwrap();
    let (tickets, records) = (keep::<Ticket>(&client), keep::<Record>(&client));
    let _ = future::join(tickets, records).await;
    let Usage { cpu, resident, peak } = usage(std::process::id());
    println!("{}", json!({"cpu": cpu, "resident": resident, "peak": peak}));
    // Its watches fail at once while the runtime ends, and again, for ever.
    std::process::exit(0);
}

/// Lists and keeps every object of a kind; the cache.
async fn keep<K>(client: &Client) -> reflector::Store<K>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + Sync + 'static,
{
    let (reader, writer) = store();
    let events = watcher(Api::<K>::all(client.clone()), watcher::Config::default()).default_backoff();
    let mut events = reflector(writer, events).boxed();
    tokio::spawn(async move { while events.next().await.is_some() {} });
    reader.wait_until_ready().await.unwrap();
    reader
}

fn table(rows: &[Row]) -> String {
    let mut text =
        "| tickets + records | JSON | bare reflector: CPU, resident | start to quiet: CPU, resident (peak) | writes at start | \
                    unrelated ticket | rollout | idle | resident at the end |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|\n"
            .to_owned();
    for r in rows {
        let _ = writeln!(
            text,
            "| {} + {} | {:.0} MB | {:.1} s, {:.0} MB | {:.1} s, {:.0} MB ({:.0}) | {} | {:.2} ms | {:.0} ms | {:.2} % | {:.0} MB |",
            r.tickets,
            2 * r.tickets,
            r.json,
            r.floor.cpu,
            r.floor.resident,
            r.start.cpu,
            r.start.resident,
            r.start.peak,
            r.writes,
            r.unrelated,
            r.rollout,
            r.idle,
            r.end.resident
        );
    }
    text
}
