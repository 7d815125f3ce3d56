//! Whether an object that was taken says what is wrong with it: in its status, or in an Event about it.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::object::What;
use super::play::Thing;
use crate::ground::Ground;

/// How long that may take, from the last step of the batch.
const WITHIN: Duration = Duration::from_secs(20);

/// Those of them that say nothing in time.
pub async fn silent<'a>(ground: &Ground, namespace: &str, things: impl Iterator<Item = &'a Thing>) -> Vec<(Thing, Value)> {
    let mut waiting: Vec<_> = things.filter(|t| matches!(t.what, What::Ticket | What::Record)).cloned().collect();
    let mut last = Vec::new();
    let started = Instant::now();
    loop {
        let unreadable = ground.warned_about(namespace, "reason=Unreadable", "uid").await;
        let mut now = Vec::new();
        for what in [What::Ticket, What::Record] {
            let found = ground.api.get(&what.path(namespace)).await.unwrap_or_default();
            now.extend(found["items"].as_array().cloned().unwrap_or_default());
        }
        let find = |thing: &Thing| now.iter().find(|o| o["metadata"]["uid"] == *thing.uid);
        waiting.retain(|thing| !unreadable.contains(&thing.uid) && find(thing).is_some_and(|o| !tells(thing.what, o)));
        if !waiting.is_empty() {
            last = waiting.iter().filter_map(|t| Some((t.clone(), find(t)?.clone()))).collect();
        }
        if waiting.is_empty() || started.elapsed() > WITHIN {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    last.retain(|(thing, _)| waiting.iter().any(|t| t.uid == thing.uid));
    last
}

fn tells(what: What, object: &Value) -> bool {
    let status = &object["status"];
    let seen = status["observedGeneration"].as_i64().is_some() && status["observedGeneration"] == object["metadata"]["generation"];
    // A record that has ended stays as it is, whoever wrote that it has.
    seen && status["state"].is_string() || what == What::Record && (seen || status["completionTime"].is_string())
}
