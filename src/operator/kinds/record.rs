//! Reconciles one Deployment record.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{DeleteParams, ListParams, Preconditions};
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};

use crate::runtime::call::{Reply, call, read};
use crate::runtime::context::Context;
use crate::runtime::drive::{Perform, drive, now};
use crate::runtime::error::Error;
use crate::runtime::status;
use crate::workloads::requests;
use trackdown_api::record::{Record, RecordStatus};
use trackdown_api::workload_ref::ContainerImage;
use trackdown_core::facets::Facet;
use trackdown_core::machine::{Machine, Pass};
use trackdown_core::preflight::{Holder, finished};
use trackdown_core::record::{
    Patched, Phase, Purpose, RecordRead, RecordReply, RecordRest, RecordWorld, RecordWrite, WorkloadRead, WorkloadSeen, observes,
    phase,
};
use trackdown_core::workload::pods::{self, PodView};
use trackdown_core::workload::view::WorkloadView;
use trackdown_core::{evidence, happening};

/// One pass over a record: observe, decide, write, until there is nothing more to do.
///
/// # Errors
/// Anything after which the pass has to be tried again.
pub async fn reconcile(cached: Arc<Record>, ctx: Arc<Context>) -> Result<Action, Error> {
    let namespace = cached.namespace().unwrap_or_default();
    let name = cached.name_any();
    let Some(mut record) = ctx.record(&namespace, &name) else { return Ok(Action::await_change()) };
    let key = ObjectRef::from_obj(&*record);
    let checkup = ctx.checkups.is_due(&pause_key(&namespace, &name), !finished(&record));
    if checkup {
        let Some(live) = ctx.read_again(&ctx.fresh_records, &record).await? else {
            ctx.record_unheard.notify_one();
            return Ok(Action::await_change());
        };
        record = live;
        // Listed anew.
        ctx.pods.stop(&key);
    }
    let hands = Hands { ctx: &ctx, namespace, name, key };
    let mut world = gather(&ctx, &record, &hands.key);
    if checkup {
        world.workload = WorkloadSeen::Unread;
        let ticket = hands.read_ticket(&world).await?;
        world.learn(ticket);
    }
    let mut pass = Pass::new(world);
    let rest = drive(&mut pass, &hands).await?;
    Ok(hands.rest(&pass.machine, &rest))
}

fn pause_key(namespace: &str, name: &str) -> String {
    format!("record/{namespace}/{name}")
}

fn gather(ctx: &Context, record: &Arc<Record>, key: &ObjectRef<Record>) -> RecordWorld {
    let namespace = record.namespace().unwrap_or_default();
    let ticket = ctx.ticket(&namespace, &record.spec.ticket.name);
    let patched = record.status.as_ref().is_some_and(|s| s.patched_time.is_some());
    let handoff = if patched { None } else { ctx.take_handoff(record) };
    // Made by this process just now. One that was made again may have written before.
    let traces = |view: &WorkloadView| view.marker().is_some_and(|m| m.record == record.name_any());
    if handoff.as_ref().is_some_and(|(view, _)| !traces(view)) {
        ctx.unwritten().made(record);
    }
    let (workload, holder) = match handoff {
        Some((view, holder)) => (WorkloadSeen::Live(Box::new(view)), holder),
        None => match ctx.watched_workload(record) {
            // What is let go already may still look held.
            Some(view) if finished(record) && ctx.is_outdated(&view) => (WorkloadSeen::Unread, Holder::Nobody),
            Some(view) => (WorkloadSeen::Watched(Box::new(view)), Holder::Nobody),
            None => (WorkloadSeen::Unread, Holder::Nobody),
        },
    };
    let unwritten = ctx.unwritten().is_certain(record);
    RecordWorld {
        workload,
        holder,
        pods: ctx.pods.get(key),
        checks: ctx.checks.get(key, phase(record)),
        unwritten,
        ..RecordWorld::of((**record).clone(), ticket.as_deref(), now())
    }
}

/// Most Events of a pod that are looked at. A kubelet repeats what goes on in one and the same.
const EVENTS_MAX: u32 = 50;

/// Who performs the steps of a pass.
struct Hands<'a> {
    ctx: &'a Context,
    namespace: String,
    name: String,
    key: ObjectRef<Record>,
}

impl Perform<RecordWorld> for Hands<'_> {
    async fn read(&self, world: &RecordWorld, wanted: RecordRead) -> Result<RecordReply, Error> {
        match wanted {
            RecordRead::Ticket => self.read_ticket(world).await,
            RecordRead::Workload => Ok(RecordReply::Workload(self.look_at_workload(world).await?)),
            RecordRead::Pods => self.read_pods(world).await,
            RecordRead::ReplicaSet(name) => self.read_replica_set(world, &name).await,
            RecordRead::PodWarning(pod) => self.read_pod_warning(world, &pod).await,
            RecordRead::Contents => Ok(self.recall_contents(world)),
        }
    }

    async fn write(&self, world: &RecordWorld, wanted: RecordWrite) -> Result<RecordReply, Error> {
        match wanted {
            RecordWrite::Status(status) => self.write_status(world, *status).await,
            RecordWrite::Patch { purpose, patch } => self.patch(world, purpose, *patch).await,
            RecordWrite::DeletePod(pod) => self.delete_pod(world, &pod).await,
            RecordWrite::DeleteRecord(record) => Ok(self.delete_record(world, &record).await),
        }
    }
}

