//! What a ticket's status says to people and programs, from where each target is.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use trackdown_api::condition::{Condition, ConditionStatus, set_condition};
use trackdown_api::ticket::{Ticket, TicketState, TicketStatus, Waiting};

use super::reason::{DEPLOYABLE, DEPLOYED, RECONCILING, STALLED};
use super::situation::Situation;
use super::summary::{self, Summary};

/// Writes reason, message, waiting and conditions.
pub fn project(status: &mut TicketStatus, ticket: &Ticket, situations: &[(String, Situation)], now: Timestamp) {
    let mut summary = summary::of(status, ticket, situations);
    keep_until(&mut summary, status.waiting.as_ref());
    status.reason = Some(summary.reason.as_str().into());
    status.message = Some(summary.message.as_str().into());
    status.waiting = summary.waiting;
    // What a rollback has not begun to take back is still deployed.
    let done = status.state == Some(TicketState::Done);
    let stands = |s: &Situation| matches!(s, Situation::Deployed { .. }) || (done && matches!(s, Situation::Held(_)));
    let deployed = situations.iter().filter(|(_, s)| stands(s)).count();
    status.deployed_targets = (!situations.is_empty()).then(|| format!("{deployed}/{}", situations.len()));
    let stalled = summary.blocked.is_some();
    status.blocked_reason = summary.blocked.as_deref().or(ticket.spec.blocked_reason.as_deref()).map(Into::into);
    let on_its_way = summary.in_the_way.is_none() || summary.in_queue;
    let queued = on_its_way && !stalled && status.state == Some(TicketState::ReadyForDeployment);
    status.queued_time = queued.then(|| status.queued_time.take().unwrap_or(Time(now)));
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
                message: message.into(),
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
