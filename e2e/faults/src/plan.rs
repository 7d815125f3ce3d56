//! Which scenario is struck by which fault at which write.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::case::{self, Undisturbed, Verdict};
use crate::fault::Fault;
use crate::ground::Ground;
use crate::proxy::Plan;
use crate::scenario::{self, Scenario};

/// One run to make.
#[derive(Clone, Copy)]
pub struct Case {
    pub scenario: &'static Scenario,
    pub fault: Fault,
    /// The write it strikes at, counted from 1.
    pub place: usize,
}

impl Case {
    /// Makes it, and judges it by how the scenario goes undisturbed.
    pub async fn run(&self, ground: &Ground, namespace: &str, like: &Undisturbed) -> Verdict {
        case::run(ground, namespace, self.scenario, Plan::At(self.fault, self.place), Some(like)).await
    }
}

/// Slow faults strike at every so many writes only.
const SLOW_EVERY: usize = 3;

/// Every case there is, scenarios mixed so that slow and quick ones run beside each other.
/// `clock`: the operator's can be moved here.
pub fn all(undisturbed: &BTreeMap<&'static str, Undisturbed>, clock: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    let most = undisturbed.values().map(|u| u.places).max().unwrap_or_default();
    for place in 1..=most {
        for (index, fault) in Fault::all().filter(|f| clock || f.moves_clock().is_none()).enumerate() {
            for scenario in scenario::ALL.iter().filter(|s| undisturbed.get(s.name).is_some_and(|u| u.places >= place)) {
                let skipped = fault.is_slow() && (place + index) % SLOW_EVERY != 0;
                if !skipped && makes_sense(scenario, fault) {
                    cases.push(Case { scenario, fault, place });
                }
            }
        }
    }
    cases
}

/// Cases that did not hold once: they are in every slice.
const FOUND: [&str; 5] = [
    "success/stale-read/4",
    "sequence/clock-back/8",
    "edited-early/stale-restart/16",
    "undo/kill-before/6",
    "superseded/watch-delayed/1",
];

/// A bounded part of them: one in so many, and what was found before; `quick`: none that takes half a minute.
pub fn slice(cases: &[Case], every: usize, quick: bool) -> Vec<Case> {
    let found = |c: &Case| FOUND.contains(&c.to_string().as_str());
    let known = FOUND.iter().map(|name| name.parse::<Case>().expect("a case of FOUND exists no more"));
    let others = cases.iter().filter(|c| !(found(c) || quick && c.fault.is_slow())).step_by(every);
    known.chain(others.copied()).collect()
}

/// A clock that jumps past the deadline ends the attempt before its owner can appear.
fn makes_sense(scenario: &Scenario, fault: Fault) -> bool {
    (scenario.name, fault) != ("owner-appears", Fault::ClockForward)
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.scenario.name, self.fault, self.place)
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<_> = text.split('/').collect();
        let [name, fault, place] = parts.as_slice() else { return Err("a case is scenario/fault/write".to_owned()) };
        let names = || scenario::ALL.iter().map(|s| s.name).collect::<Vec<_>>().join(", ");
        let scenario =
            scenario::ALL.iter().find(|s| s.name == *name).ok_or_else(|| format!("no scenario {name:?}: {}", names()))?;
        Ok(Self { scenario, fault: fault.parse()?, place: place.parse().map_err(|_| format!("{place:?} is no number"))? })
    }
}
