//! Statuses as Argo Rollouts 1.10.1 was seen to write them, and what is made of them.

use serde_json::{Value, json};

use trackdown_core::workload::Rollable;
use trackdown_core::workload::argo_rollout::{ABORTED_BY_PERSON, Rollout};
use trackdown_core::workload::view::{Counts, WorkloadView};

/// A Rollout of three pods at generation 3, with this status and strategy.
fn view(strategy: &Value, status: &Value) -> WorkloadView {
    let mut whole = json!({"observedGeneration": "3", "currentPodHash": "new", "stableRS": "new", "phase": "Healthy"});
    whole.as_object_mut().unwrap().extend(status.as_object().unwrap().clone());
    let rollout: Rollout = serde_json::from_value(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
        "metadata": {"name": "web", "namespace": "shop", "uid": "u", "generation": 3},
        "spec": {
            "replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "strategy": strategy,
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "web:2"}]}},
        },
        "status": whole,
    }))
    .unwrap();
    rollout.view()
}

fn canary() -> Value {
    json!({"canary": {"steps": [{"setWeight": 50}, {"pause": {}}, {"pause": {"duration": "1m"}}]}})
}

fn counts(replicas: i32, updated: i32, available: i32) -> Value {
    json!({"replicas": replicas, "updatedReplicas": updated, "availableReplicas": available})
}

#[test]
fn old_pods_that_are_kept_are_neither_waited_for_nor_counted() {
    assert!(view(&canary(), &counts(3, 3, 3)).complete());
    assert!(view(&canary(), &counts(6, 3, 6)).complete(), "traffic has moved, the old pods are kept for a while");
    assert!(!view(&canary(), &counts(6, 3, 3)).complete(), "the three that are available may all be old ones");
    assert!(!view(&canary(), &counts(6, 3, 5)).complete());
    let active = json!({"blueGreen": {"activeSelector": "new"}, "replicas": 6, "updatedReplicas": 3, "availableReplicas": 3});
    let strategy = json!({"blueGreen": {"activeService": "web"}});
    assert!(view(&strategy, &active.clone()).complete(), "only the active ones are counted");
    let mut before = active;
    before["blueGreen"]["activeSelector"] = json!("old");
    assert!(!view(&strategy, &before).complete());
}

#[test]
fn only_what_is_promoted_is_complete() {
    for (what, status) in [
        ("paused", json!({"phase": "Paused", "stableRS": "old"})),
        ("not observed", json!({"observedGeneration": "2"})),
        ("restarting", json!({"phase": "Progressing"})),
    ] {
        let mut whole = counts(3, 3, 3);
        whole.as_object_mut().unwrap().extend(status.as_object().unwrap().clone());
        assert!(!view(&canary(), &whole).complete(), "{what}");
    }
    let aborted = view(&canary(), &json!({"phase": "Degraded", "stableRS": "old"}));
    assert_eq!(aborted.unpromoted.map(|u| u.replica_set).as_deref(), Some("web-old"));
    assert_eq!(view(&canary(), &json!({})).unpromoted, None);
}

#[test]
fn a_pause_that_ends_by_itself_waits_for_nobody() {
    let paused = |step: i32| {
        view(&canary(), &json!({"phase": "Paused", "message": "CanaryPauseStep", "currentStepIndex": step})).awaits_person
    };
    assert!(paused(1) && !paused(2));
    let blue_green = json!({"blueGreen": {}});
    assert!(view(&blue_green, &json!({"phase": "Paused", "message": "BlueGreenPause"})).awaits_person);
}

#[test]
fn who_gave_up_is_told_by_the_text_alone() {
    let failures =
        |stable: &str, conditions: Value| view(&canary(), &json!({"stableRS": stable, "conditions": conditions})).failures;
    let aborted = |message: &str| {
        let all =
            failures("old", json!([{"type": "Progressing", "status": "False", "reason": "RolloutAborted", "message": message}]));
        all[0].cause.reason.clone()
    };
    assert_eq!(aborted("Rollout aborted update to revision 2"), ABORTED_BY_PERSON);
    assert_eq!(
        aborted("Rollout aborted update to revision 2: Step-based analysis phase error/failed: Metric \"m\""),
        "RolloutAborted"
    );
    let late = json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out"}]);
    assert_eq!(failures("old", late.clone()).len(), 1);
    assert!(failures("new", late).is_empty(), "of a promoted template it flashes up when the old pods go");
    let invalid = json!([{"type": "InvalidSpec", "status": "True", "reason": "InvalidSpec", "message": "no such service"}]);
    assert_eq!(failures("new", invalid.clone())[0].counts, Counts::ToldOrStands);
    assert_eq!(view(&canary(), &json!({"conditions": invalid})).invalid.as_deref(), Some("no such service"));
}
