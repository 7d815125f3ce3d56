//! Reconciles one ticket.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::api::PostParams;
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt};

use super::audit::{self, Decision};
use super::context::Context;
use super::error::Error;
use super::io::{Reply, call};
use super::{STEPS_MAX, workloads};
use crate::api::FIELD_MANAGER;
use crate::api::deployment::Deployment;
use crate::api::ticket::{Ticket, TicketState, TicketStatus};
use crate::api::workload_ref::{ContainerImage, Workload};
use crate::decide::ticket::{Probe, RecordSeen, TicketStep, TicketWorld, decide};
use crate::decide::{gates, notices, queue, request};

/// One pass over a ticket: observe, decide, write, until there is nothing more to do.
///
/// # Errors
/// Anything after which the pass has to be tried again.
pub async fn reconcile(cached: Arc<Ticket>, ctx: Arc<Context>) -> Result<Action, Error> {
    let namespace = cached.namespace().unwrap_or_default();
    let name = cached.name_any();
    let Some(ticket) = ctx.ticket(&namespace, &name) else { return Ok(Action::await_change()) };
    let mut pass = Pass { ctx: &ctx, world: gather(&ctx, &ticket), namespace };
    for _ in 0..STEPS_MAX {
        match decide(&pass.world) {
            TicketStep::ReadRecord(record) => pass.read_record(&record).await?,
            TicketStep::ReadWorkload(workload) => pass.read_workload(workload).await?,
            TicketStep::WriteStatus(status) => pass.write_status(*status).await?,
            TicketStep::CreateRecord(record) => pass.create_record(*record).await?,
            TicketStep::Wait { until, recheck } => return Ok(pass.wait(until, recheck)),
        }
        pass.world.now = Context::now();
    }
    Err(Error::TooManySteps)
}

/// Turns the end of a pass into the time of the next.
pub(super) fn wait(ctx: &Context, key: &String, generation: Option<i64>, until: Option<Timestamp>, recheck: bool) -> Action {
    ctx.retries.reset(key);
    let again = if recheck {
        Some(ctx.rechecks.pause(key, generation.unwrap_or_default()))
    } else {
        ctx.rechecks.reset(key);
        None
    };
    let until = until.map(|t| Duration::try_from(t.duration_since(Context::now())).unwrap_or_default());
    again.into_iter().chain(until).min().map_or_else(Action::await_change, Action::requeue)
}

fn gather(ctx: &Context, ticket: &Ticket) -> TicketWorld {
    let namespace = ticket.namespace().unwrap_or_default();
    let named = ticket.status.iter().flat_map(|s| &s.targets).filter_map(|e| e.record.as_ref());
    let records = named.filter_map(|name| {
        let record = ctx.record(&namespace, name)?;
        Some((name.clone(), RecordSeen::Found(Box::new((*record).clone()))))
    });
    TicketWorld {
        records: records.collect(),
        dependencies: gates::reachable(ticket, |name| ctx.ticket(&namespace, name)),
        rivals: rivals(ctx, ticket),
        probes: BTreeMap::new(),
        monitor_only: ctx.monitor_only,
        now: Context::now(),
        ticket: ticket.clone(),
    }
}

fn rivals(ctx: &Context, ticket: &Ticket) -> Vec<(Workload, Ticket)> {
    if ticket.spec.state != Some(TicketState::ReadyForDeployment) {
        return Vec::new();
    }
    let own = request::resolve(ticket);
    let ready = |t: &Ticket| t.status.as_ref().and_then(|s| s.state) == Some(TicketState::ReadyForDeployment);
    let others = ctx.tickets.state_filter(|t| ready(t) && t.metadata.uid != ticket.metadata.uid);
    let pairs = others.iter().flat_map(|other| own.iter().map(move |target| (&target.workload, other)));
    pairs
        .filter(|(workload, other)| queue::competes(other, workload))
        .map(|(workload, other)| (workload.clone(), (**other).clone()))
        .collect()
}

/// One pass in progress.
struct Pass<'a> {
    ctx: &'a Context,
    world: TicketWorld,
    namespace: String,
}

