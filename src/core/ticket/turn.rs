//! What becomes of one target in a pass.

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::api::ObjectMeta;

use super::{Probe, RecordSeen, TicketRead, TicketWorld, in_flight, is_of, record_named, record_of, rollback, stopping, undo};
use crate::gates::{self, Obstacle};
use crate::images::all_same_or_pinned;
use crate::preflight::{self, Asker, Holder, Plan};
use crate::record::sentence;
use crate::request::{self, ResolvedTarget};
use crate::status::{self, Progress, Situation};
use crate::workload::view::WorkloadView;
use crate::{lifecycle, queue, reason};
use trackdown_api::check::Check;
use trackdown_api::condition::bounded;
use trackdown_api::record::{Action, Base, OnFailure, Record, RecordSpec, RecordStatus, TicketRef};
use trackdown_api::ticket::{RollbackCause, Stop, TargetRollback, TargetStatus, Ticket, TicketState};
use trackdown_api::workload_ref::{ContainerImage, WorkloadKind};
use trackdown_api::{ATTEMPT_LABEL, TARGET_LABEL, TICKET_LABEL, TICKET_UID_LABEL};

/// Longest pause between two tries, in seconds.
const BACKOFF_MAX_SECONDS: i64 = 300;

/// One target's turn in a pass.
pub struct Turn<'a> {
    pub world: &'a TicketWorld,
    /// Where the ticket is.
    pub state: TicketState,
    /// What is in the way of a new rollout.
    pub gate: Option<&'a Obstacle>,
    /// All targets of the ticket.
    pub targets: &'a [ResolvedTarget],
    /// The one whose turn it is.
    pub target: &'a ResolvedTarget,
}

