use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use serde_json::{Value, json};

use crate::world::{BAD, OLD, at, next, view, workload};
use trackdown_api::outcome::Outcome;
use trackdown_api::record::{Record, RootCause};
use trackdown_api::workload_ref::ContainerImage;
use trackdown_api::{MARKER_ANNOTATION, ROLLING_LABEL};
use trackdown_core::condition_reason;
use trackdown_core::machine::Machine;

use trackdown_core::record::{
    Answer, Authority, Looked, Patched, Purpose, RecordRead, RecordReply, RecordRest, RecordStep, RecordWorld, RecordWrite,
    WorkloadRead, WorkloadSeen, outcome_of,
};
use trackdown_core::workload::pods::PodView;
use trackdown_core::workload::view::{TemplateSeen, WorkloadView};

const RECORD: &str = "iss-1-web-0123456789";

/// A record that has failed and is taking itself back.
pub fn going_back() -> Record {
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

fn unwritten() -> Record {
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

fn world(record: Record, workload: WorkloadSeen) -> RecordWorld {
    let now = at(0) + SignedDuration::from_secs(10);
    RecordWorld { authority: Authority::Granted, workload, ..RecordWorld::of(record, None, now) }
}

fn live(view: WorkloadView) -> WorkloadSeen {
    WorkloadSeen::Live(Box::new(view))
}

/// How the record ends now.
fn end(world: &RecordWorld) -> (Outcome, String) {
    let RecordStep::Write(RecordWrite::Status(status)) = next(world) else { panic!("{:?}", next(world)) };
    assert!(status.completion_time.is_some());
    let ended = Record { status: Some(*status), ..world.record.clone() };
    let (reason, message) = condition_reason(&ended).unwrap();
    let result = outcome_of(&ended).unwrap();
    assert_eq!(result.as_str(), reason, "the condition says the same");
    (result, message.to_owned())
}

#[test]
fn what_is_set_after_the_way_back_is_left_alone() {
    let goes_back = world(going_back(), live(view(&marked(BAD, false, "0123456789"))));
    assert!(matches!(next(&goes_back), RecordStep::Write(RecordWrite::Patch { purpose: Purpose::Rollback, .. })));
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
        assert_eq!(end(&world(going_back(), live(view(&workload)))).0, Outcome::Contested, "{what}");
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
        created: None,
        ready: false,
        fatal: None,
        hint: None,
        digests: Vec::new(),
    };
    let refused = |workload: WorkloadView, pods: Option<Vec<PodView>>| {
        let mut world = world(going_back(), live(workload));
        world.pods = pods;
        world.answer = Some(Answer::Refused("no, at 08:00:01".into()));
        let RecordStep::Write(RecordWrite::Status(status)) = next(&world) else { panic!("{:?}", next(&world)) };
        world.record.status = Some(*status);
        world.answer = Some(Answer::Refused("no, at 08:00:02".into()));
        assert!(matches!(next(&world), RecordStep::Rest(RecordRest { recheck: true, .. })), "{:?}", next(&world));
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
        assert_eq!(result, Outcome::Aborted);
        assert!(!said.contains("before anything was written"), "{said}");
        world.unwritten = true;
        assert_eq!(end(&world).0, Outcome::Superseded, "each write was refused");
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
        assert_eq!(end(&world).0, Outcome::Contested);
    }
}

/// An operator that was away when it should have gone back goes back all the same.
#[test]
fn a_late_way_back_is_gone() {
    let mut late = world(going_back(), live(view(&marked(BAD, false, "0123456789"))));
    late.now = at(0) + SignedDuration::from_hours(1);
    assert!(matches!(next(&late), RecordStep::Write(RecordWrite::Patch { purpose: Purpose::Rollback, .. })));
}

/// A record that follows its pods, which say nothing, at `seconds` after the write.
fn following(timeout_seconds: i32, seconds: i64) -> RecordWorld {
    let mut record = going_back();
    record.spec.timeout_seconds = timeout_seconds;
    let status = record.status.as_mut().unwrap();
    status.patched_time = Some(MicroTime(at(0)));
    status.rollback_time = None;
    status.root_cause = None;
    let mut view = view(&marked(BAD, false, "0123456789"));
    view.replicas.available = 0;
    RecordWorld { now: at(seconds), pods: Some(Vec::new()), ..world(record, live(view)) }
}

/// Whatever the time-out, nothing else that has its time hides it.
#[test]
fn the_deadline_is_always_waited_for() {
    for timeout in [1, 2, 8, 11, 12, 13, 30, 31, 120] {
        let mut now = 0;
        while now < i64::from(timeout) {
            let RecordStep::Rest(RecordRest { until: Some(until), .. }) = next(&following(timeout, now)) else {
                panic!("{timeout} s, after {now} s")
            };
            assert!(until > at(now) && until <= at(timeout.into()), "{timeout} s, after {now} s: {until}");
            now = until.duration_since(at(0)).as_secs();
        }
        let RecordStep::Write(RecordWrite::Status(status)) = next(&following(timeout, now)) else {
            panic!("{timeout} s: not failed")
        };
        assert_eq!(status.root_cause.unwrap().reason, "Timeout");
    }
}

/// Of what a controller says itself pauses are told, each with what ends it, and that they are over; not that it goes on.
#[test]
fn pauses_are_told_and_taken_back() {
    let steps = [
        ("Progressing", "more replicas", false, true),
        ("Progressing", "still becoming available", false, false),
        ("Paused", "CanaryPauseStep", false, false),
        ("Paused", "CanaryPauseStep (promote it)", true, true),
        ("Paused", "CanaryPauseStep (promote it)", true, false),
        ("Progressing", "more replicas", false, true),
        ("Progressing", "old replicas are pending termination", false, false),
    ];
    let mut told = None;
    for (number, (phase, message, awaits_person, news)) in steps.into_iter().enumerate() {
        let mut world = following(300, 60);
        world.record.status.as_mut().unwrap().waiting_for.clone_from(&told);
        let WorkloadSeen::Live(view) = &mut world.workload else { panic!() };
        view.awaits_person = awaits_person;
        view.progress = Some(RootCause { pod: None, container: None, reason: phase.into(), message: message.into() });
        match next(&world) {
            RecordStep::Write(RecordWrite::Status(status)) if news => {
                let expected = format!("{phase}: {message}");
                assert!(status.conditions.iter().any(|c| c.message.ends_with(&expected)), "{number}: {:?}", status.conditions);
                told = status.waiting_for;
            }
            RecordStep::Rest(_) if !news => {}
            step => panic!("{number}: {step:?}"),
        }
    }
}

/// What may not be read is no proof, and no reason to wait for ever.
#[test]
fn an_unconfirmed_status_is_not_believed() {
    let complete = |seconds: i64, newest: Looked<TemplateSeen>| {
        let mut world = following(30, seconds);
        let WorkloadSeen::Live(view) = &mut world.workload else { panic!() };
        view.replicas.available = 2;
        view.observed_generation = view.generation;
        view.newest = Some("web-new".into());
        RecordWorld { newest, ..world }
    };
    assert_eq!(next(&complete(1, Looked::NotYet)), RecordStep::Read(RecordRead::ReplicaSet("web-new".into())));
    let seen = |image: &str, available: i32| {
        Looked::Found(TemplateSeen { images: vec![ContainerImage { container: "web".into(), image: image.into() }], available })
    };
    for doubtful in [seen(OLD, 2), seen(BAD, 1), Looked::Nothing, Looked::Refused("forbidden".into())] {
        assert!(matches!(next(&complete(1, doubtful.clone())), RecordStep::Rest(RecordRest { recheck: true, .. })), "{doubtful:?}");
        let RecordStep::Write(RecordWrite::Status(status)) = next(&complete(30, doubtful.clone())) else {
            panic!("{doubtful:?}: not failed")
        };
        assert_eq!(status.root_cause.unwrap().reason, "Timeout");
    }
    assert_eq!(next(&complete(1, seen(BAD, 2))), RecordStep::Read(RecordRead::Contents), "it is what was written, and runs");
}

/// A record that follows what it has written.
fn followed(generation: i64) -> Record {
    let mut record = unwritten();
    record.status = serde_json::from_value(json!({
        "previousImages": [{"container": "web", "image": OLD}], "admittedImages": [{"container": "web", "image": BAD}],
        "patchedTime": "2027-01-15T08:00:00.000000Z", "workloadGeneration": generation,
    }))
    .unwrap();
    record
}

/// An API server that is behind shows a workload from before the write: that is nobody's change.
#[test]
fn what_is_older_than_what_is_known_proves_nothing() {
    let before = world(followed(3), live(view(&workload(OLD))));
    assert!(matches!(next(&before), RecordStep::Rest(RecordRest { recheck: true, .. })), "{:?}", next(&before));
    let mut watched = before.clone();
    watched.workload = WorkloadSeen::Watched(Box::new(view(&workload(OLD))));
    assert_eq!(next(&watched), RecordStep::Read(RecordRead::Workload), "a live read may know more than the watch");

    let mut made_later = unwritten();
    made_later.spec.base.generation = 2;
    let before = world(made_later, live(view(&workload(OLD))));
    assert!(matches!(next(&before), RecordStep::Rest(RecordRest { recheck: true, .. })), "{:?}", next(&before));
}

/// A refusal that passes leaves the way open for a former leader's late write: the record ends when the fence stands, or was refused long
/// enough.
#[test]
fn a_fence_is_tried_again() {
    let mut withdrawn = world(unwritten(), live(view(&workload(OLD))));
    withdrawn.authority = Authority::Withdrawn;
    assert!(matches!(next(&withdrawn), RecordStep::Write(RecordWrite::Patch { purpose: Purpose::Fence, .. })));
    withdrawn.answer = Some(Answer::Refused("no".into()));
    let RecordStep::Write(RecordWrite::Status(status)) = next(&withdrawn) else { panic!("{:?}", next(&withdrawn)) };
    assert_eq!(status.completion_time, None);
    withdrawn.record.status = Some(*status);
    assert!(matches!(next(&withdrawn), RecordStep::Rest(RecordRest { recheck: true, .. })), "{:?}", next(&withdrawn));
    let again = RecordWorld { answer: None, ..withdrawn.clone() };
    assert!(matches!(next(&again), RecordStep::Write(RecordWrite::Patch { purpose: Purpose::Fence, .. })), "{:?}", next(&again));
    withdrawn.now += SignedDuration::from_secs(30);
    assert_eq!(end(&withdrawn).0, Outcome::Superseded);
}

/// The older attempt is looked at late: the newer one has ended, and has let the workload go.
#[test]
fn an_attempt_that_was_overtaken_long_ago_is_not_contested() {
    let mut record = going_back();
    record.status.as_mut().unwrap().rollback_time = None;
    let mut workload = marked("ghcr.io/acme/web:3", false, "");
    let newer = json!({
        "workloadUid": "workload-uid", "ticketUid": "ticket-uid", "namespace": "shop", "record": "iss-1-web-9876543210",
        "set": [{"container": "web", "image": "ghcr.io/acme/web:3"}], "undo": [{"container": "web", "image": OLD}], "succeeded": true,
    });
    workload["metadata"]["annotations"][MARKER_ANNOTATION] = json!(newer.to_string());
    workload["metadata"]["labels"] = json!({});
    let mut world = world(record, live(view(&workload)));
    assert_eq!(end(&world).0, Outcome::Contested, "the ticket goes by it still: a person brought an older marker back");
    world.authority = Authority::Unconfirmed;
    assert_eq!(next(&world), RecordStep::Read(RecordRead::Ticket));
    world.authority = Authority::Withdrawn;
    assert_eq!(end(&world).0, Outcome::Contested, "there is no newer attempt");
    world.authority = Authority::Overtaken;
    assert_eq!(end(&world).0, Outcome::Superseded);
    world.record.spec.base.marker = Some(newer.to_string());
    assert_eq!(end(&world).0, Outcome::Contested, "it was there before");
}

/// A controller that could not delete or make a pod while the API server started tries again.
#[test]
fn pods_that_cannot_be_made_count_when_it_stays_so() {
    let mut record = going_back();
    record.status.as_mut().unwrap().rollback_time = None;
    let mut workload = marked(BAD, false, "0123456789");
    workload["status"] = json!({
        "observedGeneration": 3, "replicas": 3, "updatedReplicas": 1, "availableReplicas": 2,
        "conditions": [{
            "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota",
            "lastUpdateTime": "2027-01-15T08:00:05Z", "lastTransitionTime": "2027-01-15T08:00:05Z",
        }],
    });
    let mut world = world(record, live(view(&workload)));
    world.pods = Some(Vec::new());
    world.now = "2027-01-15T08:00:16Z".parse().unwrap();
    let RecordStep::Rest(RecordRest { until, .. }) = next(&world) else { panic!("{:?}", next(&world)) };
    assert_eq!(until, Some("2027-01-15T08:00:17Z".parse().unwrap()));
    world.now = until.unwrap();
    let RecordStep::Write(RecordWrite::Status(status)) = next(&world) else { panic!("{:?}", next(&world)) };
    assert_eq!(status.root_cause.unwrap().reason, "FailedCreate");
    // At the deadline it is what is known, however short it stands.
    world.record.spec.timeout_seconds = 10;
    world.now = "2027-01-15T08:00:11Z".parse().unwrap();
    let RecordStep::Write(RecordWrite::Status(status)) = next(&world) else { panic!("{:?}", next(&world)) };
    let cause = status.root_cause.unwrap();
    assert!(cause.reason == "Timeout" && cause.message.contains("FailedCreate: exceeded quota"), "{cause:?}");
    // One of the old pods from before the change says nothing about the new ones.
    world.record.spec.timeout_seconds = 300;
    workload["status"]["conditions"][0]["lastUpdateTime"] = json!("2027-01-15T07:59:00Z");
    world.workload = live(view(&workload));
    world.now = "2027-01-15T08:01:00Z".parse().unwrap();
    assert!(matches!(next(&world), RecordStep::Rest(_)), "{:?}", next(&world));
}

/// A record made by hand where nothing refuses it.
#[test]
fn a_record_about_what_can_be_no_workload_ends_and_says_so() {
    for odd in ["ẞßİıſﬁ", "web?x", "a/b", ""] {
        let mut record = unwritten();
        record.spec.workload.name = odd.into();
        let (reason, message) = end(&world(record, WorkloadSeen::Unread));
        assert_eq!(reason, Outcome::Rejected);
        assert!(message.contains("is no name of an object"), "{message}");
    }
}

/// An API server that is just starting refuses the release, and then the look at the workload: nobody else would let it go.
#[test]
fn a_release_that_was_refused_is_tried_again() {
    let mut record = going_back();
    record.status.as_mut().unwrap().completion_time = Some(MicroTime(at(0)));
    let mut world = world(record, live(view(&marked(OLD, true, "0123456789.back"))));
    assert!(matches!(next(&world), RecordStep::Write(RecordWrite::Patch { purpose: Purpose::Release, .. })));
    world.learn(RecordReply::Patched {
        purpose: Purpose::Release,
        outcome: Patched::Refused("no".into(), WorkloadRead::Refused("no".into())),
        unwritten: false,
    });
    assert!(matches!(next(&world), RecordStep::Rest(RecordRest { recheck: true, .. })), "{:?}", next(&world));
}
