use serde_json::json;

use super::world::ticket;
use crate::api::ticket::{TargetStatus, Ticket, TicketState, TicketStatus};
use crate::api::{RETRY_ANNOTATION, TARGET_RETRY_PREFIX};
use crate::decide::retry::take_in;

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
