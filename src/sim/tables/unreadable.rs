use std::collections::BTreeMap;

use serde_json::json;

use crate::world::{at, next, ticket};
use trackdown_api::ticket::{Ticket, TicketStatus};
use trackdown_core::checks::Limits;
use trackdown_core::request::{hash, resolve};
use trackdown_core::ticket::{RecordSeen, TicketRead, TicketRest, TicketStep, TicketWorld, TicketWrite};

const RECORD: &str = "iss-1-web-0123456789";

/// A ticket whose attempt is in flight, under this record.
fn rolling(record: &str) -> Ticket {
    let mut rolling = ticket(&json!({}));
    rolling.status = serde_json::from_value(json!({
        "observedGeneration": 1, "state": "ready_for_deployment", "requestedState": "ready_for_deployment",
        "targets": [{"name": "web", "attempt": 1, "requestHash": "h", "record": record}],
    }))
    .unwrap();
    rolling
}

fn world(ticket: Ticket) -> TicketWorld {
    TicketWorld {
        ticket,
        records: BTreeMap::new(),
        dependencies: BTreeMap::new(),
        since: BTreeMap::new(),
        rivals: Vec::new(),
        probes: BTreeMap::new(),
        monitor_only: false,
        policy_missing: None,
        limits: Limits::default(),
        now: at(0),
    }
}

/// Nothing that rests on it is decided, and the ticket says so.
#[test]
fn a_record_that_cannot_be_read_is_told() {
    let mut world = world(rolling(RECORD));
    assert_eq!(next(&world), TicketStep::Read(TicketRead::Record(RECORD.to_owned())));
    world.records.insert(RECORD.to_owned(), RecordSeen::Unreadable("unknown variant `Canary`".to_owned()));
    let TicketStep::Write(TicketWrite::Status(status)) = next(&world) else { panic!("{:?}", next(&world)) };
    let TicketStatus { reason, waiting, targets, .. } = *status.clone();
    assert_eq!(reason.as_deref(), Some("RecordUnreadable"));
    assert!(waiting.unwrap().message.contains("unknown variant `Canary`"));
    assert_eq!((targets[0].attempt, targets[0].record.as_deref()), (1, Some(RECORD)), "it is not forgotten");
    world.ticket.status = Some(*status);
    assert!(matches!(next(&world), TicketStep::Rest(TicketRest { recheck: true, .. })), "{:?}", next(&world));
}

/// A name that no object can have would mean something else in a path.
#[test]
fn a_record_without_a_name_is_not_asked_for() {
    for odd in ["../deployments/x", "x?watch=true", "x y", "X", ""] {
        let mut asks = rolling(odd);
        let target = &resolve(&asks)[0];
        let hash = hash(target, &asks.spec.rollout);
        asks.status.as_mut().unwrap().targets[0].request_hash = Some(hash);
        let TicketStep::Read(TicketRead::Workload(_)) = next(&world(asks)) else {
            panic!("{odd}: as if there had been no attempt")
        };
    }
}
