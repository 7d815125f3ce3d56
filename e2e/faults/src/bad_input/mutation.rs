//! What can be wrong with an object: each entry of the list is a class of the table in the end.

use serde_json::{Map, Value, json};

use super::odd;
use super::random::Random;
use super::tree::{self, place};

/// Changes the object, below `root` where that matters. False: there is nothing of the kind in it.
type Apply = fn(&mut Value, &str, &mut Random) -> bool;

#[derive(Clone, Copy)]
pub struct Mutation {
    pub class: &'static str,
    apply: Apply,
}

macro_rules! mutations {
    ($($class:literal: $apply:ident;)*) => { &[$(Mutation { class: $class, apply: $apply }),*] };
}

/// For everything.
const ANYWHERE: &[Mutation] = mutations! {
    "null": null;
    "missing": missing;
    "wrong type": wrong_type;
    "huge": huge;
    "deep": deep;
    "unicode": unicode;
    "number": number;
    "empty": empty;
    "many": many;
    "duplicate": duplicate;
    "unknown field": unknown_field;
    "time": time;
    "image": image;
    "newer enum": newer_enum;
    "check": check;
    "metadata": metadata;
};

/// For tickets alone.
const OF_TICKETS: &[Mutation] = mutations! {
    "dependency": dependency;
    "workloadRef": workload_ref;
    "retry": retry;
    "name": name;
    "rollback": rollback;
    "image": image;
    "newer enum": newer_enum;
};

/// Applies one to three of them; their classes.
pub fn mutate(json: &mut Value, root: &str, random: &mut Random) -> Vec<&'static str> {
    let is_ticket = json["kind"] == "Ticket" && root == "/spec";
    let (count, mut classes) = (random.weighted(&[(6, 1), (3, 2), (1, 3)]), Vec::new());
    while classes.len() < count {
        let from = if is_ticket && random.chance(35) { OF_TICKETS } else { ANYWHERE };
        let Mutation { class, apply } = random.pick(from);
        if apply(json, root, random) {
            classes.push(*class);
        }
    }
    classes.sort_unstable();
    classes.dedup();
    classes
}

fn set(json: &mut Value, place: Option<String>, value: impl FnOnce(&Value) -> Value) -> bool {
    let Some(found) = place.and_then(|p| json.pointer_mut(&p)) else { return false };
    *found = value(found);
    true
}

fn any(json: &Value, root: &str, random: &mut Random) -> Option<String> {
    place(json, root, random, |_, _| true)
}

fn a_text(json: &Value, root: &str, random: &mut Random) -> Option<String> {
    place(json, root, random, |_, v| v.is_string())
}

fn null(json: &mut Value, root: &str, random: &mut Random) -> bool {
    let place = any(json, root, random);
    set(json, place, |_| Value::Null)
}

fn missing(json: &mut Value, root: &str, random: &mut Random) -> bool {
    let Some(place) = any(json, root, random) else { return false };
    tree::remove(json, &place);
    true
}

fn wrong_type(json: &mut Value, root: &str, random: &mut Random) -> bool {
    let place = any(json, root, random);
    set(json, place, |before| odd::other_type(before, random))
}

fn huge(json: &mut Value, root: &str, random: &mut Random) -> bool {
    let place = a_text(json, root, random);
    set(json, place, |_| json!(odd::huge(random)))
}

fn deep(json: &mut Value, root: &str, random: &mut Random) -> bool {
    let place = any(json, root, random);
    set(json, place, |_| odd::deep(random))
}

fn unicode(json: &mut Value, root: &str, random: &mut Random) -> bool {
    let place = a_text(json, root, random);
    set(json, place, |_| json!(odd::text(random)))
}

fn number(json: &mut Value, root: &str, random: &mut Random) -> bool {
    let place = place(json, root, random, |_, v| v.is_number());
    set(json, place, |_| odd::number(random))
}

fn empty(json: &mut Value, root: &str, random: &mut Random) -> bool {
    let place = any(json, root, random);
    set(json, place, |before| match before {
        Value::Object(_) => json!({}),
        Value::Array(_) => json!([]),
        Value::String(_) => json!(""),
        Value::Number(_) => json!(0),
        _ => json!(false),
    })
}

/// Hundreds of items in a list or a map.
fn many(json: &mut Value, root: &str, random: &mut Random) -> bool {
    let count = 30 + random.below(400);
    let place = place(json, root, random, |key, v| v.as_array().is_some_and(|l| !l.is_empty()) || key == "extra");
    set(json, place, |before| match before.as_array() {
        Some(list) => (0..count).map(|n| renamed(&list[0], n)).collect(),
        None => Value::Object((0..count).map(|n| (format!("key-{n}"), json!("value"))).collect::<Map<_, _>>()),
    })
}

