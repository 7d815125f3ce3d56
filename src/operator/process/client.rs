//! Clients of the API server.

use std::time::Duration;

use kube::{Client, Config};

use crate::runtime::watch_one::WATCH_SECONDS;

/// Longest wait of the lease's client: shorter than the lease, so that a dead connection cannot outlive it.
const LEASE_READ_TIMEOUT: Duration = Duration::from_secs(5);

/// The in-cluster configuration, else the kubeconfig at hand. The client itself retries nothing: after a hidden second try an answer
/// like "conflict" could mean that the first one took effect.
///
/// # Errors
/// If there is neither.
pub async fn config() -> Result<Config, kube::config::InferConfigError> {
    let mut config = match Config::incluster() {
        Ok(config) => config,
        Err(_) => Config::infer().await?,
    };
    config.default_retry = false;
    Ok(config)
}

/// Longest silence on a connection: longer than a watch lasts, and a bound for lists, which have no other.
const READ_TIMEOUT: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 10);

/// The client of the reconcilers.
///
/// # Errors
/// If the configuration cannot be used.
pub fn main(config: &Config) -> kube::Result<Client> {
    let mut config = config.clone();
    config.read_timeout = Some(READ_TIMEOUT);
    Client::try_from(config)
}

/// The lease's own client: whatever the others wait for, the lease is renewed or given up in time.
///
/// # Errors
/// If the configuration cannot be used.
pub fn for_lease(config: &Config) -> kube::Result<Client> {
    let mut config = config.clone();
    config.read_timeout = Some(LEASE_READ_TIMEOUT);
    Client::try_from(config)
}
