//! A model of the whole: operators with stale caches that crash, pause, lose replies and are refused at any step, a person who changes
//! things meanwhile, and a workload controller. The operators run the real decisions; the API server is a small, exact stand-in.

mod cluster;
mod judge;
mod passes;
mod person;
mod shared;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;
use stateright::{Checker, HasDiscoveries, Model, Property, UniformChooser};
use trackdown_core::condition_reason;
use trackdown_core::record::Unwritten;

use self::cluster::{Objects, Revision, settled, with_revision};
use self::judge::{FINISHED, Judge, TAKEN_BACK};
use self::passes::{UnderWay, forward_record, perform, refuse, start_orphan, start_record, start_ticket};
use self::person::Move;
use self::shared::Shared;
use crate::world::{BAD, NEW, OLD, at, ticket, workload};

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

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct State {
    api: Objects,
    operators: Vec<Operator>,
    revisions: Vec<Revision>,
    judge: Judge,
    wanted: &'static str,
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
    StartOrphan(usize),
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
    Settle,
    Tick,
    Person(Move),
}

struct Scenario {
    image: &'static str,
    /// Tries the ticket has.
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
        let spec = json!({"targets": [{"name": "web", "image": self.image}], "rollout": {"maxAttempts": self.tries}});
        let workload = workload(OLD);
        let revisions = with_revision(&[], &workload);
        let api =
            Objects { ticket: Some(Shared::new(ticket(&spec))), records: BTreeMap::new(), workload: Some(Shared::new(workload)) };
        vec![State {
            operators: vec![Operator::fresh(&api); self.operators],
            api,
            revisions,
            judge: Judge::default(),
            wanted: self.image,
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
            if start_orphan(operator, state).is_some() {
                actions.push(Action::StartOrphan(i));
            }
            for name in operator.cache.records.keys() {
                if start_record(operator, state, name).is_some() {
                    actions.push(Action::StartRecord(i, name.clone()));
                }
            }
        }
        if state.api.workload.as_ref().is_some_and(|w| settled(w) != **w) {
            actions.push(Action::Settle);
        }
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
            Action::StartOrphan(i) => next.operators[i].pass = start_orphan(&state.operators[i], state).map(Shared::new),
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
            Action::Settle => {
                let settled = settled(state.api.workload.as_ref()?);
                next.revisions = with_revision(&state.revisions, &settled);
                next.api.workload = Some(Shared::new(settled));
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
    let (image, started) = (scenario.image, Instant::now());
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
    println!("{what}, {image}: {all}{states} states, depth {depth}, {:.1} s", started.elapsed().as_secs_f64());
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
    let objects: Vec<_> = ticket.chain(records).chain(state.api.workload.iter().map(|w| w.to_string())).collect();
    Some(format!("{what}, {image}: {name} does not hold after\n{}\n{:?}\n{}", actions.join(" "), state.judge, objects.join("\n")))
}

const ONE: Scenario =
    Scenario { image: NEW, tries: 2, operators: 1, faults: 0, moves: &[], most_moves: 0, ticks: 1, lenient: false };

#[test]
fn one_operator_failing_twice_at_any_step() {
    for image in [NEW, BAD] {
        check("two faults", Scenario { image, faults: 2, ..ONE }, Visit::All);
    }
}

/// Whether every state is visited where that takes minutes: `make model`.
fn whole() -> Visit {
    if std::env::var_os("MODEL").is_some() { Visit::All } else { Visit::Walks }
}

/// Every move at every moment of a good and of a bad rollout, with every fault at every step.
#[test]
fn one_operator_and_a_person() {
    for image in [NEW, BAD] {
        check("a move and two tries", Scenario { image, moves: person::EVERY, most_moves: 1, ..ONE }, Visit::All);
        // What fails does so without waiting for a deadline; back-off is in the one before.
        let ticks = u8::from(image == NEW);
        let pairs = Scenario { image, tries: 1, ticks, faults: 1, moves: person::EVERY, most_moves: 1, ..ONE };
        check("a move and a fault", pairs, whole());
        check("two moves, two faults", Scenario { image, faults: 2, moves: person::EVERY, most_moves: 2, ..ONE }, Visit::Walks);
    }
}

/// Refused, then written with the answer lost, then undone.
#[test]
fn refused_then_lost_then_undone() {
    let scenario = Scenario { tries: 1, ticks: 0, faults: 2, moves: &[Move::Undo], most_moves: 1, ..ONE };
    check("an undo and two faults", scenario, Visit::All);
}

/// Asked for at any moment, with every fault on the way; and another move at every moment of it.
#[test]
fn one_operator_and_a_rollback() {
    for image in [NEW, BAD] {
        check("a rollback", Scenario { image, tries: 1, faults: 1, moves: &[Move::AskRollback], most_moves: 1, ..ONE }, Visit::All);
        let moves = &[Move::AskRollbackToNobody, Move::WithdrawRollback];
        check("a rollback that cannot be", Scenario { image, moves, most_moves: 2, ..ONE }, Visit::All);
    }
    for second in person::EVERY {
        let moves: &'static [Move] = Box::leak(Box::new([Move::AskRollback, *second]));
        check(&format!("a rollback and {second:?}"), Scenario { tries: 1, ticks: 0, moves, most_moves: 2, ..ONE }, whole());
    }
}

/// The records of a rollout deleted at any moment, and another move at any moment of it. Not `Undo`: of a rollout that ended well, whose
/// record was deleted before its ticket had taken the result in, an undo leaves no trace on the workload.
#[test]
fn deleted_records_and_a_move() {
    for second in person::EVERY.iter().filter(|second| **second != Move::Undo) {
        let moves: &'static [Move] = Box::leak(Box::new([Move::DeleteRecords, *second]));
        check(&format!("deleted records and {second:?}"), Scenario { tries: 1, ticks: 0, moves, most_moves: 2, ..ONE }, Visit::All);
    }
}

#[test]
fn two_operators() {
    for image in [NEW, BAD] {
        check("two operators", Scenario { image, operators: 2, faults: 1, ..ONE }, Visit::Walks);
        let scenario = Scenario { image, operators: 2, faults: 1, moves: person::EVERY, most_moves: 2, ..ONE };
        check("two operators and a person", scenario, Visit::Walks);
    }
}

/// A checker that misses what is wrong proves nothing: an API server that ignores the tests of a patch must be found out.
#[test]
fn the_model_finds_what_is_wrong() {
    let broken =
        Scenario { image: BAD, tries: 2, operators: 2, faults: 1, moves: person::EVERY, most_moves: 2, ticks: 1, lenient: true };
    assert!(find_wrong("a lenient API server", broken, Visit::Walks).is_some());
}
