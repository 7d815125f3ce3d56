//! What must hold in every state, and what the judge remembers to tell.

use std::collections::{BTreeMap, BTreeSet};

use stateright::Property;

use super::cluster::Name;
use super::{Operator, Scenario, State};
use crate::world::{BAD, NEW, OLD};
use trackdown_api::condition::find_condition;
use trackdown_api::outcome::Outcome;
use trackdown_api::record::{Action, Record};
use trackdown_api::ticket::{TargetStatus, Ticket, TicketState, TicketStatus};
use trackdown_core::preflight::finished;
use trackdown_core::record::{Purpose, outcome_of};
use trackdown_core::{condition_reason, reason};

/// What objects do not tell.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct Judge {
    /// Forward writes that took effect, by record.
    pub forward: BTreeMap<String, u8>,
    /// Backward writes that took effect, by record.
    pub back: BTreeMap<String, u8>,
    /// Forward writes of rollouts, all records of a workload together.
    pub rollouts: BTreeMap<Name, u8>,
    /// Where a person set something after a write of Trackdown: nothing may be written over it.
    pub theirs: BTreeSet<Name>,
    /// Where a person changed the workload's images, or the workload, at any time.
    pub touched: BTreeSet<Name>,
    /// Something was written over what a person had set.
    pub trampled: bool,
    /// Where a GitOps tool has come to own the image.
    pub adopted: BTreeSet<Name>,
    /// The image was written under a GitOps tool that owns it.
    pub fought: bool,
    /// The first target asks for something else by now.
    pub edited: bool,
    /// Where a rollback is asked for of what was written.
    pub asked: BTreeSet<Name>,
    /// How often the deployment was asked for again.
    pub retried: u8,
    /// Targets of a sequence whose rollout has ended well.
    pub ended_well: BTreeSet<Name>,
    /// A target of a sequence was written to before those before it had ended well.
    pub out_of_turn: bool,
}

impl Judge {
    /// Whether the workload was rolled out to.
    pub fn wrote(&self, name: &str) -> bool {
        self.rollouts.contains_key(name)
    }
}

/// Whether the target is asked for anew. In a sequence a change of one target is a new request for all.
pub fn asked_anew(state: &State, name: &str) -> bool {
    state.judge.edited && (state.sequential || name == state.targets[0].0)
}

/// Whether nobody has changed anything, but for asking for the same again.
fn undisturbed(state: &State) -> bool {
    state.moves == state.judge.retried
}

pub const FINISHED: &str = "a rollout succeeds or is rolled back";
pub const TAKEN_BACK: &str = "a rollout is taken back";

