//! What a ticket's status says to people and programs, from where each target is.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::gates::Obstacle;
use super::lifecycle::by_whom;
use super::reason::{self, DEPLOYABLE, DEPLOYED, RECONCILING, STALLED, TAKEN_BACK};
use super::record::{deadline, sentence};
use trackdown_api::condition::{Condition, ConditionStatus, MESSAGE_MAX, bounded, bounded_to, find_condition, set_condition};
use trackdown_api::record::Record;
use trackdown_api::ticket::{TargetStatus, Ticket, TicketState, TicketStatus, Waiting};

/// Where one target is.
#[derive(Clone, Debug)]
pub enum Situation {
    /// It runs.
    Deployed {
        /// The record's reason.
        result: String,
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
        /// Why, as one word.
        reason: String,
        /// Why, for people.
        message: String,
        /// It was to be taken back.
        taking_back: bool,
    },
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
}

impl Progress {
    /// Something is going on, with no more known than that.
    #[must_use]
    pub fn of((reason, message): (&'static str, String)) -> Self {
        Self { reason, message, record: None, deadline: None }
    }
}

impl Situation {
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
    let succeeded = status.and_then(|s| find_condition(&s.conditions, reason::SUCCEEDED));
    let (reason, message) = match succeeded {
        Some(c) if c.reason == reason::ROLLING_BACK => (reason::ROLLING_BACK, c.message.clone()),
        Some(c) if c.reason == reason::VERIFYING => (reason::VERIFYING, c.message.clone()),
        Some(c) if c.reason == reason::WRITE_REFUSED => (reason::WRITE_REFUSED, c.message.clone()),
        _ => match status.and_then(|s| s.waiting_for.as_ref()) {
            Some(cause) => (reason, format!("{well}: {}", sentence(cause))),
            None => (reason, well),
        },
    };
    Progress { reason, message, record: record.metadata.name.clone(), deadline: deadline(record) }
}

/// What an attempt says while it goes well. No numbers that move: each would be one more write.
#[must_use]
pub fn rolling_text(entry: &TargetStatus, image: &str) -> (&'static str, String) {
    ("RollingOut", format!("rolling out {image} (attempt {})", entry.attempt))
}

/// Writes reason, message, waiting and conditions.
pub fn project(status: &mut TicketStatus, ticket: &Ticket, situations: &[(String, Situation)], now: Timestamp) {
    let mut summary = summary(status, ticket, situations);
    keep_until(&mut summary, status.waiting.as_ref());
    status.reason = Some(summary.reason.clone());
    status.message = Some(bounded(&summary.message));
    status.waiting = summary.waiting;
    // What a rollback has not begun to take back is still deployed.
    let done = status.state == Some(TicketState::Done);
    let stands = |s: &Situation| matches!(s, Situation::Deployed { .. }) || (done && matches!(s, Situation::Held(_)));
    let deployed = situations.iter().filter(|(_, s)| stands(s)).count();
    status.deployed_targets = (!situations.is_empty()).then(|| format!("{deployed}/{}", situations.len()));
    let stalled = summary.blocked.is_some();
    status.blocked_reason = summary.blocked.as_deref().map(bounded).or_else(|| ticket.spec.blocked_reason.clone());
    within_bounds(status);
    let generation = ticket.metadata.generation;
    let mut set = |type_: &str, condition: ConditionStatus, reason: &str, message: &str| {
        set_condition(
            &mut status.conditions,
            Condition {
                r#type: type_.to_owned(),
                status: condition,
                observed_generation: generation,
                last_transition_time: Time(now),
                reason: reason.to_owned(),
                message: message.to_owned(),
            },
        );
    };
    match &summary.in_the_way {
        None => set(DEPLOYABLE, ConditionStatus::True, "Ready", "nothing is in the way"),
        Some((why, text)) => set(DEPLOYABLE, ConditionStatus::False, why, text),
    }
    // The message stands above; each repetition would be one more line of the same in `kubectl describe`.
    let deployed = match summary.deployed {
        ConditionStatus::True => "what the ticket asked for was deployed",
        ConditionStatus::False => "what the ticket asks for is not deployed",
        ConditionStatus::Unknown => "it is being rolled out",
    };
    set(DEPLOYED, summary.deployed, &summary.reason, deployed);
    if summary.reconciling {
        set(RECONCILING, ConditionStatus::True, &summary.reason, &summary.message);
    }
    if stalled {
        set(STALLED, ConditionStatus::True, &summary.reason, &summary.message);
    }
    status.conditions.retain(|c| match c.r#type.as_str() {
        RECONCILING => summary.reconciling,
        STALLED => stalled,
        _ => true,
    });
}

