use serde_json::json;

use crate::world::{ticket, with_draft};
use trackdown_api::ticket::{TargetStatus, Ticket, TicketState, TicketStatus};
use trackdown_api::{RETRY_ANNOTATION, TARGET_RETRY_PREFIX};
use trackdown_core::retry::{self, requester};

fn take_in(status: &mut TicketStatus, ticket: &Ticket, fresh: bool) {
    with_draft(status, |draft| retry::take_in(draft, ticket, fresh));
}

fn ended(result: &str) -> TargetStatus {
    TargetStatus {
        name: "web".into(),
        attempt: 3,
        tries: 3,
        record: Some("r".into()),
        request_hash: Some("h".into()),
        result: Some(result.into()),
        ..TargetStatus::default()
    }
}

fn with(annotation: &str, token: &str) -> Ticket {
    let mut ticket = ticket(&json!({}));
    ticket.metadata.annotations = Some([(annotation.to_owned(), token.to_owned())].into());
    ticket
}

#[test]
fn a_token_is_handled_once_and_only_noted_at_birth() {
    let mut status = TicketStatus::default();
    take_in(&mut status, &with(RETRY_ANNOTATION, "at birth"), true);
    assert_eq!(status.last_handled_retry.as_deref(), Some("at birth"));
    status.targets.push(ended("RolledBack"));
    take_in(&mut status, &with(RETRY_ANNOTATION, "at birth"), false);
    take_in(&mut status, &with(RETRY_ANNOTATION, ""), false);
    assert_eq!(status.targets[0], ended("RolledBack"));
    take_in(&mut status, &with(RETRY_ANNOTATION, "again"), false);
    assert_eq!((status.targets[0].attempt, status.targets[0].tries, &status.targets[0].result), (3, 0, &None));
}

#[test]
fn what_is_deployed_is_done_again_only_if_it_is_named() {
    let mut status = TicketStatus {
        state: Some(TicketState::ReadyForDeployment),
        targets: vec![ended("RolloutComplete")],
        ..TicketStatus::default()
    };
    take_in(&mut status, &with(RETRY_ANNOTATION, "again"), false);
    assert!(status.targets[0].result.is_some());
    let named = with(&format!("{TARGET_RETRY_PREFIX}web"), "again");
    take_in(&mut status, &named, false);
    assert_eq!((&status.targets[0].result, status.targets[0].attempt), (&None, 3));
    status.targets[0].result = Some("RolloutComplete".into());
    take_in(&mut status, &named, false);
    assert!(status.targets[0].result.is_some(), "once");
    take_in(&mut status, &with(&format!("{TARGET_RETRY_PREFIX}api"), "again"), false);
    assert!(status.targets[0].result.is_some(), "somebody else's");

    let mut newborn = TicketStatus::default();
    take_in(&mut newborn, &named, true);
    assert_eq!(newborn.targets[0].last_handled_retry.as_deref(), Some("again"));
}

#[test]
fn who_asked_for_a_retry_is_told_until_something_else_is_asked_for() {
    let asked = |targets: &str, annotated: &str, by_operator: bool| {
        let mut ticket = with(RETRY_ANNOTATION, "again");
        let entry = |manager: &str, time: &str, fields: serde_json::Value| json!({"manager": manager, "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "time": time, "fieldsV1": fields});
        ticket.metadata.managed_fields = serde_json::from_value(json!([
            entry("git", targets, json!({"f:spec": {"f:targets": {}}})),
            entry("ann", annotated, json!({"f:metadata": {"f:annotations": {"f:trackdown.dev/retry-requested": {}}}})),
        ]))
        .unwrap();
        let by = by_operator.then_some("trackdown");
        ticket.status = serde_json::from_value(json!({
            "observedGeneration": 1, "history": [{"to": "ready_for_deployment", "time": "2026-01-01T00:00:05Z", "by": by}],
        }))
        .unwrap();
        requester(&ticket, "web").and_then(|r| r.via)
    };
    let (early, late) = ("2026-01-01T00:00:01Z", "2026-01-01T00:00:09Z");
    assert_eq!(asked(early, late, false).as_deref(), Some("ann"));
    assert_eq!(asked(early, early, false), None, "the deployment was asked for since");
    assert_eq!(asked(early, "2026-01-01T00:00:03Z", true).as_deref(), Some("ann"), "it moved the ticket back to ready itself");
    assert_eq!(asked("2026-01-01T00:00:10Z", late, false), None, "another image was asked for since");
}
