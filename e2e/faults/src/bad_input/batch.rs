//! Some two hundred objects at a time, and whether all that is not bad goes on as ever.

use std::collections::BTreeMap;
use std::time::Instant;

use futures::{StreamExt, stream};

use super::calm;
use super::object::{Guard, Object};
use super::play::{self, Played, Thing};
use super::stage::Stage;
use super::stuck;
use super::told;
use crate::ground::Ground;
use crate::judge;

/// Objects at the same time.
const AT_ONCE: usize = 16;

/// What the operator's log must not say, whatever it reads.
const NEVER_SAID: &[&str] = &[
    "panicked",
    "watch failed",
    "did not come to an end",
    "is older than this operator",
    "could not publish an Event",
    "dropped an Event",
    "list the workload's records: Error",
];

/// What became of a batch.
#[derive(Default)]
pub struct Verdict {
    /// By number.
    pub played: BTreeMap<usize, Played>,
    /// Numbers of those that say nothing.
    pub silent: Vec<usize>,
    /// What was wrong: with which number, if that is known.
    pub wrong: Vec<(Option<usize>, String)>,
    /// How it went, for people.
    pub told: String,
}

/// Plays them all.
pub async fn run(ground: &Ground, namespace: &str, objects: &[Object]) -> Verdict {
    let (mut verdict, began) = (Verdict::default(), Instant::now());
    let stage = match Stage::set(ground, namespace).await {
        Ok(stage) => stage,
        Err(why) => {
            verdict.wrong.push((None, why));
            return verdict;
        }
    };
    let plays = objects.iter().cloned().map(|object| {
        let (ground, namespace) = (ground.clone(), namespace.to_owned());
        async move { (object.number, play::play(&ground, &namespace, &object).await) }
    });
    verdict.played = stream::iter(plays).buffer_unordered(AT_ONCE).collect().await;
    let made = began.elapsed();
    verdict.neighbour(&stage, "").await;
    verdict.look_for_silent(ground, namespace).await;
    let calm = match calm::await_calm(&stage).await {
        Ok(took) => format!("calm after {} s", took.as_secs()),
        Err(noise) => {
            let number = number_in(&noise, objects);
            verdict.wrong.push((number, noise));
            "never calm".to_owned()
        }
    };
    // A new process lists what the old one saw come one by one.
    if !stage.restart().await {
        verdict.wrong.push((None, "the operator does not get ready again with all of them there".to_owned()));
    }
    verdict.neighbour(&stage, ", after a restart of the operator").await;
    for (name, why) in stuck::in_silence(&stage).await {
        verdict.wrong.push((number_in(&name, objects), why));
    }
    verdict.look_at_process(&stage, objects).await;
    if objects.first().is_some_and(|o| Guard::of(o.number) == Guard::Chart) {
        for wrong in judge::history(&ground.history.of(namespace), false) {
            verdict.wrong.push((number_in(&wrong, objects), wrong));
        }
    }
    verdict.told = format!(
        "made in {} s, {calm}, {} s in all, {:.0} MB",
        made.as_secs(),
        began.elapsed().as_secs(),
        stage.operator.memory("VmHWM").unwrap_or_default()
    );
    stage.end().await;
    verdict
}

impl Verdict {
    async fn neighbour(&mut self, stage: &Stage, when: &str) {
        if let Err(why) = stage.new_neighbour().await {
            self.wrong.push((None, format!("{why}{when}")));
        }
        if !stage.first_neighbours_are_well() {
            self.wrong.push((None, format!("a neighbour that was deployed before is so no longer{when}")));
        }
    }

    async fn look_for_silent(&mut self, ground: &Ground, namespace: &str) {
        let owner: BTreeMap<_, _> = self.played.iter().flat_map(|(n, p)| p.things.iter().map(|t| (t.uid.clone(), *n))).collect();
        let things: Vec<Thing> = self.played.values().flat_map(|p| p.things.iter().cloned()).collect();
        for (thing, object) in told::silent(ground, namespace, things.iter()).await {
            let number = owner.get(&thing.uid).copied();
            self.silent.extend(number);
            let status = object["status"].to_string();
            let generation = &object["metadata"]["generation"];
            self.wrong.push((
                number,
                format!("{:?} {} says nothing of generation {generation}: {}", thing.what, thing.name, short(&status)),
            ));
        }
    }

    async fn look_at_process(&mut self, stage: &Stage, objects: &[Object]) {
        let lives = stage.operator.lives();
        if !lives.exits.is_empty() || lives.starts != 2 {
            self.wrong.push((None, format!("the operator's process: {lives:?}")));
        }
        for path in ["/healthz", "/readyz"] {
            match stage.operator.get(path).await {
                Some((200, _)) => {}
                other => self.wrong.push((None, format!("{path}: {other:?}"))),
            }
        }
        let log = stage.operator.log();
        for never in NEVER_SAID {
            let mut said = log.lines().filter(|l| l.contains(never));
            let Some(line) = said.next() else { continue };
            self.wrong.push((number_in(line, objects), format!("its log, {} times: {}", 1 + said.count(), short(line))));
        }
    }
}

/// The number of an object whose name is in the text.
fn number_in(text: &str, objects: &[Object]) -> Option<usize> {
    let text = text.replace("%2d", "-");
    let ends = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_digit());
    let named = |number: usize| {
        let names = ["t", "w", "r"].map(|kind| format!("{kind}-{number}"));
        names.iter().any(|name| text.match_indices(name).any(|(at, _)| ends(&text[at + name.len()..])))
    };
    objects.iter().map(|o| o.number).find(|number| named(*number))
}

fn short(text: &str) -> String {
    let cut: String = text.chars().take(600).collect();
    if cut.len() < text.len() { format!("{cut}…") } else { cut }
}
