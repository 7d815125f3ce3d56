//! A model of the whole: operators with stale caches that crash, pause, lose replies and are refused at any step, a person who changes
//! things meanwhile, and a workload controller. The operators run the real decisions; the API server is a small, exact stand-in.

mod cluster;
mod judge;
mod passes;
mod person;
mod scenarios;
mod shared;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;
use stateright::{Checker, HasDiscoveries, Model, Property, UniformChooser};
use trackdown_core::condition_reason;
use trackdown_core::record::Unwritten;

use self::cluster::{Name, Objects, Revision, settled, with_revision};
use self::judge::{FINISHED, Judge, TAKEN_BACK};
use self::passes::{UnderWay, forward_record, perform, refuse, start_orphan, start_record, start_ticket};
use self::person::Move;
use self::shared::Shared;
use crate::world::{OLD, at, ticket, workload_named};

/// How long a tick lasts: past every deadline and back-off.
const TICK_SECONDS: i64 = 1000;

/// How long random walks may take.
const WALK: Duration = Duration::from_secs(3);

/// How long the checker may take to visit every state; longer is a failure.
const ALL: Duration = Duration::from_mins(30);

/// An operator: its cache, and the pass it is in.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Operator {
    /// What its watches told, and its own writes on top.
    cache: Objects,
    /// What its watches told: what is left after a restart on an API server that is behind.
    watched: Objects,
    /// What it knows of writes in the names of records.
    unwritten: Unwritten,
    pass: Option<Shared<UnderWay>>,
}

impl Operator {
    fn fresh(objects: &Objects) -> Self {
        Self { cache: objects.clone(), watched: objects.clone(), unwritten: Unwritten::default(), pass: None }
    }
}

