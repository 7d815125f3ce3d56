use std::sync::Arc;

use serde_json::{Value, json};

use trackdown_api::marker::Marker;
use trackdown_api::outcome::Outcome;
use trackdown_api::record::Record;
use trackdown_core::lineage::{self, Since};

/// A record that wrote `image` after the record `before` and ended so.
fn record(name: &str, ticket: &str, before: Option<&str>, image: &str, result: &Outcome) -> Record {
    let marker = before.map(|before| {
        let marker = Marker {
            workload_uid: "u".into(),
            ticket_uid: "t".into(),
            namespace: "shop".into(),
            record: before.into(),
            set: Vec::new(),
            undo: Vec::new(),
            restored: false,
            succeeded: true,
            fenced: None,
        };
        serde_json::to_string(&marker).unwrap()
    });
    let action = if *result == Outcome::RollbackComplete { "Rollback" } else { "Rollout" };
    let time = "2026-01-01T00:00:00.000000Z";
    let mut whole = json!({
        "apiVersion": "trackdown.dev/v1alpha1", "kind": "Deployment", "metadata": {"name": name, "namespace": "shop"},
        "spec": {
            "ticket": {"name": ticket, "uid": ticket, "id": ticket}, "target": "web", "attempt": 1, "requestHash": "h", "action": action,
            "workload": {"kind": "Deployment", "namespace": "shop", "name": "web"}, "images": [{"container": "web", "image": image}],
            "base": {"uid": "u", "generation": 1}, "timeoutSeconds": 1,
        },
        "status": {
            "observedGeneration": 1, "patchedTime": time, "completionTime": time,
            "conditions": [{"type": "Succeeded", "status": "True", "reason": result.as_str(), "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        },
    });
    if let Some(marker) = marker {
        whole["spec"]["base"]["marker"] = Value::String(marker);
    }
    serde_json::from_value(whole).unwrap()
}

/// What came after the record, where these are known.
fn since(record: &Record, known: &[&Record]) -> Option<Since> {
    lineage::since(record, |name| {
        let after = known.iter().filter(|r| lineage::wrote_after(r).as_deref() == Some(name));
        after.map(|r| Arc::new((*r).clone())).collect()
    })
}

#[test]
fn what_came_after_is_found_over_failures() {
    let first = record("r1", "iss-1", None, "web:1", &Outcome::RolloutComplete);
    let failed = record("r2", "iss-2", Some("r1"), "web:2", &Outcome::RolledBack);
    let third = record("r3", "iss-3", Some("r2"), "web:3", &Outcome::RolloutComplete);
    let back = record("r4", "iss-3", Some("r3"), "web:1", &Outcome::RollbackComplete);
    let replaced = Some(Since::Replaced("iss-3".into()));
    assert_eq!(since(&first, &[&first]), None);
    assert_eq!(since(&first, &[&first, &failed]), None, "it failed");
    assert_eq!(since(&first, &[&first, &failed, &third]), replaced);
    assert_eq!(since(&third, &[&first, &failed, &third]), None);
    assert_eq!(since(&first, &[&first, &failed, &third, &back]), Some(Since::Restored));
    // A way that is lost tells nothing.
    assert_eq!(since(&first, &[&first, &third]), None);
}

#[test]
fn an_own_newer_deployment_replaces_nothing() {
    let first = record("r1", "iss-1", None, "web:1", &Outcome::RolloutComplete);
    let own = record("r2", "iss-1", Some("r1"), "web:2", &Outcome::RolloutComplete);
    assert_eq!(since(&first, &[&own]), Some(Since::Restored));
    // Another container of the same workload is another matter.
    let mut other = record("r2", "iss-2", Some("r1"), "proxy:2", &Outcome::RolloutComplete);
    other.spec.images[0].container = "proxy".into();
    assert_eq!(since(&first, &[&other]), None);
}

/// `kubectl rollout undo` brings an older marker back, so that two records come after one.
#[test]
fn of_two_that_came_after_one_the_later_counts() {
    let first = record("r1", "iss-1", None, "web:1", &Outcome::RolloutComplete);
    let undone = record("r2", "iss-2", Some("r1"), "web:2", &Outcome::RolloutComplete);
    let mut later = record("r3", "iss-3", Some("r1"), "web:3", &Outcome::RolloutComplete);
    later.status.as_mut().unwrap().patched_time = serde_json::from_value(json!("2026-01-02T00:00:00.000000Z")).unwrap();
    for order in [[&undone, &later], [&later, &undone]] {
        assert_eq!(since(&first, &order), Some(Since::Replaced("iss-3".into())));
    }
}
