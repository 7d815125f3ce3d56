//! The operator as a program, and the chart around it.

use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use crate::harness::ROOT;
use crate::harness::Scene;
use crate::harness::cluster::Cluster;
use crate::harness::operator::Operator;
use crate::harness::scene::ready_ticket;

pub async fn waits_for_its_crds(_: &Arc<Cluster>) {
    let bare = Arc::new(Cluster::start(&[]));
    let scene = Scene::without_operator(
        &bare,
        "waits-for-its-crds",
        &["--set", "crds.install=false", "--set", "admissionPolicy.enabled=false"],
    )
    .await;
    let operator = Operator::start(&bare, &scene.namespace, "trackdown-0");
    scene
        .until("readiness names the CRD", || async {
            operator.get("/readyz").filter(|(code, text)| *code == 503 && text.contains("CRD tickets.trackdown.dev"))
        })
        .await;
    assert!(matches!(operator.get("/healthz"), Some((200, _))), "alive while it waits");
    scene.kubectl(&["apply", "--server-side", "-f", "crds/"]);
    operator.wait_ready();
    scene.workload("web", "ghcr.io/acme/web:1", 1).await;
    scene.apply(&ready_ticket("iss-1", "web", "ghcr.io/acme/web:2"));
    scene.wait_done("iss-1").await;
}

pub async fn standby_takes_over(cluster: &Arc<Cluster>) {
    let scene = Scene::without_operator(cluster, "standby-takes-over", &[]).await;
    let mut first = Operator::start(cluster, &scene.namespace, "trackdown-0");
    scene.until("the first leads", || async { leads(&first).then_some(()) }).await;
    let second = Operator::start(cluster, &scene.namespace, "trackdown-1");
    second.wait_ready();
    assert!(!leads(&second), "one leads at a time");
    scene.workload("web", "ghcr.io/acme/web:1", 1).await;
    scene.apply(&ready_ticket("iss-1", "web", "ghcr.io/acme/web:never"));
    scene.until("the image is set", || async { (scene.image("web").await == "ghcr.io/acme/web:never").then_some(()) }).await;
    first.kill();
    scene.until("the second leads", || async { leads(&second).then_some(()) }).await;
    scene.kubectl(&["set", "image", "deployment.apps/web", "web=ghcr.io/acme/web:theirs"]);
    scene.wait_reason("iss-1", "Contested").await;
}

/// SIGTERM gives the lease back: the next one need not wait for it to run out.
pub async fn terminates_gracefully(cluster: &Arc<Cluster>) {
    let scene = Scene::without_operator(cluster, "terminates-gracefully", &[]).await;
    let mut first = Operator::start(cluster, &scene.namespace, "trackdown-0");
    scene.until("the first leads", || async { leads(&first).then_some(()) }).await;
    let second = Operator::start(cluster, &scene.namespace, "trackdown-1");
    second.wait_ready();
    first.signal("TERM");
    assert_eq!(first.wait_exit(), Some(0), "{}", first.log());
    let started = Instant::now();
    scene.until("the second leads", || async { leads(&second).then_some(()) }).await;
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

fn leads(operator: &Operator) -> bool {
    operator.get("/metrics").is_some_and(|(_, text)| text.contains("\ntrackdown_leader 1"))
}

pub async fn uninstall_leaves_workloads(cluster: &Arc<Cluster>) {
    let mut scene = Scene::new(cluster, "uninstall-leaves").await;
    scene.workload("web", "ghcr.io/acme/web:1", 2).await;
    scene.apply(&ready_ticket("iss-1", "web", "ghcr.io/acme/web:never"));
    scene.wait_reason("iss-1", "RollingOut").await;
    scene.helm(&["uninstall", "trackdown", "--timeout=30s"]);
    scene.kill_operator();
    let workload = scene.get_workload("web").await;
    assert_eq!(workload.spec.unwrap().replicas, Some(2));
    scene.kubectl(&["delete", "ticket", "iss-1", "--timeout=10s"]);
    scene.kubectl(&["delete", "tdep", "--all", "--timeout=10s"]);
}

pub async fn serves_metrics(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "serves-metrics").await;
    scene.workload("web", "ghcr.io/acme/web:1", 1).await;
    scene.apply(&ready_ticket("iss-1", "web", "ghcr.io/acme/web:2"));
    scene.wait_done("iss-1").await;
    let operator = scene.operator.as_ref().unwrap();
    scene
        .until("the metrics count the rollout", || async {
            let (_, text) = operator.get("/metrics")?;
            let counted = [
                "trackdown_tickets{state=\"done\"} 1",
                "trackdown_rollouts_total{result=\"RolloutComplete\"} 1",
                "trackdown_rollouts_total{result=\"RolledBack\"} 0",
                "trackdown_rollouts_in_flight 0",
                "trackdown_rollout_duration_seconds_count 1",
                "trackdown_reconcile_total{kind=\"ticket\",outcome=\"ok\"}",
                "trackdown_build_info{version=",
            ];
            counted.iter().all(|line| text.lines().any(|l| l.starts_with(line))).then_some(())
        })
        .await;
    let log = operator.log();
    let audited = log.lines().filter(|l| l.contains("\"schema\":\"trackdown.audit/v1\"")).count();
    assert!(audited >= 6, "{log}");
    assert!(!log.contains("Bearer") && !log.contains("eyJ"), "no tokens in the log");
}

/// On a machine that reaches the API server through a proxy only, as `HTTPS_PROXY` says.
pub async fn works_through_a_proxy(cluster: &Arc<Cluster>) {
    // It runs as whoever the kubeconfig names.
    let scene = Scene::without_operator(cluster, "through-a-proxy", &["--set", "admissionPolicy.enabled=false"]).await;
    scene.workload("web", "ghcr.io/acme/web:1", 1).await;
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", proxy.local_addr().unwrap());
    let asked_for = Arc::new(Mutex::new(Vec::new()));
    let seen = asked_for.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = proxy.accept().await {
            tokio::spawn(tunnel(client, seen.clone()));
        }
    });
    let log = Path::new(ROOT).join("target/e2e/through-a-proxy.log");
    std::fs::create_dir_all(log.parent().unwrap()).unwrap();
    let mut operator = Command::new(Path::new(ROOT).join("target/debug/trackdown"))
        .args(["--namespaces", &scene.namespace, "--leader-election=false", "--listen-address=127.0.0.1:0"])
        .env("KUBECONFIG", cluster.kubeconfig())
        .env("HTTPS_PROXY", &address)
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(&log).unwrap())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    scene.apply(&ready_ticket("iss-1", "web", "ghcr.io/acme/web:2"));
    scene.wait_done("iss-1").await;
    operator.kill().await.unwrap();
    let server = cluster.server().trim_start_matches("https://").trim_end_matches('/').to_owned();
    let asked_for = asked_for.lock().unwrap();
    assert!(!asked_for.is_empty() && asked_for.iter().all(|to| *to == server), "{asked_for:?} instead of {server}");
}

/// One `CONNECT` of a client, and what goes to and fro after it.
async fn tunnel(mut client: TcpStream, asked_for: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = client.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let Some(to) = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()) else { return };
    asked_for.lock().unwrap().push(to.to_owned());
    let Ok(mut server) = TcpStream::connect(to).await else { return };
    if client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.is_ok() {
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    }
}