/// The difference, in seconds, up to which two times of one deadline are the same: one was told before the write, one after it.
const SAME_DEADLINE: i64 = 5;

/// A time that is told is not told again because a better guess of the same is known.
fn keep_until(summary: &mut Summary, told: Option<&Waiting>) {
    let (Some(waiting), Some(told)) = (&mut summary.waiting, told) else { return };
    let same = match (&waiting.until, &told.until) {
        (Some(new), Some(old)) => (new.0.as_second() - old.0.as_second()).abs() <= SAME_DEADLINE,
        (None, Some(_)) => summary.reconciling,
        _ => false,
    };
    if same && waiting.reason == told.reason && waiting.on == told.on {
        waiting.until.clone_from(&told.until);
    }
}

/// Text from tickets, pods and the API server, cut to what the schema takes.
fn within_bounds(status: &mut TicketStatus) {
    let cut = |text: &mut Option<String>, most| *text = text.as_deref().map(|t| bounded_to(t, most));
    cut(&mut status.blocked_reason, MESSAGE_MAX);
    cut(&mut status.transitioned_by, 253);
    cut(&mut status.transition_reason, MESSAGE_MAX);
    cut(&mut status.deployed_by, 253);
    cut(&mut status.deployed_namespace, 63);
    if let Some(waiting) = &mut status.waiting {
        cut(&mut waiting.on, 512);
    }
    for entry in &mut status.targets {
        cut(&mut entry.message, MESSAGE_MAX);
    }
    for step in &mut status.history {
        cut(&mut step.by, 253);
        cut(&mut step.via, 253);
        cut(&mut step.reason, MESSAGE_MAX);
        cut(&mut step.source, 253);
    }
}

/// The one thing to know now.
struct Summary {
    reason: String,
    message: String,
    waiting: Option<Waiting>,
    in_the_way: Option<(String, String)>,
    deployed: ConditionStatus,
    reconciling: bool,
    /// Set when automation is off for the ticket: why.
    blocked: Option<String>,
}

fn summary(status: &TicketStatus, ticket: &Ticket, situations: &[(String, Situation)]) -> Summary {
    let state = status.state.unwrap_or(TicketState::Planning);
    // A rollback that has not begun leaves the ticket where it is, but is the thing to know.
    if state == TicketState::Done && !situations.iter().any(|(_, s)| matches!(s, Situation::Held(_))) {
        let message = match &status.deployed_by {
            Some(by) => format!("deployed by {by}{}", replaced(status)),
            None => by_hand(status),
        };
        let deployed = if status.deployed_by.is_some() { ConditionStatus::True } else { ConditionStatus::False };
        let reason = if status.deployed_by.is_some() { "Deployed" } else { "Done" };
        return Summary {
            reason: reason.to_owned(),
            message,
            waiting: None,
            in_the_way: Some(("Done".to_owned(), "the ticket is done".to_owned())),
            deployed,
            reconciling: situations.iter().any(|(_, s)| matches!(s, Situation::InFlight(_))),
            blocked: None,
        };
    }
    under_way(situations)
        .or_else(|| backing_off(situations))
        .or_else(|| held(state, situations))
        .or_else(|| failed(situations))
        .or_else(|| taken_back(ticket, situations))
        .or_else(|| waiting(state, situations))
        .unwrap_or_else(|| nothing_asked(state, ticket, situations))
}

/// What has been deployed to the same workloads since.
fn replaced(status: &TicketStatus) -> String {
    let since = |e: &TargetStatus| e.superseded_by.as_ref().map(|by| format!("; since then ticket {by} has deployed {}", e.name));
    status.targets.iter().filter_map(since).collect()
}

