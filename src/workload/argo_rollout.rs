//! `argoproj.io/v1alpha1` Rollout: canary and blue-green, done by Argo Rollouts. Trackdown sets its image and follows its status.
//!
//! Source of the fields and of what they mean: Argo Rollouts' `pkg/apis/rollouts/v1alpha1/types.go` and its health assessment
//! (`GetRolloutPhase`), version 1.8.

use k8s_openapi::api::apps::v1::DeploymentCondition;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use serde::{Deserialize, Serialize};

use super::view::WorkloadView;
use super::{Rollable, deployment};
use crate::api::condition::bounded;
use crate::api::deployment::{Replicas, RootCause};
use crate::api::workload_ref::WorkloadKind;

/// The part of a Rollout's spec Trackdown looks at.
#[derive(Clone, CustomResource, Debug, Default, Deserialize, Serialize)]
#[kube(
    group = "argoproj.io",
    version = "v1alpha1",
    kind = "Rollout",
    namespaced,
    schema = "disabled",
    status = "RolloutStatus",
    doc = "A Rollout of Argo Rollouts."
)]
#[serde(rename_all = "camelCase")]
pub struct RolloutSpec {
    /// Pods asked for; default 1.
    pub replicas: Option<i32>,
    /// Which pods are its own.
    pub selector: Option<LabelSelector>,
    /// The pods it makes.
    pub template: Option<PodTemplateSpec>,
    /// Where its pod template stands, if not here.
    pub workload_ref: Option<TemplateRef>,
    /// Paused by its owner.
    #[serde(default)]
    pub paused: bool,
}

/// Where a Rollout takes its pod template from.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TemplateRef {
    /// Kind of the object.
    #[serde(default)]
    pub kind: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
}

/// The part of a Rollout's status Trackdown looks at.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStatus {
    /// `Healthy`, `Progressing`, `Paused` or `Degraded`.
    pub phase: Option<String>,
    /// Why.
    pub message: Option<String>,
    /// The generation this status is about, as text.
    pub observed_generation: Option<String>,
    /// Hash of the newest pod template.
    pub current_pod_hash: Option<String>,
    /// Hash of the pod template that is promoted.
    #[serde(rename = "stableRS")]
    pub stable_rs: Option<String>,
    /// Pods of the newest template.
    pub updated_replicas: Option<i32>,
    /// Pods that are available.
    pub available_replicas: Option<i32>,
    /// Pods of every template.
    pub replicas: Option<i32>,
    /// As of an apps/v1 Deployment.
    #[serde(default)]
    pub conditions: Vec<DeploymentCondition>,
}

impl Rollable for Rollout {
    fn view(&self) -> WorkloadView {
        let spec = &self.spec;
        let status = self.status.clone().unwrap_or_default();
        let phase = status.phase.as_deref().unwrap_or_default();
        let promoted = phase == "Healthy" && status.stable_rs.is_some() && status.stable_rs == status.current_pod_hash;
        let desired = spec.replicas.unwrap_or(1);
        let view = WorkloadView::of(WorkloadKind::Rollout, &self.metadata, spec.template.as_ref(), spec.selector.as_ref());
        WorkloadView {
            observed_generation: status.observed_generation.as_deref().and_then(|g| g.parse().ok()).unwrap_or_default(),
            paused: spec.paused,
            unsupported: spec.workload_ref.as_ref().map(|r| {
                format!("its pod template stands in {} {} (spec.workloadRef), where Trackdown cannot follow it", r.kind, r.name)
            }),
            promoted,
            // Blue-green keeps the pods of the old template for a while after it is done.
            total: if promoted { desired } else { status.replicas.unwrap_or_default() },
            replicas: Replicas {
                desired,
                updated: status.updated_replicas.unwrap_or_default(),
                available: status.available_replicas.unwrap_or_default(),
            },
            failures: status.conditions.iter().filter_map(deployment::reported_failure).collect(),
            progress: (!promoted && !phase.is_empty()).then(|| RootCause {
                pod: None,
                container: None,
                reason: phase.to_owned(),
                message: bounded(status.message.as_deref().unwrap_or_default()),
            }),
            revision: status.current_pod_hash,
            ..view
        }
    }
}
