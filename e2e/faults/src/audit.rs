//! The API server's own audit log, read as it grows: who asked for what, and what came of it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::task::JoinSet;

/// One finished request of the operator.
#[derive(Clone, Debug)]
pub struct Request {
    pub verb: String,
    pub resource: String,
    pub subresource: String,
    pub name: String,
    pub code: u64,
    /// As the API server received it, RFC 3339.
    pub time: String,
}

impl Request {
    /// Whether it changed an object beside the Lease and Events.
    pub fn changed(&self) -> bool {
        let write = matches!(self.verb.as_str(), "create" | "update" | "patch" | "delete" | "deletecollection");
        write && self.code < 300 && !self.is_event()
    }

    pub fn is_event(&self) -> bool {
        self.resource.starts_with("events")
    }
}

/// The operator's requests by namespace; clones share it. Its Lease is left out.
#[derive(Clone, Default)]
pub struct Audit(Arc<Mutex<HashMap<String, Vec<Request>>>>);

impl Audit {
    /// Reads the log as long as the tasks live; only what `user` did.
    pub fn follow(log: PathBuf, user: String, tasks: &mut JoinSet<()>) -> Self {
        let audit = Self::default();
        tasks.spawn(audit.clone().read(log, user));
        audit
    }

    pub fn of(&self, namespace: &str) -> Vec<Request> {
        let mut requests = self.0.lock().unwrap().get(namespace).cloned().unwrap_or_default();
        requests.sort_by(|a, b| a.time.cmp(&b.time));
        requests
    }

    pub fn forget(&self, namespace: &str) {
        self.0.lock().unwrap().remove(namespace);
    }

    async fn read(self, log: PathBuf, user: String) {
        let Ok(file) = tokio::fs::File::open(&log).await else { return };
        let (mut reader, mut line) = (BufReader::with_capacity(1 << 20, file), String::new());
        loop {
            match reader.read_line(&mut line).await {
                Ok(0) | Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                // A line that is being written.
                Ok(_) if !line.ends_with('\n') => {}
                Ok(_) => {
                    if line.contains(&user) {
                        self.take(&line, &user);
                    }
                    line.clear();
                }
            }
        }
    }

    fn take(&self, line: &str, user: &str) {
        let Ok(event) = serde_json::from_str::<Value>(line) else { return };
        let object = |field: &str| event["objectRef"][field].as_str().unwrap_or_default().to_owned();
        if event["user"]["username"] != user || event["stage"] != "ResponseComplete" || object("resource") == "leases" {
            return;
        }
        let request = Request {
            verb: event["verb"].as_str().unwrap_or_default().to_owned(),
            resource: format!("{}.{}", object("resource"), object("apiGroup")).trim_end_matches('.').to_owned(),
            subresource: object("subresource"),
            name: object("name"),
            code: event["responseStatus"]["code"].as_u64().unwrap_or_default(),
            time: event["requestReceivedTimestamp"].as_str().unwrap_or_default().to_owned(),
        };
        self.0.lock().unwrap().entry(object("namespace")).or_default().push(request);
    }
}
