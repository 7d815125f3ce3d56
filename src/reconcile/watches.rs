//! One watch per kind feeds the caches and wakes the reconcilers.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Instant;

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::{StreamExt, future, stream};
use kube::core::NamespaceResourceScope;
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::checks::CheckRuns;
use super::context::{Context, Parts};
use super::error::Error;
use super::io::{Reply, call};
use super::pods::PodWatches;
use super::routes::{self, Wake};
use super::workload_watches::WorkloadWatches;
use super::workloads::RollingWorkloads;
use super::{deployment, ticket};
use crate::api::ROLLING_LABEL;
use crate::api::deployment::Deployment;
use crate::api::ticket::Ticket;
use crate::operator::health::Vitals;
use crate::operator::metrics::Metrics;
use crate::operator::settings::Settings;
use crate::workload::Rollable;
use crate::workload::argo_rollout::Rollout;

/// Runs the reconcilers of one scope (a namespace, or `None` for the whole cluster) until the process ends.
pub async fn run(client: Client, scope: Option<String>, settings: Arc<Settings>, metrics: Arc<Metrics>, vitals: Arc<Vitals>) {
    let (tickets, ticket_writer) = reflector::store::<Ticket>();
    let (records, record_writer) = reflector::store::<Deployment>();
    let (deployments, deployment_writer) = reflector::store();
    let (stateful_sets, stateful_set_writer) = reflector::store();
    let (daemon_sets, daemon_set_writer) = reflector::store();
    let (rollouts, rollout_writer) = reflector::store::<Rollout>();
    let (wake_tickets, woken_tickets) = unbounded();
    let (wake_records, woken_records) = unbounded();
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
        workloads: RollingWorkloads {
            deployments: deployments.clone(),
            stateful_sets: stateful_sets.clone(),
            daemon_sets: daemon_sets.clone(),
            rollouts,
        },
        pods: PodWatches::new(wake_records.clone()),
        watched: WorkloadWatches::new(wake_tickets.clone(), wake_records.clone()),
        checks: CheckRuns::new(wake_records.clone(), settings.limits.clone()),
    }));
    let hub = Hub { ctx: &ctx, scope: scope.as_deref(), vitals: &vitals, tickets: wake_tickets, records: wake_records };
    let rollouts_served = is_served::<Rollout>(&client).await;
    let rollouts_fed = async {
        if !rollouts_served {
            ctx.rollouts_found.notified().await;
        }
        hub.feed("rollouts", rollout_writer, rolling(), workload_kind(&ctx)).await;
    };
    let feeds = future::join(
        future::join(
            hub.feed("tickets", ticket_writer, watcher::Config::default(), ticket_kind(&ctx)),
            hub.feed("deployments", record_writer, watcher::Config::default(), record_kind(&ctx)),
        ),
        future::join4(
            hub.feed("deployments.apps", deployment_writer, rolling(), workload_kind(&ctx)),
            hub.feed("statefulsets", stateful_set_writer, rolling(), workload_kind(&ctx)),
            hub.feed("daemonsets", daemon_set_writer, rolling(), workload_kind(&ctx)),
            rollouts_fed,
        ),
    );
    // Decisions need the caches: none starts before the last is filled.
    let reconcilers = async {
        let own = future::try_join(tickets.wait_until_ready(), records.wait_until_ready());
        let rolling =
            future::try_join3(deployments.wait_until_ready(), stateful_sets.wait_until_ready(), daemon_sets.wait_until_ready());
        // Not for Argo Rollouts, which may be gone or forbidden: what its cache lacks is read live.
        if future::try_join(own, rolling).await.is_err() {
            return;
        }
        vitals.caches_filled(scope.as_deref());
        let concurrency = settings.concurrency;
        future::join(
            control(tickets.clone(), woken_tickets, concurrency, "ticket", ticket::reconcile, ctx.clone()),
            control(records.clone(), woken_records, concurrency, "record", deployment::reconcile, ctx.clone()),
        )
        .await;
    };
    Box::pin(future::join(feeds, reconcilers)).await;
}

/// Workloads with a rollout in flight, no others.
fn rolling() -> watcher::Config {
    watcher::Config::default().labels(ROLLING_LABEL)
}

