//! Watching one object by name, for as long as somebody listens.

use std::fmt::Debug;

use futures::{Stream, StreamExt, future};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

/// Seconds after which the API server ends a watch. A connection that has gone silent is noticed five seconds later.
pub const WATCH_SECONDS: u32 = 50;

/// The object whenever it changes, and once at the start; `None`: it does not exist. Failures come through, and are tried again.
pub fn watch_one<K>(api: Api<K>, name: &str) -> impl Stream<Item = Result<Option<K>, watcher::Error>> + Send + use<K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let config = watcher::Config::default().fields(&format!("metadata.name={name}")).timeout(WATCH_SECONDS);
    let mut listed = None;
    watcher(api, config).default_backoff().filter_map(move |event| {
        let news = match event {
            Ok(watcher::Event::Init) => {
                listed = None;
                None
            }
            Ok(watcher::Event::InitApply(object)) => {
                listed = Some(object);
                None
            }
            // A list without it: it was deleted while nobody looked.
            Ok(watcher::Event::InitDone) => Some(Ok(listed.take())),
            Ok(watcher::Event::Apply(object)) => Some(Ok(Some(object))),
            Ok(watcher::Event::Delete(_)) => Some(Ok(None)),
            Err(error) => Some(Err(error)),
        };
        future::ready(news)
    })
}
