//! `Deployment.trackdown.dev`: the record of one attempt to bring one workload to given images.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{Check, CheckResult, HealthState};
use super::condition::Condition;
use super::outcome::Outcome;
use super::text::{ImageId, LongName, Name, Sentence, Word};
use super::workload_ref::{ContainerImage, Workload};

/// What a record does.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
pub enum Action {
    /// Brings the workload to the ticket's images.
    #[default]
    Rollout,
    /// Follows what somebody else set, such as what a GitOps tool delivers: nothing is written to the workload.
    Observe,
    /// Takes an earlier rollout back, or brings the workload to the images of an earlier record.
    Rollback,
}

/// Who ended a rollout before its end.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(from = "String", into = "String")]
pub enum StoppedBy {
    /// Its ticket, which no longer asks for it.
    Ticket,
    /// A person, at the workload itself.
    Person,
    /// Somebody that another version knows.
    Other(String),
}

impl From<String> for StoppedBy {
    fn from(word: String) -> Self {
        match word.as_str() {
            "Ticket" => Self::Ticket,
            "Person" => Self::Person,
            _ => Self::Other(word),
        }
    }
}

impl From<StoppedBy> for String {
    fn from(who: StoppedBy) -> Self {
        match who {
            StoppedBy::Ticket => "Ticket".to_owned(),
            StoppedBy::Person => "Person".to_owned(),
            StoppedBy::Other(word) => word,
        }
    }
}

/// What happens to the workload when a rollout fails.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
pub enum OnFailure {
    /// The previous images are put back.
    #[default]
    Rollback,
    /// The workload is left as it is, for a person to look at.
    Hold,
}

/// The ticket a record belongs to.
#[derive(Clone, Debug, Deserialize, Eq, Hash, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TicketRef {
    /// Name of the Ticket, in the record's namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// UID of the Ticket: a ticket deleted and created again is another one.
    #[schemars(length(min = 1, max = 63))]
    pub uid: String,
    /// The ticket's id for people, e.g. `ISS-42`.
    #[schemars(length(min = 1, max = 253))]
    pub id: String,
}

/// The state of the workload on which the attempt was decided. The write is refused by the API server if it changed.
#[derive(Clone, Debug, Deserialize, Eq, Hash, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Base {
    /// `metadata.uid` of the workload.
    #[schemars(length(min = 1, max = 63))]
    pub uid: String,
    /// `metadata.generation` of the workload.
    pub generation: i64,
    /// Value of the workload's `trackdown.dev/deployment` annotation; absent if it had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65536))]
    pub marker: Option<String>,
    /// For `Observe`: the images its containers had before they were changed, as far as the ticket saw them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["container".into()]))]
    pub images: Vec<ContainerImage>,
    /// Whether the workload was completely rolled out and available. If it was not, a rollback need not make it so.
    #[serde(default)]
    pub healthy: bool,
}

/// Who asked for an attempt, and why: as it stood on the ticket when the attempt was made.
#[derive(Clone, Debug, Default, Deserialize, Eq, Hash, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Requester {
    /// Who, as claimed on the ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub by: Option<String>,
    /// Field manager that wrote the request: the fact beside the claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub via: Option<String>,
    /// Why: the reason given with the request, or which annotation asked for a retry, else the ticket's title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reason: Option<String>,
}

/// One attempt to bring one workload to given images. Written by the operator only, never changed after it is created.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "trackdown.dev",
    version = "v1alpha1",
    kind = "Deployment",
    root = "Record",
    plural = "deployments",
    singular = "deployment",
    shortname = "tdep",
    category = "trackdown",
    namespaced,
    status = "RecordStatus",
    derive = "PartialEq",
    doc = "A Deployment of Trackdown is the record of one attempt to bring one workload to given images for a Ticket: \
what was decided, what ran before, when each step happened and how it ended. The operator writes it; it outlives its ticket as evidence. \
It is no apps/v1 Deployment: `kubectl get deployments` still lists those, `kubectl get tdep` lists these.",
    selectable = ".spec.ticket.name",
    selectable = ".spec.workload.name",
    printcolumn(name = "Ticket", type_ = "string", json_path = ".spec.ticket.name"),
    printcolumn(name = "Workload", type_ = "string", json_path = ".spec.workload.name"),
    printcolumn(name = "Result", type_ = "string", json_path = ".status.conditions[?(@.type=='Succeeded')].reason"),
    printcolumn(name = "Image", type_ = "string", json_path = ".spec.images[0].image"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Before", type_ = "string", json_path = ".status.previousImages[0].image", priority = 1),
    printcolumn(name = "By", type_ = "string", json_path = ".spec.requestedBy.by", priority = 1),
    printcolumn(name = "Health", type_ = "string", json_path = ".status.health", priority = 1),
    printcolumn(name = "Updated", type_ = "string", json_path = ".status.replicas.updated", priority = 1),
    printcolumn(name = "Via", type_ = "string", json_path = ".spec.requestedBy.via", priority = 1),
    printcolumn(name = "Why", type_ = "string", json_path = ".spec.requestedBy.reason", priority = 1),
    validation = Rule::new("self.spec == oldSelf.spec")
        .message("a Deployment record is immutable: change the Ticket, which makes a new attempt")
        .field_path(".spec"),
)]
#[serde(rename_all = "camelCase")]
pub struct RecordSpec {
    /// The ticket that asked for it.
    pub ticket: TicketRef,
    /// Name of the target in the ticket.
    #[schemars(length(min = 1, max = 63))]
    pub target: String,
    /// Number of the attempt for this target, counted from 1 over the ticket's whole life.
    #[schemars(range(min = 1))]
    pub attempt: i32,
    /// Hash of what was asked for (the target as resolved and the rollout settings).
    #[schemars(length(min = 1, max = 64))]
    pub request_hash: String,
    /// What this record does.
    #[serde(default)]
    pub action: Action,
    /// For `Rollback`: the record whose rollout is taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub rollback_of: Option<String>,
    /// For `Rollback`: the earlier record whose images are brought back, if one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub rollback_to: Option<String>,
    /// Who asked for it, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<Requester>,
    /// The workload that is changed.
    pub workload: Workload,
    /// The images it is brought to, by container.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["container".into()]))]
    pub images: Vec<ContainerImage>,
    /// The state of the workload on which this was decided.
    pub base: Base,
    /// Seconds from `status.patchedTime` until an unfinished rollout counts as failed; the same again for a rollback.
    #[schemars(range(min = 1, max = 86400))]
    pub timeout_seconds: i32,
    /// What happens on failure.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// Health checks that decide it, when all pods run the images; the same again after a rollback.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub checks: Vec<Check>,
    /// The write is only tried (server-side dry run), nothing changes.
    #[serde(default)]
    pub dry_run: bool,
    /// Tries of the same request that failed before this one. After a failure a workload that asks for 0 pods is no proof of success.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0))]
    pub failed_tries: i32,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &i32) -> bool {
    *number == 0
}

