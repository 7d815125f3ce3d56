//! Asking for one more rollout: of everything that failed, or of one target.

use kube::ResourceExt;

use super::lifecycle;
use super::ticket::course::{Draft, Target};
use trackdown_api::outcome::Outcome;
use trackdown_api::record::Requester;
use trackdown_api::text::bounded;
use trackdown_api::ticket::{Ticket, TicketState, Transition};
use trackdown_api::{FIELD_MANAGER, RETRY_ANNOTATION, TARGET_RETRY_PREFIX};

/// Longest token that is told apart from others, in characters.
const TOKEN_MAX: usize = 1024;

/// Takes new retry tokens in; whether there were any that count. On a ticket that is new they are only noted.
pub fn take_in(draft: &mut Draft, ticket: &Ticket, fresh: bool) -> bool {
    let mut asked = take_in_for_all(draft, ticket, fresh);
    // What is deployed is deployed again only where the deployment is asked for.
    let ready = draft.status.state == Some(TicketState::ReadyForDeployment)
        || (draft.status.state == Some(TicketState::Done) && ticket.spec.state == Some(TicketState::ReadyForDeployment));
    for spec in &ticket.spec.targets {
        let Some(token) = token(ticket, &format!("{TARGET_RETRY_PREFIX}{}", spec.name)) else { continue };
        let mut target = draft.target(&spec.name);
        if target.last_handled_retry.as_ref() != Some(&token) {
            target.last_handled_retry = Some(token);
            if !fresh && ready {
                ask_again(&mut target);
                asked = true;
            }
        }
        draft.put(target);
    }
    asked
}

fn take_in_for_all(draft: &mut Draft, ticket: &Ticket, fresh: bool) -> bool {
    let Some(token) = token(ticket, RETRY_ANNOTATION) else { return false };
    if draft.status.last_handled_retry.as_ref() == Some(&token) {
        return false;
    }
    if !fresh {
        draft.targets.iter_mut().filter(|t| !t.result().is_some_and(Outcome::is_deployed)).for_each(ask_again);
    }
    draft.status.last_handled_retry = Some(token);
    !fresh
}

/// Who asked for a retry of the target, if neither the deployment nor something else was asked for since.
#[must_use]
pub fn requester(ticket: &Ticket, target: &str) -> Option<Requester> {
    // A retry may itself move the ticket back to ready.
    let asked = |t: &&Transition| t.to == TicketState::ReadyForDeployment && t.by.as_deref() != Some(FIELD_MANAGER);
    let ready = ticket.status.iter().flat_map(|s| &s.history).find(asked).map(|t| t.time.0);
    let targets = lifecycle::last_written(ticket, &["f:spec", "f:targets"]).and_then(|e| e.time.as_ref()).map(|t| t.0);
    let since = ready.max(targets)?;
    let own = format!("{TARGET_RETRY_PREFIX}{target}");
    let asked = [own.as_str(), RETRY_ANNOTATION].into_iter().filter_map(|annotation| {
        let token = token(ticket, annotation)?;
        let written = lifecycle::last_written(ticket, &["f:metadata", "f:annotations", &format!("f:{annotation}")])?;
        let time = written.time.as_ref().map(|t| t.0).filter(|time| *time > since)?;
        Some((time, written.manager.clone(), format!("retry: {annotation}={token}")))
    });
    let (_, via, reason) = asked.max_by_key(|(time, ..)| *time)?;
    Some(Requester { by: None, via, reason: Some(bounded(&reason)) })
}

/// An attempt in flight is what was asked for already; it only gets its tries back.
fn ask_again(target: &mut Target) {
    if !target.is_in_flight() {
        target.new_request();
    }
    target.tries = 0;
}

fn token(ticket: &Ticket, annotation: &str) -> Option<String> {
    let token = ticket.annotations().get(annotation).filter(|t| !t.is_empty())?;
    Some(token.chars().take(TOKEN_MAX).collect())
}
