//! Objects as they should be, with every field there is: what is bad is made from these.

use serde_json::{Value, json};

use super::random::Random;

pub const OLD: &str = "ghcr.io/acme/app:1";
pub const NEW: &str = "ghcr.io/acme/app:2";

/// Images of good and of bad pods.
const IMAGES: &[(usize, &str)] = &[
    (6, NEW),
    (2, "ghcr.io/acme/app:bad"),
    (2, "ghcr.io/acme/app:never"),
    (1, "ghcr.io/acme/app:slow"),
    (1, "ghcr.io/acme/app:crash"),
    (1, "ghcr.io/acme/app:moving"),
];

/// A workload of one pod.
pub fn workload(kind: &str, name: &str) -> Value {
    let mut workload = json!({
        "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name},
        "spec": {
            "replicas": 1, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": name, "image": OLD}]}},
        },
    });
    match kind {
        "StatefulSet" => workload["spec"]["serviceName"] = json!(name),
        "DaemonSet" => super::tree::remove(&mut workload, "/spec/replicas"),
        _ => {}
    }
    workload
}

/// A ticket that is to be deployed, and says nothing it need not say.
pub fn ticket(name: &str, workload: &str, image: &str) -> Value {
    json!({
        "apiVersion": "trackdown.dev/v1alpha1", "kind": "Ticket", "metadata": {"name": name},
        "spec": {
            "title": "deploy", "state": "ready_for_deployment", "automationEligible": true,
            "targets": [{"name": workload, "image": image}],
            "rollout": {"backoffSeconds": 1, "timeoutSeconds": 20, "maxAttempts": 1},
        },
    })
}

/// One of a ticket's many shapes. Short timeouts: it is to be over soon.
pub fn any_ticket(name: &str, workload: &str, random: &mut Random) -> Value {
    let mut made = ticket(name, workload, random.weighted(IMAGES));
    let spec = &mut made["spec"];
    if random.chance(20) {
        spec["state"] = json!(*random.pick(&["planning", "active", "ready_for_qa", "done", "won_t_do"]));
    }
    if random.chance(70) {
        return made;
    }
    spec["id"] = json!("ISS-1");
    spec["description"] = json!("The whole story.");
    spec["assignee"] = json!("alice");
    spec["priority"] = json!("high");
    spec["links"] =
        json!([{"system": "jira", "key": "SHOP-17", "url": "https://jira.example/SHOP-17"}, {"system": "github", "key": "1"}]);
    spec["dependsOn"] = if random.chance(30) { json!(["good-a"]) } else { json!([]) };
    spec["manualOverride"] = json!(random.chance(5));
    spec["deployBefore"] = json!("2199-01-01T00:00:00Z");
    spec["stateMetadata"] = json!({
        "transitionedBy": "alice", "transitionReason": "tested", "automationSource": "github-ci-1", "testResultsUrl": "https://ci.example/1",
        "reviewer": "bob", "securityScanPassed": true, "deployedBy": "ci", "deployedTime": "2024-01-01T00:00:00Z",
        "deployedNamespace": "shop", "extra": {"build": "17", "branch": "main"},
    });
    spec["rollout"]["onFailure"] = json!(*random.pick(&["Rollback", "Hold"]));
    spec["rollout"]["order"] = json!(*random.pick(&["Parallel", "Sequential"]));
    spec["rollout"]["dryRun"] = json!(random.chance(10));
    spec["targets"][0]["workloadRef"] = json!({"kind": "Deployment", "name": workload});
    spec["targets"][0]["containers"] = json!([workload]);
    if random.chance(50) {
        spec["targets"][0]["replaces"] = json!(OLD);
    }
    if random.chance(50) {
        spec["targets"][0]["checks"] = json!([check()]);
    }
    if random.chance(30) {
        spec["rollback"] = json!({"request": "1", "targets": [workload], "by": "alice", "reason": "slow"});
    }
    if random.chance(30) {
        let second = json!({"name": format!("{workload}-gone"), "image": NEW});
        spec["targets"].as_array_mut().unwrap().push(second);
    }
    made
}

/// Nobody answers at this address.
pub fn check() -> Value {
    json!({"name": "well", "http": {
        "url": "http://127.0.0.1:1/well", "expectedStatus": 200, "bodyContains": "ok", "maxLatencyMilliseconds": 100,
        "timeoutSeconds": 1, "periodSeconds": 1, "successThreshold": 1, "failureThreshold": 1,
    }})
}

/// Times of a day long gone.
const TIME: &str = "2024-01-01T00:00:00Z";
const MICRO: &str = "2024-01-01T00:00:00.000000Z";

fn condition(kind: &str, reason: &str) -> Value {
    json!({"type": kind, "status": "True", "observedGeneration": 1, "lastTransitionTime": TIME, "reason": reason, "message": "so it is"})
}

