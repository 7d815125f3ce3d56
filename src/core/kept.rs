//! What the caches keep of an object: what decisions need. Whatever else stands there is read when somebody asks for it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry};
use kube::core::ObjectMeta;
use serde_json::{Map, Value};

use super::preflight::finished;
use crate::reason;
use crate::workload::Rollable;
use trackdown_api::record::Record;
use trackdown_api::ticket::Ticket;
use trackdown_api::{RETRY_ANNOTATION, TARGET_RETRY_PREFIX};

/// An object of which a cache keeps a part.
pub trait Kept {
    /// Drops what no decision needs.
    fn keep_what_counts(&mut self) {}
}

// Only those in flight are watched.
impl<W: Rollable> Kept for W {}

impl Kept for Ticket {
    fn keep_what_counts(&mut self) {
        keep_managers(&mut self.metadata);
        keep_own_annotations(&mut self.metadata);
        self.metadata.labels = None;
        let spec = &mut self.spec;
        spec.description = None;
        spec.assignee = None;
        spec.priority = None;
        spec.links = Vec::new();
        if let Some(meta) = &mut spec.state_metadata {
            meta.test_results_url = None;
            meta.reviewer = None;
            meta.extra.clear();
        }
    }
}

impl Kept for Record {
    fn keep_what_counts(&mut self) {
        self.metadata.managed_fields = None;
        self.metadata.annotations = None;
        self.metadata.labels = None;
        if !finished(self) {
            return;
        }
        if let Some(status) = &mut self.status {
            status.checks = Vec::new();
            status.rollback_checks = Vec::new();
            status.waiting_for = None;
            status.replicas = None;
            status.conditions.retain(|c| c.r#type == reason::SUCCEEDED || c.r#type == reason::TAG_MOVED);
        }
    }
}

/// Of all field managers those of the fields whose manager is ever asked for: see `lifecycle::last_written`.
fn keep_managers(meta: &mut ObjectMeta) {
    let Some(entries) = &mut meta.managed_fields else { return };
    entries.retain_mut(|entry| {
        entry.subresource.is_none() && {
            let kept = entry.fields_v1.as_ref().map(|f| asked_for(&f.0)).unwrap_or_default();
            let any = !kept.is_empty();
            *entry = ManagedFieldsEntry {
                manager: entry.manager.take(),
                time: entry.time.take(),
                fields_v1: Some(FieldsV1(Value::Object(kept))),
                ..ManagedFieldsEntry::default()
            };
            any
        }
    });
}

/// The part of `f:metadata` and `f:spec` that says who asked: for a state, for targets, for a rollback, for a retry.
fn asked_for(fields: &Value) -> Map<String, Value> {
    let mut kept = Map::new();
    let mut keep = |part: &str, wanted: &dyn Fn(&str) -> bool| {
        let Some(all) = fields.get(part).and_then(Value::as_object) else { return };
        let some: Map<_, _> =
            all.iter().filter(|(key, _)| wanted(key)).map(|(key, value)| (key.clone(), shallow(key, value))).collect();
        if !some.is_empty() {
            kept.insert(part.to_owned(), Value::Object(some));
        }
    };
    keep("f:spec", &|key| matches!(key, "f:state" | "f:targets" | "f:rollback"));
    keep("f:metadata", &|key| key == "f:annotations");
    kept
}

fn shallow(key: &str, value: &Value) -> Value {
    let wanted = |field: &str| match key {
        "f:annotations" => field.strip_prefix("f:").is_some_and(is_own_annotation),
        "f:rollback" => field == "f:request",
        _ => false,
    };
    let fields = value.as_object().into_iter().flatten().filter(|(field, _)| wanted(field));
    Value::Object(fields.map(|(field, _)| (field.clone(), Value::Object(Map::new()))).collect())
}

fn keep_own_annotations(meta: &mut ObjectMeta) {
    if let Some(annotations) = &mut meta.annotations {
        annotations.retain(|key, _| is_own_annotation(key));
    }
}

fn is_own_annotation(key: &str) -> bool {
    key == RETRY_ANNOTATION || key.starts_with(TARGET_RETRY_PREFIX)
}