/// Done, and nobody said who deployed.
fn by_hand(status: &TicketStatus) -> String {
    let who = by_whom(status.history.first());
    format!("closed by hand{who}: nobody said who deployed (spec.stateMetadata.deployedBy), Trackdown did not")
}

fn under_way(situations: &[(String, Situation)]) -> Option<Summary> {
    let in_flight = || {
        situations.iter().filter_map(|(_, s)| match s {
            Situation::InFlight(progress) => Some(progress),
            _ => None,
        })
    };
    let (reason, message) = tell(situations, |s| match s {
        Situation::InFlight(progress) => Some((progress.reason.to_owned(), progress.message.clone())),
        _ => None,
    })?;
    let refused = reason == reason::WRITE_REFUSED;
    let waiting = Waiting {
        reason: reason.clone(),
        message: if refused { bounded(&message) } else { "until then, at the latest, it has ended or counts as failed".to_owned() },
        on: in_flight().find_map(|p| p.record.as_ref()).map(|record| format!("tdep/{record}")),
        until: in_flight().filter_map(|p| p.deadline).min().map(Time),
    };
    let in_the_way = refused.then(|| (waiting.reason.clone(), waiting.message.clone()));
    Some(Summary {
        reason,
        message,
        waiting: Some(waiting),
        in_the_way,
        deployed: ConditionStatus::Unknown,
        reconciling: true,
        blocked: None,
    })
}

fn backing_off(situations: &[(String, Situation)]) -> Option<Summary> {
    let (reason, message) = tell(situations, |s| match s {
        Situation::BackingOff { message, .. } => Some(("BackingOff".to_owned(), message.clone())),
        _ => None,
    })?;
    let until = situations.iter().filter_map(|(_, s)| match s {
        Situation::BackingOff { until, .. } => Some(*until),
        _ => None,
    });
    let waiting = Waiting {
        reason: reason.clone(),
        message: "the next try starts by itself".to_owned(),
        on: None,
        until: until.min().map(Time),
    };
    Some(Summary {
        reason,
        message,
        waiting: Some(waiting),
        in_the_way: None,
        deployed: ConditionStatus::Unknown,
        reconciling: true,
        blocked: None,
    })
}

/// A rollback that is asked for and cannot start.
fn held(state: TicketState, situations: &[(String, Situation)]) -> Option<Summary> {
    let (reason, message) = tell(situations, |s| match s {
        Situation::Held(o) => Some((o.reason.to_owned(), format!("to be taken back, but: {}", o.message))),
        _ => None,
    })?;
    let on = situations.iter().find_map(|(_, s)| match s {
        Situation::Held(o) => Some(o.on.clone()),
        _ => None,
    });
    let failure = failure(situations).map(|(_, why)| why);
    let message = failure.iter().fold(message, |held, why| format!("{held}; {why}"));
    Some(Summary {
        waiting: Some(Waiting { reason: reason.clone(), message: bounded(&message), on: on.flatten(), until: None }),
        in_the_way: Some((reason.clone(), message.clone())),
        reason,
        message,
        deployed: if state == TicketState::Done { ConditionStatus::True } else { ConditionStatus::False },
        reconciling: failure.is_none() && situations.iter().any(|(_, s)| matches!(s, Situation::Held(o) if o.moving)),
        blocked: failure,
    })
}

/// Nothing failed, nothing is under way: what was asked for was taken back.
fn taken_back(ticket: &Ticket, situations: &[(String, Situation)]) -> Option<Summary> {
    let (_, message) = tell(situations, |s| match s {
        Situation::TakenBack { message } => Some((String::new(), message.clone())),
        _ => None,
    })?;
    let next = if matches!(ticket.spec.state, None | Some(TicketState::ReadyForDeployment)) {
        "to deploy again: change spec.targets, or set annotation trackdown.dev/retry-requested to a new value"
    } else {
        "to deploy again: spec.state: ready_for_deployment"
    };
    let message = format!("{}; {next}", bounded_to(&message, MESSAGE_MAX - next.len() - 2));
    Some(Summary {
        reason: TAKEN_BACK.to_owned(),
        waiting: Some(Waiting { reason: TAKEN_BACK.to_owned(), message: message.clone(), ..Waiting::default() }),
        in_the_way: Some((TAKEN_BACK.to_owned(), message.clone())),
        message,
        deployed: ConditionStatus::False,
        reconciling: false,
        blocked: None,
    })
}

