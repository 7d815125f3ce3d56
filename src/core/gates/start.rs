//! Gates before one more attempt at a target starts: whoever asked, whatever the ticket says. What is under way ends.

use kube::ResourceExt;
use trackdown_api::ticket::Ticket;
use trackdown_api::workload_ref::Workload;

use super::Obstacle;
use crate::reason::POLICY_MISSING;
use crate::ticket::TicketWorld;
use crate::{preflight, queue};

/// One gate.
type Gate = fn(&TicketWorld, &Workload) -> Option<Obstacle>;

/// In the order they are told.
const GATES: [Gate; 2] = [policy_missing, comes_later];

/// The first thing in the way of a start on that workload. The workload itself is looked at after that, see [`preflight`].
#[must_use]
pub fn first_obstacle(world: &TicketWorld, workload: &Workload) -> Option<Obstacle> {
    GATES.iter().find_map(|gate| gate(world, workload))
}

/// Who may deploy is decided by nobody.
#[must_use]
pub fn policy_missing(world: &TicketWorld, _: &Workload) -> Option<Obstacle> {
    let problem = world.policy_missing.as_ref()?;
    let message = format!(
        "{problem}: nobody checks who may deploy, so nothing new starts until an administrator has put it back (helm upgrade)"
    );
    Some(Obstacle::parked(POLICY_MISSING, message))
}

/// Another ticket asked for the workload first.
fn comes_later(world: &TicketWorld, workload: &Workload) -> Option<Obstacle> {
    let name = ahead(world, workload)?.name_any();
    Some(preflight::held_by(workload, &name))
}

fn ahead<'a>(world: &'a TicketWorld, workload: &Workload) -> Option<&'a Ticket> {
    let own = queue::place(&world.ticket);
    let rivals = world.rivals.iter().filter(|(w, _)| w == workload).map(|(_, t)| &**t);
    let before = |t: &&Ticket| queue::place(t) < own || queue::holds(t, workload);
    rivals.filter(before).min_by_key(|t| queue::place(t))
}
