//! Mixed work for an hour, with faults by chance: memory, tasks and connections must stay where they are.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use plotters::prelude::*;
use serde_json::json;

use crate::ROOT;
use crate::ground::Ground;
use crate::history::{Kind, World};
use crate::operator::Operator;
use crate::person::Outcome;
use crate::proxy::{Plan, Proxy, Traffic};
use crate::reading::condition;

/// Workloads that are worked on, each by one ticket at a time.
const WORKLOADS: usize = 24;

/// One write of so many is struck.
const STRUCK: u64 = 25;

/// Longest pause between two tickets of a workload: so much is at work that caches and pools are used, and so little that other proofs can
/// run beside it.
const PAUSE: Duration = Duration::from_secs(20);

const SAMPLE_EVERY: Duration = Duration::from_secs(10);

/// Caches, pools and the allocator have their size after one part of so many of the time.
const WARM: usize = 4;

/// More than this between the warm part's start and its end is growth: a part of it, and so much on top.
const GROWTH: f64 = 0.10;

type Reading = fn(&Sample) -> f64;

/// Which value stands for many: the most of what is never given back, the middle of what comes and goes.
type Part = fn(&mut [f64]) -> f64;

/// What is looked at, its color, how much more than a part it may grow, and which value counts.
const DRAWN: [(&str, Reading, RGBColor, f64, Part); 3] = [
    ("MB of resident memory", |s| s.resident_mb, RGBColor(31, 94, 158), 2.0, most),
    ("tasks", |s| s.tasks, RGBColor(198, 110, 30), 16.0, middle),
    ("open connections", |s| s.connections, RGBColor(60, 130, 70), 16.0, middle),
];

