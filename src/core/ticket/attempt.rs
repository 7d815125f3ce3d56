//! An attempt of a target: its record is made once it was intended, and followed; a newer request ends it or takes its place.

use kube::ResourceExt;
use kube::core::ObjectMeta;
use trackdown_api::check::Check;
use trackdown_api::outcome::Outcome;
use trackdown_api::record::{Action, Base, OnFailure, Record, RecordSpec, TicketRef};
use trackdown_api::ticket::{Stop, TargetRollback, TicketState};
use trackdown_api::{ATTEMPT_LABEL, TARGET_LABEL, TICKET_LABEL, TICKET_UID_LABEL};

use super::course::{Course, Target};
use super::turn::Turn;
use super::{Probe, RecordSeen, TicketRead, is_of, record_of, undo};
use crate::gates::{self, Obstacle};
use crate::lifecycle;
use crate::preflight::{self, Plan};
use crate::request;
use crate::situation::{self, Situation, stopping};

impl Turn<'_> {
    /// An attempt in flight. `None`: there is none after all, or a new one takes its place.
    pub fn follow(&self, known: &mut Target, creates: &mut Vec<Record>) -> Result<Option<Situation>, TicketRead> {
        let Some(RecordSeen::Found(record)) = record_of(self.world, known)? else { return self.make(known, creates) };
        if !is_of(self.world, record, known) {
            known.unname();
            return Ok(None);
        }
        // Other settings for the same images: this attempt ends first, the new request follows.
        let changed = known.request_hash.as_ref() != Some(&self.hash()) && !self.has_same_images(record);
        let stop = match known.stop() {
            _ if self.world.ticket.spec.manual_override => Some(Stop::Leave),
            Some(stop) => Some(stop),
            None if self.must_end(record, changed) => Some(Stop::Rollback),
            None if changed && self.may_start() && self.may_take_over(record)? => {
                // Tries of what was asked for before are none of this request.
                known.tries = 0;
                known.rolled_back = None;
                self.intend(known);
                return Ok(Some(self.rolling(known)));
            }
            None => changed.then_some(Stop::Rollback),
        };
        known.set_stop(stop);
        Ok(Some(Situation::InFlight(match stop {
            Some(stop) => stopping(stop),
            None => situation::in_flight(record, situation::rolling_text(known.attempt, &self.target.image)),
        })))
    }

    /// Whether the attempt is about what the target asks for now.
    fn has_same_images(&self, record: &Record) -> bool {
        record.spec.workload == self.target.workload
            && record.spec.images.iter().all(|i| i.image == self.target.image)
            && self.target.containers.iter().all(|c| record.spec.images.iter().any(|i| i.container == *c))
    }

    /// Whether the attempt has to end, whatever follows it. One that has written nothing ends as soon as anything is in its way.
    fn must_end(&self, record: &Record, changed: bool) -> bool {
        let patched = record.status.as_ref().is_some_and(|s| s.patched_time.is_some());
        let taken_back = self.state.is_open() && self.state != TicketState::ReadyForDeployment || self.state == TicketState::WontDo;
        taken_back || gates::ticket::scan_failed(&self.world.ticket) || (!patched && (changed || self.gate.is_some()))
    }

    /// Whether nothing that holds for all is in the way of a new attempt.
    fn may_start(&self) -> bool {
        self.gate.is_none() && !self.world.monitor_only && gates::start::policy_missing(self.world, &self.target.workload).is_none()
    }

    /// Whether a new attempt may write at once over one in flight: only where it inherits all that the other would have to undo.
    fn may_take_over(&self, record: &Record) -> Result<bool, TicketRead> {
        let inherits =
            |plan: &Plan| record.spec.images.iter().all(|old| plan.images.iter().any(|new| new.container == old.container));
        Ok(record.spec.workload == self.target.workload && self.plan(None)?.is_ok_and(|plan| inherits(&plan)))
    }

    /// The intent is on the status; now the record. If the world has changed since, the intent is dropped.
    fn make(&self, known: &mut Target, creates: &mut Vec<Record>) -> Result<Option<Situation>, TicketRead> {
        if let Some(plan) = self.plan_lost(known)? {
            let mut record = self.record(known, plan);
            // It has written, whatever the ticket says of that by now.
            record.spec.dry_run = false;
            if known.request_hash.as_ref() != Some(&self.hash()) {
                // What is checked by now may not be what was allowed then.
                record.spec.checks.clear();
            }
            creates.push(record);
            return Ok(Some(known.stop().map_or_else(|| self.rolling(known), |stop| Situation::InFlight(stopping(stop)))));
        }
        if let Probe::Unreadable(_) = self.probe()? {
            // Whether it wrote is not known before the workload can be read.
            return Ok(self.found()?.err().map(Situation::Waiting));
        }
        if let Ok((view, _)) = self.found()?
            && known.workload_uid.as_ref().is_some_and(|uid| *uid != view.uid)
        {
            let message = format!(
                "{} was deleted and created again, and the record of the attempt is gone: whether it had been written is not known",
                view.workload
            );
            known.end_unknown(Outcome::Aborted, message);
            return Ok(None);
        }
        let current = known.stop().is_none() && known.request_hash.as_ref() == Some(&self.hash());
        if current
            && self.may_start()
            && let Ok(plan) = self.plan(known.record())?
        {
            if let Some(RecordSeen::Refused(why)) = record_of(self.world, known)? {
                return Ok(Some(Situation::Waiting(record_refused(known, why))));
            }
            creates.push(self.record(known, plan));
            return Ok(Some(self.rolling(known)));
        }
        known.forget_attempt();
        Ok(None)
    }

    /// A record that wrote and was deleted is made again, whatever is asked for by now: what it wrote has to be followed to its end.
    fn plan_lost(&self, known: &Target) -> Result<Option<Plan>, TicketRead> {
        let Some(RecordSeen::Absent) = record_of(self.world, known)? else { return Ok(None) };
        let (Some(name), Ok((view, _))) = (known.record(), self.found()?) else { return Ok(None) };
        let images = undo::written_by(name, view).map(|marker| marker.set).or_else(|| {
            // Undone since: the label tells that it wrote, and it has to see that.
            let mut images = preflight::live_images(self.target, view);
            for image in &mut images {
                image.image.clone_from(&self.target.image);
            }
            (undo::is_labelled_by(name, view) && !images.is_empty()).then_some(images)
        });
        Ok(images.map(|images| preflight::plan_again(Action::Rollout, images, view)))
    }

    pub fn record(&self, known: &Target, plan: Plan) -> Record {
        let ticket = &self.world.ticket;
        let uid = ticket.uid().unwrap_or_default();
        let labels = [
            (TICKET_LABEL, request::label_value(&ticket.name_any())),
            (TICKET_UID_LABEL, uid.clone()),
            (TARGET_LABEL, request::label_value(&self.target.name)),
            (ATTEMPT_LABEL, known.attempt.to_string()),
        ];
        let settings = self.settings();
        let rollback = undone_by(known);
        Record {
            metadata: ObjectMeta {
                name: known.record().map(str::to_owned),
                namespace: ticket.namespace(),
                labels: Some(labels.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
                ..ObjectMeta::default()
            },
            spec: RecordSpec {
                ticket: TicketRef { name: ticket.name_any(), uid, id: request::id(ticket) },
                target: self.target.name.clone(),
                attempt: known.attempt,
                request_hash: self.hash(),
                action: plan.action,
                rollback_of: rollback.and_then(|r| r.of.clone()),
                rollback_to: rollback.and_then(|r| r.to.clone()),
                requested_by: Some(
                    rollback.map_or_else(|| lifecycle::requester(ticket, &self.target.name), |r| r.requested_by.clone()),
                ),
                workload: self.target.workload.clone(),
                images: plan.images,
                base: Base { images: known.seen_images.clone(), ..plan.base },
                timeout_seconds: settings.timeout_seconds,
                // Going forward again to what was taken back would help nobody.
                on_failure: if rollback.is_some() { OnFailure::Hold } else { settings.on_failure },
                checks: rollback.map_or_else(|| self.target.checks.clone(), |r| self.checks_of(r)),
                dry_run: settings.dry_run && rollback.is_none(),
                failed_tries: if rollback.is_none() { known.tries } else { 0 },
            },
            status: None,
        }
    }

    /// The checks of the record that is taken back, or gone back to: those of the ticket may have changed since without the right to
    /// run them.
    fn checks_of(&self, undo: &TargetRollback) -> Vec<Check> {
        let named = undo.to.as_ref().or(undo.of.as_ref());
        match named.and_then(|name| self.world.records.get(name)) {
            Some(RecordSeen::Found(record)) => record.spec.checks.clone(),
            _ => Vec::new(),
        }
    }
}

/// What the attempt in flight takes back; a rollout takes nothing back.
fn undone_by(known: &Target) -> Option<&TargetRollback> {
    match &known.course {
        Course::Undoing { undo, .. } => Some(undo),
        _ => None,
    }
}

/// The record cannot be made.
pub fn record_refused(known: &Target, why: &str) -> Obstacle {
    let name = known.record().unwrap_or_default();
    Obstacle::unwatched("RecordRefused", format!("the API server refuses to create the record tdep/{name}: {why}"))
}
