//! Health checks that decide rollouts, against a real HTTP server and real Jobs.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use trackdown_api::check::{CheckResult, HealthState};
use trackdown_api::record::RecordStatus;

use crate::harness::Scene;
use crate::harness::cluster::Cluster;
use crate::harness::scene::{holds, ready_ticket, result};

const OLD: &str = "ghcr.io/acme/web:1";
const NEW: &str = "ghcr.io/acme/web:2";

const LOOPBACK: [&str; 4] =
    ["--set", "checks.http.hosts={localhost,127.0.0.1}", "--set", "checks.http.networks={127.0.0.0/8,::1/128}"];

/// A server that behaves as the path says, `/<behaviour>/<how many times>/<anything>`, and is well afterwards.
struct Server {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("127.0.0.1:{}", listener.local_addr().unwrap().port());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = requests.clone();
        let seen = Arc::new(Mutex::new(HashMap::<String, u32>::new()));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (log, seen) = (log.clone(), seen.clone());
                std::thread::spawn(move || serve(stream.unwrap(), &log, &seen));
            }
        });
        Self { address, requests }
    }

    fn check(&self, behaviour: &str, times: u32) -> Value {
        json!({
            "name": "ping",
            "http": {
                "url": format!("http://{}/{behaviour}/{times}/{{namespace}}/{{workload}}", self.address),
                "bodyContains": "ready", "maxLatencyMilliseconds": 500, "timeoutSeconds": 1, "periodSeconds": 1,
                "successThreshold": 2, "failureThreshold": 2,
            },
        })
    }
}

fn serve(mut stream: std::net::TcpStream, log: &Mutex<Vec<String>>, seen: &Mutex<HashMap<String, u32>>) {
    let mut bytes = [0; 4096];
    let Ok(length) = stream.read(&mut bytes) else { return };
    let request = String::from_utf8_lossy(&bytes[..length]).into_owned();
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    log.lock().unwrap().push(request);
    let mut parts = path.split('/').skip(1);
    let (behaviour, times) = (parts.next().unwrap_or_default(), parts.next().and_then(|t| t.parse().ok()).unwrap_or(0));
    let before = {
        let mut seen = seen.lock().unwrap();
        let count = seen.entry(path.clone()).or_default();
        *count += 1;
        *count - 1
    };
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nready";
    let answer = match behaviour {
        _ if before >= times => ok,
        "slow" => {
            std::thread::sleep(Duration::from_millis(700));
            ok
        }
        "wrong" => "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nnoway",
        "error" => "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 5\r\nconnection: close\r\n\r\nready",
        "hang" => {
            std::thread::sleep(Duration::from_secs(3));
            return;
        }
        "redirect" => {
            "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/latest/meta-data/\r\ncontent-length: 5\r\nconnection: close\r\n\r\nready"
        }
        _ => ok,
    };
    let _ = stream.write_all(answer.as_bytes());
}

async fn scene(cluster: &Arc<Cluster>, name: &str) -> Scene {
    Scene::without_operator(cluster, name, &LOOPBACK).await.with_operator()
}

fn checked_ticket(name: &str, workload: &str, check: &Value) -> Value {
    let mut ticket = ready_ticket(name, workload, NEW);
    ticket["spec"]["targets"][0]["checks"] = json!([check]);
    ticket["spec"]["rollout"] = json!({"maxAttempts": 1, "timeoutSeconds": 60});
    ticket
}

async fn status_of(scene: &Scene, ticket: &str) -> RecordStatus {
    scene.records(ticket).await.pop().unwrap().status.unwrap()
}

fn told(results: &[CheckResult]) -> Vec<(HealthState, &str)> {
    results.iter().map(|r| (r.state, r.reason.as_str())).collect()
}

