//! `Ticket.trackdown.dev`: why and what is changed, its place in the workflow, and what to deploy.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::Check;
use super::condition::Condition;
use super::image;
use super::outcome::Outcome;
use super::record::{OnFailure, Requester, unobserved};
use super::text::{LongName, Name, Note, Sentence, Word};
use super::workload_ref::{ContainerImage, NAME_PATTERN, NAMESPACE_PATTERN, WorkloadKind};

/// Workflow states of a ticket, in order.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TicketState {
    /// Being planned.
    Planning,
    /// Being worked on.
    Active,
    /// Work finished, to be tested.
    ReadyForQa,
    /// Tested, to be deployed.
    ReadyForDeployment,
    /// Deployed, finished.
    Done,
    /// Given up, finished.
    #[serde(rename = "won_t_do")]
    WontDo,
}

impl TicketState {
    /// Every state, in order.
    pub const ALL: [Self; 6] = [Self::Planning, Self::Active, Self::ReadyForQa, Self::ReadyForDeployment, Self::Done, Self::WontDo];

    /// The name used in manifests.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planning => "planning",
            Self::Active => "active",
            Self::ReadyForQa => "ready_for_qa",
            Self::ReadyForDeployment => "ready_for_deployment",
            Self::Done => "done",
            Self::WontDo => "won_t_do",
        }
    }

    /// The states a person may ask for from here: the one place that says which steps are legal.
    #[must_use]
    pub fn next(self) -> &'static [Self] {
        use TicketState::{Active, Done, Planning, ReadyForDeployment, ReadyForQa, WontDo};
        match self {
            Planning => &[Active, ReadyForQa, ReadyForDeployment, WontDo],
            Active => &[Planning, ReadyForQa, ReadyForDeployment, WontDo],
            ReadyForQa => &[Planning, Active, ReadyForDeployment, Done, WontDo],
            ReadyForDeployment => &[Planning, Active, ReadyForQa, Done, WontDo],
            Done | WontDo => &[Planning, Active, ReadyForQa],
        }
    }

    /// Whether work on the ticket is still to be done.
    #[must_use]
    pub fn is_open(self) -> bool {
        !matches!(self, Self::Done | Self::WontDo)
    }
}

impl fmt::Display for TicketState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How urgent a ticket is. For people; it orders nothing.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Can wait.
    Low,
    /// Normal.
    Medium,
    /// Soon.
    High,
    /// Now.
    Critical,
}

/// The times people may write: years 1000 to 8999 and real offsets. `format: date-time` alone lets more through than the operator can
/// read, and one ticket that cannot be read would keep the whole list from being read.
const TIME_PATTERN: &str =
    r"^[1-8][0-9]{3}-[0-9]{2}-[0-9]{2}T[0-2][0-9]:[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])$";

/// Which workload a target means.
#[derive(Clone, Debug, Default, Deserialize, Eq, Hash, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadRef {
    /// Kind of the workload.
    #[serde(default)]
    pub kind: WorkloadKind,
    /// Name of the workload; default: the target's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME_PATTERN))]
    pub name: Option<String>,
    /// Namespace of the workload; default, and for now the only one allowed: the ticket's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = NAMESPACE_PATTERN))]
    pub namespace: Option<String>,
}

/// One thing to deploy.
#[derive(Clone, Debug, Deserialize, Eq, Hash, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// The app; also the workload's name, unless `workloadRef` says otherwise.
    #[schemars(length(min = 1, max = 63), regex(pattern = NAME_PATTERN))]
    pub name: String,
    /// The image to run, e.g. `ghcr.io/acme/web:1.4.2`.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new(image::SCHEME.0).message(image::SCHEME.1))]
    #[x_kube(validation = Rule::new(image::ONLY_A_TAG.0).message(image::ONLY_A_TAG.1))]
    #[x_kube(validation = Rule::new(image::REFERENCE.as_str()).message(image::REFERENCE_MESSAGE))]
    pub image: String,
    /// Deploy only if this image runs now: a guard against replaying an old ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new(image::SCHEME.0).message(image::SCHEME.1))]
    #[x_kube(validation = Rule::new(image::ONLY_A_TAG.0).message(image::ONLY_A_TAG.1))]
    #[x_kube(validation = Rule::new(image::REFERENCE.as_str()).message(image::REFERENCE_MESSAGE))]
    pub replaces: Option<String>,
    /// The workload, if it is no Deployment of the target's name in the ticket's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_ref: Option<WorkloadRef>,
    /// Containers and init containers that all get the image; default: the container named like the workload, else the only one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub containers: Vec<String>,
    /// Health checks that decide the rollout, when all pods run the image; the same again after a rollback.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub checks: Vec<Check>,
}

