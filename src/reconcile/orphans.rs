//! Letting workloads go that a deleted record left behind.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::channel::mpsc::UnboundedReceiver;
use kube::{Api, ResourceExt};

use super::context::Context;
use super::error::Error;
use super::io::{Reply, call};
use super::workloads;
use crate::api::ticket::Ticket;
use crate::api::workload_ref::Workload;
use crate::decide::preflight::Holder;
use crate::decide::record::orphan;

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
    let known = |namespace: &str, record: &str| ctx.record(namespace, record).is_some();
    let cached = ctx.rolling_workload(workload).and_then(|view| view.marker());
    if cached.is_none_or(|marker| known(&marker.namespace, &marker.record)) {
        return Ok(());
    }
    let Reply::Ok((view, Holder::Gone)) = ctx.read_workload(workload).await? else { return Ok(()) };
    let Some(marker) = view.marker() else { return Ok(()) };
    let ticket = read_ticket(ctx, &marker.namespace, &marker.ticket_uid).await?;
    if let Some(patch) = orphan::release(&view, &marker, ticket.as_ref()) {
        tracing::info!(%workload, record = marker.record, "let go: its record was deleted");
        // Refused: somebody else has changed it, and it is looked at again then.
        let _ = workloads::patch(&ctx.client, workload, patch, false).await?;
    }
    Ok(())
}

async fn read_ticket(ctx: &Context, namespace: &str, uid: &str) -> Result<Option<Ticket>, Error> {
    let is = |t: &Ticket| t.metadata.uid.as_deref() == Some(uid) && t.namespace().as_deref() == Some(namespace);
    let Some(known) = ctx.tickets.state_filter(is).into_iter().next() else { return Ok(None) };
    let api: Api<Ticket> = Api::namespaced(ctx.client.clone(), namespace);
    match call("read the ticket", api.get(&known.name_any())).await? {
        Reply::Ok(ticket) => Ok(Some(ticket).filter(is)),
        Reply::NotFound => Ok(None),
        Reply::Refused(why) => Err(Error::refused("read the ticket", why)),
    }
}