/// A ticket's status with every field. No generation has been observed in it: who reads it has something to write.
pub fn ticket_status(workload: &str, record: &str) -> Value {
    json!({
        "observedGeneration": 0, "state": "ready_for_deployment", "requestedState": "ready_for_deployment", "reason": "RollingOut",
        "message": "so it is", "transitionTime": TIME, "transitionedBy": "alice", "transitionReason": "tested", "blockedReason": "no",
        "waiting": {"reason": "RollingOut", "message": "so it is", "on": "ticket/good-a", "until": TIME},
        "deployedBy": "trackdown", "deploymentTime": TIME, "deployedNamespace": "shop",
        "lastHandledRetry": "1", "lastHandledRollback": "1", "deployedTargets": "0/1", "warnings": ["look out"],
        "targets": [{
            "name": workload, "attempt": 1, "tries": 0, "requestHash": "0123456789abcdef", "record": record,
            "workloadUid": "00000000-0000-0000-0000-000000000000", "stop": "Rollback",
            "seenImages": [{"container": workload, "image": OLD}],
            "rollback": {"cause": "Requested", "of": record, "to": record, "before": record, "result": "Succeeded", "requestedBy": {"by": "alice"}},
            "lastHandledRetry": "1", "lastHandledRollback": "1", "rolledBack": record, "result": "RolledBack", "message": "so it is",
            "completionTime": MICRO, "failureTime": MICRO, "failureNamespace": "shop", "supersededBy": "good-a",
        }],
        "history": [
            {"from": "planning", "to": "ready_for_deployment", "time": TIME, "by": "alice", "via": "kubectl", "reason": "tested", "source": "ci"},
            {"to": "planning", "time": TIME},
        ],
        "conditions": [condition("Deployable", "RollingOut"), condition("Reconciling", "RollingOut")],
    })
}

/// A record with every field, of a ticket that may be there.
pub fn record(name: &str, ticket: &str, uid: &str, workload: &str) -> Value {
    json!({
        "apiVersion": "trackdown.dev/v1alpha1", "kind": "Deployment",
        "metadata": {"name": name, "labels": {
            "trackdown.dev/ticket": ticket, "trackdown.dev/ticket-uid": uid, "trackdown.dev/target": workload, "trackdown.dev/attempt": "1",
        }},
        "spec": {
            "ticket": {"name": ticket, "uid": uid, "id": "ISS-1"}, "target": workload, "attempt": 1, "requestHash": "0123456789abcdef",
            "action": "Rollout", "rollbackOf": "r-0", "rollbackTo": "r-0", "requestedBy": {"by": "alice", "via": "kubectl", "reason": "why"},
            "workload": {"kind": "Deployment", "namespace": "@namespace@", "name": workload},
            "images": [{"container": workload, "image": NEW}],
            "base": {
                "uid": "00000000-0000-0000-0000-000000000000", "generation": 1, "marker": "{}",
                "images": [{"container": workload, "image": OLD}], "healthy": true,
            },
            "timeoutSeconds": 20, "onFailure": "Rollback", "checks": [check()], "dryRun": false, "failedTries": 1,
        },
    })
}

/// A record's status with every field.
pub fn record_status(workload: &str, ended: bool) -> Value {
    let images = |image: &str| json!([{"container": workload, "image": image}]);
    let cause = json!({"pod": format!("{workload}-1"), "container": workload, "reason": "ImagePullBackOff", "message": "so it is"});
    let check = json!([{
        "name": "well", "state": "Healthy", "reason": "Answered", "message": "so it is", "latencyMilliseconds": 1, "probes": 1, "time": MICRO,
    }]);
    let mut status = json!({
        "observedGeneration": 0, "previousImages": images(OLD), "admittedImages": images(NEW), "refused": {"write": "Images", "time": MICRO},
        "patchedTime": MICRO, "healthyTime": MICRO, "verifiedTime": MICRO, "rollbackTime": MICRO, "restoredTime": MICRO,
        "rollbackHealthyTime": MICRO, "completionTime": MICRO, "workloadGeneration": 2, "revision": "2",
        "replicas": {"desired": 1, "updated": 1, "available": 1}, "digests": [{"container": workload, "imageID": "sha256:abc"}],
        "checks": check, "rollbackChecks": check, "health": "Healthy", "waitingFor": cause, "rootCause": cause,
        "conditions": [condition("Succeeded", "Succeeded")],
    });
    if !ended {
        for field in ["completionTime", "restoredTime", "rollbackHealthyTime", "rollbackTime", "conditions"] {
            super::tree::remove(&mut status, &format!("/{field}"));
        }
    }
    status
}

/// What the operator leaves on a workload.
pub fn marker(workload: &str, uid: &str, record: &str) -> Value {
    json!({
        "workloadUid": uid, "ticketUid": "00000000-0000-0000-0000-000000000001", "namespace": "@namespace@", "record": record,
        "set": [{"container": workload, "image": NEW}], "undo": [{"container": workload, "image": OLD}],
        "restored": false, "succeeded": false, "fenced": "r-0-0123456789",
    })
}