pub async fn good_answers_end_the_rollout(cluster: &Arc<Cluster>) {
    let scene = scene(cluster, "good-answers").await;
    let server = Server::start();
    scene.workload("web", OLD, 1).await;
    // One bad answer while it warms up is no failure.
    scene.apply(&checked_ticket("iss-1", "web", &server.check("error", 1)));
    scene.wait_reason("iss-1", "Verifying").await;
    scene.wait_done("iss-1").await;
    let status = status_of(&scene, "iss-1").await;
    assert_eq!(told(&status.checks), [(HealthState::Healthy, "Healthy")]);
    assert_eq!((status.checks[0].probes, status.health), (3, Some(HealthState::Healthy)));
    assert!(status.checks[0].latency_milliseconds.is_some() && status.healthy_time < status.verified_time);
    let requests = server.requests.lock().unwrap().clone();
    assert!(requests.iter().all(|r| r.starts_with("GET /error/1/good-answers/web HTTP/1.1")), "{requests:#?}");
    assert!(requests.iter().all(|r| !r.to_lowercase().contains("authorization")), "{requests:#?}");
    // A check costs no more writes than its result.
    let writes =
        scene.requests_when_quiet(Duration::from_secs(1)).await.iter().filter(|r| r.is_write() && r.resource != "events").count();
    assert!(writes <= 9, "{writes} writes");
}

pub async fn bad_answers_roll_back(cluster: &Arc<Cluster>) {
    let scene = scene(cluster, "bad-answers").await;
    let server = Server::start();
    let cases = [
        ("slow", HealthState::Degraded, "TooSlow"),
        ("wrong", HealthState::Down, "WrongBody"),
        ("error", HealthState::Down, "WrongStatus"),
        ("hang", HealthState::Down, "Timeout"),
        ("redirect", HealthState::Down, "Redirected"),
    ];
    for (name, ..) in cases {
        scene.workload(name, OLD, 1).await;
        scene.apply(&checked_ticket(name, name, &server.check(name, 2)));
    }
    for (name, state, reason) in cases {
        let stalled = scene.wait_ticket(name, "stalled", |t| holds(t, "Stalled")).await.status.unwrap();
        let said = stalled.blocked_reason.unwrap();
        assert!(said.contains(&format!("Check{reason}: check ping is {state:?}")), "{said}");
        let status = status_of(&scene, name).await;
        assert_eq!(told(&status.checks), [(state, reason)]);
        assert_eq!(told(&status.rollback_checks), [(HealthState::Healthy, "Healthy")], "the old version is checked, too");
        assert_eq!(status.health, Some(HealthState::Healthy));
        assert_eq!(result(&scene.records(name).await[0]), "RolledBack");
        assert_eq!(scene.image(name).await, OLD);
    }
}

/// Going back is not success while the check still fails.
pub async fn still_bad_after_the_rollback(cluster: &Arc<Cluster>) {
    let scene = scene(cluster, "still-bad").await;
    let server = Server::start();
    scene.workload("web", OLD, 1).await;
    scene.apply(&checked_ticket("iss-1", "web", &server.check("error", 1000)));
    let stalled = scene.wait_ticket("iss-1", "stalled", |t| holds(t, "Stalled")).await.status.unwrap();
    assert_eq!(stalled.reason.as_deref(), Some("RollbackFailed"));
    assert!(stalled.message.unwrap().contains("the previous images are back, with them it is the same"));
    assert_eq!((scene.image("web").await.as_str(), status_of(&scene, "iss-1").await.health), (OLD, Some(HealthState::Down)));
}

