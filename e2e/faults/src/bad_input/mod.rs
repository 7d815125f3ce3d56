//! Bad input: thousands of objects with something wrong in them, made from a seed. The API refuses them, or they are reported on
//! themselves; nothing else suffers.

mod batch;
mod calm;
mod cleanup;
mod loose;
mod mutation;
mod object;
mod odd;
mod play;
mod random;
mod stage;
mod story;
mod stuck;
mod tally;
mod told;
mod tree;
mod valid;

use std::path::Path;
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use serde_json::json;

use crate::ROOT;
use crate::ground::Ground;
use batch::Verdict;
use object::{BATCH, Guard, Object};
use tally::Tally;

/// How often it is said how far it has come.
const TOLD_EVERY: Duration = Duration::from_secs(15);

/// Batches at the same time: one makes objects while another one waits for rest.
const LANES: usize = 2;

/// Plays objects number 0 to `objects`, or `only` one (`17`) or some (`200-399`); whether all held.
pub async fn run(binary: &Path, objects: usize, seed: u64, only: Option<&str>) -> bool {
    let began = Instant::now();
    let dir = Path::new(ROOT).join("target/faults/bad-input");
    // What one run left is still to be looked at when some of it is done again. Logs would be taken for this run's.
    let _ = std::fs::remove_dir_all(if only.is_some() { dir.join("operators") } else { dir.clone() });
    std::fs::create_dir_all(&dir).unwrap();
    let numbers = match only {
        Some(only) => {
            let (first, last) = only.split_once('-').unwrap_or((only, only));
            let number = |text: &str| text.parse::<usize>().expect("a number, or two with a dash between them");
            number(first)..number(last) + 1
        }
        None => 0..objects,
    };
    let all: Vec<_> = numbers.clone().map(|number| story::object(seed, number)).collect();
    let (mut tally, mut wrong, mut told) = (Tally::default(), 0, Instant::now());
    for guard in [Guard::Chart, Guard::Nothing] {
        let batches: Vec<_> =
            all.chunk_by(|a, b| a.number / BATCH == b.number / BATCH).filter(|b| Guard::of(b[0].number) == guard).collect();
        if batches.is_empty() {
            continue;
        }
        let ground = ground(binary, guard).await;
        let runs = batches.iter().map(|objects| {
            let (ground, objects) = (ground.clone(), objects.to_vec());
            async move {
                let namespace = format!("bad-{}", objects[0].number);
                let run = async move { (batch::run(&ground, &namespace, &objects).await, objects) };
                tokio::spawn(run).await.unwrap()
            }
        });
        let mut runs = stream::iter(runs).buffer_unordered(LANES);
        loop {
            let rest = TOLD_EVERY.saturating_sub(told.elapsed());
            let Ok(next) = tokio::time::timeout(rest, runs.next()).await else {
                told = Instant::now();
                println!("{} of {} objects, {wrong} wrong, {} s", tally.made(), all.len(), began.elapsed().as_secs());
                continue;
            };
            let Some((verdict, objects)) = next else { break };
            println!("{} to {}: {}", objects[0].number, objects[objects.len() - 1].number, verdict.told);
            wrong += tell(&verdict, &objects, seed, &dir);
            for object in &objects {
                if let Some(played) = verdict.played.get(&object.number) {
                    tally.add(object, played, verdict.silent.contains(&object.number));
                }
            }
        }
    }
    let text = tally.markdown();
    std::fs::write(dir.join("table.md"), format!("{text}\n")).unwrap();
    println!("\n{text}\n\n{} objects, {wrong} wrong, {} s", tally.made(), began.elapsed().as_secs());
    wrong == 0 && tally.made() == numbers.len() && tally.made() > 0
}

async fn ground(binary: &Path, guard: Guard) -> Ground {
    match guard {
        Guard::Chart => Ground::new(binary, &[]).await,
        Guard::Nothing => {
            let ground = Ground::new(binary, &["--set", "admissionPolicy.enabled=false"]).await;
            loose::loosen(&ground.api).await;
            ground
        }
    }
}

/// Says what was wrong, and leaves behind what is needed to look at it; how much it was.
fn tell(verdict: &Verdict, objects: &[Object], seed: u64, dir: &Path) -> usize {
    for (number, why) in &verdict.wrong {
        let concerned: Vec<_> = objects.iter().filter(|o| number.is_none_or(|n| n == o.number)).collect();
        let Some((first, last)) = concerned.first().zip(concerned.last()) else { continue };
        let name = if first.number == last.number { first.number.to_string() } else { format!("{}-{}", first.number, last.number) };
        let file = dir.join(format!("{name}.json"));
        let told: Vec<_> = concerned.iter().map(|o| o.told()).collect();
        let answers = number.and_then(|n| verdict.played.get(&n)).map(|p| json!({"accepted": p.accepted, "refused": p.refused}));
        let text = json!({"seed": seed, "wrong": why, "answers": answers, "objects": told});
        std::fs::write(&file, serde_json::to_string_pretty(&text).unwrap()).unwrap();
        println!(
            "{name}: {why}\n  what it is: {}\n  again: target/debug/trackdown-faults bad-input --seed {seed} --only {name}",
            file.display()
        );
    }
    verdict.wrong.len()
}