pub fn properties() -> Vec<Property<Scenario>> {
    vec![
        Property::always("one forward write an attempt", |_, s: &State| s.judge.forward.values().all(|n| *n <= 1)),
        Property::always("one backward write an attempt", |_, s: &State| s.judge.back.values().all(|n| *n <= 1)),
        Property::always("a person's image stays", |_, s: &State| !s.judge.trampled),
        Property::always("no more tries than asked for", |_, s: &State| {
            let most = s.tries * (1 + s.judge.retried);
            s.judge.rollouts.iter().all(|(name, tries)| asked_anew(s, name) || *tries <= most)
        }),
        Property::always("targets of a sequence start one after the other", |_, s: &State| !s.judge.out_of_turn),
        Property::always("nothing is written to what Git owns", |_, s: &State| !s.judge.fought),
        Property::always("the bad image is nobody's previous", |_, s: &State| {
            s.api.records.values().all(|r| {
                let mut previous = r.status.iter().flat_map(|s| &s.previous_images);
                s.judge.touched.contains(workload_of(r)) || previous.all(|i| i.image != BAD)
            })
        }),
        Property::always("what is said to be unwritten is", |_, s: &State| {
            let unwritten = |r: &Record| {
                condition_reason(r)
                    .is_some_and(|(_, text)| text.contains("nothing was written") || text.contains("before anything was written"))
            };
            s.api.records.iter().all(|(name, r)| !unwritten(r) || !s.judge.forward.contains_key(name))
        }),
        Property::always("done is true", |_, s: &State| {
            let done =
                s.api.ticket.as_ref().is_some_and(|t| {
                    t.status.as_ref().is_some_and(|s| s.state == Some(TicketState::Done) && s.deployed_by.is_some())
                });
            let failed = |name: &str| records_of(s, name).any(|r| ended(r, |x| *x == Outcome::RolledBack));
            let wrong = |name: &str| failed(name) && s.api.image(name) == BAD;
            !done || s.targets.iter().all(|(name, _)| s.judge.touched.contains(name) || !wrong(name))
        }),
        Property::always("only what moved on is said to have", |_, s: &State| {
            let entries = s.api.ticket.iter().flat_map(|t| &t.status).flat_map(|s| &s.targets);
            let said = |e: &&TargetStatus| e.result == Some(Outcome::WorkloadMovedOn);
            entries.filter(said).all(|e| s.judge.touched.contains(e.name.as_str()))
        }),
        Property::always("when nothing is left to do, all ended right", |_, s: &State| !quiet(s) || ended_right(s)),
        Property::always("a failed sequence leaves nothing behind", |_, s: &State| {
            let fails = s.sequential && s.targets.iter().any(|(_, image)| *image == BAD);
            let clean = || s.targets.iter().all(|(name, _)| s.api.image(name) == OLD);
            !fails || !undisturbed(s) || clean() || !quiet(s)
        }),
        Property::sometimes(FINISHED, |_, s: &State| quiet(s) && s.api.records.values().any(|r| finished(r))),
        Property::sometimes(TAKEN_BACK, |m: &Scenario, s: &State| {
            let complete = |r: &Record| ended(r, |x| *x == Outcome::RollbackComplete);
            let good = m.targets.iter().all(|(_, image)| *image == NEW);
            m.moves != [super::Move::AskRollback] || !good || (quiet(s) && s.api.records.values().any(|r| complete(r)))
        }),
    ]
}

/// Whether an operator with a fresh cache would do nothing, now or later, and the workloads are at rest.
fn quiet(state: &State) -> bool {
    let fresh = Operator::fresh(&state.api);
    let later = State { clock: state.clock + 10 * super::TICK_SECONDS, ..state.clone() };
    state.operators.iter().all(|o| o.pass.is_none())
        && state.api.unsettled().next().is_none()
        && [state, &later].iter().all(|s| {
            super::passes::start_ticket(&fresh, s).is_none()
                && state.targets.iter().all(|(name, _)| super::passes::start_orphan(&fresh, s, name).is_none())
                && state.api.records.keys().all(|r| super::passes::start_record(&fresh, s, r).is_none())
        })
}

fn ended_right(state: &State) -> bool {
    let api = &state.api;
    let free = |name: &str| api.view(name).is_none_or(|v| v.rolling.is_none());
    api.records.values().all(|r| finished(r))
        && api.ticket.as_ref().is_none_or(|t| is_consistent(state, t))
        && state.targets.iter().all(|(name, _)| free(name) && is_as_asked(state, name))
}

/// Whether what the ticket says is so.
fn is_consistent(state: &State, ticket: &Ticket) -> bool {
    let State { api, judge, targets, .. } = state;
    let status = ticket.status.clone().unwrap_or_default();
    let stalled = find_condition(&status.conditions, reason::STALLED).is_some();
    let held = status.reason.as_deref().is_some_and(|r| matches!(r, "WorkloadNotFound" | "ScaledToZero" | "NotHealthy"));
    let touched = |name: &str| judge.touched.contains(name);
    match status.state {
        Some(TicketState::Done) => ticket.spec.targets.iter().all(|t| touched(&t.name) || api.image(&t.name) == t.image),
        _ if ticket.spec.manual_override => true,
        // Taken back, whatever became of the request since, or a rollback that a person's change keeps from beginning.
        Some(TicketState::ReadyForDeployment) => {
            let back = |name: &str| touched(name) || asked_anew(state, name) || is_as_told(&status, name, &api.image(name));
            let taken_back = status.reason.as_deref() == Some(reason::TAKEN_BACK) && targets.iter().all(|(name, _)| back(name));
            let kept = status.targets.iter().any(|e| e.rollback.is_some() && e.result.is_none()) && !judge.touched.is_empty();
            stalled || held || kept || !judge.adopted.is_empty() || taken_back || ticket.spec.rollback.is_some()
        }
        _ => targets.iter().all(|(name, _)| {
            let live = api.image(name);
            judge.adopted.contains(name) || touched(name) || live != BAD && live != NEW || succeeded(state, &status, name)
        }),
    }
}

