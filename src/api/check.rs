//! Health checks that decide a rollout, and what they found.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::image;
use super::text::{Sentence, Word};

/// How healthy something is, the best first.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
pub enum HealthState {
    /// It answers as it should.
    Healthy,
    /// It answers right, but too slowly.
    Degraded,
    /// It does not answer, or answers wrongly.
    Down,
}

/// A health check. It runs when all pods run the new images, and again after a rollback; anything but `Healthy` is a failed rollout.
#[derive(Clone, Debug, Deserialize, Eq, Hash, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.http) != has(self.job)").message("a check is either http or job"))]
pub struct Check {
    /// Its name.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Ask a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpCheck>,
    /// Run the team's own test as a Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobCheck>,
}

/// Asks a URL with GET, without credentials, following no redirect. Only services of the target's namespace may be asked
/// (`<service>.<namespace>.svc`), and hosts the operator's administrator allows.
#[derive(Clone, Debug, Deserialize, Eq, Hash, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpCheck {
    /// The URL, e.g. `http://{workload}.{namespace}.svc:8080/healthz`: `{namespace}` and `{workload}` are filled in.
    #[schemars(length(min = 1, max = 2048), regex(pattern = r"^https?://"))]
    pub url: String,
    /// Status the answer must have.
    #[serde(default = "default_status")]
    #[schemars(range(min = 100, max = 599))]
    pub expected_status: i32,
    /// Text the first 64 KiB of the answer's body must contain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub body_contains: Option<String>,
    /// An answer that takes longer counts as `Degraded`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 60000))]
    pub max_latency_milliseconds: Option<i32>,
    /// Seconds after which no complete answer counts as none.
    #[serde(default = "default_timeout")]
    #[schemars(range(min = 1, max = 60))]
    pub timeout_seconds: i32,
    /// Seconds between two probes.
    #[serde(default = "default_period")]
    #[schemars(range(min = 1, max = 300))]
    pub period_seconds: i32,
    /// How many probes in a row must be good.
    #[serde(default = "default_successes")]
    #[schemars(range(min = 1, max = 100))]
    pub success_threshold: i32,
    /// How many probes in a row must be bad for the check to have failed.
    #[serde(default = "default_failures")]
    #[schemars(range(min = 1, max = 100))]
    pub failure_threshold: i32,
}

fn default_status() -> i32 {
    200
}
fn default_timeout() -> i32 {
    5
}
fn default_period() -> i32 {
    5
}
fn default_successes() -> i32 {
    1
}
fn default_failures() -> i32 {
    3
}

/// Runs an image of the team's as a Job in the target's namespace: it is healthy if the Job completes. The operator's administrator
/// has to allow it, and the ticket's author needs the right to create Jobs. The pod meets the restricted pod security standard.
#[derive(Clone, Debug, Deserialize, Eq, Hash, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobCheck {
    /// The image to run.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new(image::SCHEME.0).message(image::SCHEME.1))]
    #[x_kube(validation = Rule::new(image::ONLY_A_TAG.0).message(image::ONLY_A_TAG.1))]
    #[x_kube(validation = Rule::new(image::REFERENCE.as_str()).message(image::REFERENCE_MESSAGE))]
    pub image: String,
    /// Its entry point; default: the image's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 1024)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub command: Vec<String>,
    /// Its arguments; default: the image's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 1024)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub args: Vec<String>,
    /// Service account of the pod; default: the namespace's default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub service_account_name: Option<String>,
    /// Seconds after which a Job that has not completed has failed.
    #[serde(default = "default_job_timeout")]
    #[schemars(range(min = 1, max = 86400))]
    pub timeout_seconds: i32,
}

fn default_job_timeout() -> i32 {
    300
}

/// What a check found.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckResult {
    /// Name of the check.
    #[schemars(length(max = 63))]
    pub name: String,
    /// How healthy what it looked at is.
    pub state: HealthState,
    /// Why, as one word.
    pub reason: Word,
    /// Why, in a sentence.
    pub message: Sentence,
    /// How long the last answer took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_milliseconds: Option<i64>,
    /// How many times it looked.
    pub probes: i32,
    /// When it was over.
    pub time: MicroTime,
}

/// The worst of the results.
#[must_use]
pub fn worst(results: &[CheckResult]) -> Option<HealthState> {
    results.iter().map(|r| r.state).max()
}
