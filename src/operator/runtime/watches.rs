//! One watch per kind feeds the caches and wakes the reconcilers.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::{StreamExt, future, stream};
use k8s_openapi::api::apps::v1 as apps;
use kube::api::ObjectMeta;
use kube::core::NamespaceResourceScope;
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use crate::checks::runs::CheckRuns;
use crate::kinds::routes::{self, Wake};
use crate::kinds::{orphans, record, ticket};
use crate::process::health::Vitals;
use crate::process::policies::InForce;
use crate::process::settings::Settings;
use crate::runtime::checkups::Checkups;
use crate::runtime::context::{Context, Parts};
use crate::runtime::error::Error;
use crate::runtime::guarded::{Guarded, Unreadable};
use crate::runtime::known::{Keeper, Known};
use crate::runtime::watch_one::WATCH_SECONDS;
use crate::sinks::metrics::Metrics;
use crate::workloads::pods::PodWatches;
use crate::workloads::requests::{RollingWorkloads, is_served};
use crate::workloads::watches::WorkloadWatches;
use trackdown_api::ROLLING_LABEL;
use trackdown_api::record::Record;
use trackdown_api::ticket::Ticket;
use trackdown_api::workload_ref::{Workload, WorkloadKind};
use trackdown_core::facets::Faceted;
use trackdown_core::kept::Kept;
use trackdown_core::workload::Rollable;
use trackdown_core::workload::argo_rollout::Rollout;

/// What keeps a pass from its end is told on the object after so many in a row.
const TOLD_AFTER: u32 = 5;

/// Runs the reconcilers of one scope (a namespace, or `None` for the whole cluster) until the process ends.
pub async fn run(
    client: Client,
    scope: Option<String>,
    settings: Arc<Settings>,
    policies: InForce,
    metrics: Arc<Metrics>,
    vitals: Arc<Vitals>,
) {
    let (ticket_cache, record_cache) = (Cache::<Ticket>::new(), Cache::<Record>::new());
    let (tickets, records) = (ticket_cache.known.clone(), record_cache.known.clone());
    let (deployment_cache, stateful_set_cache, daemon_set_cache) = (Cache::new(), Cache::new(), Cache::new());
    let rollout_cache = Cache::<Rollout>::new();
    let workloads = RollingWorkloads {
        deployments: deployment_cache.known.store().clone(),
        stateful_sets: stateful_set_cache.known.store().clone(),
        daemon_sets: daemon_set_cache.known.store().clone(),
        rollouts: rollout_cache.known.store().clone(),
    };
    let (wake_tickets, woken_tickets) = unbounded();
    let (wake_records, woken_records) = unbounded();
    let (tell_orphans, orphans) = unbounded();
    metrics.observe(tickets.clone(), records.clone());

    let ctx = Arc::new(Context::new(Parts {
        client: client.clone(),
        monitor_only: settings.monitor_only,
        limits: settings.limits.clone(),
        history_limit: settings.history_limit,
        identity: settings.identity.clone(),
        metrics,
        crd_too_old: vitals.crd_too_old.clone(),
        tickets: tickets.clone(),
        records: records.clone(),
        checkups: Checkups::new(settings.resync_in_flight),
        policies: policies.clone(),
        workloads: workloads.clone(),
        pods: PodWatches::new(wake_records.clone()),
        watched: WorkloadWatches::new(wake_tickets.clone(), wake_records.clone()),
        checks: CheckRuns::new(wake_records.clone(), settings.limits.clone()),
    }));
    let (scope, resync) = (scope.as_deref(), settings.resync);
    let hub =
        Hub { ctx: &ctx, scope, resync, vitals: &vitals, tickets: wake_tickets, records: wake_records, orphans: tell_orphans };
    let rollouts_served = matches!(is_served(&client, WorkloadKind::Rollout).await, Ok(true));
    let rollouts_fed = async {
        let mut served = rollouts_served;
        while !served {
            // Read by a ticket, or installed since.
            let looked = tokio::time::timeout(jittered(resync), ctx.rollouts_found.notified()).await;
            served = looked.is_ok() || matches!(is_served(&client, WorkloadKind::Rollout).await, Ok(true));
        }
        ctx.rollouts_served.store(true, Ordering::Relaxed);
        hub.feed("rollouts", rollout_cache, rolling(), workload_kind(&ctx)).await;
    };
    let feeds = future::join(
        future::join(
            hub.feed("tickets", ticket_cache, all_of_them(), ticket_kind(&ctx)),
            hub.feed("deployments", record_cache, all_of_them(), record_kind(&ctx)),
        ),
        future::join4(
            hub.feed("deployments.apps", deployment_cache, rolling(), workload_kind(&ctx)),
            hub.feed("statefulsets", stateful_set_cache, rolling(), workload_kind(&ctx)),
            hub.feed("daemonsets", daemon_set_cache, rolling(), workload_kind(&ctx)),
            rollouts_fed,
        ),
    );
    // Decisions need the caches: none starts before the last is filled.
    let reconcilers = async {
        let own = future::try_join(tickets.store().wait_until_ready(), records.store().wait_until_ready());
        let rolling = future::try_join3(
            workloads.deployments.wait_until_ready(),
            workloads.stateful_sets.wait_until_ready(),
            workloads.daemon_sets.wait_until_ready(),
        );
        // Not for Argo Rollouts, which may be gone or forbidden: what its cache lacks is read live.
        if future::try_join(own, rolling).await.is_err() {
            return;
        }
        vitals.caches_filled(scope);
        let concurrency = settings.concurrency;
        future::join3(
            orphans::keep(&ctx, orphans),
            control(tickets.store().clone(), woken_tickets, concurrency, "ticket", ticket::reconcile, ctx.clone()),
            control(records.store().clone(), woken_records, concurrency, "record", record::reconcile, ctx.clone()),
        )
        .await;
    };
    // What waits for the policies can go on, or must not.
    let policies_changed = async {
        let mut policies = policies.clone();
        while policies.changed().await.is_ok() {
            hub.wake(routes::all_on_their_way(&ctx.tickets));
        }
    };
    Box::pin(future::join3(feeds, reconcilers, policies_changed)).await;
}

