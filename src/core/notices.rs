//! Which changes of a ticket's status are worth an Event.

use trackdown_api::FIELD_MANAGER;
use trackdown_api::condition::find_condition;
use trackdown_api::ticket::{TargetStatus, TicketState, TicketStatus};

use super::reason;

/// An Event about a ticket.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Notice {
    /// Something a person should look at.
    pub warning: bool,
    /// One `CamelCase` word.
    pub reason: String,
    /// A sentence. No times or counts in it that would make every Event a new one.
    pub note: String,
    /// The record it is about.
    pub record: Option<String>,
}

/// What happened between two statuses.
#[must_use]
pub fn between(before: &TicketStatus, after: &TicketStatus) -> Vec<Notice> {
    let notice = |warning, reason: &str, note: String| Notice { warning, reason: reason.to_owned(), note, record: None };
    let mut notices = Vec::new();
    for entry in &after.targets {
        let old = before.targets.iter().find(|e| e.name == entry.name);
        if old.map_or(0, |e| e.attempt) < entry.attempt {
            let record = entry.record.as_deref().unwrap_or_default();
            let what = if entry.rollback.is_some() { "RollbackStarted" } else { "RolloutStarted" };
            let note = format!("{}: attempt {} (tdep/{record})", entry.name, entry.attempt);
            notices.push(Notice { record: entry.record.clone(), ..notice(false, what, note) });
        }
        if let Some(failure) = new_failure(old, entry) {
            let note = format!("{}: {}", entry.name, entry.message.as_deref().unwrap_or_default());
            notices.push(Notice { record: entry.record.clone(), ..notice(true, failure, note) });
        }
    }
    let course = |s: &TicketStatus| s.targets.iter().map(|e| (e.rollback.clone(), e.stop, e.result.clone())).collect::<Vec<_>>();
    let asked = before.state.is_some() && before.last_handled_rollback != after.last_handled_rollback;
    if asked && course(before) == course(after) {
        let note = "spec.rollback asks for nothing new that could be done: no such target, nothing deployed, or taken back already";
        notices.push(notice(true, "NothingToTakeBack", note.to_owned()));
    }
    for warning in after.warnings.iter().filter(|w| !before.warnings.contains(w)) {
        notices.push(notice(true, "UnknownTarget", warning.clone()));
    }
    let done = |s: &TicketStatus| s.state == Some(TicketState::Done) && s.deployed_by.as_deref() == Some(FIELD_MANAGER);
    if done(after) && !done(before) {
        notices.push(notice(false, "Deployed", "every target is deployed".to_owned()));
    }
    if let Some((reason, message)) = in_the_way(after).filter(|now| in_the_way(before).map(|b| b.0) != Some(now.0)) {
        notices.push(notice(find_condition(&after.conditions, reason::STALLED).is_some(), reason, message.to_owned()));
    }
    notices
}

fn new_failure<'a>(old: Option<&TargetStatus>, entry: &'a TargetStatus) -> Option<&'a str> {
    let result = entry.result.as_deref().filter(|r| !reason::is_success(r))?;
    (old.and_then(|e| e.failure_time.as_ref()) != entry.failure_time.as_ref()).then_some(result)
}

/// Why a ticket that asks for its deployment does not get it.
fn in_the_way(status: &TicketStatus) -> Option<(&str, &str)> {
    if status.state != Some(TicketState::ReadyForDeployment) {
        return None;
    }
    let condition = find_condition(&status.conditions, reason::DEPLOYABLE)?;
    let blocked = condition.status == trackdown_api::condition::ConditionStatus::False;
    blocked.then_some((condition.reason.as_str(), condition.message.as_str()))
}
