//! Reading and patching workloads of every kind.

use json_patch::Patch as JsonPatch;
use k8s_openapi::api::apps;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};

use super::error::Error;
use super::io::{Reply, call};
use crate::api::FIELD_MANAGER;
use crate::api::workload_ref::{Workload, WorkloadKind};
use crate::workload::Rollable;
use crate::workload::view::WorkloadView;

/// Reads a workload from the API server.
///
/// # Errors
/// If the API server does not answer.
pub async fn read(client: &Client, workload: &Workload) -> Result<Reply<WorkloadView>, Error> {
    let reply = match workload.kind {
        WorkloadKind::Deployment => call("read the workload", deployments(client, workload).get(&workload.name)).await?,
        kind => return Ok(Reply::Refused(format!("{kind} is not supported yet"))),
    };
    Ok(reply.map(|w| w.view()))
}

/// Patches a workload; `dry_run`: the API server only checks.
///
/// # Errors
/// If it is not known whether the patch took effect.
pub async fn patch(client: &Client, workload: &Workload, patch: JsonPatch, dry_run: bool) -> Result<Reply<WorkloadView>, Error> {
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), dry_run, ..PatchParams::default() };
    let patch: Patch<()> = Patch::Json(patch);
    let reply = match workload.kind {
        WorkloadKind::Deployment => {
            call("patch the workload", deployments(client, workload).patch(&workload.name, &params, &patch)).await?
        }
        kind => return Ok(Reply::Refused(format!("{kind} is not supported yet"))),
    };
    Ok(reply.map(|w| w.view()))
}

fn deployments(client: &Client, workload: &Workload) -> Api<apps::v1::Deployment> {
    Api::namespaced(client.clone(), &workload.namespace)
}
