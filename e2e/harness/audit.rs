//! What the API server's own audit log says: the judge of every claim about requests.

use std::path::Path;

use serde_json::Value;

/// One finished request.
#[derive(Clone, Debug)]
#[allow(dead_code, reason = "shown when an assertion fails")]
pub struct Request {
    pub verb: String,
    pub resource: String,
    pub subresource: String,
    pub name: String,
    pub code: i64,
    pub time: String,
}

impl Request {
    /// Whether it asked for a change.
    pub fn is_write(&self) -> bool {
        matches!(self.verb.as_str(), "create" | "update" | "patch" | "delete" | "deletecollection")
    }
}

/// The requests of a user, in the order they were made, beside those an idle operator makes: for its lease, and its watches.
pub fn requests(log: &Path, user: &str) -> Vec<Request> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let events = text.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok());
    let mut requests: Vec<_> = events
        .filter(|e| e["user"]["username"] == user && e["stage"] == "ResponseComplete")
        .filter(|e| e["verb"] != "watch" && e["objectRef"]["resource"] != "leases")
        .map(|e| {
            let object = |field: &str| e["objectRef"][field].as_str().unwrap_or_default().to_owned();
            Request {
                verb: e["verb"].as_str().unwrap_or_default().to_owned(),
                resource: object("resource"),
                subresource: object("subresource"),
                name: object("name"),
                code: e["responseStatus"]["code"].as_i64().unwrap_or_default(),
                time: e["requestReceivedTimestamp"].as_str().unwrap_or_default().to_owned(),
            }
        })
        .collect();
    requests.sort_by(|a, b| a.time.cmp(&b.time));
    requests
}
