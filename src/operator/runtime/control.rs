//! Working through the objects of a kind that were woken: each by one at a time, and after a pause again if that failed.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Instant;

use futures::channel::mpsc::UnboundedReceiver;
use futures::{StreamExt, future, stream};
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;

use crate::runtime::context::Context;
use crate::runtime::error::Error;
use trackdown_core::happening;

/// What keeps a pass from its end is told on the object after so many in a row.
const TOLD_AFTER: u32 = 5;

/// Reconciles each object that was `woken`, at most `concurrency` at the same time. Ends when nobody can wake any more.
pub async fn control<K, F, Fut>(
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
                        ctx.tell([happening::object::failing(&*object, &error.to_string())]);
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
