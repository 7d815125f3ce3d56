//! One watch per kind feeds its cache and wakes whoever its changes concern.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc::UnboundedSender;
use futures::future::LocalBoxFuture;
use futures::{FutureExt, StreamExt, future};
use kube::core::NamespaceResourceScope;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use crate::kinds::routes::Wake;
use crate::process::health::Vitals;
use crate::runtime::cache::{Cache, Watched};
use crate::runtime::context::Context;
use crate::runtime::guarded::{Guarded, Unreadable};
use crate::runtime::meaning::{self, Meaning};
use crate::runtime::watch_one::WATCH_SECONDS;
use crate::workloads::kinds::WorkloadType;
use crate::workloads::rolling::Shelf;
use trackdown_api::ROLLING_LABEL;
use trackdown_api::record::Record;
use trackdown_api::ticket::Ticket;
use trackdown_api::workload_ref::{Workload, WorkloadKind};
use trackdown_core::happening;

/// A watch of all objects of a kind.
#[must_use]
pub fn all_of_them() -> watcher::Config {
    watcher::Config::default().timeout(WATCH_SECONDS)
}

/// Of workloads those with a rollout in flight, no others.
fn rolling() -> watcher::Config {
    all_of_them().labels(ROLLING_LABEL)
}

/// Where what the watches see is told to the reconcilers.
pub struct Hub<'a> {
    /// What the reconcilers share.
    pub ctx: &'a Arc<Context>,
    /// The namespace that is watched, if not all.
    pub scope: Option<&'a str>,
    /// How often everything is listed again.
    pub resync: Duration,
    /// Where the watches show that they are driven.
    pub vitals: &'a Arc<Vitals>,
    /// To the reconciler of tickets.
    pub tickets: UnboundedSender<ObjectRef<Ticket>>,
    /// To the reconciler of records.
    pub records: UnboundedSender<ObjectRef<Record>>,
    /// To whoever looks after workloads that a deleted record left behind.
    pub orphans: UnboundedSender<Workload>,
}

impl Hub<'_> {
    /// Lets the objects be looked at.
    pub fn wake(&self, wake: Wake) {
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
    pub async fn feed<K: Watched>(&self, name: &str, mut cache: Cache<K>, config: watcher::Config, meaning: Meaning<'_, K>) {
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
                    () = unheard(meaning.unheard) => break,
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
                        self.take_in(&mut cache, Event::Init, &meaning);
                        continue;
                    }
                    Ok(event) => {
                        if let Some(event) = cache.readable(event, |bad| self.tell_unreadable::<K>(bad)) {
                            self.take_in(&mut cache, event, &meaning);
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

    fn tell_unreadable<K: Watched>(&self, bad: &Unreadable) {
        let (kind, name) = (K::kind(&()), bad.metadata.name.as_deref().unwrap_or_default());
        tracing::warn!(%kind, namespace = bad.metadata.namespace, name, error = bad.error, "left alone, as it cannot be read");
        self.ctx.tell([happening::object::unreadable::<K>(&bad.metadata, &bad.error)]);
    }

    fn take_in<K: Watched>(&self, cache: &mut Cache<K>, event: Event<K>, meaning: &Meaning<'_, K>) {
        let news = cache.keeper.take_in(event);
        match &meaning.everything {
            Some(everything) if news.filled => self.wake(everything()),
            None if news.filled => cache.known.all().iter().for_each(|object| self.wake((meaning.changed)(object))),
            _ => {}
        }
        news.changed.iter().for_each(|object| self.wake((meaning.changed)(object)));
        news.gone.iter().for_each(|object| self.wake((meaning.deleted)(object)));
    }
}

async fn unheard(told: Option<&Notify>) {
    match told {
        Some(told) => told.notified().await,
        None => future::pending().await,
    }
}

/// Between nine and eleven tenths of it, so that not everything is listed at the same time.
#[must_use]
pub fn jittered(period: Duration) -> Duration {
    let random = RandomState::new().hash_one(0);
    period.mul_f64(0.9 + f64::from(u8::try_from(random % 200).unwrap_or_default()) / 1000.0)
}

/// The cache of a kind of workload, whatever its type, before it is filled.
pub trait WorkloadCache {
    /// To read from.
    fn shelf(&self) -> Arc<dyn Shelf>;

    /// Fills it, see [`Hub::feed`].
    fn feed<'a>(self: Box<Self>, kind: WorkloadKind, hub: &'a Hub<'a>) -> LocalBoxFuture<'a, ()>;
}

impl<W: WorkloadType> WorkloadCache for Cache<W> {
    fn shelf(&self) -> Arc<dyn Shelf> {
        Arc::new(self.known.store().clone())
    }

    fn feed<'a>(self: Box<Self>, kind: WorkloadKind, hub: &'a Hub<'a>) -> LocalBoxFuture<'a, ()> {
        hub.feed(kind.resource(), *self, rolling(), meaning::of_workloads(hub.ctx)).boxed_local()
    }
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