fn all_of_them() -> watcher::Config {
    watcher::Config::default().timeout(WATCH_SECONDS)
}

/// Workloads with a rollout in flight, no others.
fn rolling() -> watcher::Config {
    all_of_them().labels(ROLLING_LABEL)
}

/// Where what the watches see is told to the reconcilers.
struct Hub<'a> {
    ctx: &'a Context,
    scope: Option<&'a str>,
    /// How often everything is listed again.
    resync: Duration,
    vitals: &'a Arc<Vitals>,
    tickets: UnboundedSender<ObjectRef<Ticket>>,
    records: UnboundedSender<ObjectRef<Record>>,
    orphans: UnboundedSender<Workload>,
}

impl Hub<'_> {
    fn wake(&self, wake: Wake) {
        for ticket in wake.tickets {
            let _ = self.tickets.unbounded_send(ticket);
        }
        for record in wake.records {
            let _ = self.records.unbounded_send(record);
        }
        for workload in wake.orphans {
            let _ = self.orphans.unbounded_send(workload);
        }
    }

    /// Watches a kind: fills its cache, wakes whoever its changes concern. Now and then everything is listed again: an event that was
    /// never delivered is made good so.
    async fn feed<K: Watched>(&self, name: &str, mut cache: Cache<K>, config: watcher::Config, kind: Kind<'_, K>) {
        let heartbeat = self.vitals.heartbeat(name, self.scope);
        let mut beats = heartbeat.beats();
        loop {
            let api = api::<Guarded<K>>(&self.ctx.client, self.scope);
            let mut events = watch(api, config.clone()).default_backoff().boxed();
            let again = tokio::time::sleep(jittered(self.resync));
            futures::pin_mut!(again);
            loop {
                let event = tokio::select! {
                    () = &mut again => break,
                    () = unheard(kind.unheard) => break,
                    beat = beats.next() => beat.and(None),
                    event = events.next() => event,
                };
                heartbeat.beat();
                if !heartbeat.is_failing() {
                    self.ctx.metrics.watch_alive();
                }
                let Some(event) = event else { continue };
                match event {
                    // Told before each list, also one that fails.
                    Ok(Event::Init) => {
                        self.take_in(&mut cache, Event::Init, &kind);
                        continue;
                    }
                    Ok(event) => {
                        if let Some(event) = self.readable(&mut cache, event) {
                            self.take_in(&mut cache, event, &kind);
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, watch = heartbeat.name(), "watch failed, trying again");
                        heartbeat.failed(&error.to_string());
                        continue;
                    }
                }
                heartbeat.recovered();
            }
        }
    }

    /// One object that cannot be read, such as one with a value of a newer version, keeps no other from being read. It is told about, and
    /// for decisions it is not there.
    fn readable<K>(&self, cache: &mut Cache<K>, event: Event<Guarded<K>>) -> Option<Event<K>>
    where
        K: Resource<DynamicType = ()> + Clone + 'static,
    {
        let Cache { known, unreadable, .. } = cache;
        let key = |meta: &ObjectMeta| {
            let name = meta.name.clone().unwrap_or_default();
            ObjectRef::<K>::new(&name).within(meta.namespace.as_deref().unwrap_or_default())
        };
        let store = known.store();
        let known = |bad: &Unreadable| store.get(&key(&bad.metadata)).map(|object| Event::Delete((*object).clone()));
        let mut tell = |bad: &Unreadable| {
            if unreadable.insert(key(&bad.metadata), bad.error.clone()).is_some_and(|told| told == bad.error) {
                return;
            }
            let (kind, name) = (K::kind(&()), bad.metadata.name.as_deref().unwrap_or_default());
            tracing::warn!(%kind, namespace = bad.metadata.namespace, name, error = bad.error, "left alone, as it cannot be read");
            self.ctx.events.about_unreadable::<K>(&bad.metadata, &bad.error);
        };
        match event {
            Event::Init => Some(Event::Init),
            Event::InitDone => Some(Event::InitDone),
            Event::InitApply(Guarded(Ok(object))) => {
                unreadable.remove(&key(object.meta()));
                Some(Event::InitApply(object))
            }
            Event::Apply(Guarded(Ok(object))) => {
                unreadable.remove(&key(object.meta()));
                Some(Event::Apply(object))
            }
            Event::Delete(Guarded(Ok(object))) => Some(Event::Delete(object)),
            Event::InitApply(Guarded(Err(bad))) => {
                tell(&bad);
                None
            }
            Event::Apply(Guarded(Err(bad))) => {
                tell(&bad);
                known(&bad)
            }
            Event::Delete(Guarded(Err(bad))) => {
                unreadable.remove(&key(&bad.metadata));
                known(&bad)
            }
        }
    }

    fn take_in<K: Watched>(&self, cache: &mut Cache<K>, event: Event<K>, kind: &Kind<'_, K>) {
        let news = cache.keeper.take_in(event);
        match &kind.everything {
            Some(everything) if news.filled => self.wake(everything()),
            None if news.filled => cache.known.all().iter().for_each(|object| self.wake((kind.changed)(object))),
            _ => {}
        }
        news.changed.iter().for_each(|object| self.wake((kind.changed)(object)));
        news.gone.iter().for_each(|object| self.wake((kind.deleted)(object)));
    }
}

