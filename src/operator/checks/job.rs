//! A check that is a Job: made once under a name of its own, then watched to its end.

use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::batch::v1::Job;
use kube::api::PostParams;
use kube::{Api, ResourceExt};

use super::Round;
use crate::runtime::call::{Reply, call};
use crate::runtime::error::Error;
use crate::runtime::watch_one::watch_one;
use trackdown_api::FIELD_MANAGER;
use trackdown_api::check::JobCheck;
use trackdown_api::record::Record;
use trackdown_core::checks::Outcome;
use trackdown_core::checks::job::{Seen, has_ended, is_for, judge, manifest, switched_off};
use trackdown_core::request;

/// Time its own deadline has to be noticed in, and pause before a call that failed is tried again.
const GRACE: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_secs(1);

/// Runs the check for a record and waits for its end. `name`: the check's.
pub async fn run(round: Round<'_>, name: &str, check: &JobCheck) -> Outcome {
    if !round.limits.jobs {
        return switched_off();
    }
    let name = request::job_name(&round.record.name_any(), name, round.phase);
    let api: Api<Job> = Api::namespaced(round.client.clone(), &round.record.spec.workload.namespace);
    let made = create(&api, round.record, &name, check).await;
    let seen = match made {
        Ok(()) => follow(api, &name, check).await,
        Err(seen) => seen,
    };
    judge(&name, &seen)
}

async fn follow(api: Api<Job>, name: &str, check: &JobCheck) -> Seen {
    let limit = Duration::from_secs(u64::try_from(check.timeout_seconds).unwrap_or_default()) + GRACE;
    let last = async {
        let mut changes = watch_one(api, name).boxed();
        while let Some(change) = changes.next().await {
            match change {
                Ok(job) if job.as_ref().is_none_or(has_ended) => return job,
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, job = name, "watching the Job of a check failed, trying again"),
            }
        }
        None
    };
    match tokio::time::timeout(limit, last).await {
        Ok(Some(job)) => Seen::Ended(Box::new(job)),
        Ok(None) => Seen::Deleted,
        Err(_) => Seen::Late(limit.as_secs()),
    }
}

/// Makes the Job. One that is there already is as good, if it was made for this very record.
async fn create(api: &Api<Job>, record: &Record, name: &str, check: &JobCheck) -> Result<(), Seen> {
    let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    let wanted = manifest(record, name, check);
    loop {
        match call("create the Job of a check", api.create(&params, &wanted)).await {
            Ok(Reply::Ok(_)) => return Ok(()),
            Ok(Reply::Refused(why)) => return Err(Seen::Refused(why)),
            Ok(Reply::NotFound) => return Err(Seen::NoNamespace),
            Err(Error::AlreadyExists { .. }) => {}
            Err(error) => {
                tracing::warn!(%error, job = name, "making the Job of a check failed, trying again");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        }
        match call("read the Job of a check", api.get(name)).await {
            Ok(Reply::Ok(job)) if is_for(&job, record) => return Ok(()),
            Ok(Reply::Ok(_)) => return Err(Seen::NotOurs),
            Ok(Reply::Refused(why)) => return Err(Seen::Unreadable(why)),
            Ok(Reply::NotFound) | Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
