//! The health checks in progress, in the background: a slow one holds up nobody else. Each kind is performed in its own module.

pub mod http;
pub mod job;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::channel::mpsc::UnboundedSender;
use futures::future;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Client;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::runtime::drive::now;
use trackdown_api::check::{Check, CheckResult};
use trackdown_api::record::Record;
use trackdown_core::checks::{Kind, Limits, Outcome};
use trackdown_core::record::Phase;

/// HTTP probes of a namespace under way at the same time; more wait for their turn, and for nobody else's.
const AT_ONCE: usize = 8;

type Results = Arc<Mutex<Option<Vec<CheckResult>>>>;

/// The checks of every record that is being verified.
#[derive(Debug)]
pub struct CheckRuns {
    wake: UnboundedSender<ObjectRef<Record>>,
    limits: Arc<Limits>,
    turns: Mutex<HashMap<String, Arc<Semaphore>>>,
    runs: Mutex<HashMap<ObjectRef<Record>, Run>>,
}

#[derive(Debug)]
struct Run {
    phase: Phase,
    results: Results,
    task: JoinHandle<()>,
}

impl Drop for Run {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl CheckRuns {
    /// `wake` is told of every record whose checks are over.
    #[must_use]
    pub fn new(wake: UnboundedSender<ObjectRef<Record>>, limits: Limits) -> Self {
        Self { wake, limits: Arc::new(limits), turns: Mutex::default(), runs: Mutex::default() }
    }

    /// Starts the record's checks for a phase, unless that is being done.
    pub fn start(&self, client: &Client, record: &Record, phase: Phase) {
        let key = ObjectRef::from_obj(record);
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        if runs.get(&key).is_some_and(|run| run.phase == phase) {
            return;
        }
        let results = Results::default();
        let (done, wake, limits) = (results.clone(), self.wake.clone(), self.limits.clone());
        let turns = self.turns_of(&record.spec.workload.namespace);
        let (client, record) = (client.clone(), record.clone());
        let task = tokio::spawn(async move {
            let round = Round { client: &client, record: &record, phase, limits: &limits, turns: &turns };
            let checks = record.spec.checks.iter().map(|check| one(round, check));
            let found = future::join_all(checks).await;
            *done.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
            let _ = wake.unbounded_send(ObjectRef::from_obj(&record));
        });
        runs.insert(key, Run { phase, results, task });
    }

    fn turns_of(&self, namespace: &str) -> Arc<Semaphore> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.entry(namespace.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE))).clone()
    }

    /// What the checks of a phase found, if they are over.
    pub fn get(&self, record: &ObjectRef<Record>, phase: Phase) -> Option<Vec<CheckResult>> {
        let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let run = runs.get(record).filter(|run| run.phase == phase)?;
        run.results.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the record's checks, and forgets what they found.
    pub fn stop(&self, record: &ObjectRef<Record>) {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).remove(record);
    }
}

/// What the checks of a record are run for, and with.
#[derive(Clone, Copy)]
pub struct Round<'a> {
    /// The API server.
    pub client: &'a Client,
    /// The record whose rollout they decide.
    pub record: &'a Record,
    /// What they are to decide.
    pub phase: Phase,
    /// What they may do.
    pub limits: &'a Limits,
    /// Taken for as long as a probe of the namespace is under way.
    pub turns: &'a Semaphore,
}

async fn one(round: Round<'_>, check: &Check) -> CheckResult {
    let outcome = match Kind::of(check) {
        Some(Kind::Http(http)) => http::run(round, http).await,
        Some(Kind::Job(job)) => job::run(round, &check.name, job).await,
        None => Outcome::unknown_kind(),
    };
    CheckResult {
        name: check.name.clone(),
        state: outcome.state,
        reason: outcome.reason.into(),
        message: outcome.message.into(),
        latency_milliseconds: outcome.latency_milliseconds,
        probes: outcome.probes,
        time: MicroTime(now()),
    }
}
