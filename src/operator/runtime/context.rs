//! What the reconcilers share.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use kube::core::NamespaceResourceScope;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, watch};

use crate::checks::CheckRuns;
use crate::runtime::backoff::Backoffs;
use crate::runtime::call::{Reply, read};
use crate::runtime::checkups::Checkups;
use crate::runtime::drive;
use crate::runtime::error::Error;
use crate::runtime::fresh::Fresh;
use crate::runtime::guarded::Guarded;
use crate::runtime::known::Known;
use crate::sinks::Sinks;
use crate::sinks::metrics::Metrics;
use crate::workloads::installed::Installed;
use crate::workloads::pods::PodWatches;
use crate::workloads::requests;
use crate::workloads::rolling::RollingWorkloads;
use crate::workloads::watches::WorkloadWatches;
use trackdown_api::record::Record;
use trackdown_api::ticket::Ticket;
use trackdown_api::workload_ref::{Workload, WorkloadKind};
use trackdown_core::checks::Limits;
use trackdown_core::facets::Facet;
use trackdown_core::happening::News;
use trackdown_core::kept::Kept;
use trackdown_core::lineage::{self, Since};
use trackdown_core::preflight::Holder;
use trackdown_core::record::{Unwritten, is_ticket_of, observes};
use trackdown_core::workload::view::WorkloadView;

/// Waits nobody can watch: looked at again after 10 s, then ever less often, every 5 min at last.
const RECHECK: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(300));

/// After an error: tried again after half a second, every minute at last.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));

/// Everything a reconciler needs.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// Say what would be done, start nothing.
    pub monitor_only: bool,
    /// What checks may do.
    pub limits: Limits,
    /// Finished records kept for each workload.
    pub history_limit: usize,
    /// Tickets, cached.
    pub tickets: Known<Ticket>,
    /// Records, cached.
    pub records: Known<Record>,
    /// Workloads with a rollout in flight, cached.
    pub workloads: RollingWorkloads,
    /// The kinds of workload that others install.
    pub installed: Installed,
    /// Told when the cache of records turns out to lack one: all are listed again.
    pub record_unheard: Notify,
    /// The same for tickets, of those that are gone.
    pub ticket_unheard: Notify,
    /// Own writes of tickets.
    pub fresh_tickets: Fresh<Ticket>,
    /// Own writes of records.
    pub fresh_records: Fresh<Record>,
    /// Reads of a workload made for a record that was just created, so that its first step need not read again.
    handoff: Mutex<HashMap<(String, String), (WorkloadView, Holder)>>,
    unwritten: Mutex<Unwritten>,
    /// Versions of workloads after own writes, while they are watched.
    written: Mutex<HashMap<Workload, u64>>,
    /// Pods of rollouts that take their time.
    pub pods: PodWatches,
    /// Health checks in progress.
    pub checks: CheckRuns,
    /// Watches of workloads somebody else is expected to change.
    pub watched: WorkloadWatches,
    /// Pauses between looks at what nobody can watch.
    pub rechecks: Backoffs<String>,
    /// Pauses after errors.
    pub retries: Backoffs<String>,
    /// When what is in flight is read again, although nothing was heard of it.
    pub checkups: Checkups,
    /// What keeps the admission policies from being in force.
    pub policies: watch::Receiver<Option<String>>,
    sinks: Sinks,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// The installed CRDs are too old to go on.
    pub crd_too_old: Arc<AtomicBool>,
}

/// What a context is made of.
pub struct Parts {
    /// See [`Context::client`].
    pub client: Client,
    /// See [`Context::monitor_only`].
    pub monitor_only: bool,
    /// See [`Context::limits`].
    pub limits: Limits,
    /// See [`Context::history_limit`].
    pub history_limit: usize,
    /// Who is told what happened.
    pub sinks: Sinks,
    /// See [`Context::metrics`].
    pub metrics: Arc<Metrics>,
    /// See [`Context::checkups`].
    pub checkups: Checkups,
    /// See [`Context::policies`].
    pub policies: watch::Receiver<Option<String>>,
    /// See [`Context::crd_too_old`].
    pub crd_too_old: Arc<AtomicBool>,
    /// See [`Context::tickets`].
    pub tickets: Known<Ticket>,
    /// See [`Context::records`].
    pub records: Known<Record>,
    /// See [`Context::workloads`].
    pub workloads: RollingWorkloads,
    /// See [`Context::pods`].
    pub pods: PodWatches,
    /// See [`Context::checks`].
    pub checks: CheckRuns,
    /// See [`Context::watched`].
    pub watched: WorkloadWatches,
}

