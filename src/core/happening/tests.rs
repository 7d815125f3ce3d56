//! What is told of what happened, word by word: programs and people rest on it.

use jiff::SignedDuration;
use kube::core::ObjectMeta;
use serde_json::{Value, json};

use super::wording::{line, notice};
use super::{Happening, News, object, record, ticket};
use crate::record::Purpose;
use crate::workload::argo_rollout::ABORTED_BY_PERSON;
use crate::workload::owner::ImageOwner;
use crate::workload::view::WorkloadView;
use trackdown_api::record::{Record, RootCause};
use trackdown_api::ticket::{Ticket, TicketStatus};
use trackdown_api::workload_ref::WorkloadKind;

/// Everything that is told, in order: a line of the audit log as `decision of ticket/target/record: detail`, an Event as
/// `kind/name reason: note`, with a `!` if it is a warning.
fn told(news: &[News]) -> Vec<String> {
    let of = |news: &News| {
        let about = &news.about;
        let record = about.record.clone().unwrap_or_default();
        let audited = line(news).map(|l| format!("{} of {}/{}/{record}: {}", l.decision, about.ticket, about.target, l.detail));
        let shown = notice(news).map(|n| {
            let (kind, name) = (n.regarding.kind.unwrap_or_default(), n.regarding.name.unwrap_or_default());
            assert_eq!(n.record, about.record);
            format!("{kind}/{name} {}{}: {}", n.reason, if n.warning { "!" } else { "" }, n.note)
        });
        audited.into_iter().chain(shown)
    };
    news.iter().flat_map(of).collect()
}

fn status(status: &Value) -> TicketStatus {
    serde_json::from_value(status.clone()).unwrap()
}

/// What is told when a ticket's status was `before` and is `after`.
fn ticket_told(before: &Value, after: &Value) -> Vec<String> {
    let after: Ticket = serde_json::from_value(json!({
        "apiVersion": "trackdown.dev/v1alpha1", "kind": "Ticket", "metadata": {"name": "iss-1", "namespace": "shop", "uid": "t"},
        "spec": {"title": "x"}, "status": after,
    }))
    .unwrap();
    let news = ticket::between(Some(&status(before)), &after);
    assert!(news.iter().all(|n| n.about.namespace == "shop" && n.about.ticket_uid == "t" && n.about.ticket_id == "ISS-1"));
    told(&news)
}

fn condition(type_: &str, status: &str, reason: &str) -> Value {
    let message = format!("why {reason}");
    json!({"type": type_, "status": status, "reason": reason, "message": message, "lastTransitionTime": "2026-01-01T00:00:00Z"})
}

const NOTHING: [&str; 0] = [];

#[test]
fn a_ticket_moves() {
    let by = json!({"to": "active", "time": "2026-01-01T00:00:00Z", "by": "alice", "via": "kubectl"});
    let active = json!({"state": "active", "history": [by]});
    assert_eq!(ticket_told(&json!({}), &active), ["TransitionTaken of iss-1//:  -> active by alice via kubectl"]);
    let by_nobody = ["TransitionTaken of iss-1//: planning -> done"];
    assert_eq!(ticket_told(&json!({"state": "planning"}), &json!({"state": "done"})), by_nobody);
    assert_eq!(ticket_told(&active, &active), NOTHING);
    let done = |by: &str| json!({"state": "done", "deployedBy": by});
    let deployed = ["TransitionTaken of iss-1//: active -> done", "Ticket/iss-1 Deployed: every target is deployed"];
    assert_eq!(ticket_told(&json!({"state": "active"}), &done("trackdown")), deployed);
    assert_eq!(ticket_told(&json!({"state": "active"}), &done("alice")), deployed[..1]);
}

#[test]
fn an_attempt_begins() {
    let with = |target: Value| json!({"state": "ready_for_deployment", "targets": [target]});
    let before = with(json!({"name": "web", "attempt": 1}));
    let rollout = json!({"name": "web", "attempt": 2, "record": "r-2"});
    assert_eq!(
        ticket_told(&before, &with(rollout.clone())),
        ["AttemptIntended of iss-1/web/r-2: ", "Ticket/iss-1 RolloutStarted: web: attempt 2 (tdep/r-2)"]
    );
    let mut rollback = rollout;
    rollback["rollback"] = json!({"cause": "Requested", "requestedBy": {}});
    assert_eq!(
        ticket_told(&before, &with(rollback)),
        ["AttemptIntended of iss-1/web/r-2: ", "Ticket/iss-1 RollbackStarted: web: attempt 2 (tdep/r-2)"]
    );
}

