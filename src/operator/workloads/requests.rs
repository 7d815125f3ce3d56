//! Reading and patching workloads of every kind.

use json_patch::Patch as JsonPatch;
use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};

use crate::runtime::call::{Reply, call};
use crate::runtime::error::Error;
use crate::runtime::guarded::Guarded;
use crate::workloads::kinds::{WorkloadType, by_type};
use trackdown_api::FIELD_MANAGER;
use trackdown_api::workload_ref::{Workload, WorkloadKind, is_name};
use trackdown_core::record::Looked;
use trackdown_core::workload::argo_rollout::Rollout;
use trackdown_core::workload::view::{TemplateSeen, WorkloadView};

/// Reads a workload from the API server.
///
/// # Errors
/// If the API server does not answer.
pub async fn read(client: &Client, workload: &Workload) -> Result<Reply<WorkloadView>, Error> {
    if !is_name(&workload.name) {
        return Ok(no_name(workload));
    }
    let mut reply = by_type!(workload.kind, W => read_as::<W>(client, workload).await)?;
    // Of a kind whose controller goes back by itself: what to is part of what is known of it.
    if let Reply::Ok(WorkloadView { unpromoted: Some(unpromoted), .. }) = &mut reply {
        match read_replica_set(client, &workload.namespace, &unpromoted.replica_set).await? {
            Looked::Found(good) => unpromoted.images = good.images,
            Looked::Refused(why) => unpromoted.unread = Some(why),
            Looked::Nothing | Looked::NotYet => {}
        }
    }
    Ok(reply)
}

/// Reads the `ReplicaSet` of a template.
///
/// # Errors
/// If the API server does not answer.
pub async fn read_replica_set(client: &Client, namespace: &str, name: &str) -> Result<Looked<TemplateSeen>, Error> {
    let api: Api<ReplicaSet> = Api::namespaced(client.clone(), namespace);
    Ok(match call("read the ReplicaSet", api.get(name)).await? {
        Reply::Ok(found) => Looked::Found(TemplateSeen::from(&found)),
        Reply::NotFound => Looked::Nothing,
        Reply::Refused(why) => Looked::Refused(why),
    })
}

async fn read_as<W: WorkloadType>(client: &Client, workload: &Workload) -> Result<Reply<WorkloadView>, Error> {
    let api: Api<W> = Api::namespaced(client.clone(), &workload.namespace);
    Ok(call("read the workload", api.get(&workload.name)).await?.map(|w| w.view()))
}

/// Name of a Rollout that takes its pod template from this Deployment. Nothing on the Deployment itself tells.
///
/// # Errors
/// If the API server does not answer.
pub async fn rollout_of(client: &Client, deployment: &Workload) -> Result<Option<String>, Error> {
    let api: Api<Guarded<Rollout>> = Api::namespaced(client.clone(), &deployment.namespace);
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let Reply::Ok(list) = call("list the Rollouts", api.list(&page)).await? else { return Ok(None) };
        let refers = |r: &&Rollout| {
            let reference = r.spec.workload_ref.as_ref();
            reference.is_some_and(|w| w.kind == deployment.kind.to_string() && w.name == deployment.name)
        };
        if let Some(rollout) = list.items.iter().filter_map(|r| r.0.as_ref().ok()).find(refers) {
            return Ok(Some(rollout.name_any()));
        }
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(None),
        }
    }
}

/// Rollouts in one answer.
const PAGE: u32 = 200;

/// Whether the API server knows the kind: only Kubernetes' own are always there.
///
/// # Errors
/// If the API server does not answer.
pub async fn is_served(client: &Client, kind: WorkloadKind) -> Result<bool, Error> {
    if kind.is_built_in() {
        return Ok(true);
    }
    let reply = call("ask which kinds there are", client.list_api_group_resources(kind.api_version())).await?;
    Ok(matches!(reply, Reply::Ok(list) if list.resources.iter().any(|r| r.kind == kind.to_string())))
}

/// Patches a workload; `dry_run`: the API server only checks.
///
/// # Errors
/// If it is not known whether the patch took effect.
pub async fn patch(client: &Client, workload: &Workload, patch: JsonPatch, dry_run: bool) -> Result<Reply<WorkloadView>, Error> {
    if !is_name(&workload.name) {
        return Ok(no_name(workload));
    }
    by_type!(workload.kind, W => patch_as::<W>(client, workload, patch, dry_run).await)
}

async fn patch_as<W: WorkloadType>(
    client: &Client,
    workload: &Workload,
    patch: JsonPatch,
    dry_run: bool,
) -> Result<Reply<WorkloadView>, Error> {
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), dry_run, ..PatchParams::default() };
    let patch: Patch<()> = Patch::Json(patch);
    let api: Api<W> = Api::namespaced(client.clone(), &workload.namespace);
    Ok(call("patch the workload", api.patch(&workload.name, &params, &patch)).await?.map(|w| w.view()))
}

/// In a path it would mean something else.
fn no_name(workload: &Workload) -> Reply<WorkloadView> {
    Reply::Refused(format!("{:?} is no name of an object", workload.name))
}
