//! Reconciles one ticket.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kube::api::PostParams;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};

use crate::runtime::call::{Reply, call};
use crate::runtime::context::Context;
use crate::runtime::drive::{Perform, drive, now};
use crate::runtime::error::Error;
use crate::runtime::status;
use crate::workloads::requests;
use trackdown_api::FIELD_MANAGER;
use trackdown_api::record::Record;
use trackdown_api::ticket::{Ticket, TicketState, TicketStatus};
use trackdown_api::workload_ref::{Workload, WorkloadKind};
use trackdown_core::facets::{Facet, is_ready};
use trackdown_core::lineage::Since;
use trackdown_core::machine::Pass;
use trackdown_core::ticket::{
    Probe, RecordSeen, TicketRead, TicketReply, TicketRest, TicketWorld, TicketWrite, is_in_flight, named_records,
};
use trackdown_core::{gates, happening, queue, request};

/// One pass over a ticket: observe, decide, write, until there is nothing more to do.
///
/// # Errors
/// Anything after which the pass has to be tried again.
pub async fn reconcile(cached: Arc<Ticket>, ctx: Arc<Context>) -> Result<Action, Error> {
    let namespace = cached.namespace().unwrap_or_default();
    let name = cached.name_any();
    let Some(mut ticket) = ctx.ticket(&namespace, &name) else { return Ok(Action::await_change()) };
    let checkup = ctx.checkups.is_due(&key(&namespace, &name), is_in_flight(&ticket));
    if checkup {
        let Some(live) = ctx.read_again(&ctx.fresh_tickets, &ticket).await? else {
            ctx.ticket_unheard.notify_one();
            return Ok(Action::await_change());
        };
        ticket = live;
    }
    let hands = Hands { ctx: &ctx, namespace, checkup };
    let mut pass = Pass::new(gather(&ctx, &ticket, checkup));
    let rest = drive(&mut pass, &hands).await?;
    Ok(hands.rest(&pass.machine, &rest))
}

fn key(namespace: &str, name: &str) -> String {
    format!("ticket/{namespace}/{name}")
}

/// `checkup`: of the records nothing is taken from the cache.
fn gather(ctx: &Context, ticket: &Ticket, checkup: bool) -> TicketWorld {
    let namespace = ticket.namespace().unwrap_or_default();
    let records = named_records(ticket).filter(|_| !checkup).filter_map(|name| {
        let record = ctx.record(&namespace, name)?;
        Some((name.clone(), RecordSeen::Found(Box::new((*record).clone()))))
    });
    TicketWorld {
        records: records.collect(),
        dependencies: gates::reachable(ticket, |name| ctx.ticket(&namespace, name)),
        since: since(ctx, ticket),
        rivals: rivals(ctx, ticket),
        probes: BTreeMap::new(),
        monitor_only: ctx.monitor_only,
        policy_missing: ctx.policies.borrow().clone(),
        limits: ctx.limits.clone(),
        now: now(),
        ticket: ticket.clone(),
    }
}

/// What came after the records of the ticket.
fn since(ctx: &Context, ticket: &Ticket) -> BTreeMap<String, Since> {
    let namespace = ticket.namespace().unwrap_or_default();
    let entries = ticket.status.iter().flat_map(|s| &s.targets).filter(|e| e.result.is_some());
    let records = entries.filter_map(|e| ctx.record(&namespace, e.record.as_deref()?));
    records.filter_map(|record| Some((record.name_any(), ctx.since(&record)?))).collect()
}

fn rivals(ctx: &Context, ticket: &Ticket) -> Vec<(Workload, Arc<Ticket>)> {
    if ticket.spec.state != Some(TicketState::ReadyForDeployment) {
        return Vec::new();
    }
    let workloads: BTreeSet<_> = request::workloads(ticket).collect();
    let others = workloads.into_iter().flat_map(|workload| {
        let others = ctx.tickets.about(&Facet::Workload(workload.clone())).into_iter();
        others.map(move |other| (workload.clone(), other))
    });
    others
        .filter(|(_, other)| is_ready(other) && other.metadata.uid != ticket.metadata.uid)
        .filter(|(workload, other)| queue::competes(other, workload))
        .collect()
}

/// Who performs the steps of a pass.
struct Hands<'a> {
    ctx: &'a Context,
    namespace: String,
    /// What is in flight is read again in this pass.
    checkup: bool,
}

impl Perform<TicketWorld> for Hands<'_> {
    async fn read(&self, _: &TicketWorld, wanted: TicketRead) -> Result<TicketReply, Error> {
        match wanted {
            TicketRead::Record(name) => self.read_record(&name).await,
            TicketRead::Workload(workload) => self.read_workload(workload).await,
        }
    }

    async fn write(&self, world: &TicketWorld, wanted: TicketWrite) -> Result<TicketReply, Error> {
        match wanted {
            TicketWrite::Status(status) => self.write_status(world, *status).await,
            TicketWrite::Create(record) => self.create_record(world, *record).await,
        }
    }
}