/// Whether the API server knows the kind, which others have to install.
async fn is_served<K: Resource<DynamicType = ()>>(client: &Client) -> bool {
    let found = call("ask what the API server serves", client.list_api_group_resources(&K::api_version(&()))).await;
    matches!(found, Ok(Reply::Ok(list)) if list.resources.iter().any(|r| r.name == K::plural(&())))
}

/// Where what the watches see is told to the reconcilers.
struct Hub<'a> {
    ctx: &'a Context,
    scope: Option<&'a str>,
    vitals: &'a Arc<Vitals>,
    tickets: UnboundedSender<ObjectRef<Ticket>>,
    records: UnboundedSender<ObjectRef<Deployment>>,
}

impl Hub<'_> {
    fn wake(&self, wake: Wake) {
        for ticket in wake.tickets {
            let _ = self.tickets.unbounded_send(ticket);
        }
        for record in wake.records {
            let _ = self.records.unbounded_send(record);
        }
    }

    /// Watches a kind: fills its cache, wakes whoever its changes concern.
    async fn feed<K>(&self, name: &str, writer: Writer<K>, config: watcher::Config, kind: Kind<K>)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned + Clone + Debug + Send + Sync + 'static,
    {
        let events = watch(api::<K>(&self.ctx.client, self.scope), config).default_backoff().reflect(writer);
        let heartbeat = self.vitals.heartbeat(name, self.scope);
        let beats = heartbeat.beats();
        futures::pin_mut!(events, beats);
        let mut both = stream::select(events.map(Some), beats.map(|()| None));
        while let Some(item) = both.next().await {
            heartbeat.beat();
            if !heartbeat.is_failing() {
                self.ctx.metrics.watch_alive();
            }
            let Some(event) = item else { continue };
            match event {
                Ok(Event::Apply(object)) => self.wake((kind.changed)(&object)),
                Ok(Event::Delete(object)) => self.wake((kind.deleted)(&object)),
                Ok(Event::InitDone) => self.wake((kind.everything)()),
                Ok(Event::Init | Event::InitApply(_)) => {}
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

/// What a kind's changes mean to others.
struct Kind<K> {
    changed: Box<dyn Fn(&K) -> Wake + Send>,
    deleted: Box<dyn Fn(&K) -> Wake + Send>,
    /// After a (re)list: what happened in a gap is not told.
    everything: Box<dyn Fn() -> Wake + Send>,
}

fn ticket_kind(ctx: &Arc<Context>) -> Kind<Ticket> {
    let (changed, deleted, everything) = (ctx.clone(), ctx.clone(), ctx.clone());
    Kind {
        changed: Box::new(move |t| routes::ticket_changed(t, &changed.tickets, &changed.records)),
        deleted: Box::new(move |t| {
            deleted.forget_ticket(&t.namespace().unwrap_or_default(), &t.name_any());
            routes::ticket_changed(t, &deleted.tickets, &deleted.records)
        }),
        everything: Box::new(move || Wake { tickets: all(&everything.tickets), records: all(&everything.records) }),
    }
}

fn record_kind(ctx: &Arc<Context>) -> Kind<Deployment> {
    let (changed, deleted, everything) = (ctx.clone(), ctx.clone(), ctx.clone());
    Kind {
        changed: Box::new(move |r| routes::record_changed(r, &changed.tickets)),
        deleted: Box::new(move |r| {
            deleted.forget_record(r);
            routes::record_deleted(r, &deleted.tickets)
        }),
        everything: Box::new(move || Wake { tickets: all(&everything.tickets), records: all(&everything.records) }),
    }
}

fn workload_kind<K: Rollable + 'static>(ctx: &Arc<Context>) -> Kind<K> {
    let (changed, deleted, everything) = (ctx.clone(), ctx.clone(), ctx.clone());
    Kind {
        changed: Box::new(move |w| routes::workload_changed(&w.view(), &changed.records)),
        deleted: Box::new(move |w| {
            let view = w.view();
            deleted.forget_workload(&view.workload);
            routes::workload_released(&view, &deleted.tickets, &deleted.records)
        }),
        everything: Box::new(move || Wake { records: all(&everything.records), ..Wake::default() }),
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

fn all<K>(store: &Store<K>) -> Vec<ObjectRef<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    store.state().iter().map(|o| ObjectRef::from_obj(&**o)).collect()
}
