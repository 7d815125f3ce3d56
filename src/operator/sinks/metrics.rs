//! Prometheus metrics. Labels have few, fixed values: none names an object.

use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::Sink;
use crate::runtime::error::Error;
use crate::runtime::known::Known;
use trackdown_api::condition::find_condition;
use trackdown_api::outcome::Outcome;
use trackdown_api::record::Record;
use trackdown_api::ticket::{Ticket, TicketState, TicketStatus};
use trackdown_core::happening::{Happening, News};
use trackdown_core::preflight::finished;
use trackdown_core::reason;

/// A ticket that has not moved for this long is stuck.
const STUCK_AFTER: SignedDuration = SignedDuration::from_hours(24);

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ResultLabel {
    result: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct OutcomeLabels {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ReasonLabel {
    reason: &'static str,
}

/// Every metric of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    rollouts: Family<ResultLabel, Counter>,
    rollout_seconds: Histogram,
    reconciles: Family<OutcomeLabels, Counter>,
    reconcile_seconds: Family<KindLabel, Histogram>,
    api_errors: Family<ReasonLabel, Counter>,
    leader: Gauge<i64, AtomicI64>,
    /// Without an entry where nobody looks.
    policies_in_force: Family<[(String, String); 0], Gauge<i64, AtomicI64>>,
    last_update: Gauge<f64, AtomicU64>,
    observed: Observed,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("trackdown");
        let rollouts = Family::<ResultLabel, Counter>::default();
        for result in Outcome::OF_RECORDS {
            // A rate needs the zero before the one.
            let _ = rollouts.get_or_create(&ResultLabel { result: result.into() });
        }
        registry.register("rollouts", "Attempts that ended, by how", rollouts.clone());
        let rollout_seconds = Histogram::new(exponential_buckets(0.25, 2.0, 13));
        registry.register(
            "rollout_duration_seconds",
            "From the change of the workload to the end of the attempt",
            rollout_seconds.clone(),
        );
        let reconciles = Family::default();
        registry.register("reconcile", "Passes, by kind and outcome", reconciles.clone());
        let reconcile_seconds =
            Family::new_with_constructor((|| Histogram::new(exponential_buckets(0.001, 2.0, 15))) as fn() -> Histogram);
        registry.register("reconcile_duration_seconds", "Length of a pass", reconcile_seconds.clone());
        let api_errors = Family::default();
        registry.register("api_errors", "Passes the API server's answer ended, by what it was", api_errors.clone());
        let leader = Gauge::default();
        registry.register("leader", "1 if this replica works, 0 if it stands by", leader.clone());
        let policies_in_force = Family::default();
        registry.register(
            "admission_policies_in_force",
            "1 if the admission policies that say who may deploy are in force, 0 if not: then nothing new starts",
            policies_in_force.clone(),
        );
        let last_update = Gauge::default();
        registry.register("last_update_timestamp_seconds", "When this replica last saw its watches alive", last_update.clone());
        registry.register("build", "The running version", Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]));
        let observed = Observed::default();
        registry.register_collector(Box::new(observed.clone()));
        Self {
            registry,
            rollouts,
            rollout_seconds,
            reconciles,
            reconcile_seconds,
            api_errors,
            leader,
            policies_in_force,
            last_update,
            observed,
        }
    }
}

impl Metrics {
    /// Counts the objects of these caches from now on, whenever the metrics are read.
    pub fn observe(&self, tickets: Known<Ticket>, records: Known<Record>) {
        self.observed.0.lock().unwrap_or_else(PoisonError::into_inner).push((tickets, records));
    }

    /// A pass ended.
    pub fn reconcile_ended(&self, started: Instant, kind: &'static str, error: Option<&Error>) {
        let outcome = if error.is_some() { "error" } else { "ok" };
        self.reconciles.get_or_create(&OutcomeLabels { kind, outcome }).inc();
        self.reconcile_seconds.get_or_create(&KindLabel { kind }).observe(started.elapsed().as_secs_f64());
        if let Some(error) = error {
            self.api_errors.get_or_create(&ReasonLabel { reason: error.reason() }).inc();
        }
    }