/// A ticket reaches no host and no network its administrator did not allow, whatever it is called.
pub async fn what_may_not_be_asked(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "may-not-be-asked").await;
    let allowing =
        Scene::without_operator(cluster, "host-allowed-only", &["--set", "checks.http.hosts={localhost}"]).await.with_operator();
    let server = Server::start();
    let port = server.address.rsplit(':').next().unwrap();
    // What can be told from the URL is told before anything is written.
    for (name, url) in [
        ("literal", format!("http://{}/", server.address)),
        ("metadata", "http://169.254.169.254/latest/".to_owned()),
        ("elsewhere", "http://web.kube-system.svc/".to_owned()),
        ("lookalike", "http://web.may-not-be-asked.svc.evil.example/".to_owned()),
    ] {
        scene.workload(name, OLD, 1).await;
        scene.apply(&checked_ticket(name, name, &json!({"name": "ping", "http": {"url": url}})));
        let status = scene.wait_reason(name, "CheckNotAllowed").await.status.unwrap();
        assert!(status.message.unwrap().starts_with(&format!("spec.targets[{name}].checks[ping].http.url: ")));
        assert!(scene.records(name).await.is_empty());
    }
    // What its name resolves to, only when it is asked.
    allowing.workload("web", OLD, 1).await;
    let loopback = json!({"name": "ping", "http": {"url": format!("http://localhost:{port}/")}});
    allowing.apply(&checked_ticket("iss-1", "web", &loopback));
    allowing.wait_ticket("iss-1", "stalled", |t| holds(t, "Stalled")).await;
    assert_eq!(told(&status_of(&allowing, "iss-1").await.checks), [(HealthState::Down, "AddressNotAllowed")]);
    assert_eq!(allowing.image("web").await, OLD);
    assert!(server.requests.lock().unwrap().is_empty());
    let both = json!({"name": "x", "http": {"url": "http://a"}, "job": {"image": "x:1"}});
    assert!(scene.refused(&checked_ticket("both", "web", &both), &[]).contains("either http or job"));
    let file = json!({"name": "x", "http": {"url": "file:///etc/passwd"}});
    assert!(scene.refused(&checked_ticket("file", "web", &file), &[]).contains("spec.targets[0].checks[0].http.url"));
}

/// A check that comes to no end is ended by the rollout's own deadline.
pub async fn deadline_ends_checks(cluster: &Arc<Cluster>) {
    let scene = scene(cluster, "deadline-ends-checks").await;
    let server = Server::start();
    scene.workload("web", OLD, 1).await;
    let mut check = server.check("error", 1000);
    check["http"]["failureThreshold"] = json!(100);
    let mut ticket = checked_ticket("iss-1", "web", &check);
    ticket["spec"]["rollout"]["timeoutSeconds"] = json!(4);
    scene.apply(&ticket);
    scene.wait_ticket("iss-1", "stalled", |t| holds(t, "Stalled")).await;
    let status = status_of(&scene, "iss-1").await;
    assert!(status.root_cause.unwrap().message.contains("not over within 4 s"));
    assert_eq!(scene.image("web").await, OLD);
}

pub async fn jobs(cluster: &Arc<Cluster>) {
    let scene = Scene::without_operator(cluster, "job-checks", &["--set", "checks.jobs.enabled=true"]).await.with_operator();
    // What the pod is made of meets the strictest standard.
    scene.kubectl(&["label", "namespace", "job-checks", "pod-security.kubernetes.io/enforce=restricted", "--overwrite"]);
    scene.kubectl(&["create", "serviceaccount", "tester"]);
    for (name, image) in [("good", "ghcr.io/acme/smoke:1"), ("bad", "ghcr.io/acme/smoke:crash")] {
        let secure = json!({"containers": [{"name": name, "image": OLD, "securityContext": {
            "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"},
        }}]});
        scene.workload_with(name, json!({"replicas": 1}), secure).await;
        let job = json!({"image": image, "args": ["--fast"], "serviceAccountName": "tester", "timeoutSeconds": 20});
        scene.apply(&checked_ticket(name, name, &json!({"name": "smoke", "job": job})));
    }
    scene.wait_done("good").await;
    assert_eq!(told(&status_of(&scene, "good").await.checks), [(HealthState::Healthy, "Healthy")]);
    let record = scene.records("good").await.pop().unwrap();
    let listed: Value = serde_json::from_str(&scene.kubectl(&["get", "jobs", "--output=json"])).unwrap();
    let job = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|j| j["metadata"]["name"].as_str().unwrap().starts_with("smoke-good"))
        .unwrap();
    assert_eq!(job["metadata"]["ownerReferences"][0]["uid"], record.metadata.uid.unwrap());
    assert_eq!(job["spec"]["template"]["spec"]["serviceAccountName"], "tester");

    scene.wait_ticket("bad", "stalled", |t| holds(t, "Stalled")).await;
    let status = status_of(&scene, "bad").await;
    assert_eq!(told(&status.checks), [(HealthState::Down, "JobFailed")]);
    assert_eq!(scene.image("bad").await, OLD);
    let made = scene.requests();
    assert_eq!(
        made.iter().filter(|r| r.resource == "jobs" && r.verb == "create").count(),
        3,
        "one, and two for the one that went back"
    );
}

