//! What a ticket asks for: its targets with every default filled in, and the names and hashes that follow from them.

use std::fmt::Write as _;

use kube::ResourceExt;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::record::Phase;
use trackdown_api::check::Check;
use trackdown_api::record::OnFailure;
use trackdown_api::ticket::{Order, RolloutSettings, Target, Ticket};
use trackdown_api::witness;
use trackdown_api::workload_ref::Workload;

/// Longest name of a record: it is also the longest value of a label.
const NAME_MAX: usize = 63;

/// A target with defaults filled in. Its JSON is what [`hash`] hashes: a change here makes every finished ticket a new request.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedTarget {
    /// Name of the target.
    pub name: String,
    /// The image to run.
    pub image: String,
    /// The image that must run now.
    pub replaces: Option<String>,
    /// The workload.
    pub workload: Workload,
    /// The containers as listed; empty: found on the workload.
    pub containers: Vec<String>,
    /// The health checks. Left out where there are none, so that requests from before there were any stay what they are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
}

/// The ticket's targets, in its order.
#[must_use]
pub fn resolve(ticket: &Ticket) -> Vec<ResolvedTarget> {
    let own = ticket.namespace().unwrap_or_default();
    ticket.spec.targets.iter().map(|t| resolve_one(t, &own)).collect()
}

/// The workloads the ticket's targets are about.
pub fn workloads(ticket: &Ticket) -> impl Iterator<Item = Workload> {
    let own = ticket.namespace().unwrap_or_default();
    ticket.spec.targets.iter().map(move |t| workload(t, &own))
}

fn workload(target: &Target, own_namespace: &str) -> Workload {
    let reference = target.workload_ref.clone().unwrap_or_default();
    Workload {
        kind: reference.kind,
        namespace: reference.namespace.unwrap_or_else(|| own_namespace.to_owned()),
        name: reference.name.unwrap_or_else(|| target.name.clone()),
    }
}

fn resolve_one(target: &Target, own_namespace: &str) -> ResolvedTarget {
    ResolvedTarget {
        name: target.name.clone(),
        image: target.image.clone(),
        replaces: target.replaces.clone(),
        workload: workload(target, own_namespace),
        containers: target.containers.clone(),
        checks: target.checks.clone(),
    }
}

/// Identity of a request: the target and how it is rolled out. 16 hexadecimal digits.
#[must_use]
pub fn hash(target: &ResolvedTarget, settings: &RolloutSettings) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Request<'a> {
        target: &'a ResolvedTarget,
        timeout_seconds: i32,
        on_failure: OnFailure,
        order: Order,
        max_attempts: i32,
        backoff_seconds: i32,
        dry_run: bool,
    }
    let RolloutSettings { timeout_seconds, on_failure, order, max_attempts, backoff_seconds, dry_run } = *settings;
    let request = Request { target, timeout_seconds, on_failure, order, max_attempts, backoff_seconds, dry_run };
    hex(&serde_json::to_vec(&request).unwrap_or_default(), 16)
}

/// The ticket's id for people.
#[must_use]
pub fn id(ticket: &Ticket) -> String {
    ticket.spec.id.clone().unwrap_or_else(|| ticket.name_any().to_uppercase())
}

/// Name of the record of an attempt: readable, and the same for everyone who computes it.
#[must_use]
pub fn record_name(ticket: &Ticket, target: &str, attempt: i32) -> String {
    let uid = ticket.uid().unwrap_or_default();
    let suffix = hex(format!("{uid}/{target}/{attempt}").as_bytes(), witness::SUFFIX);
    let readable: String = format!("{}-{target}", ticket.name_any()).chars().take(NAME_MAX - 1 - suffix.len()).collect();
    format!("{}-{suffix}", readable.trim_end_matches(['-', '.']))
}

/// Name of the Job of a check: the same for everyone who computes it.
#[must_use]
pub fn job_name(record: &str, check: &str, phase: Phase) -> String {
    let suffix = hex(format!("{record}/{check}/{phase:?}").as_bytes(), 10);
    let readable: String = format!("{check}-{record}").chars().take(NAME_MAX - 1 - suffix.len()).collect();
    format!("{}-{suffix}", readable.trim_end_matches(['-', '.']))
}

/// `text` as a label value: cut, and ending in a letter or digit.
#[must_use]
pub fn label_value(text: &str) -> String {
    let cut: String = text.chars().take(NAME_MAX).collect();
    cut.trim_end_matches(['-', '.', '_']).to_owned()
}

fn hex(bytes: &[u8], digits: usize) -> String {
    let mut text = String::new();
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text.truncate(digits);
    text
}
