//! Where a target is at the end of a pass, as it is told.

use jiff::Timestamp;
use trackdown_api::outcome::Outcome;
use trackdown_api::record::Record;
use trackdown_api::ticket::Stop;

use crate::condition_reason;
use crate::gates::Obstacle;
use crate::reason::{ROLLING_BACK, VERIFYING, WRITE_REFUSED};
use crate::record::{deadline, sentence};

/// Where one target is.
#[derive(Clone, Debug)]
pub enum Situation {
    /// It runs.
    Deployed {
        /// How.
        result: Outcome,
        /// The record's message.
        message: String,
    },
    /// An attempt is in flight.
    InFlight(Progress),
    /// It was rolled back and will be tried again.
    BackingOff {
        /// When.
        until: Timestamp,
        /// Why it failed.
        message: String,
    },
    /// Something is in the way.
    Waiting(Obstacle),
    /// Something is in the way of a rollback that is asked for.
    Held(Obstacle),
    /// It was taken back.
    TakenBack {
        /// The record's message.
        message: String,
    },
    /// It failed for good.
    Failed {
        /// How.
        why: Failure,
        /// Why, for people.
        message: String,
        /// It was to be taken back.
        taking_back: bool,
    },
}

/// How a target failed for good.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Failure {
    /// Its attempt ended so.
    Ended(Outcome),
    /// Every try was rolled back.
    OutOfTries,
}

impl Failure {
    /// As one word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Ended(outcome) => outcome.as_str(),
            Self::OutOfTries => "RetriesExhausted",
        }
    }
}

/// What is known of an attempt in flight.
#[derive(Clone, Debug)]
pub struct Progress {
    /// One `CamelCase` word.
    pub reason: &'static str,
    /// What is going on.
    pub message: String,
    /// The record that tells more.
    pub record: Option<String>,
    /// When it counts as failed, as far as that is known.
    pub deadline: Option<Timestamp>,
    /// The API server refuses its write: that is in the way.
    pub refused: bool,
}

impl Progress {
    /// Something is going on, with no more known than that.
    #[must_use]
    pub fn of((reason, message): (&'static str, String)) -> Self {
        Self { reason, message, record: None, deadline: None, refused: false }
    }
}

impl Situation {
    /// What is in the way, if something is.
    #[must_use]
    pub fn obstacle(&self) -> Option<&Obstacle> {
        match self {
            Self::Waiting(obstacle) | Self::Held(obstacle) => Some(obstacle),
            _ => None,
        }
    }

    /// Whether something is still to come by itself.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        !matches!(self, Self::Deployed { .. } | Self::Failed { .. } | Self::TakenBack { .. })
    }
}

/// What an attempt in flight says, from its record; `well`: while nothing is unusual.
#[must_use]
pub fn in_flight(record: &Record, (reason, well): (&'static str, String)) -> Progress {
    let status = record.status.as_ref();
    let told = || condition_reason(record).map(|(_, message)| message.to_owned()).unwrap_or_default();
    let (reason, message) = match status {
        Some(s) if s.refused.is_some() && s.rollback_time.is_none() => (WRITE_REFUSED, told()),
        Some(s) if s.rollback_time.is_some() => (ROLLING_BACK, told()),
        Some(s) if s.healthy_time.is_some() => (VERIFYING, told()),
        _ => match status.and_then(|s| s.waiting_for.as_ref()) {
            Some(cause) => (reason, format!("{well}: {}", sentence(cause))),
            None => (reason, well),
        },
    };
    let refused = reason == WRITE_REFUSED;
    Progress { reason, message, record: record.metadata.name.clone(), deadline: deadline(record), refused }
}

/// What an attempt says while it goes well. No numbers that move: each would be one more write.
#[must_use]
pub fn rolling_text(attempt: i32, image: &str) -> (&'static str, String) {
    ("RollingOut", format!("rolling out {image} (attempt {attempt})"))
}

/// What an attempt says that is to end.
#[must_use]
pub fn stopping(stop: Stop) -> Progress {
    let message = match stop {
        Stop::Rollback => "the rollout is being ended and the previous images put back",
        Stop::Leave => "the rollout is being ended, the workload left as it is",
    };
    Progress::of(("Aborting", message.to_owned()))
}
