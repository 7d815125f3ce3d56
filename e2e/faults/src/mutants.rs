//! Defects put into the operator on purpose: what judges it must find each. A mutant is a patch of `src/`, with what it breaks in its head.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use tokio::process::Command;
use tokio::task::JoinSet;

use crate::ROOT;
use crate::case::Undisturbed;
use crate::fault::Fault;
use crate::ground::Ground;
use crate::matrix::baselines;
use crate::plan::{self, Case};
use crate::scenario;

/// One in so many of the quick cases, after those that are named in the mutant's head.
const SLICE: usize = 17;

struct Mutant {
    name: String,
    patch: PathBuf,
    title: String,
    class: String,
    /// Parts of the names of cases that are tried first.
    first: Vec<String>,
}

/// Builds each, runs cases until one does not hold, then the model; whether all were caught.
pub async fn run(binary: &Path, only: Option<&str>, lanes: usize) -> bool {
    let wanted = |m: &Mutant| only.is_none_or(|only| m.name.contains(only));
    let mutants: Vec<_> = all().into_iter().filter(wanted).collect();
    let failures = Path::new(ROOT).join("target/faults/mutants");
    std::fs::create_dir_all(&failures).unwrap();
    let ground = Ground::new(binary, &[]).await;
    let scenarios: Vec<_> = scenario::ALL.iter().collect();
    let Some(undisturbed) = baselines(&ground, &scenarios, lanes, &failures).await else { return false };
    let (mut rows, mut all_caught) = (Vec::new(), true);
    for (number, mutant) in mutants.iter().enumerate() {
        let began = Instant::now();
        let caught = match build(mutant).await {
            Ok(binary) => match by_proxy(&ground, &binary, mutant, &undisturbed, lanes, number).await {
                Some((case, wrong)) => Ok(format!("`{case}`: {wrong}")),
                None => by_model().await,
            },
            Err(why) => Err(why),
        };
        println!("{}: {} ({} s)", mutant.name, caught.as_ref().unwrap_or_else(|why| why), began.elapsed().as_secs());
        all_caught &= caught.is_ok();
        let by = caught.unwrap_or_else(|why| format!("**not caught**: {why}"));
        rows.push(format!("| {} | {} | {} |", mutant.title, mutant.class, by.replace('|', "\\|")));
    }
    let text = format!("| defect | class | caught by |\n|---|---|---|\n{}\n", rows.join("\n"));
    std::fs::write(Path::new(ROOT).join("target/faults/mutants.md"), &text).unwrap();
    println!("\n{text}");
    all_caught && !mutants.is_empty()
}

fn all() -> Vec<Mutant> {
    let dir = Path::new(ROOT).join("e2e/faults/mutants");
    let mut patches: Vec<_> = std::fs::read_dir(dir).unwrap().flatten().map(|f| f.path()).collect();
    patches.sort();
    patches.into_iter().filter(|p| p.extension().is_some_and(|e| e == "patch")).map(read).collect()
}

fn read(patch: PathBuf) -> Mutant {
    let text = std::fs::read_to_string(&patch).unwrap();
    let head = |key: &str| text.lines().find_map(|l| l.strip_prefix(key)).map(|v| v.trim().to_owned());
    Mutant {
        name: patch.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        title: head("Title:").unwrap_or_default(),
        class: head("Class:").unwrap_or_default(),
        first: head("Cases:").unwrap_or_default().split(',').map(|c| c.trim().to_owned()).filter(|c| !c.is_empty()).collect(),
        patch,
    }
}

fn tree() -> PathBuf {
    Path::new(ROOT).join("target/mutants/tree")
}

/// The operator with the defect in it.
async fn build(mutant: &Mutant) -> Result<PathBuf, String> {
    copy_source().await?;
    let directory = "--directory=target/mutants/tree";
    let patch = mutant.patch.to_string_lossy();
    run_in(Path::new(ROOT), "git", &["apply", directory, &patch])
        .await
        .map_err(|why| format!("{patch} does not fit the source any more, put the defect into it anew: {why}"))?;
    run_in(&tree(), "cargo", &["build", "--locked", "--target-dir", "../build"]).await?;
    let built = Path::new(ROOT).join("target/mutants/build/debug/trackdown");
    let kept = Path::new(ROOT).join("target/mutants").join(&mutant.name);
    let _ = std::fs::remove_file(&kept);
    std::fs::copy(built, &kept).map_err(|e| e.to_string())?;
    Ok(kept)
}

