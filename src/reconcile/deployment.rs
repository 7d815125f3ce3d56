//! Reconciles one Deployment record.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{DeleteParams, ListParams, Preconditions};
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};

use super::audit::{self, Decision};
use super::context::Context;
use super::error::Error;
use super::io::{Reply, call, read};
use super::{STEPS_MAX, status, workloads};
use crate::api::condition::find_condition;
use crate::api::deployment::{Action as Take, Deployment, DeploymentStatus};
use crate::api::workload_ref::ContainerImage;
use crate::decide::facets::Facet;
use crate::decide::notices::Notice;
use crate::decide::preflight::{Holder, finished};
use crate::decide::record::{
    Patched, Phase, Purpose, RecordReply, RecordStep, RecordWorld, WorkloadRead, WorkloadSeen, decide, is_stopped, observes, phase,
};
use crate::decide::{condition_reason, evidence, reason};
use crate::workload::argo_rollout::ABORTED_BY_PERSON;
use crate::workload::owner::ImageOwner;
use crate::workload::pods::{self, PodView};
use crate::workload::view::WorkloadView;

/// One pass over a record: observe, decide, write, until there is nothing more to do.
///
/// # Errors
/// Anything after which the pass has to be tried again.
pub async fn reconcile(cached: Arc<Deployment>, ctx: Arc<Context>) -> Result<Action, Error> {
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
    let mut pass = Pass { ctx: &ctx, world: gather(&ctx, &record, &key), namespace, name, key };
    if checkup {
        pass.world.workload = WorkloadSeen::Unread;
        let ticket = pass.read_ticket().await?;
        pass.world.learn(ticket);
    }
    for _ in 0..STEPS_MAX {
        let reply = match decide(&pass.world) {
            RecordStep::ReadTicket => pass.read_ticket().await?,
            RecordStep::ReadWorkload => pass.read_workload().await?,
            RecordStep::ReadPods => pass.read_pods().await?,
            RecordStep::ReadReplicaSet(name) => pass.read_replica_set(&name).await?,
            RecordStep::ReadPodWarning(pod) => pass.read_pod_warning(&pod).await?,
            RecordStep::RecallContents => pass.recall_contents(),
            RecordStep::DeleteRecord(record) => pass.delete_record(&record).await,
            RecordStep::DeletePod(pod) => pass.delete_pod(&pod).await?,
            RecordStep::Patch { purpose, patch } => pass.patch(purpose, *patch).await?,
            RecordStep::WriteStatus(status) => pass.write_status(*status).await?,
            RecordStep::Wait { until, recheck, watch_pods, checks } => {
                pass.watch_pods(watch_pods);
                pass.run_checks(checks);
                let recheck = !pass.watch_workload() || recheck;
                let key = pause_key(&pass.namespace, &pass.name);
                let checkup = ctx.checkups.next(&key, !finished(&pass.world.record));
                return Ok(ctx.next_pass(&key, pass.world.record.metadata.generation, until, recheck, checkup));
            }
        };
        pass.world.learn(reply);
        pass.world.now = Context::now();
    }
    Err(Error::TooManySteps)
}

fn pause_key(namespace: &str, name: &str) -> String {
    format!("record/{namespace}/{name}")
}

fn gather(ctx: &Context, record: &Arc<Deployment>, key: &ObjectRef<Deployment>) -> RecordWorld {
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
        ..RecordWorld::of((**record).clone(), ticket.as_deref(), Context::now())
    }
}

/// Most Events of a pod that are looked at. A kubelet repeats what goes on in one and the same.
const EVENTS_MAX: u32 = 50;

/// One pass in progress.
struct Pass<'a> {
    ctx: &'a Context,
    world: RecordWorld,
    namespace: String,
    name: String,
    key: ObjectRef<Deployment>,
}

