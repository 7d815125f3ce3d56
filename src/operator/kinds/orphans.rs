//! Letting workloads go that a deleted record left behind.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::channel::mpsc::UnboundedReceiver;
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use crate::runtime::call::{Reply, call};
use crate::runtime::context::Context;
use crate::runtime::error::Error;
use crate::runtime::guarded::Guarded;
use crate::workloads::requests;
use trackdown_api::record::Record;
use trackdown_api::ticket::Ticket;
use trackdown_api::workload_ref::Workload;
use trackdown_core::facets::Facet;
use trackdown_core::record::orphan;
use trackdown_core::workload::view::WorkloadView;

/// Pause before a look: a record that only is not known yet is known then, and one that is made again has been made.
const PAUSE: Duration = Duration::from_secs(5);

/// Looks under way at the same time.
const AT_ONCE: usize = 64;

/// Looks at every workload it is told of, after a pause.
pub async fn keep(ctx: &Arc<Context>, left: UnboundedReceiver<Workload>) {
    left.for_each_concurrent(AT_ONCE, |workload| async move {
        tokio::time::sleep(PAUSE).await;
        if let Err(error) = look(ctx, &workload).await {
            tracing::warn!(%error, %workload, "a workload that a deleted record left behind could not be let go");
        }
    })
    .await;
}

async fn look(ctx: &Context, workload: &Workload) -> Result<(), Error> {
    let Some(cached) = ctx.rolling_workload(workload) else { return Ok(()) };
    let held =
        |view: &WorkloadView, record: &Record| record.spec.workload == *workload && orphan::is_held_by(view, &record.name_any());
    if ctx.records.about(&Facet::Workload(workload.clone())).iter().any(|r| held(&cached, r)) {
        return Ok(());
    }
    let Reply::Ok((view, _)) = ctx.read_workload(workload).await? else { return Ok(()) };
    let api: Api<Guarded<Record>> = Api::namespaced(ctx.client.clone(), &workload.namespace);
    let of_workload = ListParams::default().fields(&format!("spec.workload.name={}", workload.name));
    match call("list the workload's records", api.list(&of_workload)).await? {
        // One that cannot be read may be the one that holds it.
        Reply::Ok(records) if records.items.iter().all(|r| r.0.as_ref().is_ok_and(|r| !held(&view, r))) => {}
        _ => return Ok(()),
    }
    let in_namespace = |t: &&Arc<Ticket>| t.metadata.namespace.as_ref() == Some(&workload.namespace);
    let tickets = ctx.tickets.all();
    if let Some(patch) = orphan::release(&view, tickets.iter().filter(in_namespace).map(|t| &**t)) {
        tracing::info!(%workload, "let go: the record that had it in hand was deleted");
        // Refused: somebody else has changed it, and it is looked at again then.
        let _ = requests::patch(&ctx.client, workload, patch, false).await?;
    }
    Ok(())
}
