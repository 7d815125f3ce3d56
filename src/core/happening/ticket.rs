//! What happened to a ticket, from its status before and after a write.

use super::{About, Happening, News};
use crate::reason;
use trackdown_api::FIELD_MANAGER;
use trackdown_api::condition::{ConditionStatus, find_condition};
use trackdown_api::ticket::{TargetStatus, Ticket, TicketState, TicketStatus};

/// What happened between a status and the one that `after` has. `None`: there was none.
#[must_use]
pub fn between(before: Option<&TicketStatus>, after: &Ticket) -> Vec<News> {
    let nothing = TicketStatus::default();
    let (before, Some(status)) = (before.unwrap_or(&nothing), &after.status) else { return Vec::new() };
    let whole = About::ticket(after);
    let mut news = Vec::new();
    if let Some(to) = status.state.filter(|_| before.state != status.state) {
        let what = Happening::TransitionTaken { from: before.state, to, step: status.history.first().cloned() };
        news.push(News { about: whole.clone(), what });
    }
    for entry in &status.targets {
        let old = before.targets.iter().find(|e| e.name == entry.name);
        let (target, record) = (entry.name.clone(), entry.record.clone());
        let about = About { target, attempt: entry.attempt, record, ..whole.clone() };
        news.extend(of_target(old, entry).into_iter().map(|what| News { about: about.clone(), what }));
    }
    news.extend(of_whole(before, status).into_iter().map(|what| News { about: whole.clone(), what }));
    news
}

fn of_target(old: Option<&TargetStatus>, entry: &TargetStatus) -> Vec<Happening> {
    let mut happened = Vec::new();
    if old.map_or(0, |e| e.attempt) < entry.attempt {
        happened.push(Happening::AttemptIntended { rollback: entry.rollback.is_some() });
    }
    let Some(result) = &entry.result else { return happened };
    if old.is_none_or(|e| e.result.as_ref() != Some(result)) {
        happened.push(Happening::ResultTaken { result: result.clone() });
    }
    let failed_anew = old.and_then(|e| e.failure_time.as_ref()) != entry.failure_time.as_ref();
    if failed_anew && !result.is_success() {
        let message = entry.message.as_deref().unwrap_or_default().to_owned();
        happened.push(Happening::TargetFailed { result: result.clone(), message });
    }
    happened
}

fn of_whole(before: &TicketStatus, after: &TicketStatus) -> Vec<Happening> {
    let mut happened = Vec::new();
    let course = |s: &TicketStatus| s.targets.iter().map(|e| (e.rollback.clone(), e.stop, e.result.clone())).collect::<Vec<_>>();
    let asked = before.state.is_some() && before.last_handled_rollback != after.last_handled_rollback;
    if asked && course(before) == course(after) {
        happened.push(Happening::NothingToTakeBack);
    }
    let unknown = after.warnings.iter().filter(|w| !before.warnings.contains(w));
    happened.extend(unknown.map(|warning| Happening::UnknownTarget { warning: warning.to_string() }));
    let done = |s: &TicketStatus| s.state == Some(TicketState::Done) && s.deployed_by.as_deref() == Some(FIELD_MANAGER);
    if done(after) && !done(before) {
        happened.push(Happening::Deployed);
    }
    if let Some((reason, message)) = in_the_way(after).filter(|now| in_the_way(before).map(|b| b.0) != Some(now.0)) {
        let stalled = find_condition(&after.conditions, reason::STALLED).is_some();
        happened.push(Happening::InTheWay { reason: reason.to_owned(), message: message.to_owned(), stalled });
    }
    happened
}

/// Why a ticket that asks for its deployment does not get it.
fn in_the_way(status: &TicketStatus) -> Option<(&str, &str)> {
    if status.state != Some(TicketState::ReadyForDeployment) {
        return None;
    }
    let condition = find_condition(&status.conditions, reason::DEPLOYABLE)?;
    let blocked = condition.status == ConditionStatus::False;
    blocked.then_some((condition.reason.as_str(), condition.message.as_str()))
}