fn most(values: &mut [f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

fn middle(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

struct Sample {
    at: Duration,
    resident_mb: f64,
    tasks: f64,
    connections: f64,
}

/// Whether it stayed flat.
pub async fn run(binary: &Path, length: Duration, seed: u64) -> bool {
    // Everything is listed again once an hour unless told otherwise: what that costs, or leaves behind, has to show.
    let mut ground = Ground::new(binary, &["--set", "resyncSeconds=120"]).await;
    // Other parts of the proof clear theirs away.
    ground.launch.dir = Path::new(ROOT).join("target/faults/soak");
    let namespace = "soak";
    ground.namespace(namespace).await.map_err(String::from).unwrap();
    let traffic = Traffic::default();
    let plan = Plan::Sometimes { seed, of: STRUCK };
    let proxy = Proxy::start(ground.upstream.clone(), ground.api.clone(), traffic.clone(), namespace, "a", plan).await;
    let operator = Operator::start(&ground.launch, namespace, "a", &proxy.address);
    proxy.serves(&operator);
    assert!(operator.ready(Duration::from_secs(60)).await, "{}", operator.log());

    let (began, mut samples, mut requests) = (Instant::now(), Vec::new(), 0);
    let work = async { futures::future::join_all((0..WORKLOADS).map(|n| work(&ground, n, seed, began, length))).await };
    let watch = async {
        while began.elapsed() < length {
            tokio::time::sleep(SAMPLE_EVERY).await;
            requests += traffic.drain();
            if let Some(sample) = sample(&operator, began).await {
                if samples.len() % 30 == 0 {
                    println!(
                        "{:>4} s: {:.1} MB, {} tasks, {} connections, {requests} requests",
                        sample.at.as_secs(),
                        sample.resident_mb,
                        sample.tasks,
                        sample.connections
                    );
                }
                samples.push(sample);
            }
        }
    };
    let (rounds, ()) = futures::join!(work, watch);
    let mut wrong: Vec<String> = rounds.iter().filter_map(|r| r.as_ref().err().cloned()).collect();
    if samples.len() < 8 {
        wrong.push(format!("{} samples: nothing is known (it needs /proc, and a minute and a half)", samples.len()));
    }
    let lives = operator.lives();
    if lives.starts != 1 {
        wrong.push(format!("it did not live through: {lives:?}"));
    }
    if operator.log().contains("panicked") {
        wrong.push("it panicked".to_owned());
    }
    for (what, reading, _, slack, part) in DRAWN {
        let (first, last) = ends(&samples, reading, part);
        println!("{what}: {first:.1} after a quarter of the time, {last:.1} at the end");
        if last > first * (1.0 + GROWTH) + slack {
            wrong.push(format!("{what} grew from {first:.1} to {last:.1}"));
        }
    }
    let tickets: usize = rounds.iter().filter_map(|r| r.as_ref().ok()).sum();
    println!(
        "{tickets} tickets, {requests} requests of the operator, one write of {STRUCK} struck, {} s",
        began.elapsed().as_secs()
    );
    keep(&samples);
    draw(&samples).unwrap();
    operator.end().await;
    for line in &wrong {
        println!("  {line}");
    }
    wrong.is_empty() && tickets > 0
}

/// One workload's tickets, one after the other; how many ended.
async fn work(ground: &Ground, number: usize, seed: u64, began: Instant, length: Duration) -> Outcome<usize> {
    let person = ground.person("soak");
    let mut chance = fastrand::Rng::with_seed(seed ^ number as u64);
    let name = format!("web{number}");
    person.deployment(&name, "ghcr.io/acme/app:1").await?;
    let mut round = 0;
    while began.elapsed() < length {
        tokio::time::sleep(PAUSE.mul_f64(chance.f64())).await;
        round += 1;
        let ticket = format!("{name}-{round}");
        let image = match chance.u8(..10) {
            0 | 1 => "ghcr.io/acme/app:bad".to_owned(),
            2 => "ghcr.io/acme/app:slow".to_owned(),
            _ => format!("ghcr.io/acme/app:{}", round % 50 + 2),
        };
        let manifest = json!({
            "apiVersion": "trackdown.dev/v1alpha1", "kind": "Ticket", "metadata": {"name": ticket},
            "spec": {
                "title": "soak", "state": "ready_for_deployment", "automationEligible": true,
                "targets": [{"name": name, "image": image}], "rollout": {"backoffSeconds": 1, "maxAttempts": 2},
            },
        });
        person.create(Kind::Ticket, &manifest).await?;
        if chance.u8(..6) == 0 {
            tokio::time::sleep(Duration::from_millis(chance.u64(..1500))).await;
            let mind = json!({"spec": {"targets": [{"name": name, "image": format!("ghcr.io/acme/app:{}", round % 50 + 100)}]}});
            person.patch(Kind::Ticket, &ticket, "oncall", &mind).await?;
        }
        let ended = |w: &World| {
            w.get(&(Kind::Ticket, ticket.clone())).is_some_and(|t| {
                let told = t["status"]["observedGeneration"] == t["metadata"]["generation"];
                told && (condition(w, &ticket, "Stalled") || t["status"]["state"] == "done")
            })
        };
        person.until(&format!("{ticket} ends"), ended).await?;
        // What has ended is cleaned up, so that there is as much at the end as at the start.
        person.delete(Kind::Ticket, &ticket).await?;
        if round % 64 == 0 {
            ground.history.thin("soak");
            ground.audit.forget("soak");
        }
    }
    Ok(round)
}

async fn sample(operator: &Operator, began: Instant) -> Option<Sample> {
    let pid = operator.pid()?;
    let resident = operator.memory("VmRSS")?;
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    let is_socket = |path: &Path| std::fs::read_link(path).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"));
    let connections = u32::try_from(files.flatten().filter(|f| is_socket(&f.path())).count()).ok()?;
    let (_, metrics) = operator.get("/metrics").await?;
    let tasks = metrics.lines().find_map(|l| l.strip_prefix("trackdown_tasks "))?.trim().parse().ok()?;
    Some(Sample { at: began.elapsed(), resident_mb: resident, tasks, connections: f64::from(connections) })
}

/// What there was after the warm-up, and at the end; each over an eighth of all samples.
fn ends(samples: &[Sample], reading: Reading, part: Part) -> (f64, f64) {
    let size = (samples.len() / 8).max(1);
    let start = (samples.len() / WARM).min(samples.len().saturating_sub(size));
    let of = |samples: &[Sample]| part(&mut samples.iter().map(reading).collect::<Vec<_>>());
    (of(&samples[start..(start + size).min(samples.len())]), of(&samples[samples.len().saturating_sub(size)..]))
}

fn keep(samples: &[Sample]) {
    let mut text = "seconds,resident_mb,tasks,connections\n".to_owned();
    for s in samples {
        let _ = writeln!(text, "{},{:.1},{},{}", s.at.as_secs(), s.resident_mb, s.tasks, s.connections);
    }
    std::fs::write(Path::new(ROOT).join("target/faults/soak.csv"), text).unwrap();
}

fn draw(samples: &[Sample]) -> Result<(), Box<dyn std::error::Error>> {
    let path = Path::new(ROOT).join("target/faults/soak.svg");
    let root = SVGBackend::new(&path, (900, 360)).into_drawing_area();
    root.fill(&WHITE)?;
    let minutes = samples.last().map_or(1.0, |s| s.at.as_secs_f64() / 60.0);
    let highest = samples.iter().map(|s| s.resident_mb.max(s.tasks).max(s.connections)).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(&root)
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(48)
        .build_cartesian_2d(0.0..minutes, 0.0..highest * 1.4)?;
    chart.configure_mesh().x_desc("minutes").disable_x_mesh().light_line_style(TRANSPARENT).draw()?;
    for (name, reading, color, _, _) in DRAWN {
        let points = samples.iter().map(|s| (s.at.as_secs_f64() / 60.0, reading(s)));
        let line = chart.draw_series(LineSeries::new(points, color.stroke_width(2)))?;
        line.label(name).legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], color.stroke_width(2)));
    }
    chart.configure_series_labels().position(SeriesLabelPosition::UpperRight).background_style(WHITE).draw()?;
    root.present()?;
    Ok(())
}
