//! The workflow state of a ticket: what is asked for in `spec.state` is taken into `status.state`, with history.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, Time};
use kube::ResourceExt;
use serde_json::Value;

use super::retry;
use super::ticket::course::{Draft, Target};
use trackdown_api::FIELD_MANAGER;
use trackdown_api::record::Requester;
use trackdown_api::text::{LongName, Sentence};
use trackdown_api::ticket::{StateMetadata, Ticket, TicketState, TicketStatus, Transition};

/// Transitions kept in `status.history`.
pub const HISTORY_MAX: usize = 20;

/// `source` of the transition that a rollback by hand makes.
pub const ROLLBACK_SOURCE: &str = "spec.rollback";

/// Takes a changed `spec.state` into the status. The API server refused illegal steps one by one; several
/// legal ones may arrive here as one, so none is refused again. Being asked (again) for the deployment is a new request for
/// every target.
pub fn take_in(draft: &mut Draft, ticket: &Ticket, now: Timestamp) {
    let fresh = draft.status.state.is_none();
    match ticket.spec.state {
        // Without a state of its own a status was cut, or restored in part.
        Some(asked) if fresh || draft.status.requested_state != Some(asked) => {
            draft.status.requested_state = Some(asked);
            if draft.status.state != Some(asked) {
                let attribution = attribution(&draft.status, ticket);
                transition(draft, asked, attribution, now);
                if asked == TicketState::ReadyForDeployment {
                    draft.targets.iter_mut().for_each(Target::new_request);
                }
                record_deployment_by_hand(&mut draft.status, ticket, asked, now);
            } else if asked == TicketState::ReadyForDeployment {
                // A rollback had moved the ticket here; now it is asked for.
                draft.targets.iter_mut().for_each(Target::new_request);
            }
        }
        None if fresh => transition(draft, TicketState::Planning, Attribution::default(), now),
        _ => {}
    }
}

/// Who moved a ticket, and why.
#[derive(Clone, Debug, Default)]
pub struct Attribution {
    /// See [`Transition::by`].
    pub by: Option<LongName>,
    /// See [`Transition::via`].
    pub via: Option<LongName>,
    /// See [`Transition::reason`].
    pub reason: Option<Sentence>,
    /// See [`Transition::source`].
    pub source: Option<LongName>,
}

impl Attribution {
    /// A step Trackdown takes by itself.
    #[must_use]
    pub fn own(reason: &str) -> Self {
        let own = Some(LongName::from(FIELD_MANAGER));
        Self { by: own.clone(), via: own, reason: Some(reason.into()), source: None }
    }
}

/// Who took a step, as it follows a verb: ` by alice via kubectl`; nothing where that is not known.
#[must_use]
pub fn by_whom(step: Option<&Transition>) -> String {
    let who = |label: &str, name: Option<&LongName>| name.map_or_else(String::new, |name| format!(" {label} {name}"));
    step.map(|t| who("by", t.by.as_ref()) + &who("via", t.via.as_ref())).unwrap_or_default()
}

/// Moves the ticket.
pub fn transition(draft: &mut Draft, to: TicketState, attribution: Attribution, now: Timestamp) {
    let status = &mut draft.status;
    let from = status.state;
    status.state = Some(to);
    status.transition_time = Some(Time(now));
    status.transitioned_by.clone_from(&attribution.by);
    status.transition_reason.clone_from(&attribution.reason);
    let Attribution { by, via, reason, source } = attribution;
    status.history.insert(0, Transition { from, to, time: Time(now), by, via, reason, source });
    status.history.truncate(HISTORY_MAX);
    if to == TicketState::ReadyForDeployment {
        for target in &mut draft.targets {
            target.attempt_before = Some(target.attempt - i32::from(target.is_in_flight()));
        }
    }
}

/// Who asked for the deployment of the target, and why.
#[must_use]
pub fn requester(ticket: &Ticket, target: &str) -> Requester {
    if let Some(retry) = retry::requester(ticket, target) {
        return retry;
    }
    let asked = ticket.status.iter().flat_map(|s| &s.history).find(|t| t.to == TicketState::ReadyForDeployment);
    let asked = asked.cloned().filter(|t| t.by.as_deref() != Some(FIELD_MANAGER) && t.source.as_deref() != Some(ROLLBACK_SOURCE));
    let title = || Some(ticket.spec.title.clone());
    match asked {
        Some(asked) => Requester {
            by: asked.by.map(String::from),
            via: asked.via.map(String::from),
            reason: asked.reason.map(String::from).or_else(title),
        },
        // The ticket was ready before: whoever changed the targets asked.
        None => Requester { by: None, via: manager_of(ticket, &["f:spec", "f:targets"]), reason: title() },
    }
}

/// CI that deployed by itself says so with the request for `done`.
fn record_deployment_by_hand(status: &mut TicketStatus, ticket: &Ticket, to: TicketState, now: Timestamp) {
    let Some(meta) = ticket.spec.state_metadata.as_ref().filter(|_| to == TicketState::Done) else { return };
    if meta.deployed_by.is_none() && meta.deployed_time.is_none() && meta.deployed_namespace.is_none() {
        return;
    }
    status.deployed_by = meta.deployed_by.as_deref().map(Into::into);
    status.deployment_time = meta.deployed_time.clone().or(Some(Time(now)));
    status.deployed_namespace = meta.deployed_namespace.clone().or_else(|| ticket.namespace()).map(Into::into);
}

/// Claims count only if they came with the state: text that already stood there at the last transition is not this one's.
fn attribution(status: &TicketStatus, ticket: &Ticket) -> Attribution {
    let via = manager_of(ticket, &["f:spec", "f:state"]).map(LongName::from);
    let claimed = ticket.spec.state_metadata.as_ref().map(claims).unwrap_or_default();
    let last = status.history.iter().map(|t| (&t.by, &t.reason, &t.source)).find(|(by, reason, source)| {
        let own = by.as_deref() == Some(FIELD_MANAGER) || source.as_deref() == Some(ROLLBACK_SOURCE);
        !own && (by.is_some() || reason.is_some() || source.is_some())
    });
    let (by, reason, source) = claimed;
    if last == Some((&by, &reason, &source)) {
        return Attribution { by: None, via, reason: None, source: None };
    }
    Attribution { by, via, reason, source }
}

/// As the history holds them, so that what stood there already is known again.
fn claims(meta: &StateMetadata) -> (Option<LongName>, Option<Sentence>, Option<LongName>) {
    let by = meta.transitioned_by.as_deref().map(LongName::from);
    let reason = meta.transition_reason.as_deref().map(Sentence::from);
    (by, reason, meta.automation_source.as_deref().map(LongName::from))
}

/// Field manager of a field: the newest of those that own it.
#[must_use]
pub fn manager_of(ticket: &Ticket, path: &[&str]) -> Option<String> {
    last_written(ticket, path).and_then(|entry| entry.manager.clone())
}

/// The newest of the managers that own a field.
#[must_use]
pub fn last_written<'a>(ticket: &'a Ticket, path: &[&str]) -> Option<&'a ManagedFieldsEntry> {
    let owners = ticket.managed_fields().iter().filter(|entry| {
        let all = entry.fields_v1.as_ref().map(|f| &f.0);
        all.and_then(|all| path.iter().try_fold(all, |fields, field| fields.get(field))).is_some_and(Value::is_object)
    });
    owners.max_by_key(|entry| entry.time.as_ref().map(|t| t.0))
}