/// The same with another name, so that a list may hold both.
fn renamed(item: &Value, n: usize) -> Value {
    let mut item = item.clone();
    if let Some(text) = item.as_str() {
        return json!(format!("{text}-{n}"));
    }
    for key in ["name", "container", "key", "type"] {
        if let Some(text) = item[key].as_str().map(|t| format!("{t}-{n}")) {
            item[key] = json!(text);
        }
    }
    item
}

fn duplicate(json: &mut Value, root: &str, random: &mut Random) -> bool {
    let place = place(json, root, random, |_, v| v.as_array().is_some_and(|l| !l.is_empty()));
    set(json, place, |before| {
        let mut list = before.as_array().cloned().unwrap_or_default();
        list.extend_from_within(..);
        Value::Array(list)
    })
}

fn unknown_field(json: &mut Value, root: &str, random: &mut Random) -> bool {
    let place = if random.chance(30) { Some(root.to_owned()) } else { place(json, root, random, |_, v| v.is_object()) };
    let Some(map) = place.and_then(|p| json.pointer_mut(&p)?.as_object_mut()) else { return false };
    let key = (*random.pick(&["canary", "Title", "STATE", "", " ", "observed-generation", "🙂", "$ref", "__proto__"])).to_owned();
    map.insert(key, odd::deep(random));
    true
}

fn time(json: &mut Value, root: &str, random: &mut Random) -> bool {
    let is_time = |key: &str, _: &Value| key.ends_with("Time") || matches!(key, "deployBefore" | "time" | "until");
    let place = place(json, root, random, is_time);
    set(json, place, |_| odd::time(random))
}

fn image(json: &mut Value, root: &str, random: &mut Random) -> bool {
    let place = place(json, root, random, |key, v| v.is_string() && matches!(key, "image" | "replaces" | "imageID"));
    set(json, place, |_| json!(odd::image(random)))
}

/// Values of enums that a later version may have, or somebody may think there are.
fn newer_enum(json: &mut Value, root: &str, random: &mut Random) -> bool {
    const FIELDS: &[&str] = &[
        "state",
        "requestedState",
        "priority",
        "kind",
        "onFailure",
        "order",
        "action",
        "cause",
        "stop",
        "from",
        "to",
        "status",
        "health",
        "write",
    ];
    const VALUES: &[&str] = &[
        "Canary",
        "ready_for_review",
        "READY_FOR_DEPLOYMENT",
        "readyForDeployment",
        "wont_do",
        "Pause",
        "CronJob",
        "Job",
        "Pod",
        "urgent",
        "Paused",
        "Sick",
        "",
        "v2",
    ];
    let place = place(json, root, random, |key, v| v.is_string() && FIELDS.contains(&key));
    set(json, place, |_| json!(*random.pick(VALUES)))
}

fn check(json: &mut Value, root: &str, random: &mut Random) -> bool {
    let owner = if root == "/spec" && json["kind"] == "Ticket" { "/spec/targets/0" } else { root };
    let mut check = super::valid::check();
    match random.below(6) {
        0 => check["http"] = Value::Null,
        1 => check["job"] = json!({"image": odd::image(random), "command": ["sh", "-c", "exit 0"]}),
        2 => check["name"] = json!(odd::text(random)),
        _ => check["http"]["url"] = json!(odd::url(random)),
    }
    let Some(owner) = json.pointer_mut(owner).and_then(Value::as_object_mut) else { return false };
    owner.insert("checks".to_owned(), if random.chance(20) { json!([check, check]) } else { json!([check]) });
    true
}

/// Labels, annotations, finalizers and owners of odd form.
fn metadata(json: &mut Value, root: &str, random: &mut Random) -> bool {
    if root == "/status" {
        return false;
    }
    let key = match random.below(4) {
        0 => "trackdown.dev/ticket-uid".to_owned(),
        1 => odd::text(random),
        2 => format!("{}/a", "p".repeat(254)),
        _ => "a/b/c".to_owned(),
    };
    let meta = &mut json["metadata"];
    match random.below(6) {
        0 => meta["labels"] = json!({key: odd::text(random)}),
        1 => meta["annotations"] = json!({key: odd::huge(random)}),
        2 => meta["finalizers"] = json!([random.pick(&["example.com/keep", "foregroundDeletion", "orphan", "x", ""])]),
        3 => {
            let kind = random.pick(&["Deployment", "Ticket", "Nothing", ""]);
            let uid = random.pick(&["00000000-0000-0000-0000-000000000000", "", "x"]);
            meta["ownerReferences"] =
                json!([{"apiVersion": "trackdown.dev/v1alpha1", "kind": kind, "name": "gone", "uid": uid, "controller": true}]);
        }
        4 => meta["labels"] = odd::deep(random),
        _ => {
            meta["managedFields"] =
                json!([{"manager": odd::text(random), "operation": "Update", "time": odd::time(random), "fieldsType": "FieldsV1"}]);
        }
    }
    true
}

