use serde_json::{Value, json};

use crate::world::{at, ticket};
use trackdown_api::ticket::{Ticket, TicketState};
use trackdown_core::checks::Limits;
use trackdown_core::gates::{Asked, Dependencies, Dependency, Obstacle, first_obstacle, reachable};
use trackdown_core::request::resolve;

fn in_the_way(ticket: &Ticket, state: TicketState, dependencies: &Dependencies) -> Option<Obstacle> {
    let (targets, limits) = (resolve(ticket), Limits::default());
    first_obstacle(&Asked { ticket, state, targets: &targets, dependencies, limits: &limits, now: at(0) })
}

fn reason(spec: &Value) -> Option<&'static str> {
    let ticket = ticket(spec);
    let state = ticket.spec.state.unwrap_or(TicketState::Planning);
    in_the_way(&ticket, state, &Dependencies::new()).map(|o| o.reason)
}

#[test]
fn the_first_thing_in_the_way_is_named() {
    assert_eq!(reason(&json!({})), None);
    let everything = json!({
        "state": "active", "targets": [], "manualOverride": true, "automationEligible": false, "blockedReason": "x",
        "stateMetadata": {"securityScanPassed": false}, "deployBefore": "2000-01-01T00:00:00Z", "dependsOn": ["other"],
    });
    let mut spec = everything;
    for (expected, field, fixed) in [
        ("NotReady", "state", json!("ready_for_deployment")),
        ("NoTargets", "targets", json!([{"name": "web", "image": "web:2", "workloadRef": {"namespace": "other"}}])),
        ("ManualOverride", "manualOverride", json!(false)),
        ("NotEligible", "automationEligible", json!(true)),
        ("Blocked", "blockedReason", json!(null)),
        ("SecurityScanFailed", "stateMetadata", json!({"securityScanPassed": true})),
        ("Expired", "deployBefore", json!("2100-01-01T00:00:00Z")),
        ("NamespaceNotAllowed", "targets", json!([{"name": "web", "image": "web:2", "workloadRef": {"kind": "DaemonSet"}}])),
        ("DependencyMissing", "dependsOn", json!([])),
    ] {
        assert_eq!(reason(&spec), Some(expected));
        spec[field] = fixed;
    }
    assert_eq!(reason(&spec), None);
}

#[test]
fn what_is_no_name_is_not_asked_for() {
    for odd in ["web?x", "web/", "../web", "w%62", "we b", "Web", "web.", "-web", "", "web#x"] {
        let spec = json!({"targets": [{"name": "web", "image": "web:2", "workloadRef": {"name": odd}}]});
        assert_eq!(reason(&spec), Some("WorkloadNameInvalid"), "{odd}");
    }
    let spec = json!({"targets": [{"name": "web", "image": "web:2", "workloadRef": {"name": "0web-1.shop"}}]});
    assert_eq!(reason(&spec), None);
}

#[test]
fn a_cycle_is_told_apart_from_a_long_chain() {
    let node = |state, on: &[&str]| Dependency { state: Some(state), depends_on: on.iter().map(|s| (*s).to_owned()).collect() };
    let open = TicketState::Active;
    let ticket = ticket(&json!({"dependsOn": ["a"]}));
    let judge = |a: Dependency, b: Dependency| {
        let known = Dependencies::from([("a".to_owned(), a), ("b".to_owned(), b)]);
        in_the_way(&ticket, TicketState::ReadyForDeployment, &known).map(|o| o.message)
    };
    let cycle = judge(node(open, &["b"]), node(open, &["iss-1"])).unwrap();
    assert_eq!(cycle, "spec.dependsOn goes round in a circle: iss-1 -> a -> b -> iss-1");
    assert!(judge(node(open, &["b"]), node(open, &[])).unwrap().contains("ticket a, which is active"));
    // Others' circle, and a circle over what is done, are not in the way of this one.
    assert!(judge(node(open, &["b"]), node(open, &["a"])).unwrap().contains("ticket a, which is active"));
    assert_eq!(judge(node(TicketState::Done, &["b"]), node(open, &["iss-1"])), None);
}

#[test]
fn only_what_can_be_reached_is_gathered() {
    let a = std::sync::Arc::new(ticket(&json!({"dependsOn": ["b", "a"]})));
    let found = reachable(&ticket(&json!({"dependsOn": ["a", "gone"]})), |name| (name == "a").then(|| a.clone()));
    assert_eq!(found.keys().collect::<Vec<_>>(), ["a"]);
}
