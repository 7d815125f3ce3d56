//! The requests that went through, for people to read and for counting.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Asked;
use crate::fault::Fault;

/// Longest piece of a body that is kept.
const SHOWN: usize = 600;

/// One request and its reply.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub began: Instant,
    pub ended: Option<Instant>,
    pub replica: &'static str,
    pub method: String,
    /// Without the prefix all have in common.
    pub path: String,
    pub body: String,
    /// Which write it is, counted from 1.
    pub number: Option<usize>,
    pub watch: bool,
    pub fault: Option<Fault>,
    /// `None`: none came.
    pub code: Option<u16>,
}

impl Exchange {
    pub(super) fn begin(asked: &Asked, replica: &'static str) -> Self {
        let path = asked.parts.uri.to_string();
        let short =
            path.split_once("/namespaces/").and_then(|(_, rest)| rest.split_once('/')).map_or(path.as_str(), |(_, rest)| rest);
        Self {
            began: Instant::now(),
            ended: None,
            replica,
            method: asked.parts.method.to_string(),
            path: short.to_owned(),
            body: shown(&asked.body),
            number: None,
            watch: asked.is_watch(),
            fault: None,
            code: None,
        }
    }
}

fn shown(body: &[u8]) -> String {
    let Ok(mut body) = serde_json::from_slice::<Value>(body) else { return String::new() };
    // Of a status only what it says: the rest is in the object's own lines.
    if let Some(object) = body.as_object_mut().filter(|object| object.contains_key("status")) {
        object.retain(|key, _| key == "status");
    }
    let text = body.to_string();
    text.char_indices().nth(SHOWN).map_or(text.clone(), |(end, _)| format!("{}…", &text[..end]))
}

/// All exchanges of a run, of all replicas; clones share it.
#[derive(Clone, Default)]
pub struct Traffic(Arc<Mutex<Vec<Exchange>>>);

impl Traffic {
    /// A request that may never be answered.
    pub(super) fn note(&self, exchange: Exchange) {
        self.0.lock().unwrap().push(exchange);
    }

    pub(super) fn end(&self, exchange: Exchange) {
        let mut all = self.0.lock().unwrap();
        if exchange.fault.is_some()
            && let Some(noted) = all.iter_mut().rfind(|e| e.fault.is_some() && e.number == exchange.number)
        {
            *noted = exchange;
        } else {
            all.push(exchange);
        }
    }

    /// Leaves the past behind; how many there were, watches left out.
    pub fn drain(&self) -> usize {
        std::mem::take(&mut *self.0.lock().unwrap()).iter().filter(|e| !e.watch).count()
    }

    /// In the order they began.
    pub fn all(&self) -> Vec<Exchange> {
        let mut all = self.0.lock().unwrap().clone();
        all.sort_by_key(|e| e.began);
        all
    }

    /// Since when nothing was asked for; watches do not count.
    pub fn quiet_since(&self) -> Option<Instant> {
        self.0.lock().unwrap().iter().filter(|e| !e.watch).map(|e| e.ended.unwrap_or(e.began)).max()
    }

    /// When a replica made its last request, if it made one.
    pub fn last_of(&self, replica: &str) -> Option<Instant> {
        self.0.lock().unwrap().iter().filter(|e| e.replica == replica).map(|e| e.began).max()
    }

    /// The most requests that began within one second.
    pub fn rate(&self) -> usize {
        let all = self.all();
        let within = |from: Instant| all.iter().filter(|e| e.began >= from && e.began < from + Duration::from_secs(1)).count();
        all.iter().map(|e| within(e.began)).max().unwrap_or_default()
    }
}
