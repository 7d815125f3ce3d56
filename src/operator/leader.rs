//! Leader election by a Lease. An optimisation: safety does not depend on it.

use std::time::Duration;

use kube::Client;
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder};
use tokio::sync::watch;

use super::settings::RunArgs;
use crate::api::FIELD_MANAGER;

/// Seconds a lease is good for, and how long before that it is renewed.
const DURATION: u64 = 15;
const GRACE: u64 = 7;

/// Pause before the Lease is asked for again.
const PAUSE: Duration = Duration::from_secs(2);

/// Whether this replica leads, from now on. The task ends when the receiver is dropped, giving the lease back.
pub async fn campaign(
    client: Client,
    args: &RunArgs,
    namespace: &str,
) -> (watch::Receiver<bool>, tokio::task::JoinHandle<Result<LeaseManager, kube_lease_manager::LeaseManagerError>>) {
    loop {
        let builder = LeaseManagerBuilder::new(client.clone(), &args.lease_name)
            .with_namespace(namespace)
            .with_identity(&args.identity)
            .with_duration(DURATION)
            .with_grace(GRACE)
            .with_field_manager(FIELD_MANAGER);
        match builder.build().await {
            Ok(manager) => return manager.watch().await,
            Err(error) => {
                tracing::warn!(%error, lease = %args.lease_name, namespace, "cannot use the Lease, trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
