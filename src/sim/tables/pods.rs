use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, Pod};
use serde_json::{Value, json};

use crate::world::{NEW, OLD, at};
use trackdown_api::record::RootCause;
use trackdown_api::workload_ref::ContainerImage;
use trackdown_core::workload::pods::{NewPods, PodView, newest_warning};

fn pod(name: &str, image: &str, created: Timestamp, state: &Value) -> PodView {
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": name, "creationTimestamp": created.to_string()},
        "spec": {"containers": [{"name": "web", "image": image, "readinessProbe": {"tcpSocket": {"port": 80}}}]},
        "status": {
            "conditions": [{"type": "Ready", "status": "False"}],
            "containerStatuses": [{"name": "web", "image": image, "imageID": "", "ready": false, "restartCount": 0, "state": state}],
        },
    }))
    .unwrap();
    PodView::from(&pod)
}

fn wanted() -> Vec<ContainerImage> {
    vec![ContainerImage { container: "web".into(), image: NEW.into() }]
}

fn of<'a>(pods: &'a [PodView], images: &'a [ContainerImage], since: i64) -> NewPods<'a> {
    NewPods { pods, images, previous: &[], since: at(since) }
}

fn root_cause(pods: &[PodView], since: i64) -> Option<RootCause> {
    of(pods, &wanted(), since).root_cause()
}

#[test]
fn a_pod_that_is_only_not_ready_is_named() {
    let running = json!({"running": {}});
    let creating = json!({"waiting": {"reason": "ContainerCreating"}});
    for (state, reason) in [(&running, "ContainersNotReady"), (&creating, "ContainerCreating")] {
        let pods = [pod("web-1", NEW, at(1), state)];
        assert_eq!(root_cause(&pods, 0), None, "it may still become ready");
        let hint = of(&pods, &wanted(), 0).hint(at(1)).unwrap();
        assert_eq!(of(&pods, &wanted(), 0).hint(at(0)), None, "it is too young");
        assert_eq!((hint.reason.as_str(), hint.pod.as_deref(), hint.container.as_deref()), (reason, Some("web-1"), Some("web")));
    }
}

/// Admission that rewrites registries in pods hides no failure.
#[test]
fn pods_with_rewritten_images_are_told_by_their_age() {
    let broken = json!({"waiting": {"reason": "ImagePullBackOff", "message": "not found"}});
    let mirrored = pod("web-2", "mirror.example/acme/web:2", at(11), &broken);
    let before = pod("web-1", "mirror.example/acme/web:1", at(1), &broken);
    let pods = [before.clone(), mirrored];
    assert_eq!(root_cause(&pods, 10).unwrap().pod.as_deref(), Some("web-2"));
    assert_eq!(root_cause(&[before], 10), None, "an old pod says nothing of the new image");
    // While an old pod shows its own image, a broken one beside it that was made since is old, too.
    let old = [pod("web-1", OLD, at(1), &json!({"running": {}})), pod("web-2", OLD, at(11), &broken)];
    let previous = [ContainerImage { container: "web".into(), image: OLD.into() }];
    assert_eq!(NewPods { previous: &previous, ..of(&old, &wanted(), 10) }.root_cause(), None);
    // Where images tell, age does not.
    let pods = [pod("web-1", OLD, at(11), &broken), pod("web-2", NEW, at(11), &json!({"running": {}}))];
    assert_eq!(root_cause(&pods, 10), None);
}

#[test]
fn the_newest_event_is_told() {
    let event = |time: &str, message: &str| -> Event {
        serde_json::from_value(json!({
            "metadata": {}, "involvedObject": {}, "reason": "Unhealthy", "message": message, "lastTimestamp": time,
        }))
        .unwrap()
    };
    let events = [event("2026-01-01T00:00:02Z", "second\n"), event("2026-01-01T00:00:01Z", "first")];
    assert_eq!(newest_warning(&events).as_deref(), Some("Unhealthy: second"));
    assert_eq!(newest_warning(&[]), None);
}
