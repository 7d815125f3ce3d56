//! A rollback of a target: like a rollout an intent first, then a record. No gate of a rollout is in its way, but a person who has taken
//! over.

use trackdown_api::record::{Action, Record};
use trackdown_api::ticket::{RollbackCause, Stop, TargetRollback};

use super::attempt::record_refused;
use super::course::{Course, Target};
use super::turn::Turn;
use super::{RecordSeen, TicketRead, record_named, record_of, undo};
use crate::gates::{self, Obstacle};
use crate::preflight::{self, Plan};
use crate::reason::ROLLING_BACK;
use crate::situation::{self, Situation, stopping};

impl Turn<'_> {
    /// A rollback that is asked for, or under way.
    pub fn take_back(&self, known: &mut Target, creates: &mut Vec<Record>) -> Result<Situation, TicketRead> {
        let Some(asked) = known.undo().cloned() else { return Ok(self.rolling(known)) };
        let seen = record_of(self.world, known)?;
        if let Some(RecordSeen::Found(record)) = seen {
            if self.world.ticket.spec.manual_override {
                known.set_stop(Some(Stop::Leave));
            }
            return Ok(Situation::InFlight(match known.stop() {
                Some(stop) => stopping(stop),
                None => situation::in_flight(record, text(known)),
            }));
        }
        let plan = match self.plan_back(known, &asked)? {
            Ok(plan) => plan,
            Err(obstacle) => {
                known.unname();
                return Ok(Situation::Held(obstacle));
            }
        };
        if let Some(RecordSeen::Refused(why)) = seen {
            return Ok(Situation::Held(record_refused(known, why)));
        }
        if seen.is_some() {
            creates.push(self.record(known, plan));
        } else {
            self.intend(known);
        }
        Ok(Situation::InFlight(self.begun(known, text(known))))
    }

    /// What taking the target back would write. What it has written already has to be followed, whatever is in the way by now.
    fn plan_back(&self, known: &Target, back: &TargetRollback) -> Result<Result<Plan, Obstacle>, TicketRead> {
        let found = self.found()?;
        if let Ok((view, _)) = found
            && let Some(images) = undo::images_written(known.record(), view)
        {
            return Ok(Ok(preflight::plan_again(Action::Rollback, images, view)));
        }
        if let Err(obstacle) = self.may_take_back(back) {
            return Ok(Err(obstacle));
        }
        let (view, holder) = match found {
            Ok(found) => found,
            Err(obstacle) => return Ok(Err(obstacle)),
        };
        let asker = self.asker(known.record());
        let images = match (&back.to, &back.of) {
            (Some(name), _) => undo::images_of(name, record_named(self.world, name)?, &self.target.workload),
            (None, Some(name)) => undo::images_before(name, record_named(self.world, name)?, view, asker.ticket_uid),
            (None, None) => undo::images_remembered(&self.target.name, view, asker.ticket_uid),
        };
        Ok(images.and_then(|images| preflight::check_restore(asker, self.target, images, view, holder)))
    }

    fn may_take_back(&self, asked: &TargetRollback) -> Result<(), Obstacle> {
        let by_hand = asked.cause == RollbackCause::Requested || asked.to.is_some();
        if let Some(obstacle) = gates::start::policy_missing(self.world, &self.target.workload).filter(|_| by_hand) {
            return Err(obstacle);
        }
        if self.world.ticket.spec.manual_override {
            return Err(Obstacle::parked("ManualOverride", "spec.manualOverride is true: a person has taken over"));
        }
        if self.world.monitor_only {
            return Err(Obstacle::parked("WouldRollBack", "the operator only monitors (--dry-run)"));
        }
        Ok(())
    }
}

/// What a rollback says while it goes well.
#[must_use]
pub fn text(known: &Target) -> (&'static str, String) {
    let Course::Undoing { undo, .. } = &known.course else { return (ROLLING_BACK, String::new()) };
    let what = match (&undo.to, &undo.of) {
        (Some(to), _) => format!("bringing back what tdep/{to} deployed"),
        (None, Some(of)) => format!("taking back what tdep/{of} deployed"),
        (None, None) => "taking back".to_owned(),
    };
    let why = match undo.cause {
        RollbackCause::Requested => "asked for by spec.rollback",
        RollbackCause::Compensation => "a later target failed (rollout.order: Sequential)",
    };
    (ROLLING_BACK, format!("{what}: {why} (attempt {})", known.attempt))
}