impl Hands<'_> {
    fn rest(&self, world: &RecordWorld, rest: &RecordRest) -> Action {
        self.watch_pods(world, rest.watch_pods);
        self.run_checks(world, rest.checks);
        let recheck = !self.watch_workload(world) || rest.recheck;
        let key = pause_key(&self.namespace, &self.name);
        let checkup = self.ctx.checkups.next(&key, !finished(&world.record));
        self.ctx.next_pass(&key, world.record.metadata.generation, rest.until, recheck, checkup)
    }

    async fn read_ticket(&self, world: &RecordWorld) -> Result<RecordReply, Error> {
        let api = Api::namespaced(self.ctx.client.clone(), &self.namespace);
        match read("read the ticket", api, &world.record.spec.ticket.name).await? {
            Reply::Ok(ticket) => Ok(RecordReply::Ticket(Some(Box::new(ticket)))),
            Reply::NotFound => Ok(RecordReply::Ticket(None)),
            Reply::Refused(why) => Err(Error::refused("read the ticket", why)),
        }
    }

    async fn look_at_workload(&self, world: &RecordWorld) -> Result<WorkloadRead, Error> {
        Ok(match self.ctx.read_workload(&world.record.spec.workload).await? {
            Reply::Ok((view, holder)) => WorkloadRead::Found(Box::new(view), holder),
            Reply::NotFound => WorkloadRead::Missing,
            Reply::Refused(why) => WorkloadRead::Refused(why),
        })
    }

    /// One list, so that the record says what really runs. A rollout is not failed because nobody may read its pods.
    async fn read_pods(&self, world: &RecordWorld) -> Result<RecordReply, Error> {
        let namespace = &world.record.spec.workload.namespace;
        let api: Api<Pod> = Api::namespaced(self.ctx.client.clone(), namespace);
        let params = ListParams::default().labels(&selector(world));
        Ok(RecordReply::Pods(match call("list the pods", api.list(&params)).await? {
            Reply::Ok(pods) => pods.iter().map(PodView::from).collect(),
            _ => Vec::new(),
        }))
    }

    async fn read_replica_set(&self, world: &RecordWorld, name: &str) -> Result<RecordReply, Error> {
        let namespace = &world.record.spec.workload.namespace;
        Ok(RecordReply::ReplicaSet(requests::read_replica_set(&self.ctx.client, namespace, name).await?))
    }

    /// The newest Warning about the pod. It only makes a message better, so whatever keeps it from being read is no error.
    async fn read_pod_warning(&self, world: &RecordWorld, pod: &PodView) -> Result<RecordReply, Error> {
        let api: Api<Event> = Api::namespaced(self.ctx.client.clone(), &world.record.spec.workload.namespace);
        let params = ListParams::default().fields(&format!("involvedObject.uid={},type=Warning", pod.uid)).limit(EVENTS_MAX);
        let events = match call("list the pod's Events", api.list(&params)).await {
            Ok(Reply::Ok(events)) => events.items,
            _ => Vec::new(),
        };
        Ok(RecordReply::PodWarning(pods::newest_warning(&events)))
    }

    fn recall_contents(&self, world: &RecordWorld) -> RecordReply {
        let images = world.record.status.as_ref().map(|s| s.admitted_images.clone()).unwrap_or_default();
        let ran = |image: &ContainerImage| self.ctx.records.about(&Facet::Content(self.namespace.clone(), image.image.clone()));
        let known: Vec<_> = images.iter().flat_map(ran).collect();
        RecordReply::Contents(evidence::contents(known.iter().map(|r| &**r), &images))
    }

    /// What need not be kept, now that this record has ended.
    fn surplus(&self, world: &RecordWorld, record: &Record) -> Vec<Record> {
        let (ctx, namespace) = (self.ctx, &self.namespace);
        let of_workload = ctx.records.about(&Facet::Workload(record.spec.workload.clone()));
        let others = of_workload.iter().filter(|r| r.metadata.namespace == record.metadata.namespace);
        let others = others.filter(|r| r.metadata.uid != record.metadata.uid);
        let records: Vec<_> = others.map(|r| &**r).chain([record]).collect();
        let own = records.iter().filter_map(|r| ctx.tickets.get(namespace, &r.spec.ticket.name));
        let uses = |r: &&Record| ctx.tickets.about(&Facet::Uses(namespace.clone(), r.name_any()));
        let tickets: Vec<_> = own.chain(records.iter().flat_map(uses)).collect();
        let tickets: Vec<_> = tickets.iter().map(|t| &**t).collect();
        evidence::surplus(&records, &tickets, ctx.history_limit, world.now)
    }

    /// Deletes a record that need not be kept. Evidence that stays too long does no harm, so one that cannot be deleted now is left to
    /// the next rollout.
    async fn delete_record(&self, world: &RecordWorld, record: &Record) -> RecordReply {
        let api: Api<Record> = Api::namespaced(self.ctx.client.clone(), &self.namespace);
        let name = record.name_any();
        let preconditions = Preconditions { uid: record.uid(), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match call("delete an old record", api.delete(&name, &params)).await {
            Ok(Reply::Ok(_)) => self.ctx.tell([happening::record::older_deleted(&world.record, &name)]),
            Ok(Reply::NotFound) => {}
            Ok(Reply::Refused(why)) => tracing::warn!(record = name, why, "an old record cannot be deleted"),
            Err(error) => tracing::warn!(record = name, %error, "deleting an old record failed"),
        }
        RecordReply::RecordDeleted(record.uid())
    }

    /// Deletes a pod as it was looked at: one that has become ready meanwhile stays.
    async fn delete_pod(&self, world: &RecordWorld, pod: &PodView) -> Result<RecordReply, Error> {
        let namespace = &world.record.spec.workload.namespace;
        let api: Api<Pod> = Api::namespaced(self.ctx.client.clone(), namespace);
        let preconditions = Preconditions { uid: Some(pod.uid.clone()), resource_version: Some(pod.version.clone()) };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match call("delete the pod", api.delete(&pod.name, &params)).await? {
            Reply::Refused(why) => return Ok(RecordReply::PodKept(why)),
            Reply::Ok(_) => self.ctx.tell([happening::record::pod_deleted(&world.record, &pod.name)]),
            Reply::NotFound => {}
        }
        self.ctx.pods.deleted(&self.key, &pod.uid);
        Ok(RecordReply::PodDeleted(pod.uid.clone()))
    }

    async fn patch(&self, world: &RecordWorld, purpose: Purpose, patch: json_patch::Patch) -> Result<RecordReply, Error> {
        let record = &world.record;
        let dry_run = purpose == Purpose::DryRun;
        let forward = purpose == Purpose::Forward;
        let certain_before = forward && self.ctx.unwritten().trying(record, world.now);
        let reply = requests::patch(&self.ctx.client, &record.spec.workload, patch, dry_run).await?;
        let took_effect = matches!(reply, Reply::Ok(_));
        let unwritten = if forward { self.ctx.unwritten().answered(record, certain_before, took_effect) } else { world.unwritten };
        let outcome = match reply {
            Reply::Ok(_) if dry_run => Patched::WouldBeDone,
            Reply::Ok(view) => {
                self.ctx.wrote_workload(&view);
                self.ctx.tell([happening::record::patched(record, purpose, &view)]);
                Patched::Done(Box::new(view))
            }
            Reply::NotFound => Patched::Missing,
            Reply::Refused(why) => Patched::Refused(why, self.look_at_workload(world).await?),
        };
        Ok(RecordReply::Patched { purpose, outcome, unwritten })
    }

    async fn write_status(&self, world: &RecordWorld, status: RecordStatus) -> Result<RecordReply, Error> {
        let before = &world.record;
        let sent = Record { status: Some(status), ..before.clone() };
        let kind =
            status::Kind { action: "write the record's status", crd: "deployments.trackdown.dev", fresh: &self.ctx.fresh_records };
        let record = status::write(self.ctx, &kind, before, &sent).await?;
        self.ctx.tell(happening::record::between(before, &record, world.view()));
        let mut surplus = Vec::new();
        if finished(&record) {
            self.ctx.unwritten().forget(&record);
            surplus = self.surplus(world, &record);
            self.ctx.pods.stop(&self.key);
            self.ctx.checks.stop(&self.key);
        }
        Ok(RecordReply::StatusWritten { record: Box::new(record), surplus })
    }

    fn watch_pods(&self, world: &RecordWorld, wanted: bool) {
        if wanted {
            let namespace = &world.record.spec.workload.namespace;
            self.ctx.pods.start(&self.ctx.client, self.key.clone(), namespace, &selector(world));
        } else {
            self.ctx.pods.stop(&self.key);
        }
    }

    /// False: it cannot be watched, and has to be looked at.
    fn watch_workload(&self, world: &RecordWorld) -> bool {
        let record = &world.record;
        self.ctx.watched.tell_record(&self.ctx.client, &self.key, Some(&record.spec.workload).filter(|_| observes(record)))
    }

    fn run_checks(&self, world: &RecordWorld, wanted: Option<Phase>) {
        match wanted {
            Some(phase) => self.ctx.checks.start(&self.ctx.client, &world.record, phase),
            None => self.ctx.checks.stop(&self.key),
        }
    }
}

fn selector(world: &RecordWorld) -> String {
    world.view().map(|v| v.selector.clone()).unwrap_or_default()
}