impl Turn<'_> {
    pub fn advance(&self, entry: &mut TargetStatus, creates: &mut Vec<Record>) -> Result<Situation, TicketRead> {
        if self.overtaken(entry) {
            rollback::drop_due(entry);
        }
        if let Some(rollback) = entry.rollback.clone().filter(|_| rollback::is_due(entry)) {
            return self.take_back(entry, &rollback, creates);
        }
        if in_flight(entry)
            && let Some(situation) = self.follow(entry, creates)?
        {
            return Ok(situation);
        }
        // Elsewhere nothing is asked for, and what was deployed stays so.
        let ready = self.state == TicketState::ReadyForDeployment;
        if ready && !in_flight(entry) && entry.request_hash.as_ref() != Some(&self.hash()) {
            lifecycle::new_request(entry);
            entry.record = None;
        }
        let message = entry.message.clone().unwrap_or_default();
        match (entry.result.as_deref(), self.gate) {
            (Some(result), _) if reason::is_deployed(result) && self.asked_for() => {
                Ok(Situation::Deployed { result: result.to_owned(), message })
            }
            (Some(reason::ROLLBACK_COMPLETE), _) if self.asked_for() => Ok(Situation::TakenBack { message }),
            (result, Some(gate)) if !self.tells_more_than_gate(result, entry.tries) => Ok(Situation::Waiting(gate.clone())),
            // A try was dropped before it wrote anything: what the next one rests on is still the same.
            (None, _) if entry.rolled_back.is_some() => self.try_again(entry),
            (None, _) => self.start(entry),
            (Some(reason::ROLLED_BACK), _) if self.may_retry(entry.tries) => self.retry(entry),
            (Some(reason::ROLLED_BACK), _) => {
                Ok(Situation::Failed { reason: "RetriesExhausted".to_owned(), message, taking_back: false })
            }
            (Some(reason::ROLLBACK_REQUIRES_GIT), _) => self.awaits_git(entry),
            (Some(result), _) => {
                Ok(Situation::Failed { reason: result.to_owned(), message, taking_back: entry.rollback.is_some() })
            }
        }
    }

    /// What a person wants now matters more than how an attempt ended, unless it is what the person has to know first: that the
    /// deployment that is still asked for failed for good.
    fn tells_more_than_gate(&self, result: Option<&str>, tries: i32) -> bool {
        self.asked_for()
            && match result {
                None | Some(reason::ABORTED) => false,
                Some(reason::ROLLED_BACK) => !self.may_retry(tries),
                Some(_) => true,
            }
    }

    /// Whether the deployment is what the ticket asks for, or was when it was done.
    fn asked_for(&self) -> bool {
        matches!(self.state, TicketState::ReadyForDeployment | TicketState::Done)
    }

    fn may_retry(&self, tries: i32) -> bool {
        tries < self.settings().max_attempts
    }

    /// An attempt in flight. `None`: there is none after all, or a new one takes its place.
    fn follow(&self, entry: &mut TargetStatus, creates: &mut Vec<Record>) -> Result<Option<Situation>, TicketRead> {
        let Some(RecordSeen::Found(record)) = record_of(self.world, entry)? else { return self.make(entry, creates) };
        if !is_of(self.world, record, entry) {
            entry.record = None;
            return Ok(None);
        }
        let same_images = record.spec.workload == self.target.workload
            && record.spec.images.iter().all(|i| i.image == self.target.image)
            && self.target.containers.iter().all(|c| record.spec.images.iter().any(|i| i.container == *c));
        // Other settings for the same images: this attempt ends first, the new request follows.
        let changed = entry.request_hash.as_ref() != Some(&self.hash()) && !same_images;
        let patched = record.status.as_ref().is_some_and(|s| s.patched_time.is_some());
        let taken_back = self.state.is_open() && self.state != TicketState::ReadyForDeployment || self.state == TicketState::WontDo;
        if self.world.ticket.spec.manual_override {
            entry.stop = Some(Stop::Leave);
        } else if entry.stop.is_none() {
            entry.stop = if taken_back || gates::scan_failed(&self.world.ticket) || (!patched && (changed || self.gate.is_some())) {
                Some(Stop::Rollback)
            } else if changed {
                let may_start = self.gate.is_none() && !self.world.monitor_only && self.world.policy_missing.is_none();
                if may_start && self.may_take_over(record)? {
                    // Tries of what was asked for before are none of this request.
                    entry.tries = 0;
                    entry.rolled_back = None;
                    self.intend(entry);
                    return Ok(Some(self.rolling(entry)));
                }
                Some(Stop::Rollback)
            } else {
                None
            };
        }
        Ok(Some(Situation::InFlight(match entry.stop {
            Some(stop) => stopping(stop),
            None => status::in_flight(record, status::rolling_text(entry, &self.target.image)),
        })))
    }

    /// Whether a new attempt may write at once over one in flight: only where it inherits all that the other would have to undo.
    fn may_take_over(&self, record: &Record) -> Result<bool, TicketRead> {
        let inherits =
            |plan: &Plan| record.spec.images.iter().all(|old| plan.images.iter().any(|new| new.container == old.container));
        Ok(record.spec.workload == self.target.workload && self.plan(None)?.is_ok_and(|plan| inherits(&plan)))
    }

    /// The intent is on the status; now the record. If the world has changed since, the intent is dropped.
    fn make(&self, entry: &mut TargetStatus, creates: &mut Vec<Record>) -> Result<Option<Situation>, TicketRead> {
        if let Some(plan) = self.plan_lost(entry)? {
            let mut record = self.record(entry, plan);
            if entry.request_hash.as_ref() != Some(&self.hash()) {
                // What is checked by now may not be what was allowed then.
                record.spec.checks.clear();
            }
            creates.push(record);
            return Ok(Some(entry.stop.map_or_else(|| self.rolling(entry), |stop| Situation::InFlight(stopping(stop)))));
        }
        if let Probe::Unreadable(_) = self.probe()? {
            // Whether it wrote is not known before the workload can be read.
            return Ok(self.found()?.err().map(Situation::Waiting));
        }
        if let Ok((view, _)) = self.found()?
            && entry.workload_uid.as_ref().is_some_and(|uid| *uid != view.uid)
        {
            entry.stop = None;
            entry.result = Some(reason::ABORTED.to_owned());
            entry.message = Some(format!(
                "{} was deleted and created again, and the record of the attempt is gone: whether it had been written is not known",
                view.workload
            ));
            return Ok(None);
        }
        let current = entry.stop.is_none() && entry.request_hash.as_ref() == Some(&self.hash());
        if current
            && self.gate.is_none()
            && !self.world.monitor_only
            && self.world.policy_missing.is_none()
            && let Ok(plan) = self.plan(entry.record.as_deref())?
        {
            if let Some(RecordSeen::Refused(why)) = record_of(self.world, entry)? {
                return Ok(Some(Situation::Waiting(record_refused(entry, why))));
            }
            creates.push(self.record(entry, plan));
            return Ok(Some(self.rolling(entry)));
        }
        rollback::forget_attempt(entry);
        Ok(None)
    }

    /// A record that wrote and was deleted is made again, whatever is asked for by now: what it wrote has to be followed to its end.
    fn plan_lost(&self, entry: &TargetStatus) -> Result<Option<Plan>, TicketRead> {
        let Some(RecordSeen::Absent) = record_of(self.world, entry)? else { return Ok(None) };
        let (Some(name), Ok((view, _))) = (&entry.record, self.found()?) else { return Ok(None) };
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

    /// Whether the target is about something else by now than when the rollback was asked for: what was asked for then, and allowed, is
    /// not this.
    fn overtaken(&self, entry: &TargetStatus) -> bool {
        let changed = entry.request_hash.as_ref().is_some_and(|hash| *hash != self.hash());
        changed && entry.rollback.is_some() && entry.record.is_none()
    }

    /// A rollback that is asked for: like a rollout an intent first, then a record. No gate of a rollout is in its way, but a person
    /// who has taken over.
    pub fn take_back(
        &self,
        entry: &mut TargetStatus,
        rollback: &TargetRollback,
        creates: &mut Vec<Record>,
    ) -> Result<Situation, TicketRead> {
        let overridden = self.world.ticket.spec.manual_override;
        let seen = record_of(self.world, entry)?;
        if let Some(RecordSeen::Found(record)) = seen.filter(|_| rollback::is_running(entry)) {
            if overridden {
                entry.stop = Some(Stop::Leave);
            }
            return Ok(Situation::InFlight(match entry.stop {
                Some(stop) => stopping(stop),
                None => status::in_flight(record, rollback::text(entry)),
            }));
        }
        let refused = match seen {
            Some(RecordSeen::Refused(why)) => Some(why.clone()),
            _ => None,
        };
        let lost = match self.found()? {
            Ok((view, _)) => {
                undo::images_written(entry.record.as_deref(), view).map(|i| preflight::plan_again(Action::Rollback, i, view))
            }
            Err(_) => None,
        };
        let plan = match (lost, self.may_take_back(rollback)) {
            (Some(plan), _) => Ok(plan),
            (None, Ok(())) => self.plan_back(entry, rollback)?,
            (None, Err(obstacle)) => Err(obstacle),
        };
        let plan = match plan {
            Ok(plan) => plan,
            Err(obstacle) => {
                entry.record = None;
                return Ok(Situation::Held(obstacle));
            }
        };
        if let Some(why) = refused {
            return Ok(Situation::Held(record_refused(entry, &why)));
        }
        if seen.is_some() {
            creates.push(self.record(entry, plan));
        } else {
            self.intend(entry);
        }
        Ok(Situation::InFlight(self.begun(entry, rollback::text(entry))))
    }

    fn may_take_back(&self, rollback: &TargetRollback) -> Result<(), Obstacle> {
        let by_hand = rollback.cause == RollbackCause::Requested || rollback.to.is_some();
        if let Some(obstacle) = self.policy_missing().filter(|_| by_hand) {
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

    /// What taking the target back would write.
    fn plan_back(&self, entry: &TargetStatus, rollback: &TargetRollback) -> Result<Result<Plan, Obstacle>, TicketRead> {
        let (view, holder) = match self.found()? {
            Ok(found) => found,
            Err(obstacle) => return Ok(Err(obstacle)),
        };
        let own = entry.record.as_deref();
        let asker = self.asker(own);
        let images = match &rollback.to {
            Some(name) => undo::images_of(name, record_named(self.world, name)?, &self.target.workload),
            None => match rollback.of.as_deref() {
                Some(name) => undo::images_before(name, record_named(self.world, name)?, view, asker.ticket_uid),
                None => undo::images_remembered(&self.target.name, view, asker.ticket_uid),
            },
        };
        Ok(images.and_then(|images| preflight::check_restore(asker, self.target, images, view, holder)))
    }

    /// Whether a target that was rolled back may be tried again.
    fn retry(&self, entry: &mut TargetStatus) -> Result<Situation, TicketRead> {
        let failed = entry.failure_time.as_ref().map_or(self.world.now, |t| t.0);
        let until = whole_seconds(failed + backoff(self.settings().backoff_seconds, entry.tries));
        if self.world.now < until {
            return Ok(Situation::BackingOff { until, message: entry.message.clone().unwrap_or_default() });
        }
        self.try_again(entry)
    }

    /// Only Git can put the previous images back: that it has is news.
    fn awaits_git(&self, entry: &mut TargetStatus) -> Result<Situation, TicketRead> {
        let status = match record_of(self.world, entry)? {
            Some(RecordSeen::Found(record)) => record.status.clone().unwrap_or_default(),
            _ => RecordStatus::default(),
        };
        let before = status.previous_images;
        if !before.is_empty()
            && let Probe::Found(view, _) = self.probe()?
        {
            let cause = status.root_cause.as_ref().map(sentence).unwrap_or_default();
            let live = view.images_of(&before);
            let listed = |images: &[ContainerImage]| images.iter().map(|i| i.image.as_str()).collect::<Vec<_>>().join(", ");
            let news = if all_same_or_pinned(&before, &live) {
                Some((
                    reason::REVERTED_IN_GIT,
                    format!("{cause}; {} has put {} back in {}", view.owner, listed(&before), view.workload),
                ))
            } else if !all_same_or_pinned(&status.admitted_images, &view.images_of(&status.admitted_images)) {
                Some((reason::WORKLOAD_MOVED_ON, format!("{cause}; {} runs {} by now", view.workload, listed(&live))))
            } else {
                None
            };
            if let Some((result, message)) = news {
                entry.result = Some(result.to_owned());
                entry.message = Some(bounded(&message));
            }
        }
        Ok(Situation::Failed {
            reason: entry.result.clone().unwrap_or_default(),
            message: entry.message.clone().unwrap_or_default(),
            taking_back: entry.rollback.is_some(),
        })
    }

    /// Another try, if the workload is as the last one left it.
    fn try_again(&self, entry: &mut TargetStatus) -> Result<Situation, TicketRead> {
        let Probe::Found(view, _) = self.probe()? else { return self.start(entry) };
        if !restored(view, entry) {
            entry.result = Some(reason::WORKLOAD_MOVED_ON.to_owned());
            entry.message = Some(format!(
                "not tried again: {} no longer runs what the rollback restored; last failure: {}",
                view.workload,
                entry.message.as_deref().unwrap_or_default()
            ));
            return Ok(Situation::Failed {
                reason: reason::WORKLOAD_MOVED_ON.to_owned(),
                message: entry.message.clone().unwrap_or_default(),
                taking_back: false,
            });
        }
        if view.replicas.desired == 0 {
            let message = format!(
                "{} asks for 0 pods, which would not show that {} works now: tried again when it is scaled up; last failure: {}",
                view.workload,
                self.target.image,
                entry.message.as_deref().unwrap_or_default()
            );
            let obstacle = Obstacle::watching("ScaledToZero", message, &view.workload);
            return Ok(Situation::Waiting(obstacle.on(view.workload.to_string())));
        }
        self.start(entry)
    }

    fn start(&self, entry: &mut TargetStatus) -> Result<Situation, TicketRead> {
        if let Some(obstacle) = self.policy_missing() {
            return Ok(Situation::Waiting(obstacle));
        }
        if let Some(first) = self.ahead() {
            let message = preflight::comes_first(&self.target.workload, &first.name_any());
            let obstacle = Obstacle::parked(reason::WORKLOAD_HELD, message).on(format!("ticket/{}", first.name_any()));
            return Ok(Situation::Waiting(Obstacle { moving: true, ..obstacle }));
        }
        match self.plan(None)? {
            Err(obstacle) => {
                if let (reason::GITOPS_OWNED, Ok((view, _))) = (obstacle.reason, self.found()?) {
                    entry.seen_images = preflight::good_images(self.target, view);
                }
                Ok(Situation::Waiting(obstacle))
            }
            Ok(plan) if self.world.monitor_only => Ok(Situation::Waiting(Obstacle::parked("WouldDeploy", self.would_do(&plan)?))),
            Ok(_) => {
                self.intend(entry);
                Ok(self.rolling(entry))
            }
        }
    }

    /// What would be done, were the operator not only to monitor.
    fn would_do(&self, plan: &Plan) -> Result<String, TicketRead> {
        let current = self.found()?.is_ok_and(|(view, _)| all_same_or_pinned(&plan.images, &view.images_of(&plan.images)));
        let (workload, image) = (&self.target.workload, &self.target.image);
        let what = if current { format!("{workload} has {image} already") } else { format!("would set {workload} to {image}") };
        Ok(format!("{what}, but the operator only monitors (--dry-run)"))
    }

    /// Who may deploy is decided by nobody: nothing new starts, whoever asked. What is under way ends.
    fn policy_missing(&self) -> Option<Obstacle> {
        let problem = self.world.policy_missing.as_ref()?;
        let message = format!(
            "{problem}: nobody checks who may deploy, so nothing new starts until an administrator has put it back (helm upgrade)"
        );
        Some(Obstacle::parked(reason::POLICY_MISSING, message))
    }

    /// Writes the intent down: from here on the attempt has a name.
    fn intend(&self, entry: &mut TargetStatus) {
        entry.attempt_before.get_or_insert(entry.attempt);
        entry.attempt += 1;
        entry.record = Some(request::record_name(&self.world.ticket, &self.target.name, entry.attempt));
        entry.request_hash = Some(self.hash());
        entry.workload_uid = match self.world.probes.get(&self.target.workload) {
            Some(Probe::Found(view, _)) => Some(view.uid.clone()),
            _ => None,
        };
        entry.stop = None;
        entry.result = None;
        entry.message = None;
    }

    fn ahead(&self) -> Option<&Ticket> {
        let own = queue::place(&self.world.ticket);
        let rivals = self.world.rivals.iter().filter(|(w, _)| *w == self.target.workload).map(|(_, t)| &**t);
        let before = |t: &&Ticket| queue::place(t) < own || queue::holds(t, &self.target.workload);
        rivals.filter(before).min_by_key(|t| queue::place(t))
    }

    fn probe(&self) -> Result<&Probe, TicketRead> {
        let probe = self.world.probes.get(&self.target.workload);
        probe.ok_or_else(|| TicketRead::Workload(self.target.workload.clone()))
    }

    /// `record`: the one that is being made, which the workload may name already if it was made before and is lost.
    fn plan(&self, record: Option<&str>) -> Result<Result<Plan, Obstacle>, TicketRead> {
        let found = self.found()?;
        Ok(found.and_then(|(view, holder)| preflight::check(self.asker(record), self.target, view, holder)))
    }

    fn asker<'b>(&'b self, record: Option<&'b str>) -> Asker<'b> {
        let ticket_uid = self.world.ticket.metadata.uid.as_deref().unwrap_or_default();
        Asker { ticket_uid, targets: self.targets, record }
    }

    fn found(&self) -> Result<Result<(&WorkloadView, &Holder), Obstacle>, TicketRead> {
        let on = self.target.workload.to_string();
        Ok(match self.probe()? {
            Probe::Found(view, holder) => Ok((&**view, holder)),
            Probe::Missing(others) => {
                let message = format!("spec.targets[{}]: {on} does not exist; {}", self.target.name, instead(others));
                Err(Obstacle::watching("WorkloadNotFound", message, &self.target.workload).on(on))
            }
            Probe::NoSuchKind => {
                let message = format!(
                    "spec.targets[{}]: {on} cannot exist: this cluster has no {}; install {}, or correct workloadRef.kind ({AGAIN})",
                    self.target.name,
                    self.target.workload.kind.api_version(),
                    self.target.workload.kind.project(),
                );
                Err(Obstacle::unwatched("WorkloadKindMissing", message).on(on))
            }
            Probe::Unreadable(error) => {
                let message = format!("{on} cannot be read: {error} ({AGAIN})");
                Err(Obstacle::unwatched("WorkloadUnreadable", message).on(on))
            }
        })
    }

    /// The checks of the record that is taken back, or gone back to: those of the ticket may have changed since without the right to
    /// run them.
    fn checks_of(&self, rollback: &TargetRollback) -> Vec<Check> {
        let named = rollback.to.as_ref().or(rollback.of.as_ref());
        match named.and_then(|name| self.world.records.get(name)) {
            Some(RecordSeen::Found(record)) => record.spec.checks.clone(),
            _ => Vec::new(),
        }
    }

    fn rolling(&self, entry: &TargetStatus) -> Situation {
        Situation::InFlight(self.begun(entry, status::rolling_text(entry, &self.target.image)))
    }

    /// An attempt whose record has not been seen yet.
    fn begun(&self, entry: &TargetStatus, text: (&'static str, String)) -> Progress {
        let seconds = self.settings().timeout_seconds.into();
        let deadline = Some(self.world.now + SignedDuration::from_secs(seconds));
        Progress { record: entry.record.clone(), deadline, ..Progress::of(text) }
    }

    fn hash(&self) -> String {
        request::hash(self.target, self.settings())
    }

    fn settings(&self) -> &trackdown_api::ticket::RolloutSettings {
        &self.world.ticket.spec.rollout
    }

    fn record(&self, entry: &TargetStatus, plan: Plan) -> Record {
        let ticket = &self.world.ticket;
        let uid = ticket.uid().unwrap_or_default();
        let labels = [
            (TICKET_LABEL, request::label_value(&ticket.name_any())),
            (TICKET_UID_LABEL, uid.clone()),
            (TARGET_LABEL, request::label_value(&self.target.name)),
            (ATTEMPT_LABEL, entry.attempt.to_string()),
        ];
        let settings = self.settings();
        let rollback = entry.rollback.as_ref();
        Record {
            metadata: ObjectMeta {
                name: entry.record.clone(),
                namespace: ticket.namespace(),
                labels: Some(labels.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
                ..ObjectMeta::default()
            },
            spec: RecordSpec {
                ticket: TicketRef { name: ticket.name_any(), uid, id: request::id(ticket) },
                target: self.target.name.clone(),
                attempt: entry.attempt,
                request_hash: self.hash(),
                action: plan.action,
                rollback_of: rollback.and_then(|r| r.of.clone()),
                rollback_to: rollback.and_then(|r| r.to.clone()),
                requested_by: Some(
                    rollback.map_or_else(|| lifecycle::requester(ticket, &self.target.name), |r| r.requested_by.clone()),
                ),
                workload: self.target.workload.clone(),
                images: plan.images,
                base: Base { images: entry.seen_images.clone(), ..plan.base },
                timeout_seconds: settings.timeout_seconds,
                // Going forward again to what was taken back would help nobody.
                on_failure: if rollback.is_some() { OnFailure::Hold } else { settings.on_failure },
                checks: rollback.map_or_else(|| self.target.checks.clone(), |r| self.checks_of(r)),
                dry_run: settings.dry_run && rollback.is_none(),
                failed_tries: if rollback.is_none() { entry.tries } else { 0 },
            },
            status: None,
        }
    }
}

/// How a wait ends that nobody can watch.
const AGAIN: &str = "looked at again within 5 minutes";

/// What to do about a workload that does not exist.
fn instead(others: &[WorkloadKind]) -> String {
    match others {
        [] => "create it, or correct the name".to_owned(),
        kinds => {
            let kinds = kinds.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
            format!("there is a {kinds} of that name: set workloadRef.kind, or create it")
        }
    }
}

fn record_refused(entry: &TargetStatus, why: &str) -> Obstacle {
    let name = entry.record.as_deref().unwrap_or_default();
    Obstacle::unwatched("RecordRefused", format!("the API server refuses to create the record tdep/{name}: {why}"))
}

/// Whether the workload still shows what the rollback of this attempt restored.
fn restored(view: &WorkloadView, entry: &TargetStatus) -> bool {
    let last = entry.rolled_back.as_ref().or(entry.record.as_ref());
    view.marker().is_some_and(|m| Some(&m.record) == last && all_same_or_pinned(&m.undo, &view.images_of(&m.undo)))
}

/// The status shows it in whole seconds; any other moment would be rewritten for ever.
fn whole_seconds(time: Timestamp) -> Timestamp {
    let up = i64::from(time.subsec_nanosecond() > 0);
    Timestamp::from_second(time.as_second() + up).unwrap_or(time)
}

/// Pause before the next try: doubled for each failed one.
fn backoff(base_seconds: i32, tries: i32) -> SignedDuration {
    let doubled = i64::from(base_seconds).saturating_mul(1 << tries.saturating_sub(1).clamp(0, 16));
    SignedDuration::from_secs(doubled.min(BACKOFF_MAX_SECONDS.max(i64::from(base_seconds))))
}
