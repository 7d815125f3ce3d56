use std::collections::BTreeMap;

use serde_json::json;
use trackdown_core::checks::Limits;
use trackdown_core::machine::{Next, Pass};
use trackdown_core::preflight::Holder;
use trackdown_core::request::{hash, record_name, resolve};
use trackdown_core::ticket::{Probe, RecordSeen, TicketRead, TicketReply, TicketWorld, TicketWrite};

use crate::world::{OLD, at, ticket, view, workload};

/// An attempt whose record could not be made is to be taken back to an earlier record; before that is seen, another image is asked for, or
/// the deployment anew: what was asked to be taken back is not what the target is about any more.
#[test]
fn what_was_to_be_taken_back_gives_way_to_what_is_asked_for_after_it() {
    for seen in [RecordSeen::Absent, RecordSeen::Refused("quota".to_owned())] {
        for asked in [json!("before"), json!(null)] {
            let mut asks = ticket(&json!({"rollback": {"request": "x", "to": "r0"}}));
            let first = record_name(&asks, "web", 1);
            asks.status = serde_json::from_value(json!({
                "observedGeneration": 1, "state": "ready_for_deployment", "requestedState": "ready_for_deployment",
                "lastHandledRollback": "x",
                "targets": [{
                    "name": "web", "attempt": 1, "requestHash": asked, "record": first, "stop": "Rollback",
                    "rollback": {"cause": "Requested", "of": first, "to": "r0", "before": first, "requestedBy": {}},
                }],
            }))
            .unwrap();
            let wanted = hash(&resolve(&asks)[0], &asks.spec.rollout);
            let world = TicketWorld {
                ticket: asks,
                records: BTreeMap::new(),
                dependencies: BTreeMap::new(),
                since: BTreeMap::new(),
                rivals: Vec::new(),
                probes: BTreeMap::new(),
                monitor_only: false,
                policy_missing: None,
                limits: Limits::default(),
                now: at(0),
            };
            let mut pass = Pass::new(world);
            let status = loop {
                let reply = match pass.next().unwrap() {
                    Next::Read(TicketRead::Record(name)) => TicketReply::Record(name, seen.clone()),
                    Next::Read(TicketRead::Workload(of)) => {
                        TicketReply::Workload(of, Box::new(Probe::Found(Box::new(view(&workload(OLD))), Holder::Nobody)))
                    }
                    Next::Write(TicketWrite::Status(status)) => break *status,
                    other => panic!("{other:?}"),
                };
                pass.answer(reply, at(0));
            };
            let target = &status.targets[0];
            assert_eq!((target.attempt, &target.rollback, target.request_hash.as_ref()), (2, &None, Some(&wanted)), "{seen:?}");
        }
    }
}
