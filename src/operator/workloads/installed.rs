//! The kinds of workload that others install: whether they are there, perhaps only since after this process started.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kube::Client;
use tokio::sync::Notify;

use crate::workloads::requests::is_served;
use trackdown_api::workload_ref::WorkloadKind;

/// Which kinds the API server knows.
#[derive(Debug)]
pub struct Installed(BTreeMap<WorkloadKind, Sign>);

#[derive(Debug, Default)]
struct Sign {
    /// Told when an object of the kind was read.
    read: Notify,
    /// The API server knows the kind.
    served: AtomicBool,
}

impl Default for Installed {
    fn default() -> Self {
        let others = WorkloadKind::ALL.into_iter().filter(|kind| !kind.is_built_in());
        Self(others.map(|kind| (kind, Sign::default())).collect())
    }
}

impl Installed {
    /// Whether the kind is there, as far as is known.
    #[must_use]
    pub fn has(&self, kind: WorkloadKind) -> bool {
        self.0.get(&kind).is_none_or(|sign| sign.served.load(Ordering::Relaxed))
    }

    /// An object of the kind was read.
    pub fn was_read(&self, kind: WorkloadKind) {
        if let Some(sign) = self.0.get(&kind) {
            sign.read.notify_one();
        }
    }

    /// Asks the API server for each kind.
    pub async fn look(&self, client: &Client) {
        for (kind, sign) in &self.0 {
            sign.look(client, *kind).await;
        }
    }

    /// Returns when the kind is there: an object of it was read, or the API server knows it, which is asked after each `pause`.
    pub async fn wait_for(&self, client: &Client, kind: WorkloadKind, pause: impl Fn() -> Duration) {
        let Some(sign) = self.0.get(&kind) else { return };
        while !sign.served.load(Ordering::Relaxed) {
            if tokio::time::timeout(pause(), sign.read.notified()).await.is_ok() {
                sign.served.store(true, Ordering::Relaxed);
            } else {
                sign.look(client, kind).await;
            }
        }
    }
}

impl Sign {
    async fn look(&self, client: &Client, kind: WorkloadKind) {
        let served = matches!(is_served(client, kind).await, Ok(true));
        self.served.store(served, Ordering::Relaxed);
    }
}