/// A write the API server can refuse.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
pub enum Write {
    /// Of the new images.
    Images,
    /// Of the previous images.
    PreviousImages,
    /// The deletion of a pod that keeps its controller waiting.
    PodDeletion,
    /// Of a mark that keeps the attempt's own late write out, before the attempt ends without having written.
    Fence,
}

/// A write that the API server refuses, and that is tried again.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// Which write.
    pub write: Write,
    /// When it was refused first.
    pub time: MicroTime,
}

/// Pods of the workload as last seen, counted by the workload's own controller.
#[derive(Clone, Debug, Default, Deserialize, Eq, Hash, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Replicas {
    /// Pods asked for by the workload.
    pub desired: i32,
    /// Pods of the new template.
    pub updated: i32,
    /// Pods that are available.
    pub available: i32,
}

/// The image that really ran, by content.
#[derive(Clone, Debug, Deserialize, Eq, Hash, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Digest {
    /// Name of the container.
    #[schemars(length(max = 63))]
    pub container: String,
    /// The pods' `imageID`.
    #[serde(rename = "imageID")]
    pub image_id: ImageId,
}

/// The first thing that went wrong, as the cluster reported it.
#[derive(Clone, Debug, Deserialize, Eq, Hash, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RootCause {
    /// The pod it was seen on, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<LongName>,
    /// The container it was seen on, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<Name>,
    /// The cluster's own reason, e.g. `ImagePullBackOff`.
    pub reason: Word,
    /// The cluster's own message.
    pub message: Sentence,
}

impl RootCause {
    /// A cause that is no single pod's.
    #[must_use]
    pub fn of(reason: &str, message: impl Into<Sentence>) -> Self {
        Self { pod: None, container: None, reason: reason.into(), message: message.into() }
    }
}

/// What happened, as facts with times.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordStatus {
    /// The `metadata.generation` this status is about; -1 before the operator has looked at the record.
    #[serde(default = "unobserved")]
    pub observed_generation: i64,
    /// The images before, by container: what a rollback puts back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["container".into()]))]
    pub previous_images: Vec<ContainerImage>,
    /// The images as the API server admitted them (admission may pin digests), by container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["container".into()]))]
    pub admitted_images: Vec<ContainerImage>,
    /// The write that the API server refuses, while it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refusal>,
    /// When the workload was changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patched_time: Option<MicroTime>,
    /// When every pod ran the new template and was available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy_time: Option<MicroTime>,
    /// When what runs was verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_time: Option<MicroTime>,
    /// When the rollback was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_time: Option<MicroTime>,
    /// When the previous images were put back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_time: Option<MicroTime>,
    /// When every pod ran the previous images again and was available, if health checks follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_healthy_time: Option<MicroTime>,
    /// When the attempt ended. Nothing changes after that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<MicroTime>,
    /// How it ended: the reason of condition `Succeeded` from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Outcome>,
    /// Who ended the rollout, if it did not fail: `Ticket`, which no longer asked for it, or `Person`, at the workload itself. There is no
    /// other try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 64))]
    pub stopped_by: Option<StoppedBy>,
    /// `metadata.generation` of the workload after it was changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_generation: Option<i64>,
    /// The workload's own revision number that the rollout produced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Name>,
    /// Pods when the attempt ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<Replicas>,
    /// The images that really ran, by content.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub digests: Vec<Digest>,
    /// What the health checks found after the rollout.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub checks: Vec<CheckResult>,
    /// What the health checks found after the rollback.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub rollback_checks: Vec<CheckResult>,
    /// The worst that the newest checks found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthState>,
    /// What keeps a rollout that takes its time from being complete, as its pods or the workload's own controller report it. Absent again
    /// once it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<RootCause>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_cause: Option<RootCause>,
    /// `Succeeded` (Unknown while it runs), and while something is unusual `Reconciling` or `Stalled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// `observedGeneration` of an object nobody has looked at.
pub(super) fn unobserved() -> i64 {
    -1
}
