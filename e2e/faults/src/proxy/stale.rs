//! Reads answered from the past: what an API server that is behind would say.

use serde_json::Value;

use http::Response;
use http_body_util::BodyExt;

use super::distort::Mode;
use super::{Asked, Line, Payload, Reply, lost, plain, status, whole};
use crate::history::version_of;

impl Line {
    /// Remembers where the history of the cluster stands before a write.
    pub(super) async fn remember(&self) {
        let now = self.api.get("/api/v1/namespaces?limit=1").await.map(|list| version_of(&list)).unwrap_or_default();
        self.before.lock().unwrap().push(now);
    }

    /// Where it stood before the last write but one, as far as is known.
    pub(super) fn two_writes_ago(&self) -> u64 {
        let before = self.before.lock().unwrap();
        before.len().checked_sub(2).and_then(|i| before.get(i)).or(before.last()).copied().unwrap_or_default()
    }

    /// A GET or a LIST.
    pub(super) async fn read(&self, asked: Asked) -> Reply {
        let Mode::Stale(rv) = *self.mode.borrow() else { return self.pass_on(&asked).await.map(plain) };
        if let Some((collection, name)) = named(asked.path()) {
            return self.object_at(&asked, rv, &collection, &name).await;
        }
        let kept = asked.query().split('&').filter(|p| !p.is_empty() && !p.starts_with("resourceVersion"));
        let query: Vec<_> = kept.map(str::to_owned).chain(exact(rv)).collect();
        let path = asked.path().to_owned();
        self.pass_on(&asked.at(&path, &query.join("&"))).await.map(plain)
    }

    async fn object_at(&self, asked: &Asked, rv: u64, collection: &str, name: &str) -> Reply {
        let query: Vec<_> = [format!("fieldSelector=metadata.name%3D{name}")].into_iter().chain(exact(rv)).collect();
        let reply = self.pass_on(&asked.at(collection, &query.join("&"))).await?;
        let (parts, body) = reply.into_parts();
        let list: Value = serde_json::from_slice(&body.collect().await.map_err(lost)?.to_bytes()).map_err(lost)?;
        if parts.status != 200 {
            return Ok(status(parts.status.as_u16()));
        }
        let Some(mut object) = list["items"].get(0).cloned() else { return Ok(not_found()) };
        object["kind"] = list["kind"].as_str().unwrap_or_default().trim_end_matches("List").into();
        object["apiVersion"] = list["apiVersion"].clone();
        Ok(Response::new(whole(object.to_string())))
    }
}

impl Asked {
    /// The same for another path and query.
    fn at(&self, path: &str, query: &str) -> Self {
        let mut parts = self.parts.clone();
        parts.uri = format!("{path}?{query}").parse().unwrap();
        Self { parts, body: self.body.clone() }
    }
}

fn exact(rv: u64) -> [String; 2] {
    [format!("resourceVersion={rv}"), "resourceVersionMatch=Exact".to_owned()]
}

fn not_found() -> Response<Payload> {
    let body = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 404, "reason": "NotFound", "message": "not found",
    });
    let mut reply = Response::new(whole(body.to_string()));
    *reply.status_mut() = http::StatusCode::NOT_FOUND;
    reply
}

/// Collection and name, if the path is that of one object.
fn named(path: &str) -> Option<(String, String)> {
    let (before, after) = path.split_once("/namespaces/")?;
    let parts: Vec<_> = after.split('/').collect();
    let [namespace, resource, name] = parts.as_slice() else { return None };
    Some((format!("{before}/namespaces/{namespace}/{resource}"), (*name).to_owned()))
}
