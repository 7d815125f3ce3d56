use jiff::SignedDuration;
use serde_json::{Value, json};

use super::world::{BAD, OLD, at, view, workload};
use crate::api::deployment::Deployment;
use crate::api::{MARKER_ANNOTATION, ROLLING_LABEL};
use crate::decide::condition_reason;
use crate::decide::preflight::Holder;
use crate::decide::reason;
use crate::decide::record::{Answer, Authority, Purpose, RecordStep, RecordWorld, WorkloadSeen, decide};
use crate::workload::pods::PodView;
use crate::workload::view::WorkloadView;

const RECORD: &str = "iss-1-web-0123456789";

/// A record that has failed and is taking itself back.
fn going_back() -> Deployment {
    let mut record = unwritten();
    record.status = serde_json::from_value(json!({
        "previousImages": [{"container": "web", "image": OLD}],
        "admittedImages": [{"container": "web", "image": BAD}],
        "patchedTime": "2027-01-15T08:00:00.000000Z", "rollbackTime": "2027-01-15T08:00:00.000000Z", "workloadGeneration": 2,
        // Longer than any message may be.
        "rootCause": {"reason": "CrashLoopBackOff", "message": "x".repeat(1024)},
    }))
    .unwrap();
    record
}

fn unwritten() -> Deployment {
    serde_json::from_value(json!({
        "apiVersion": "trackdown.dev/v1alpha1", "kind": "Deployment",
        "metadata": {"name": RECORD, "namespace": "shop", "uid": "r", "generation": 1, "resourceVersion": "1"},
        "spec": {
            "ticket": {"name": "iss-1", "uid": "ticket-uid", "id": "ISS-1"}, "target": "web", "attempt": 1, "requestHash": "h",
            "workload": {"kind": "Deployment", "namespace": "shop", "name": "web"}, "images": [{"container": "web", "image": BAD}],
            "base": {"uid": "workload-uid", "generation": 1, "healthy": true}, "timeoutSeconds": 300,
        },
    }))
    .unwrap()
}

/// The workload with this image, and the record's marker and label as they are then.
fn marked(image: &str, restored: bool, label: &str) -> Value {
    let marker = json!({
        "workloadUid": "workload-uid", "ticketUid": "ticket-uid", "namespace": "shop", "record": RECORD,
        "set": [{"container": "web", "image": BAD}], "undo": [{"container": "web", "image": OLD}], "restored": restored,
    });
    let mut workload = workload(image);
    workload["metadata"]["generation"] = json!(3);
    workload["metadata"]["annotations"] = json!({MARKER_ANNOTATION: marker.to_string()});
    workload["metadata"]["labels"] = json!({ROLLING_LABEL: label});
    workload
}

fn world(record: Deployment, workload: WorkloadSeen) -> RecordWorld {
    RecordWorld {
        record,
        authority: Authority::Granted,
        workload,
        holder: Holder::Nobody,
        pods: None,
        checks: None,
        contents: None,
        surplus: Vec::new(),
        answer: None,
        unwritten: false,
        relabelled: false,
        now: at(0) + SignedDuration::from_secs(10),
    }
}

fn live(view: WorkloadView) -> WorkloadSeen {
    WorkloadSeen::Live(Box::new(view))
}

/// How the record ends now.
fn end(world: &RecordWorld) -> (String, String) {
    let RecordStep::WriteStatus(status) = decide(world) else { panic!("{:?}", decide(world)) };
    assert!(status.completion_time.is_some());
    let ended = Deployment { status: Some(*status), ..world.record.clone() };
    let (reason, message) = condition_reason(&ended).unwrap();
    (reason.to_owned(), message.to_owned())
}

#[test]
fn what_is_set_after_the_way_back_is_left_alone() {
    let goes_back = world(going_back(), live(view(&marked(BAD, false, "0123456789"))));
    assert!(matches!(decide(&goes_back), RecordStep::Patch { purpose: Purpose::Rollback, .. }));
    for (what, workload) in [
        ("set again", marked(BAD, true, "0123456789.back")),
        // `kubectl rollout undo`: the marker from before, too.
        ("undone", marked(BAD, false, "0123456789.back")),
        ("another", marked("theirs", true, "0123456789.back")),
        ("without its label", {
            let mut w = marked(BAD, false, "");
            w["metadata"].as_object_mut().unwrap().remove("labels");
            w
        }),
    ] {
        assert_eq!(end(&world(going_back(), live(view(&workload)))).0, reason::CONTESTED, "{what}");
    }
}

/// A refusal may read differently each time, and a long cause cuts it off: it is said once all the same.
#[test]
fn a_refusal_is_said_once() {
    let blocked = || {
        let mut view = view(&marked(OLD, true, "0123456789.back"));
        view.replicas.available = 0;
        view.blocked_by_broken_pods = true;
        view.revision = Some("old".to_owned());
        view.observed_generation = view.generation;
        view
    };
    let pod = PodView {
        name: "web-0".into(),
        uid: "p".into(),
        version: "1".into(),
        revision: Some("bad".into()),
        images: Vec::new(),
        terminating: false,
        ready: false,
        fatal: None,
        hint: None,
        digests: Vec::new(),
    };
    let refused = |workload: WorkloadView, pods: Option<Vec<PodView>>| {
        let mut world = world(going_back(), live(workload));
        world.pods = pods;
        world.answer = Some(Answer::Refused("no, at 08:00:01".into()));
        let RecordStep::WriteStatus(status) = decide(&world) else { panic!("{:?}", decide(&world)) };
        world.record.status = Some(*status);
        world.answer = Some(Answer::Refused("no, at 08:00:02".into()));
        assert!(matches!(decide(&world), RecordStep::Wait { recheck: true, .. }), "{:?}", decide(&world));
    };
    refused(blocked(), Some(vec![pod]));
    refused(view(&marked(BAD, false, "0123456789")), None);
}

/// Unknown is not unwritten.
#[test]
fn a_workload_that_is_gone_tells_nothing() {
    let mut another = workload(OLD);
    another["metadata"]["uid"] = json!("another-uid");
    for workload in [WorkloadSeen::Missing, live(view(&another))] {
        let mut world = world(unwritten(), workload);
        let (result, said) = end(&world);
        assert_eq!(result, reason::ABORTED);
        assert!(!said.contains("before anything was written"), "{said}");
        world.unwritten = true;
        assert_eq!(end(&world).0, reason::SUPERSEDED, "each write was refused");
    }
}

/// Undone after it was written, whatever is known of refusals: the label has stayed.
#[test]
fn an_undone_write_is_not_unwritten() {
    let mut undone = workload(OLD);
    undone["metadata"]["generation"] = json!(3);
    undone["metadata"]["labels"] = json!({ROLLING_LABEL: "0123456789"});
    let mut world = world(unwritten(), live(view(&undone)));
    for unwritten in [true, false] {
        world.unwritten = unwritten;
        world.answer = unwritten.then(|| Answer::Refused("a test failed".into()));
        assert_eq!(end(&world).0, reason::CONTESTED);
    }
}

/// An operator that was away when it should have gone back goes back all the same.
#[test]
fn a_late_way_back_is_gone() {
    let mut late = world(going_back(), live(view(&marked(BAD, false, "0123456789"))));
    late.now = at(0) + SignedDuration::from_hours(1);
    assert!(matches!(decide(&late), RecordStep::Patch { purpose: Purpose::Rollback, .. }));
}
