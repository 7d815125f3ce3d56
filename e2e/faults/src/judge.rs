//! What must hold, whatever goes wrong. Judged from outside: the history of objects and the API server's audit log, nothing else.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::audit::Request;
use crate::history::{Kind, Version, World};
use crate::reading::{OPERATOR, images, listed, marker, owned_by_git, result, setter, text};

/// More writes than these beyond those of an undisturbed run are too many.
pub const MORE_WRITES: usize = 3;

/// The same where a person acts at a moment nobody controls: an attempt more may begin, and be taken back. And where the operator's clock is
/// not the API server's: of each attempt the ticket corrects until when it waits.
pub const MORE_WRITES_OPEN: usize = 12;

/// More requests than this within a second are a hot loop.
pub const RATE_MAX: usize = 60;

/// A change of a workload's images.
struct Change<'a> {
    before: &'a Version,
    after: &'a Version,
}

/// What was wrong in the history, in sentences; nothing: all of it held. `gaps`: versions may be missing, so that what came first is not
/// known.
pub fn history(versions: &[Version], gaps: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    let names: BTreeSet<_> = versions.iter().map(|v| (v.kind, v.name.clone())).collect();
    for (kind, name) in names {
        let of_it: Vec<_> = versions.iter().filter(|v| v.kind == kind && v.name == name).collect();
        if kind.is_workload() {
            workload(&name, &of_it, versions, gaps, &mut wrong);
        } else if kind == Kind::Record {
            terminal(&name, &of_it, &mut wrong);
        }
    }
    wrong
}

fn workload(name: &str, of_it: &[&Version], all: &[Version], gaps: bool, wrong: &mut Vec<String>) {
    let mut forward = BTreeMap::<String, usize>::new();
    let mut back = BTreeMap::<String, usize>::new();
    let mut attempts = BTreeMap::<Vec<String>, usize>::new();
    let mut foreign = 0;
    let pairs = of_it.iter().zip(of_it.iter().skip(1));
    for change in pairs.map(|(before, after)| Change { before, after }) {
        let (was, is) = (images(&change.before.object), images(&change.after.object));
        if was == is || change.before.deleted {
            continue;
        }
        let rv = change.after.rv;
        let changed = is.iter().filter(|(container, image)| was.get(*container) != Some(image));
        let ours = changed.into_iter().any(|(container, _)| setter(&change.after.object, container).as_deref() == Some(OPERATOR));
        if !ours {
            foreign = rv;
            continue;
        }
        let Some(mark) = marker(&change.after.object) else {
            wrong.push(format!("{name}: images were set without the marker, at {rv}"));
            continue;
        };
        let record = text(&mark["record"]);
        let going_back = mark["restored"] == true;
        let count = if going_back { &mut back } else { &mut forward };
        *count.entry(record.clone()).or_default() += 1;
        let expected = listed(&mark[if going_back { "undo" } else { "set" }]);
        if expected.iter().any(|(container, image)| is.get(container) != Some(image)) {
            wrong.push(format!("{name}: {record} wrote {is:?}, its marker says {expected:?}, at {rv}"));
        }
        let Some(made) = all.iter().find(|v| v.kind == Kind::Record && v.name == record && !v.deleted) else {
            wrong.push(format!("{name}: written by {record}, which was never there, at {rv}"));
            continue;
        };
        if made.rv > rv && !gaps {
            wrong.push(format!("{name}: written at {rv}, before its record {record} was made at {}", made.rv));
        }
        if foreign > made.rv {
            wrong.push(format!("{name}: {record} wrote over an image somebody else had set at {foreign}, at {rv}"));
        }
        if owned_by_git(&change.before.object) {
            wrong.push(format!("{name}: {record} wrote to what Git owns, at {rv}"));
        }
        if !going_back {
            let labels = &made.object["metadata"]["labels"];
            let attempt = ["ticket-uid", "target", "attempt"].map(|l| text(&labels[format!("trackdown.dev/{l}")]));
            *attempts.entry(attempt.to_vec()).or_default() += 1;
            if !gaps {
                intent(name, &record, &made.object, rv, all, wrong);
            }
            lock(name, &record, &change, all, wrong);
        }
    }
    for (record, n) in forward.iter().filter(|(_, n)| **n > 1) {
        wrong.push(format!("{name}: {n} forward writes of {record}"));
    }
    for (record, n) in back.iter().filter(|(_, n)| **n > 1) {
        wrong.push(format!("{name}: {n} writes back of {record}"));
    }
    for (attempt, n) in attempts.iter().filter(|(_, n)| **n > 1) {
        wrong.push(format!("{name}: {n} forward writes of attempt {attempt:?}"));
    }
}

/// The ticket must have named the record before anything was written.
fn intent(name: &str, record: &str, made: &Value, rv: u64, all: &[Version], wrong: &mut Vec<String>) {
    let ticket = text(&made["spec"]["ticket"]["name"]);
    let names = |v: &Version| v.object["status"].to_string().contains(&format!("\"{record}\""));
    let told = all.iter().any(|v| v.kind == Kind::Ticket && v.name == ticket && v.rv < rv && names(v));
    if !told {
        wrong.push(format!("{name}: {record} wrote at {rv}, before its ticket named it"));
    }
}

