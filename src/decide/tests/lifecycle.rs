use serde_json::json;

use super::world::{at, ticket};
use crate::api::ticket::{TargetStatus, Ticket, TicketState, TicketStatus};
use crate::decide::lifecycle::{HISTORY_MAX, take_in};

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
