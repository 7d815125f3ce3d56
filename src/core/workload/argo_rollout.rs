//! `argoproj.io/v1alpha1` Rollout: canary and blue-green, done by Argo Rollouts. Trackdown sets its image and follows its status.
//!
//! Source of the fields: Argo Rollouts' `pkg/apis/rollouts/v1alpha1/types.go`, version 1.10. What they mean was observed on its real
//! controller, which the end-to-end tests run.

use k8s_openapi::api::apps::v1::DeploymentCondition;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Rollable;
use super::view::WorkloadView;
use super::view::{Counts, ReportedFailure, Unpromoted};
use trackdown_api::record::{Replicas, RootCause};
use trackdown_api::text::bounded;
use trackdown_api::workload_ref::WorkloadKind;

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
    /// How it is rolled out.
    #[serde(default)]
    pub strategy: Value,
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
    /// Pods that are available: of a canary those of every template, of blue-green those that get the traffic.
    pub available_replicas: Option<i32>,
    /// The step that is being done.
    pub current_step_index: Option<usize>,
    /// Of blue-green.
    #[serde(default)]
    pub blue_green: BlueGreenStatus,
    /// Pods of every template.
    pub replicas: Option<i32>,
    /// As of an apps/v1 Deployment.
    #[serde(default)]
    pub conditions: Vec<DeploymentCondition>,
}

/// The part of a blue-green Rollout's status Trackdown looks at.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlueGreenStatus {
    /// Hash of the pod template that gets the traffic.
    pub active_selector: Option<String>,
}

impl Rollable for Rollout {
    fn view(&self) -> WorkloadView {
        let spec = &self.spec;
        let status = self.status.clone().unwrap_or_default();
        let phase = status.phase.as_deref().unwrap_or_default();
        let stable = status.stable_rs.is_some() && status.stable_rs == status.current_pod_hash;
        let promoted = phase == "Healthy" && stable;
        let updated = status.updated_replicas.unwrap_or_default();
        let view = WorkloadView::of(WorkloadKind::Rollout, &self.metadata, spec.template.as_ref(), spec.selector.as_ref());
        let replica_set = |hash: &String| format!("{}-{hash}", view.workload.name);
        let awaits_person = phase == PAUSED && self.awaits_person(&status);
        let progress = (!promoted && !phase.is_empty()).then(|| self.progress(&status, phase));
        WorkloadView {
            observed_generation: status.observed_generation.as_deref().and_then(|g| g.parse().ok()).unwrap_or_default(),
            paused: spec.paused,
            unsupported: spec.workload_ref.as_ref().map(|r| {
                format!("its pod template stands in {} {} (spec.workloadRef), where Trackdown cannot follow it", r.kind, r.name)
            }),
            invalid: status.conditions.iter().find(|c| c.type_ == INVALID && c.status == "True").map(text),
            promoted,
            newest: status.current_pod_hash.as_ref().map(replica_set),
            unpromoted: status.stable_rs.as_ref().filter(|_| !stable && status.current_pod_hash.is_some()).map(|hash| Unpromoted {
                replica_set: replica_set(hash),
                images: Vec::new(),
                unread: None,
            }),
            // The pods of the template before are kept for a while after the promotion.
            total: if promoted { updated } else { status.replicas.unwrap_or_default() },
            replicas: Replicas { desired: spec.replicas.unwrap_or(1), updated, available: available(&status, spec) },
            failures: status.conditions.iter().filter_map(|c| reported_failure(c, stable)).collect(),
            awaits_person,
            progress,
            revision: status.current_pod_hash,
            ..view
        }
    }
}

impl Rollout {
    /// Whether nothing but a person ends the pause.
    fn awaits_person(&self, status: &RolloutStatus) -> bool {
        let step = status.current_step_index.and_then(|i| self.spec.strategy.pointer(&format!("/canary/steps/{i}/pause")));
        let promotes_itself = self.spec.strategy.pointer("/blueGreen/autoPromotionSeconds").is_some();
        // A pause by its owner is a pause whatever the step is.
        self.spec.paused || !(promotes_itself || step.is_some_and(|pause| pause.get("duration").is_some()))
    }

    /// What the controller says of where it is.
    fn progress(&self, status: &RolloutStatus, phase: &str) -> RootCause {
        let says = status.message.as_deref().unwrap_or_default();
        let name = self.metadata.name.as_deref().unwrap_or_default();
        let message = match phase {
            PAUSED if self.spec.paused => format!("{says} (spec.paused: false ends it)"),
            PAUSED if self.awaits_person(status) => format!("{says} (kubectl argo rollouts promote {name} goes on)"),
            _ => says.to_owned(),
        };
        RootCause::of(phase, message)
    }
}

/// How many pods of the newest template are available at least. Of a canary the status counts those of every template together, so the
/// worst is taken: that all that are not available are new ones.
fn available(status: &RolloutStatus, spec: &RolloutSpec) -> i32 {
    let available = status.available_replicas.unwrap_or_default();
    if spec.strategy.get("blueGreen").is_some() {
        let active = status.blue_green.active_selector.is_some() && status.blue_green.active_selector == status.current_pod_hash;
        return if active { available } else { 0 };
    }
    let old = status.replicas.unwrap_or_default() - status.updated_replicas.unwrap_or_default();
    (available - old.max(0)).max(0)
}

/// Phase of a Rollout that waits, for its time or for a person.
pub const PAUSED: &str = "Paused";

/// Condition of a Rollout whose spec cannot be carried out.
const INVALID: &str = "InvalidSpec";

/// Reason of the cause when a person has aborted the rollout.
pub const ABORTED_BY_PERSON: &str = "RolloutAbortedByPerson";

/// Why the controller gives up. It repeats no condition whose status and reason stay the same, so what is still there may be about what
/// came before. `stable`: the newest template is promoted; then a deadline that is over is that of the template before.
fn reported_failure(condition: &DeploymentCondition, stable: bool) -> Option<ReportedFailure> {
    let message = condition.message.as_deref().unwrap_or_default();
    let reason = condition.reason.as_deref().unwrap_or_default();
    let (failed, reason, counts) = match (condition.type_.as_str(), reason) {
        ("ReplicaFailure", _) => (condition.status == "True", reason, Counts::Stands),
        (INVALID, _) => (condition.status == "True", reason, Counts::ToldOrStands),
        ("Progressing", "ProgressDeadlineExceeded") => (condition.status == "False" && !stable, reason, Counts::Told),
        // All others add a colon and their cause.
        ("Progressing", "RolloutAborted") if !message.contains(": ") => {
            (condition.status == "False", ABORTED_BY_PERSON, Counts::Told)
        }
        ("Progressing", "RolloutAborted") => (condition.status == "False", reason, Counts::Told),
        _ => (false, reason, Counts::Told),
    };
    failed.then(|| ReportedFailure {
        by_person: reason == ABORTED_BY_PERSON,
        cause: RootCause::of(reason, message),
        since: condition.last_update_time.as_ref().or(condition.last_transition_time.as_ref()).map(|t| t.0),
        counts,
    })
}

fn text(condition: &DeploymentCondition) -> String {
    bounded(condition.message.as_deref().unwrap_or_default())
}
