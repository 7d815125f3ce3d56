use serde_json::{Value, json};

use crate::world::{BAD, NEW, OLD, ticket, view, workload};
use trackdown_api::MARKER_ANNOTATION;
use trackdown_api::marker::Marker;
use trackdown_api::workload_ref::ContainerImage;
use trackdown_core::preflight::{Asker, Holder, check, previous_images};
use trackdown_core::request::resolve;
use trackdown_core::workload::view::Unpromoted;

fn reason(workload: &Value, target: &Value, holder: &Holder) -> Option<&'static str> {
    let ticket = ticket(&json!({"targets": [target]}));
    let targets = resolve(&ticket);
    check(Asker { ticket_uid: "ticket-uid", targets: &targets, record: None }, &targets[0], &view(workload), holder)
        .err()
        .map(|o| o.reason)
}

fn images(image: &str) -> Vec<ContainerImage> {
    vec![ContainerImage { container: "web".into(), image: image.into() }]
}

fn marked(mut workload: Value, set: &str, undo: &str, succeeded: bool) -> Value {
    let marker = Marker {
        workload_uid: "workload-uid".into(),
        ticket_uid: "other".into(),
        namespace: "shop".into(),
        record: "r1".into(),
        set: images(set),
        undo: images(undo),
        restored: false,
        succeeded,
        fenced: None,
    };
    workload["metadata"]["annotations"][MARKER_ANNOTATION] = json!(serde_json::to_string(&marker).unwrap());
    workload
}

#[test]
fn each_state_of_the_workload_is_judged() {
    let target = json!({"name": "web", "image": NEW});
    let healthy = workload(OLD);
    assert_eq!(reason(&healthy, &target, &Holder::Nobody), None);
    assert_eq!(reason(&healthy, &target, &Holder::Gone), None);
    assert_eq!(reason(&healthy, &target, &Holder::Unknown("forbidden".into())), Some("WorkloadHeld"));
    let with = |path: &str, value: Value| {
        let mut changed = healthy.clone();
        *changed.pointer_mut(path).unwrap() = value;
        changed
    };
    let mut paused = healthy.clone();
    paused["spec"]["paused"] = json!(true);
    assert_eq!(reason(&paused, &target, &Holder::Nobody), Some("WorkloadPaused"));
    let argo = with("/metadata/annotations", json!({"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:shop/web"}));
    assert_eq!(reason(&argo, &target, &Holder::Nobody), Some("GitOpsOwned"));
    let consent = with(
        "/metadata/annotations",
        json!({"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:shop/web", "trackdown.dev/write": "allow"}),
    );
    assert_eq!(reason(&consent, &target, &Holder::Nobody), None);
    let two = with("/spec/template/spec/containers", json!([{"name": "a", "image": OLD}, {"name": "b", "image": OLD}]));
    assert_eq!(reason(&two, &target, &Holder::Nobody), Some("AmbiguousContainer"));
    let guarded = json!({"name": "web", "image": NEW, "replaces": "ghcr.io/acme/web:0"});
    assert_eq!(reason(&healthy, &guarded, &Holder::Nobody), Some("ReplacesMismatch"));
    let current = json!({"name": "web", "image": OLD});
    assert_eq!(reason(&healthy, &current, &Holder::Nobody), None);
    assert_eq!(reason(&with("/status/availableReplicas", json!(1)), &current, &Holder::Nobody), Some("NotHealthy"));
}

/// A ticket that was deleted is nobody to wait for.
#[test]
fn a_deleted_ticket_is_not_named_as_the_one_that_rolls_out() {
    let record = super::record::going_back();
    let ticket = ticket(&json!({}));
    let targets = resolve(&ticket);
    let asker = Asker { ticket_uid: "another", targets: &targets, record: None };
    let says = |holder: &Holder| check(asker, &targets[0], &view(&workload(OLD)), holder).unwrap_err();
    let held = says(&Holder::Record(Box::new(record.clone())));
    assert!(held.message.contains("ticket iss-1 comes first"), "{}", held.message);
    let orphaned = says(&Holder::Orphan(Box::new(record)));
    assert!(orphaned.message.contains("its ticket iss-1 is gone"), "{}", orphaned.message);
    assert!(orphaned.on.unwrap().starts_with("tdep/"));
}

#[test]
fn previous_is_what_runs_unless_nobody_knows_it_to_be_good() {
    let previous = |workload: &Value, holder: &Holder| previous_images(&view(workload), &images(NEW), holder)[0].image.clone();
    assert_eq!(previous(&workload(OLD), &Holder::Nobody), OLD);
    // Set by an attempt that failed, is gone, or cannot be read: what that one would have gone back to.
    for holder in [Holder::Gone, Holder::Unknown(String::new())] {
        assert_eq!(previous(&marked(workload(BAD), BAD, OLD, false), &holder), OLD);
    }
    assert_eq!(previous(&marked(workload(NEW), NEW, OLD, true), &Holder::Gone), NEW, "known to be good");
    assert_eq!(previous(&marked(workload("theirs"), BAD, OLD, false), &Holder::Gone), "theirs", "somebody set another since");
    // A canary of the old image stands half-way, so that the one that failed is still what is promoted.
    let mut half_way = view(&marked(workload(OLD), BAD, OLD, false));
    half_way.unpromoted = Some(Unpromoted { replica_set: "web-x".into(), images: images(BAD), unread: None });
    assert_eq!(previous_images(&half_way, &images(NEW), &Holder::Gone), images(OLD));
    half_way.marker = None;
    assert_eq!(previous_images(&half_way, &images(NEW), &Holder::Nobody), images(BAD), "it is good as far as anybody knows");
    let mut copied = marked(workload(BAD), BAD, OLD, false);
    copied["metadata"]["uid"] = json!("a copy");
    assert_eq!(previous(&copied, &Holder::Gone), BAD, "a marker that was copied says nothing");
}
