//! A check that is a Job: made once under a name of its own, then watched to its end.

use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, PodSecurityContext, PodSpec, PodTemplateSpec, SeccompProfile, SecurityContext,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client, Resource, ResourceExt};

use crate::runtime::call::{Reply, call};
use crate::runtime::error::Error;
use crate::runtime::watch_one::watch_one;
use trackdown_api::check::{HealthState, JobCheck};
use trackdown_api::record::Record;
use trackdown_api::{FIELD_MANAGER, RECORD_LABEL};
use trackdown_core::check::{HEALTHY, Outcome, TIMEOUT};

/// Time its own deadline has to be noticed in, and pause before a call that failed is tried again.
const GRACE: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_secs(1);

/// How long a finished Job stays, for its logs.
const KEPT_SECONDS: i32 = 24 * 60 * 60;

/// Runs the check for a record and waits for its end.
pub async fn run(client: &Client, record: &Record, name: &str, check: &JobCheck) -> Outcome {
    let api: Api<Job> = Api::namespaced(client.clone(), &record.spec.workload.namespace);
    if let Err(refused) = create(&api, record, name, check).await {
        return refused;
    }
    let limit = Duration::from_secs(u64::try_from(check.timeout_seconds).unwrap_or_default()) + GRACE;
    let ended = async {
        let mut changes = watch_one(api.clone(), name).boxed();
        while let Some(change) = changes.next().await {
            match change {
                Ok(job) if job.as_ref().is_none_or(|j| end(j).is_some()) => return job,
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, job = name, "watching the Job of a check failed, trying again"),
            }
        }
        None
    };
    match tokio::time::timeout(limit, ended).await {
        Ok(Some(job)) => end(&job).unwrap_or_else(|| down("Unknown", format!("Job {name} says nothing about its end"))),
        Ok(None) => down("JobDeleted", format!("Job {name} was deleted before it ended")),
        Err(_) => down(TIMEOUT, format!("Job {name} did not end within {} s", limit.as_secs())),
    }
}

/// Makes the Job. One that is there already is as good, if it was made for this very record.
async fn create(api: &Api<Job>, record: &Record, name: &str, check: &JobCheck) -> Result<(), Outcome> {
    let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    let wanted = job(record, name, check);
    loop {
        match call("create the Job of a check", api.create(&params, &wanted)).await {
            Ok(Reply::Ok(_)) => return Ok(()),
            Ok(Reply::Refused(why)) => return Err(down("JobRefused", format!("the API server refuses Job {name}: {why}"))),
            Ok(Reply::NotFound) => return Err(down("JobRefused", format!("Job {name} cannot be made: its namespace is gone"))),
            Err(Error::AlreadyExists { .. }) => {}
            Err(error) => {
                tracing::warn!(%error, job = name, "making the Job of a check failed, trying again");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        }
        match call("read the Job of a check", api.get(name)).await {
            Ok(Reply::Ok(job)) if job.owner_references().iter().any(|o| Some(&o.uid) == record.metadata.uid.as_ref()) => {
                return Ok(());
            }
            Ok(Reply::Ok(_)) => return Err(down("NameTaken", format!("there is a Job {name} that is not Trackdown's"))),
            Ok(Reply::Refused(why)) => return Err(down("JobRefused", format!("Job {name} cannot be read: {why}"))),
            Ok(Reply::NotFound) | Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

fn job(record: &Record, name: &str, check: &JobCheck) -> Job {
    let labels = [(RECORD_LABEL.to_owned(), record.name_any())];
    // No blockOwnerDeletion: some clusters take a right on the record's finalizers for it.
    let owner = OwnerReference {
        api_version: Record::api_version(&()).into_owned(),
        kind: Record::kind(&()).into_owned(),
        name: record.name_any(),
        uid: record.uid().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: None,
    };
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
    let pod = PodSpec {
        containers: vec![container],
        restart_policy: Some("Never".to_owned()),
        service_account_name: check.service_account_name.clone(),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), ..SeccompProfile::default() }),
            ..PodSecurityContext::default()
        }),
        ..PodSpec::default()
    };
    Job {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(record.spec.workload.namespace.clone()),
            labels: Some(labels.clone().into()),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            backoff_limit: Some(0),
            // What it finds after the checks are over is of no use.
            active_deadline_seconds: Some(check.timeout_seconds.min(record.spec.timeout_seconds).into()),
            ttl_seconds_after_finished: Some(KEPT_SECONDS),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta { labels: Some(labels.into()), ..ObjectMeta::default() }),
                spec: Some(pod),
            },
            ..JobSpec::default()
        }),
        ..Job::default()
    }
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
