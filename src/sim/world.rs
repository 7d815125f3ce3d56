//! Objects the tests decide on.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment as AppsDeployment;
use serde_json::{Value, json};

use trackdown_api::ticket::{Ticket, TicketStatus};
use trackdown_core::machine::{Machine, Next};
use trackdown_core::ticket::course::Draft;
use trackdown_core::workload::Rollable;
use trackdown_core::workload::view::WorkloadView;

/// Changes a status as a pass does.
pub fn with_draft<T>(status: &mut TicketStatus, change: impl FnOnce(&mut Draft) -> T) -> T {
    let mut draft = Draft::from(std::mem::take(status));
    let result = change(&mut draft);
    *status = draft.into();
    result
}

/// What the machine wants done next.
pub fn next<M: Machine>(machine: &M) -> Next<M::Read, M::Write, M::Rest> {
    machine.next()
}

pub const OLD: &str = "ghcr.io/acme/web:1";
pub const NEW: &str = "ghcr.io/acme/web:2";
pub const BAD: &str = "ghcr.io/acme/web:bad";

/// Some moment, and `seconds` after it.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

/// A ticket as the API server gives it, ready and eligible, with more of `spec`.
pub fn ticket(spec: &Value) -> Ticket {
    let mut whole = json!({
        "title": "deploy web", "state": "ready_for_deployment", "automationEligible": true,
        "targets": [{"name": "web", "image": NEW}],
    });
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    serde_json::from_value(json!({
        "apiVersion": "trackdown.dev/v1alpha1", "kind": "Ticket",
        "metadata": {"name": "iss-1", "namespace": "shop", "uid": "ticket-uid", "generation": 1, "resourceVersion": "1"},
        "spec": whole,
        "status": {"observedGeneration": -1},
    }))
    .unwrap()
}

/// A workload of two pods that runs `image` and is healthy.
pub fn workload(image: &str) -> Value {
    workload_named("web", image)
}

/// The same under another name; its container is `web` all the same.
pub fn workload_named(name: &str, image: &str) -> Value {
    let uid = if name == "web" { "workload-uid".to_owned() } else { format!("{name}-uid") };
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": "shop", "uid": uid, "generation": 1, "annotations": {"a": "b"}},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "web", "image": image}]}},
        },
        "status": {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2},
    })
}

pub fn view(workload: &Value) -> WorkloadView {
    serde_json::from_value::<AppsDeployment>(workload.clone()).unwrap().view()
}
