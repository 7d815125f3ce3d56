//! The operator of the version before is killed in the middle of its work, the release is upgraded, and this one goes on: all ends as if
//! it had been one operator. The definitions are those of this version from the start, as an upgrade brings them first.
//!
//! `make test-upgrade` builds the version before; without it these tests are ignored.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use trackdown_api::ticket::Ticket;

use crate::harness::Scene;
use crate::harness::cluster::Cluster;
use crate::harness::operator::Operator;
use crate::harness::proxy::Proxy;
use crate::harness::scene::{holds, ready_ticket, result};
use crate::sequence::story;

/// The chart of the version before, where `e2e/upgrade/build.sh` unpacks it.
const PREVIOUS_CHART: &str = "target/previous/tree/charts/trackdown";

const OLD: &str = "ghcr.io/acme/web:1";
const NEW: &str = "ghcr.io/acme/web:2";
const BAD: &str = "ghcr.io/acme/web:bad";
/// Its pods take five seconds to be ready.
const SLOW: &str = "ghcr.io/acme/web:slow";

/// How long the proxy may wait for a write.
const PATIENCE: Duration = Duration::from_secs(30);

/// Pairs of tickets that are under way when the operator is killed, a good and a bad one each.
const PAIRS: usize = 6;

/// The program of the version before.
pub fn previous() -> Option<PathBuf> {
    std::env::var_os("TRACKDOWN_PREVIOUS").filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// A namespace with the release of the version before, and its operator at work.
async fn before(cluster: &Arc<Cluster>, name: &str) -> Scene {
    let mut scene = Scene::bare(cluster, name).await;
    release(&scene, "install", PREVIOUS_CHART);
    start_previous(&mut scene, None);
    scene
}

/// The same behind a proxy.
async fn before_behind_proxy(cluster: &Arc<Cluster>, name: &str) -> (Scene, Proxy) {
    let mut scene = Scene::bare(cluster, name).await;
    release(&scene, "install", PREVIOUS_CHART);
    let proxy = Proxy::start(cluster);
    start_previous(&mut scene, Some(&proxy));
    (scene, proxy)
}

fn start_previous(scene: &mut Scene, through: Option<&Proxy>) {
    let binary = previous().expect("TRACKDOWN_PREVIOUS is set by the Makefile: make test-upgrade");
    let server = through.map(|proxy| proxy.address.as_str());
    let operator = Operator::start_binary(&scene.cluster, &scene.namespace, "trackdown-0", server, &binary);
    operator.wait_ready();
    scene.operator = Some(operator);
}

/// Kills the operator, upgrades the release as a user does, and starts the new one.
fn upgrade(scene: &mut Scene) {
    scene.kill_operator();
    release(scene, "upgrade", "charts/trackdown");
    scene.start_operator();
}

/// `helm install` or `helm upgrade` of the release in the scene's namespace.
fn release(scene: &Scene, how: &str, chart: &str) {
    let watched = format!("watchNamespaces={{{}}}", scene.namespace);
    scene.helm(&[how, "trackdown", chart, "--set", "crds.install=false", "--set", &watched]);
}

/// How often the pod template of a workload was changed since it was made: each change is a revision of its own, also one that goes back.
async fn template_writes(scene: &Scene, workload: &str) -> i64 {
    let annotations = scene.get_workload(workload).await.metadata.annotations.unwrap();
    annotations["deployment.kubernetes.io/revision"].parse::<i64>().unwrap() - 1
}

/// How the records of a ticket ended.
async fn ends(scene: &Scene, ticket: &str) -> Vec<String> {
    scene.records(ticket).await.iter().map(|record| result(record).to_owned()).collect()
}

/// Waits until no record has the workload in hand any more.
async fn wait_let_go(scene: &Scene, workload: &str) {
    let let_go = || async {
        let labels = scene.get_workload(workload).await.metadata.labels.unwrap_or_default();
        (!labels.contains_key("trackdown.dev/rolling")).then_some(())
    };
    scene.until("the workload is let go", let_go).await;
}

/// The end of a good rollout: one attempt, one write.
async fn wait_deployed(scene: &Scene, ticket: &str, workload: &str, image: &str) {
    let done = scene.wait_done(ticket).await.status.unwrap();
    assert!(done.targets[0].attempt == 1 && done.targets[0].tries == 0, "{:?}", done.targets);
    assert_eq!(ends(scene, ticket).await, ["RolloutComplete"], "{ticket}");
    assert_eq!(scene.image(workload).await, image);
    assert_eq!(template_writes(scene, workload).await, 1, "{workload}: one forward patch");
    wait_let_go(scene, workload).await;
}

/// The end of a rollout that failed as often as it may: a write forward and a write back for each try.
async fn wait_given_up(scene: &Scene, ticket: &str, workload: &str, template: &str, tries: u8) {
    let status = scene.wait_ticket(ticket, "stalled", |t| holds(t, "Stalled")).await.status.unwrap();
    assert_eq!(status.reason.as_deref(), Some("RetriesExhausted"), "{ticket}");
    assert_eq!(status.targets[0].tries, i32::from(tries), "{ticket}");
    assert_eq!(ends(scene, ticket).await, vec!["RolledBack"; tries.into()], "{ticket}");
    assert_eq!(scene.template(workload).await, template, "{workload}: byte-equal pod template");
    assert_eq!(template_writes(scene, workload).await, 2 * i64::from(tries), "{workload}");
    wait_let_go(scene, workload).await;
}

pub async fn slow_pods_are_followed(cluster: &Arc<Cluster>) {
    let mut scene = before(cluster, "upgrade-slow-pods").await;
    scene.workload("web", OLD, 2).await;
    scene.apply(&ready_ticket("iss-1", "web", SLOW));
    scene.wait_reason("iss-1", "RollingOut").await;
    scene.until("the image is set", || async { (scene.image("web").await == SLOW).then_some(()) }).await;
    upgrade(&mut scene);
    wait_deployed(&scene, "iss-1", "web", SLOW).await;
}

/// Killed right after the patch: it took effect, and nothing but the workload says so.
pub async fn patch_nobody_heard_of(cluster: &Arc<Cluster>) {
    let (mut scene, proxy) = before_behind_proxy(cluster, "upgrade-patch-unheard").await;
    scene.workload("web", OLD, 2).await;
    // Held while the test runs: the answer never comes.
    let _held = proxy.lose_answer("web", 1);
    scene.apply(&ready_ticket("iss-1", "web", NEW));
    scene.until("the image is set", || async { (scene.image("web").await == NEW).then_some(()) }).await;
    let unheard = scene.records("iss-1").await;
    assert!(unheard[0].status.as_ref().is_none_or(|s| s.patched_time.is_none()), "{:?}", unheard[0].status);
    upgrade(&mut scene);
    wait_deployed(&scene, "iss-1", "web", NEW).await;
}

/// Killed when the attempt stands on the ticket and its record was not made yet.
pub async fn intent_without_record(cluster: &Arc<Cluster>) {
    let (mut scene, proxy) = before_behind_proxy(cluster, "upgrade-no-record").await;
    scene.workload("web", OLD, 2).await;
    // The first write about the workload is the creation of the record.
    let create = proxy.hold("web", 1);
    scene.apply(&ready_ticket("iss-1", "web", NEW));
    assert!(create.is_held(PATIENCE).await);
    let intended = scene.ticket("iss-1").await.status.unwrap().targets[0].record.clone();
    assert!(intended.is_some(), "the intent comes first");
    assert!(scene.records("iss-1").await.is_empty(), "the record is not made");
    upgrade(&mut scene);
    wait_deployed(&scene, "iss-1", "web", NEW).await;
    assert_eq!(scene.records("iss-1").await[0].metadata.name, intended);
}

/// Killed when the failure stands on the record and nothing was put back yet.
pub async fn rollback_decided(cluster: &Arc<Cluster>) {
    let (mut scene, proxy) = before_behind_proxy(cluster, "upgrade-rollback-decided").await;
    scene.workload("web", OLD, 2).await;
    let template = scene.template("web").await;
    let mut ticket = ready_ticket("iss-1", "web", BAD);
    ticket["spec"]["rollout"] = json!({"maxAttempts": 2, "backoffSeconds": 1});
    // After the creation of the record and the patch forward.
    let back = proxy.hold("web", 3);
    scene.apply(&ticket);
    assert!(back.is_held(PATIENCE).await);
    let decided = scene.records("iss-1").await[0].status.clone().unwrap();
    assert!(decided.rollback_time.is_some() && decided.completion_time.is_none(), "{decided:?}");
    assert_eq!(scene.image("web").await, BAD, "nothing was put back");
    upgrade(&mut scene);
    wait_given_up(&scene, "iss-1", "web", &template, 2).await;
}

/// Killed when the previous images are back and their pods are not ready yet.
pub async fn rollback_under_way(cluster: &Arc<Cluster>) {
    let mut scene = before(cluster, "upgrade-rollback-under-way").await;
    // Of four pods one is taken down for the new image, and takes its time to come back.
    scene.workload("web", SLOW, 4).await;
    let template = scene.template("web").await;
    let mut ticket = ready_ticket("iss-1", "web", BAD);
    ticket["spec"]["rollout"] = json!({"maxAttempts": 2, "backoffSeconds": 1});
    scene.apply(&ticket);
    let put_back = || async {
        let records = scene.records("iss-1").await;
        let decided = records.first()?.status.as_ref()?.rollback_time.is_some();
        (decided && scene.image("web").await == SLOW).then_some(())
    };
    scene.until("the previous image is put back", put_back).await;
    scene.kill_operator();
    let records = scene.records("iss-1").await;
    assert!(records[0].status.as_ref().unwrap().completion_time.is_none(), "killed too late: {:?}", records[0].status);
    upgrade(&mut scene);
    wait_given_up(&scene, "iss-1", "web", &template, 2).await;
}

/// Killed while it waits for the next try: tries are counted on, and the wait is neither cut short nor begun again.
pub async fn between_two_tries(cluster: &Arc<Cluster>) {
    let mut scene = before(cluster, "upgrade-between-tries").await;
    scene.workload("web", OLD, 2).await;
    let template = scene.template("web").await;
    let mut ticket = ready_ticket("iss-1", "web", BAD);
    ticket["spec"]["rollout"] = json!({"maxAttempts": 2, "backoffSeconds": 15});
    scene.apply(&ticket);
    let waiting = scene.wait_reason("iss-1", "BackingOff").await.status.unwrap();
    assert_eq!(waiting.targets[0].tries, 1);
    let due = waiting.waiting.unwrap().until.unwrap().0;
    scene.kill_operator();
    // So long that a wait that begins again is told from one that goes on.
    tokio::time::sleep(Duration::from_secs(7)).await;
    upgrade(&mut scene);
    let back = Timestamp::now();
    wait_given_up(&scene, "iss-1", "web", &template, 2).await;
    let records = scene.records("iss-1").await;
    assert_eq!(records.iter().map(|r| r.spec.attempt).collect::<Vec<_>>(), [1, 2]);
    let second = records[1].status.as_ref().unwrap().patched_time.as_ref().unwrap().0;
    assert!(second >= due, "the second try came at {second}, and was due at {due}");
    let late = second.duration_since(due.max(back)).as_secs();
    assert!(late < 5, "the second try came {late} s after it was due, and somebody there");
}

pub async fn queue_keeps_its_order(cluster: &Arc<Cluster>) {
    let mut scene = before(cluster, "upgrade-queue").await;
    scene.workload("web", OLD, 2).await;
    scene.apply(&ready_ticket("older", "web", SLOW));
    scene.wait_reason("older", "RollingOut").await;
    scene.apply(&ready_ticket("younger", "web", NEW));
    scene.wait_reason("younger", "WorkloadHeld").await;
    upgrade(&mut scene);
    scene.wait_done("older").await;
    scene.wait_done("younger").await;
    let (older, younger) = (scene.records("older").await, scene.records("younger").await);
    for records in [&older, &younger] {
        assert_eq!(records.iter().map(result).collect::<Vec<_>>(), ["RolloutComplete"]);
    }
    let (older, younger) = (older[0].status.as_ref().unwrap(), younger[0].status.as_ref().unwrap());
    assert!(older.completion_time <= younger.patched_time, "one after the other: {older:?} {younger:?}");
    assert_eq!(younger.previous_images[0].image, SLOW);
    assert_eq!((scene.image("web").await.as_str(), template_writes(&scene, "web").await), (NEW, 2));
    wait_let_go(&scene, "web").await;
}

/// Killed while a sequence whose last target failed is being taken back.
pub async fn sequence_comes_back(cluster: &Arc<Cluster>) {
    let mut scene = before(cluster, "upgrade-sequence").await;
    let all = [("db", OLD, NEW), ("api", SLOW, NEW), ("web", OLD, BAD)];
    let mut templates = Vec::new();
    for (name, image, _) in all {
        scene.workload(name, image, 1).await;
        templates.push(scene.template(name).await);
    }
    let mut ticket = ready_ticket("iss-1", "db", NEW);
    ticket["spec"]["targets"] = all.iter().map(|(name, _, image)| json!({"name": name, "image": image})).collect::<Vec<_>>().into();
    ticket["spec"]["rollout"] = json!({"order": "Sequential", "maxAttempts": 1});
    scene.apply(&ticket);
    let goes_back = || async {
        let records = scene.records("iss-1").await;
        let back = records.iter().find(|r| r.spec.target == "api" && r.spec.rollback_of.is_some())?;
        back.status.as_ref()?.patched_time.is_some().then_some(())
    };
    scene.until("the second target goes back", goes_back).await;
    scene.kill_operator();
    let records = scene.records("iss-1").await;
    let back = records.iter().find(|r| r.spec.target == "api" && r.spec.rollback_of.is_some()).unwrap();
    assert!(back.status.as_ref().unwrap().completion_time.is_none(), "killed too late: {:?}", back.status);
    assert_eq!(scene.image("db").await, NEW, "the first target's turn has not come");
    upgrade(&mut scene);
    let all_back = |t: &Ticket| holds(t, "Stalled") && t.status.as_ref().unwrap().deployed_targets.as_deref() == Some("0/3");
    scene.wait_ticket("iss-1", "all back", all_back).await;
    assert_eq!(
        story(&scene).await,
        [
            "db Rollout RolloutComplete",
            "api Rollout RolloutComplete",
            "web Rollout RolledBack",
            "api Rollback RollbackComplete",
            "db Rollback RollbackComplete"
        ],
        "the newest first"
    );
    for ((name, ..), template) in all.into_iter().zip(templates) {
        assert_eq!(scene.template(name).await, template, "{name}: byte-equal pod template");
        assert_eq!(template_writes(&scene, name).await, 2, "{name}: forward and back");
        wait_let_go(&scene, name).await;
    }
}

/// Many at once, each at another point of its way.
pub async fn many_under_way(cluster: &Arc<Cluster>) {
    let mut scene = before(cluster, "upgrade-many").await;
    let names = |kind: &str| (0..PAIRS).map(|i| format!("{kind}-{i}")).collect::<Vec<_>>();
    let (good, bad) = (names("good"), names("bad"));
    for name in good.iter().chain(&bad) {
        scene.workload(name, OLD, 2).await;
    }
    let mut templates = Vec::new();
    for name in &bad {
        templates.push(scene.template(name).await);
        let mut ticket = ready_ticket(name, name, BAD);
        ticket["spec"]["rollout"]["maxAttempts"] = json!(1);
        scene.apply(&ticket);
    }
    // The first of them fail about now.
    tokio::time::sleep(Duration::from_secs(1)).await;
    for name in &good {
        scene.apply(&ready_ticket(name, name, NEW));
    }
    upgrade(&mut scene);
    for name in &good {
        wait_deployed(&scene, name, name, NEW).await;
    }
    for (name, template) in bad.iter().zip(&templates) {
        wait_given_up(&scene, name, name, template, 1).await;
    }
}

/// What is at rest is not written to: not the tickets, not the records, no Event.
pub async fn what_is_at_rest_stays_untouched(cluster: &Arc<Cluster>) {
    let mut scene = before(cluster, "upgrade-at-rest").await;
    for name in ["done", "failed", "held", "back", "planned", "ineligible"] {
        scene.workload(name, OLD, 1).await;
    }
    let mut failed = ready_ticket("failed", "failed", BAD);
    failed["spec"]["rollout"]["maxAttempts"] = json!(1);
    let mut held = ready_ticket("held", "held", BAD);
    held["spec"]["rollout"]["onFailure"] = json!("Hold");
    let mut planned = ready_ticket("planned", "planned", NEW);
    planned["spec"]["state"] = json!("active");
    let mut ineligible = ready_ticket("ineligible", "ineligible", NEW);
    ineligible["spec"]["automationEligible"] = json!(false);
    let (done, back) = (ready_ticket("done", "done", NEW), ready_ticket("back", "back", NEW));
    for ticket in [&failed, &held, &planned, &ineligible, &done, &back] {
        scene.apply(ticket);
    }
    scene.wait_done("back").await;
    scene.kubectl(&["patch", "ticket", "back", "--type=merge", "--patch", r#"{"spec":{"rollback":{"request":"1"}}}"#]);
    scene.wait_reason("back", "TakenBack").await;
    scene.wait_done("done").await;
    scene.wait_reason("planned", "NotReady").await;
    scene.wait_reason("ineligible", "NotEligible").await;
    scene.wait_reason("failed", "RetriesExhausted").await;
    scene.wait_reason("held", "RolloutFailed").await;

    let made = scene.requests_when_quiet(Duration::from_secs(2)).await.len();
    let at_rest = versions(&scene);
    assert_eq!(at_rest.len(), 6 + 5, "six tickets, five records: {at_rest:?}");
    upgrade(&mut scene);
    let now = scene.requests_when_quiet(Duration::from_secs(5)).await;
    let writes: Vec<_> = now[made..].iter().filter(|request| request.is_write()).collect();
    assert!(writes.is_empty(), "{writes:#?}");
    assert_eq!(versions(&scene), at_rest);
}

/// The resource version of each ticket and each record.
fn versions(scene: &Scene) -> BTreeMap<String, String> {
    let listed: Value = serde_json::from_str(&scene.kubectl(&["get", "tickets,tdep", "--output=json"])).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let items = listed["items"].as_array().unwrap().iter();
    items
        .map(|o| (format!("{}/{}", text(&o["kind"]), text(&o["metadata"]["name"])), text(&o["metadata"]["resourceVersion"])))
        .collect()
}
