use proptest::prelude::*;
use serde_json::json;

use crate::world::ticket;
use trackdown_core::request::{hash, label_value, record_name, resolve};

/// Must never change: a new hash would make every finished ticket in every cluster a new request.
#[test]
fn hashes_are_for_ever() {
    let plain = ticket(&json!({}));
    assert_eq!(hash(&resolve(&plain)[0], &plain.spec.rollout), "4e6fd6ad11b0eeab");
    let full = ticket(&json!({
        "targets": [{
            "name": "web", "image": "ghcr.io/acme/web:2", "replaces": "ghcr.io/acme/web:1",
            "workloadRef": {"kind": "Deployment", "name": "shop-web", "namespace": "shop"}, "containers": ["web", "migrate"],
        }],
        "rollout": {"timeoutSeconds": 60, "onFailure": "Hold", "order": "Sequential", "maxAttempts": 1, "backoffSeconds": 5, "dryRun": true},
    }));
    assert_eq!(hash(&resolve(&full)[0], &full.spec.rollout), "aded93f2b7592a39");
}

#[test]
fn what_is_said_and_what_is_meant_hash_alike() {
    let short = ticket(&json!({}));
    let long = ticket(&json!({
        "targets": [{"name": "web", "image": "ghcr.io/acme/web:2", "workloadRef": {"kind": "Deployment", "name": "web", "namespace": "shop"}}],
        "rollout": {"timeoutSeconds": 300},
    }));
    let of = |t: &trackdown_api::ticket::Ticket| hash(&resolve(t)[0], &t.spec.rollout);
    assert_eq!(of(&short), of(&long));
    let mut described = ticket(&json!({"description": "more words", "title": "other"}));
    assert_eq!(of(&short), of(&described));
    described.spec.rollout.timeout_seconds = 301;
    assert_ne!(of(&short), of(&described));
}

/// DNS subdomains: what the API server takes as a name.
const NAME: &str = "[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?){0,3}";

proptest! {
    #[test]
    fn record_names_are_legal_and_distinct(name in NAME, target in NAME, attempt in 1..100_000i32) {
        let mut ticket = ticket(&json!({}));
        ticket.metadata.name = Some(name);
        let first = record_name(&ticket, &target, attempt);
        prop_assert!(first.len() <= 63);
        prop_assert!(first.starts_with(|c: char| c.is_ascii_alphanumeric()) && first.ends_with(|c: char| c.is_ascii_alphanumeric()));
        prop_assert!(!first.contains(".-") && !first.contains("-."), "{first}");
        prop_assert_ne!(&first, &record_name(&ticket, &target, attempt + 1));
        ticket.metadata.uid = Some("created again".into());
        prop_assert_ne!(&first, &record_name(&ticket, &target, attempt));
    }

    #[test]
    fn label_values_are_legal(text in "[a-z0-9]([-a-z0-9._]{0,100}[a-z0-9])?") {
        let value = label_value(&text);
        prop_assert!(value.len() <= 63 && value.ends_with(|c: char| c.is_ascii_alphanumeric()));
    }
}