/// The source as it is, in a folder of its own. What has not changed keeps its time, so that little is compiled again.
async fn copy_source() -> Result<(), String> {
    let listed = Command::new("git").args(["ls-files", "--cached", "--others", "--exclude-standard"]).current_dir(ROOT).output();
    let listed = listed.await.map_err(|e| e.to_string())?;
    for file in String::from_utf8_lossy(&listed.stdout).lines() {
        let (from, to) = (Path::new(ROOT).join(file), tree().join(file));
        // One that was deleted is listed until that is committed.
        let Ok(content) = std::fs::read(&from) else { continue };
        if std::fs::read(&to).is_ok_and(|there| there == content) {
            continue;
        }
        let dir = to.parent().unwrap_or(&to);
        std::fs::create_dir_all(dir).and_then(|()| std::fs::write(&to, content)).map_err(|e| format!("{}: {e}", to.display()))?;
    }
    Ok(())
}

/// What is given up takes the program along.
async fn run_in(dir: &Path, program: &str, arguments: &[&str]) -> Result<(), String> {
    let mut command = Command::new(program);
    let output = command.args(arguments).current_dir(dir).stdin(Stdio::null()).kill_on_drop(true).output();
    let output = output.await.map_err(|e| e.to_string())?;
    let said = || format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(()) } else { Err(said()) }
}

/// The first case that does not hold, and why.
async fn by_proxy(
    ground: &Ground,
    binary: &Path,
    mutant: &Mutant,
    undisturbed: &BTreeMap<&'static str, Undisturbed>,
    lanes: usize,
    number: usize,
) -> Option<(Case, String)> {
    let good = ground;
    let mut ground = ground.clone();
    ground.launch.binary = binary.to_owned();
    let every = plan::all(undisturbed, ground.clock.is_some());
    let named = every.iter().filter(|c| mutant.first.iter().any(|f| c.to_string().contains(f))).copied();
    let alone = scenario::ALL.iter().map(|scenario| Case { scenario, fault: Fault::Nothing, place: 1 });
    let cases: Vec<_> = named.chain(alone).chain(plan::slice(&every, SLICE, true)).collect();
    let mut cases = cases.into_iter().enumerate();
    let mut running = JoinSet::new();
    loop {
        while running.len() < lanes
            && let Some((index, case)) = cases.next()
        {
            let (ground, like) = (ground.clone(), undisturbed[case.scenario.name].clone());
            let namespace = format!("m{number}-{}-{index}", case.scenario.name);
            running.spawn(async move { (index, case, case.run(&ground, &namespace, &like).await) });
        }
        let Some(Ok((index, case, verdict))) = running.join_next().await else { break };
        let Some(wrong) = verdict.wrong.first() else { continue };
        // What does not hold without the defect either says nothing about it.
        let namespace = format!("m{number}-{}-{index}-good", case.scenario.name);
        let without = case.run(good, &namespace, &undisturbed[case.scenario.name]).await;
        if !without.wrong.is_empty() {
            println!("{case} does not hold without the defect either: {}", without.wrong.join("; "));
            continue;
        }
        let file = Path::new(ROOT).join("target/faults/mutants").join(format!("{}.txt", mutant.name));
        let _ = std::fs::write(file, verdict.told(&case.to_string()));
        return Some((case, wrong.lines().next().unwrap_or_default().to_owned()));
    }
    None
}

/// What the model says of the source as it is now.
async fn by_model() -> Result<String, String> {
    let tested = ["test", "--locked", "--package", "trackdown-sim", "--target-dir", "../build", "--", "model"];
    match run_in(&tree(), "cargo", &tested).await {
        Ok(()) => Err("neither the proxy's runs nor the model found it".to_owned()),
        Err(said) => {
            let property = said.lines().find(|l| l.contains("does not hold after"));
            property.map(|p| format!("the model: {}", p.trim_end_matches(" after"))).ok_or(said)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that does not fit any more proves nothing.
    #[tokio::test]
    async fn every_mutant_fits_the_source() {
        let mutants = all();
        assert!(mutants.len() >= 16, "{} mutants", mutants.len());
        for mutant in mutants {
            assert!(!mutant.title.is_empty() && !mutant.class.is_empty(), "{}: Title: and Class: in its head", mutant.name);
            let patch = mutant.patch.to_string_lossy();
            let fits = run_in(Path::new(ROOT), "git", &["apply", "--check", &patch]).await;
            assert!(fits.is_ok(), "{} has to be made anew: {fits:?}", mutant.name);
        }
    }
}
