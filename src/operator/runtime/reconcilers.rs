//! The reconcilers of one scope: their caches, what fills these, and what they wait for.

use std::sync::Arc;

use futures::channel::mpsc::unbounded;
use futures::future;
use kube::Client;

use crate::checks::CheckRuns;
use crate::kinds::{orphans, record, routes, ticket};
use crate::process::health::Vitals;
use crate::process::policies::InForce;
use crate::process::settings::Settings;
use crate::runtime::cache::Cache;
use crate::runtime::checkups::Checkups;
use crate::runtime::context::{Context, Parts};
use crate::runtime::control::control;
use crate::runtime::meaning;
use crate::runtime::streams::{Hub, WorkloadCache, all_of_them, jittered};
use crate::sinks::Sinks;
use crate::sinks::metrics::Metrics;
use crate::workloads::kinds::{WorkloadType, by_type};
use crate::workloads::pods::PodWatches;
use crate::workloads::rolling::RollingWorkloads;
use crate::workloads::watches::WorkloadWatches;
use trackdown_api::record::Record;
use trackdown_api::ticket::Ticket;
use trackdown_api::workload_ref::WorkloadKind;

/// Runs the reconcilers of one scope (a namespace, or `None` for the whole cluster) until the process ends.
pub async fn run(
    client: Client,
    scope: Option<String>,
    settings: Arc<Settings>,
    policies: InForce,
    metrics: Arc<Metrics>,
    vitals: Arc<Vitals>,
) {
    let (ticket_cache, record_cache) = (Cache::<Ticket>::default(), Cache::<Record>::default());
    let (tickets, records) = (ticket_cache.known.clone(), record_cache.known.clone());
    let workload_caches = WorkloadKind::ALL.map(|kind| (kind, by_type!(kind, W => workload_cache::<W>())));
    let workloads: RollingWorkloads = workload_caches.iter().map(|(kind, cache)| (*kind, cache.shelf())).collect();
    let (wake_tickets, woken_tickets) = unbounded();
    let (wake_records, woken_records) = unbounded();
    let (tell_orphans, orphans) = unbounded();
    metrics.observe(tickets.clone(), records.clone());

    let ctx = Arc::new(Context::new(Parts {
        client: client.clone(),
        monitor_only: settings.monitor_only,
        limits: settings.limits.clone(),
        history_limit: settings.history_limit,
        sinks: Sinks::start(&client, &settings.identity, &metrics),
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
        &Hub { ctx: &ctx, scope, resync, vitals: &vitals, tickets: wake_tickets, records: wake_records, orphans: tell_orphans };
    ctx.installed.look(&client).await;
    let workload_feeds = workload_caches.into_iter().map(|(kind, cache)| async move {
        hub.ctx.installed.wait_for(&hub.ctx.client, kind, || jittered(resync)).await;
        cache.feed(kind, hub).await;
    });
    let feeds = future::join3(
        hub.feed("tickets", ticket_cache, all_of_them(), meaning::of_tickets(&ctx)),
        hub.feed("deployments", record_cache, all_of_them(), meaning::of_records(&ctx)),
        future::join_all(workload_feeds),
    );
    // Decisions need the caches: none starts before the last is filled.
    let reconcilers = async {
        let own = future::try_join(tickets.store().wait_until_ready(), records.store().wait_until_ready());
        if future::try_join(own, workloads.filled()).await.is_err() {
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

fn workload_cache<W: WorkloadType>() -> Box<dyn WorkloadCache> {
    Box::new(Cache::<W>::default())
}