async fn unheard(told: Option<&Notify>) {
    match told {
        Some(told) => told.notified().await,
        None => future::pending().await,
    }
}

/// Between nine and eleven tenths of it, so that not everything is listed at the same time.
fn jittered(period: Duration) -> Duration {
    let random = RandomState::new().hash_one(0);
    period.mul_f64(0.9 + f64::from(u8::try_from(random % 200).unwrap_or_default()) / 1000.0)
}

/// What is watched.
trait Watched:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Faceted
    + Kept
    + DeserializeOwned
    + Clone
    + Debug
    + Send
    + Sync
    + 'static
{
}

impl Watched for Ticket {}
impl Watched for Record {}
impl Watched for apps::Deployment {}
impl Watched for apps::StatefulSet {}
impl Watched for apps::DaemonSet {}
impl Watched for Rollout {}

/// The cache of a kind.
struct Cache<K: Resource<DynamicType = ()> + Clone + 'static> {
    known: Known<K>,
    keeper: Keeper<K>,
    /// What cannot be read, and why, as it was told.
    unreadable: HashMap<ObjectRef<K>, String>,
}

impl<K: Watched> Cache<K> {
    fn new() -> Self {
        let keeper = Keeper::default();
        Self { known: keeper.known(), keeper, unreadable: HashMap::new() }
    }
}

