//! What a ticket's status says first, of all its targets together.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use trackdown_api::condition::ConditionStatus;
use trackdown_api::text::{Note, Sentence, bounded_to};
use trackdown_api::ticket::{TargetStatus, Ticket, TicketState, TicketStatus, Waiting};

use crate::checks::Limits;
use crate::gates::{self, Asked};
use crate::lifecycle::by_whom;
use crate::reason::TAKEN_BACK;
use crate::situation::{Progress, Situation};

/// The one thing to know now.
pub struct Summary {
    /// One `CamelCase` word.
    pub reason: String,
    /// For people.
    pub message: String,
    /// What is waited for.
    pub waiting: Option<Waiting>,
    /// What is in the way of a rollout, as a word and for people.
    pub in_the_way: Option<(String, String)>,
    /// Whether what the ticket asks for runs.
    pub deployed: ConditionStatus,
    /// Whether work goes on.
    pub reconciling: bool,
    /// Only the turn at a workload is waited for.
    pub in_queue: bool,
    /// Set when automation is off for the ticket: why.
    pub blocked: Option<String>,
}

/// What is to be known first, of all targets together.
#[must_use]
pub fn of(status: &TicketStatus, ticket: &Ticket, situations: &[(String, Situation)]) -> Summary {
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
            in_queue: false,
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

fn in_flight_of(situation: &Situation) -> Option<&Progress> {
    match situation {
        Situation::InFlight(progress) => Some(progress),
        _ => None,
    }
}

fn under_way(situations: &[(String, Situation)]) -> Option<Summary> {
    let in_flight = || situations.iter().filter_map(|(_, s)| in_flight_of(s));
    let (reason, message) = tell(situations, |s| in_flight_of(s).map(|p| (p.reason.to_owned(), p.message.clone())))?;
    let refused = in_flight().next().is_some_and(|p| p.refused);
    let told = if refused { message.as_str() } else { "until then, at the latest, it has ended or counts as failed" };
    let waiting = Waiting {
        reason: reason.as_str().into(),
        message: told.into(),
        on: in_flight().find_map(|p| p.record.as_ref()).map(|record| Note::from(format!("tdep/{record}"))),
        until: in_flight().filter_map(|p| p.deadline).min().map(Time),
    };
    let in_the_way = refused.then(|| (reason.clone(), message.clone()));
    Some(Summary {
        reason,
        message,
        waiting: Some(waiting),
        in_the_way,
        deployed: ConditionStatus::Unknown,
        reconciling: true,
        in_queue: false,
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
        reason: reason.as_str().into(),
        message: "the next try starts by itself".into(),
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
        in_queue: false,
        blocked: None,
    })
}

/// A rollback that is asked for and cannot start.
fn held(state: TicketState, situations: &[(String, Situation)]) -> Option<Summary> {
    let (reason, message) = tell(situations, |s| match s {
        Situation::Held(o) => Some((o.reason.to_owned(), format!("to be taken back, but: {}", o.message))),
        _ => None,
    })?;
    let first = situations.iter().find_map(|(_, s)| match s {
        Situation::Held(obstacle) => Some(obstacle),
        _ => None,
    })?;
    let failure = failure(situations).map(|(_, why)| why);
    let message = failure.iter().fold(message, |held, why| format!("{held}; {why}"));
    Some(Summary {
        waiting: Some(Waiting {
            reason: reason.as_str().into(),
            message: message.as_str().into(),
            on: first.on.as_deref().map(Into::into),
            until: first.until_time().map(Time),
        }),
        in_the_way: Some((reason.clone(), message.clone())),
        reason,
        message,
        deployed: if state == TicketState::Done { ConditionStatus::True } else { ConditionStatus::False },
        reconciling: failure.is_none() && situations.iter().any(|(_, s)| matches!(s, Situation::Held(o) if o.moving)),
        in_queue: first.in_queue,
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
    let message = format!("{}; {next}", bounded_to(&message, Sentence::MAX - next.len() - 2));
    Some(Summary {
        reason: TAKEN_BACK.to_owned(),
        waiting: Some(Waiting { reason: TAKEN_BACK.into(), message: message.as_str().into(), ..Waiting::default() }),
        in_the_way: Some((TAKEN_BACK.to_owned(), message.clone())),
        message,
        deployed: ConditionStatus::False,
        reconciling: false,
        in_queue: false,
        blocked: None,
    })
}

/// Reason and text of what failed for good.
fn failure(situations: &[(String, Situation)]) -> Option<(String, String)> {
    tell(situations, |s| match s {
        Situation::Failed { why, message, .. } => Some((why.as_str().to_owned(), message.clone())),
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
        message: format!("{}; {next}", bounded_to(&message, Sentence::MAX - next.len() - 2)),
        waiting: None,
        deployed: ConditionStatus::False,
        reconciling: false,
        in_queue: false,
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
    let waiting = Waiting {
        reason: first.reason.into(),
        message: message.as_str().into(),
        on: first.on.as_deref().map(Into::into),
        until: first.until_time().map(Time),
    };
    Some(Summary {
        reason: first.reason.to_owned(),
        in_the_way: Some((first.reason.to_owned(), message.clone())),
        message,
        // A ticket that was given up waits for nothing.
        waiting: state.is_open().then_some(waiting),
        deployed: ConditionStatus::False,
        reconciling: obstacles().any(|(_, o)| o.moving),
        in_queue: first.in_queue,
        blocked: None,
    })
}

/// No target has anything to say: there are none, or all ended well without the ticket being done (a dry run).
fn nothing_asked(state: TicketState, ticket: &Ticket, situations: &[(String, Situation)]) -> Summary {
    let dry_run = tell(situations, |s| match s {
        Situation::Deployed { result, message } => Some((result.to_string(), message.clone())),
        _ => None,
    });
    let (reason, message) = dry_run.unwrap_or_else(|| {
        let (dependencies, limits) = (BTreeMap::default(), Limits::default());
        let asked = Asked { ticket, state, targets: &[], dependencies: &dependencies, limits: &limits, now: Timestamp::MIN };
        let obstacle = gates::first_obstacle(&asked);
        obstacle.map_or(("Ready".to_owned(), String::new()), |o| (o.reason.to_owned(), o.message))
    });
    Summary {
        in_the_way: Some((reason.clone(), message.clone())),
        waiting: state.is_open().then(|| Waiting {
            reason: reason.as_str().into(),
            message: message.as_str().into(),
            ..Waiting::default()
        }),
        reason,
        message,
        deployed: ConditionStatus::False,
        reconciling: false,
        in_queue: false,
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
