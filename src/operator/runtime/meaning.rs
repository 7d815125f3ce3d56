//! What it means to others that an object of a kind has changed.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::kinds::routes::{self, Wake};
use crate::runtime::context::Context;
use trackdown_api::record::Record;
use trackdown_api::ticket::Ticket;
use trackdown_core::workload::Rollable;

/// What a kind's changes mean to others.
pub struct Meaning<'a, K> {
    /// An object is new, or not what it was.
    pub changed: Box<dyn Fn(&K) -> Wake + Send>,
    /// An object is gone.
    pub deleted: Box<dyn Fn(&K) -> Wake + Send>,
    /// After the first list, instead of each object's change.
    pub everything: Option<Box<dyn Fn() -> Wake + Send>>,
    /// Told when something was never heard of: everything is listed again at once.
    pub unheard: Option<&'a Notify>,
}

/// Of tickets.
#[must_use]
pub fn of_tickets(ctx: &Arc<Context>) -> Meaning<'_, Ticket> {
    let (changed, deleted, everything) = (ctx.clone(), ctx.clone(), ctx.clone());
    Meaning {
        changed: Box::new(move |t| routes::ticket_changed(t, &changed.tickets, &changed.records)),
        deleted: Box::new(move |t| {
            deleted.forget_ticket(t);
            routes::ticket_changed(t, &deleted.tickets, &deleted.records)
        }),
        everything: Some(Box::new(move || everything_of(&everything))),
        unheard: Some(&ctx.ticket_unheard),
    }
}

/// Of records.
#[must_use]
pub fn of_records(ctx: &Arc<Context>) -> Meaning<'_, Record> {
    let (changed, deleted, everything) = (ctx.clone(), ctx.clone(), ctx.clone());
    Meaning {
        changed: Box::new(move |r| routes::record_changed(r, &changed.tickets, &changed.records)),
        deleted: Box::new(move |r| {
            deleted.forget_record(r);
            routes::record_deleted(r, &deleted.tickets, deleted.rolling_workload(&r.spec.workload).as_ref())
        }),
        everything: Some(Box::new(move || everything_of(&everything))),
        unheard: Some(&ctx.record_unheard),
    }
}

/// Of workloads with a rollout in flight, of any kind.
#[must_use]
pub fn of_workloads<W: Rollable + 'static>(ctx: &Arc<Context>) -> Meaning<'_, W> {
    let (changed, deleted) = (ctx.clone(), ctx.clone());
    Meaning {
        changed: Box::new(move |w| routes::workload_changed(&w.view(), &changed.records)),
        deleted: Box::new(move |w| {
            let view = w.view();
            deleted.forget_workload(&view.workload);
            routes::workload_released(&view, &deleted.tickets, &deleted.records)
        }),
        everything: None,
        unheard: None,
    }
}

fn everything_of(ctx: &Context) -> Wake {
    routes::everything(&ctx.tickets, &ctx.records, &ctx.workloads.all())
}
