//! The health checks in progress, in the background: a slow one holds up nobody else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::channel::mpsc::UnboundedSender;
use futures::future;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::runtime::reflector::ObjectRef;
use kube::{Client, ResourceExt};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::{http, job};
use crate::runtime::drive::now;
use trackdown_api::check::{Check, CheckResult, HealthState};
use trackdown_api::condition::{bounded, bounded_to};
use trackdown_api::record::Record;
use trackdown_core::check::{self, Limits, Outcome};
use trackdown_core::record::Phase;
use trackdown_core::request;

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
            let checks = record.spec.checks.iter().map(|check| one(&client, &record, phase, check, &limits, &turns));
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

async fn one(client: &Client, record: &Record, phase: Phase, check: &Check, limits: &Limits, turns: &Semaphore) -> CheckResult {
    let workload = &record.spec.workload;
    let outcome = match (&check.http, &check.job) {
        (Some(http), _) => {
            let url = check::url(&http.url, &workload.namespace, &workload.name);
            http::run(http, &url, &workload.namespace, &limits.allowed, turns).await
        }
        (None, Some(job)) if limits.jobs => {
            let name = request::job_name(&record.name_any(), &check.name, phase);
            job::run(client, record, &name, job).await
        }
        (None, Some(_)) => not_run("JobChecksDisabled", "Jobs as checks are switched off in the operator (--job-checks)"),
        (None, None) => not_run("Unknown", "a kind of check this version of the operator does not know"),
    };
    CheckResult {
        name: check.name.clone(),
        state: outcome.state,
        reason: bounded_to(outcome.reason, 64),
        message: bounded(&outcome.message),
        latency_milliseconds: outcome.latency_milliseconds,
        probes: outcome.probes,
        time: MicroTime(now()),
    }
}

fn not_run(reason: &'static str, why: &str) -> Outcome {
    Outcome { state: HealthState::Down, reason, message: why.to_owned(), latency_milliseconds: None, probes: 0 }
}