/// A page about the ticket in another system.
#[derive(Clone, Debug, Deserialize, Eq, Hash, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    /// The system, e.g. `github`, `jira`.
    #[schemars(length(min = 1, max = 63))]
    pub system: String,
    /// The key there, e.g. `SHOP-17`.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
    /// Its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub url: Option<String>,
}

/// Evidence and attribution that come with a state. Claims of whoever writes them; `status.history` holds the field manager beside.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StateMetadata {
    /// Who moved the ticket. Counts only if changed together with `spec.state`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub transitioned_by: Option<String>,
    /// Why. Counts only if changed together with `spec.state`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub transition_reason: Option<String>,
    /// The automation that did it, e.g. `github-ci-1234`. Counts only if changed together with `spec.state`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub automation_source: Option<String>,
    /// Where the test results are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub test_results_url: Option<String>,
    /// Who reviewed the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub reviewer: Option<String>,
    /// Result of the security scan: `false` always blocks, absent does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_scan_passed: Option<bool>,
    /// Who deployed, when CI deployed by itself and asks for `done`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub deployed_by: Option<String>,
    /// When CI deployed by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = TIME_PATTERN))]
    pub deployed_time: Option<Time>,
    /// Where CI deployed by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub deployed_namespace: Option<String>,
    /// Anything else, as keys and values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "extra_schema")]
    pub extra: BTreeMap<String, String>,
}

fn extra_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": {"type": "string", "maxLength": 1024},
    })
}

/// In which order the targets of a ticket are rolled out.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
pub enum Order {
    /// All at once.
    #[default]
    Parallel,
    /// One after the other, in the order of the list.
    Sequential,
}

/// How to roll out.
#[derive(Clone, Debug, Deserialize, Eq, Hash, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutSettings {
    /// Seconds from the change of the workload until a rollout whose pods do not all run counts as failed: a total, unlike
    /// `progressDeadlineSeconds` of `apps/v1`, which starts again with every bit of progress. Health checks have as long again, and so
    /// has a rollback.
    #[serde(default = "default_timeout")]
    #[schemars(range(min = 1, max = 86400))]
    pub timeout_seconds: i32,
    /// What happens to the workload when the rollout fails.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// In which order several targets are rolled out.
    #[serde(default)]
    pub order: Order,
    /// Tries before automation is switched off for the ticket. Only a try that was rolled back is repeated.
    #[serde(default = "default_max_attempts")]
    #[schemars(range(min = 1, max = 10))]
    pub max_attempts: i32,
    /// Seconds between the first failure and the second try; doubled for each further one, at most 300.
    #[serde(default = "default_backoff")]
    #[schemars(range(min = 1, max = 3600))]
    pub backoff_seconds: i32,
    /// Try the write without changing anything (server-side dry run).
    #[serde(default)]
    pub dry_run: bool,
}

fn default_timeout() -> i32 {
    300
}
fn default_max_attempts() -> i32 {
    3
}
fn default_backoff() -> i32 {
    10
}

impl Default for RolloutSettings {
    fn default() -> Self {
        Self {
            timeout_seconds: default_timeout(),
            on_failure: OnFailure::default(),
            order: Order::default(),
            max_attempts: default_max_attempts(),
            backoff_seconds: default_backoff(),
            dry_run: false,
        }
    }
}