/// Whether the workload runs what its entry says of it, on a ticket that was taken back.
fn is_as_told(status: &TicketStatus, name: &str, live: &str) -> bool {
    match status.targets.iter().find(|e| e.name == name).and_then(|e| e.result.as_ref()) {
        Some(result) if result.is_deployed() => live == NEW,
        _ => live == OLD,
    }
}

/// Whether the target has ended well. The workload remembers that, too, when its record was deleted.
fn succeeded(state: &State, status: &TicketStatus, name: &str) -> bool {
    let mut results = status.targets.iter().filter(|e| e.name == name).filter_map(|e| e.result.as_ref());
    results.any(Outcome::is_success)
        || records_of(state, name).any(|r| ended(r, Outcome::is_success))
        || state.api.view(name).and_then(|v| v.marker()).is_some_and(|m| m.succeeded)
}

/// Whether what failed is gone from the workload, and what is asked to be taken back, unless a person has to do with it.
fn is_as_asked(state: &State, name: &str) -> bool {
    let State { api, judge, .. } = state;
    let overridden = api.ticket.as_ref().is_none_or(|t| t.spec.manual_override);
    let left = judge.touched.contains(name) || judge.adopted.contains(name) || overridden;
    let live = api.image(name);
    let restored = left || live != BAD || !records_of(state, name).any(|r| ended(r, |x| *x == Outcome::RolledBack));
    let granted = left || asked_anew(state, name) || !judge.asked.contains(name) || live == OLD;
    restored && granted
}

fn workload_of(record: &Record) -> &str {
    &record.spec.workload.name
}

fn records_of<'a>(state: &'a State, name: &'a str) -> impl Iterator<Item = &'a Record> {
    state.api.records.values().map(|r| &**r).filter(move |r| workload_of(r) == name)
}

fn ended(record: &Record, how: impl Fn(&Outcome) -> bool) -> bool {
    outcome_of(record).is_some_and(|outcome| how(&outcome))
}

/// A write of images has taken effect.
pub fn judge_write(state: &mut State, record: &Record, purpose: Purpose) {
    let name = record.metadata.name.clone().unwrap_or_default();
    let Some(place) = state.targets.iter().position(|(target, _)| *target == workload_of(record)) else { return };
    let workload = state.targets[place].0;
    let undisturbed = undisturbed(state);
    let judge = &mut state.judge;
    match purpose {
        Purpose::Forward => {
            *judge.forward.entry(name).or_default() += 1;
            if record.spec.action == Action::Rollout {
                *judge.rollouts.entry(workload).or_default() += 1;
                let before = &state.targets[..place];
                judge.out_of_turn |= state.sequential && before.iter().any(|(target, _)| !judge.ended_well.contains(target));
            }
            // It has to end well once more. Not after a person's change: a write that was decided on before it may come later.
            if undisturbed {
                judge.ended_well.remove(workload);
            }
        }
        Purpose::Rollback => *judge.back.entry(name).or_default() += 1,
        _ => return,
    }
    judge.fought |= judge.adopted.contains(workload);
    judge.trampled |= judge.theirs.contains(workload);
}

/// A record has ended. Where the order does not matter that is not remembered: it would only tell states apart.
pub fn judge_end(state: &mut State, record: &Record) {
    let target = state.targets.iter().find(|(target, _)| *target == workload_of(record));
    if let Some((target, _)) = target.filter(|_| state.sequential && ended(record, Outcome::is_deployed)) {
        state.judge.ended_well.insert(target);
    }
}