/// What a kind's changes mean to others.
struct Kind<'a, K> {
    changed: Box<dyn Fn(&K) -> Wake + Send>,
    deleted: Box<dyn Fn(&K) -> Wake + Send>,
    /// After the first list, instead of each object's change.
    everything: Option<Box<dyn Fn() -> Wake + Send>>,
    /// Told when something was never heard of: everything is listed again at once.
    unheard: Option<&'a Notify>,
}

fn ticket_kind(ctx: &Arc<Context>) -> Kind<'_, Ticket> {
    let (changed, deleted, everything) = (ctx.clone(), ctx.clone(), ctx.clone());
    Kind {
        changed: Box::new(move |t| routes::ticket_changed(t, &changed.tickets, &changed.records)),
        deleted: Box::new(move |t| {
            deleted.forget_ticket(t);
            routes::ticket_changed(t, &deleted.tickets, &deleted.records)
        }),
        everything: Some(Box::new(move || everything_of(&everything))),
        unheard: Some(&ctx.ticket_unheard),
    }
}

fn record_kind(ctx: &Arc<Context>) -> Kind<'_, Record> {
    let (changed, deleted, everything) = (ctx.clone(), ctx.clone(), ctx.clone());
    Kind {
        changed: Box::new(move |r| routes::record_changed(r, &changed.tickets, &changed.records)),
        deleted: Box::new(move |r| {
            deleted.forget_record(r);
            routes::record_deleted(r, &deleted.tickets, deleted.rolling_workload(&r.spec.workload).as_ref())
        }),
        everything: Some(Box::new(move || everything_of(&everything))),
        unheard: Some(&ctx.record_unheard),
    }
}

fn everything_of(ctx: &Context) -> Wake {
    routes::everything(&ctx.tickets, &ctx.records, &ctx.workloads.all())
}

fn workload_kind<K: Rollable + 'static>(ctx: &Arc<Context>) -> Kind<'_, K> {
    let (changed, deleted) = (ctx.clone(), ctx.clone());
    Kind {
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

async fn control<K, F, Fut>(
    store: Store<K>,
    woken: UnboundedReceiver<ObjectRef<K>>,
    concurrency: u16,
    kind: &'static str,
    reconcile: F,
    ctx: Arc<Context>,
) where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug + Send + Sync + 'static,
    F: Fn(Arc<K>, Arc<Context>) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Result<Action, Error>> + Send + 'static,
{
    Controller::for_stream(stream::pending(), store)
        .with_config(Config::default().concurrency(concurrency))
        .reconcile_on(woken)
        .run(
            move |object, ctx: Arc<Context>| {
                let reconcile = reconcile.clone();
                Box::pin(async move {
                    let started = Instant::now();
                    let result = reconcile(object, ctx.clone()).await;
                    ctx.metrics.reconcile_ended(started, kind, result.as_ref().err());
                    result
                })
            },
            move |object, error, ctx| {
                let key = format!("{kind}/{}/{}", object.namespace().unwrap_or_default(), object.name_any());
                let pause = ctx.retries.pause(&key, object.meta().generation.unwrap_or_default());
                if matches!(error, Error::Conflict { .. }) {
                    tracing::debug!(object = key, %error, "tried again");
                } else {
                    tracing::warn!(object = key, %error, pause = ?pause, "tried again after a pause");
                    if error.is_about_the_object() && ctx.retries.is_to_be_told(&key, TOLD_AFTER) {
                        ctx.events.about_failure(&*object, error);
                    }
                }
                Action::requeue(pause)
            },
            ctx,
        )
        // What went wrong was logged; an object that is gone is nothing to do.
        .for_each(|_| future::ready(()))
        .await;
}

fn api<K>(client: &Client, scope: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned,
{
    match scope {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}