#[test]
fn a_result_is_taken_in() {
    let with = |result: &str, failed: Option<u8>| {
        let failed = failed.map(|second| format!("2026-01-01T00:00:0{second}.000000Z"));
        let target = json!({
            "name": "web", "attempt": 1, "record": "r", "result": result, "message": "it broke", "failureTime": failed,
        });
        json!({"state": "ready_for_deployment", "targets": [target]})
    };
    let running = json!({"state": "ready_for_deployment", "targets": [{"name": "web", "attempt": 1, "record": "r"}]});
    assert_eq!(ticket_told(&running, &with("RolloutComplete", None)), ["ResultTaken of iss-1/web/r: RolloutComplete"]);
    let failed = ["ResultTaken of iss-1/web/r: RolledBack", "Ticket/iss-1 RolledBack!: web: it broke"];
    assert_eq!(ticket_told(&running, &with("RolledBack", Some(1))), failed);
    assert_eq!(ticket_told(&with("RolledBack", Some(1)), &with("RolledBack", Some(2))), failed[1..]);
    assert_eq!(ticket_told(&with("Aborted", Some(1)), &with("RolledBack", Some(1))), failed[..1], "told before");
    assert_eq!(ticket_told(&with("RolledBack", Some(1)), &with("RolledBack", Some(1))), NOTHING);
}

#[test]
fn a_ticket_asks_for_what_cannot_be_done() {
    let before = json!({"state": "done", "warnings": ["old"]});
    let note = "Ticket/iss-1 NothingToTakeBack!: spec.rollback asks for nothing new that could be done: \
                no such target, nothing deployed, or taken back already";
    let asked = json!({"state": "done", "warnings": ["old"], "lastHandledRollback": "1"});
    assert_eq!(ticket_told(&before, &asked), [note]);
    let mut taken_in = asked;
    taken_in["targets"] = json!([{"name": "web", "stop": "Rollback"}]);
    assert_eq!(ticket_told(&before, &taken_in), NOTHING);
    let warned = json!({"state": "done", "warnings": ["old", "no target wbe"]});
    assert_eq!(ticket_told(&before, &warned), ["Ticket/iss-1 UnknownTarget!: no target wbe"]);
}

#[test]
fn something_is_in_the_way() {
    let with = |conditions: &[Value]| json!({"state": "ready_for_deployment", "conditions": conditions});
    let blocked = |reason: &str| with(&[condition("Deployable", "False", reason)]);
    let free = with(&[condition("Deployable", "True", "Deployable")]);
    assert_eq!(ticket_told(&free, &blocked("Expired")), ["Ticket/iss-1 Expired: why Expired"]);
    assert_eq!(ticket_told(&blocked("NotEligible"), &blocked("Expired")), ["Ticket/iss-1 Expired: why Expired"]);
    assert_eq!(ticket_told(&blocked("Expired"), &blocked("Expired")), NOTHING);
    assert_eq!(ticket_told(&blocked("Expired"), &free), NOTHING);
    let stalled = with(&[condition("Deployable", "False", "Blocked"), condition("Stalled", "True", "Blocked")]);
    assert_eq!(ticket_told(&free, &stalled), ["Ticket/iss-1 Blocked!: why Blocked"]);
}

fn a_record(status: &Value) -> Record {
    serde_json::from_value(json!({
        "apiVersion": "trackdown.dev/v1alpha1", "kind": "Deployment", "metadata": {"name": "r", "namespace": "shop"},
        "spec": {
            "ticket": {"name": "iss-1", "uid": "t", "id": "ISS-1"}, "target": "web", "attempt": 1, "requestHash": "h",
            "workload": {"kind": "StatefulSet", "namespace": "shop", "name": "db"},
            "images": [{"container": "web", "image": "web:2"}, {"container": "init", "image": "init:2"}],
            "base": {"uid": "u", "generation": 1}, "timeoutSeconds": 300,
        },
        "status": status,
    }))
    .unwrap()
}

fn a_workload(owner: ImageOwner) -> WorkloadView {
    let meta = ObjectMeta { name: Some("db".into()), uid: Some("u".into()), ..ObjectMeta::default() };
    WorkloadView { owner, ..WorkloadView::of(WorkloadKind::StatefulSet, &meta, None, None) }
}

#[test]
fn a_record_is_made() {
    let news = record::created(&a_record(&json!({})));
    assert_eq!(told(std::slice::from_ref(&news)), ["RecordCreated of iss-1/web/r: web=web:2 init=init:2"]);
    assert_eq!(news.about.workload, None);
}