    /// A watch that is not failing was driven just now: what the caches and so the metrics say is up to date.
    pub fn watch_alive(&self) {
        self.last_update.set(Timestamp::now().as_duration().as_secs_f64());
    }

    /// This replica works, or stands by.
    pub fn set_leader(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// The admission policies are in force, or are not.
    pub fn set_policies_in_force(&self, in_force: bool) {
        self.policies_in_force.get_or_create(&[]).set(i64::from(in_force));
    }

    /// All metrics as text.
    ///
    /// # Errors
    /// If they cannot be written, which a test excludes.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Sink for Metrics {
    fn take(&self, news: &News) {
        let Happening::AttemptEnded { result, took, .. } = &news.what else { return };
        self.rollouts.get_or_create(&ResultLabel { result: result.to_string() }).inc();
        if let Some(took) = took {
            self.rollout_seconds.observe(took.as_secs_f64());
        }
    }
}

/// Counts over the caches, made when they are asked for.
#[derive(Clone, Default)]
struct Observed(Arc<Mutex<Vec<Caches>>>);

type Caches = (Known<Ticket>, Known<Record>);

impl std::fmt::Debug for Observed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Observed")
    }
}

#[derive(Debug, Default)]
struct Counts {
    by_state: [i64; TicketState::ALL.len()],
    stuck: [i64; TicketState::ALL.len()],
    eligible: i64,
    blocked: i64,
    stalled: i64,
    in_flight: i64,
}

impl Observed {
    fn count(&self, now: Timestamp) -> Counts {
        let mut counts = Counts::default();
        for (tickets, records) in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            for ticket in tickets.all() {
                if let Some(status) = &ticket.status {
                    counts.add(&ticket, status, now);
                }
            }
            let in_flight = records.all().iter().filter(|r| !finished(r)).count();
            counts.in_flight += i64::try_from(in_flight).unwrap_or(i64::MAX);
        }
        counts
    }
}

impl Counts {
    fn add(&mut self, ticket: &Ticket, status: &TicketStatus, now: Timestamp) {
        let Some(state) = status.state else { return };
        let Some(index) = TicketState::ALL.iter().position(|s| *s == state) else { return };
        self.by_state[index] += 1;
        if !state.is_open() {
            return;
        }
        let stuck = status.transition_time.as_ref().is_some_and(|t| now.duration_since(t.0) > STUCK_AFTER);
        self.stuck[index] += i64::from(stuck);
        self.eligible += i64::from(ticket.spec.automation_eligible);
        self.blocked += i64::from(status.blocked_reason.is_some());
        self.stalled += i64::from(find_condition(&status.conditions, reason::STALLED).is_some());
    }
}

impl Collector for Observed {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let counts = self.count(Timestamp::now());
        by_state(&mut encoder, "tickets", "Tickets, by state", &counts.by_state)?;
        by_state(&mut encoder, "tickets_stuck", "Open tickets longer than 24 h in their state", &counts.stuck)?;
        for (name, help, value) in [
            ("tickets_automation_eligible", "Open tickets Trackdown may act on", counts.eligible),
            ("tickets_blocked", "Open tickets with a blocked reason", counts.blocked),
            ("tickets_stalled", "Open tickets whose automation is switched off after failures", counts.stalled),
            ("rollouts_in_flight", "Attempts that have not ended", counts.in_flight),
            ("tasks", "Asynchronous tasks of the process: grows without end only if something leaks", tasks()),
        ] {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

fn tasks() -> i64 {
    tokio::runtime::Handle::try_current().map_or(0, |handle| i64::try_from(handle.metrics().num_alive_tasks()).unwrap_or(i64::MAX))
}

fn by_state(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, values: &[i64]) -> Result<(), std::fmt::Error> {
    let gauge = ConstGauge::new(0i64);
    let mut metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
    for (state, value) in TicketState::ALL.iter().zip(values) {
        let labels = [("state", state.as_str())];
        ConstGauge::new(*value).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}
