//! Many that wait, and one that does not.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::harness::Scene;
use crate::harness::cluster::Cluster;
use crate::harness::scene::ready_ticket;

const SLOTS: usize = 4;

/// As many hung rollouts, and hung checks, and tickets that wait, as there are worker slots: a healthy ticket is done all the same. How
/// long that takes is for `make bench`.
pub async fn hung_rollouts_hold_up_nobody(cluster: &Arc<Cluster>) {
    let slots = format!("concurrency={SLOTS}");
    let options = ["--set", &slots, "--set", "checks.http.hosts={127.0.0.1}", "--set", "checks.http.networks={127.0.0.0/8}"];
    let scene = Scene::without_operator(cluster, "hung-rollouts", &options).await.with_operator();
    // Takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let check = json!([{"name": "silent", "http": {"url": url, "timeoutSeconds": 60, "failureThreshold": 100}}]);
    for i in 0..SLOTS {
        for (kind, image) in [("pods", "ghcr.io/acme/app:never"), ("check", "ghcr.io/acme/app:2")] {
            let name = format!("{kind}-{i}");
            scene.workload(&name, "ghcr.io/acme/app:1", 1).await;
            let mut ticket = ready_ticket(&name, &name, image);
            if kind == "check" {
                ticket["spec"]["targets"][0]["checks"] = check.clone();
            }
            scene.apply(&ticket);
        }
        scene.apply(&ready_ticket(&format!("missing-{i}"), &format!("missing-{i}"), "ghcr.io/acme/app:2"));
    }
    for i in 0..SLOTS {
        scene.wait_reason(&format!("pods-{i}"), "RollingOut").await;
        scene.wait_reason(&format!("check-{i}"), "Verifying").await;
        scene.wait_reason(&format!("missing-{i}"), "WorkloadNotFound").await;
    }
    // Long enough for the pods of those that hang to be watched.
    scene.requests_when_quiet(Duration::from_secs(3)).await;
    scene.workload("web", "ghcr.io/acme/app:1", 1).await;
    scene.apply(&ready_ticket("web", "web", "ghcr.io/acme/app:2"));
    scene.wait_done("web").await;
    for i in 0..SLOTS {
        assert_eq!(scene.ticket(&format!("pods-{i}")).await.status.unwrap().reason.as_deref(), Some("RollingOut"));
        assert_eq!(scene.ticket(&format!("check-{i}")).await.status.unwrap().reason.as_deref(), Some("Verifying"));
    }
}

/// What nobody can watch is looked at with growing pauses: after 0, 10 and 30 seconds.
pub async fn looks_in_vain_stay_few(cluster: &Arc<Cluster>) {
    const TICKETS: usize = 8;
    let scene = Scene::new(cluster, "looks-in-vain").await;
    for i in 0..TICKETS {
        scene.apply(&ready_ticket(&format!("iss-{i}"), &format!("missing-{i}"), "ghcr.io/acme/app:2"));
        scene.wait_reason(&format!("iss-{i}"), "WorkloadNotFound").await;
    }
    tokio::time::sleep(Duration::from_secs(25)).await;
    let made = scene.requests();
    let looks = made.iter().filter(|r| r.verb == "get" && r.resource == "deployments").count();
    assert!((TICKETS * 2..=TICKETS * 3).contains(&looks), "{looks} looks");
    let writes = made.iter().filter(|r| r.is_write() && r.resource == "tickets").count();
    assert_eq!(writes, TICKETS, "said once");
}
