//! Command line and environment.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{ArgAction, Parser, Subcommand, ValueEnum};
use ipnet::IpNet;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use trackdown_core::checks::Limits;
use trackdown_core::checks::http::Allowed;
use trackdown_core::policy::Required;

/// Trackdown makes a change ticket a Kubernetes object: when a Ticket is ready for deployment and automation eligible, it rolls the
/// workload out, follows it, rolls back what fails, and writes the result into the ticket's status.
///
/// Without a command it runs the operator, with the in-cluster configuration or the KUBECONFIG at hand. Every flag can be set in the
/// environment instead.
#[derive(Debug, Parser)]
#[command(name = "trackdown", version, about, long_about)]
pub struct Cli {
    /// What to do instead of running the operator.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Settings of the operator.
    #[command(flatten)]
    pub run: RunArgs,
}

/// Commands beside running the operator.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum Command {
    /// Print the custom resource definitions as YAML: `trackdown crds | kubectl apply --server-side -f -`
    Crds,
    /// Print the API reference as Markdown.
    #[command(hide = true)]
    ApiReference,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line, for machines.
    Json,
    /// For people.
    Text,
}

/// Settings of the operator.
#[derive(Clone, Debug, clap::Args)]
pub struct RunArgs {
    /// Namespaces to work in, separated by commas; none: the whole cluster
    #[arg(long, env = "TRACKDOWN_NAMESPACES", value_delimiter = ',', value_name = "NAMESPACE")]
    pub namespaces: Vec<String>,

    /// Monitor only: say on each ticket what would be deployed, and start nothing. Rollouts in flight are finished
    #[arg(long, env = "TRACKDOWN_DRY_RUN", num_args = 0..=1, default_value_t = false, default_missing_value = "true", action = ArgAction::Set)]
    pub dry_run: bool,

    /// Objects of a kind that are worked on at the same time
    #[arg(long, env = "TRACKDOWN_CONCURRENCY", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub concurrency: u16,

    /// Finished records kept for each workload. The last good one and those in use are always kept
    #[arg(long, env = "TRACKDOWN_REVISION_HISTORY_LIMIT", default_value_t = 10, value_parser = clap::value_parser!(u16).range(0..=1000))]
    pub revision_history_limit: u16,

    /// Seconds after which everything is listed again: an event that the API server never delivered is made good by then
    #[arg(long, env = "TRACKDOWN_RESYNC_SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u32).range(60..=86400))]
    pub resync_seconds: u32,

    /// Seconds after which what a rollout in flight is about is read again, for the same reason
    #[arg(long, env = "TRACKDOWN_RESYNC_IN_FLIGHT_SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u32).range(5..=86400))]
    pub resync_in_flight_seconds: u32,

    /// Admission policies without which nothing new starts, as NAME=DIGEST, separated by commas; the chart names those it installs
    #[arg(long, env = "TRACKDOWN_REQUIRED_POLICIES", value_delimiter = ',', value_name = "NAME=DIGEST")]
    pub required_policies: Vec<Required>,

    /// Hosts HTTP checks of tickets may ask, beside the services of the target's own namespace: names, or *.example.com for all below
    #[arg(long, env = "TRACKDOWN_CHECK_HOSTS", value_delimiter = ',', value_name = "HOST")]
    pub check_hosts: Vec<String>,

    /// Networks HTTP checks may reach although they are loopback, link-local or metadata addresses, e.g. 127.0.0.0/8
    #[arg(long, env = "TRACKDOWN_CHECK_NETWORKS", value_delimiter = ',', value_name = "CIDR")]
    pub check_networks: Vec<IpNet>,

    /// Let tickets run a Job of their own as a health check
    #[arg(long, env = "TRACKDOWN_JOB_CHECKS", num_args = 0..=1, default_value_t = false, default_missing_value = "true", action = ArgAction::Set)]
    pub job_checks: bool,

    /// Let one replica work at a time. Safety does not depend on it, but several at once would do everything several times
    #[arg(long, env = "TRACKDOWN_LEADER_ELECTION", default_value_t = true, action = ArgAction::Set)]
    pub leader_election: bool,

    /// Name of the Lease replicas compete for
    #[arg(long, env = "TRACKDOWN_LEASE_NAME", default_value = "trackdown")]
    pub lease_name: String,

    /// Namespace of that Lease; default: the namespace of the configuration at hand
    #[arg(long, env = "TRACKDOWN_LEASE_NAMESPACE")]
    pub lease_namespace: Option<String>,

    /// Name of this replica among others, in the Lease and in Events: the name of its pod
    #[arg(long, env = "TRACKDOWN_IDENTITY", default_value = "trackdown")]
    pub identity: String,

    /// Address of /healthz, /readyz and /metrics
    #[arg(long, env = "TRACKDOWN_LISTEN_ADDRESS", default_value = "0.0.0.0:8080")]
    pub listen_address: SocketAddr,

    /// How log lines look
    #[arg(long, env = "TRACKDOWN_LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,

    /// What is logged: error, warn, info, debug, trace, or a filter such as info,trackdown=debug
    #[arg(long, env = "TRACKDOWN_LOG_LEVEL", default_value = "info", value_parser = log_filter)]
    pub log_level: String,
}

/// What the reconcilers need of the settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// See [`RunArgs::dry_run`].
    pub monitor_only: bool,
    /// See [`RunArgs::concurrency`].
    pub concurrency: u16,
    /// See [`RunArgs::identity`].
    pub identity: String,
    /// See [`RunArgs::revision_history_limit`].
    pub history_limit: usize,
    /// See [`RunArgs::resync_seconds`].
    pub resync: Duration,
    /// See [`RunArgs::resync_in_flight_seconds`].
    pub resync_in_flight: Duration,
    /// See [`RunArgs::check_hosts`], [`RunArgs::check_networks`], [`RunArgs::job_checks`].
    pub limits: Limits,
}

impl RunArgs {
    /// One entry per scope to watch: the namespaces, or `None` for the whole cluster.
    #[must_use]
    pub fn scopes(&self) -> Vec<Option<String>> {
        let mut names: Vec<_> = self.namespaces.iter().map(|n| n.trim()).filter(|n| !n.is_empty()).collect();
        names.sort_unstable();
        names.dedup();
        if names.is_empty() { vec![None] } else { names.into_iter().map(|n| Some(n.to_owned())).collect() }
    }
}

/// A filter whose bare words are levels: any other would be taken for the name of a target, and nothing else would be logged.
fn log_filter(text: &str) -> Result<String, String> {
    let wrong = text.split(',').map(str::trim).find(|part| !part.contains('=') && part.parse::<LevelFilter>().is_err());
    match wrong {
        Some(part) => Err(format!("{part:?} is no level: use error, warn, info, debug, trace or off, or a filter target=level")),
        None => EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| error.to_string()),
    }
}

impl From<&RunArgs> for Settings {
    fn from(args: &RunArgs) -> Self {
        Self {
            monitor_only: args.dry_run,
            concurrency: args.concurrency,
            identity: args.identity.clone(),
            history_limit: args.revision_history_limit.into(),
            resync: Duration::from_secs(args.resync_seconds.into()),
            resync_in_flight: Duration::from_secs(args.resync_in_flight_seconds.into()),
            limits: Limits { allowed: Allowed::new(&args.check_hosts, &args.check_networks), jobs: args.job_checks },
        }
    }
}
