//! The order in which things start and stop.

use std::sync::Arc;
use std::time::Duration;

use futures::future;
use kube::{Client, Config};
use tokio::signal::unix::{SignalKind, signal};

use super::{client, leader, policies, prerequisites};
use crate::process::health::Vitals;
use crate::process::leader::Holding;
use crate::process::settings::{RunArgs, Settings};
use crate::runtime::reconcilers;
use crate::sinks::metrics::Metrics;
use crate::web as http;

/// What readiness shows until the first word about the Lease.
const LEASE: &str = "the Lease";

/// How often it is looked whether the installed CRDs turned out too old.
const CRD_CHECK: Duration = Duration::from_secs(1);

/// Why the operator ends.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No configuration.
    #[error("no cluster: {0}; run inside a cluster, or set KUBECONFIG")]
    Config(#[from] kube::config::InferConfigError),
    /// Unusable configuration.
    #[error("the cluster's configuration cannot be used: {0}")]
    Client(#[from] kube::Error),
    /// The address is taken.
    #[error("cannot serve {address}: {source}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// Signals cannot be received.
    #[error("cannot receive signals: {0}")]
    Signal(std::io::Error),
    /// Another replica leads now.
    #[error("the Lease was lost: another replica works now; this one starts again as stand-by")]
    LeaseLost,
    /// Fields that were written did not stay.
    #[error("the installed CRDs are older than this operator: trackdown crds | kubectl apply --server-side -f -")]
    CrdTooOld,
}

/// Runs the operator until it is told to stop.
///
/// # Errors
/// If it cannot start, or must not go on.
pub async fn run(args: RunArgs) -> Result<(), Error> {
    let config = client::config().await?;
    let client = client::main(&config)?;
    let vitals = Arc::new(Vitals::default());
    let metrics = Arc::new(Metrics::default());
    let mut stop = Signals::new().map_err(Error::Signal)?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        server = %config.cluster_url,
        namespaces = ?args.namespaces,
        monitor_only = args.dry_run,
        "starting"
    );
    let (stop_http, http_stopped) = tokio::sync::oneshot::channel::<()>();
    let http = http::serve(args.listen_address, vitals.clone(), metrics.clone(), async {
        let _ = http_stopped.await;
    });
    let holding = Holding::default();
    tokio::pin!(http);
    tokio::select! {
        result = &mut http => return result.map_err(|source| Error::Listen { address: args.listen_address, source }),
        result = work(&args, &config, client, &vitals, &metrics, &holding) => return result,
        name = stop.next() => tracing::info!(signal = name, "stopping"),
    }
    vitals.stop();
    holding.released().await;
    let _ = stop_http.send(());
    let _ = tokio::time::timeout(Duration::from_secs(1), http).await;
    Ok(())
}

/// Waits for what is needed and for the lease, then reconciles. Ends when dropped: everything in flight is found again by whoever
/// starts next, so there is nothing to finish.
async fn work(
    args: &RunArgs,
    config: &Config,
    client: Client,
    vitals: &Arc<Vitals>,
    metrics: &Arc<Metrics>,
    holding: &Holding,
) -> Result<(), Error> {
    for scope in args.scopes() {
        prerequisites::wait(&client, scope.as_deref(), vitals).await;
    }
    if !args.leader_election {
        return reconcile(args, client, vitals, metrics).await;
    }
    vitals.wait_for(LEASE);
    let namespace = args.lease_namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let mut leads = leader::campaign(client::for_lease(config)?, args, &namespace, holding).await;
    vitals.arrived(LEASE);
    if leads.wait_for(|leads| *leads).await.is_err() {
        return Err(Error::LeaseLost);
    }
    tracing::info!(lease = %args.lease_name, namespace, identity = %args.identity, "this replica leads");
    tokio::select! {
        result = reconcile(args, client, vitals, metrics) => result,
        _ = leads.wait_for(|leads| !*leads) => Err(Error::LeaseLost),
    }
}

async fn reconcile(args: &RunArgs, client: Client, vitals: &Arc<Vitals>, metrics: &Arc<Metrics>) -> Result<(), Error> {
    metrics.set_leader(true);
    let settings = Arc::new(Settings::from(args));
    let in_force = policies::follow(&client, &args.required_policies, metrics, vitals).await;
    let scopes = args.scopes().into_iter().map(|scope| {
        vitals.caches_wanted(scope.as_deref());
        reconcilers::run(client.clone(), scope, settings.clone(), in_force.clone(), metrics.clone(), vitals.clone())
    });
    tokio::select! {
        _ = future::join_all(scopes) => Ok(()),
        () = crd_too_old(vitals) => Err(Error::CrdTooOld),
    }
}

async fn crd_too_old(vitals: &Vitals) {
    let mut interval = tokio::time::interval(CRD_CHECK);
    while !vitals.crd_too_old.load(std::sync::atomic::Ordering::Relaxed) {
        interval.tick().await;
    }
}

struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
