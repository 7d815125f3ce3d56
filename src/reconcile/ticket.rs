//! Reconciles one ticket.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use kube::api::PostParams;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};

use super::audit::{self, Decision};
use super::context::Context;
use super::error::Error;
use super::io::{Reply, call};
use super::{STEPS_MAX, status, workloads};
use crate::api::FIELD_MANAGER;
use crate::api::deployment::Deployment;
use crate::api::ticket::{Ticket, TicketState, TicketStatus};
use crate::api::workload_ref::{Workload, WorkloadKind};
use crate::decide::facets::{Facet, is_ready};
use crate::decide::lineage::Since;
use crate::decide::ticket::{Probe, Read, RecordSeen, TicketReply, TicketStep, TicketWorld, decide, named_records};
use crate::decide::{gates, lifecycle, notices, queue, request};

/// One pass over a ticket: observe, decide, write, until there is nothing more to do.
///
/// # Errors
/// Anything after which the pass has to be tried again.
pub async fn reconcile(cached: Arc<Ticket>, ctx: Arc<Context>) -> Result<Action, Error> {
    let namespace = cached.namespace().unwrap_or_default();
    let name = cached.name_any();
    let Some(mut ticket) = ctx.ticket(&namespace, &name) else { return Ok(Action::await_change()) };
    let checkup = ctx.checkups.is_due(&key(&namespace, &name), in_flight(&ticket));
    if checkup {
        let Some(live) = ctx.read_again(&ctx.fresh_tickets, &ticket).await? else {
            ctx.ticket_unheard.notify_one();
            return Ok(Action::await_change());
        };
        ticket = live;
    }
    let mut pass = Pass { ctx: &ctx, world: gather(&ctx, &ticket, checkup), namespace, checkup };
    // More targets than the API allows get in by a schema that was loosened.
    let most = STEPS_MAX * ticket.spec.targets.len().div_ceil(TARGETS).max(1);
    for _ in 0..most {
        let reply = match decide(&pass.world) {
            TicketStep::Read(Read::Record(record)) => pass.read_record(&record).await?,
            TicketStep::Read(Read::Workload(workload)) => pass.read_workload(workload).await?,
            TicketStep::WriteStatus(status) => pass.write_status(*status).await?,
            TicketStep::CreateRecord(record) => pass.create_record(*record).await?,
            TicketStep::Wait { until, recheck, watch } => return Ok(pass.wait(until, recheck, &watch)),
        };
        pass.world.learn(reply);
        pass.world.now = Context::now();
    }
    Err(Error::TooManySteps)
}

fn key(namespace: &str, name: &str) -> String {
    format!("ticket/{namespace}/{name}")
}

fn in_flight(ticket: &Ticket) -> bool {
    ticket.status.iter().flat_map(|s| &s.targets).any(lifecycle::in_flight)
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
        now: Context::now(),
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

/// Targets that [`STEPS_MAX`] is enough for.
const TARGETS: usize = 16;

/// One pass in progress.
struct Pass<'a> {
    ctx: &'a Context,
    world: TicketWorld,
    namespace: String,
    /// What is in flight is read again in this pass.
    checkup: bool,
}

impl Pass<'_> {
    fn wait(&self, until: Option<Timestamp>, recheck: bool, watch: &[Workload]) -> Action {
        let ticket = &self.world.ticket;
        let watched = self.ctx.watched.tell_ticket(&self.ctx.client, &ObjectRef::from_obj(ticket), watch);
        let key = key(&self.namespace, &ticket.name_any());
        let checkup = self.ctx.checkups.next(&key, in_flight(ticket));
        self.ctx.next_pass(&key, ticket.metadata.generation, until, recheck || !watched, checkup)
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
        if !workloads::is_served(&self.ctx.client, workload.kind).await? {
            return Ok(Probe::NoSuchKind);
        }
        let mut others = Vec::new();
        for kind in WorkloadKind::ALL.into_iter().filter(|kind| *kind != workload.kind) {
            let other = Workload { kind, ..workload.clone() };
            if let Reply::Ok(_) = workloads::read(&self.ctx.client, &other).await? {
                others.push(kind);
            }
        }
        Ok(Probe::Missing(others))
    }

    async fn write_status(&self, status: TicketStatus) -> Result<TicketReply, Error> {
        let before = &self.world.ticket;
        let sent = Ticket { status: Some(status), ..before.clone() };
        let kind =
            status::Kind { action: "write the ticket's status", crd: "tickets.trackdown.dev", fresh: &self.ctx.fresh_tickets };
        let answer = status::write(self.ctx, &kind, before, &sent).await?;
        self.report(before.status.as_ref(), &answer);
        Ok(TicketReply::StatusWritten(Box::new(answer)))
    }

    async fn create_record(&self, record: Deployment) -> Result<TicketReply, Error> {
        let name = record.name_any();
        let api: Api<Deployment> = Api::namespaced(self.ctx.client.clone(), &self.namespace);
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        // Before it is created: its reconciler may see it before the answer is here.
        if let Some(Probe::Found(view, holder)) = self.world.probes.get(&record.spec.workload) {
            self.ctx.hand_off(&record, (**view).clone(), holder.clone());
        }
        let reply = call("create the record", api.create(&params, &record)).await;
        if !matches!(reply, Ok(Reply::Ok(_))) {
            self.ctx.take_handoff(&record);
        }
        match reply {
            Ok(Reply::Ok(created)) => {
                self.ctx.fresh_records.wrote(None, &created);
                self.audit(
                    "RecordCreated",
                    &created.spec.target,
                    created.spec.attempt,
                    &name,
                    &audit::images(&created.spec.images),
                );
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

    fn report(&self, before: Option<&TicketStatus>, ticket: &Ticket) {
        let nothing = TicketStatus::default();
        let (before, Some(after)) = (before.unwrap_or(&nothing), &ticket.status) else { return };
        if before.state != after.state {
            let from = before.state.map_or("", TicketState::as_str);
            let to = after.state.map_or("", TicketState::as_str);
            let by = lifecycle::by_whom(after.history.first());
            self.audit("TransitionTaken", "", 0, "", &format!("{from} -> {to}{by}"));
        }
        for entry in &after.targets {
            let old = before.targets.iter().find(|e| e.name == entry.name);
            let record = entry.record.as_deref().unwrap_or_default();
            if old.map_or(0, |e| e.attempt) < entry.attempt {
                self.audit("AttemptIntended", &entry.name, entry.attempt, record, "");
            }
            if let Some(result) = entry.result.as_deref().filter(|_| old.is_none_or(|e| e.result != entry.result)) {
                self.audit("ResultTaken", &entry.name, entry.attempt, record, result);
            }
        }
        self.ctx.events.about_ticket(ticket, notices::between(before, after));
    }

    fn audit(&self, decision: &str, target: &str, attempt: i32, record: &str, detail: &str) {
        let ticket = &self.world.ticket;
        audit::log(&Decision {
            decision,
            namespace: &self.namespace,
            ticket: ticket.metadata.name.as_deref().unwrap_or_default(),
            ticket_uid: ticket.metadata.uid.as_deref().unwrap_or_default(),
            target,
            attempt,
            record,
            workload: "",
            detail,
        });
    }
}
