//! Leader election by a Lease. An optimisation: safety does not depend on it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kube::Client;
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder, LeaseManagerError};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::process::settings::RunArgs;
use trackdown_api::FIELD_MANAGER;

/// Seconds a lease is good for, and how long before that it is renewed.
const DURATION: u64 = 15;
const GRACE: u64 = 7;

/// Pause before the Lease is asked for again.
const PAUSE: Duration = Duration::from_secs(2);

/// Longest wait for the lease to be given back.
const RELEASE_WITHIN: Duration = Duration::from_secs(3);

type Task = JoinHandle<Result<LeaseManager, LeaseManagerError>>;

/// The task that holds the lease. It gives it back when nobody listens to [`campaign`]'s receiver any more.
#[derive(Debug, Default)]
pub struct Holding(Mutex<Option<Task>>);

impl Holding {
    /// Waits until the lease has been given back, so that the next replica need not wait for it to run out.
    pub async fn released(&self) {
        let task = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(task) = task else { return };
        match tokio::time::timeout(RELEASE_WITHIN, task).await {
            Ok(Ok(Ok(_))) => tracing::info!("gave the Lease back"),
            Ok(Ok(Err(error))) => tracing::warn!(%error, "could not give the Lease back"),
            Ok(Err(error)) => tracing::warn!(%error, "could not give the Lease back"),
            Err(_) => tracing::warn!("could not give the Lease back in time"),
        }
    }
}

/// Whether this replica leads, from now on.
pub async fn campaign(client: Client, args: &RunArgs, namespace: &str, holding: &Holding) -> watch::Receiver<bool> {
    loop {
        let builder = LeaseManagerBuilder::new(client.clone(), &args.lease_name)
            .with_namespace(namespace)
            .with_identity(&args.identity)
            .with_duration(DURATION)
            .with_grace(GRACE)
            .with_field_manager(FIELD_MANAGER);
        match builder.build().await {
            Ok(manager) => {
                let (leads, task) = manager.watch().await;
                *holding.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
                return leads;
            }
            Err(error) => {
                tracing::warn!(%error, lease = %args.lease_name, namespace, "cannot use the Lease, trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