impl Hands<'_> {
    fn rest(&self, world: &TicketWorld, rest: &TicketRest) -> Action {
        let ticket = &world.ticket;
        let watched = self.ctx.watched.tell_ticket(&self.ctx.client, &ObjectRef::from_obj(ticket), &rest.watch);
        let key = key(&self.namespace, &ticket.name_any());
        let checkup = self.ctx.checkups.next(&key, is_in_flight(ticket));
        self.ctx.next_pass(&key, ticket.metadata.generation, rest.until, rest.recheck || !watched, checkup)
    }

    async fn read_record(&self, name: &str) -> Result<TicketReply, Error> {
        let seen = match self.ctx.read_record(&self.namespace, name).await? {
            Reply::Ok(record) => {
                if self.checkup && self.ctx.records.get(&self.namespace, name).is_none() {
                    self.ctx.record_unheard.notify_one();
                }
                RecordSeen::Found(Box::new(record))
            }
            Reply::NotFound => RecordSeen::Absent,
            // What is known of it may be late, and is better than nothing: refused for a moment.
            Reply::Refused(why) if self.ctx.record(&self.namespace, name).is_some() => {
                return Err(Error::refused("read the record", why));
            }
            Reply::Refused(why) => RecordSeen::Unreadable(why),
        };
        Ok(TicketReply::Record(name.to_owned(), seen))
    }

    async fn read_workload(&self, workload: Workload) -> Result<TicketReply, Error> {
        let probe = match self.ctx.probe_workload(&workload).await? {
            Reply::Ok((view, holder)) => Probe::Found(Box::new(view), holder),
            Reply::NotFound => self.missing(&workload).await?,
            Reply::Refused(why) => Probe::Unreadable(why),
        };
        Ok(TicketReply::Workload(workload, Box::new(probe)))
    }

    /// Why a workload is not found: a person who mistypes its kind finds no other hint.
    async fn missing(&self, workload: &Workload) -> Result<Probe, Error> {
        if !requests::is_served(&self.ctx.client, workload.kind).await? {
            return Ok(Probe::NoSuchKind);
        }
        let mut others = Vec::new();
        for kind in WorkloadKind::ALL.into_iter().filter(|kind| *kind != workload.kind) {
            let other = Workload { kind, ..workload.clone() };
            if let Reply::Ok(_) = requests::read(&self.ctx.client, &other).await? {
                others.push(kind);
            }
        }
        Ok(Probe::Missing(others))
    }

    async fn write_status(&self, world: &TicketWorld, status: TicketStatus) -> Result<TicketReply, Error> {
        let before = &world.ticket;
        let sent = Ticket { status: Some(status), ..before.clone() };
        let kind =
            status::Kind { action: "write the ticket's status", crd: "tickets.trackdown.dev", fresh: &self.ctx.fresh_tickets };
        let answer = status::write(self.ctx, &kind, before, &sent).await?;
        self.ctx.tell(happening::ticket::between(before.status.as_ref(), &answer));
        Ok(TicketReply::StatusWritten(Box::new(answer)))
    }

    async fn create_record(&self, world: &TicketWorld, record: Record) -> Result<TicketReply, Error> {
        let name = record.name_any();
        let api: Api<Record> = Api::namespaced(self.ctx.client.clone(), &self.namespace);
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        // Before it is created: its reconciler may see it before the answer is here.
        if let Some(Probe::Found(view, holder)) = world.probes.get(&record.spec.workload) {
            self.ctx.hand_off(&record, (**view).clone(), holder.clone());
        }
        let reply = call("create the record", api.create(&params, &record)).await;
        if !matches!(reply, Ok(Reply::Ok(_))) {
            self.ctx.take_handoff(&record);
        }
        match reply {
            Ok(Reply::Ok(created)) => {
                self.ctx.fresh_records.wrote(None, &created);
                self.ctx.tell([happening::record::created(&created)]);
                Ok(TicketReply::Created(Box::new(created)))
            }
            Err(taken @ Error::AlreadyExists { .. }) => match self.read_record(&name).await? {
                // Deleted meanwhile, or read from an API server that is behind: not to be decided in one breath.
                TicketReply::Record(_, RecordSeen::Absent) => Err(taken),
                read => Ok(read),
            },
            Ok(Reply::Refused(why)) => Ok(TicketReply::Record(name, RecordSeen::Refused(why))),
            Ok(Reply::NotFound) => Err(Error::Conflict { action: "create the record" }),
            Err(error) => Err(error),
        }
    }
}