/// What held the workload must have ended.
fn lock(name: &str, record: &str, change: &Change<'_>, all: &[Version], wrong: &mut Vec<String>) {
    let rv = change.after.rv;
    let Some(holder) = marker(&change.before.object).map(|m| text(&m["record"])).filter(|holder| holder != record) else { return };
    let last = all.iter().rfind(|v| v.kind == Kind::Record && v.name == holder && v.rv < rv);
    let Some(last) = last.filter(|v| !v.deleted && result(&v.object).is_none()) else { return };
    // The newest attempt of the same ticket and target may take over from the one before it.
    let now = all.iter().rfind(|v| v.kind == Kind::Record && v.name == record && v.rv < rv);
    let same = |a: &Value, b: &Value| {
        a["spec"]["ticket"]["uid"] == b["spec"]["ticket"]["uid"] && a["spec"]["target"] == b["spec"]["target"]
    };
    if !now.is_some_and(|now| same(&now.object, &last.object)) {
        wrong.push(format!("{name}: {record} wrote while {holder} was at work, at {rv}"));
    }
}

/// A record that is complete stays as it is.
fn terminal(name: &str, of_it: &[&Version], wrong: &mut Vec<String>) {
    let mut ended: Option<(String, (String, String))> = None;
    for version in of_it {
        let now = result(&version.object).map(|r| (text(&version.object["status"]["completionTime"]), r));
        if let Some(before) = &ended
            && now.as_ref() != Some(before)
        {
            wrong.push(format!("{name}: ended as {before:?}, and then was {now:?}, at {}", version.rv));
            return;
        }
        ended = now.or(ended);
    }
}

/// Objects that the operator changed, in the API server's own account.
pub fn writes(requests: &[Request]) -> usize {
    requests.iter().filter(|r| r.changed()).count()
}

/// The same one by one.
pub fn told(requests: &[Request]) -> String {
    let one = |r: &Request| format!("{} {}/{}", r.verb, r.resource, [&*r.name, &*r.subresource].join("/").trim_end_matches('/'));
    requests.iter().filter(|r| r.changed()).map(one).collect::<Vec<_>>().join(", ")
}

/// The end of a story, without names and times that differ from run to run.
/// `open`: only where it stands, not how it got there.
pub fn end(world: &World, open: bool) -> Value {
    let tickets: Vec<_> = of(world, Kind::Ticket).map(|(name, t)| json!({"ticket": name, "is": ticket_end(t, open)})).collect();
    let workloads = world.iter().filter(|((kind, _), _)| kind.is_workload()).map(|((_, name), w)| workload_end(name, w, open));
    let workloads: Vec<_> = workloads.collect();
    if open {
        return json!({"tickets": tickets, "workloads": workloads});
    }
    let mut records: Vec<_> = of(world, Kind::Record).map(|(_, r)| r).filter(|r| counts(r)).collect();
    records.sort_by_key(|r| (text(&r["spec"]["ticket"]["name"]), text(&r["spec"]["target"]), attempt(r)));
    let records: Vec<_> = records
        .into_iter()
        .map(|r| {
            json!([r["spec"]["ticket"]["name"], r["spec"]["target"], r["spec"]["action"], result(r).map(|(_, reason)| reason)])
        })
        .collect();
    json!({"tickets": tickets, "workloads": workloads, "records": records})
}

fn of(world: &World, kind: Kind) -> impl Iterator<Item = (&str, &Value)> {
    world.iter().filter(move |((k, _), _)| *k == kind).map(|((_, name), o)| (name.as_str(), &**o))
}

fn attempt(record: &Value) -> i64 {
    record["spec"]["attempt"].as_i64().unwrap_or_default()
}

/// An attempt whose write was refused has a number, and was no try. One that was overtaken before it was known whether it had written is one.
fn counts(record: &Value) -> bool {
    let written = !record["status"]["patchedTime"].is_null();
    written || result(record).is_none_or(|(status, reason)| status == "True" || reason == "Contested")
}

fn ticket_end(ticket: &Value, open: bool) -> Value {
    let status = &ticket["status"];
    let mut conditions: Vec<_> = status["conditions"].as_array().into_iter().flatten().collect();
    conditions.sort_by_key(|c| text(&c["type"]));
    let conditions: Vec<_> = conditions.into_iter().map(|c| json!([c["type"], c["status"], c["reason"]])).collect();
    let targets: Vec<_> = status["targets"].as_array().into_iter().flatten().collect();
    // Of a write whose outcome nobody knows it is not known whether it was a try.
    let tries = |t: &Value| if t["result"] == "Contested" { Value::Null } else { t["tries"].clone() };
    let targets: Vec<_> = targets.into_iter().map(|t| json!([t["name"], tries(t), t["result"], t["stop"]])).collect();
    let seen = status["observedGeneration"] == ticket["metadata"]["generation"];
    let mut end = json!({"state": status["state"], "reason": status["reason"], "conditions": conditions, "seen": seen});
    if !open {
        end["targets"] = json!(targets);
    }
    end
}

