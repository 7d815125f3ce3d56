//! What must hold in every state, and what the judge remembers to tell.

use std::collections::BTreeMap;

use stateright::Property;

use super::cluster::settled;
use super::{Operator, Scenario, State};
use crate::world::{BAD, NEW, OLD};
use trackdown_api::condition::find_condition;
use trackdown_api::outcome::Outcome;
use trackdown_api::record::Record;
use trackdown_api::ticket::TicketState;
use trackdown_core::preflight::finished;
use trackdown_core::record::outcome_of;
use trackdown_core::{condition_reason, reason};

/// What objects do not tell.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct Judge {
    /// Forward writes that took effect, by record.
    pub forward: BTreeMap<String, u8>,
    /// Backward writes that took effect, by record.
    pub back: BTreeMap<String, u8>,
    /// Forward writes of rollouts, all records together.
    pub rollouts: u8,
    /// A person set something after a write of Trackdown: nothing may be written over it.
    pub theirs: bool,
    /// A person changed the workload's images, or the workload, at any time.
    pub touched: bool,
    /// Something was written over what a person had set.
    pub trampled: bool,
    /// A GitOps tool has come to own the image.
    pub adopted: bool,
    /// The image was written under a GitOps tool that owns it.
    pub fought: bool,
    /// The ticket asks for something else by now.
    pub edited: bool,
    /// A rollback is asked for of what was written.
    pub asked: bool,
}

impl Judge {
    pub fn wrote(&self) -> bool {
        self.rollouts > 0
    }
}

pub const FINISHED: &str = "a rollout succeeds or is rolled back";
pub const TAKEN_BACK: &str = "a rollout is taken back";

pub fn properties() -> Vec<Property<Scenario>> {
    vec![
        Property::always("one forward write an attempt", |_, s: &State| s.judge.forward.values().all(|n| *n <= 1)),
        Property::always("one backward write an attempt", |_, s: &State| s.judge.back.values().all(|n| *n <= 1)),
        Property::always("a person's image stays", |_, s: &State| !s.judge.trampled),
        Property::always("no more tries than asked for", |_, s: &State| s.judge.edited || s.judge.rollouts <= s.tries),
        Property::always("nothing is written to what Git owns", |_, s: &State| !s.judge.fought),
        Property::always("the bad image is nobody's previous", |_, s: &State| {
            let previous = s.api.records.values().filter_map(|r| r.status.as_ref()).flat_map(|s| &s.previous_images);
            s.judge.touched || previous.into_iter().all(|i| i.image != BAD)
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
            let failed = s.api.records.values().any(|r| ended(r, |x| *x == Outcome::RolledBack));
            !done || s.judge.touched || !(failed && s.api.image() == BAD)
        }),
        Property::always("only what moved on is said to have", |_, s: &State| {
            let entries = s.api.ticket.iter().flat_map(|t| &t.status).flat_map(|s| &s.targets);
            let said = entries.into_iter().any(|e| e.result == Some(Outcome::WorkloadMovedOn));
            !said || s.judge.touched
        }),
        Property::always("when nothing is left to do, all ended right", |_, s: &State| !quiet(s) || ended_right(s)),
        Property::sometimes(FINISHED, |_, s: &State| quiet(s) && s.api.records.values().any(|r| finished(r))),
        Property::sometimes(TAKEN_BACK, |m: &Scenario, s: &State| {
            let complete = |r: &Record| ended(r, |x| *x == Outcome::RollbackComplete);
            m.moves != [super::Move::AskRollback] || m.image != NEW || (quiet(s) && s.api.records.values().any(|r| complete(r)))
        }),
    ]
}

/// Whether an operator with a fresh cache would do nothing, now or later, and the workload is at rest.
fn quiet(state: &State) -> bool {
    let fresh = Operator::fresh(&state.api);
    let later = State { clock: state.clock + 10 * super::TICK_SECONDS, ..state.clone() };
    state.operators.iter().all(|o| o.pass.is_none())
        && state.api.workload.as_ref().is_none_or(|w| settled(w) == **w)
        && [state, &later].iter().all(|s| {
            super::passes::start_ticket(&fresh, s).is_none()
                && super::passes::start_orphan(&fresh, s).is_none()
                && state.api.records.keys().all(|r| super::passes::start_record(&fresh, s, r).is_none())
        })
}

fn ended_right(state: &State) -> bool {
    let State { api, judge, .. } = state;
    let all_ended = api.records.values().all(|r| finished(r));
    let free = api.view().is_none_or(|v| v.rolling.is_none());
    let live = api.image();
    let consistent = api.ticket.as_ref().is_none_or(|t| {
        let status = t.status.clone().unwrap_or_default();
        let stalled = find_condition(&status.conditions, reason::STALLED).is_some();
        let held = status.reason.as_deref().is_some_and(|r| matches!(r, "WorkloadNotFound" | "ScaledToZero" | "NotHealthy"));
        match status.state {
            Some(TicketState::Done) => judge.touched || live == t.spec.targets[0].image,
            _ if t.spec.manual_override => true,
            // Taken back, whatever became of the request since, or a rollback that a person's change keeps from beginning.
            Some(TicketState::ReadyForDeployment) => {
                let taken_back = status.reason.as_deref() == Some(reason::TAKEN_BACK) && (judge.touched || live == OLD);
                stalled || held || judge.adopted || taken_back || t.spec.rollback.is_some()
            }
            _ => {
                // The workload remembers a good end, too, when its record was deleted.
                let succeeded = status.targets.iter().filter_map(|e| e.result.as_ref()).any(Outcome::is_success)
                    || api.records.values().any(|r| ended(r, Outcome::is_success))
                    || api.view().and_then(|v| v.marker()).is_some_and(|m| m.succeeded);
                judge.adopted || judge.touched || live != BAD && live != NEW || succeeded
            }
        }
    });
    let overridden = api.ticket.as_ref().is_none_or(|t| t.spec.manual_override);
    let left = judge.touched || judge.adopted || overridden;
    let restored = left || api.records.values().all(|r| !ended(r, |x| *x == Outcome::RolledBack) || live != BAD);
    let granted = !judge.asked || left || judge.edited || live == OLD;
    all_ended && free && consistent && restored && granted
}

fn ended(record: &Record, how: impl Fn(&Outcome) -> bool) -> bool {
    outcome_of(record).is_some_and(|outcome| how(&outcome))
}