/// Where a transition starts: the state the operator has moved the ticket to since it took in the last request, else the last
/// request itself. Judging by `status.state` alone would refuse our own status writes and re-syncs of an unchanged manifest.
const FROM: &str = "(has(oldSelf.spec.state) \
? (has(oldSelf.status) && has(oldSelf.status.state) && has(oldSelf.status.requestedState) && oldSelf.status.requestedState == oldSelf.spec.state \
? oldSelf.status.state : oldSelf.spec.state) \
: (has(oldSelf.status) && has(oldSelf.status.state) ? oldSelf.status.state : self.spec.state))";

/// What the legal steps are, by where they start, as a literal map in CEL: `join()` in a message would break the API server's bound on
/// the cost of an expression. `list` writes the states that can be gone to.
fn legal_steps(list: impl Fn(&[&str]) -> String) -> String {
    let step = |from: &TicketState| {
        let to: Vec<_> = from.next().iter().map(|to| to.as_str()).collect();
        format!("'{from}': {}", list(&to))
    };
    format!("{{{}}}", TicketState::ALL.iter().map(step).collect::<Vec<_>>().join(", "))
}

fn transition_rule() -> String {
    let legal = legal_steps(|to| format!("[{}]", to.iter().map(|s| format!("'{s}'")).collect::<Vec<_>>().join(", ")));
    format!(
        "!has(self.spec.state) || (has(oldSelf.spec.state) && self.spec.state == oldSelf.spec.state) \
|| self.spec.state == {FROM} || self.spec.state in {legal}[{FROM}]"
    )
}

fn transition_message() -> String {
    let legal = legal_steps(|to| format!("'{}'", to.join(", ")));
    format!(
        "'a ticket cannot go from ' + {FROM} + ' to ' + self.spec.state + '; from ' + {FROM} + ' it can go to: ' + {legal}[{FROM}]"
    )
}

/// A list of names of objects.
const TICKET_NAMES: &str = r"self.all(name, name.matches(r'^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$'))";
const TICKET_NAMES_MESSAGE: &str =
    "these are names of tickets, as kubectl get tickets lists them, in small letters: not their ids, such as ISS-42";

/// A new or changed request for a rollback names targets of the ticket. One that stands there already keeps nobody from removing a target.
const ROLLBACK_TARGETS: &str = "!has(self.spec.rollback) || !has(self.spec.rollback.targets) \
|| (oldSelf.hasValue() && has(oldSelf.value().spec.rollback) && oldSelf.value().spec.rollback == self.spec.rollback) \
|| (has(self.spec.targets) && self.spec.rollback.targets.all(name, self.spec.targets.exists(target, target.name == name)))";
const ROLLBACK_TARGETS_MESSAGE: &str = "names a target the ticket does not have: use names of spec.targets";

