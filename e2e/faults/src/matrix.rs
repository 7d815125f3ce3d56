//! Every scenario × every write × every fault, many at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};

use crate::ROOT;
use crate::case::{self, Undisturbed, Verdict};
use crate::ground::Ground;
use crate::plan::{self, Case};
use crate::proxy::Plan;
use crate::scenario::{self, Scenario};
use crate::table::Table;

/// Runs on one control plane; then a new one takes over, so that what they leave behind slows nothing down.
const RUNS_PER_CLUSTER: usize = 400;

/// How often it is said how far it has come.
const TOLD_EVERY: Duration = Duration::from_secs(15);

/// What to run.
pub struct Wanted {
    pub binary: PathBuf,
    /// These, and nothing else.
    pub cases: Vec<Case>,
    /// Part of a case's name.
    pub only: Option<String>,
    /// One in so many.
    pub slice: Option<usize>,
    /// None that takes half a minute.
    pub quick: bool,
    /// Runs at the same time.
    pub lanes: usize,
    /// End at the first that does not hold.
    pub fail_fast: bool,
}

/// Runs them; whether all held.
pub async fn run(wanted: Wanted) -> bool {
    let began = Instant::now();
    let failures = Path::new(ROOT).join("target/faults/failures");
    let _ = std::fs::remove_dir_all(&failures);
    let _ = std::fs::remove_dir_all(Path::new(ROOT).join("target/faults/operators"));
    std::fs::create_dir_all(&failures).unwrap();
    let ground = Ground::new(&wanted.binary, &[]).await;
    let scenarios: Vec<_> = scenario::ALL.iter().filter(|s| is_wanted(&wanted, s)).collect();
    let Some(undisturbed) = baselines(&ground, &scenarios, wanted.lanes, &failures).await else { return false };
    let cases = match wanted.slice {
        _ if !wanted.cases.is_empty() => wanted.cases,
        Some(every) => plan::slice(&plan::all(&undisturbed, ground.clock.is_some()), every, wanted.quick),
        None => plan::all(&undisturbed, ground.clock.is_some()),
    };
    let named = |c: &Case| wanted.only.as_ref().is_none_or(|only| c.to_string().contains(only));
    let cases: Vec<_> = cases.into_iter().filter(|c| undisturbed.contains_key(c.scenario.name) && named(c)).collect();
    if ground.clock.is_none() {
        println!("no clock can be moved here (that needs Linux and cc): the faults that move it are left out");
    }
    println!("{} runs, {} at once", cases.len(), wanted.lanes);

    let (count, mut table, mut unstruck) = (cases.len(), Table::default(), 0);
    let mut told = Instant::now();
    let mut ground = Some(ground);
    let cases: Vec<_> = cases.into_iter().enumerate().collect();
    for batch in cases.chunks(RUNS_PER_CLUSTER) {
        let on = match ground.take() {
            Some(ground) => ground,
            None => Ground::new(&wanted.binary, &[]).await,
        };
        let runs = batch.iter().map(|&(number, case)| {
            let (on, like) = (on.clone(), undisturbed[case.scenario.name].clone());
            async move {
                let namespace = format!("{}-{number}", case.scenario.name);
                let run = async move { case.run(&on, &namespace, &like).await };
                (case, tokio::spawn(run).await.unwrap())
            }
        });
        let mut runs = stream::iter(runs).buffer_unordered(wanted.lanes);
        while let Some((case, verdict)) = runs.next().await {
            let held = verdict.wrong.is_empty();
            if verdict.struck || !held {
                table.add(&case, held);
            } else {
                unstruck += 1;
            }
            if !held {
                tell_failure(&case, &verdict, &failures);
                if wanted.fail_fast {
                    return false;
                }
            }
            if told.elapsed() > TOLD_EVERY {
                told = Instant::now();
                let (runs, held) = table.totals();
                println!("{} of {count} runs, {} did not hold, {} s", runs + unstruck, runs - held, began.elapsed().as_secs());
            }
        }
    }
    let (runs, held) = table.totals();
    let text = table.markdown();
    std::fs::write(Path::new(ROOT).join("target/faults/table.md"), format!("{text}\n")).unwrap();
    println!("\n{text}\n\n{runs} runs, {held} held, {unstruck} whose write never came, {} s", began.elapsed().as_secs());
    runs == held && runs > 0
}

fn is_wanted(wanted: &Wanted, scenario: &Scenario) -> bool {
    let named = wanted.cases.is_empty() || wanted.cases.iter().any(|c| c.scenario.name == scenario.name);
    let only = wanted.only.as_ref().and_then(|only| only.split('/').next().map(str::to_owned));
    // A part of a name may be that of a fault.
    let names_scenario = |only: &str| scenario::ALL.iter().any(|s| s.name == only);
    named && only.is_none_or(|only| !names_scenario(&only) || scenario.name == only)
}

fn tell_failure(case: &Case, verdict: &Verdict, failures: &Path) {
    keep_failure(&case.to_string(), verdict, failures);
    println!("  again: make proof-faults CASE={case}");
}

/// Keeps what happened in a run for people to read.
pub fn keep_failure(name: &str, verdict: &Verdict, failures: &Path) {
    let file = failures.join(format!("{}.txt", name.replace('/', "_")));
    std::fs::write(&file, verdict.told(name)).unwrap();
    println!("{name} did not hold:\n  {}\n  what happened: {}", verdict.wrong.join("\n  "), shown(&file));
}

/// As it is reached from the root of the repository.
fn shown(file: &Path) -> std::path::Display<'_> {
    file.strip_prefix(ROOT).unwrap_or(file).display()
}

/// How each scenario goes undisturbed: twice, and both times alike.
pub async fn baselines(
    ground: &Ground,
    scenarios: &[&'static Scenario],
    lanes: usize,
    failures: &Path,
) -> Option<BTreeMap<&'static str, Undisturbed>> {
    let mut all = BTreeMap::<&str, Undisturbed>::new();
    let twice = [0, 1].into_iter().flat_map(|round| scenarios.iter().map(move |s| (round, *s)));
    let runs = twice.map(|(round, scenario)| async move {
        let namespace = format!("undisturbed-{}-{round}", scenario.name);
        (scenario.name, case::run(ground, &namespace, scenario, Plan::Never, None).await)
    });
    let mut runs = stream::iter(runs).buffer_unordered(lanes);
    let mut right = true;
    while let Some((name, verdict)) = runs.next().await {
        if !verdict.wrong.is_empty() {
            let file = failures.join(format!("{name}_undisturbed.txt"));
            std::fs::write(&file, &verdict.timeline).unwrap();
            println!("{name}, undisturbed:\n  {}\n  what happened: {}", verdict.wrong.join("\n  "), shown(&file));
            right = false;
        }
        let now = verdict.undisturbed;
        match all.get_mut(name) {
            None => {
                all.insert(name, now);
            }
            Some(before) if before.end == now.end => {
                before.writes = before.writes.max(now.writes);
                before.places = before.places.max(now.places);
            }
            Some(before) => {
                println!("{name}, undisturbed, does not always end alike:\n  {}\n  {}", before.end, now.end);
                right = false;
            }
        }
    }
    let told = all.iter().map(|(name, u)| format!("{name} {}", u.places)).collect::<Vec<_>>().join(", ");
    println!("undisturbed, with so many writes: {told}");
    right.then_some(all)
}
