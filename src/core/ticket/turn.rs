//! What becomes of one target in a pass.

use jiff::{SignedDuration, Timestamp};
use trackdown_api::outcome::Outcome;
use trackdown_api::record::Record;
use trackdown_api::record::RecordStatus;
use trackdown_api::ticket::{RolloutSettings, TicketState};
use trackdown_api::workload_ref::{ContainerImage, WorkloadKind};

use super::course::{Course, Target};
use super::{Probe, RecordSeen, TicketRead, TicketWorld, record_of};
use crate::gates::{self, Obstacle};
use crate::images::all_same_or_pinned;
use crate::preflight::{self, Asker, Holder, Plan};
use crate::reason;
use crate::record::sentence;
use crate::request::{self, ResolvedTarget};
use crate::situation::{self, Failure, Progress, Situation};
use crate::workload::view::WorkloadView;

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
    pub fn advance(&self, known: &mut Target, creates: &mut Vec<Record>) -> Result<Situation, TicketRead> {
        // What was asked to be taken back, and allowed, is not what the target is about by now.
        if known.request_hash.as_ref().is_some_and(|hash| *hash != self.hash()) {
            known.drop_undo();
        }
        if matches!(known.course, Course::Trying { .. }) {
            if let Some(situation) = self.follow(known, creates)? {
                return Ok(situation);
            }
            if known.request_hash.as_ref() != Some(&self.hash()) {
                known.forget_undo();
            }
        }
        if matches!(known.course, Course::ToUndo(_) | Course::Undoing { .. }) {
            return self.take_back(known, creates);
        }
        // Elsewhere nothing is asked for, and what was deployed stays so.
        let ready = self.state == TicketState::ReadyForDeployment;
        if ready && known.request_hash.as_ref() != Some(&self.hash()) {
            known.new_request();
        }
        self.go_on(known)
    }

    /// No attempt is under way.
    fn go_on(&self, known: &mut Target) -> Result<Situation, TicketRead> {
        let message = known.told();
        let result = known.result().cloned();
        match (result, self.gate) {
            (Some(result), _) if result.is_deployed() && self.asked_for() => Ok(Situation::Deployed { result, message }),
            (Some(Outcome::RollbackComplete), _) if self.asked_for() => Ok(Situation::TakenBack { message }),
            (result, Some(gate)) if !self.tells_more_than_gate(result.as_ref(), known.tries) => {
                Ok(Situation::Waiting(gate.clone()))
            }
            // A try was dropped before it wrote anything: what the next one rests on is still the same.
            (None, _) if known.rolled_back.is_some() => self.try_again(known),
            (None, _) => self.start(known),
            (Some(Outcome::RolledBack), _) if self.may_retry(known.tries) => self.retry(known),
            (Some(Outcome::RolledBack), _) => Ok(Situation::Failed { why: Failure::OutOfTries, message, taking_back: false }),
            (Some(Outcome::RollbackRequiresGit), _) => self.awaits_git(known),
            (Some(result), _) => Ok(failed(known, result)),
        }
    }

    /// What a person wants now matters more than how an attempt ended, unless it is what the person has to know first: that the
    /// deployment that is still asked for failed for good.
    fn tells_more_than_gate(&self, result: Option<&Outcome>, tries: i32) -> bool {
        self.asked_for()
            && match result {
                None | Some(Outcome::Aborted) => false,
                Some(Outcome::RolledBack) => !self.may_retry(tries),
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

    /// Whether a target that was rolled back may be tried again.
    fn retry(&self, known: &mut Target) -> Result<Situation, TicketRead> {
        let failed = known.failure_time.as_ref().map_or(self.world.now, |t| t.0);
        let until = whole_seconds(failed + backoff(self.settings().backoff_seconds, known.tries));
        if self.world.now < until {
            return Ok(Situation::BackingOff { until, message: known.told() });
        }
        self.try_again(known)
    }

    /// Only Git can put the previous images back: that it has is news.
    fn awaits_git(&self, known: &mut Target) -> Result<Situation, TicketRead> {
        let status = match record_of(self.world, known)? {
            Some(RecordSeen::Found(record)) => record.status.clone().unwrap_or_default(),
            _ => RecordStatus::default(),
        };
        if !status.previous_images.is_empty()
            && let Probe::Found(view, _) = self.probe()?
            && let Some((result, message)) = news_from_git(&status, view)
        {
            known.judge_anew(result, message);
        }
        Ok(failed(known, known.result().cloned().unwrap_or(Outcome::RollbackRequiresGit)))
    }

    /// Another try, if the workload is as the last one left it.
    fn try_again(&self, known: &mut Target) -> Result<Situation, TicketRead> {
        let Probe::Found(view, _) = self.probe()? else { return self.start(known) };
        let last = known.told();
        if !restored(view, known) {
            let message =
                format!("not tried again: {} no longer runs what the rollback restored; last failure: {last}", view.workload);
            known.judge_anew(Outcome::WorkloadMovedOn, message.clone());
            let why = Failure::Ended(Outcome::WorkloadMovedOn);
            return Ok(Situation::Failed { why, message, taking_back: false });
        }
        if view.replicas.desired == 0 {
            let message = format!(
                "{} asks for 0 pods, which would not show that {} works now: tried again when it is scaled up; last failure: {last}",
                view.workload, self.target.image
            );
            let obstacle = Obstacle::watching("ScaledToZero", message, &view.workload);
            return Ok(Situation::Waiting(obstacle.on(view.workload.to_string())));
        }
        self.start(known)
    }

    fn start(&self, known: &mut Target) -> Result<Situation, TicketRead> {
        if let Some(obstacle) = gates::start::first_obstacle(self.world, &self.target.workload) {
            return Ok(Situation::Waiting(obstacle));
        }
        match self.plan(None)? {
            Err(obstacle) => {
                if let (reason::GITOPS_OWNED, Ok((view, _))) = (obstacle.reason, self.found()?) {
                    known.seen_images = preflight::good_images(self.target, view);
                }
                Ok(Situation::Waiting(obstacle))
            }
            Ok(plan) if self.world.monitor_only => Ok(Situation::Waiting(Obstacle::parked("WouldDeploy", self.would_do(&plan)?))),
            Ok(_) => {
                self.intend(known);
                Ok(self.rolling(known))
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

    /// Writes the intent down: from here on the attempt has a name.
    pub fn intend(&self, known: &mut Target) {
        known.attempt_before.get_or_insert(known.attempt);
        known.attempt += 1;
        known.request_hash = Some(self.hash());
        known.workload_uid = match self.world.probes.get(&self.target.workload) {
            Some(Probe::Found(view, _)) => Some(view.uid.clone()),
            _ => None,
        };
        known.intend(request::record_name(&self.world.ticket, &self.target.name, known.attempt));
    }

    pub fn probe(&self) -> Result<&Probe, TicketRead> {
        let probe = self.world.probes.get(&self.target.workload);
        probe.ok_or_else(|| TicketRead::Workload(self.target.workload.clone()))
    }

    /// `record`: the one that is being made, which the workload may name already if it was made before and is lost.
    pub fn plan(&self, record: Option<&str>) -> Result<Result<Plan, Obstacle>, TicketRead> {
        let found = self.found()?;
        Ok(found.and_then(|(view, holder)| preflight::check(self.asker(record), self.target, view, holder)))
    }

    pub fn asker<'b>(&'b self, record: Option<&'b str>) -> Asker<'b> {
        let ticket_uid = self.world.ticket.metadata.uid.as_deref().unwrap_or_default();
        Asker { ticket_uid, targets: self.targets, record }
    }

    pub fn found(&self) -> Result<Result<(&WorkloadView, &Holder), Obstacle>, TicketRead> {
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

    pub fn rolling(&self, known: &Target) -> Situation {
        Situation::InFlight(self.begun(known, situation::rolling_text(known.attempt, &self.target.image)))
    }

    /// An attempt whose record has not been seen yet.
    pub fn begun(&self, known: &Target, text: (&'static str, String)) -> Progress {
        let seconds = self.settings().timeout_seconds.into();
        let deadline = Some(self.world.now + SignedDuration::from_secs(seconds));
        Progress { record: known.record().map(str::to_owned), deadline, ..Progress::of(text) }
    }

    pub fn hash(&self) -> String {
        request::hash(self.target, self.settings())
    }

    pub fn settings(&self) -> &RolloutSettings {
        &self.world.ticket.spec.rollout
    }
}

fn failed(known: &Target, result: Outcome) -> Situation {
    let taking_back = known.undo().is_some();
    Situation::Failed { why: Failure::Ended(result), message: known.told(), taking_back }
}

/// What Git has made of a failed rollout that only it can take back.
fn news_from_git(status: &RecordStatus, view: &WorkloadView) -> Option<(Outcome, String)> {
    let before = &status.previous_images;
    let cause = status.root_cause.as_ref().map(sentence).unwrap_or_default();
    let live = view.images_of(before);
    let listed = |images: &[ContainerImage]| images.iter().map(|i| i.image.as_str()).collect::<Vec<_>>().join(", ");
    if all_same_or_pinned(before, &live) {
        let message = format!("{cause}; {} has put {} back in {}", view.owner, listed(before), view.workload);
        return Some((Outcome::RevertedInGit, message));
    }
    let moved = !all_same_or_pinned(&status.admitted_images, &view.images_of(&status.admitted_images));
    moved.then(|| (Outcome::WorkloadMovedOn, format!("{cause}; {} runs {} by now", view.workload, listed(&live))))
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

/// Whether the workload still shows what the rollback of this attempt restored.
fn restored(view: &WorkloadView, known: &Target) -> bool {
    let last = known.rolled_back.as_deref().or(known.record());
    view.marker().is_some_and(|m| Some(m.record.as_str()) == last && all_same_or_pinned(&m.undo, &view.images_of(&m.undo)))
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