/// What is wanted: a unit of work, the state asked for, and what to deploy.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "trackdown.dev",
    version = "v1alpha1",
    kind = "Ticket",
    shortname = "tkt",
    category = "trackdown",
    namespaced,
    status = "TicketStatus",
    derive = "PartialEq",
    doc = "A Ticket is a change as an object: why, what to deploy, and its place in the workflow. When it is ready_for_deployment and \
automationEligible, Trackdown rolls the targets out, follows them, rolls back what fails and writes the result into status. \
Trackdown never writes spec.",
    selectable = ".spec.state",
    selectable = ".status.state",
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Eligible", type_ = "boolean", json_path = ".spec.automationEligible"),
    printcolumn(name = "Targets", type_ = "string", json_path = ".status.deployedTargets"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Requested", type_ = "string", json_path = ".spec.state", priority = 1),
    printcolumn(name = "By", type_ = "string", json_path = ".status.transitionedBy", priority = 1),
    printcolumn(name = "Via", type_ = "string", json_path = ".status.history[0].via", priority = 1),
    printcolumn(name = "Title", type_ = "string", json_path = ".spec.title", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1),
    validation = Rule::new(transition_rule())
        .message(Message::Expression(transition_message()))
        .field_path(".spec.state"),
    validation = Rule::new(ROLLBACK_TARGETS)
        .message(ROLLBACK_TARGETS_MESSAGE)
        .field_path(".spec.rollback.targets")
        .optional_old_self(true),
)]
#[serde(rename_all = "camelCase")]
pub struct TicketSpec {
    /// What this is about, in one line.
    #[schemars(length(min = 1, max = 256))]
    pub title: String,
    /// The state asked for; `status.state` is where the ticket is. Absent asks for nothing and is never a transition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxLength" = 32))]
    pub state: Option<TicketState>,
    /// Whether Trackdown may act on this ticket. If not, it waits for a person.
    #[serde(default)]
    pub automation_eligible: bool,
    /// What to deploy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub targets: Vec<Target>,
    /// Id for people and CI, e.g. `ISS-42`; default: the ticket's name in capitals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"))]
    pub id: Option<String>,
    /// The whole story.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16384))]
    pub description: Option<String>,
    /// Who works on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub assignee: Option<String>,
    /// How urgent it is. For people; it orders nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// The same change in other systems.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["system".into(), "key".into()]))]
    pub links: Vec<Link>,
    /// Names of tickets of this namespace (`metadata.name`, not their ids) that must be `done` first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 253)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[x_kube(validation = Rule::new(TICKET_NAMES).message(TICKET_NAMES_MESSAGE))]
    pub depends_on: Vec<String>,
    /// A person has taken over: Trackdown stops at once and leaves everything as it is.
    #[serde(default)]
    pub manual_override: bool,
    /// A person's or CI's block: while it is there nothing starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub blocked_reason: Option<String>,
    /// Nothing starts after this time: no surprise when a cluster is rebuilt from Git with old tickets in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = TIME_PATTERN))]
    pub deploy_before: Option<Time>,
    /// Evidence and attribution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_metadata: Option<StateMetadata>,
    /// How to roll out.
    #[serde(default)]
    pub rollout: RolloutSettings,
    /// Take the deployment back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<RollbackRequest>,
}

/// What a rollout in flight is told by its ticket.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
pub enum Stop {
    /// End it and put the previous images back.
    Rollback,
    /// End it and leave the workload as it is.
    Leave,
}

/// A request to take a deployment back. Removed before anything was done, it is withdrawn.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RollbackRequest {
    /// Any new value asks for one rollback; the same value again asks for nothing. At the ticket's creation it is only noted.
    #[schemars(length(min = 1, max = 253))]
    pub request: String,
    /// Names of the targets to take back; default: all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub targets: Vec<String>,
    /// Name of an earlier record (`kubectl get tdep`) of the same workload, whose images are brought back; default: what ran before this
    /// ticket's last rollout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = NAME_PATTERN))]
    pub to: Option<String>,
    /// Who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub by: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reason: Option<String>,
}

/// Why a target is taken back.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
pub enum RollbackCause {
    /// Somebody asked for it (`spec.rollback`).
    Requested,
    /// A later target of the same ticket failed (`rollout.order: Sequential`).
    Compensation,
}

/// A rollback of one target that is asked for, in flight, or how the last request ended.
#[derive(Clone, Debug, Deserialize, Eq, Hash, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetRollback {
    /// Why.
    pub cause: RollbackCause,
    /// The record whose rollout is taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub of: Option<String>,
    /// The record whose images are brought back, if one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub to: Option<String>,
    /// The record of the target's last attempt when this was asked for: what the target goes back to if the request is withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub before: Option<String>,
    /// How that attempt had ended: told again if the request is withdrawn before anything was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Outcome>,
    /// Who asked, and why.
    pub requested_by: Requester,
}