#[test]
fn a_workload_is_written() {
    let record = a_record(&json!({"previousImages": [{"container": "web", "image": "web:1"}]}));
    let written = |record: &Record, purpose, owner| {
        let news = record::patched(record, purpose, &a_workload(owner));
        assert_eq!(news.about.workload.as_ref().map(ToString::to_string).as_deref(), Some("StatefulSet shop/db"));
        assert_eq!(notice(&news).map_or(Some("u".to_owned()), |n| n.regarding.uid).as_deref(), Some("u"));
        told(&[news])
    };
    let images = "web=web:2 init=init:2";
    let set = |more: &str| {
        let event = format!("StatefulSet/db ImageSet: ticket ISS-1 set {images}{more} (tdep/r)");
        [format!("WorkloadForward of iss-1/web/r: {images}"), event]
    };
    assert_eq!(written(&record, Purpose::Forward, ImageOwner::Nobody), set(""));
    assert_eq!(
        written(&record, Purpose::Forward, ImageOwner::Kubectl),
        set("; applying the workload's old manifest again brings the old image back")
    );
    assert_eq!(
        written(&record, Purpose::Forward, ImageOwner::Helm("shop".into())),
        set("; a helm upgrade with the old values brings the old image back")
    );
    let mut back = record.clone();
    back.spec.action = trackdown_api::record::Action::Rollback;
    let event = format!("StatefulSet/db ImageRolledBack!: deployment of ticket ISS-1 taken back: {images} put back (tdep/r)");
    assert_eq!(written(&back, Purpose::Forward, ImageOwner::Kubectl), [format!("WorkloadForward of iss-1/web/r: {images}"), event]);
    for (purpose, decision) in
        [(Purpose::Fence, "WorkloadFence"), (Purpose::Relabel, "WorkloadRelabel"), (Purpose::Release, "WorkloadRelease")]
    {
        assert_eq!(written(&record, purpose, ImageOwner::Nobody), [format!("{decision} of iss-1/web/r: {images}")]);
    }
    let (ended, aborted) = ("was ended by the ticket", "was aborted by a person");
    for (cause, how) in [("ImagePullBackOff", "failed"), ("StoppedByTicket", ended), (ABORTED_BY_PERSON, aborted)] {
        let mut failed = record.clone();
        failed.status.as_mut().unwrap().root_cause = Some(RootCause::of(cause, "x"));
        let note = format!("rollout of ticket ISS-1, attempt 1, {how}: web=web:1 put back (tdep/r)");
        let event = format!("StatefulSet/db ImageRolledBack!: {note}");
        let audited = "WorkloadRollback of iss-1/web/r: web=web:1".to_owned();
        assert_eq!(written(&failed, Purpose::Rollback, ImageOwner::Nobody), [audited, event]);
    }
}

#[test]
fn an_attempt_ends() {
    let times = json!({"patchedTime": "2026-01-01T00:00:00.000000Z", "completionTime": "2026-01-01T00:00:02.500000Z"});
    let ended = |conditions: &[Value]| {
        let mut status = times.clone();
        status["conditions"] = json!(conditions);
        a_record(&status)
    };
    let (running, workload) = (a_record(&json!({})), a_workload(ImageOwner::Nobody));
    let failed = ended(&[condition("Succeeded", "False", "RolledBack")]);
    let news = record::between(&running, &failed, Some(&workload));
    assert_eq!(told(&news), ["AttemptEnded of iss-1/web/r: RolledBack: why RolledBack"]);
    let took = news.iter().find_map(|n| match &n.what {
        Happening::AttemptEnded { took, .. } => *took,
        _ => None,
    });
    assert_eq!(took, Some(SignedDuration::from_millis(2500)));
    assert_eq!(told(&record::between(&failed, &failed, Some(&workload))), NOTHING, "once");
    assert_eq!(told(&record::between(&running, &running, Some(&workload))), NOTHING);
    let moved = ended(&[condition("Succeeded", "True", "RolloutComplete"), condition("TagMoved", "True", "TagMoved")]);
    let tag = "StatefulSet/db TagMoved!: why TagMoved (tdep/r)";
    let both = ["AttemptEnded of iss-1/web/r: RolloutComplete: why RolloutComplete", tag];
    assert_eq!(told(&record::between(&running, &moved, Some(&workload))), both);
    assert_eq!(told(&record::between(&running, &moved, None)), both[..1], "there is nothing to tell it on");
}

#[test]
fn something_is_deleted() {
    let record = a_record(&json!({}));
    let news = [record::older_deleted(&record, "r-0"), record::pod_deleted(&record, "db-0")];
    assert_eq!(told(&news), ["RecordDeleted of iss-1/web/r: r-0", "PodDeleted of iss-1/web/r: db-0"]);
}

#[test]
fn an_object_makes_trouble() {
    let record = a_record(&json!({}));
    let news = [object::unreadable::<Record>(&record.metadata, "unknown variant"), object::failing(&record, "no answer")];
    assert_eq!(
        told(&news),
        [
            "Deployment/r Unreadable!: this version of Trackdown cannot read it, and leaves it alone: unknown variant; \
             correct it, or update the operator",
            "Deployment/r ReconcileFailing!: Trackdown cannot go on with it, and tries again now and then: no answer",
        ]
    );
}