impl Pass<'_> {
    fn wait(&self, until: Option<Timestamp>, recheck: bool) -> Action {
        let ticket = &self.world.ticket;
        let key = format!("ticket/{}/{}", self.namespace, ticket.name_any());
        wait(self.ctx, &key, ticket.metadata.generation, until, recheck)
    }

    async fn read_record(&mut self, name: &str) -> Result<(), Error> {
        let seen = match self.ctx.read_record(&self.namespace, name).await? {
            Reply::Ok(record) => RecordSeen::Found(Box::new(record)),
            Reply::NotFound => RecordSeen::Absent,
            Reply::AlreadyExists => return Err(Error::Conflict { action: "read the record" }),
            Reply::Refused(why) => return Err(refused("read the record", why)),
        };
        self.world.records.insert(name.to_owned(), seen);
        Ok(())
    }

    async fn read_workload(&mut self, workload: Workload) -> Result<(), Error> {
        let probe = match workloads::read(&self.ctx.client, &workload).await? {
            Reply::Ok(view) => {
                let holder = self.ctx.holder(&view).await?;
                Probe::Found(Box::new(view), holder)
            }
            Reply::NotFound => Probe::Missing,
            Reply::AlreadyExists => Probe::Unreadable("unexpected answer".to_owned()),
            Reply::Refused(why) => Probe::Unreadable(why),
        };
        self.world.probes.insert(workload, probe);
        Ok(())
    }

    /// Writes the status with the resource version it was decided on. What the API server answers must be what was sent: if a
    /// field is missing, the installed CRD does not know it, and nothing Trackdown remembers there would be safe.
    async fn write_status(&mut self, status: TicketStatus) -> Result<(), Error> {
        let before = self.world.ticket.clone();
        let name = before.name_any();
        let mut sent = before.clone();
        sent.status = Some(status);
        let api: Api<Ticket> = Api::namespaced(self.ctx.client.clone(), &self.namespace);
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let answer = match call("write the ticket's status", api.replace_status(&name, &params, &sent)).await {
            Ok(Reply::Ok(answer)) => answer,
            Ok(Reply::NotFound) | Err(Error::Conflict { .. }) => {
                self.ctx.fresh_tickets.forget(&self.namespace, &name);
                return Err(Error::Conflict { action: "write the ticket's status" });
            }
            Ok(Reply::Refused(why)) => return Err(refused("write the ticket's status", why)),
            Ok(Reply::AlreadyExists) => return Err(Error::Conflict { action: "write the ticket's status" }),
            Err(error) => return Err(error),
        };
        if serde_json::to_value(&answer.status).ok() != serde_json::to_value(&sent.status).ok() {
            return Err(self.ctx.stop_for_old_crd("tickets.trackdown.dev"));
        }
        self.ctx.fresh_tickets.wrote(Some(&before), Arc::new(answer.clone()));
        self.note_intents(&before, &answer);
        self.world.ticket = answer;
        self.report(&before.status.unwrap_or_default());
        Ok(())
    }

    /// An attempt number that was just made up has no record yet; no need to ask.
    fn note_intents(&mut self, before: &Ticket, after: &Ticket) {
        let known = |name: &String| before.status.iter().flat_map(|s| &s.targets).any(|e| e.record.as_ref() == Some(name));
        let named = after.status.iter().flat_map(|s| &s.targets).filter_map(|e| e.record.as_ref());
        for name in named.filter(|n| !known(n)) {
            self.world.records.insert(name.clone(), RecordSeen::Absent);
        }
    }

    async fn create_record(&mut self, record: Deployment) -> Result<(), Error> {
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
        match reply? {
            Reply::Ok(created) => {
                self.ctx.fresh_records.wrote(None, Arc::new(created.clone()));
                self.audit("RecordCreated", &created.spec.target, created.spec.attempt, &name, &images(&created.spec.images));
                self.world.records.insert(name, RecordSeen::Found(Box::new(created)));
                Ok(())
            }
            Reply::AlreadyExists => self.read_record(&name).await,
            Reply::Refused(why) => {
                self.world.records.insert(name, RecordSeen::Refused(why));
                Ok(())
            }
            Reply::NotFound => Err(Error::Conflict { action: "create the record" }),
        }
    }

    fn report(&self, before: &TicketStatus) {
        let ticket = &self.world.ticket;
        let Some(after) = &ticket.status else { return };
        if before.state != after.state {
            let from = before.state.map_or("", TicketState::as_str);
            let to = after.state.map_or("", TicketState::as_str);
            let who = |label: &str, name: &Option<String>| name.as_ref().map_or(String::new(), |n| format!(" {label} {n}"));
            let newest = after.history.first();
            let by = newest.map(|t| who("by", &t.by) + &who("via", &t.via)).unwrap_or_default();
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

pub(super) fn images(images: &[ContainerImage]) -> String {
    let images = images.iter().map(|i| format!("{}={}", i.container, i.image));
    images.collect::<Vec<_>>().join(" ")
}

/// A refusal where the operator's own rights or CRDs should not allow one.
pub(super) fn refused(action: &'static str, why: String) -> Error {
    let status = kube::core::Status { message: why, code: 403, ..kube::core::Status::default() };
    Error::Api { action, source: Box::new(kube::Error::Api(status.boxed())) }
}