/// Where one target is.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetStatus {
    /// Name of the target.
    #[schemars(length(max = 63))]
    pub name: String,
    /// Number of the last attempt, counted over the ticket's whole life.
    #[serde(default)]
    pub attempt: i32,
    /// Number of the last attempt when the ticket last became ready for deployment: what later ones changed, a failed sequence takes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt_before: Option<i32>,
    /// Failed tries of what is asked for now.
    #[serde(default)]
    pub tries: i32,
    /// Hash of what is asked for, see `requestHash` of the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub request_hash: Option<String>,
    /// Name of the Deployment record of the last attempt. Written before the record is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub record: Option<String>,
    /// UID of the workload the attempt is meant for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub workload_uid: Option<String>,
    /// The attempt in flight is to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Stop>,
    /// The images seen on the workload while the ticket waits for Git to change them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["container".into()]))]
    pub seen_images: Vec<ContainerImage>,
    /// The target is being taken back, or was. Absent again when something else is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<TargetRollback>,
    /// Value of the `retry.trackdown.dev/<target>` annotation that was handled last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub last_handled_retry: Option<String>,
    /// Value of `spec.rollback.request` that this target has taken in while another one of the ticket, which a rollback is just taking
    /// back, has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub last_handled_rollback: Option<String>,
    /// Record of the last try that was rolled back: a further try rests on the workload still showing what that put back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub rolled_back: Option<String>,
    /// How the last attempt ended: the reason of the record's `Succeeded` condition. Absent while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Outcome>,
    /// The same in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Sentence>,
    /// When the last attempt ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<MicroTime>,
    /// When the last failed attempt ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_time: Option<MicroTime>,
    /// Where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub failure_namespace: Option<String>,
    /// Name of the ticket of this namespace that has deployed other images to this workload since. Whether those still run is not
    /// followed: the workload itself tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub superseded_by: Option<String>,
}

/// One transition.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Transition {
    /// The state before; absent for a new ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<TicketState>,
    /// The state after.
    pub to: TicketState,
    /// When Trackdown took it in.
    pub time: Time,
    /// Who, as claimed by `spec.stateMetadata.transitionedBy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<LongName>,
    /// Field manager that wrote `spec.state`: the fact beside the claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<LongName>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Sentence>,
    /// The automation that did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<LongName>,
}

/// What a ticket waits for.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// Why, as one word.
    pub reason: Word,
    /// Why, and what ends the wait.
    pub message: Sentence,
    /// The object or person waited for, e.g. `ticket/iss-41`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<Note>,
    /// When the wait ends by itself; of a rollout under way: when it counts as failed at the latest, to within seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
}

/// Where the ticket is, written by Trackdown only.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TicketStatus {
    /// The `metadata.generation` this status is about; -1 before Trackdown has looked at the ticket.
    #[serde(default = "unobserved")]
    pub observed_generation: i64,
    /// Where the ticket is in the workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxLength" = 32))]
    pub state: Option<TicketState>,
    /// The last `spec.state` that was taken in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxLength" = 32))]
    pub requested_state: Option<TicketState>,
    /// The one thing to know now, as one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Word>,
    /// The one thing to know now, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Sentence>,
    /// When the ticket came into this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transition_time: Option<Time>,
    /// Who moved it there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transitioned_by: Option<LongName>,
    /// Why it was moved there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transition_reason: Option<Sentence>,
    /// Why automation is switched off for this ticket: the root cause of the last failure, or a person's block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_reason: Option<Sentence>,
    /// What the ticket waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// Since when nothing but its turn at a workload is in the way of its rollout, or the rollout is under way. Absent while anything else is:
    /// then no other ticket waits for this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued_time: Option<Time>,
    /// Who deployed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployed_by: Option<LongName>,
    /// When the last target was deployed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment_time: Option<Time>,
    /// Where it was deployed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployed_namespace: Option<Name>,
    /// Value of the `trackdown.dev/retry-requested` annotation that was handled last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub last_handled_retry: Option<String>,
    /// Value of `spec.rollback.request` that was handled last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub last_handled_rollback: Option<String>,
    /// How many of the targets were deployed as the ticket asks, e.g. `2/3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub deployed_targets: Option<String>,
    /// What the ticket asks for and nobody can do: names that mean none of its targets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub warnings: Vec<Note>,
    /// Where each target is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub targets: Vec<TargetStatus>,
    /// The newest transitions, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub history: Vec<Transition>,
    /// `Deployable` (may a rollout start, else the first thing in the way), `Deployed`, and while something is unusual
    /// `Reconciling` or `Stalled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}
