//! What a ticket asks for and nobody can do: names that mean none of its targets.

use kube::ResourceExt;

use trackdown_api::TARGET_RETRY_PREFIX;
use trackdown_api::text::Note;
use trackdown_api::ticket::Ticket;

/// Most warnings a status holds, as in the schema.
const WARNINGS_MAX: usize = 8;

/// The warnings, in the order of the ticket's text.
#[must_use]
pub fn of(ticket: &Ticket) -> Vec<Note> {
    let rolled_back = unknown_rollback_targets(ticket).map(|name| ("spec.rollback.targets".to_owned(), name));
    let retried = ticket.annotations().keys().filter_map(|key| {
        let name = key.strip_prefix(TARGET_RETRY_PREFIX)?;
        (!has_target(ticket, name)).then(|| (format!("annotation {key}"), name))
    });
    let targets = ticket.spec.targets.iter().map(|t| t.name.as_str()).collect::<Vec<_>>().join(", ");
    let warning =
        |(place, name): (String, &str)| Note::from(format!("{place}: the ticket has no target {name}; it has: {targets}"));
    rolled_back.chain(retried).map(warning).take(WARNINGS_MAX).collect()
}

/// The names in `spec.rollback.targets` that mean no target.
pub fn unknown_rollback_targets(ticket: &Ticket) -> impl Iterator<Item = &str> {
    let named = ticket.spec.rollback.iter().flat_map(|r| &r.targets);
    named.map(String::as_str).filter(|name| !has_target(ticket, name))
}

fn has_target(ticket: &Ticket, name: &str) -> bool {
    ticket.spec.targets.iter().any(|t| t.name == name)
}
