use serde_json::{Value, json};

use crate::world::ticket;
use trackdown_api::record::{Digest, Record};
use trackdown_api::ticket::{TargetStatus, Ticket};
use trackdown_api::workload_ref::ContainerImage;
use trackdown_core::evidence::{contents, moved, surplus};

/// A record that ended `minute` minutes into the hour, for `result`; `None`: it runs.
fn record(name: &str, minute: u8, result: Option<&str>) -> Record {
    let status = result.map(|result| {
        let succeeded = if result.contains("Complete") { "True" } else { "False" };
        json!({
            "completionTime": format!("2026-01-01T00:{minute:02}:00.000000Z"),
            "conditions": [{
                "type": "Succeeded", "status": succeeded, "reason": result, "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
            }],
            "admittedImages": [{"container": "web", "image": "web:1"}],
            "digests": [{"container": "web", "imageID": format!("docker.io/library/web@sha256:{name}")}],
        })
    });
    serde_json::from_value(json!({
        "apiVersion": "trackdown.dev/v1alpha1", "kind": "Deployment", "metadata": {"name": name, "namespace": "shop"},
        "spec": {
            "ticket": {"name": "iss-1", "uid": "t", "id": "ISS-1"}, "target": "web", "attempt": 1, "requestHash": "h",
            "workload": {"kind": "Deployment", "namespace": "shop", "name": "web"}, "images": [{"container": "web", "image": "web:1"}],
            "base": {"uid": "u", "generation": 1}, "timeoutSeconds": 300,
        },
        "status": status.unwrap_or(Value::Null),
    }))
    .unwrap()
}

fn names(records: &[Record], tickets: &[&Ticket], keep: usize) -> Vec<String> {
    names_at(records, tickets, keep, "2026-01-02T00:00:00Z")
}

fn names_at(records: &[Record], tickets: &[&Ticket], keep: usize, now: &str) -> Vec<String> {
    let records: Vec<_> = records.iter().collect();
    surplus(&records, tickets, keep, now.parse().unwrap()).into_iter().filter_map(|r| r.metadata.name).collect()
}

#[test]
fn the_newest_and_the_last_good_one_are_kept() {
    let mut records = vec![record("good", 1, Some("RolloutComplete")), record("older", 0, Some("RolloutComplete"))];
    records.extend((2..8).map(|n| record(&format!("bad-{n}"), n, Some("RolledBack"))));
    records.push(record("running", 0, None));
    assert_eq!(names(&records, &[], 10), Vec::<String>::new());
    assert_eq!(names(&records, &[], 3), ["bad-4", "bad-3", "bad-2", "older"]);
    assert_eq!(names(&records, &[], 0).len(), 7, "all but the last good one and the one that runs");
}

#[test]
fn what_is_in_use_is_kept() {
    let mut records: Vec<_> = (0..5).map(|n| record(&format!("r-{n}"), n, Some("RolloutComplete"))).collect();
    let mut back = record("back", 9, None);
    back.spec.rollback_of = Some("r-1".into());
    records.push(back);
    let mut waiting = ticket(&json!({"rollback": {"request": "1", "to": "r-2"}}));
    waiting.status.as_mut().unwrap().targets =
        vec![TargetStatus { name: "web".into(), record: Some("r-0".into()), ..TargetStatus::default() }];
    assert_eq!(names(&records, &[&waiting], 1), ["r-3"], "r-4 is the newest, the others are asked for");
}

/// With nothing kept, on a cache that is late in any way: the record whose result nobody has taken in stays.
#[test]
fn what_nobody_has_taken_in_is_kept() {
    let mut just_ended = record("r-1", 1, Some("RolledBack"));
    just_ended.spec.ticket.uid = "ticket-uid".into();
    let records = [just_ended];
    let mut known = ticket(&json!({}));
    let mut entry = |attempt, record: Option<&str>, result: Option<&str>| {
        known.status.as_mut().unwrap().targets = vec![TargetStatus {
            name: "web".into(),
            attempt,
            record: record.map(str::to_owned),
            result: result.map(Into::into),
            ..TargetStatus::default()
        }];
        known.clone()
    };
    let late = entry(0, None, None);
    let named = entry(1, Some("r-1"), None);
    let taken = entry(1, Some("r-1"), Some("RolledBack"));
    let next = entry(2, Some("r-2"), None);
    for (what, ticket, kept) in [("late", late, true), ("named", named, true), ("taken in", taken, false), ("next", next, false)] {
        assert_eq!(names(&records, &[&ticket], 0).is_empty(), kept, "{what}");
    }
    // A ticket that is not known may only not be known yet.
    assert!(names_at(&records, &[], 0, "2026-01-01T00:05:00Z").is_empty());
    assert_eq!(names_at(&records, &[], 0, "2026-01-01T00:30:00Z"), ["r-1"]);
}

#[test]
fn a_tag_that_means_something_else_is_told() {
    let images = [ContainerImage { container: "web".into(), image: "web:1".into() }];
    let ran =
        |ids: &[&str]| -> Vec<Digest> { ids.iter().map(|id| Digest { container: "web".into(), image_id: (*id).into() }).collect() };
    let records = [record("aa", 1, Some("RolloutComplete")), record("bb", 2, Some("RolloutComplete"))];
    let known = contents(records.iter(), &images);
    assert_eq!((known.len(), known[0].digest.as_str()), (1, "sha256:bb"), "the newest counts");
    assert_eq!(moved(&images, &ran(&["docker.io/library/web@sha256:bb"]), &known), None);
    let told = moved(&images, &ran(&["registry.example/web@sha256:cc"]), &known).unwrap();
    assert!(told.contains("web:1 is sha256:cc now; it was sha256:bb in tdep/bb"), "{told}");
    assert!(moved(&images, &ran(&["x@sha256:bb", "x@sha256:cc"]), &known).unwrap().contains("sha256:bb and sha256:cc"));
    // What a runtime without a registry's digest says is no evidence.
    assert_eq!(moved(&images, &ran(&["sha256:cc"]), &known), None);
    let other = [ContainerImage { container: "web".into(), image: "web:2".into() }];
    assert!(contents(records.iter(), &other).is_empty());
}
