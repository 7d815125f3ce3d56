use serde_json::json;

use crate::world::{ticket, with_draft};
use trackdown_api::outcome::Outcome;
use trackdown_api::ticket::{TargetStatus, TicketState, TicketStatus};
use trackdown_core::request::resolve;
use trackdown_core::ticket::rollback::take_in;
use trackdown_core::warnings;

fn deployed() -> TicketStatus {
    TicketStatus {
        state: Some(TicketState::Done),
        targets: vec![TargetStatus {
            name: "web".into(),
            attempt: 1,
            record: Some("r1".into()),
            request_hash: Some("h".into()),
            result: Some(Outcome::RolloutComplete),
            ..TargetStatus::default()
        }],
        ..TicketStatus::default()
    }
}

fn ask(status: &mut TicketStatus, rollback: &serde_json::Value) {
    let ticket = ticket(&json!({"rollback": rollback}));
    with_draft(status, |draft| take_in(draft, &ticket, &resolve(&ticket), false));
}

/// Stored before the API server refused it, or by the removal of the target: corrected, it counts under the same request.
#[test]
fn a_target_that_is_corrected_is_taken_in_under_the_same_request() {
    let mut status = deployed();
    let typo = json!({"request": "1", "targets": ["wbe"]});
    ask(&mut status, &typo);
    assert_eq!(status, deployed());
    assert_eq!(
        warnings::of(&ticket(&json!({"rollback": typo}))),
        ["spec.rollback.targets: the ticket has no target wbe; it has: web"]
    );
    ask(&mut status, &json!({"request": "1", "targets": ["web"]}));
    assert_eq!(status.targets[0].rollback.as_ref().unwrap().of.as_deref(), Some("r1"));
    assert_eq!(status.last_handled_rollback.as_deref(), Some("1"));
}

/// A request that could not begin is as if it had been withdrawn when the next one comes.
#[test]
fn a_second_request_is_judged_on_what_was_there_before_the_first() {
    let mut status = deployed();
    ask(&mut status, &json!({"request": "1", "to": "no-such-record"}));
    assert_eq!(status.targets[0].rollback.as_ref().unwrap().to.as_deref(), Some("no-such-record"));
    ask(&mut status, &json!({"request": "2"}));
    let rollback = status.targets[0].rollback.clone().unwrap();
    assert_eq!((rollback.to, rollback.of.as_deref(), rollback.before.as_deref()), (None, Some("r1"), Some("r1")));

    // There is nothing to take back: the first leaves no trace.
    let mut taken_back = deployed();
    taken_back.targets[0].result = Some(Outcome::RolledBack);
    taken_back.targets[0].tries = 3;
    let before = taken_back.targets[0].clone();
    ask(&mut taken_back, &json!({"request": "1", "to": "no-such-record"}));
    ask(&mut taken_back, &json!({"request": "2"}));
    let after =
        TargetStatus { last_handled_rollback: None, request_hash: before.request_hash.clone(), ..taken_back.targets[0].clone() };
    assert_eq!(after, before);
}
