//! Whether the operator comes to rest.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::stage::Stage;
use crate::proxy::Exchange;

/// What is looked at, backwards from now.
const WINDOW: Duration = Duration::from_secs(5);

/// Requests in that time. What fails is tried again after half a second, a second, two…, and what nobody can watch is looked at after
/// 10 s, 20 s, 40 s…: of 200 objects some are in such a pause. A loop without a pause makes hundreds.
const MOST: usize = 100;

/// Requests in that time about one name: more than that is no pause of half a second and more, doubled each time.
const MOST_OF_ONE: usize = 20;

/// Of the window. A loop need not ask for anything.
const MOST_CPU: f64 = 0.5;

/// How long it may take to come to rest.
const WITHIN: Duration = Duration::from_secs(60);

/// Waits for it; what was still asked for, if it does not come.
pub async fn await_calm(stage: &Stage) -> Result<Duration, String> {
    let began = Instant::now();
    loop {
        let cpu = cpu_seconds(stage);
        tokio::time::sleep(WINDOW).await;
        let used = cpu_seconds(stage).zip(cpu).map_or(0.0, |(after, before)| after - before);
        let Some(noise) = noise(&stage.traffic.all(), used / WINDOW.as_secs_f64()) else { return Ok(began.elapsed()) };
        if began.elapsed() > WITHIN {
            return Err(noise);
        }
    }
}

fn noise(all: &[Exchange], cpu: f64) -> Option<String> {
    let recent: Vec<_> = all.iter().filter(|e| e.began.elapsed() < WINDOW && !e.watch).collect();
    let mut by_name = HashMap::<String, usize>::new();
    for exchange in &recent {
        *by_name.entry(about(&exchange.path)).or_default() += 1;
    }
    let mut most: Vec<_> = by_name.into_iter().collect();
    most.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let loud = recent.len() > MOST || cpu > MOST_CPU || most.first().is_some_and(|(_, count)| *count > MOST_OF_ONE);
    most.truncate(8);
    loud.then(|| format!("no rest: {} requests in {} s, {cpu:.2} CPUs; most about {most:?}", recent.len(), WINDOW.as_secs()))
}

/// Kind and name in a path.
fn about(path: &str) -> String {
    let path = path.split('?').next().unwrap_or_default();
    path.split('/').take(2).collect::<Vec<_>>().join("/")
}

/// CPU time of the process so far.
fn cpu_seconds(stage: &Stage) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", stage.operator.pid()?)).ok()?;
    let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some(ticks / 100.0)
}
