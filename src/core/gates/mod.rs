//! What keeps a ticket from being deployed: gates, each a function that looks and says what is in the way. They stand in the order a person
//! would fix things, and the first that is closed is told.

pub mod start;
pub mod ticket;

use jiff::Timestamp;
use trackdown_api::text::bounded;
use trackdown_api::workload_ref::Workload;

pub use self::ticket::{Asked, Dependencies, Dependency, first_obstacle, reachable, wants_workload};

/// What ends a wait. From this alone follows when it is looked at again.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Ends {
    /// A change of the ticket, or of an object that is watched anyway: the operator is woken by it.
    Woken,
    /// A change of this workload, which is watched by name as long as the wait lasts.
    Workload(Box<Workload>),
    /// The time.
    At(Timestamp),
    /// Something nobody can watch: looked at again with back-off.
    Recheck,
}

/// Something in the way.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Obstacle {
    /// One `CamelCase` word.
    pub reason: &'static str,
    /// What is in the way, what ends it and who can.
    pub message: String,
    /// The object waited for, if it is one.
    pub on: Option<String>,
    /// What ends it.
    pub ends: Ends,
    /// It ends by itself, as other work in the cluster goes on (then the ticket is being worked on, not parked).
    pub moving: bool,
    /// Only the workload's turn is waited for: the ticket keeps its place in the queue meanwhile.
    pub in_queue: bool,
}

impl Obstacle {
    /// A wait for a person, or for an object that is watched anyway.
    #[must_use]
    pub fn parked(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: bounded(&message.into()), on: None, ends: Ends::Woken, moving: false, in_queue: false }
    }

    /// A wait for something nobody can watch.
    #[must_use]
    pub fn unwatched(reason: &'static str, message: impl Into<String>) -> Self {
        Self { ends: Ends::Recheck, ..Self::parked(reason, message) }
    }

    /// A wait for a change of this workload.
    #[must_use]
    pub fn watching(reason: &'static str, message: impl Into<String>, workload: &Workload) -> Self {
        Self { ends: Ends::Workload(Box::new(workload.clone())), ..Self::parked(reason, message) }
    }

    /// A wait that is over at this time.
    #[must_use]
    pub fn until(reason: &'static str, message: impl Into<String>, time: Timestamp) -> Self {
        Self { ends: Ends::At(time), ..Self::parked(reason, message) }
    }

    /// When the wait is over, if time alone ends it.
    #[must_use]
    pub fn until_time(&self) -> Option<Timestamp> {
        match self.ends {
            Ends::At(time) => Some(time),
            _ => None,
        }
    }

    /// Names the object waited for.
    #[must_use]
    pub fn on(self, object: impl Into<String>) -> Self {
        Self { on: Some(object.into()), ..self }
    }

    /// See [`Self::moving`].
    #[must_use]
    pub fn moving(self) -> Self {
        Self { moving: true, ..self }
    }

    /// See [`Self::in_queue`].
    #[must_use]
    pub fn in_queue(self) -> Self {
        Self { in_queue: true, ..self }
    }
}
