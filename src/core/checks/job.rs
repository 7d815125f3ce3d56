//! Job checks: whether they may be, the Job that is made, and what came of it.

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, PodSecurityContext, PodSpec, PodTemplateSpec, SeccompProfile, SecurityContext,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::ObjectMeta;
use kube::{Resource, ResourceExt};

use super::{Forbidden, HEALTHY, Outcome, TIMEOUT};
use trackdown_api::RECORD_LABEL;
use trackdown_api::check::{HealthState, JobCheck};
use trackdown_api::record::Record;

/// Jobs as checks are switched off.
pub const DISABLED: &str = "JobChecksDisabled";

/// How long a finished Job stays, for its logs.
const KEPT_SECONDS: i32 = 24 * 60 * 60;

/// See [`super::permitted`]. `enabled`: whether checks may be Jobs.
///
/// # Errors
/// What is in the way.
pub fn permitted(path: &str, enabled: bool) -> Result<(), Forbidden> {
    if enabled {
        return Ok(());
    }
    let message = format!(
        "{path} is a Job, which the operator may not run: remove it, or have an administrator set the chart value \
         checks.jobs.enabled"
    );
    Err(Forbidden { reason: DISABLED, message })
}

/// The outcome where Jobs were switched off after the rollout had begun.
#[must_use]
pub fn switched_off() -> Outcome {
    Outcome::not_run(DISABLED, "Jobs as checks are switched off in the operator (--job-checks)")
}

/// The Job that runs the check for a record.
#[must_use]
pub fn manifest(record: &Record, name: &str, check: &JobCheck) -> Job {
    let labels = [(RECORD_LABEL.to_owned(), record.name_any())];
    Job {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(record.spec.workload.namespace.clone()),
            labels: Some(labels.clone().into()),
            owner_references: Some(vec![owner(record)]),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            backoff_limit: Some(0),
            // What it finds after the checks are over is of no use.
            active_deadline_seconds: Some(check.timeout_seconds.min(record.spec.timeout_seconds).into()),
            ttl_seconds_after_finished: Some(KEPT_SECONDS),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta { labels: Some(labels.into()), ..ObjectMeta::default() }),
                spec: Some(pod(check)),
            },
            ..JobSpec::default()
        }),
        ..Job::default()
    }
}

fn owner(record: &Record) -> OwnerReference {
    // No blockOwnerDeletion: some clusters take a right on the record's finalizers for it.
    OwnerReference {
        api_version: Record::api_version(&()).into_owned(),
        kind: Record::kind(&()).into_owned(),
        name: record.name_any(),
        uid: record.uid().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: None,
    }
}

fn pod(check: &JobCheck) -> PodSpec {
    let list = |texts: &[String]| (!texts.is_empty()).then(|| texts.to_vec());
    let container = Container {
        name: "check".to_owned(),
        image: Some(check.image.clone()),
        command: list(&check.command),
        args: list(&check.args),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), ..Capabilities::default() }),
            ..SecurityContext::default()
        }),
        ..Container::default()
    };
    PodSpec {
        containers: vec![container],
        restart_policy: Some("Never".to_owned()),
        service_account_name: check.service_account_name.clone(),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), ..SeccompProfile::default() }),
            ..PodSecurityContext::default()
        }),
        ..PodSpec::default()
    }
}

/// Whether the Job was made for this very record.
#[must_use]
pub fn is_for(job: &Job, record: &Record) -> bool {
    job.owner_references().iter().any(|o| Some(&o.uid) == record.metadata.uid.as_ref())
}

/// What came of the Job of a check.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// It could not be made, and why.
    Refused(String),
    /// Its namespace is gone.
    NoNamespace,
    /// There is one of its name, which could not be read, and why.
    Unreadable(String),
    /// There is one of its name that was made for something else.
    NotOurs,
    /// It was deleted before it ended.
    Deleted,
    /// It did not end within so many seconds.
    Late(u64),
    /// This is the last of it.
    Ended(Box<Job>),
}

/// What it means for the check.
#[must_use]
pub fn judge(name: &str, seen: &Seen) -> Outcome {
    match seen {
        Seen::Refused(why) => down("JobRefused", format!("the API server refuses Job {name}: {why}")),
        Seen::NoNamespace => down("JobRefused", format!("Job {name} cannot be made: its namespace is gone")),
        Seen::Unreadable(why) => down("JobRefused", format!("Job {name} cannot be read: {why}")),
        Seen::NotOurs => down("NameTaken", format!("there is a Job {name} that is not Trackdown's")),
        Seen::Deleted => down("JobDeleted", format!("Job {name} was deleted before it ended")),
        Seen::Late(seconds) => down(TIMEOUT, format!("Job {name} did not end within {seconds} s")),
        Seen::Ended(job) => end(job).unwrap_or_else(|| down("Unknown", format!("Job {name} says nothing about its end"))),
    }
}

/// Whether the Job is over.
#[must_use]
pub fn has_ended(job: &Job) -> bool {
    end(job).is_some()
}

/// How the Job ended, if it has.
fn end(job: &Job) -> Option<Outcome> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let holds = |kind: &str| conditions.iter().find(|c| c.type_ == kind && c.status == "True");
    let name = job.name_any();
    if holds("Complete").is_some() {
        let message = format!("Job {name} completed");
        return Some(Outcome { state: HealthState::Healthy, reason: HEALTHY, message, latency_milliseconds: None, probes: 1 });
    }
    let failed = holds("Failed")?;
    let why = failed.message.as_deref().or(failed.reason.as_deref()).unwrap_or("no reason given");
    Some(down("JobFailed", format!("Job {name} failed: {why}")))
}

fn down(reason: &'static str, message: String) -> Outcome {
    Outcome { state: HealthState::Down, reason, message, latency_milliseconds: None, probes: 1 }
}

#[cfg(test)]
mod tests;
