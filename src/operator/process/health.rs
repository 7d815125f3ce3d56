//! Is the process alive, is it ready, and if not, what does it wait for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt, stream};

/// How often a watch shows that somebody drives it.
const BEAT: Duration = Duration::from_secs(5);

/// A watch nobody drove for this long is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(60);

/// A watch that failed without a pause for this long does not come back by itself.
const BROKEN_AFTER: Duration = Duration::from_secs(600);

/// What the process knows of its own state.
#[derive(Debug, Default)]
pub struct Vitals {
    /// What readiness waits for, in words.
    waiting: Mutex<BTreeSet<String>>,
    watches: Mutex<BTreeMap<String, Pulse>>,
    /// The installed CRDs lack fields.
    pub crd_too_old: Arc<AtomicBool>,
    stopping: AtomicBool,
}

#[derive(Debug)]
struct Pulse {
    beat: Instant,
    failing: Option<(Instant, String)>,
}

impl Vitals {
    /// Readiness waits for this.
    pub fn wait_for(&self, what: &str) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(what.to_owned());
    }

    /// Readiness no longer waits for this.
    pub fn arrived(&self, what: &str) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(what);
    }

    /// The process is going down: it asks for no more traffic.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// What readiness waits for; empty: ready.
    #[must_use]
    pub fn not_ready(&self) -> Vec<String> {
        let mut waiting: Vec<_> = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect();
        if self.crd_too_old.load(Ordering::Relaxed) {
            waiting.push("CRDTooOld: newer CRDs: trackdown crds | kubectl apply --server-side -f -".to_owned());
        }
        if self.stopping.load(Ordering::Relaxed) {
            waiting.push("shutting down".to_owned());
        }
        waiting
    }

    /// What keeps the process from being alive; empty: alive.
    #[must_use]
    pub fn not_alive(&self) -> Vec<String> {
        let watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        let sick = watches.iter().filter_map(|(name, pulse)| {
            if pulse.beat.elapsed() > STUCK_AFTER {
                return Some(format!("the watch of {name} is stuck"));
            }
            let (_, error) = pulse.failing.as_ref().filter(|(since, _)| since.elapsed() > BROKEN_AFTER)?;
            Some(format!("the watch of {name} keeps failing: {error}"))
        });
        sick.collect()
    }

    /// The caches of a scope are about to be filled.
    pub fn caches_wanted(&self, scope: Option<&str>) {
        self.wait_for(&caches(scope));
    }

    /// The caches of a scope are filled.
    pub fn caches_filled(&self, scope: Option<&str>) {
        self.arrived(&caches(scope));
    }

    /// The pulse of a watch.
    #[must_use]
    pub fn heartbeat(self: &Arc<Self>, kind: &str, scope: Option<&str>) -> Heartbeat {
        let name = scope.map_or_else(|| kind.to_owned(), |namespace| format!("{kind} in {namespace}"));
        let heartbeat = Heartbeat { vitals: self.clone(), name };
        heartbeat.beat();
        heartbeat
    }
}

fn caches(scope: Option<&str>) -> String {
    format!("first list of {}", scope.unwrap_or("all namespaces"))
}

/// Shows that a watch is driven.
#[derive(Debug)]
pub struct Heartbeat {
    vitals: Arc<Vitals>,
    name: String,
}

impl Heartbeat {
    /// Which watch.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Ticks at which a driven watch beats though nothing happens.
    pub fn beats(&self) -> impl Stream<Item = ()> + use<> {
        let interval = tokio::time::interval(BEAT);
        stream::unfold(interval, |mut interval| async move {
            interval.tick().await;
            Some(((), interval))
        })
        .boxed()
    }

    /// The watch is driven.
    pub fn beat(&self) {
        self.change(|pulse| pulse.beat = Instant::now());
    }

    /// Whether the watch has failed and not come back.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        let watches = self.vitals.watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches.get(&self.name).is_some_and(|pulse| pulse.failing.is_some())
    }

    /// The watch failed.
    pub fn failed(&self, error: &str) {
        self.change(|pulse| {
            pulse.failing.get_or_insert_with(|| (Instant::now(), error.to_owned()));
        });
    }

    /// The watch works.
    pub fn recovered(&self) {
        self.change(|pulse| pulse.failing = None);
    }

    fn change(&self, change: impl FnOnce(&mut Pulse)) {
        let mut watches = self.vitals.watches.lock().unwrap_or_else(PoisonError::into_inner);
        let pulse = watches.entry(self.name.clone()).or_insert_with(|| Pulse { beat: Instant::now(), failing: None });
        change(pulse);
    }
}
