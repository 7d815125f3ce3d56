//! `apps/v1` Deployment.

use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition};
use k8s_openapi::api::core::v1::Container;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt;
use kube::core::Selector;

use super::view::{ContainerView, ReportedFailure, WorkloadView};
use super::{Rollable, owner};
use crate::api::condition::bounded;
use crate::api::deployment::{Replicas, RootCause};
use crate::api::workload_ref::{Workload, WorkloadKind};
use crate::api::{FIELD_MANAGER, MARKER_ANNOTATION, ROLLING_LABEL};

impl Rollable for Deployment {
    fn view(&self) -> WorkloadView {
        let spec = self.spec.as_ref();
        let status = self.status.clone().unwrap_or_default();
        let pod = spec.and_then(|s| s.template.spec.as_ref());
        let mut containers = containers("containers", pod.map(|p| p.containers.as_slice()).unwrap_or_default());
        containers.extend(self::containers("initContainers", pod.and_then(|p| p.init_containers.as_deref()).unwrap_or_default()));
        WorkloadView {
            workload: Workload {
                kind: WorkloadKind::Deployment,
                namespace: self.namespace().unwrap_or_default(),
                name: self.name_any(),
            },
            uid: self.uid().unwrap_or_default(),
            version: self.resource_version().and_then(|v| v.parse().ok()),
            generation: self.metadata.generation.unwrap_or_default(),
            observed_generation: status.observed_generation.unwrap_or_default(),
            marker: self.annotations().get(MARKER_ANNOTATION).cloned(),
            rolling: self.labels().contains_key(ROLLING_LABEL),
            has_annotations: !self.annotations().is_empty(),
            has_labels: !self.labels().is_empty(),
            containers,
            paused: spec.and_then(|s| s.paused).unwrap_or(false),
            unsupported: None,
            total: status.replicas.unwrap_or_default(),
            replicas: Replicas {
                desired: spec.and_then(|s| s.replicas).unwrap_or(1),
                updated: status.updated_replicas.unwrap_or_default(),
                available: status.available_replicas.unwrap_or_default(),
            },
            failures: status.conditions.iter().flatten().filter_map(reported_failure).collect(),
            revision: self.annotations().get("deployment.kubernetes.io/revision").cloned(),
            selector: spec.map(|s| selector(&s.selector)).unwrap_or_default(),
            owner: owner::detect(&self.metadata),
            consent: owner::consents(&self.metadata),
            written: self
                .managed_fields()
                .iter()
                .filter(|f| f.manager.as_deref() == Some(FIELD_MANAGER))
                .filter_map(|f| f.time.as_ref().map(|t| t.0))
                .max(),
        }
    }
}

/// Why the deployment controller itself gives up: no pods can be made (quota, admission), or its own progress deadline passed.
fn reported_failure(condition: &DeploymentCondition) -> Option<ReportedFailure> {
    let reason = condition.reason.as_deref().unwrap_or_default();
    let failed = match condition.type_.as_str() {
        "ReplicaFailure" => condition.status == "True",
        "Progressing" => condition.status == "False" && reason == "ProgressDeadlineExceeded",
        _ => false,
    };
    failed.then(|| ReportedFailure {
        cause: RootCause {
            pod: None,
            container: None,
            reason: reason.to_owned(),
            message: bounded(condition.message.as_deref().unwrap_or_default()),
        },
        since: condition.last_update_time.as_ref().or(condition.last_transition_time.as_ref()).map(|t| t.0),
    })
}

fn containers(list: &str, containers: &[Container]) -> Vec<ContainerView> {
    containers
        .iter()
        .enumerate()
        .map(|(index, c)| ContainerView {
            name: c.name.clone(),
            image: c.image.clone().unwrap_or_default(),
            path: format!("/spec/template/spec/{list}/{index}"),
        })
        .collect()
}

fn selector(selector: &LabelSelector) -> String {
    Selector::try_from(selector.clone()).map(|s| s.to_string()).unwrap_or_default()
}
