//! Gather, decide, perform: the only place that talks to the API server about tickets, records and workloads.

pub mod audit;
pub mod backoff;
pub mod checks;
pub mod checkups;
pub mod context;
pub mod deployment;
pub mod error;
pub mod events;
pub mod fresh;
pub mod guarded;
pub mod http_check;
pub mod io;
pub mod job_check;
pub mod known;
pub mod orphans;
pub mod pods;
pub mod routes;
pub mod status;
pub mod ticket;
pub mod watch_one;
pub mod watches;
pub mod workload_watches;
pub mod workloads;

/// Steps one pass may take: some for each of 16 targets. A pass that needs more has a bug; it ends and is tried again with back-off.
const STEPS_MAX: usize = 128;
