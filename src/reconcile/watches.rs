//! One watch per kind feeds the caches and wakes the reconcilers.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Instant;

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::{Stream, StreamExt, future, stream};
use k8s_openapi::api::apps::v1::Deployment as AppsDeployment;
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::context::{Context, Parts};
use super::error::Error;
use super::pods::PodWatches;
use super::routes::{self, Wake};
use super::{deployment, ticket};
use crate::api::ROLLING_LABEL;
use crate::api::deployment::Deployment;
use crate::api::ticket::Ticket;
use crate::operator::health::{Heartbeat, Vitals};
use crate::operator::metrics::Metrics;
use crate::operator::settings::Settings;
use crate::workload::Rollable;

/// Runs the reconcilers of one scope (a namespace, or `None` for the whole cluster) until the process ends.
pub async fn run(client: Client, scope: Option<String>, settings: Arc<Settings>, metrics: Arc<Metrics>, vitals: Arc<Vitals>) {
    let (tickets, ticket_writer) = reflector::store::<Ticket>();
    let (records, record_writer) = reflector::store::<Deployment>();
    let (workloads, workload_writer) = reflector::store::<AppsDeployment>();
    let (wake_tickets, woken_tickets) = unbounded();
    let (wake_records, woken_records) = unbounded();
    let wakers = Wakers { tickets: wake_tickets, records: wake_records.clone() };
    metrics.observe(tickets.clone(), records.clone());

    let ctx = Arc::new(Context::new(Parts {
        client: client.clone(),
        monitor_only: settings.monitor_only,
        identity: settings.identity.clone(),
        metrics,
        crd_too_old: vitals.crd_too_old.clone(),
        tickets: tickets.clone(),
        records: records.clone(),
        workloads: workloads.clone(),
        pods: PodWatches::new(wake_records),
    }));

    let feeds = future::join3(
        feed(
            watch(api::<Ticket>(&client, scope.as_deref()), watcher::Config::default()).default_backoff().reflect(ticket_writer),
            vitals.heartbeat("tickets", scope.as_deref()),
            &ctx.metrics,
            &wakers,
            ticket_kind(&ctx),
        ),
        feed(
            watch(api::<Deployment>(&client, scope.as_deref()), watcher::Config::default())
                .default_backoff()
                .reflect(record_writer),
            vitals.heartbeat("deployments", scope.as_deref()),
            &ctx.metrics,
            &wakers,
            record_kind(&ctx),
        ),
        feed(
            watch(api::<AppsDeployment>(&client, scope.as_deref()), watcher::Config::default().labels(ROLLING_LABEL))
                .default_backoff()
                .reflect(workload_writer),
            vitals.heartbeat("workloads", scope.as_deref()),
            &ctx.metrics,
            &wakers,
            workload_kind(&ctx),
        ),
    );
    // Decisions need all three caches: none starts before the last is filled.
    let reconcilers = async {
        let ready = future::try_join3(tickets.wait_until_ready(), records.wait_until_ready(), workloads.wait_until_ready());
        if ready.await.is_err() {
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

struct Wakers {
    tickets: UnboundedSender<ObjectRef<Ticket>>,
    records: UnboundedSender<ObjectRef<Deployment>>,
}

impl Wakers {
    fn wake(&self, wake: Wake) {
        for ticket in wake.tickets {
            let _ = self.tickets.unbounded_send(ticket);
        }
        for record in wake.records {
            let _ = self.records.unbounded_send(record);
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

fn workload_kind(ctx: &Arc<Context>) -> Kind<AppsDeployment> {
    let (changed, deleted, everything) = (ctx.clone(), ctx.clone(), ctx.clone());
    Kind {
        changed: Box::new(move |w| routes::workload_changed(w, &changed.records)),
        deleted: Box::new(move |w| {
            deleted.forget_workload(&w.view().workload);
            routes::workload_released(w, &deleted.tickets, &deleted.records)
        }),
        everything: Box::new(move || Wake { records: all(&everything.records), ..Wake::default() }),
    }
}

/// Drives a watch.
async fn feed<K: Debug>(
    events: impl Stream<Item = Result<Event<K>, watcher::Error>>,
    heartbeat: Heartbeat,
    metrics: &Metrics,
    wakers: &Wakers,
    kind: Kind<K>,
) {
    let beats = heartbeat.beats();
    futures::pin_mut!(events, beats);
    let mut both = stream::select(events.map(Some), beats.map(|()| None));
    while let Some(item) = both.next().await {
        heartbeat.beat();
        if !heartbeat.is_failing() {
            metrics.watch_alive();
        }
        let Some(event) = item else { continue };
        match event {
            Ok(Event::Apply(object)) => wakers.wake((kind.changed)(&object)),
            Ok(Event::Delete(object)) => wakers.wake((kind.deleted)(&object)),
            Ok(Event::InitDone) => wakers.wake((kind.everything)()),
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
    K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope> + DeserializeOwned,
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