/// Reason and text of what failed for good.
fn failure(situations: &[(String, Situation)]) -> Option<(String, String)> {
    tell(situations, |s| match s {
        Situation::Failed { reason, message, .. } => Some((reason.clone(), message.clone())),
        _ => None,
    })
}

fn failed(situations: &[(String, Situation)]) -> Option<Summary> {
    let (reason, why) = failure(situations)?;
    let back = tell(situations, |s| match s {
        Situation::TakenBack { message } => Some((String::new(), message.clone())),
        _ => None,
    });
    // What failed comes first: a long list is cut at its end.
    let message = back.into_iter().fold(why, |why, (_, back)| format!("{why}; {back}"));
    let next = if situations.iter().any(|(_, s)| matches!(s, Situation::Failed { taking_back: true, .. })) {
        "automation is off: a new spec.rollback.request asks for the rollback again, a change of spec.targets for something else"
    } else {
        "automation is off: change spec.targets, or set annotation trackdown.dev/retry-requested to a new value"
    };
    Some(Summary {
        blocked: Some(message.clone()),
        in_the_way: Some((reason.clone(), "automation is off since the last failure: see status.blockedReason".to_owned())),
        reason,
        // What to do next must survive a long cause.
        message: format!("{}; {next}", bounded_to(&message, MESSAGE_MAX - next.len() - 2)),
        waiting: None,
        deployed: ConditionStatus::False,
        reconciling: false,
    })
}

fn waiting(state: TicketState, situations: &[(String, Situation)]) -> Option<Summary> {
    let obstacles = || {
        situations.iter().filter_map(|(name, s)| match s {
            Situation::Waiting(obstacle) => Some((name, obstacle)),
            _ => None,
        })
    };
    let (_, first) = obstacles().next()?;
    let same = obstacles().all(|(_, o)| o == first);
    let message = if same {
        first.message.clone()
    } else {
        obstacles().map(|(name, o)| format!("{name}: {}", o.message)).collect::<Vec<_>>().join("; ")
    };
    let waiting = Waiting { reason: first.reason.to_owned(), message: bounded(&message), on: first.on.clone(), until: None };
    Some(Summary {
        reason: first.reason.to_owned(),
        in_the_way: Some((first.reason.to_owned(), message.clone())),
        message,
        // A ticket that was given up waits for nothing.
        waiting: state.is_open().then_some(waiting),
        deployed: ConditionStatus::False,
        reconciling: obstacles().any(|(_, o)| o.moving),
        blocked: None,
    })
}

/// No target has anything to say: there are none, or all ended well without the ticket being done (a dry run).
fn nothing_asked(state: TicketState, ticket: &Ticket, situations: &[(String, Situation)]) -> Summary {
    let dry_run = tell(situations, |s| match s {
        Situation::Deployed { result, message } => Some((result.clone(), message.clone())),
        _ => None,
    });
    let (reason, message) = dry_run.unwrap_or_else(|| {
        let obstacle = super::gates::first_obstacle(ticket, state, &[], &BTreeMap::default(), Timestamp::MIN);
        obstacle.map_or(("Ready".to_owned(), String::new()), |o| (o.reason.to_owned(), o.message))
    });
    Summary {
        in_the_way: Some((reason.clone(), message.clone())),
        waiting: state.is_open().then(|| Waiting { reason: reason.clone(), message: bounded(&message), ..Waiting::default() }),
        reason,
        message,
        deployed: ConditionStatus::False,
        reconciling: false,
        blocked: None,
    }
}

/// The reason of the first target `about` knows something of, and what it knows of all of them.
fn tell(situations: &[(String, Situation)], about: impl Fn(&Situation) -> Option<(String, String)>) -> Option<(String, String)> {
    let told: Vec<_> = situations.iter().filter_map(|(name, s)| about(s).map(|(r, m)| (name, r, m))).collect();
    let (_, reason, _) = told.first()?;
    let text = told.iter().map(|(name, _, message)| format!("{name}: {message}")).collect::<Vec<_>>().join("; ");
    Some((reason.clone(), text))
}
