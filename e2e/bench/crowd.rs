//! Many tickets and records as the operator leaves them, put straight into etcd: through the API server it would take an hour.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use serde_json::{Value, json};
use trackdown_api::ticket::Ticket;
use trackdown_core::request;

use crate::harness::Scene;
use crate::harness::cluster::Cluster;
use crate::harness::scene::ready_ticket;

/// Name of the workload, the ticket and the parked ticket that the crowd is made from: as long as those of the crowd.
const WORKLOAD: &str = "app-of-crowd-000000";
const DONE: &str = "done-in-crowd-000000";
const PARKED: &str = "wait-in-crowd-000000";
const NUMBER: &str = "000000";

/// Attempts of each ticket that is done: one in two is, so there are twice as many records as tickets.
const ATTEMPTS: usize = 4;

/// Puts in one transaction; etcd takes 128.
const BATCH: usize = 100;

/// What the crowd is made from.
pub struct Templates {
    done: Value,
    parked: Value,
    records: Vec<Value>,
}

/// Real objects, as a real operator left them. What is left after that is not in anybody's way.
pub async fn templates(scene: &Scene) -> Templates {
    scene.workload(WORKLOAD, "ghcr.io/acme/app:0", 1).await;
    for attempt in 1..=ATTEMPTS {
        let mut ticket = ready_ticket(DONE, WORKLOAD, &format!("ghcr.io/acme/app:{attempt}"));
        ticket["spec"]["description"] = json!("The checkout times out when the cart holds more than a hundred items. ".repeat(4));
        scene.apply(&ticket);
        scene.wait_done(DONE).await;
    }
    let mut parked = ready_ticket(PARKED, PARKED, "ghcr.io/acme/app:1");
    parked["spec"]["automationEligible"] = json!(false);
    parked["spec"]["description"] = json!("Waits until a person has looked at it. ".repeat(8));
    scene.apply(&parked);
    scene.wait_reason(PARKED, "NotEligible").await;
    let path = |kind: &str| format!("/apis/trackdown.dev/v1alpha1/namespaces/{}/{kind}", scene.namespace);
    let get = |path: String| async move {
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        serde_json::from_str::<Value>(&scene.client.request_text(request).await.unwrap()).unwrap()
    };
    let records = get(path("deployments")).await["items"].as_array().unwrap().clone();
    assert_eq!(records.len(), ATTEMPTS);
    let templates = Templates {
        done: get(format!("{}/{DONE}", path("tickets"))).await,
        parked: get(format!("{}/{PARKED}", path("tickets"))).await,
        records,
    };
    scene.kubectl(&["delete", "tickets,deployments.trackdown.dev", "--all"]);
    scene.kubectl(&["delete", "deployment.apps", WORKLOAD]);
    templates
}

/// Puts `tickets` tickets and twice as many records in; bytes of JSON.
pub async fn insert(cluster: &Arc<Cluster>, templates: &Templates, tickets: usize) -> usize {
    let etcd = Etcd::of(cluster);
    let (mut bytes, mut batch) = (0, Vec::new());
    for number in 0..tickets {
        let objects = if number % 2 == 0 {
            [("tickets", &templates.done)].into_iter().chain(templates.records.iter().map(|r| ("deployments", r))).collect()
        } else {
            vec![("tickets", &templates.parked)]
        };
        for (kind, object) in objects {
            let (key, value) = numbered(kind, object, number);
            bytes += value.len();
            batch.push((key, value));
            if batch.len() == BATCH {
                etcd.put(&std::mem::take(&mut batch)).await;
            }
        }
    }
    if !batch.is_empty() {
        etcd.put(&batch).await;
    }
    bytes
}

/// The object as the `number`th of the crowd, with its key.
fn numbered(kind: &str, template: &Value, number: usize) -> (String, String) {
    let mut object = template.clone();
    object["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    let mut text = object.to_string();
    // Every UID in it, the record's own, the ticket's and the workload's, those in markers too, is another one.
    let uids: BTreeSet<_> = text.split(['"', '\\']).filter(|s| is_uid(s)).map(str::to_owned).collect();
    for uid in uids {
        text = text.replace(&uid, &format!("{}{number:08x}", &uid[..uid.len() - 8]));
    }
    text = text.replace(&format!("crowd-{NUMBER}"), &format!("crowd-{number:06}"));
    if kind == "tickets" {
        // Its target has another name: what it asked for has another hash.
        let ticket: Ticket = serde_json::from_str(&text).unwrap();
        let asked = request::hash(&request::resolve(&ticket)[0], &ticket.spec.rollout);
        let known = ticket.status.iter().flat_map(|s| &s.targets).find_map(|e| e.request_hash.clone());
        text = known.map_or(text.clone(), |known| text.replace(&known, &asked));
    }
    let name = object["metadata"]["name"].as_str().unwrap().replace(NUMBER, &format!("{number:06}"));
    let namespace = object["metadata"]["namespace"].as_str().unwrap();
    (format!("/registry/trackdown.dev/{kind}/{namespace}/{name}"), text)
}

fn is_uid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(i, b)| if [8, 13, 18, 23].contains(&i) { b == b'-' } else { b.is_ascii_hexdigit() })
}

/// etcd by its JSON gateway.
struct Etcd {
    client: reqwest::Client,
    address: String,
}

impl Etcd {
    fn of(cluster: &Cluster) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let command = std::fs::read_to_string(format!("/proc/{}/cmdline", cluster.pid("etcd"))).unwrap();
        let urls = command.split('\0').find_map(|a| a.strip_prefix("--listen-client-urls=")).unwrap();
        // Its certificate is the test cluster's own.
        let client = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).build().unwrap();
        Self { client, address: urls.split(',').next().unwrap().to_owned() }
    }

    async fn put(&self, pairs: &[(String, String)]) {
        let puts: Vec<_> = pairs
            .iter()
            .map(|(key, value)| json!({"requestPut": {"key": BASE64.encode(key), "value": BASE64.encode(value)}}))
            .collect();
        let request = self.client.post(format!("{}/v3/kv/txn", self.address)).body(json!({"success": puts}).to_string());
        let reply = request.send().await.unwrap();
        assert!(reply.status().is_success(), "{}", reply.text().await.unwrap());
    }
}
