//! Places in a piece of JSON.

use serde_json::Value;

use super::random::Random;

/// JSON pointers of everything below `root`.
pub fn places(json: &Value, root: &str) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(from) = json.pointer(root) {
        collect(from, root, &mut all);
    }
    all
}

fn collect(json: &Value, at: &str, all: &mut Vec<String>) {
    let mut below = |key: &str, inner: &Value| {
        let place = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
        all.push(place.clone());
        collect(inner, &place, all);
    };
    match json {
        Value::Object(map) => map.iter().for_each(|(key, inner)| below(key, inner)),
        Value::Array(list) => list.iter().enumerate().for_each(|(key, inner)| below(&key.to_string(), inner)),
        _ => {}
    }
}

/// A place below `root` that is like that.
pub fn place(json: &Value, root: &str, random: &mut Random, is: impl Fn(&str, &Value) -> bool) -> Option<String> {
    let fitting: Vec<_> = places(json, root).into_iter().filter(|p| json.pointer(p).is_some_and(|v| is(key(p), v))).collect();
    (!fitting.is_empty()).then(|| random.pick(&fitting).clone())
}

/// The last part of a place.
pub fn key(place: &str) -> &str {
    place.rsplit('/').next().unwrap_or_default()
}

/// Takes away what is there.
pub fn remove(json: &mut Value, place: &str) {
    let Some((parent, key)) = place.rsplit_once('/') else { return };
    match json.pointer_mut(parent) {
        Some(Value::Object(map)) => {
            map.remove(&key.replace("~1", "/").replace("~0", "~"));
        }
        Some(Value::Array(list)) => {
            if let Some(at) = key.parse().ok().filter(|at| *at < list.len()) {
                list.remove(at);
            }
        }
        _ => {}
    }
}