impl Context {
    /// A context with nothing remembered.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self {
            client: parts.client,
            monitor_only: parts.monitor_only,
            limits: parts.limits,
            history_limit: parts.history_limit,
            tickets: parts.tickets,
            records: parts.records,
            workloads: parts.workloads,
            installed: Installed::default(),
            record_unheard: Notify::new(),
            ticket_unheard: Notify::new(),
            fresh_tickets: Fresh::default(),
            fresh_records: Fresh::default(),
            handoff: Mutex::default(),
            unwritten: Mutex::default(),
            written: Mutex::default(),
            pods: parts.pods,
            checks: parts.checks,
            watched: parts.watched,
            rechecks: Backoffs::new(RECHECK.0, RECHECK.1),
            retries: Backoffs::new(RETRY.0, RETRY.1),
            checkups: parts.checkups,
            policies: parts.policies,
            sinks: parts.sinks,
            metrics: parts.metrics,
            crd_too_old: parts.crd_too_old,
        }
    }

    /// Tells what happened. To be called once it is certain: after the write it is read off.
    pub fn tell(&self, news: impl IntoIterator<Item = News>) {
        self.sinks.tell(news);
    }

    /// The ticket as last known.
    pub fn ticket(&self, namespace: &str, name: &str) -> Option<Arc<Ticket>> {
        self.fresh_tickets.newest(namespace, name, self.tickets.get(namespace, name))
    }

    /// The record as last known.
    pub fn record(&self, namespace: &str, name: &str) -> Option<Arc<Record>> {
        self.fresh_records.newest(namespace, name, self.records.get(namespace, name))
    }

    /// The workload as last watched, while a rollout is in flight.
    pub fn rolling_workload(&self, workload: &Workload) -> Option<WorkloadView> {
        self.workloads.get(workload)
    }

    /// The workload a record is about, as last watched.
    pub fn watched_workload(&self, record: &Record) -> Option<WorkloadView> {
        let workload = &record.spec.workload;
        if observes(record) { self.watched.get(workload) } else { self.rolling_workload(workload) }
    }

    /// The record, read from the API server.
    ///
    /// # Errors
    /// If the API server does not answer.
    pub async fn read_record(&self, namespace: &str, name: &str) -> Result<Reply<Record>, Error> {
        read("read the record", Api::namespaced(self.client.clone(), namespace), name).await
    }

    /// The object, read from the API server although nothing was heard of it. What the cache has missed is remembered until the cache has
    /// moved on. `None`: it is gone.
    ///
    /// # Errors
    /// If the API server does not answer.
    pub async fn read_again<K>(&self, fresh: &Fresh<K>, cached: &Arc<K>) -> Result<Option<Arc<K>>, Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Kept + Clone + Debug + DeserializeOwned,
    {
        let api = Api::<Guarded<K>>::namespaced(self.client.clone(), &cached.namespace().unwrap_or_default());
        match read("read again what is in flight", api, &cached.name_any()).await? {
            Reply::Ok(live) => {
                if live.resource_version() != cached.resource_version() {
                    fresh.wrote(Some(cached), &live);
                }
                Ok(Some(Arc::new(live)))
            }
            Reply::NotFound => Ok(None),
            Reply::Refused(why) => Err(Error::refused("read again what is in flight", why)),
        }
    }

    /// What is known of the record the workload's marker names. Only a live read can say that it is gone.
    ///
    /// # Errors
    /// If the API server does not answer.
    async fn holder(&self, view: &WorkloadView) -> Result<Holder, Error> {
        let Some(marker) = view.marker().filter(|m| !m.succeeded) else { return Ok(Holder::Nobody) };
        let of_workload = |record: Record| {
            // A marker that names some other workload's record was not written by Trackdown.
            if record.spec.workload != view.workload {
                return Holder::Gone;
            }
            let ticket = self.ticket(&marker.namespace, &record.spec.ticket.name);
            if ticket.is_some_and(|t| is_ticket_of(&t, &record)) {
                Holder::Record(Box::new(record))
            } else {
                Holder::Orphan(Box::new(record))
            }
        };
        if let Some(record) = self.record(&marker.namespace, &marker.record) {
            return Ok(of_workload((*record).clone()));
        }
        Ok(match self.read_record(&marker.namespace, &marker.record).await? {
            Reply::Ok(record) => of_workload(record),
            Reply::NotFound => Holder::Gone,
            Reply::Refused(why) => Holder::Unknown(why),
        })
    }

    /// The workload, read from the API server, with what is known of the record its marker names.
    ///
    /// # Errors
    /// If the API server does not answer.
    pub async fn read_workload(&self, workload: &Workload) -> Result<Reply<(WorkloadView, Holder)>, Error> {
        Ok(match requests::read(&self.client, workload).await? {
            Reply::Ok(view) => {
                self.installed.was_read(workload.kind);
                let holder = self.holder(&view).await?;
                Reply::Ok((view, holder))
            }
            Reply::NotFound => Reply::NotFound,
            Reply::Refused(why) => Reply::Refused(why),
        })
    }

    /// The workload as a ticket sees it: also whether a Rollout takes its pods from it, so that what it says of itself tells nothing.
    ///
    /// # Errors
    /// If the API server does not answer.
    pub async fn probe_workload(&self, workload: &Workload) -> Result<Reply<(WorkloadView, Holder)>, Error> {
        let mut reply = self.read_workload(workload).await?;
        if let Reply::Ok((view, _)) = &mut reply
            && workload.kind == WorkloadKind::Deployment
            && self.installed.has(WorkloadKind::Rollout)
            && let Some(rollout) = requests::rollout_of(&self.client, workload).await?
        {
            view.referenced_by = Some(rollout);
        }
        Ok(reply)
    }

    /// Turns the end of a pass into the time of the next.
    pub fn next_pass(
        &self,
        key: &String,
        generation: Option<i64>,
        until: Option<Timestamp>,
        recheck: bool,
        checkup: Option<Duration>,
    ) -> Action {
        self.retries.reset(key);
        let again = if recheck {
            Some(self.rechecks.pause(key, generation.unwrap_or_default()))
        } else {
            self.rechecks.reset(key);
            None
        };
        let until = until.map(|t| Duration::try_from(t.duration_since(drive::now())).unwrap_or_default());
        again.into_iter().chain(until).chain(checkup).min().map_or_else(Action::await_change, Action::requeue)
    }

    /// Leaves a read of the workload for the record's first step.
    pub fn hand_off(&self, record: &Record, view: WorkloadView, holder: Holder) {
        let mut handoff = self.handoff.lock().unwrap_or_else(PoisonError::into_inner);
        handoff.insert(handoff_key(record), (view, holder));
    }

    /// Takes what was left by [`Self::hand_off`].
    pub fn take_handoff(&self, record: &Record) -> Option<(WorkloadView, Holder)> {
        let mut handoff = self.handoff.lock().unwrap_or_else(PoisonError::into_inner);
        handoff.remove(&handoff_key(record))
    }

    /// What this process knows of writes in the names of records.
    pub fn unwritten(&self) -> MutexGuard<'_, Unwritten> {
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What came after the record.
    pub fn since(&self, record: &Record) -> Option<Since> {
        let namespace = record.namespace().unwrap_or_default();
        lineage::since(record, |name| self.records.about(&Facet::After(namespace.clone(), name.to_owned())))
    }

    /// Remembers an own write of a workload.
    pub fn wrote_workload(&self, view: &WorkloadView) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.extend(view.version.map(|version| (view.workload.clone(), version)));
    }

    /// Whether a cached workload is older than the last own write of it.
    pub fn is_outdated(&self, cached: &WorkloadView) -> bool {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.get(&cached.workload).is_some_and(|version| cached.version < Some(*version))
    }

    /// Forgets the own writes of a workload that is watched no longer.
    pub fn forget_workload(&self, workload: &Workload) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).remove(workload);
    }

    /// Forgets what is remembered of a ticket that is gone.
    pub fn forget_ticket(&self, ticket: &Ticket) {
        let (namespace, name) = (ticket.namespace().unwrap_or_default(), ticket.name_any());
        self.fresh_tickets.deleted(ticket);
        self.watched.tell_ticket(&self.client, &ObjectRef::new(&name).within(&namespace), &[]);
        self.forget_pauses(&format!("ticket/{namespace}/{name}"));
    }

    /// Forgets what is remembered of a record that is gone.
    pub fn forget_record(&self, record: &Record) {
        let (namespace, name) = handoff_key(record);
        self.fresh_records.deleted(record);
        self.unwritten().forget(record);
        self.take_handoff(record);
        self.pods.stop(&ObjectRef::from_obj(record));
        self.checks.stop(&ObjectRef::from_obj(record));
        self.watched.tell_record(&self.client, &ObjectRef::from_obj(record), None);
        self.forget_pauses(&format!("record/{namespace}/{name}"));
    }

    fn forget_pauses(&self, key: &String) {
        self.rechecks.reset(key);
        self.retries.reset(key);
        self.checkups.forget(key);
    }

    /// Stops everything: nothing that is written would stay.
    pub fn stop_for_old_crd(&self, crd: &'static str) -> Error {
        self.crd_too_old.store(true, Ordering::Relaxed);
        Error::CrdTooOld { crd }
    }
}

/// By name: it is left before the record has a UID.
fn handoff_key(record: &Record) -> (String, String) {
    (record.namespace().unwrap_or_default(), record.name_any())
}