fn workload_end(name: &str, workload: &Value, open: bool) -> Value {
    let rolling = workload["metadata"]["labels"]["trackdown.dev/rolling"].is_string();
    let mut end =
        json!({"workload": name, "images": images(workload), "rolling": rolling, "replicas": workload["spec"]["replicas"]});
    if let Some(mark) = marker(workload).filter(|_| !open) {
        end["mark"] = json!({
            "set": listed(&mark["set"]), "undo": listed(&mark["undo"]), "restored": mark["restored"], "succeeded": mark["succeeded"],
        });
    }
    end
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use super::*;

    fn version(rv: u64, kind: Kind, name: &str, object: Value) -> Version {
        Version { at: Instant::now(), rv, kind, name: name.into(), deleted: false, object: Arc::new(object) }
    }

    fn workload(rv: u64, image: &str, by: &str, mark: &Value) -> Version {
        version(
            rv,
            Kind::Deployment,
            "web",
            json!({
                "metadata": {
                    "annotations": {"trackdown.dev/deployment": mark.to_string()},
                    "managedFields": [{"manager": by, "time": "t", "fieldsV1": {"f:spec": {"f:template": {"f:spec": {
                        "f:containers": {"k:{\"name\":\"web\"}": {"f:image": {}}},
                    }}}}}],
                },
                "spec": {"template": {"spec": {"containers": [{"name": "web", "image": image}]}}},
            }),
        )
    }

    fn mark(record: &str, set: &str, restored: bool) -> Value {
        let images = |image: &str| json!([{"container": "web", "image": image}]);
        json!({"record": record, "set": images(set), "undo": images("1"), "restored": restored})
    }

    fn record(rv: u64, name: &str, end: Option<&str>) -> Version {
        let mut object = json!({
            "metadata": {"labels": {"trackdown.dev/ticket-uid": "u", "trackdown.dev/target": "web", "trackdown.dev/attempt": name}},
            "spec": {"ticket": {"name": "iss-1", "uid": name}, "target": "web"},
        });
        if let Some(end) = end {
            object["status"] =
                json!({"completionTime": "t", "conditions": [{"type": "Succeeded", "status": "False", "reason": end}]});
        }
        version(rv, Kind::Record, name, object)
    }

    fn ticket(rv: u64, record: &str) -> Version {
        version(rv, Kind::Ticket, "iss-1", json!({"status": {"targets": [{"record": record}]}}))
    }

    fn judged(mut versions: Vec<Version>) -> Vec<String> {
        versions.sort_by_key(|v| v.rv);
        history(&versions, false)
    }

    fn rollout() -> Vec<Version> {
        vec![
            workload(1, "1", "kubectl", &Value::Null),
            ticket(2, "r1"),
            record(3, "r1", None),
            workload(4, "2", "trackdown", &mark("r1", "2", false)),
        ]
    }

    #[test]
    fn a_rollout_and_its_way_back_are_right() {
        let mut versions = rollout();
        versions.extend([workload(5, "1", "trackdown", &mark("r1", "2", true)), record(6, "r1", Some("RolledBack"))]);
        assert_eq!(judged(versions), Vec::<String>::new());
    }

    #[test]
    fn each_wrong_is_seen() {
        let with = |more: Vec<Version>| {
            let mut versions = rollout();
            versions.extend(more);
            judged(versions).join("; ")
        };
        let theirs = || workload(5, "theirs", "kubectl-set", &mark("r1", "2", false));
        let twice = with(vec![theirs(), workload(6, "2", "trackdown", &mark("r1", "2", false))]);
        assert!(twice.contains("2 forward writes of r1") && twice.contains("2 forward writes of attempt"), "{twice}");
        assert!(twice.contains("wrote over an image somebody else had set"), "{twice}");
        let back = with(vec![theirs(), workload(6, "1", "trackdown", &mark("r1", "2", true))]);
        assert!(back.contains("wrote over an image somebody else had set"), "{back}");
        let second = || vec![ticket(5, "r2"), record(6, "r2", None), workload(7, "3", "trackdown", &mark("r2", "3", false))];
        let both = with(second());
        assert!(both.contains("r2 wrote while r1 was at work"), "{both}");
        let mut ended = second();
        ended.push(record(5, "r1", Some("RolledBack")));
        assert_eq!(with(ended), "", "after the first has ended the second may");
        let early = judged(vec![rollout()[0].clone(), record(3, "r1", None), rollout()[3].clone(), ticket(5, "r1")]);
        assert!(early.join("").contains("before its ticket named it"), "{early:?}");
        let unmade = judged(vec![rollout()[0].clone(), ticket(2, "r1"), rollout()[3].clone(), record(5, "r1", None)]);
        assert!(unmade.join("").contains("before its record"), "{unmade:?}");
        let changed = with(vec![record(5, "r1", Some("RolledBack")), record(6, "r1", Some("Aborted"))]);
        assert!(changed.contains("ended as"), "{changed}");
        let false_mark = with(vec![workload(5, "9", "trackdown", &mark("r1", "2", true))]);
        assert!(false_mark.contains("its marker says"), "{false_mark}");
    }
}
