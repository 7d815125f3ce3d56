//! What is tried: tickets of one target and of two, alone and with a person's moves, with faults at any step.

use super::person::{self, Move};
use super::{Scenario, Targets, Visit, check, find_wrong};
use crate::world::{BAD, NEW};

const GOOD: Targets = &[("web", NEW)];
const FAULTY: Targets = &[("web", BAD)];
const BOTH_GOOD: Targets = &[("web", NEW), ("api", NEW)];
const LAST_FAULTY: Targets = &[("web", NEW), ("api", BAD)];

const ONE: Scenario = Scenario {
    targets: GOOD,
    sequential: false,
    tries: 2,
    operators: 1,
    faults: 0,
    moves: &[],
    most_moves: 0,
    ticks: 1,
    lenient: false,
};

/// One try each, and no time passes: what fails does so without waiting for a deadline.
const TWO: Scenario = Scenario { targets: BOTH_GOOD, tries: 1, ticks: 0, ..ONE };

/// Whether every state is visited where that takes minutes: `make model`.
fn whole() -> Visit {
    if std::env::var_os("MODEL").is_some() { Visit::All } else { Visit::Walks }
}

#[test]
fn one_operator_failing_twice_at_any_step() {
    for targets in [GOOD, FAULTY] {
        check("two faults", Scenario { targets, faults: 2, ..ONE }, Visit::All);
    }
}

/// Every move at every moment of a good and of a bad rollout, with every fault at every step.
#[test]
fn one_operator_and_a_person() {
    for targets in [GOOD, FAULTY] {
        check("a move and two tries", Scenario { targets, moves: person::EVERY, most_moves: 1, ..ONE }, Visit::All);
        // What fails does so without waiting for a deadline; back-off is in the one before.
        let ticks = u8::from(targets == GOOD);
        let pairs = Scenario { targets, tries: 1, ticks, faults: 1, moves: person::EVERY, most_moves: 1, ..ONE };
        check("a move and a fault", pairs, whole());
        check("two moves, two faults", Scenario { targets, faults: 2, moves: person::EVERY, most_moves: 2, ..ONE }, Visit::Walks);
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
    for targets in [GOOD, FAULTY] {
        let moves = &[Move::AskRollback];
        check("a rollback", Scenario { targets, tries: 1, faults: 1, moves, most_moves: 1, ..ONE }, Visit::All);
        let moves = &[Move::AskRollbackToNobody, Move::WithdrawRollback];
        check("a rollback that cannot be", Scenario { targets, moves, most_moves: 2, ..ONE }, Visit::All);
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
    for targets in [GOOD, FAULTY] {
        check("two operators", Scenario { targets, operators: 2, faults: 1, ..ONE }, Visit::Walks);
        let scenario = Scenario { targets, operators: 2, faults: 1, moves: person::EVERY, most_moves: 2, ..ONE };
        check("two operators and a person", scenario, Visit::Walks);
    }
}

/// Asked for again at any moment: every time brings as many tries as the first.
#[test]
fn a_retry() {
    let again = Scenario { targets: FAULTY, tries: 1, ticks: 0, moves: &[Move::Retry], ..ONE };
    check("a retry and a fault", Scenario { faults: 1, most_moves: 1, ..again }, Visit::All);
    check("two retries", Scenario { most_moves: 2, ..again }, Visit::All);
}

/// Two targets at once share nothing but their ticket.
#[test]
fn two_targets() {
    for targets in [BOTH_GOOD, LAST_FAULTY] {
        check("two targets", Scenario { targets, ..TWO }, Visit::All);
    }
    // Each step of one at any step of the other, times every fault: all of that takes minutes.
    check("two targets and a fault", Scenario { targets: LAST_FAULTY, faults: 1, ..TWO }, whole());
    let moves = person::every_on_several();
    let disturbed = Scenario { targets: LAST_FAULTY, faults: 1, ticks: 1, moves, most_moves: 2, ..TWO };
    check("two targets, two moves and a fault", disturbed, Visit::Walks);
}

/// One after the other; and where the last one fails, the first one is taken back.
#[test]
fn a_sequence() {
    let sequence = Scenario { sequential: true, faults: 1, ..TWO };
    for targets in [BOTH_GOOD, LAST_FAULTY] {
        check("a sequence and a fault", Scenario { targets, ..sequence }, Visit::All);
    }
    let moves = person::every_on_several();
    let disturbed = Scenario { targets: LAST_FAULTY, ticks: 1, moves, most_moves: 2, ..sequence };
    check("a sequence, two moves and a fault", disturbed, Visit::Walks);
}

/// A checker that misses what is wrong proves nothing: an API server that ignores the tests of a patch must be found out.
#[test]
fn the_model_finds_what_is_wrong() {
    let broken = Scenario { targets: FAULTY, operators: 2, faults: 1, moves: person::EVERY, most_moves: 2, lenient: true, ..ONE };
    assert!(find_wrong("a lenient API server", broken, Visit::Walks).is_some());
}