impl Pass<'_> {
    async fn read_ticket(&self) -> Result<RecordReply, Error> {
        let api = Api::namespaced(self.ctx.client.clone(), &self.namespace);
        match read("read the ticket", api, &self.world.record.spec.ticket.name).await? {
            Reply::Ok(ticket) => Ok(RecordReply::Ticket(Some(Box::new(ticket)))),
            Reply::NotFound => Ok(RecordReply::Ticket(None)),
            Reply::Refused(why) => Err(Error::refused("read the ticket", why)),
        }
    }

    async fn read_workload(&self) -> Result<RecordReply, Error> {
        Ok(RecordReply::Workload(self.look_at_workload().await?))
    }

    async fn look_at_workload(&self) -> Result<WorkloadRead, Error> {
        Ok(match self.ctx.read_workload(&self.world.record.spec.workload).await? {
            Reply::Ok((view, holder)) => WorkloadRead::Found(Box::new(view), holder),
            Reply::NotFound => WorkloadRead::Missing,
            Reply::Refused(why) => WorkloadRead::Refused(why),
        })
    }

    /// One list, so that the record says what really runs. A rollout is not failed because nobody may read its pods.
    async fn read_pods(&self) -> Result<RecordReply, Error> {
        let namespace = &self.world.record.spec.workload.namespace;
        let api: Api<Pod> = Api::namespaced(self.ctx.client.clone(), namespace);
        let params = ListParams::default().labels(&self.selector());
        Ok(RecordReply::Pods(match call("list the pods", api.list(&params)).await? {
            Reply::Ok(pods) => pods.iter().map(PodView::from).collect(),
            _ => Vec::new(),
        }))
    }

    async fn read_replica_set(&self, name: &str) -> Result<RecordReply, Error> {
        let namespace = &self.world.record.spec.workload.namespace;
        Ok(RecordReply::ReplicaSet(workloads::read_replica_set(&self.ctx.client, namespace, name).await?))
    }

    /// The newest Warning about the pod. It only makes a message better, so whatever keeps it from being read is no error.
    async fn read_pod_warning(&self, pod: &PodView) -> Result<RecordReply, Error> {
        let api: Api<Event> = Api::namespaced(self.ctx.client.clone(), &self.world.record.spec.workload.namespace);
        let params = ListParams::default().fields(&format!("involvedObject.uid={},type=Warning", pod.uid)).limit(EVENTS_MAX);
        let events = match call("list the pod's Events", api.list(&params)).await {
            Ok(Reply::Ok(events)) => events.items,
            _ => Vec::new(),
        };
        Ok(RecordReply::PodWarning(pods::newest_warning(&events)))
    }

    fn recall_contents(&self) -> RecordReply {
        let images = self.world.record.status.as_ref().map(|s| s.admitted_images.clone()).unwrap_or_default();
        let ran = |image: &ContainerImage| self.ctx.records.about(&Facet::Content(self.namespace.clone(), image.image.clone()));
        let known: Vec<_> = images.iter().flat_map(ran).collect();
        RecordReply::Contents(evidence::contents(known.iter().map(|r| &**r), &images))
    }

    /// What need not be kept, now that this record has ended.
    fn surplus(&self, record: &Deployment) -> Vec<Deployment> {
        let (ctx, namespace) = (self.ctx, &self.namespace);
        let of_workload = ctx.records.about(&Facet::Workload(record.spec.workload.clone()));
        let others = of_workload.iter().filter(|r| r.metadata.namespace == record.metadata.namespace);
        let others = others.filter(|r| r.metadata.uid != record.metadata.uid);
        let records: Vec<_> = others.map(|r| &**r).chain([record]).collect();
        let own = records.iter().filter_map(|r| ctx.tickets.get(namespace, &r.spec.ticket.name));
        let uses = |r: &&Deployment| ctx.tickets.about(&Facet::Uses(namespace.clone(), r.name_any()));
        let tickets: Vec<_> = own.chain(records.iter().flat_map(uses)).collect();
        let tickets: Vec<_> = tickets.iter().map(|t| &**t).collect();
        evidence::surplus(&records, &tickets, ctx.history_limit, self.world.now)
    }

    /// Deletes a record that need not be kept. Evidence that stays too long does no harm, so one that cannot be deleted now is left to
    /// the next rollout.
    async fn delete_record(&self, record: &Deployment) -> RecordReply {
        let api: Api<Deployment> = Api::namespaced(self.ctx.client.clone(), &self.namespace);
        let name = record.name_any();
        let preconditions = Preconditions { uid: record.uid(), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match call("delete an old record", api.delete(&name, &params)).await {
            Ok(Reply::Ok(_)) => self.audit("RecordDeleted", &name),
            Ok(Reply::NotFound) => {}
            Ok(Reply::Refused(why)) => tracing::warn!(record = name, why, "an old record cannot be deleted"),
            Err(error) => tracing::warn!(record = name, %error, "deleting an old record failed"),
        }
        RecordReply::RecordDeleted(record.uid())
    }

    /// Deletes a pod as it was looked at: one that has become ready meanwhile stays.
    async fn delete_pod(&self, pod: &PodView) -> Result<RecordReply, Error> {
        let namespace = &self.world.record.spec.workload.namespace;
        let api: Api<Pod> = Api::namespaced(self.ctx.client.clone(), namespace);
        let preconditions = Preconditions { uid: Some(pod.uid.clone()), resource_version: Some(pod.version.clone()) };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match call("delete the pod", api.delete(&pod.name, &params)).await? {
            Reply::Refused(why) => return Ok(RecordReply::PodKept(why)),
            Reply::Ok(_) => self.audit("PodDeleted", &pod.name),
            Reply::NotFound => {}
        }
        self.ctx.pods.deleted(&self.key, &pod.uid);
        Ok(RecordReply::PodDeleted(pod.uid.clone()))
    }

    async fn patch(&self, purpose: Purpose, patch: json_patch::Patch) -> Result<RecordReply, Error> {
        let record = &self.world.record;
        let dry_run = purpose == Purpose::DryRun;
        let forward = purpose == Purpose::Forward;
        let certain_before = forward && self.ctx.unwritten().trying(record, self.world.now);
        let reply = workloads::patch(&self.ctx.client, &record.spec.workload, patch, dry_run).await?;
        let took_effect = matches!(reply, Reply::Ok(_));
        let unwritten =
            if forward { self.ctx.unwritten().answered(record, certain_before, took_effect) } else { self.world.unwritten };
        let outcome = match reply {
            Reply::Ok(_) if dry_run => Patched::WouldBeDone,
            Reply::Ok(view) => {
                self.audit(&format!("Workload{purpose:?}"), &audit::images(self.images_of(purpose)));
                self.ctx.wrote_workload(&view);
                self.report_patch(purpose, &view);
                Patched::Done(Box::new(view))
            }
            Reply::NotFound => Patched::Missing,
            Reply::Refused(why) => Patched::Refused(why, self.look_at_workload().await?),
        };
        Ok(RecordReply::Patched { purpose, outcome, unwritten })
    }

    async fn write_status(&self, status: DeploymentStatus) -> Result<RecordReply, Error> {
        let before = &self.world.record;
        let sent = Deployment { status: Some(status), ..before.clone() };
        let kind =
            status::Kind { action: "write the record's status", crd: "deployments.trackdown.dev", fresh: &self.ctx.fresh_records };
        let record = status::write(self.ctx, &kind, before, &sent).await?;
        let mut surplus = Vec::new();
        if finished(&record) {
            self.ctx.unwritten().forget(&record);
            surplus = self.surplus(&record);
            self.report_end(&record);
        }
        Ok(RecordReply::StatusWritten { record: Box::new(record), surplus })
    }

    fn watch_pods(&self, wanted: bool) {
        if wanted {
            let namespace = &self.world.record.spec.workload.namespace;
            self.ctx.pods.start(&self.ctx.client, self.key.clone(), namespace, &self.selector());
        } else {
            self.ctx.pods.stop(&self.key);
        }
    }

    /// False: it cannot be watched, and has to be looked at.
    fn watch_workload(&self) -> bool {
        let record = &self.world.record;
        self.ctx.watched.tell_record(&self.ctx.client, &self.key, Some(&record.spec.workload).filter(|_| observes(record)))
    }

    fn run_checks(&self, wanted: Option<Phase>) {
        match wanted {
            Some(phase) => self.ctx.checks.start(&self.ctx.client, &self.world.record, phase),
            None => self.ctx.checks.stop(&self.key),
        }
    }

    /// The images a patch is about.
    fn images_of(&self, purpose: Purpose) -> &[ContainerImage] {
        let record = &self.world.record;
        match (purpose, &record.status) {
            (Purpose::Rollback, Some(status)) => &status.previous_images,
            _ => &record.spec.images,
        }
    }

    fn selector(&self) -> String {
        self.view().map(|v| v.selector.clone()).unwrap_or_default()
    }

    fn view(&self) -> Option<&WorkloadView> {
        match &self.world.workload {
            WorkloadSeen::Watched(view) | WorkloadSeen::Live(view) => Some(view),
            _ => None,
        }
    }

    fn report_patch(&self, purpose: Purpose, after: &WorkloadView) {
        let spec = &self.world.record.spec;
        let images = audit::images(self.images_of(purpose));
        let (id, attempt) = (&spec.ticket.id, spec.attempt);
        let (warning, reason, text) = match purpose {
            Purpose::Forward if spec.action == Take::Rollback => {
                (true, "ImageRolledBack", format!("deployment of ticket {id} taken back: {images} put back"))
            }
            Purpose::Forward => (false, "ImageSet", format!("ticket {id} set {images}{}", old_manifest(after))),
            Purpose::Rollback => {
                let cause = self.world.record.status.as_ref().and_then(|s| s.root_cause.as_ref());
                let how = match cause.filter(|c| is_stopped(c)) {
                    Some(cause) if cause.reason == ABORTED_BY_PERSON => "was aborted by a person",
                    Some(_) => "was ended by the ticket",
                    None => "failed",
                };
                (true, "ImageRolledBack", format!("rollout of ticket {id}, attempt {attempt}, {how}: {images} put back"))
            }
            _ => return,
        };
        let note = format!("{text} (tdep/{})", self.name);
        let notice = Notice { warning, reason: reason.to_owned(), note, record: Some(self.name.clone()) };
        self.ctx.events.about_workload(&spec.workload, &after.uid, notice);
    }

    fn report_end(&self, record: &Deployment) {
        let (result, message) = condition_reason(record).unwrap_or_default();
        self.audit("AttemptEnded", &format!("{result}: {message}"));
        let status = record.status.as_ref();
        let seconds = status.and_then(|s| {
            let (from, to) = (s.patched_time.as_ref()?, s.completion_time.as_ref()?);
            Some(to.0.duration_since(from.0).as_secs_f64())
        });
        self.ctx.metrics.rollout_ended(result, seconds);
        let moved = status.and_then(|s| find_condition(&s.conditions, reason::TAG_MOVED));
        if let (Some(moved), Some(view)) = (moved, self.view()) {
            let note = format!("{} (tdep/{})", moved.message, self.name);
            let notice = Notice { warning: true, reason: reason::TAG_MOVED.to_owned(), note, record: Some(self.name.clone()) };
            self.ctx.events.about_workload(&view.workload, &view.uid, notice);
        }
        self.ctx.pods.stop(&self.key);
        self.ctx.checks.stop(&self.key);
    }

    fn audit(&self, decision: &str, detail: &str) {
        let spec = &self.world.record.spec;
        audit::log(&Decision {
            decision,
            namespace: &self.namespace,
            ticket: &spec.ticket.name,
            ticket_uid: &spec.ticket.uid,
            target: &spec.target,
            attempt: spec.attempt,
            record: &self.name,
            workload: &spec.workload.to_string(),
            detail,
        });
    }
}

/// What brings the old image back without anybody meaning it.
fn old_manifest(view: &WorkloadView) -> &'static str {
    match &view.owner {
        ImageOwner::Kubectl => "; applying the workload's old manifest again brings the old image back",
        ImageOwner::Helm(_) => "; a helm upgrade with the old values brings the old image back",
        _ => "",
    }
}