fn dependency(json: &mut Value, _: &str, random: &mut Random) -> bool {
    let own = json["metadata"]["name"].clone();
    let near = own.as_str().and_then(|n| n.strip_prefix("t-")?.parse::<usize>().ok()).map_or(0, |n| n ^ 1);
    json["spec"]["dependsOn"] = match random.below(6) {
        0 => json!([own]),
        // Two that wait for each other, if the other one does the same.
        1 | 2 => json!([format!("t-{near}")]),
        3 => json!(["gone"]),
        4 => json!([odd::text(random)]),
        _ => (0..16).map(|n| json!(format!("t-{}", near + n))).collect(),
    };
    true
}

fn workload_ref(json: &mut Value, _: &str, random: &mut Random) -> bool {
    let name = match random.below(4) {
        0 => json!(odd::text(random)),
        1 => json!("n".repeat(253)),
        2 => json!("gone"),
        _ => json!("good-a"),
    };
    let kind = *random.pick(&["Deployment", "StatefulSet", "DaemonSet", "Rollout", "ReplicaSet"]);
    let reference = match random.below(4) {
        0 => json!({"kind": kind, "name": name}),
        1 => json!({"kind": kind, "name": name, "namespace": random.pick(&["kube-system", "trackdown-system", "", "../x"])}),
        2 => json!({"kind": kind}),
        _ => json!({"kind": "Deployment", "name": name}),
    };
    // A good neighbour is not to be deployed to for real.
    json["spec"]["automationEligible"] = json!(reference["name"] != "good-a");
    set(json, Some("/spec/targets/0/workloadRef".to_owned()), |_| reference.clone()) || {
        let target = json.pointer_mut("/spec/targets/0").and_then(Value::as_object_mut);
        target.is_some_and(|t| t.insert("workloadRef".to_owned(), reference).is_none())
    }
}

fn retry(json: &mut Value, _: &str, random: &mut Random) -> bool {
    let target = json["spec"]["targets"][0]["name"].as_str().unwrap_or("x").to_owned();
    let key = match random.below(5) {
        0 => "trackdown.dev/retry-requested".to_owned(),
        1 => format!("retry.trackdown.dev/{target}"),
        2 => "retry.trackdown.dev/gone".to_owned(),
        3 => "retry.trackdown.dev/".to_owned(),
        _ => format!("retry.trackdown.dev/{}", "x".repeat(63)),
    };
    let value = match random.below(4) {
        0 => json!(odd::text(random)),
        1 => json!(odd::huge(random)),
        2 => json!(7),
        _ => json!("again"),
    };
    json["metadata"]["annotations"] = json!({key: value});
    true
}

fn name(json: &mut Value, _: &str, random: &mut Random) -> bool {
    let own = json["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    json["metadata"]["name"] = match random.below(8) {
        0 => json!(format!("{own}-{}", "n".repeat(252 - own.len()))),
        1 => json!(format!("{own}-{}", "n".repeat(253 - own.len()))),
        2 => json!(format!("{own}-{}", "n".repeat(62 - own.len()))),
        3 => json!(format!("{own}.{}.dots", "a.".repeat(20))),
        4 => json!(odd::text(random)),
        5 => json!(own.to_uppercase()),
        6 => json!(7),
        _ => Value::Null,
    };
    if json["metadata"]["name"].is_null() {
        json["metadata"]["generateName"] = match random.below(3) {
            0 => json!(format!("{own}-")),
            1 => json!(format!("{own}-{}", "g".repeat(300))),
            _ => json!(odd::text(random)),
        };
    }
    true
}

fn rollback(json: &mut Value, _: &str, random: &mut Random) -> bool {
    json["spec"]["rollback"] = match random.below(6) {
        0 => json!({}),
        1 => json!({"request": odd::text(random)}),
        2 => json!({"request": "1", "targets": [odd::text(random)]}),
        3 => json!({"request": "1", "to": random.pick(&["gone", "../x", "", "r-1", "A B"])}),
        4 => json!({"request": odd::huge(random), "reason": odd::text(random)}),
        _ => json!({"request": 1, "targets": "all"}),
    };
    true
}