pub async fn jobs_are_off_by_default(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "jobs-are-off").await;
    scene.workload("web", OLD, 1).await;
    let mut ticket = checked_ticket("iss-1", "web", &json!({"name": "smoke", "job": {"image": "ghcr.io/acme/smoke:1"}}));
    scene.apply(&ticket);
    let status = scene.wait_reason("iss-1", "JobChecksDisabled").await.status.unwrap();
    assert!(status.message.unwrap().contains("checks.jobs.enabled"));
    assert_eq!(scene.image("web").await, OLD);
    ticket["spec"]["targets"][0]["checks"] = json!([]);
    scene.apply(&ticket);
    scene.wait_done("iss-1").await;
}

/// A Job check runs an image of the ticket's choice: whoever may deploy, but make no Jobs, may not have one made.
pub async fn jobs_take_the_right_to_make_them(cluster: &Arc<Cluster>) {
    let scene = Scene::without_operator(cluster, "job-rights", &["--set", "checks.jobs.enabled=true"]).await;
    let namespace = scene.namespace.clone();
    scene.kubectl(&["create", "role", "deploys", "--verb=deploy", "--resource=deployments.trackdown.dev"]);
    scene.kubectl(&["create", "role", "writes", "--verb=get,create,patch,update", "--resource=tickets.trackdown.dev"]);
    for role in ["deploys", "writes"] {
        scene.kubectl(&["create", "rolebinding", role, &format!("--role={role}"), "--user=dev"]);
    }
    let ticket = checked_ticket("iss-1", "web", &json!({"name": "smoke", "job": {"image": "ghcr.io/acme/smoke:1"}}));
    let as_dev = ["--as=dev", "--as-group=system:authenticated"];
    // The API server takes a moment to take a new policy in.
    let in_force = || async { (!scene.try_apply(&ticket, &["--as=dev", "--dry-run=server"]).status.success()).then_some(()) };
    scene.until("the policy is in force", in_force).await;
    let said = scene.refused(&ticket, &as_dev);
    assert!(said.contains("jobs.batch") && said.contains(&namespace), "{said}");
    scene.kubectl(&["create", "role", "makes-jobs", "--verb=create", "--resource=jobs.batch"]);
    scene.kubectl(&["create", "rolebinding", "makes-jobs", "--role=makes-jobs", "--user=dev"]);
    let accepted = || async { scene.try_apply(&ticket, &as_dev).status.success().then_some(()) };
    scene.until("accepted", accepted).await;

    // So does a rollback: it writes to the workload like a rollout.
    scene.kubectl(&["delete", "rolebinding", "deploys"]);
    let rollback = |request: &str| json!({"spec": {"state": "active", "rollback": {"request": request}}}).to_string();
    let patch = |text: &str| scene.try_kubectl(&["patch", "ticket", "iss-1", "--type=merge", "--as=dev", "--patch", text], None);
    let refused = || async { (!patch(&rollback("1")).status.success()).then_some(()) };
    scene.until("a rollback is refused", refused).await;
}
