//! Asking for one more rollout: of everything that failed, or of one target.

use kube::ResourceExt;

use super::{lifecycle, reason};
use crate::api::ticket::{TargetStatus, Ticket, TicketState, TicketStatus};
use crate::api::{RETRY_ANNOTATION, TARGET_RETRY_PREFIX};

/// Longest token that is told apart from others, in characters.
const TOKEN_MAX: usize = 1024;

/// Takes new retry tokens in; whether there were any that count. On a ticket that is new they are only noted.
pub fn take_in(status: &mut TicketStatus, ticket: &Ticket, fresh: bool) -> bool {
    let mut asked = take_in_for_all(status, ticket, fresh);
    // What is deployed is deployed again only where the deployment is asked for.
    let ready = status.state == Some(TicketState::ReadyForDeployment)
        || (status.state == Some(TicketState::Done) && ticket.spec.state == Some(TicketState::ReadyForDeployment));
    for target in &ticket.spec.targets {
        let Some(token) = token(ticket, &format!("{TARGET_RETRY_PREFIX}{}", target.name)) else { continue };
        if !status.targets.iter().any(|e| e.name == target.name) {
            status.targets.push(TargetStatus { name: target.name.clone(), ..TargetStatus::default() });
        }
        let Some(entry) = status.targets.iter_mut().find(|e| e.name == target.name) else { continue };
        if entry.last_handled_retry.as_ref() != Some(&token) {
            entry.last_handled_retry = Some(token);
            if !fresh && ready {
                ask_again(entry);
                asked = true;
            }
        }
    }
    asked
}

fn take_in_for_all(status: &mut TicketStatus, ticket: &Ticket, fresh: bool) -> bool {
    let Some(token) = token(ticket, RETRY_ANNOTATION) else { return false };
    if status.last_handled_retry.as_ref() == Some(&token) {
        return false;
    }
    if !fresh {
        status.targets.iter_mut().filter(|e| !e.result.as_deref().is_some_and(reason::is_deployed)).for_each(ask_again);
    }
    status.last_handled_retry = Some(token);
    !fresh
}

/// An attempt in flight is what was asked for already; it only gets its tries back.
fn ask_again(entry: &mut TargetStatus) {
    if entry.result.is_some() || entry.record.is_none() {
        lifecycle::new_request(entry);
    }
    entry.tries = 0;
}

fn token(ticket: &Ticket, annotation: &str) -> Option<String> {
    let token = ticket.annotations().get(annotation).filter(|t| !t.is_empty())?;
    Some(token.chars().take(TOKEN_MAX).collect())
}
