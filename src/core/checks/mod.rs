//! Health checks: which kinds there are, whether one may be run, and when enough is known. What concerns one kind alone stands in
//! the kind's module.

pub mod http;
pub mod job;

use trackdown_api::check::{Check, HealthState, HttpCheck, JobCheck};
use trackdown_api::workload_ref::Workload;

/// What was looked at is as it must be.
pub const HEALTHY: &str = "Healthy";
/// There was no complete answer in time.
pub const TIMEOUT: &str = "Timeout";

/// Longest piece of somebody else's text in a message, in characters.
const EXCERPT_MAX: usize = 200;

/// What a check does.
#[derive(Clone, Copy, Debug)]
pub enum Kind<'a> {
    /// It asks a URL.
    Http(&'a HttpCheck),
    /// It runs a Job.
    Job(&'a JobCheck),
}

impl<'a> Kind<'a> {
    /// What is run for the check; `None`: a kind that this version does not know.
    #[must_use]
    pub fn of(check: &'a Check) -> Option<Self> {
        Self::all(check).next()
    }

    /// Everything the check says it does. The API server lets it be only one.
    fn all(check: &'a Check) -> impl Iterator<Item = Self> {
        [check.http.as_ref().map(Self::Http), check.job.as_ref().map(Self::Job)].into_iter().flatten()
    }
}

/// What tickets may check.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// Hosts and networks HTTP checks may reach.
    pub allowed: http::Allowed,
    /// Whether checks may be Jobs.
    pub jobs: bool,
}

/// Why a check may not be run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Forbidden {
    /// One `CamelCase` word.
    pub reason: &'static str,
    /// Which field is in the way, why, and who can end it.
    pub message: String,
}

/// Whether the check may be run on the workload, as far as can be told before it is. `path`: where the check stands in the ticket.
///
/// # Errors
/// What is in the way.
pub fn permitted(check: &Check, path: &str, workload: &Workload, limits: &Limits) -> Result<(), Forbidden> {
    Kind::all(check).try_for_each(|kind| match kind {
        Kind::Http(http) => http::permitted(http, path, workload, &limits.allowed),
        Kind::Job(_) => job::permitted(path, limits.jobs),
    })
}

/// What one look means.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verdict {
    /// How the target is.
    pub state: HealthState,
    /// One `CamelCase` word of this module or of the kind's.
    pub reason: &'static str,
    /// Why, for people.
    pub message: String,
    /// How long the look took, if that says anything.
    pub latency_milliseconds: Option<i64>,
    /// Another look would only repeat it.
    pub lasting: bool,
}

/// How a check ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Outcome {
    /// How the target is.
    pub state: HealthState,
    /// One `CamelCase` word of this module or of the kind's.
    pub reason: &'static str,
    /// Why, for people.
    pub message: String,
    /// How long the look that says why took.
    pub latency_milliseconds: Option<i64>,
    /// How many looks it took.
    pub probes: i32,
}

impl Outcome {
    /// Nobody could look: not a success, as nothing is known.
    #[must_use]
    pub fn not_run(reason: &'static str, why: &str) -> Self {
        Self { state: HealthState::Down, reason, message: why.to_owned(), latency_milliseconds: None, probes: 0 }
    }

    /// Of a check of a kind that this version does not know.
    #[must_use]
    pub fn unknown_kind() -> Self {
        Self::not_run("Unknown", "a kind of check this version of the operator does not know")
    }
}

/// How many looks in a row decide.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Thresholds {
    /// So many good ones: the target is healthy.
    pub successes: i32,
    /// So many bad ones: it is not.
    pub failures: i32,
}

/// The looks of a check so far, for the kinds that look more than once.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    successes: i32,
    failures: i32,
    probes: i32,
    /// Of the failures in a row the worst, of equally bad ones the last: the one to tell people about.
    worst: Option<Verdict>,
}

impl Progress {
    /// Counts a look. The outcome, once the check has one.
    pub fn take(&mut self, verdict: Verdict, needed: Thresholds) -> Option<Outcome> {
        self.probes = self.probes.saturating_add(1);
        if verdict.state == HealthState::Healthy { self.succeed(verdict, needed) } else { self.fail(verdict, needed) }
    }

    fn succeed(&mut self, verdict: Verdict, needed: Thresholds) -> Option<Outcome> {
        self.failures = 0;
        self.worst = None;
        self.successes = self.successes.saturating_add(1);
        (self.successes >= needed.successes).then(|| self.outcome(verdict))
    }

    fn fail(&mut self, verdict: Verdict, needed: Thresholds) -> Option<Outcome> {
        self.successes = 0;
        self.failures = self.failures.saturating_add(1);
        let done = verdict.lasting || self.failures >= needed.failures;
        let worst = self.worst.take().filter(|worst| worst.state > verdict.state).unwrap_or(verdict);
        if done {
            return Some(self.outcome(worst));
        }
        self.worst = Some(worst);
        None
    }

    fn outcome(&self, verdict: Verdict) -> Outcome {
        let Verdict { state, reason, message, latency_milliseconds, lasting: _ } = verdict;
        Outcome { state, reason, message, latency_milliseconds, probes: self.probes }
    }
}

/// The beginning of a text that somebody else wrote, without what could make a terminal or a page show something else.
#[must_use]
pub fn excerpt(text: &str) -> String {
    text.chars().filter(|c| *c == ' ' || c.is_ascii_graphic()).take(EXCERPT_MAX).collect()
}
