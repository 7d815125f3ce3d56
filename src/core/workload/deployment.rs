//! `apps/v1` Deployment.

use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition};

use super::Rollable;
use super::view::{Counts, ReportedFailure, WorkloadView};
use trackdown_api::record::{Replicas, RootCause};
use trackdown_api::workload_ref::WorkloadKind;

impl Rollable for Deployment {
    fn view(&self) -> WorkloadView {
        let spec = self.spec.as_ref();
        let status = self.status.clone().unwrap_or_default();
        let view = WorkloadView::of(WorkloadKind::Deployment, &self.metadata, spec.map(|s| &s.template), spec.map(|s| &s.selector));
        WorkloadView {
            observed_generation: status.observed_generation.unwrap_or_default(),
            paused: spec.and_then(|s| s.paused).unwrap_or(false),
            total: status.replicas.unwrap_or_default(),
            replicas: Replicas {
                desired: spec.and_then(|s| s.replicas).unwrap_or(1),
                updated: status.updated_replicas.unwrap_or_default(),
                available: status.available_replicas.unwrap_or_default(),
            },
            failures: status.conditions.iter().flatten().filter_map(reported_failure).collect(),
            revision: self.metadata.annotations.as_ref().and_then(|a| a.get("deployment.kubernetes.io/revision")).cloned(),
            ..view
        }
    }
}

/// Why the workload's controller itself gives up: no pods can be made (quota, admission), or its own progress deadline passed.
fn reported_failure(condition: &DeploymentCondition) -> Option<ReportedFailure> {
    let reason = condition.reason.as_deref().unwrap_or_default();
    let (failed, counts) = match condition.type_.as_str() {
        "ReplicaFailure" => (condition.status == "True", Counts::ToldAndStands),
        "Progressing" => (condition.status == "False" && reason == "ProgressDeadlineExceeded", Counts::Told),
        _ => (false, Counts::Told),
    };
    failed.then(|| ReportedFailure {
        by_person: false,
        cause: RootCause::of(reason, condition.message.as_deref().unwrap_or_default()),
        since: condition.last_update_time.as_ref().or(condition.last_transition_time.as_ref()).map(|t| t.0),
        counts,
    })
}