/// The targets of a ticket, each on the workload of its name, with the image that is asked for.
type Targets = &'static [(Name, &'static str)];

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct State {
    api: Objects,
    operators: Vec<Operator>,
    revisions: BTreeMap<Name, Vec<Revision>>,
    judge: Judge,
    targets: Targets,
    sequential: bool,
    tries: u8,
    clock: i64,
    faults: u8,
    moves: u8,
    ticks: u8,
    lenient: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Action {
    /// The cache catches up.
    Sync(usize),
    /// A pass starts and goes on to its first write.
    StartTicket(usize),
    StartRecord(usize, String),
    StartOrphan(usize, Name),
    /// The write happens, and the pass goes on to its next one.
    Perform(usize),
    /// The write happens, and the operator dies before it hears of it.
    PerformAndCrash(usize),
    /// The write happens, and the reply is lost.
    PerformAndLose(usize),
    /// The API server refuses the write: rights, or a webhook's denial.
    Refuse(usize),
    /// The operator dies before the write.
    Crash(usize),
    /// The operator starts again, on caches from before its own last writes.
    RestartStale(usize),
    /// The workload's controller does its work.
    Settle(Name),
    Tick,
    Person(Move),
}

struct Scenario {
    targets: Targets,
    /// The targets are rolled out one after the other.
    sequential: bool,
    /// Tries each target has.
    tries: u8,
    operators: usize,
    faults: u8,
    moves: &'static [Move],
    most_moves: u8,
    /// How often time passes.
    ticks: u8,
    /// The API server is broken on purpose.
    lenient: bool,
}

impl Model for Scenario {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let targets: Vec<_> = self.targets.iter().map(|(name, image)| json!({"name": name, "image": image})).collect();
        let order = if self.sequential { "Sequential" } else { "Parallel" };
        let spec = json!({"targets": targets, "rollout": {"maxAttempts": self.tries, "order": order}});
        let workloads = || self.targets.iter().map(|(name, _)| (*name, workload_named(name, OLD)));
        let revisions = workloads().map(|(name, workload)| (name, with_revision(&[], &workload))).collect();
        let api = Objects {
            ticket: Some(Shared::new(ticket(&spec))),
            records: BTreeMap::new(),
            workloads: workloads().map(|(name, workload)| (name, Shared::new(workload))).collect(),
        };
        vec![State {
            operators: vec![Operator::fresh(&api); self.operators],
            api,
            revisions,
            judge: Judge::default(),
            targets: self.targets,
            sequential: self.sequential,
            tries: self.tries,
            clock: 0,
            faults: 0,
            moves: 0,
            ticks: 0,
            lenient: self.lenient,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let faulty = state.faults < self.faults;
        for (i, operator) in state.operators.iter().enumerate() {
            if operator.pass.is_some() {
                actions.push(Action::Perform(i));
                if faulty {
                    let kinds = [Action::PerformAndCrash, Action::PerformAndLose, Action::Refuse, Action::Crash];
                    actions.extend(kinds.map(|fault| fault(i)));
                }
                continue;
            }
            if operator.cache != state.api || operator.watched != state.api {
                actions.push(Action::Sync(i));
            }
            if faulty && operator.watched != operator.cache {
                actions.push(Action::RestartStale(i));
            }
            if start_ticket(operator, state).is_some() {
                actions.push(Action::StartTicket(i));
            }
            for (name, _) in self.targets {
                if start_orphan(operator, state, name).is_some() {
                    actions.push(Action::StartOrphan(i, name));
                }
            }
            for name in operator.cache.records.keys() {
                if start_record(operator, state, name).is_some() {
                    actions.push(Action::StartRecord(i, name.clone()));
                }
            }
        }
        actions.extend(state.api.unsettled().map(Action::Settle));
        // While a pass goes on no time passes: what it decided on was read at its start.
        if state.ticks < self.ticks && state.operators.iter().all(|o| o.pass.is_none()) {
            actions.push(Action::Tick);
        }
        if state.moves < self.most_moves {
            // Only what changes something: of an action that leads nowhere the checker cannot tell afterwards which way a walk went.
            let changes = |what: &Move| person::act(&mut state.clone(), *what);
            actions.extend(self.moves.iter().copied().filter(changes).map(Action::Person));
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Sync(i) => {
                next.operators[i].cache = state.api.clone();
                next.operators[i].watched = state.api.clone();
            }
            Action::StartTicket(i) => next.operators[i].pass = start_ticket(&state.operators[i], state).map(Shared::new),
            Action::StartRecord(i, name) => {
                next.operators[i].pass = start_record(&state.operators[i], state, &name).map(Shared::new);
            }
            Action::StartOrphan(i, name) => {
                next.operators[i].pass = start_orphan(&state.operators[i], state, name).map(Shared::new);
            }
            Action::Perform(i) => perform(&mut next, i),
            Action::PerformAndCrash(i) => {
                perform(&mut next, i);
                next.operators[i] = Operator::fresh(&next.api);
                next.faults += 1;
            }
            Action::PerformAndLose(i) => {
                let mut unheard = Operator { pass: None, ..state.operators[i].clone() };
                if let Some(record) = forward_record(&state.operators[i]) {
                    unheard.unwritten.trying(&record, at(state.clock));
                }
                perform(&mut next, i);
                next.operators[i] = unheard;
                next.faults += 1;
            }
            Action::Refuse(i) => {
                refuse(&mut next, i);
                next.faults += 1;
            }
            Action::Crash(i) => {
                next.operators[i] = Operator::fresh(&next.api);
                next.faults += 1;
            }
            Action::RestartStale(i) => {
                next.operators[i] = Operator::fresh(&state.operators[i].watched);
                next.faults += 1;
            }
            Action::Settle(name) => {
                let settled = settled(state.api.workloads.get(name)?);
                next.revisions.insert(name, with_revision(&state.revisions[name], &settled));
                next.api.put(name, settled);
            }
            Action::Tick => {
                next.clock += TICK_SECONDS;
                next.ticks += 1;
            }
            Action::Person(what) => {
                person::act(&mut next, what);
                next.moves += 1;
            }
        }
        if next.faults >= self.faults {
            // Nothing starts again any more: what the watches told alone is of no use.
            next.operators.iter_mut().for_each(|o| o.watched = o.cache.clone());
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        judge::properties()
    }
}

fn check(what: &str, scenario: Scenario, visit: Visit) {
    if let Some(wrong) = find_wrong(what, scenario, visit) {
        panic!("{wrong}");
    }
}

/// How the states are visited.
#[derive(Clone, Copy, PartialEq)]
enum Visit {
    /// All of them, the nearest first.
    All,
    /// Random walks to the end: where there are too many.
    Walks,
}

/// The first property that does not hold, and how to get there.
fn find_wrong(what: &str, scenario: Scenario, visit: Visit) -> Option<String> {
    let images = scenario.targets.iter().map(|(_, image)| *image).collect::<Vec<_>>().join(", ");
    let started = Instant::now();
    let builder = scenario.checker().threads(2).finish_when(HasDiscoveries::AnyFailures);
    let (discoveries, states, depth) = match visit {
        Visit::All => {
            let checker = builder.timeout(ALL).spawn_bfs().join();
            (checker.discoveries(), checker.unique_state_count(), checker.max_depth())
        }
        Visit::Walks => {
            let checker = builder.timeout(WALK).spawn_simulation(42, UniformChooser).join();
            (checker.discoveries(), checker.state_count(), checker.max_depth())
        }
    };
    let all = if visit == Visit::All { "all of " } else { "" };
    println!("{what}, {images}: {all}{states} states, depth {depth}, {:.1} s", started.elapsed().as_secs_f64());
    let wrong = discoveries.iter().find(|(name, _)| ![FINISHED, TAKEN_BACK].contains(name));
    if wrong.is_none() {
        assert!(visit == Visit::Walks || started.elapsed() < ALL, "not every state could be visited in time");
        assert!(discoveries.contains_key(FINISHED), "no rollout ever ends: the model is broken, or too large");
        assert!(discoveries.contains_key(TAKEN_BACK), "no rollback by hand ever ends: the model is broken, or too large");
    }
    let (name, path) = wrong?;
    let state = path.last_state().clone();
    let actions: Vec<_> = path.clone().into_actions().iter().map(|a| format!("{a:?}")).collect();
    let ticket = state.api.ticket.iter().flat_map(|t| &t.status).map(|s| {
        let entries: Vec<_> = s.targets.iter().map(|e| (e.attempt, e.tries, &e.record, &e.result, &e.stop, &e.rollback)).collect();
        format!("{:?} {:?}: {:?} {entries:?}", s.state, s.reason, s.message)
    });
    let records = state.api.records.values().map(|r| format!("{:?}: {:?}", r.metadata.name, condition_reason(r)));
    let objects: Vec<_> = ticket.chain(records).chain(state.api.workloads.values().map(|w| w.to_string())).collect();
    Some(format!("{what}, {images}: {name} does not hold after\n{}\n{:?}\n{}", actions.join(" "), state.judge, objects.join("\n")))
}
