use serde_json::{Value, json};

use super::*;

fn record(uid: &str) -> Record {
    serde_json::from_value(json!({
        "apiVersion": "trackdown.dev/v1alpha1", "kind": "Deployment",
        "metadata": {"name": "iss-1-web", "namespace": "shop", "uid": uid},
        "spec": {
            "ticket": {"name": "iss-1", "uid": "t", "id": "ISS-1"}, "target": "web", "attempt": 1, "requestHash": "h",
            "workload": {"kind": "Deployment", "namespace": "shop", "name": "web"},
            "images": [{"container": "web", "image": "web:1"}], "base": {"uid": "u", "generation": 1}, "timeoutSeconds": 60,
        },
    }))
    .unwrap()
}

fn check() -> JobCheck {
    serde_json::from_value(json!({"image": "smoke:1", "args": ["--fast"], "timeoutSeconds": 300})).unwrap()
}

fn with_conditions(conditions: &Value) -> Job {
    serde_json::from_value(json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "smoke"}, "status": {"conditions": conditions},
    }))
    .unwrap()
}

#[test]
fn a_job_is_made_for_one_record_and_does_not_outlast_its_checks() {
    let job = manifest(&record("r"), "smoke", &check());
    assert!(is_for(&job, &record("r")) && !is_for(&job, &record("other")));
    let spec = job.spec.unwrap();
    assert_eq!((spec.backoff_limit, spec.active_deadline_seconds), (Some(0), Some(60)));
    let pod = spec.template.spec.unwrap();
    let [container] = pod.containers.as_slice() else { panic!("{pod:?}") };
    assert_eq!((&container.command, &container.args), (&None, &Some(vec!["--fast".to_owned()])));
}

#[test]
fn jobs_need_an_administrator() {
    assert_eq!(permitted("spec.targets[web].checks[smoke]", true), Ok(()));
    let forbidden = permitted("spec.targets[web].checks[smoke]", false).unwrap_err();
    assert_eq!(forbidden.reason, "JobChecksDisabled");
    assert!(forbidden.message.starts_with("spec.targets[web].checks[smoke] is a Job"), "{}", forbidden.message);
}

#[test]
fn a_job_is_over_when_it_says_so() {
    for (conditions, wanted) in [
        (json!([]), None),
        (json!([{"type": "Complete", "status": "False"}]), None),
        (json!([{"type": "SuccessCriteriaMet", "status": "True"}]), None),
        (json!([{"type": "Complete", "status": "True"}]), Some((HEALTHY, "Job smoke completed"))),
        (json!([{"type": "Failed", "status": "True"}]), Some(("JobFailed", "Job smoke failed: no reason given"))),
        (
            json!([{"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "too late"}]),
            Some(("JobFailed", "Job smoke failed: too late")),
        ),
    ] {
        let job = with_conditions(&conditions);
        assert_eq!(has_ended(&job), wanted.is_some(), "{conditions}");
        let outcome = judge("smoke", &Seen::Ended(Box::new(job)));
        let wanted = wanted.unwrap_or(("Unknown", "Job smoke says nothing about its end"));
        assert_eq!((outcome.reason, outcome.message.as_str()), wanted, "{conditions}");
        assert_eq!(outcome.state == HealthState::Healthy, outcome.reason == HEALTHY, "no data is no success: {conditions}");
    }
}
