use jiff::Timestamp;
use serde_json::json;

use crate::world::{at, ticket, with_draft};
use trackdown_api::ticket::{TargetStatus, Ticket, TicketState, TicketStatus};
use trackdown_core::lifecycle::{self, Attribution, HISTORY_MAX};

fn take_in(status: &mut TicketStatus, ticket: &Ticket, now: Timestamp) {
    with_draft(status, |draft| lifecycle::take_in(draft, ticket, now));
}

fn transition(status: &mut TicketStatus, to: TicketState) {
    with_draft(status, |draft| lifecycle::transition(draft, to, Attribution::default(), at(0)));
}

fn asked(state: &str, by: &str, reason: &str) -> Ticket {
    ticket(&json!({"state": state, "stateMetadata": {"transitionedBy": by, "transitionReason": reason}}))
}

#[test]
fn a_claim_counts_only_with_its_state() {
    let mut status = TicketStatus::default();
    take_in(&mut status, &asked("active", "ada", "started"), at(0));
    assert_eq!(status.transitioned_by.as_deref(), Some("ada"));
    // The same words still stand there when somebody else moves the ticket on.
    take_in(&mut status, &asked("ready_for_qa", "ada", "started"), at(1));
    assert_eq!((status.transitioned_by.as_deref(), status.transition_reason.as_deref()), (None, None));
    take_in(&mut status, &asked("ready_for_deployment", "ada", "started"), at(2));
    assert_eq!(status.transitioned_by, None);
    take_in(&mut status, &asked("active", "bob", "started"), at(3));
    assert_eq!(status.transitioned_by.as_deref(), Some("bob"));
}

#[test]
fn absent_is_never_a_transition() {
    let mut status = TicketStatus::default();
    take_in(&mut status, &ticket(&json!({"state": null})), at(0));
    assert_eq!((status.state, status.requested_state), (Some(TicketState::Planning), None));
    take_in(&mut status, &ticket(&json!({"state": "active"})), at(1));
    take_in(&mut status, &ticket(&json!({"state": null})), at(2));
    assert_eq!(status.state, Some(TicketState::Active));
    assert_eq!(status.history.len(), 2);
}

#[test]
fn the_same_request_again_is_nothing() {
    let mut status = TicketStatus::default();
    take_in(&mut status, &ticket(&json!({})), at(0));
    status.state = Some(TicketState::Done);
    let before = status.clone();
    take_in(&mut status, &ticket(&json!({})), at(9));
    assert_eq!(status, before);
}

/// Cut by hand, or restored in part.
#[test]
fn a_status_that_has_lost_its_state_takes_it_in_again() {
    let mut status = TicketStatus { requested_state: Some(TicketState::Active), ..TicketStatus::default() };
    take_in(&mut status, &ticket(&json!({"state": "active"})), at(0));
    assert_eq!(status.state, Some(TicketState::Active));
}

/// A sequence takes back what its own attempts have changed, whatever clocks say.
#[test]
fn attempts_from_before_are_known_by_their_number() {
    let mut status = TicketStatus::default();
    let entry = |name: &str, record: Option<&str>, result: Option<&str>| TargetStatus {
        name: name.into(),
        attempt: 3,
        record: record.map(str::to_owned),
        result: result.map(Into::into),
        ..TargetStatus::default()
    };
    status.targets =
        vec![entry("ended", Some("r"), Some("RolloutComplete")), entry("in-flight", Some("r"), None), entry("none", None, None)];
    transition(&mut status, TicketState::Active);
    assert!(status.targets.iter().all(|e| e.attempt_before.is_none()));
    transition(&mut status, TicketState::ReadyForDeployment);
    let before: Vec<_> = status.targets.iter().map(|e| e.attempt_before).collect();
    assert_eq!(before, [Some(3), Some(2), Some(3)]);
}

#[test]
fn history_is_bounded_newest_first() {
    let mut status = TicketStatus::default();
    for step in 0..30 {
        take_in(&mut status, &ticket(&json!({"state": if step % 2 == 0 { "active" } else { "planning" }})), at(step));
    }
    assert_eq!(status.history.len(), HISTORY_MAX);
    assert_eq!(status.history[0].time.0, at(29));
}

#[test]
fn nobody_can_pass_for_trackdown_to_keep_old_results() {
    let mut status = TicketStatus::default();
    take_in(&mut status, &ticket(&json!({})), at(0));
    status.targets.push(TargetStatus { name: "web".into(), result: Some("RolledBack".into()), ..TargetStatus::default() });
    take_in(&mut status, &asked("active", "trackdown", "x"), at(1));
    take_in(&mut status, &asked("ready_for_deployment", "trackdown", "y"), at(2));
    assert_eq!(status.targets[0].result, None);
}
